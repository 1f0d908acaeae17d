"""Tasks and votes at their limits: the last sentinel, ties, the first votes, workers without votes."""

import collections
from typing import Any

import numpy as np
import pytest

from imagenetd.config.qc import (
    AggregationConfig,
    AggregationMethod,
    Repeats,
    SentinelRule,
    StoppingConfig,
    TaskDesignConfig,
)
from imagenetd.errors import ConfigError
from imagenetd.qc.completion import Rules
from imagenetd.qc.counting import count_votes
from imagenetd.qc.stopping import fixed_images, settled_images, wealth
from imagenetd.qc.task_design import (
    DESIGN_VERSION,
    Design,
    DesignPool,
    confusion,
    cut,
    design_tasks,
    num_items_per_task,
)
from imagenetd.qc.tasks import Judgement, Response, Slot, SlotRole, Task

PAPER: dict[str, Any] = {
    "images_per_task": 20,
    "sentinels_count": True,
    "num_positive": 1,
    "num_negative": 1,
    "num_consistency": 2,
    "repeats": Repeats.clear,
    "sentinel_rule": SentinelRule.both,
    "workers_per_image": 10,
    "positive_min_correct": None,
    "max_confusion": 0.02,
    "num_unmined": 0,
    "num_rejected": 0,
    "num_hard_positive": 0,
    "num_hard_negative": 0,
    "hard_votes": None,
    "hard_share": 0.6,
    "seed": 0,
}
CATEGORIES = ("mug", "sock", "bell")


def numbers(**changes: Any) -> TaskDesignConfig:
    return TaskDesignConfig(**PAPER | changes)


def pool(correct: list[list[bool]], label: list[int]) -> DesignPool:
    """Surrogates that are right, or name no category."""
    right, of_image = np.array(correct), np.array(label)
    predicted = np.where(right, of_image, -1)
    return DesignPool([f"i{n}" for n in range(len(label))], CATEGORIES, of_image, predicted, right)


def easy(num_images: int, num_judged: int) -> tuple[DesignPool, np.ndarray]:
    """Three surrogates are wrong on the first images and right on the others, of three categories by turns."""
    judged = np.arange(num_images) < num_judged
    return pool(np.tile(~judged, (3, 1)).tolist(), [n % 3 for n in range(num_images)]), judged


def made(num_images: int, num_judged: int, **changes: Any) -> Design:
    images, judged = easy(num_images, num_judged)
    return design_tasks(images, judged, ~judged, numbers(**changes))


def of_role(found: Design, role: SlotRole) -> list[Slot]:
    slots = [slot for task in found.tasks for slot in task.slots]
    return [slot for slot in (*slots, *found.training) if slot.role is role]


# Tasks


def test_no_sentinel_image_is_given_twice_up_to_the_last_one() -> None:
    # 2 tasks of 8 items, and 2 x (2 positives + 3 negatives) + 1 + 1 of training: 28 images are just enough.
    changes = {"num_positive": 2, "num_negative": 3, "num_consistency": 0, "images_per_task": 13}
    found = made(28, 16, **changes)
    images = [s.image_id for role in (SlotRole.POSITIVE, SlotRole.NEGATIVE) for s in of_role(found, role)]
    assert sorted(images) == sorted(f"i{n}" for n in range(16, 28))
    assert collections.Counter(s.role for s in found.tasks[0].slots) == {
        SlotRole.ITEM: 8,
        SlotRole.POSITIVE: 2,
        SlotRole.NEGATIVE: 3,
    }
    with pytest.raises(ConfigError, match=r"^1 tasks need more positive sentinels"):
        made(27, 16, **changes)


@pytest.mark.parametrize("seed", range(5))
def test_negatives_are_distinct_images_that_ask_for_another_category(seed: int) -> None:
    found = made(90, 30, num_negative=5, num_consistency=0, seed=seed)
    negatives = of_role(found, SlotRole.NEGATIVE)
    assert len({slot.image_id for slot in negatives}) == len(negatives) == 5 * len(found.tasks) + 1
    assert all(CATEGORIES[int(slot.image_id[1:]) % 3] != slot.category for slot in negatives)
    assert {slot.category for slot in negatives} == set(CATEGORIES)


