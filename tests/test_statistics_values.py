"""The numbers that the statistics give today, to nine digits, on small uneven counts and at their limits.

Where no line says how a number was found, it is what the code gives: it shows that the number has moved, not that it is
right. What shows that an interval is right is its coverage (tests/slow).
"""

from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import beta, hypergeom, kendalltau, norm
from scipy.stats import t as student

from imagenetd.reports.calibration import calibrate
from imagenetd.scoring.statistics import bootstrap
from imagenetd.scoring.statistics.bootstrap import interval_of, ratio, resampled_sums
from imagenetd.scoring.statistics.family import accuracy_without, family_log_odds
from imagenetd.scoring.statistics.independence import independent_share
from imagenetd.scoring.statistics.intervals import (
    Estimate,
    clustered_difference,
    clustered_share,
    clustered_subset_difference,
    degrees_of_freedom_of,
    newcombe_difference,
    share_from_error,
    simultaneous_confidence,
    subset_difference,
    wilson_interval,
    zero_events_bound,
)
from imagenetd.scoring.statistics.jackknife import jackknife_interval
from imagenetd.scoring.statistics.paired import (
    error_consistency,
    kappa_interval,
    mcnemar_p_value,
    model_differences,
    pair_counts,
    rank_bounds,
)
from imagenetd.scoring.statistics.power import POWER_REACH, detectable_difference
from imagenetd.scoring.statistics.shrinkage import shrink
from imagenetd.scoring.statistics.slices import (
    best_slices,
    excess_p_values,
    memberships,
    slice_scores,
    slice_sums,
)
from imagenetd.scoring.statistics.strata import adjusted_p_values, compare_in_strata, compare_with_rest
from imagenetd.scoring.statistics.subsets import (
    choose_subsets,
    failure_codes,
    is_mined,
    rank_agreement,
)
from imagenetd.scoring.statistics.variance import (
    cell_correlation,
    variance_components,
    variance_components_left_out,
    variance_shares,
)


def numbers(found: Any) -> list[Any]:
    """Return an estimate, or several arrays, as plain numbers."""
    if isinstance(found, Estimate):
        return [np.asarray(one).tolist() for one in (found.value, found.error, found.low, found.high)]
    parts = found if isinstance(found, list | tuple) else [found]
    return [np.asarray(one, dtype=float).tolist() for one in parts]


def same(found: Any, expected: list[Any]) -> bool:
    """Tell whether all numbers are equal to nine digits, NaN to NaN."""
    given = numbers(found)
    return len(given) == len(expected) and all(
        np.shape(one) == np.shape(other)
        and np.allclose(one, np.array(other, dtype=float), rtol=1e-8, atol=1e-9, equal_nan=True)
        for one, other in zip(given, expected, strict=True)
    )


IMAGES = np.array([12, 30, 7, 21, 4])
RIGHT_A, RIGHT_B = np.array([9, 18, 7, 15, 1]), np.array([6, 20, 3, 17, 2])
HARD_RIGHT, HARD = np.array([0, 0, 1, 0, 0]), np.array([1, 3, 1, 0, 2])


def test_the_share_over_uneven_clusters() -> None:
    assert same(clustered_share(RIGHT_A, IMAGES), [0.6756756757, 0.06061651517, 0.3149382471, 0.9260029272])
    assert same(
        clustered_share(RIGHT_A, IMAGES, confidence=0.9),
        [0.6756756757, 0.06061651517, 0.4244346297, 0.868756272],
    )


def test_the_share_over_clusters_of_which_one_is_empty() -> None:
    # Two clusters are the fewest that say something.
    assert same(
        clustered_share(np.array([9, 0, 7]), np.array([12, 0, 7])),
        [0.8421052632, 0.1280021535, 1.343761163e-10, 1.0],
    )
    columns = clustered_share(np.array([[9, 0], [18, 0]]), np.array([[12, 30], [21, 8]]))
    assert same(
        columns,
        [[0.8181818182, 0.0], [0.05469576368, 0.0], [0.01821339824, 0.0], [0.9999999853, 0.7753808593]],
    )


def test_the_share_where_nothing_varies() -> None:
    assert same(clustered_share(IMAGES, IMAGES), [1.0, 0.0, 0.5282456002, 1.0])
    assert same(
        clustered_share(np.array([10, 10, 9]), np.full(3, 10)),
        [0.9666666667, 0.03333333333, 0.49973687, 0.999999999],
    )
    assert same(clustered_share(np.zeros(3), np.zeros(3)), [np.nan, np.nan, 0.0, 1.0])


def test_the_difference_of_two_models_over_uneven_clusters() -> None:
    assert same(
        clustered_difference(RIGHT_A, IMAGES, RIGHT_B, IMAGES),
        [0.02702702703, 0.09422308979, -0.4461798029, 0.4864027646],
    )
    assert same(
        clustered_difference(RIGHT_A, IMAGES, RIGHT_B, IMAGES, confidence=0.9),
        [0.02702702703, 0.09422308979, -0.3106617128, 0.3544444115],
    )
    assert same(
        clustered_difference(RIGHT_A, IMAGES, RIGHT_A, IMAGES),
        [0.0, 9.313225746e-10, -0.1104101771, 0.1104101771],
    )
    assert same(clustered_difference(IMAGES, IMAGES, 0 * IMAGES, IMAGES), [1.0, 0.0, 0.3328385298, 1.0])


def test_differences_of_several_columns_are_those_of_each() -> None:
    images = np.array([[10.0, 30.0], [20.0, 5.0], [15.0, 12.0], [8.0, 9.0]])
    first, second = images * [[0.9, 0.2], [0.5, 0.4], [0.8, 0.5], [0.25, 1.0]], images * 0.5
    both = clustered_difference(first, images, second, images)
    for column in range(2):
        alone = clustered_difference(*(part[:, column] for part in (first, images, second, images)))
        assert (both.low[column], both.high[column]) == pytest.approx((float(alone.low), float(alone.high)))


