"""From responses to decisions: numbers checked by hand, planted workers, and what stopping early does."""

import collections
import sys
from typing import Any

import numpy as np
import pytest

from imagenetd.config.qc import (
    AggregationConfig,
    AggregationMethod,
    SentinelRule,
    StoppingConfig,
    WorkersConfig,
)
from imagenetd.errors import ConfigError
from imagenetd.qc.agreement import krippendorff, measure_agreement
from imagenetd.qc.completion import Rules, missing_responses, next_workers, plain_rules, read_rules
from imagenetd.qc.counting import count_votes
from imagenetd.qc.crowd import crowd_probability
from imagenetd.qc.odds import COIN, Habits, SentinelDesign, pass_chance
from imagenetd.qc.simulate import answer_task, hire
from imagenetd.qc.tasks import Judgement, Response, Slot, SlotRole, Task

NO_STOPPING = StoppingConfig(False, 3, 0.99, False, 0.8)
STOPPING = StoppingConfig(True, 3, 0.99, True, 0.8)
RULES = Rules(10, SentinelRule.both, NO_STOPPING)
CAREFUL = {"careful": 1.0, "careless": 0.0, "always_yes": 0.0, "coin": 0.0}
MIXED = {"careful": 0.6, "careless": 0.2, "always_yes": 0.1, "coin": 0.1}


def counting(method: AggregationMethod = AggregationMethod.majority) -> AggregationConfig:
    return AggregationConfig(method, 0.5, 0.95)


def crew(num_workers: int = 60, seed: int = 0, **shares: float) -> WorkersConfig:
    return WorkersConfig(num_workers, **shares, careful_accuracy=0.95, careless_accuracy=0.75, seed=seed)


def world(num_tasks: int, *, valid_share: float = 0.75) -> tuple[list[Task], dict[str, str]]:
    """Tasks as in the paper; an image shows the mug that is asked for, or a sock."""
    rng = np.random.default_rng(0)
    tasks, shown = [], {}
    for number in range(num_tasks):
        items = [f"t{number}-{n}" for n in range(16)]
        shown |= {name: "mug" if rng.random() < valid_share else "sock" for name in items}
        shown |= {f"t{number}-yes": "mug", f"t{number}-no": "bell"}
        entries = [(name, "mug", SlotRole.ITEM) for name in items]
        entries += [(name, "mug", SlotRole.CONSISTENCY) for name in items[:2]]
        entries += [(f"t{number}-yes", "mug", SlotRole.POSITIVE), (f"t{number}-no", "mug", SlotRole.NEGATIVE)]
        order = rng.permutation(len(entries))
        slots = tuple(Slot(place, *entries[i]) for place, i in enumerate(order))
        tasks.append(Task(f"t{number}", slots))
    return tasks, shown


def collect(tasks: list[Task], shown: dict[str, str], rules: Rules, workers: WorkersConfig) -> list[Response]:
    """Ask simulated workers until every task is complete."""
    people = {worker.name: worker for worker in hire(workers)}
    by_id = {task.task_id: task for task in tasks}
    responses: list[Response] = []
    while missing := missing_responses(tasks, responses, rules):
        answered = collections.defaultdict(list)
        for response in responses:
            answered[response.task_id].append(response.worker)
        for task_id, name in next_workers(list(by_id), missing, answered, list(people)):
            responses.append(answer_task(people[name], by_id[task_id], shown, seed=0))
    return responses


