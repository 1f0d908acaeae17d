"""What fails a sentinel, and how often workers of known habits do: by hand, exactly, and by simulation."""

import sys

import numpy as np
import pytest

from imagenetd.config.qc import Repeats, SentinelRule
from imagenetd.qc import odds
from imagenetd.qc.judgements import item_votes, judgement_table
from imagenetd.qc.odds import COIN, Habits, SentinelDesign, answer_chances, odds_lines, pass_chance
from imagenetd.qc.sentinels import sentinel_failures
from imagenetd.qc.tasks import Judgement, Response, Slot, SlotRole, Task

TASK = Task(
    "t",
    (
        Slot(0, "again", "mug", SlotRole.CONSISTENCY),
        Slot(1, "easy", "mug", SlotRole.POSITIVE),
        Slot(2, "again", "mug", SlotRole.ITEM),
        Slot(3, "other", "sock", SlotRole.NEGATIVE),
        Slot(4, "hard", "mug", SlotRole.ITEM),
    ),
)
GOOD = "yy yy yy nn nn"


def response(worker: str, answers: str) -> Response:
    """Read `yn`: Q1 yes, Q2 no."""
    pairs = enumerate(answers.split())
    return Response("t", worker, tuple(Judgement(n, a == "y", b == "y", 1.0) for n, (a, b) in pairs))


def reasons(answers: str, rule: SentinelRule = SentinelRule.both) -> str:
    failures = sentinel_failures(
        judgement_table([TASK], [response("good", GOOD), response("w", answers)]), rule
    )
    assert failures.is_qualified.tolist() == [True, failures.reason(1) == ""]
    return failures.reason(1)


def test_each_sentinel_drops_a_response_for_its_own_reason() -> None:
    assert reasons(GOOD) == ""
    assert reasons("yy nn yy nn nn") == "said no to an image that shows the object (1)"
    assert reasons("yy yy yy yy nn") == "said yes to an image of another object (1)"
    assert reasons("nn yy yy nn nn") == "answered the same image differently (1)"


def test_a_hard_sentinel_drops_a_response_for_its_own_reason() -> None:
    slots = (Slot(0, "yes", "mug", SlotRole.HARD_POSITIVE), Slot(1, "no", "mug", SlotRole.HARD_NEGATIVE))
    task = Task("t", (*slots, Slot(2, "hard", "mug", SlotRole.ITEM)))
    said = [response("good", "yy nn yy"), response("no", "yn nn yy"), response("yes", "yy ny yy")]
    table = judgement_table([task], said)
    failed = sentinel_failures(table, SentinelRule.both)
    assert [failed.reason(n) for n in range(3)] == [
        "",
        "said no to a hard image that shows the object (1)",
        "said yes to a hard image that does not show the object (1)",
    ]
    assert {vote.image_id for vote in item_votes(table, failed.is_qualified)} == {"hard"}


def test_a_response_can_fail_for_several_reasons() -> None:
    assert reasons("nn nn yy yy nn").count(";") == 2


@pytest.mark.parametrize(
    ("answers", "failing"),
    [
        ("yn yy yy nn nn", {SentinelRule.both, SentinelRule.use}),  # the repeat differs in Q2 only
        ("yy ny yy nn nn", {SentinelRule.both, SentinelRule.recognise}),  # the positive is usable only
        ("yy yy yy ny nn", {SentinelRule.both, SentinelRule.use, SentinelRule.accepted}),
    ],
)
def test_the_rule_says_which_questions_bind(answers: str, failing: set[SentinelRule]) -> None:
    assert {rule for rule in SentinelRule if reasons(answers, rule)} == failing


def test_only_items_of_qualified_responses_are_votes() -> None:
    table = judgement_table([TASK], [response("good", GOOD), response("bad", "yy nn yy nn nn")])
    votes = item_votes(table, sentinel_failures(table, SentinelRule.both).is_qualified)
    assert [(vote.image_id, vote.worker, vote.can_recognise) for vote in votes] == [
        ("again", "good", True),
        ("hard", "good", False),
    ]


def test_the_chances_of_the_papers_plan_by_hand() -> None:
    paper = SentinelDesign()
    assert pass_chance(paper, COIN) == pytest.approx(0.25 * 0.25 * 0.25**2)
    # 0.95 right on each image, both questions together: 0.95 * 0.95 * (0.95^2 + 0.05^2)^2 = 0.73917...
    assert pass_chance(paper, Habits(0.95)) == pytest.approx(0.9025 * 0.905**2)
    # each question alone: a sentinel needs both, a repeat needs both equal
    assert pass_chance(paper, Habits(0.95, together=0.0)) == pytest.approx(0.9025**2 * 0.905**4)
    loose = SentinelDesign(rule=SentinelRule.accepted)
    assert pass_chance(loose, COIN) == pytest.approx(0.75 * 0.25 * 0.625**2)
    assert pass_chance(SentinelDesign(rule=SentinelRule.use), COIN) == pytest.approx(0.5**4)