def test_a_positive_needs_the_asked_number_of_surrogates_and_a_negative_all_of_them() -> None:
    # i0 is judged; two, one and no surrogate of three is right on i1, i2 and i3; all are right on i4 to i7.
    right = [[False] * 3, [True, True, False], [True, False, False], [False] * 3, *[[True] * 3] * 4]
    images = pool(np.array(right).T.tolist(), [0, 1, 2, 0, 1, 2, 0, 1])
    judged = np.arange(8) == 0
    for least, allowed in ((2, {1}), (1, {1, 2}), (3, set()), (None, set())):
        seen = set()
        for seed in range(30):
            changes = {"positive_min_correct": least, "num_consistency": 0, "seed": seed}
            found = design_tasks(images, judged, ~judged, numbers(**changes))
            seen |= {int(slot.image_id[1:]) for slot in of_role(found, SlotRole.POSITIVE)}
            assert {int(s.image_id[1:]) for s in of_role(found, SlotRole.NEGATIVE)} <= {4, 5, 6, 7}
        assert seen == {4, 5, 6, 7} | allowed


def test_a_category_that_is_taken_for_another_by_just_the_allowed_share_is_clear() -> None:
    # Surrogates call 1 of 4 mugs a sock, never the other way; a quarter is allowed or a little less.
    label = np.array([0] * 4 + [1] * 4 + [0, 1])
    predicted = np.tile(label, (2, 1))
    predicted[:, 3] = 1
    images = DesignPool([f"i{n}" for n in range(10)], CATEGORIES[:2], label, predicted, predicted == label)
    judged = np.arange(10) >= 9
    assert confusion(images).tolist() == [[0.8, 0.2], [0.0, 1.0]]
    changes = {"num_consistency": 0, "num_positive": 1, "num_negative": 1}
    found = design_tasks(images, judged, ~judged, numbers(max_confusion=0.2, **changes))
    assert len(of_role(found, SlotRole.NEGATIVE)) == 2
    with pytest.raises(
        ConfigError, match=r"^1 tasks need more negative sentinels .* only 8 images"
    ) as caught:
        design_tasks(images, judged, ~judged, numbers(max_confusion=0.19, **changes))
    assert "qc.tasks.num_negative or, for negatives, raise qc.tasks.max_confusion." in str(caught.value)


def test_confusion_of_a_category_without_images_is_nothing() -> None:
    images = DesignPool(["a"], ["x", "y"], np.array([0]), np.array([[1], [-1]]), np.array([[False], [False]]))
    assert confusion(images).tolist() == [[0.0, 0.5], [0.0, 0.0]]


def test_the_items_of_a_task_leave_room_for_its_sentinels() -> None:
    assert num_items_per_task(numbers()) == 16
    assert num_items_per_task(numbers(sentinels_count=False)) == 20
    assert num_items_per_task(numbers(num_positive=2, num_negative=3, num_consistency=5)) == 10
    assert num_items_per_task(numbers(images_per_task=5)) == 1
    assert num_items_per_task(numbers(images_per_task=6, repeats=Repeats.items)) == 2
    assert num_items_per_task(numbers(images_per_task=3, num_consistency=0, repeats=Repeats.items)) == 1
    for changes, remedy in (
        ({"images_per_task": 4}, "leaves 0 images .* beside 4 sentinels. Set it to 5 or more"),
        ({"images_per_task": 5, "repeats": Repeats.items}, "leaves 1 images .* Set it to 6 or more"),
        ({"images_per_task": 2, "num_consistency": 0, "repeats": Repeats.items}, "Set it to 3 or more"),
        ({"num_positive": 2, "num_consistency": 4}, "only 2 positive and 1 negative"),
    ):
        with pytest.raises(ConfigError, match=remedy):
            num_items_per_task(numbers(**changes))