def ballots(num_yes: list[int], num_votes: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, worker and answer of every vote; every image has the first workers of one crew."""
    image = np.repeat(np.arange(len(num_votes)), num_votes)
    worker = np.concatenate([np.arange(n) for n in num_votes])
    return image, worker, worker < np.repeat(num_yes, num_votes)


def test_acceptance_pairwise_and_majority_agreement_by_hand() -> None:
    # 3 of 3, 2 of 3 and 0 of 2 votes accept: acceptance (1 + 2/3 + 0) / 3. Pairs that agree: 3 of 3, 1 of 3, 1 of 1.
    # With the majority: 3 of 3, 2 of 3, 2 of 2. So a rejected image lowers acceptance alone.
    found = measure_agreement(*ballots([3, 2, 0], [3, 3, 2]), confidence=0.95)
    assert found.acceptance.value == pytest.approx(5 / 9)
    assert found.pairwise.value == pytest.approx(7 / 9)
    assert found.majority.value == pytest.approx(8 / 9)
    assert found.acceptance.low < 5 / 9 < found.acceptance.high


def test_of_the_votes_of_a_tie_half_agree_with_the_majority() -> None:
    # 2 of 4: half of the votes, whoever is called the majority. 3 of 4: three.
    found = measure_agreement(*ballots([2, 3], [4, 4]), confidence=0.95)
    assert found.majority.value == pytest.approx((0.5 + 0.75) / 2)


def test_alpha_by_hand() -> None:
    # Two votes on each of three images: yes yes, no no, yes no. Observed disagreement: 2 of 6 values stand beside
    # another one. Expected: 2 * 3 * 3 / (6 * 5) = 0.6. alpha = 1 - (1/3) / 0.6 = 4/9.
    assert krippendorff(np.array([2, 0, 1]), np.array([2, 2, 2])) == pytest.approx(4 / 9)
    assert np.isnan(krippendorff(np.array([3, 3]), np.array([3, 3])))  # all votes equal: not defined


def test_alpha_is_withheld_below_ten_images_of_the_rarer_kind() -> None:
    few = measure_agreement(*ballots([5] * 100 + [0] * 9, [5] * 109), confidence=0.95)
    assert few.num_minority == 9 and np.isnan(few.alpha.value)
    enough = measure_agreement(*ballots([5] * 100 + [0] * 9 + [1], [5] * 110), confidence=0.95)
    assert enough.num_minority == 10 and 0.85 < enough.alpha.low < enough.alpha.value < enough.alpha.high <= 1


def test_no_interval_of_agreement_has_zero_width_where_everybody_agrees() -> None:
    # 122 of 122 accepted: Jeffreys' lower end is 0.9797, an unmet image may be one that everybody rejects.
    found = measure_agreement(*ballots([10] * 122, [10] * 122), confidence=0.95)
    assert found.acceptance.value == 1
    assert (found.acceptance.low, found.acceptance.high) == (pytest.approx(0.9797, abs=1e-4), 1.0)
    assert found.pairwise.low == pytest.approx(
        1 - 0.5 * (1 - 0.9797), abs=1e-4
    )  # such pairs agree in half at least


def test_the_intervals_of_agreement_hold_where_one_image_in_a_hundred_is_invalid() -> None:
    rng, covered = np.random.default_rng(1), []
    for _ in range(200):
        valid = rng.random(122) >= 0.01
        image = np.repeat(np.arange(122), 10)
        worker = rng.random((122, 60)).argsort(axis=1)[:, :10].ravel()
        accepts = (rng.random(1220) < 0.98) == valid[image]
        found = measure_agreement(image, worker, accepts, confidence=0.95)
        covered.append(found.acceptance.low <= 0.99 * 0.98 + 0.01 * 0.02 <= found.acceptance.high)
        assert np.isnan(found.alpha.value)
    assert np.mean(covered) >= 0.93


@pytest.mark.parametrize("method", list(AggregationMethod))
@pytest.mark.parametrize(("accuracy", "num_invalid"), [(0.95, 0), (0.95, 6), (1.0, 0), (1.0, 1)])
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_no_way_to_count_rejects_valid_images_of_a_nearly_pure_set(
    method: AggregationMethod, accuracy: float, num_invalid: int
) -> None:
    rng = np.random.default_rng(3)
    image = np.repeat(np.arange(122), 10)
    worker = rng.random((122, 60)).argsort(axis=1)[:, :10].ravel()
    valid = np.arange(122) >= num_invalid
    accepts = (rng.random(1220) < accuracy) == valid[image]
    probability = crowd_probability(image, worker, accepts, num_images=122, method=method)
    assert ((probability > 0.5) == valid).all()


def test_ten_careful_workers_find_the_truth_in_99_percent() -> None:
    tasks, shown = world(60)
    ballot = count_votes(tasks, collect(tasks, shown, RULES, crew(**CAREFUL)), RULES, counting())
    items = [slot for task in tasks for slot in task.items]
    right = [(slot.image_id in (ballot.accepted or ())) == (shown[slot.image_id] == "mug") for slot in items]
    assert len(right) == 960 and np.mean(right) >= 0.99
    assert collections.Counter(vote.image_id for vote in ballot.votes)["t0-0"] == 10


@pytest.mark.parametrize("method", [AggregationMethod.dawid_skene, AggregationMethod.glad])
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_crowd_kit_finds_the_truth_among_mixed_workers(method: AggregationMethod) -> None:
    tasks, shown = world(30)
    lenient = Rules(5, SentinelRule.accepted, NO_STOPPING)  # so that some coin-flippers get through
    responses = collect(tasks, shown, lenient, crew(seed=1, **MIXED))
    ballot = count_votes(tasks, responses, lenient, counting(method))
    items = [slot for task in tasks for slot in task.items]
    right = [(slot.image_id in (ballot.accepted or ())) == (shown[slot.image_id] == "mug") for slot in items]
    assert np.mean(right) >= 0.99


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_majority_and_alpha_are_those_of_crowd_kit() -> None:
    import pandas as pd
    from crowdkit.aggregation import MajorityVote
    from crowdkit.metrics.data import alpha_krippendorff

    tasks, shown = world(4)
    odd = Rules(7, SentinelRule.both, NO_STOPPING)  # no ties
    ballot = count_votes(tasks, collect(tasks, shown, odd, crew(**MIXED)), odd, counting())
    rows = [(vote.image_id, vote.worker, vote.can_recognise or vote.can_use) for vote in ballot.votes]
    frame = pd.DataFrame(rows, columns=["task", "worker", "label"])
    frame["label"] = np.where(frame["label"], "yes", "no")
    majority = MajorityVote().fit_predict(frame)
    assert ballot.accepted == frozenset(majority[majority == "yes"].index)
    assert ballot.statistics.plain()["alpha"] == pytest.approx(alpha_krippendorff(frame), abs=1e-5)


def test_sentinels_drop_each_kind_of_worker_as_often_as_computed() -> None:
    tasks, shown = world(400)
    people = hire(crew(num_workers=40, careful=1.0, careless=1.0, always_yes=1.0, coin=1.0))
    responses = [
        answer_task(worker, task, shown, seed=3)
        for number, task in enumerate(tasks)
        for worker in people[number % 4 :: 4]
    ]
    ballot = count_votes(tasks, responses, RULES, counting())
    asked = collections.Counter(one.worker.rsplit("-", 1)[0] for one in responses)
    dropped = collections.Counter(row["worker"].rsplit("-", 1)[0] for row in ballot.tables["dropped"])
    expected = {"careful": Habits(0.95), "careless": Habits(0.75), "coin": COIN}
    for kind, habits in expected.items():
        chance = 1 - pass_chance(SentinelDesign(), habits)
        spread = 4 * (chance * (1 - chance) / asked[kind]) ** 0.5
        assert dropped[kind] / asked[kind] == pytest.approx(chance, abs=spread), kind
    assert dropped["always_yes"] == asked["always_yes"] > 500
    assert all(
        "another object" in row["reason"] for row in ballot.tables["dropped"] if "yes" in row["worker"]
    )


def test_the_workers_table_tells_a_coin_flipper_from_a_careful_worker() -> None:
    tasks, shown = world(40)
    loose = Rules(10, SentinelRule.accepted, NO_STOPPING)
    ballot = count_votes(tasks, collect(tasks, shown, loose, crew(**MIXED)), loose, counting())
    agrees: dict[str, list[float]] = collections.defaultdict(list)
    for row in ballot.tables["workers"]:
        if row["compared"] >= 16:
            agrees[row["worker"].rsplit("-", 1)[0]].append(row["agrees_with_others"] / row["compared"])
    assert np.mean(agrees["careful"]) > 0.9 > 0.8 > np.mean(agrees["coin"])


def test_a_task_is_asked_for_until_it_has_its_qualified_responses() -> None:
    (task,), shown = world(1)
    careful = hire(WorkersConfig(12, **CAREFUL, careful_accuracy=1.0, careless_accuracy=1.0, seed=0))
    good = [answer_task(worker, task, shown, seed=0) for worker in careful]
    bad = Response("t0", "bad", tuple(Judgement(slot.position, True, True, 1.0) for slot in task.slots))
    assert missing_responses([task], [], RULES) == {"t0": 10}
    assert missing_responses([task], [*good[:4], bad], RULES) == {"t0": 6}
    assert missing_responses([task], good[:10], RULES) == {}


def test_stopping_early_saves_votes_and_keeps_the_truth() -> None:
    tasks, shown = world(60)
    early = Rules(10, SentinelRule.both, STOPPING)
    full, stopped = (collect(tasks, shown, rules, crew(**CAREFUL)) for rules in (RULES, early))
    assert len(stopped) < 0.9 * len(full)
    ballot = count_votes(tasks, stopped, early, counting())
    items = [slot for task in tasks for slot in task.items]
    right = [(slot.image_id in (ballot.accepted or ())) == (shown[slot.image_id] == "mug") for slot in items]
    assert np.mean(right) >= 0.99


def test_the_bias_of_stopping_is_reported_and_removed() -> None:
    """Every vote accepts with chance 0.75: agreement is 0.75 and alpha 0, but images that begin unanimously stop."""
    rng = np.random.default_rng(0)
    tasks = [Task(f"t{n}", (Slot(0, f"i{n}", "mug", SlotRole.ITEM),)) for n in range(1500)]
    early = Rules(10, SentinelRule.both, StoppingConfig(True, 3, 0.8, True, 0.8))
    votes = iter((rng.random(15_000) < 0.75).tolist())
    responses: list[Response] = []
    while missing := missing_responses(tasks, responses, early):
        for task_id in (task_id for task_id, count in missing.items() for _ in range(count)):
            says = next(votes)
            responses.append(Response(task_id, f"w{len(responses)}", (Judgement(0, says, says, 1.0),)))
    found = count_votes(tasks, responses, early, counting()).statistics.plain()
    assert found["acceptance_all_votes"] > 0.80 and found["alpha_all_votes"] > 0.04
    assert found["acceptance"] == pytest.approx(0.75, abs=0.02)
    assert found["alpha"] == pytest.approx(0.0, abs=0.03)


def test_the_rules_survive_the_way_through_tasks_json() -> None:
    rules = Rules(7, SentinelRule.use, STOPPING)
    assert read_rules(plain_rules(rules)) == rules


def test_the_crew_has_the_configured_shares() -> None:
    kinds = collections.Counter(worker.kind for worker in hire(crew(num_workers=10, **MIXED)))
    assert kinds == {"careful": 6, "careless": 2, "always_yes": 1, "coin": 1}


def test_a_crew_without_anybody_is_refused() -> None:
    nobody: dict[str, Any] = dict.fromkeys(MIXED, 0.0)
    with pytest.raises(ConfigError, match="there must be at least one worker"):
        hire(crew(**nobody))


def test_votes_can_be_counted_without_crowd_kit_and_its_absence_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "crowdkit.aggregation", None)
    tasks, shown = world(1)
    responses = collect(tasks, shown, RULES, crew(**CAREFUL))
    assert count_votes(tasks, responses, RULES, counting()).accepted
    with pytest.raises(
        ConfigError, match=r"qc/aggregation=glad needs crowdkit.* pip install 'imagenetd\[qc\]'"
    ):
        count_votes(tasks, responses, RULES, counting(AggregationMethod.glad))
