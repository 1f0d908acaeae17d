"""Hard sentinels: which images votes have settled, how they stand in tasks, and what they do to workers."""

import collections
import dataclasses

import numpy as np
import pytest

from imagenetd.config.qc import SentinelRule
from imagenetd.errors import ConfigError
from imagenetd.qc.gold import gold_images
from imagenetd.qc.odds import COIN, Habits, SentinelDesign, odds_lines, pass_chance
from imagenetd.qc.task_design import DesignPool, design_tasks, num_items_per_task
from imagenetd.qc.tasks import Slot, SlotRole
from tests.test_qc_design import numbers, pool


def gold(*votes: str, share: float = 0.6) -> list[int]:
    """Read the votes of each image: `b` both yes, `r` recognise alone, `u` use alone, `n` neither."""
    image = np.repeat(np.arange(len(votes)), [len(one) for one in votes])
    said = np.array(list("".join(votes)))
    recognise, use = np.isin(said, ["b", "r"]), np.isin(said, ["b", "u"])
    return gold_images(image, recognise, use, num_images=len(votes), share=share).tolist()


def test_ten_equal_votes_settle_a_share_of_06_and_nine_or_one_that_differs_do_not() -> None:
    assert gold("b" * 10, "n" * 10, "b" * 9, "n" * 9, "b" * 9 + "n", "b" + "n" * 9) == [1, -1, 0, 0, 0, 0]


def test_seven_equal_votes_settle_a_half_and_fourteen_a_share_of_07() -> None:
    assert gold("b" * 7, "n" * 7, "b" * 6, share=0.5) == [1, -1, 0]
    assert gold("b" * 14, "n" * 14, "b" * 13, share=0.7) == [1, -1, 0]


def test_one_settled_question_makes_no_sentinel() -> None:
    """All recognise it, half would use it: it is accepted for certain, but "both" would drop good workers."""
    assert gold("br" * 10, "r" * 10, "nu" * 10, "b" * 10 + "r" * 2) == [0, 0, 0, 0]


def test_an_image_without_votes_is_never_gold() -> None:
    assert gold("", "b" * 10) == [0, 1]


def test_images_on_which_workers_are_split_are_rarely_gold() -> None:
    """An answer that 0.6 of all workers give is settled as above 0.6 in 1% of all images at most."""
    rng = np.random.default_rng(0)
    size, most = 20_000, 40
    says = rng.random((size, most)) < 0.6
    image = np.repeat(np.arange(size), most)
    found = gold_images(image, says.ravel(), says.ravel(), num_images=size, share=0.6)
    assert (found != 0).mean() <= 0.01


def hard_pool() -> tuple[DesignPool, np.ndarray]:
    """200 images, of which 32 are to be judged; three others are settled to be valid, two not to be."""
    made, judged = pool(200, 32)
    outside = np.flatnonzero(~judged)
    settled = np.zeros(200, dtype=np.int8)
    settled[outside[:3]], settled[outside[3:5]] = 1, -1
    settled[np.flatnonzero(judged)[:6]] = 1  # settled, but asked about now
    return dataclasses.replace(made, gold=settled), judged


def test_hard_sentinels_stand_once_ask_for_their_own_category_and_never_come_twice() -> None:
    made, judged = hard_pool()
    config = numbers(num_hard_positive=1, num_hard_negative=1, images_per_task=22)
    tasks = design_tasks(made, judged, ~judged, config).tasks
    assert made.gold is not None and len(tasks) == 2
    value = dict(zip(made.image_ids, made.gold.tolist(), strict=True))
    own = dict(zip(made.image_ids, [made.categories[n] for n in made.label], strict=True))
    shown: list[Slot] = [slot for task in tasks for slot in task.slots]
    for role, sign in ((SlotRole.HARD_POSITIVE, 1), (SlotRole.HARD_NEGATIVE, -1)):
        found = [slot for slot in shown if slot.role is role]
        assert [value[slot.image_id] for slot in found] == [sign, sign]
        assert all(slot.category == own[slot.image_id] for slot in found)
        assert all([slot.image_id for slot in shown].count(one.image_id) == 1 for one in found)
    for task in tasks:
        assert collections.Counter(slot.role for slot in task.slots) == {
            SlotRole.ITEM: 16,
            SlotRole.POSITIVE: 1,
            SlotRole.NEGATIVE: 1,
            SlotRole.CONSISTENCY: 2,
            SlotRole.HARD_POSITIVE: 1,
            SlotRole.HARD_NEGATIVE: 1,
        }
    items = {slot.image_id for task in tasks for slot in task.items}
    assert items == {made.image_ids[n] for n in np.flatnonzero(judged)}


def test_an_image_that_votes_settled_not_to_show_its_object_is_no_easy_sentinel() -> None:
    made, judged = pool(40, 16)
    plenty = numbers(
        num_positive=8, num_negative=8, images_per_task=34
    )  # all but 6 of the 24 others, 2 in training
    settled = np.zeros(40, dtype=np.int8)
    settled[np.flatnonzero(~judged)[:6]] = -1
    made = dataclasses.replace(made, gold=settled)
    found = design_tasks(made, judged, ~judged, plenty)
    shown = {slot.image_id for task in found.tasks for slot in task.slots}
    shown |= {slot.image_id for slot in found.training}
    assert shown == {made.image_ids[n] for n in np.flatnonzero(settled == 0)}


def test_where_nothing_is_settled_the_tasks_are_as_without_votes() -> None:
    made, judged = hard_pool()
    plain = dataclasses.replace(made, gold=None)
    nothing = dataclasses.replace(made, gold=np.zeros(200, dtype=np.int8))
    first = design_tasks(plain, judged, ~judged, numbers()).tasks
    again = design_tasks(nothing, judged, ~judged, numbers()).tasks
    assert [task.slots for task in first] == [task.slots for task in again]


def test_too_few_settled_images_are_refused_with_their_number() -> None:
    made, judged = hard_pool()
    with pytest.raises(
        ConfigError, match=r"2 tasks need 4 hard sentinels that do not show .* settle only 2 "
    ):
        design_tasks(made, judged, ~judged, numbers(num_hard_negative=2, images_per_task=22))


def test_hard_sentinels_take_places_of_a_task() -> None:
    assert num_items_per_task(numbers(num_hard_positive=2, num_hard_negative=1)) == 13
    assert num_items_per_task(numbers(num_hard_positive=2, sentinels_count=False)) == 20


def test_the_calculator_counts_hard_sentinels_once() -> None:
    plan = SentinelDesign(1, 0, 0, SentinelRule.accepted, num_hard_positive=1, num_hard_negative=1)
    assert pass_chance(plan, COIN) == pytest.approx(0.75 * 0.75 * 0.25)
    assert pass_chance(plan, Habits(0.95)) == pytest.approx(0.95**3)
    assert "0 consistency, 1 hard positive, 1 hard negative, binding accepted" in odds_lines(plan, 0.95)[0]
    assert "always says yes passes never" in odds_lines(plan, 0.95)[1]