def test_the_drop_to_a_subset_over_uneven_clusters() -> None:
    assert same(
        clustered_subset_difference(RIGHT_A, IMAGES, HARD_RIGHT, HARD),
        [0.5328185328, 0.1146495858, -0.041486819, 0.6349175799],
    )
    inside = np.array([4, 9, 2, 3, 0]), np.array([8, 16, 3, 6, 2])
    assert same(
        clustered_subset_difference(RIGHT_A, IMAGES, *inside),
        [0.1343629344, 0.0527073632, -0.2276588234, 0.3525056363],
    )
    assert same(
        clustered_subset_difference(RIGHT_A, IMAGES, *inside, confidence=0.9),
        [0.1343629344, 0.0527073632, -0.1260251138, 0.3237810213],
    )


def test_the_drop_to_a_subset_of_many_of_few_of_no_and_of_all_images() -> None:
    # Drops by hand: 50/80 - 3/20, 50/80 - 43/71 with nine left out and with ten, unknown, and 0.
    whole = np.array([50, 50, 50, 20, 9]), np.array([80, 80, 80, 30, 10])
    inside = np.array([3, 43, 43, 0, 9]), np.array([20, 71, 70, 0, 10])
    found = subset_difference(*whole, *inside)
    by_hand = [50 / 80 - 3 / 20, 50 / 80 - 43 / 71, 50 / 80 - 43 / 70, np.nan, 0]
    assert np.allclose(found.value, by_hand, equal_nan=True)
    assert same(
        found,
        [
            [0.475, 0.01936619718, 0.01071428571, np.nan, 0.0],
            [0.07195195156, 0.01690061345, 0.01951955736, np.nan, np.nan],
            [0.2934994075, -0.03397279102, -0.02940631305, -1.0, -0.3029823478],
            [0.5723013665, 0.0738915839, 0.03884990849, 1.0, 0.1246791144],
        ],
    )
    assert same(
        subset_difference(*(np.array(n) for n in (50, 80, 3, 20)), confidence=0.9),
        [0.475, 0.07195195156, 0.3263934507, 0.561578773],
    )


def test_the_difference_of_shares_of_other_images() -> None:
    counts = (np.array([56, 0, 3]), np.array([70, 0, 4]), np.array([48, 3, 0]), np.array([80, 9, 0]))
    assert same(
        newcombe_difference(*counts),
        [
            [0.2, np.nan, np.nan],
            [0.072702918, np.nan, np.nan],
            [0.0524314724, -1.0, -1.0],
            [0.333872654, 1.0, 1.0],
        ],
    )
    assert same(
        newcombe_difference(*counts, confidence=0.9),
        [
            [0.2, np.nan, np.nan],
            [0.072702918, np.nan, np.nan],
            [0.07656419154, -1.0, -1.0],
            [0.3136445836, 1.0, 1.0],
        ],
    )


def test_wilsons_interval_of_none_one_and_two_images() -> None:
    low, high = wilson_interval(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 2]))
    z2 = norm.ppf(0.975) ** 2
    assert low.tolist() == pytest.approx([0, 0, 1 / (1 + z2), 0.5 - np.sqrt(z2 / (8 + 4 * z2))])
    assert high.tolist() == pytest.approx([1, z2 / (1 + z2), 1, 0.5 + np.sqrt(z2 / (8 + 4 * z2))])
    low, high = wilson_interval(np.array([0]), np.array([1]), confidence=0.9)
    assert high.tolist() == pytest.approx([norm.ppf(0.95) ** 2 / (1 + norm.ppf(0.95) ** 2)])


def test_bounds_at_another_confidence() -> None:
    assert zero_events_bound(np.array([1, 2, 0]), confidence=0.9).tolist() == pytest.approx(
        [0.95, 1 - 0.05**0.5, 1.0]
    )
    assert simultaneous_confidence(2, confidence=0.81) == pytest.approx(0.9)


def test_a_share_with_a_known_error_is_that_of_the_effective_number_of_images() -> None:
    # Error 0.05 with t of 7 degrees: p (1 - p) / (0.05 t / z)^2 images; error 0.01 says no more than 100 images.
    reach = 0.05 * student.ppf(0.975, 7) / norm.ppf(0.975)
    effective = 0.21 / reach**2
    low, high = share_from_error(
        np.full(3, 0.3),
        np.array([0.05, 0.01, 0.05]),
        num_images=np.array([100, 100, 0]),
        degrees_of_freedom=7,
    )
    ends = [
        (beta.ppf(0.025, 0.3 * n, 0.7 * n + 1), beta.ppf(0.975, 0.3 * n + 1, 0.7 * n))
        for n in (effective, 100)
    ]
    assert low.tolist() == pytest.approx([ends[0][0], ends[1][0], 0])
    assert high.tolist() == pytest.approx([ends[0][1], ends[1][1], 1])


def test_a_share_with_a_known_error_needs_a_degree_of_freedom() -> None:
    given = (np.array([0.3]), np.array([0.05]))
    wide = share_from_error(*given, num_images=np.array([100]), degrees_of_freedom=1, confidence=0.9)
    assert same(wide, [[0.04508796374], [0.7121514791]])
    low, high = share_from_error(*given, num_images=np.array([100]), degrees_of_freedom=0)
    assert (low.tolist(), high.tolist()) == ([0.0], [1.0])
    low, _ = share_from_error(
        np.array([0.5]), np.array([0.0]), num_images=np.array([1]), degrees_of_freedom=1
    )
    assert low.tolist() == pytest.approx([beta.ppf(0.025, 0.5, 1.5)])