@pytest.mark.parametrize("rule", SentinelRule)
@pytest.mark.parametrize("habits", [COIN, Habits(0.95), Habits(0.8, together=0.5)])
def test_the_chances_agree_with_simulated_workers(rule: SentinelRule, habits: Habits) -> None:
    num_workers, rng = 40_000, np.random.default_rng(0)
    truth = np.array([slot.role is not SlotRole.NEGATIVE for slot in TASK.slots])
    shape = (num_workers, len(truth))
    together = rng.random(shape) < habits.together
    slips = rng.random((2, *shape)) >= habits.accuracy
    recognise = truth ^ slips[0]
    use = truth ^ np.where(together, slips[0], slips[1])
    code = {role: number for number, role in enumerate(SlotRole)}
    from imagenetd.qc.judgements import JudgementTable

    table = JudgementTable(
        image_ids=("again", "easy", "other", "hard"),
        workers=("w",),
        responses=(("t", "w"),) * num_workers,
        response=np.repeat(np.arange(num_workers), len(truth)),
        worker=np.zeros(recognise.size, dtype=np.int64),
        image=np.tile([0, 1, 0, 2, 3], num_workers),
        role=np.tile([code[slot.role] for slot in TASK.slots], num_workers),
        can_recognise=recognise.ravel(),
        can_use=use.ravel(),
    )
    expected = pass_chance(SentinelDesign(1, 1, 1, rule), habits)
    found = sentinel_failures(table, rule).is_qualified.mean()
    assert found == pytest.approx(expected, abs=4 * (expected * (1 - expected) / num_workers) ** 0.5)


def test_invalid_images_that_come_twice_drop_more_good_workers_where_acceptance_binds() -> None:
    """A slip that spoils one question: 0.9975 and 0.9025 on the sentinels; equal twice with 0.9950 on a valid image,
    with 0.8240 on an invalid one, since there one slip of two accepts."""
    plan, good = SentinelDesign(rule=SentinelRule.accepted), Habits(0.95, together=0.0)
    equal = 0.76 * (0.9975**2 + 0.0025**2) + 0.24 * (0.0975**2 + 0.9025**2)
    assert pass_chance(plan, good, invalid_share=0.24) == pytest.approx(0.9975 * 0.9025 * equal**2)
    assert pass_chance(plan, good, invalid_share=0.24) == pytest.approx(0.819, abs=5e-4)
    assert pass_chance(plan, good) == pytest.approx(0.891, abs=5e-4)


def test_where_sentinels_come_twice_a_coin_flipper_passes_as_rarely_and_a_good_worker_oftener() -> None:
    clear = SentinelDesign(repeats=Repeats.clear)
    assert pass_chance(clear, COIN) == pytest.approx(1 / 256)
    assert pass_chance(clear, Habits(0.95), invalid_share=0.24) == pytest.approx(0.95**4)
    loose = SentinelDesign(rule=SentinelRule.accepted, repeats=Repeats.clear)
    assert pass_chance(loose, COIN) == pytest.approx(0.75**2 * 0.25**2)


def test_a_repeated_sentinel_is_compared_with_its_first_showing() -> None:
    slots = (
        Slot(0, "easy", "mug", SlotRole.CONSISTENCY),
        Slot(1, "easy", "mug", SlotRole.POSITIVE),
        Slot(2, "hard", "mug", SlotRole.ITEM),
    )
    task = Task("t", slots)
    table = judgement_table([task], [response("a", "yy yy nn"), response("b", "nn yy nn")])
    failed = sentinel_failures(table, SentinelRule.both)
    assert [failed.reason(0), failed.reason(1)] == ["", "answered the same image differently (1)"]


def test_the_chances_of_an_answer_sum_to_one() -> None:
    assert sum(answer_chances(Habits(0.7, together=0.3))) == pytest.approx(1)


def test_the_calculator_speaks_plainly() -> None:
    lines = odds_lines(SentinelDesign(), 0.95)
    assert lines[1].startswith(
        "a coin-flipper passes with 0.391% (1 in 256); somebody who always says yes passes never"
    )
    assert "26.1% when a slip spoils both questions, 45.4% when it spoils one" in lines[2]


def asked(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["odds", *words])
    odds.main()


def test_the_calculator_takes_its_plan_from_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked(monkeypatch, "--positive", "2", "--hard-negative", "1", "--accuracy", "0.9")
    lines = capsys.readouterr().out.splitlines()
    # Three sentinels, two of them again, one hard: six times both answers.
    assert lines[0].startswith(
        "sentinels: 2 positive, 1 negative, 2 consistency, 1 hard negative, binding both"
    )
    assert "1 in 4,096" in lines[1]
    assert "rejected with 46.9%" in lines[2] and "71.8%" in lines[2]
    asked(monkeypatch, "--negative", "0", "--consistency", "0")
    assert "always says yes passes always" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--positive", "-1"], ["--hard-positive", "101"], ["--accuracy", "1.1"]])
def test_the_calculator_refuses_what_no_plan_can_have(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        asked(monkeypatch, *words)
    assert ended.value.code == 2
    assert f"{words[1]} is not between 0 and" in capsys.readouterr().err


def test_no_more_sentinels_come_twice_than_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        asked(monkeypatch, "--consistency", "3")
    assert "--consistency is above --positive + --negative" in capsys.readouterr().err
    asked(monkeypatch, "--consistency", "2")
    asked(monkeypatch, "--consistency", "3", "--repeats", "items")
