"""Shared-failure mining, with numbers small enough to check by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from imagenetd.errors import ConfigError
from imagenetd.records import LabelSpace
from imagenetd.scoring.mining import (
    accepted_classes,
    easy_images,
    num_failures,
    resolve_min_failures,
    shared_failures,
)
from tests import simulated

CORRECT = np.array([[True, False, False], [True, True, False]])  # two surrogates, three images


def test_accepted_classes_follow_the_order_of_the_categories() -> None:
    space = LabelSpace("four", "any-of-ids", 4, {"mug": (0, 2), "sock": (3,)})
    assert accepted_classes(space, ["sock", "mug"]).tolist() == [
        [False, False, False, True],
        [True, False, True, False],
    ]


def test_an_image_one_surrogate_gets_right_is_not_a_shared_failure_of_two() -> None:
    assert shared_failures(CORRECT, min_failures=2).tolist() == [False, False, True]
    assert shared_failures(CORRECT, min_failures=1).tolist() == [False, True, True]


def test_easy_images_are_those_that_all_surrogates_get_right() -> None:
    assert easy_images(CORRECT).tolist() == [True, False, False]


def test_failures_are_counted_over_the_surrogates() -> None:
    assert num_failures(CORRECT).tolist() == [0, 1, 2]


def test_null_means_all_surrogates() -> None:
    assert resolve_min_failures(None, num_surrogates=4) == 4


def test_more_failures_than_surrogates_name_the_set_and_the_limit() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve_min_failures(5, num_surrogates=4, surrogates="surrogates=four_tiny")
    assert str(caught.value) == (
        "mining.min_failures is 5, but surrogates=four_tiny holds only 4 models. "
        "Set mining.min_failures to 4 or less, or choose a larger surrogate set."
    )


@pytest.mark.parametrize("asked", [0, -1])
def test_fewer_than_one_failure_is_refused(asked: int) -> None:
    with pytest.raises(ConfigError, match=f"min_failures is {asked}, .* between 1 and 2"):
        shared_failures(CORRECT, min_failures=asked)


def test_an_empty_surrogate_set_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs at least one"):
        resolve_min_failures(None, num_surrogates=0)


tables_of_answers = st.tuples(st.integers(1, 5), st.integers(1, 40)).flatmap(
    lambda shape: arrays(bool, shape)
)


@settings(max_examples=50, deadline=None)
@given(tables_of_answers)
def test_surrogates_score_exactly_zero_on_the_set_that_they_mined_with_k_equal_n(correct: np.ndarray) -> None:
    mined = shared_failures(correct, min_failures=correct.shape[0])
    scores = simulated.scores(
        correct,
        models=[(f"surrogate_{row}", "surrogate") for row in range(correct.shape[0])],
        kinds=["texture"] * correct.shape[1],
        nuisances=["grid"] * correct.shape[1],
        sets={"mined": mined},
    )
    assert {score.num_correct for score in scores} == {0}
    assert {score.num_images for score in scores} == {int(mined.sum())}


@settings(max_examples=50, deadline=None)
@given(tables_of_answers)
def test_a_larger_k_mines_a_subset_and_never_an_easy_image(correct: np.ndarray) -> None:
    sets = [shared_failures(correct, min_failures=k) for k in range(1, correct.shape[0] + 1)]
    for smaller_k, larger_k in zip(sets, sets[1:], strict=False):
        assert not (larger_k & ~smaller_k).any()
    assert (sets[0] == ~easy_images(correct)).all()