def test_the_sizes_of_tasks_differ_by_one_and_sum_to_all() -> None:
    for size in (1, 3, 16):
        for items in range(1, 60):
            sizes = cut(items, size)
            assert sum(sizes) == items and len(sizes) == (items + size - 1) // size
            assert max(sizes) - min(sizes) <= 1 and sizes == sorted(sizes, reverse=True)


def test_tasks_are_numbered_from_zero_and_their_slots_too() -> None:
    found = made(100, 33)
    assert [task.task_id for task in found.tasks] == ["t00000", "t00001", "t00002"]
    assert [len(task.items) for task in found.tasks] == [11, 11, 11]
    for task in found.tasks:
        assert [slot.position for slot in task.slots] == list(range(15))
    assert [slot.position for slot in found.training] == [0, 1]


def test_repeats_are_as_equal_as_can_be_and_each_of_another_image() -> None:
    found = made(60, 10, num_positive=3, num_negative=2, num_consistency=4)
    repeats = [slot for slot in found.tasks[0].slots if slot.role is SlotRole.CONSISTENCY]
    first = {s.image_id: s for s in found.tasks[0].slots if s.role is not SlotRole.CONSISTENCY}
    assert len({slot.image_id for slot in repeats}) == 4
    assert collections.Counter(first[slot.image_id].role for slot in repeats) == {
        SlotRole.POSITIVE: 2,
        SlotRole.NEGATIVE: 2,
    }
    assert all(first[slot.image_id].category == slot.category for slot in repeats)


def test_unmined_images_are_drawn_from_the_others_that_are_not_judged() -> None:
    images, judged = easy(60, 10)
    others = np.arange(60) < 14  # of which ten are judged
    found = design_tasks(images, judged, others, numbers(num_unmined=3))
    assert len(found.unmined) == 3 and set(found.unmined) < {"i10", "i11", "i12", "i13"}
    everything = design_tasks(images, judged, others, numbers(num_unmined=99))
    assert set(everything.unmined) == {"i10", "i11", "i12", "i13"}
    alone = design_tasks(images, ~judged & False, others, numbers(num_unmined=2))
    assert len(alone.unmined) == 2 and len(alone.tasks) == 1


def test_nothing_to_judge_needs_no_training() -> None:
    images, judged = easy(9, 0)
    assert design_tasks(images, judged, ~judged, numbers()) == Design((), (), ())


def test_the_tasks_of_a_seed_stay_as_they_are() -> None:
    # Votes refer to tasks: where this moves, DESIGN_VERSION must be raised.
    found = made(30, 5, num_consistency=1)
    assert DESIGN_VERSION == 2
    assert [(s.image_id, s.category, s.role.value) for s in found.tasks[0].slots] == [
        ("i1", "sock", "item"),
        ("i27", "bell", "negative"),
        ("i11", "bell", "positive"),
        ("i0", "mug", "item"),
        ("i11", "bell", "consistency"),
        ("i3", "mug", "item"),
        ("i4", "sock", "item"),
        ("i2", "bell", "item"),
    ]


# Votes


NO_STOPPING = StoppingConfig(False, 3, 0.99, False, 0.8)


def counting(min_share: float = 0.5) -> AggregationConfig:
    return AggregationConfig(AggregationMethod.majority, min_share, 0.95)


def asked(says: dict[str, str], *, images: int) -> tuple[list[Task], list[Response]]:
    """One task of so many images; a worker's `yn-` is yes to the first, no to the second."""
    task = Task("t", tuple(Slot(n, f"i{n}", "mug", SlotRole.ITEM) for n in range(images)))
    responses = [
        Response("t", worker, tuple(Judgement(n, one == "y", one == "y", 1.0) for n, one in enumerate(words)))
        for worker, words in says.items()
    ]
    return [task], responses