def test_degrees_of_freedom_are_at_least_one() -> None:
    assert float(degrees_of_freedom_of(np.array([1.0]), np.array([0.2]))) == 1.0
    found = degrees_of_freedom_of(np.array([[0.5, 0.2], [0.3, 0.2], [0.2, 0.6]]), np.full((3, 2), 0.2))
    assert same(found, [[1.380279728, 1.189829226]])


def test_the_jackknife_on_a_scale_of_its_own_leaves_empty_clusters_out() -> None:
    found = jackknife_interval(
        np.array(0.4),
        np.array([0.35, 0.45, 0.5, 0.9]),
        num_images=np.array([4.0, 8, 2, 0]),
        bounds=(0.0, 1.0),
        scale=logit,
        back=expit,
        confidence=0.9,
    )
    error = np.sqrt(((logit([0.35, 0.45, 0.5]) - logit(0.4)) ** 2).sum())
    assert float(found.error) == pytest.approx((expit(logit(0.4) + error) - expit(logit(0.4) - error)) / 2)
    assert same(found, [0.4, 0.1182873586, 0.08191322883, 0.8328136975])


def test_the_jackknife_of_two_clusters_keeps_inside_its_bounds() -> None:
    found = jackknife_interval(np.array(0.4), np.array([0.3, 0.5]), num_images=np.ones(2), bounds=(0.1, 0.9))
    assert same(found, [0.4, 0.02**0.5, 0.1, 0.9])


# Bootstrap


def test_the_interval_of_resamples_by_hand() -> None:
    # Deviation of 0.2, 0.4, 0.9 about their mean 0.5: sqrt(0.26 / 2); four clusters: x sqrt(4 / 3), t of 3 degrees.
    drawn = np.array([[0.2], [0.4], [0.9], [np.nan]])
    found = interval_of(np.array([0.5]), drawn, num_clusters=4, bounds=(-9.0, 9.0))
    error = np.sqrt(0.13 * 4 / 3)
    reach = student.ppf(0.975, 3) * error
    assert same(found, [[0.5], [error], [0.5 - reach], [0.5 + reach]])
    found = interval_of(np.array([0.5]), drawn, num_clusters=2, bounds=(-9.0, 9.0), confidence=0.9)
    reach = student.ppf(0.95, 1) * np.sqrt(0.13 * 2)
    assert same(found, [[0.5], [np.sqrt(0.26)], [0.5 - reach], [0.5 + reach]])


def test_the_interval_of_resamples_keeps_inside_its_bounds_and_knows_nothing_of_nothing() -> None:
    drawn = np.array([[0.2, 0.1, np.nan], [0.4, 0.3, np.nan], [0.9, 0.2, np.nan]])
    found = interval_of(np.array([0.5, np.nan, 0.7]), drawn, num_clusters=3, bounds=(0.0, 1.0))
    assert (found.low.tolist(), found.high.tolist()) == ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0])
    assert np.isnan(found.error).tolist() == [False, True, True]
    one = interval_of(np.array([0.5]), drawn[:, :1], num_clusters=1, bounds=(-1.0, 2.0))
    assert same(one, [[0.5], [np.nan], [-1.0], [2.0]])


def test_two_resamples_are_the_fewest_that_tell_an_error() -> None:
    drawn = np.array([[0.7, 0.7], [np.nan, 0.5], [np.nan, np.nan]])
    found = interval_of(np.array([0.7, 0.6]), drawn, num_clusters=3, bounds=(0.0, 1.0))
    assert (found.low[0], found.high[0]) == (0.0, 1.0)  # one resample: no width, but no knowledge either
    assert same(found.error, [[np.nan, np.sqrt(0.02 * 3 / 2)]])


def test_resamples_do_not_depend_on_how_many_are_held_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    at_once = resampled_sums(sums, num_draws=7, seed=5)
    assert at_once[:, 0].tolist() == [9.0, 8.0, 7.0, 4.0, 5.0, 3.0, 6.0]
    for held in (1, 3, 6, 9, 1000):
        monkeypatch.setattr(bootstrap, "MAX_WEIGHTS", held)
        assert (resampled_sums(sums, num_draws=7, seed=5) == at_once).all()


def test_the_ratio_of_nothing_is_not_a_number() -> None:
    assert same(ratio(np.array([3, 1, 0]), np.array([6, 0, 2])), [[0.5, np.nan, 0.0]])


# Pairs of models


def test_mcnemar_at_small_counts() -> None:
    # 2 x P(at most the fewer of n fair coins), at most 1.
    found = mcnemar_p_value(np.array([1, 6, 0, 3, 4, 0]), np.array([6, 1, 0, 3, 5, 1]))
    assert found.tolist() == pytest.approx([16 / 128, 16 / 128, 1, 1, 1, 1])


def test_kappa_of_mistakes_that_exclude_each_other() -> None:
    n, right = np.array([10.0, 4.0, 0.0]), np.array([5.0, 2.0, 0.0])
    assert same(error_consistency(n, right, right, np.array([0.0, 1.0, 0.0])), [[-1.0, 0.0, np.nan]])


def test_an_empty_cluster_has_no_pairs() -> None:
    correct = np.array([[True, False, True], [True, True, False]])
    pairs = (np.array([0, 1]), np.array([1, 0]))
    found = pair_counts(correct, np.ones_like(correct), pairs, cluster=np.array([2, 0, 2]))
    assert found.images.tolist() == [[1, 1], [2, 2]] and found.both.tolist() == [[0, 0], [1, 1]]
    assert found.right_a.tolist() == found.right_b[:, ::-1].tolist() == [[0, 1], [2, 1]]


MOVES = np.array([3.0, -3, 6, -6, 0])


