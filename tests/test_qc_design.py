"""Tasks: every image once, sentinels by the rules, no worker twice before one image."""

import collections
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagenetd.config.qc import Repeats, SentinelRule, TaskDesignConfig
from imagenetd.errors import ConfigError
from imagenetd.qc.completion import next_workers
from imagenetd.qc.judgements import judgement_table
from imagenetd.qc.sentinels import sentinel_failures
from imagenetd.qc.task_design import Design, DesignPool, confusion, cut, design_tasks
from imagenetd.qc.tasks import Judgement, Response, Slot, SlotRole

PAPER: dict[str, Any] = {
    "images_per_task": 20,
    "sentinels_count": True,
    "num_positive": 1,
    "num_negative": 1,
    "num_consistency": 2,
    "num_hard_positive": 0,
    "num_hard_negative": 0,
    "hard_votes": None,
    "hard_share": 0.6,
    "repeats": Repeats.clear,
    "sentinel_rule": SentinelRule.both,
    "workers_per_image": 10,
    "positive_min_correct": None,
    "max_confusion": 0.02,
    "num_unmined": 0,
    "seed": 0,
}
CATEGORIES = ["mug", "sock", "bell"]


def numbers(**changes: Any) -> TaskDesignConfig:
    return TaskDesignConfig(**PAPER | changes)


def design(made: DesignPool, judged: np.ndarray, config: TaskDesignConfig) -> Design:
    return design_tasks(made, judged, ~judged, config)


def pool(num_images: int, num_mined: int, *, seed: int = 0) -> tuple[DesignPool, np.ndarray]:
    """Three categories, three surrogates: wrong together on the mined images, right on the others."""
    rng = np.random.default_rng(seed)
    label = rng.integers(3, size=num_images)
    judged = np.zeros(num_images, dtype=bool)
    judged[rng.permutation(num_images)[:num_mined]] = True
    predicted = np.tile(np.where(judged, -1, label), (3, 1))
    ids = [f"i{n}" for n in range(num_images)]
    return DesignPool(ids, CATEGORIES, label, predicted, predicted == label), judged


@given(num_mined=st.integers(1, 120), seed=st.integers(0, 9), counts=st.booleans())
@settings(max_examples=30, deadline=None)
def test_every_image_is_an_item_once_and_every_sentinel_stands_once(
    num_mined: int, seed: int, counts: bool
) -> None:
    made, judged = pool(300, num_mined, seed=seed)
    tasks = design_tasks(made, judged, ~judged, numbers(seed=seed, sentinels_count=counts)).tasks
    items = [slot.image_id for task in tasks for slot in task.items]
    assert sorted(items) == sorted(f"i{n}" for n in np.flatnonzero(judged))
    shown = [{slot.image_id for slot in task.slots} for task in tasks]
    assert sum(map(len, shown)) == len(set.union(*shown))  # no image in two tasks
    assert max(len(task.slots) for task in tasks) <= (20 if counts else 24)
    assert [slot.position for slot in tasks[0].slots] == list(range(len(tasks[0].slots)))


def test_a_full_task_holds_16_items_and_the_sentinels_of_the_paper() -> None:
    (task,) = design(*pool(100, 16), numbers()).tasks
    roles = collections.Counter(slot.role for slot in task.slots)
    assert roles == {
        SlotRole.ITEM: 16,
        SlotRole.POSITIVE: 1,
        SlotRole.NEGATIVE: 1,
        SlotRole.CONSISTENCY: 2,
    }
    repeated = {slot.image_id for slot in task.slots if slot.role is SlotRole.CONSISTENCY}
    sentinels = {s.image_id for s in task.slots if s.role in (SlotRole.POSITIVE, SlotRole.NEGATIVE)}
    assert repeated == sentinels and len(repeated) == 2


def test_only_clear_images_come_twice_and_a_repeat_asks_for_the_same_object() -> None:
    config = numbers(num_positive=2, num_negative=1, num_consistency=2)
    for task in design(*pool(200, 60), config).tasks:
        asked = {s.image_id: (s.role, s.category) for s in task.slots if s.role is not SlotRole.CONSISTENCY}
        twice = [(asked[s.image_id], s.category) for s in task.slots if s.role is SlotRole.CONSISTENCY]
        assert sorted(role.value for (role, _), _ in twice) == ["negative", "positive"]
        assert all(category == again for (_, category), again in twice)


def test_items_come_twice_when_that_is_asked_for() -> None:
    (task,) = design(*pool(100, 16), numbers(repeats=Repeats.items)).tasks
    repeated = {slot.image_id for slot in task.slots if slot.role is SlotRole.CONSISTENCY}
    assert repeated <= {slot.image_id for slot in task.items} and len(repeated) == 2


def test_more_repeats_than_clear_images_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"num_consistency=3 .* only 1 positive and 1 negative sentinels for.*repeats=items"
    ):
        design(*pool(100, 16), numbers(num_consistency=3))


