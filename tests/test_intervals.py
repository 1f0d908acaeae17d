"""Intervals against published values, against slow formulas, and where they must not break."""

import numpy as np
import pytest
from scipy.special import expit

from imagenetd.scoring.statistics.intervals import (
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


@pytest.mark.parametrize(
    ("counts", "ends"),
    [
        ((56, 70, 48, 80), (0.0524, 0.3339)),
        ((9, 10, 3, 10), (0.1705, 0.8090)),
        ((10, 10, 0, 20), (0.6791, 1.0)),
        ((5, 56, 0, 29), (-0.0381, 0.1926)),
    ],
)
def test_the_difference_of_two_shares_equals_published_values(
    counts: tuple[int, int, int, int], ends: tuple[float, float]
) -> None:
    # Newcombe (1998), Statistics in Medicine 17, 873-890, table II, method 10.
    found = newcombe_difference(*(np.array(count) for count in counts))
    assert (round(float(found.low), 4), round(float(found.high), 4)) == ends


def test_none_of_122_taken_out_is_at_most_three_percent() -> None:
    assert zero_events_bound(np.array([122, 8])).round(4).tolist() == [0.0298, 0.3694]  # 1 - 0.025^(1 / n)


def test_twenty_intervals_together_are_each_drawn_at_99_7_percent() -> None:
    assert simultaneous_confidence(20) == pytest.approx(0.99744, abs=1e-5)
    assert simultaneous_confidence(1) == simultaneous_confidence(0) == 0.95


def test_the_drop_to_two_images_that_are_right_says_nearly_nothing() -> None:
    # 356 of 384 right, of which 2 of 2 are hard: shown as -7.3 points without an interval before.
    found = subset_difference(*(np.array(count) for count in (356, 384, 2, 2)))
    assert (100 * float(found.value), 100 * float(found.low), 100 * float(found.high)) == pytest.approx(
        (-7.29, -10.35, 58.2), abs=0.05
    )


def test_a_subset_that_is_the_whole_set_still_has_a_width() -> None:
    found = subset_difference(*(np.array(count) for count in (14, 122, 14, 122)))
    assert float(found.value) == 0
    assert (float(found.low), float(found.high)) == pytest.approx(
        (-0.0298 * 0.1838, 0.0298 * (1 - 0.0697)), abs=1e-4
    )


def test_without_images_nothing_is_known_of_a_drop() -> None:
    found = subset_difference(*(np.array(count) for count in (3, 10, 0, 0)))
    assert np.isnan(found.value) and (float(found.low), float(found.high)) == (-1.0, 1.0)


def test_equal_clusters_have_one_degree_of_freedom_less_than_clusters() -> None:
    assert degrees_of_freedom_of(np.full(12, 1 / 12), np.full(12, 0.3)) == pytest.approx(11)


def test_degrees_of_freedom_equal_the_eigenvalues_of_the_variance() -> None:
    weight = np.array([0.6, 0.2, 0.1, 0.1])
    spread = np.array([0.2, 0.3, 0.5, 0.9])
    centred = np.eye(4) - weight  # a cluster's mean minus the weighted mean of all
    covariance = centred @ np.diag(spread) @ centred.T
    scaled = np.sqrt(spread / np.diag(covariance)) * weight
    values = np.linalg.eigvalsh(scaled[:, None] * covariance * scaled)
    assert degrees_of_freedom_of(weight, spread) == pytest.approx(values.sum() ** 2 / (values**2).sum())


def test_a_cluster_of_most_images_leaves_few_degrees_of_freedom_of() -> None:
    sizes = np.array([100.0, *[1.0] * 11])
    assert degrees_of_freedom_of(sizes / sizes.sum(), np.ones(12)) < 2


@pytest.mark.parametrize("clusters", [3, 5, 12, 40])
@pytest.mark.parametrize(("rate", "sd"), [(0.5, 0.7), (0.97, 1.0), (0.03, 1.0), (0.93, 2.0)])
def test_the_clustered_share_covers_also_near_the_ends(clusters: int, rate: float, sd: float) -> None:
    random = np.random.default_rng(0)
    nodes = np.random.default_rng(1).normal(size=50_000)
    shifts = np.linspace(-8, 8, 4001)
    shift = shifts[np.abs([expit(s + sd * nodes[:5000]).mean() - rate for s in shifts]).argmin()]
    truth = expit(shift + sd * nodes).mean()
    images = np.full((clusters, 500), 30)
    correct = random.binomial(images, expit(shift + sd * random.normal(size=images.shape)))
    found = clustered_share(correct, images)
    assert ((found.low <= truth) & (truth <= found.high)).mean() >= 0.93
    assert (found.high > found.low).all()


def test_with_one_cluster_nothing_is_known() -> None:
    found = clustered_share(np.array([7, 0]), np.array([9, 0]))
    assert float(found.value) == pytest.approx(7 / 9) and (float(found.low), float(found.high)) == (0.0, 1.0)
    difference = clustered_difference(np.array([7]), np.array([9]), np.array([2]), np.array([9]))
    assert (float(difference.low), float(difference.high)) == (-1.0, 1.0)


def test_all_right_in_all_clusters_leaves_a_width() -> None:
    found = clustered_share(np.full(12, 10), np.full(12, 10))
    wilson = wilson_interval(np.array(120), np.array(120))
    assert float(found.high) == 1.0 and 0.8 < float(found.low) < float(wilson[0])


def test_two_models_that_never_differ_have_no_interval_of_no_width() -> None:
    images = np.full(12, 10)
    found = clustered_difference(np.zeros(12), images, np.zeros(12), images)
    assert float(found.value) == 0 and float(found.low) == -float(found.high) < -0.02


def test_a_difference_that_is_the_same_in_every_cluster_is_surer_than_one_that_is_not() -> None:
    images = np.full(12, 20)
    same = clustered_difference(np.full(12, 8), images, np.full(12, 4), images)
    mixed = clustered_difference(np.array([0, 16] * 6), images, np.full(12, 4), images)
    assert float(same.low) > 0.1 and float(mixed.low) < 0.05 and float(same.value) == float(mixed.value)


def test_a_few_hard_images_in_few_categories_get_a_wide_interval() -> None:
    images, correct = np.full(5, 40), np.full(5, 34)
    found = clustered_subset_difference(correct, images, np.array([0, 0, 1, 0, 0]), np.array([1, 0, 1, 0, 0]))
    assert float(found.high - found.low) > 0.8 and float(found.low) <= float(found.value) <= float(found.high)


def test_columns_are_independent_questions() -> None:
    random = np.random.default_rng(2)
    images = random.integers(1, 30, (8, 3))
    correct = random.binomial(images, 0.6)
    together = clustered_share(correct, images)
    for column in range(3):
        alone = clustered_share(correct[:, column], images[:, column])
        assert float(alone.low) == pytest.approx(together.low[column])
        assert float(alone.high) == pytest.approx(together.high[column])


def test_a_share_with_a_known_error_keeps_inside_its_bounds_and_never_gets_narrower_than_its_images() -> None:
    low, high = share_from_error(
        np.array([0.98, 0.98, np.nan]),
        np.array([0.02, 0.0, 0.1]),
        num_images=np.full(3, 100),
        degrees_of_freedom=11,
    )
    assert 0.8 < low[0] < 0.95 and high[0] < 1
    assert (low[1], high[1]) == pytest.approx((0.9296, 0.9976), abs=1e-4)  # Clopper and Pearson, 98 of 100
    assert (low[2], high[2]) == (0.0, 1.0)


def test_the_jackknife_of_a_mean_is_its_t_interval() -> None:
    # 1, 2, 3, 6 in equal clusters: mean 3, standard deviation of the mean 1.0801; sqrt(4 / 3) wider for few clusters.
    numbers = np.array([1.0, 2.0, 3.0, 6.0])
    left_out = (numbers.sum() - numbers) / 3
    found = jackknife_interval(np.array(3.0), left_out, num_images=np.full(4, 5.0), bounds=(-50.0, 50.0))
    reach = 3.1824 * 1.0801 * np.sqrt(4 / 3)
    assert (float(found.low), float(found.high)) == pytest.approx((3 - reach, 3 + reach), abs=1e-3)


def test_the_jackknife_of_one_cluster_is_not_known() -> None:
    found = jackknife_interval(
        np.array(0.4), np.array([np.nan]), num_images=np.array([9.0]), bounds=(-1.0, 1.0)
    )
    assert np.isnan(found.low) and np.isnan(found.high)