@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_ranks_are_told_apart_beyond_the_t_of_their_clusters(confidence: float) -> None:
    # Five clusters of 100 images; the gap moves by 3, -3, 6, -6 and 0 images: sqrt(5 / 4 x 90) / 500, 4 degrees.
    limit = student.ppf(0.5 + confidence / 2, 4) * np.sqrt(90 * 5 / 4) / 5
    for gap, worst_of_best in ((limit - 1e-6, 2), (limit + 1e-6, 1)):
        right = np.stack([50 + gap + MOVES, np.full(5, 50.0)], axis=1)
        for order in ([0, 1], [1, 0]):
            low, high = rank_bounds(right[:, order], np.full(5, 100.0), confidence=confidence)
            expected = np.array([[1, worst_of_best], [3 - worst_of_best, 2]])[order]
            assert np.stack([low, high], axis=1).tolist() == expected.tolist()


def test_three_models_are_three_comparisons() -> None:
    limit = student.ppf(0.5 + 0.95 ** (1 / 3) / 2, 4) * np.sqrt(90 * 5 / 4) / 5
    for gap, lowest in ((limit - 1e-6, [1, 1, 1]), (limit + 1e-6, [1, 2, 2])):
        right = np.stack([50 + gap + MOVES, np.full(5, 50.0), np.full(5, 50.0)], axis=1)
        low, high = rank_bounds(right, np.full(5, 100.0))
        assert low.tolist() == lowest and high.tolist() == [4 - lowest[1] if lowest[1] == 1 else 1, 3, 3]


def test_differences_of_models_over_uneven_clusters() -> None:
    right = np.stack([RIGHT_A, RIGHT_B, RIGHT_A], axis=1).astype(np.float64)
    found = model_differences(right, IMAGES.astype(np.float64))
    assert same(
        (found.difference, found.error, found.degrees_of_freedom),
        [
            [[0.0, 0.02702702703, 0.0], [-0.02702702703, 0.0, -0.02702702703], [0.0, 0.02702702703, 0.0]],
            [
                [0.01351351351, 0.09440155374, 0.01351351351],
                [0.09440155374, 0.01351351351, 0.09440155374],
                [0.01351351351, 0.09440155374, 0.01351351351],
            ],
            1.888021683,
        ],
    )
    alike = model_differences(np.full((2, 2), 7.0), np.full(2, 10.0))
    # Models that never differ: one image in 20 could, so an error of 1 / 20.
    assert alike.difference.tolist() == [[0, 0], [0, 0]] and alike.error.tolist() == [[0.05, 0.05]] * 2


def test_one_cluster_or_one_model_leaves_every_rank() -> None:
    right = np.array([[900.0, 100, 500], [900, 100, 500]])
    low, high = rank_bounds(right[:1], np.full(1, 1000.0))
    assert (low.tolist(), high.tolist()) == ([1, 1, 1], [3, 3, 3])
    low, high = rank_bounds(right, np.full(2, 1000.0))
    # One degree of freedom, so 38 errors of independent images: 34 points for a gap of 80, 42 for one of 40.
    assert low.tolist() == [1, 2, 1]
    low, high = rank_bounds(right[:, :1], np.full(2, 1000.0))
    assert (low.tolist(), high.tolist()) == ([1], [1])


def test_the_interval_of_kappa_on_fishers_scale() -> None:
    images = IMAGES.astype(np.float64)
    both = np.array([5.0, 15, 3, 13, 1])
    columns = [
        np.stack([one, other], axis=1)
        for one, other in ((RIGHT_A, images), (RIGHT_B, RIGHT_B), (both, RIGHT_B))
    ]
    found = kappa_interval(images, *(one.astype(np.float64) for one in columns))
    assert same(
        found,
        [
            [0.2756933116, np.nan],
            [0.1239847852, 0.008875104628],
            [-0.3234871741, np.nan],
            [0.7108088999, np.nan],
        ],
    )
    assert np.isnan(found.value[1])  # always right: no mistakes to compare
    few = kappa_interval(np.full(2, 10.0), *(np.full((2, 1), number) for number in (8.0, 8.0, 7.0)))
    assert np.isnan(few.value).all()  # four mistakes
    five = kappa_interval(
        np.array([10.0, 15.0]), *(np.array([[a], [b]]) for a, b in ((8.0, 12.0), (8.0, 12.0), (7.0, 11)))
    )
    assert same(five, [[0.5], [0.130659702], [-0.9247234633], [0.9895847777]])


# Strata


STRATA = (
    np.array([[3.0], [4], [0]]),
    np.array([[5.0], [6], [0]]),
    np.array([[2.0], [1], [3]]),
    np.array([[8.0], [2], [4]]),
)
"""Categories 3/5 against 2/8 and 4/6 against 1/2; the third has no image of the group."""


@pytest.mark.parametrize("times", [1, 3, 40])
def test_the_stratified_test_by_hand(times: int) -> None:
    correct, images, other, others = (times * part for part in STRATA)
    found = compare_in_strata(correct, images, other, others)
    gap = np.array([3 / 5 - 2 / 8, 4 / 6 - 1 / 2])
    weight = np.array([5 * 8 / 13, 6 * 2 / 8])
    assert found.difference.tolist() == pytest.approx([(weight * gap).sum() / weight.sum()])
    expected = times * (5 * 5 / 13 + 6 * 5 / 8)
    if min(expected, 11 * times - expected) >= 25:
        variance = sum(
            times * n * m * r * (t - r) / (t**2 * (t - 1 / times))
            for n, m, r, t in ((5, 8, 5, 13), (6, 2, 5, 8))
        )
        assert found.p_value.tolist() == pytest.approx(
            [2 * norm.sf((7 * times - expected) / np.sqrt(variance))]
        )
    else:
        counts = np.arange(12 * times)
        first = hypergeom.pmf(counts, 13 * times, 5 * times, 5 * times)
        second = hypergeom.pmf(counts, 8 * times, 5 * times, 6 * times)
        both = np.convolve(first, second)
        tails = both[7 * times :].sum(), both[: 7 * times + 1].sum()
        assert found.p_value.tolist() == pytest.approx([min(1, 2 * min(tails))])
    error = gap.std(ddof=1) / np.sqrt(2)
    assert found.mean_difference.tolist() == pytest.approx([gap.mean()])
    reach = student.ppf(0.975, 1) * error
    assert found.low.tolist() == pytest.approx([max(gap.mean() - reach, -1)])
    assert found.high.tolist() == pytest.approx([min(gap.mean() + reach, 1)])
    p_other = 2 * student.sf(gap.mean() / error, 1)
    assert found.p_other_categories.tolist() == pytest.approx([max(p_other, found.p_value[0])])