def workers(says: dict[str, str], *, images: int) -> dict[str, dict[str, Any]]:
    rules = Rules(10, SentinelRule.both, NO_STOPPING)
    rows = count_votes(*asked(says, images=images), rules, counting()).tables["workers"]
    return {str(row["worker"]): {k: v for k, v in row.items() if k != "worker"} for row in rows}


def test_a_vote_is_compared_with_the_majority_of_the_others_and_not_with_a_tie() -> None:
    # i0: yes yes no. For a and b the others are one yes, one no: a tie. For c they are two yes.
    # i1: yes yes yes: each agrees. i2: yes no no: a is against two, for b and c the others tie.
    found = workers({"a": "yyy", "b": "yyn", "c": "nyn"}, images=3)
    assert {name: (row["agrees_with_others"], row["compared"]) for name, row in found.items()} == {
        "a": (1, 2),
        "b": (1, 1),
        "c": (1, 2),
    }
    assert [row["share_accepted"] for row in found.values()] == [1.0, 2 / 3, 1 / 3]
    assert {(row["responses"], row["dropped"], row["votes"]) for row in found.values()} == {(1, 0, 3)}


def test_of_two_votes_each_is_compared_with_the_other_and_a_single_one_with_none() -> None:
    assert [
        (row["agrees_with_others"], row["compared"])
        for row in workers({"a": "yyn", "b": "yny"}, images=3).values()
    ] == [(1, 3), (1, 3)]
    (alone,) = workers({"a": "yn"}, images=2).values()
    assert (alone["compared"], alone["share_accepted"], alone["votes"]) == (0, 0.5, 2)


def test_a_vote_against_three_others_is_compared_with_their_majority() -> None:
    # yes yes no no: for a yes the others are 1 : 2, for a no 2 : 1, so nobody agrees; yes yes yes no: three agree.
    found = workers({"a": "yy", "b": "yy", "c": "ny", "d": "nn"}, images=2)
    assert {name: (row["agrees_with_others"], row["compared"]) for name, row in found.items()} == {
        "a": (1, 2),
        "b": (1, 2),
        "c": (1, 2),
        "d": (0, 2),
    }


def test_a_dropped_response_gives_no_vote_but_is_told() -> None:
    slots = (Slot(0, "easy", "mug", SlotRole.POSITIVE), Slot(1, "i1", "mug", SlotRole.ITEM))
    answers = {"good": (True, True), "bad": (False, True), "also": (True, False)}
    responses = [
        Response("t", name, tuple(Judgement(n, say, say, 1.0) for n, say in enumerate(says)))
        for name, says in answers.items()
    ]
    rules = Rules(10, SentinelRule.both, NO_STOPPING)
    ballot = count_votes([Task("t", slots)], responses, rules, counting())
    assert ballot.tables["dropped"] == [
        {"task": "t", "worker": "bad", "reason": "said no to an image that shows the object (1)"}
    ]
    found = {row["worker"]: row for row in ballot.tables["workers"]}
    assert [found[name]["dropped"] for name in answers] == [0, 1, 0]
    assert [found[name]["votes"] for name in answers] == [1, 0, 1]
    assert found["bad"]["share_accepted"] == 0
    assert {
        key: ballot.statistics.plain()[key] for key in ("responses", "responses_dropped", "workers", "votes")
    } == {
        "responses": 3,
        "responses_dropped": 1,
        "workers": 3,
        "votes": 2,
    }
    assert ballot.statistics.plain()["judgements"] == 6 and ballot.accepted == frozenset()


@pytest.mark.parametrize(("min_share", "accepted"), [(0.5, {"i0"}), (0.49, {"i0", "i1"}), (0.75, set())])
def test_an_image_is_accepted_by_more_than_the_share(min_share: float, accepted: set[str]) -> None:
    # i0: 3 of 4; i1: 2 of 4; i2: none.
    given = asked({"a": "yyn", "b": "yyn", "c": "ynn", "d": "nnn"}, images=3)
    ballot = count_votes(*given, Rules(10, SentinelRule.both, NO_STOPPING), counting(min_share))
    assert ballot.accepted == accepted