def test_a_worker_who_wavers_on_doubtful_images_alone_is_never_dropped() -> None:
    """39% of such honest responses were dropped where images to be judged came twice and 20% of them were doubtful."""
    rng = np.random.default_rng(0)
    for repeats, least, most in ((Repeats.clear, 0.0, 0.0), (Repeats.items, 0.1, 0.4)):
        made, judged = pool(1200, 640)
        tasks = design(made, judged, numbers(repeats=repeats)).tasks
        doubtful = {f"i{n}" for n in np.flatnonzero(judged) if rng.random() < 0.2}
        responses = []
        for task in tasks:
            says = [
                bool(rng.random() < 0.5) if slot.image_id in doubtful else _is_shown(made, slot)
                for slot in task.slots
            ]
            answers = (Judgement(n, say, say, 1.0) for n, say in enumerate(says))
            responses.append(Response(task.task_id, "careful", tuple(answers)))
        failures = sentinel_failures(judgement_table(tasks, responses), SentinelRule.both)
        assert least <= (~failures.is_qualified).mean() <= most


def _is_shown(made: DesignPool, slot: Slot) -> bool:
    return made.categories[made.label[int(slot.image_id[1:])]] == slot.category


def test_no_negative_sentinel_is_given_twice_and_each_asks_for_another_category() -> None:
    made, judged = pool(200, 60)
    found = design(made, judged, numbers(num_negative=3))
    negatives = [s for task in found.tasks for s in (*task.slots,) if s.role is SlotRole.NEGATIVE]
    negatives += [slot for slot in found.training if slot.role is SlotRole.NEGATIVE]
    assert len({slot.image_id for slot in negatives}) == len(negatives) == 3 * len(found.tasks) + 1
    assert not any(_is_shown(made, slot) for slot in negatives)


def test_a_positive_asks_for_its_own_category_and_a_negative_for_one_that_nobody_sees_in_it() -> None:
    made, judged = pool(200, 60)
    made.predicted[0, np.flatnonzero(~judged & (made.label == 0))[:5]] = 1  # some take a mug for a sock
    made = DesignPool(made.image_ids, CATEGORIES, made.label, made.predicted, made.predicted == made.label)
    own = {f"i{n}": CATEGORIES[label] for n, label in enumerate(made.label)}
    all_right = {f"i{n}" for n in np.flatnonzero(made.correct.all(axis=0))}
    negatives = []
    for task in design_tasks(made, judged, ~judged, numbers()).tasks:
        for slot in task.slots:
            if slot.role is SlotRole.POSITIVE:
                assert slot.image_id in all_right and own[slot.image_id] == slot.category
            if slot.role is SlotRole.NEGATIVE:
                assert slot.image_id in all_right
                negatives.append({own[slot.image_id], slot.category})
    assert negatives and {"mug", "sock"} not in negatives
    assert all(len(pair) == 2 for pair in negatives)


def test_confusion_is_the_share_of_answers_for_each_pair() -> None:
    label = np.array([0, 0, 1])
    predicted = np.array([[0, 1, 1], [0, -1, 1]])  # two surrogates
    made = DesignPool(["a", "b", "c"], ["x", "y"], label, predicted, predicted == label)
    assert confusion(made).tolist() == [[0.5, 0.25], [0.0, 1.0]]


def test_images_left_over_are_spread_over_all_tasks() -> None:
    assert cut(35, 16) == [12, 12, 11]
    assert cut(16, 16) == [16] and cut(1, 16) == [1]


def test_the_same_seed_gives_the_same_tasks_and_another_seed_others() -> None:
    made, judged = pool(100, 30)
    first, again, other = (design_tasks(made, judged, ~judged, numbers(seed=seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_unmined_images_are_judged_among_the_mined() -> None:
    made, judged = pool(100, 10)
    found = design_tasks(made, judged, ~judged, numbers(num_unmined=6))
    items = {slot.image_id for task in found.tasks for slot in task.items}
    assert len(found.unmined) == 6 and len(items) == 16
    assert set(found.unmined) == items - {f"i{n}" for n in np.flatnonzero(judged)}


def test_the_training_examples_stand_in_no_task() -> None:
    made = design(*pool(100, 30), numbers())
    assert [slot.role for slot in made.training] == [SlotRole.NEGATIVE, SlotRole.POSITIVE]
    shown = {slot.image_id for task in made.tasks for slot in task.slots}
    assert shown.isdisjoint({slot.image_id for slot in made.training})


def test_a_pool_without_enough_sentinels_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"need more positive sentinels .* only 5 images .* lower"):
        design(*pool(105, 100), numbers())


def test_a_task_too_small_for_its_sentinels_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"leaves 1 images .* Set it to 6 or more"):
        design(*pool(100, 10), numbers(images_per_task=5, repeats=Repeats.items))
    with pytest.raises(ConfigError, match=r"leaves 0 images .* Set it to 5 or more"):
        design(*pool(100, 10), numbers(images_per_task=4))


def test_nothing_to_judge_makes_no_task() -> None:
    assert design(*pool(50, 0), numbers()).tasks == ()


def test_workers_get_equal_loads_and_no_task_twice() -> None:
    workers = [f"w{n}" for n in range(7)]
    tasks = [f"t{n}" for n in range(10)]
    handed = next_workers(tasks, dict.fromkeys(tasks, 5), {}, workers)
    assert len(handed) == len(set(handed)) == 50
    loads = collections.Counter(worker for _, worker in handed)
    assert max(loads.values()) - min(loads.values()) <= 1


def test_a_worker_who_had_a_task_does_not_get_it_again() -> None:
    assert next_workers(["t"], {"t": 3}, {"t": ["a", "b"]}, ["a", "b", "c"]) == [("t", "c")]