def test_the_other_way_round_the_difference_has_the_other_sign() -> None:
    correct, images, other, others = (part[:2] for part in STRATA)
    found = compare_in_strata(correct, images, other, others)
    less = compare_in_strata(other, others, correct, images)
    assert less.p_value.tolist() == pytest.approx(found.p_value.tolist())
    assert less.difference.tolist() == pytest.approx((-found.difference).tolist())
    assert less.low.tolist() == pytest.approx((-found.high).tolist())
    rare = compare_in_strata(images - correct, images, others - other, others)
    assert rare.p_value.tolist() == pytest.approx(found.p_value.tolist())


def test_the_exact_test_starts_below_25_expected_mistakes() -> None:
    # Half of 100 are right: 25 of 50 expected, or 24.5 of 49.
    half = compare_in_strata(*(np.array([[n]]) for n in (30.0, 50.0, 20.0, 50.0)))
    assert half.p_value.tolist() == pytest.approx(
        [2 * norm.sf(5 / np.sqrt(50 * 50 * 50 * 50 / (100**2 * 99)))]
    )
    fewer = compare_in_strata(*(np.array([[n]]) for n in (29.0, 49.0, 20.0, 49.0)))
    assert fewer.p_value.tolist() == pytest.approx([2 * hypergeom.sf(28, 98, 49, 49)])


def test_one_category_says_nothing_of_others_and_equal_answers_nothing_at_all() -> None:
    one, none = np.array([[1.0]]), np.array([[0.0]])
    found = compare_in_strata(one, one, none, one)
    assert (found.difference.tolist(), found.p_value.tolist()) == ([1.0], [1.0])
    assert np.isnan([found.low, found.high, found.p_other_categories]).all()
    assert np.isnan(compare_in_strata(one, one, one, one).p_value).all()


def test_each_group_is_compared_with_all_others() -> None:
    correct, images = np.array([[3.0, 1, 2], [4, 2, 0]]), np.array([[5.0, 4, 2], [6, 3, 1]])
    found = compare_with_rest(correct, images)
    for group in range(3):
        others = [column for column in range(3) if column != group]
        alone = compare_in_strata(
            correct[:, [group]],
            images[:, [group]],
            correct[:, others].sum(axis=1, keepdims=True),
            images[:, others].sum(axis=1, keepdims=True),
        )
        assert found.difference[group] == pytest.approx(alone.difference[0])
        assert found.p_value[group] == pytest.approx(alone.p_value[0])


def test_without_a_test_nothing_is_adjusted() -> None:
    assert np.isnan(adjusted_p_values(np.full(2, np.nan))).all()
    assert adjusted_p_values(np.array([0.2, 0.01])).tolist() == pytest.approx([0.2, 0.02])


# Shrinkage


def test_shrunken_accuracies_of_uneven_groups() -> None:
    assert same(
        shrink(np.array([0, 5, 10, 5, 2]), np.array([10, 10, 12, 8, 2])),
        [
            [0.07587431653, 0.5024890667, 0.7931783514, 0.6061535618, 0.7961072921],
            [0.0001910101548, 0.230394152, 0.5407900154, 0.2962017885, 0.2782119671],
            [0.3294835311, 0.7737620135, 0.9586629926, 0.8735247953, 0.9991964834],
        ],
    )
    assert same(
        shrink(np.array([3, 0]), np.array([4, 0]), confidence=0.9),
        [[0.6942965883, 0.5879128055], [0.3456629277, 0.02786515355], [0.9503820817, 0.9971223941]],
    )


def test_shrinkage_is_the_same_whether_pairs_are_counted_or_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    from imagenetd.scoring.statistics import shrinkage

    correct, images = np.array([0, 5, 5, 300]), np.array([10, 600, 600, 511])
    sorted_pairs = shrink(correct, images)
    assert same(
        sorted_pairs,
        [
            [0.02339377169, 0.008768675186, 0.008768675186, 0.5860270967],
            [2.243897881e-08, 0.002956285235, 0.002956285235, 0.5430739076],
            [0.1574936358, 0.01764784685, 0.01764784685, 0.6283427318],
        ],
    )
    monkeypatch.setattr(shrinkage, "MAX_TABLED", 1000)
    assert same(shrink(correct, images), numbers(sorted_pairs))