def test_with_stopping_the_first_votes_alone_tell_the_agreement() -> None:
    # The first two votes on i0 are yes yes, on i1 yes no; later ones are no and yes.
    early = StoppingConfig(True, 2, 0.99, False, 0.8)
    given = asked({"a": "yy", "b": "yn", "c": "ny", "d": "ny"}, images=2)
    found = count_votes(*given, Rules(10, SentinelRule.both, early), counting()).statistics.plain()
    assert found["acceptance"] == pytest.approx((1 + 0.5) / 2)
    assert found["acceptance_all_votes"] == pytest.approx((2 / 4 + 3 / 4) / 2)
    whole = count_votes(*given, Rules(10, SentinelRule.both, NO_STOPPING), counting()).statistics.plain()
    assert whole["acceptance"] == pytest.approx(0.625) and "acceptance_all_votes" not in whole
    low, high = whole["acceptance_interval"]
    assert 0 < low < 0.625 < high < 1 and (whole["alpha"], found["alpha_all_votes"]) == (None, None)
    # Of the first two votes on each image one pair of two says the same; of all four 2 of 6 and 3 of 6.
    assert found["pairwise_agreement"] == 0.5
    assert whole["pairwise_agreement"] == pytest.approx((2 / 6 + 3 / 6) / 2, abs=1e-6)


def test_numbers_of_a_ballot_have_six_digits_and_none_is_null() -> None:
    found = count_votes(
        *asked({"a": "yyn", "b": "yyy", "c": "yyy"}, images=3),
        Rules(10, SentinelRule.both, NO_STOPPING),
        counting(),
    )
    assert found.statistics.plain()["acceptance"] == 0.888889
    alike = count_votes(
        *asked({"a": "y", "b": "y"}, images=1), Rules(10, SentinelRule.both, NO_STOPPING), counting()
    )
    assert alike.statistics.plain()["alpha"] is None and alike.statistics.plain()["acceptance"] == 1.0


# Stopping


def test_the_wealth_is_the_mixture_of_bets() -> None:
    # W = w 1[all yes] m^-n + (1 - w) / (1 - m) * integral over q from m to 1 of (q / m)^yes ((1 - q) / (1 - m))^no
    for yes, votes, share in ((0, 0, 0.3), (2, 2, 0.3), (1, 3, 0.3), (4, 9, 0.6), (0, 2, 0.6)):
        q = np.linspace(share, 1, 200_001)
        bet = (q / share) ** yes * ((1 - q) / (1 - share)) ** (votes - yes)
        mixture = float(np.trapezoid(bet, q)) / (1 - share)
        expected = 0.75 * (share**-votes if yes == votes else 0) + 0.25 * mixture
        assert wealth(np.array([yes]), np.array([votes]), share=share)[0] == pytest.approx(expected, rel=1e-6)


def test_nobody_can_bet_on_a_share_above_one() -> None:
    assert wealth(np.array([0, 3]), np.array([2, 3]), share=1.0).tolist() == [1.0, 1.0]


def test_an_image_is_settled_where_either_side_has_won() -> None:
    rule = StoppingConfig(True, 3, 0.95, False, 0.8)
    yes, votes = np.array([5, 0, 4, 1, 2]), np.array([5, 5, 4, 5, 2])
    assert settled_images(yes, votes, rule).tolist() == [True, True, False, False, False]
    # 4 equal votes are worth 0.75 / 0.4^4 + ... = 30 where 40% accept: settled as yes; as no 0.6^-4 is too little.
    assert settled_images(np.array([4, 0]), np.array([4, 4]), rule, share=0.4).tolist() == [True, False]


def test_a_decision_is_fixed_at_the_last_vote_that_can_change_it() -> None:
    found = fixed_images(np.array([5, 6, 5, 4, 5]), np.array([9, 9, 10, 9, 12]), most=10)
    assert found.tolist() == [False, True, True, True, True]