def test_shrinkage_keeps_its_digits_among_millions_of_images() -> None:
    million = np.full(3, 10**6)
    mean, low, high = shrink(np.array([10**6, 10**6 - 1, 10**6 // 2]), million)
    assert (1 - mean)[:2] == pytest.approx([7.64e-8, 1.0764e-6], rel=0.01)
    # One wrong of a million: Clopper and Pearson give 2.5e-8 to 5.6e-6.
    assert (1 - low)[:2] == pytest.approx([8.12e-7, 3.85e-6], rel=0.01)
    assert high.tolist()[0] == 1.0 and 1 - high[1] == pytest.approx(3.39e-8, rel=0.01)
    with pytest.raises(ValueError, match="A group has 3,000,000,000 images"):
        shrink(np.array([1]), np.array([3 * 10**9]))


def test_shrinkage_without_any_image_knows_nothing() -> None:
    assert same(shrink(np.array([0, 0]), np.array([0, 0])), [[np.nan] * 2, [0.0] * 2, [1.0] * 2])


# Subsets of surrogates


def test_codes_have_room_for_62_surrogates() -> None:
    codes = failure_codes(np.arange(62)[:, None] != np.array([[0, 61]]))
    assert codes.tolist() == [1, 2**61]
    assert is_mined(codes, np.array([2**62 - 1, 1]), np.array([1, 1])).tolist() == [
        [True, True],
        [True, False],
    ]


def test_the_sample_of_subsets_begins_where_all_of_them_are_too_many() -> None:
    subsets, k = choose_subsets(3, max_rows=11, seed=0)
    rows = list(zip(subsets.tolist(), k.tolist(), strict=True))
    # Three of each size, since 11 // 3 are asked for and there are no more.
    assert rows == [(1, 1), (2, 1), (3, 2), (4, 1), (5, 2), (6, 2), (7, 1), (7, 2), (7, 3)]
    subsets, k = choose_subsets(4, max_rows=8, seed=3)
    rows = list(zip(subsets.tolist(), k.tolist(), strict=True))
    assert rows == [(3, 2), (8, 1), (10, 2), (13, 3), (15, 1), (15, 2), (15, 3), (15, 4)]
    assert rows != list(zip(*(part.tolist() for part in choose_subsets(4, max_rows=8, seed=4)), strict=True))
    assert [part.tolist() for part in choose_subsets(1, max_rows=1, seed=0)] == [[1], [1]]


def test_rank_agreement_is_kendalls_tau_of_the_fair_pairs() -> None:
    accuracy = np.array([[0.1, 0.4, 0.2, 0.3], [0.3, 0.3, 0.1, 0.2], [np.nan] * 4])
    reference = np.array([0.1, 0.2, 0.3, 0.4])
    everything = np.ones((4, 4), bool)
    found = rank_agreement(accuracy, reference, everything)
    assert found[0] == pytest.approx(kendalltau(accuracy[0], reference).statistic)
    assert found[1] == pytest.approx((0 - 1 - 1 - 1 - 1 + 1) / 6) and np.isnan(found[2])
    fair = everything.copy()
    fair[0, 1] = False
    fair[1, 0] = False
    assert rank_agreement(accuracy, reference, fair)[0] == pytest.approx((1 + 1 - 1 - 1 + 1) / 5)
    assert np.isnan(rank_agreement(accuracy, reference, np.eye(4, dtype=bool))).all()


# Slices


def test_the_score_of_a_slice_by_hand() -> None:
    errors, sizes = np.array([[10.0, 6.0], [4.0, 0.0]]), np.array([[40.0, 8.0], [5.0, 0.0]])
    found = slice_scores(errors, sizes, weight=0.9, min_size=5)
    assert found.tolist() == [
        [0.0, pytest.approx(0.9 * (0.75 / 0.25 - 1) - 0.1 * (40 / 8 - 1))],
        [pytest.approx(0.9 * (0.8 / 0.25 - 1) - 0.1 * (40 / 5 - 1)), -np.inf],
    ]
    assert np.isinf(slice_scores(0 * errors, sizes, weight=0.9, min_size=5)).all()
    one = slice_scores(np.array([[1.0]]), np.array([[1.0]]), weight=0.9, min_size=1)
    assert one.tolist() == [[0.0]]


def test_the_best_slices_are_positive_apart_and_no_more_than_asked() -> None:
    rows, columns = memberships([[0, 1, 2], [0], [1], [2]], 3), memberships([[0, 1], [0], [1]], 2)
    score = np.array([[0.0, -1, -1], [9, 8, 2], [1, 7, 0], [0, 0, 5]])
    assert best_slices(score, rows, columns, most=9) == [(1, 0), (2, 1), (3, 2)]
    assert best_slices(score, rows, columns, most=2) == [(1, 0), (2, 1)]
    assert best_slices(score, rows, columns, most=1) == [(1, 0)]
    # The whole row around a better slice is left out, as is the slice within.
    assert best_slices(np.array([[3.0, 4.0, 2.0]]), rows[:1], columns, most=3) == [(0, 1), (0, 2)]


def test_no_slice_of_no_image_is_worse_than_another() -> None:
    nothing = np.zeros((2, 3))
    assert (slice_scores(nothing, nothing, weight=0.9, min_size=1) == -np.inf).all()


def test_sums_of_slices_and_p_values_at_the_limits() -> None:
    rows, columns = memberships([[0, 1], [1]], 2), memberships([[0], [0, 1]], 2)
    assert slice_sums(np.array([[1.0, 2], [4, 8]]), rows, columns).tolist() == [[5, 15], [4, 12]]
    p = excess_p_values(np.array([0, 1, 2]), np.array([2, 1, 2]), all_errors=2, num_images=4)
    assert p.tolist() == pytest.approx([1, 1 / 2, 1 / 6])
    assert excess_p_values(np.array([0]), np.array([0]), all_errors=2, num_images=4).tolist() == [1.0]


# Variance


RIGHT = np.array([[1.0, 3, 0], [2, 2, 1], [0, 4, 1], [3, 1, 2]])
CELLS = np.array([[2.0, 4, 1], [3, 2, 1], [2, 5, 1], [3, 2, 4]])
NAMES = ("category", "nuisance", "interaction", "seed")


def _by_pairs(right: np.ndarray, images: np.ndarray) -> dict[str, float]:
    """Return the components from mean products of the answers of every pair of cells."""
    places = [(c, n) for c, n in np.ndindex(images.shape) if images[c, n] > 0]
    mean = {place: right[place] / images[place] for place in places}

    def over(is_used: Any) -> float:
        return float(np.mean([mean[a] * mean[b] for a in places for b in places if is_used(a, b)]))

    nothing = over(lambda a, b: a[0] != b[0] and a[1] != b[1])
    category = over(lambda a, b: a[0] == b[0] and a[1] != b[1]) - nothing
    nuisance = over(lambda a, b: a[0] != b[0] and a[1] == b[1]) - nothing
    repeated = [place for place in places if images[place] > 1]
    twice = [right[p] * (right[p] - 1) / (images[p] * (images[p] - 1)) for p in repeated]
    seed = float(np.mean([mean[p] for p in repeated]) - np.mean(twice))
    share = float(np.mean(list(mean.values())))
    rest = share - nothing - category - nuisance - seed
    return dict(zip((*NAMES, "total"), (category, nuisance, rest, seed, share - nothing), strict=True))


@pytest.mark.parametrize("empty", [(), (0, 0), (2, 1)])
def test_variance_components_are_means_of_products_of_pairs(empty: tuple[int, ...]) -> None:
    right, images = RIGHT.copy(), CELLS.copy()
    if empty:
        right[empty] = images[empty] = 0
    found = variance_components(right, images)
    for name, number in _by_pairs(right, images).items():
        assert float(getattr(found, name)) == pytest.approx(number), name
    left_out = variance_components_left_out(right, images)
    for category in range(4):
        others = [row for row in range(4) if row != category]
        for name, number in _by_pairs(right[others], images[others]).items():
            assert float(getattr(left_out, name)[category]) == pytest.approx(number), name


def test_variance_components_of_several_models_are_those_of_each() -> None:
    both = variance_components(np.stack([RIGHT, CELLS - RIGHT]), CELLS)
    for row, right in enumerate((RIGHT, CELLS - RIGHT)):
        alone = variance_components(right, CELLS)
        assert [float(getattr(both, name)[row]) for name in NAMES] == pytest.approx(
            [float(getattr(alone, name)) for name in NAMES]
        )


def test_components_without_each_category_have_the_categories_first() -> None:
    both = variance_components_left_out(np.stack([RIGHT, CELLS - RIGHT]), CELLS)
    assert both.category.shape == both.total.shape == (4, 2)
    for column, right in enumerate((RIGHT, CELLS - RIGHT)):
        alone = variance_components_left_out(right, CELLS)
        assert both.category[:, column].tolist() == pytest.approx(alone.category.tolist())
        assert both.seed[:, column].tolist() == pytest.approx(alone.seed.tolist())


def test_variance_shares_with_their_intervals() -> None:
    right = np.array([[8.0, 3, 5], [2, 2, 1], [9, 7, 8], [5, 1, 2], [6, 4, 6]])
    found = variance_shares(right, np.full((5, 3), 10.0))
    assert same(
        [number for name in NAMES for number in numbers(found[name])],
        [
            0.2134459459,
            0.2326294868,
            0.06948205281,
            1.0,
            0.05412162162,
            0.05566745986,
            0.0,
            0.2103570195,
            0.0,
            0.0266908252,
            0.0,
            0.05338165041,
            0.7324324324,
            0.1413565513,
            0.3626688778,
            1.0,
        ],
    )
    found = variance_shares(RIGHT, CELLS, confidence=0.9)
    assert same(
        [number for name in NAMES for number in numbers(found[name])],
        [
            0.0,
            0.25,
            0.0,
            1.0,
            0.0,
            0.270925332,
            0.0,
            0.7636042436,
            0.1462184874,
            0.5611199157,
            0.0,
            1.0,
            0.8537815126,
            0.2713034544,
            0.1342458001,
            1.0,
        ],
    )
    assert same(
        cell_correlation(right, np.full((5, 3), 10.0)), [0.2448624173, 0.1264331431, 0.0, 0.5958970986]
    )


def test_a_category_without_images_says_nothing_of_the_shares() -> None:
    nothing = np.zeros((1, CELLS.shape[1]))
    found = variance_shares(np.vstack([RIGHT, nothing]), np.vstack([CELLS, nothing]))
    for name, alone in variance_shares(RIGHT, CELLS).items():
        assert same(numbers(found[name]), numbers(alone)), name


def test_variance_shares_of_one_category_have_intervals_of_everything() -> None:
    found = variance_shares(RIGHT[:1], CELLS[:1])
    for name in NAMES:
        assert (float(found[name].low), float(found[name].high)) == (0.0, 1.0)
    alike = cell_correlation(np.ones((2, 2)), np.ones((2, 2)))
    assert np.isnan(alike.value) and (float(alike.low), float(alike.high)) == (0.0, 1.0)


# Calibration


def test_bins_hold_their_lower_ends_and_one_falls_into_the_last() -> None:
    confidence = np.array([0.0, 0.25, 0.5, 0.74, 1.0, 0.75])
    correct = np.array([True, False, True, True, False, True])
    found = calibrate(confidence, correct, np.array([0, 0, 0, 0, 0, 1]), num_groups=3, num_bins=4)
    assert found.num_images.tolist() == [[1, 1, 2, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert found.confidence.tolist() == [[0, 0.25, 1.24, 1], [0, 0, 0, 0.75], [0, 0, 0, 0]]
    assert found.num_correct.tolist() == [[1, 0, 2, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert found.squared_gap[0].tolist() == pytest.approx([1, 0.0625, 0.25 + 0.26**2, 1])
    assert same(found.error, [[(1 + 0.25 + 0.76 + 1) / 5, 0.25, np.nan]])
    assert same(found.overconfidence, [[(2.49 - 3) / 5, -0.25, np.nan]])


def test_a_calibrated_model_of_one_image_errs_as_a_coin_of_its_confidence() -> None:
    # One image of confidence p: |right - p| is 1 - p with chance p, p with chance 1 - p: 2 p (1 - p).
    found = calibrate(
        np.array([0.3, 0.9]), np.array([True, True]), np.array([0, 1]), num_groups=2, num_bins=5
    )
    assert found.error_if_calibrated()[0].tolist() == pytest.approx([2 * 0.3 * 0.7, 2 * 0.9 * 0.1])
    # Two images of 0.4 in one bin: 0.8 with chance .36, 0.2 with .48, 1.2 with .16, over two images.
    found = calibrate(np.full(2, 0.4), np.zeros(2, bool), np.zeros(2, int), num_groups=1, num_bins=5)
    mean = (0.8 * 0.36 + 0.2 * 0.48 + 1.2 * 0.16) / 2
    assert found.error_if_calibrated()[0].tolist() == pytest.approx([mean])
    assert same(found.error_if_calibrated(quantile=0.9), [[0.288], [0.5456171841]])


def test_the_calibration_error_of_few_images_with_its_interval() -> None:
    confidence = np.array([0.95, 0.9, 0.55, 0.5, 0.1, 1.0, 0.3, 0.35])
    correct = np.array([1, 0, 1, 0, 0, 1, 1, 0], dtype=bool)
    group = np.array([0, 0, 0, 0, 0, 1, 1, 1])
    found = calibrate(confidence, correct, group, num_groups=3, num_bins=10)
    assert same(
        found.error_interval(),
        [[0.07482370524, 0.01107473728, np.nan], [0.0, 0.0, 0.0], [0.6352218586, 0.7075982262, 1.0]],
    )
    assert same(
        found.error_interval(confidence=0.8),
        [[0.07482370524, 0.01107473728, np.nan], [0.0, 0.0, 0.0], [0.4845762772, 0.5358411166, 1.0]],
    )
    assert same(
        found.error_if_calibrated(), [[0.192075, 0.1974375, np.nan], [0.420391447, 0.3829552027, np.nan]]
    )


def test_the_calibration_error_of_many_images_with_its_interval() -> None:
    place = np.arange(210)
    confidence, correct = 0.3 + 0.69 * (place % 70) / 70, place * 37 % 101 < 45
    found = calibrate(confidence, correct, np.zeros(210, int), num_groups=1, num_bins=7)
    assert same((found.error, found.overconfidence), [[0.2468238095], [0.192452381]])
    assert same(found.error_interval(), [[0.2433654132], [0.1651633658], [0.3101829873]])
    # Nearly as right as it is confident.
    correct = (place * 37 % 101) / 101 < confidence + 0.04
    found = calibrate(confidence, correct, np.zeros(210, int), num_groups=1, num_bins=7)
    assert same(found.error_interval(), [[0.03221258209], [0.0], [0.1074292834]])
    assert same(found.error_if_calibrated(), [[0.05264973146], [0.08595681656]])


# Families, power, independence


def test_the_log_odds_of_a_family_by_hand() -> None:
    # One control, one stratum: of the images that exactly one gets wrong, 12 to 6 where the family fails, 5 to 9 else.
    counts = {(True, True): 12, (True, False): 6, (False, True): 5, (False, False): 9}  # family, target alone
    rows = [pair for pair, count in counts.items() for _ in range(count)]
    family, target = (np.array(column) for column in zip(*rows, strict=True))
    category = np.arange(len(rows)) % 4
    found, deciding = family_log_odds(
        target,
        ~target[None],
        family_fails=family,
        others_failing=np.zeros(len(rows), dtype=np.int64),
        category=category,
        num_categories=4,
    )
    assert float(found.value) == pytest.approx(np.log(12 * 9 / (6 * 5))) and deciding == 32
    assert same(found, [1.280933845, 0.3501201006, 0.1666954248, 2.395172266])


def test_a_family_is_measured_with_five_deciding_images_on_each_side() -> None:
    for short, is_known in ((0, True), (1, False)):
        rows = [(f, t) for f in (True, False) for t in (True, False) for _ in range(5)][short:]
        family, target = (np.array(column) for column in zip(*rows, strict=True))
        found, deciding = family_log_odds(
            target,
            ~target[None],
            family_fails=family,
            others_failing=np.ones(len(rows), dtype=np.int64),
            category=np.arange(len(rows)) % 2,
            num_categories=2,
        )
        assert bool(np.isfinite(found.value)) is is_known and deciding == 20 - short


def test_an_accuracy_without_an_effect_of_odds() -> None:
    found = accuracy_without(np.array([0.5, 0.0, 1.0]), np.array([-np.log(3), 1.0, 1.0]))
    assert found.tolist() == pytest.approx([0.25, 0.0, 1.0])
    assert accuracy_without(np.array([0.0]), np.array([np.inf])).tolist() == [
        0.0
    ]  # no image is left to weigh


def test_the_detectable_difference_by_its_formula() -> None:
    assert pytest.approx(1.959964 + 0.841621, abs=1e-6) == POWER_REACH
    reach = norm.ppf(0.975) + norm.ppf(0.8)
    found = detectable_difference(np.array([0.5, 0.0, 1.0, 0.2]), np.array([100.0, 50, 50, 0]))
    end = reach * np.sqrt(2 * (1 / 51) * (50 / 51) / 50)
    assert same(found, [[reach * np.sqrt(2 * 0.25 / 100), end, end, np.nan]])
    other = detectable_difference(np.array([0.5, 0.5]), np.array([100.0, 1.0]), power=0.9, level=0.1)
    assert same(other, [[(norm.ppf(0.95) + norm.ppf(0.9)) * np.sqrt(0.5 / 100), 1.0]])


def test_independence_needs_as_many_images_as_models() -> None:
    wrong = np.array([[True, True, False, True, True], [True, False, True, True, True]])
    cell = np.array([0, 0, 2, 1, 1])
    assert same(independent_share(wrong, cell, 4), [[0.5, 1.0, np.nan, np.nan]])
