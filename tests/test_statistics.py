"""The arithmetic of the reports against hand-made numbers and against simulations with a known truth."""

import numpy as np
import pytest

from imagenetd.scoring.statistics.bootstrap import interval_of, resampled_sums
from imagenetd.scoring.statistics.paired import (
    error_consistency,
    kappa_interval,
    mcnemar_p_value,
    pair_counts,
    rank_bounds,
)
from imagenetd.scoring.statistics.power import detectable_difference
from imagenetd.scoring.statistics.shrinkage import shrink
from imagenetd.scoring.statistics.strata import adjusted_p_values, compare_in_strata, compare_with_rest


def test_the_stratified_test_equals_published_values() -> None:
    # Berkeley admissions 1973, departments A to F (Bickel, Hammel and O'Connell 1975, Science 187): men, women.
    men = np.array([[512, 353, 120, 138, 53, 22]], dtype=float).T
    men_all = np.array([[825, 560, 325, 417, 191, 373]], dtype=float).T
    women = np.array([[89, 17, 202, 131, 94, 24]], dtype=float).T
    women_all = np.array([[108, 25, 593, 375, 393, 341]], dtype=float).T
    found = compare_in_strata(men, men_all, women, women_all)
    # R: mantelhaen.test(UCBAdmissions, correct = FALSE) gives X-squared = 1.5246, p = 0.2169.
    assert found.p_value[0] == pytest.approx(0.2169, abs=5e-5)


def test_another_mix_of_categories_is_no_effect() -> None:
    # Two categories of 90% and 10%; the first group has mostly the hard one: pooled 26% against 74%.
    images = np.array([[20.0, 80.0], [80.0, 20.0]])
    correct = np.array([[18.0, 72.0], [8.0, 2.0]])
    found = compare_with_rest(correct, images)
    assert found.difference.tolist() == [0.0, 0.0] and found.p_value.tolist() == [1.0, 1.0]


def test_without_images_on_both_sides_nothing_is_tested() -> None:
    found = compare_with_rest(np.array([[3.0, 0.0]]), np.array([[5.0, 0.0]]))
    assert np.isnan(found.p_value).all()


def test_false_discoveries_stay_at_the_accepted_rate() -> None:
    random = np.random.default_rng(1)
    num_runs, categories, nuisances, per_cell = 300, 12, 40, 4
    bad = np.arange(nuisances) < 8
    rate = np.where(bad, 0.45, 0.75)[None, :] + random.normal(0, 0.08, (categories, 1))
    images = np.full((num_runs, categories, nuisances), float(per_cell))
    correct = random.binomial(per_cell, np.clip(rate, 0, 1), size=images.shape).astype(float)
    # Against the good ones alone, so that the null is exactly true for the others.
    other = random.binomial(200, np.clip(0.75 + rate[:, :1] - 0.45, 0, 1), size=(num_runs, categories, 1))
    found = compare_in_strata(correct, images, other.astype(float), np.full((1, categories, 1), 200.0))
    called = np.stack([adjusted_p_values(p) for p in found.p_value]) < 0.05
    false = (called & ~bad).sum(axis=1) / np.maximum(called.sum(axis=1), 1)
    assert 0.02 < false.mean() < 0.06  # (1 - share of bad ones) x 5% = 4%
    assert called[:, bad].mean() > 0.8


def test_shrunken_intervals_cover_at_their_rate_on_average_over_groups() -> None:
    random = np.random.default_rng(2)
    covered, error, raw = [], [], []
    for groups, images, alpha, beta in [(20, 48, 6, 4), (8, 24, 2, 6), (47, 10, 8, 2)] * 40:
        truth = random.beta(alpha, beta, groups)
        correct = random.binomial(images, truth)
        mean, low, high = shrink(correct, np.full(groups, images))
        covered.append(((low <= truth) & (truth <= high)).mean())
        error.append(((mean - truth) ** 2).mean())
        raw.append(((correct / images - truth) ** 2).mean())
    assert 0.93 < np.mean(covered) < 0.97
    assert np.mean(error) < np.mean(raw)


def test_equal_groups_shrink_to_their_mean() -> None:
    correct = np.random.default_rng(3).binomial(10, 0.7, size=200)
    mean, _, _ = shrink(correct, np.full(200, 10))
    assert np.abs(mean - correct.sum() / 2000).max() < 0.05


@pytest.mark.parametrize("correct", [0, 50])
def test_groups_that_are_all_wrong_or_all_right_stay_near_the_end(correct: int) -> None:
    mean, low, high = shrink(np.full(2000, correct), np.full(2000, 50))
    assert abs(mean[0] - correct / 50) < 0.001 and 0 <= low[0] <= mean[0] <= high[0] <= 1


def test_a_group_without_images_gets_the_mean_of_the_groups() -> None:
    correct = np.array([8, 9, 7, 8, 8, 9, 7, 8, 0])
    mean, low, high = shrink(correct, np.array([10] * 8 + [0]))
    assert mean[8] == pytest.approx(0.8, abs=0.05) and low[8] < 0.7 and high[8] > 0.85


def test_resamples_are_multinomial_draws_of_whole_clusters() -> None:
    sums = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    drawn = resampled_sums(sums, num_draws=4000, seed=0)
    assert (drawn[:, 1] == 10 * drawn[:, 0]).all()
    assert set(np.unique(drawn[:, 0])) <= {3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 12.0}
    assert drawn[:, 0].mean() == pytest.approx(7.0, abs=0.1)
    assert drawn[:, 0].var() == pytest.approx(3 * np.var([1, 2, 4]), rel=0.1)


@pytest.mark.parametrize("num_clusters", [8, 12, 40])
def test_the_clustered_interval_covers_at_its_rate_also_with_few_clusters(num_clusters: int) -> None:
    random = np.random.default_rng(4)
    covered = 0
    for run in range(400):
        rate = random.beta(4, 4, num_clusters)
        sums = np.stack([random.binomial(30, rate), np.full(num_clusters, 30)], axis=1).astype(float)
        drawn = resampled_sums(sums, num_draws=300, seed=run)
        value = sums[:, 0].sum() / sums[:, 1].sum()
        found = interval_of(
            np.array(value), drawn[:, 0] / drawn[:, 1], num_clusters=num_clusters, bounds=(0.0, 1.0)
        )
        covered += bool(found.low <= 0.5 <= found.high)
    assert 0.92 < covered / 400 < 0.98


def test_one_cluster_says_nothing() -> None:
    found = interval_of(np.array(0.5), np.full(10, 0.5), num_clusters=1, bounds=(0.0, 1.0))
    assert (float(found.low), float(found.high)) == (0.0, 1.0)


def test_mcnemar_equals_a_textbook_example() -> None:
    # Agresti, Categorical Data Analysis, table 10.1: approval of 1,600 voters at two times, 150 and 86 changed.
    assert mcnemar_p_value(np.array([86]), np.array([150]))[0] == pytest.approx(3.716e-5, rel=1e-3)
    assert mcnemar_p_value(np.array([0, 5, 10]), np.array([0, 5, 0])).tolist() == [1.0, 1.0, 2 / 1024]


def test_mcnemar_rejects_at_most_at_its_level() -> None:
    random = np.random.default_rng(5)
    only_a = random.binomial(40, 0.5, size=20_000)
    assert 0.02 < (mcnemar_p_value(only_a, 40 - only_a) < 0.05).mean() < 0.05


def test_kappa_equals_hand_made_values() -> None:
    # 10 images, 6 and 5 right, 4 by both: observed 7/10, expected .6 x .5 + .4 x .5 = .5, kappa = .2 / .5.
    n, a, b, both = (np.array(float(value)) for value in (10, 6, 5, 4))
    assert error_consistency(n, a, b, both) == pytest.approx(0.4)
    assert error_consistency(n, a, a, a) == 1.0
    assert np.isnan(error_consistency(n, n, n, n))


PAIR = (np.array([0]), np.array([1]))


def test_pairs_are_counted_in_each_cluster() -> None:
    correct = np.array([[True, True, False, True], [True, False, False, True]])
    found = pair_counts(correct, np.ones_like(correct), PAIR, cluster=np.array([1, 0, 0, 1]))
    assert (found.images.tolist(), found.both.tolist()) == ([[2], [2]], [[0], [2]])
    assert (found.right_a.tolist(), found.right_b.tolist()) == ([[1], [2]], [[0], [2]])
    assert [part.tolist() for part in (found.only_a, found.only_b, found.neither)] == [
        [[1], [0]],
        [[0]] * 2,
        [[1], [0]],
    ]


def test_an_image_that_does_not_count_for_one_of_two_stands_in_no_number_of_the_pair() -> None:
    correct = np.array([[True, True, True, False], [True, True, False, False]])
    counted = np.array([[True, True, True, True], [True, False, True, True]])
    found = pair_counts(correct, counted, PAIR, cluster=np.zeros(4, np.int64))
    numbers = (found.images, found.right_a, found.right_b, found.both, found.neither)
    assert [part.item() for part in numbers] == [3, 2, 1, 1, 1]


def test_the_interval_of_kappa_covers_at_its_rate() -> None:
    random = np.random.default_rng(6)
    shape = (12, 30, 400)
    # Right with 0.9; with probability 0.4 both share one draw: kappa is 0.4.
    shared, alone = random.random(shape) < 0.9, random.random((2, *shape)) < 0.9
    is_shared = random.random(shape) < 0.4
    a, b = np.where(is_shared, shared, alone[0]), np.where(is_shared, shared, alone[1])
    found = kappa_interval(np.full(12, 30.0), *(part.sum(1).astype(float) for part in (a, b, a & b)))
    assert 0.93 <= ((found.low <= 0.4) & (found.high >= 0.4)).mean() <= 0.99
    assert (found.low < found.value).all() and (found.value < found.high).all()


def test_a_kappa_of_four_mistakes_is_not_measured() -> None:
    images, right = np.full(5, 10.0), np.array([[9.0], [9.0], [9.0], [9.0], [10.0]])
    found = kappa_interval(images, right, right - 1, right - 1)
    assert np.isnan(found.value[0]) and np.isnan(found.low[0]) and np.isnan(found.high[0])


def test_rank_intervals_hold_together_at_least_at_their_rate() -> None:
    random = np.random.default_rng(7)
    truth, clusters, per_cluster, covered, told = np.array([0.8, 0.7, 0.7, 0.5]), 15, 40, 0, 0
    for _ in range(300):
        shift = random.normal(0, 0.1, (clusters, 1))
        right = random.binomial(per_cluster, np.clip(truth + shift, 0, 1))
        sums = np.hstack([np.full((clusters, 1), per_cluster), right]).astype(float)
        low, high = rank_bounds(sums[:, 1:], sums[:, 0])
        covered += bool((low <= [1, 2, 2, 4]).all() and (high >= [1, 3, 3, 4]).all())
        told += low[3] == 4
    assert covered / 300 >= 0.93
    assert told / 300 > 0.9


def test_models_that_cannot_be_told_apart_share_all_ranks() -> None:
    low, high = rank_bounds(np.full((5, 2), 4.0), np.full(5, 8.0))
    assert (low.tolist(), high.tolist()) == ([1, 1], [2, 2])


def test_ten_equal_models_on_three_clusters_are_ranked_wrongly_at_most_at_the_rate() -> None:
    random, covered = np.random.default_rng(9), 0
    for _ in range(300):
        right = random.binomial(30, random.beta(14, 6, (3, 10))).astype(float)
        low, high = rank_bounds(right, np.full(3, 30.0))
        covered += bool((low == 1).all() and (high == 10).all())
    assert covered / 300 >= 0.93


def test_few_mistakes_are_tested_exactly() -> None:
    # Five mistakes of 4 + 4 images, all in the group: two categories with 2 of 2 and 3 of 3, hypergeometric.
    correct, images = np.array([[0.0, 4.0], [1.0, 4.0]]), np.full((2, 2), 4.0)
    found = compare_with_rest(correct, images)
    first, second = 1 / 70, 4 / 56  # C(4,4) / C(8,4) for four mistakes, C(4,3) / C(8,3) for three
    assert found.p_value[0] == pytest.approx(2 * first * second)


def test_false_discoveries_stay_low_also_with_two_mistakes_in_a_hundred() -> None:
    random = np.random.default_rng(10)
    correct = random.binomial(4, 0.98, size=(300, 12, 20)).astype(float)
    found = compare_with_rest(correct, np.full((300, 12, 20), 4.0))
    for p_value in (found.p_value, found.p_other_categories):
        q_value = np.stack([adjusted_p_values(p) for p in p_value])
        assert ((q_value < 0.05) & (found.difference < 0)).any(axis=1).mean() <= 0.05


@pytest.mark.parametrize(("categories", "per_cell"), [(12, 4), (12, 20), (40, 20)])
def test_pairing_effects_make_no_discoveries_for_other_categories(categories: int, per_cell: int) -> None:
    random = np.random.default_rng(11)
    log_odds = 1.4 + random.normal(0, 1.5, (100, categories, 20))
    correct = random.binomial(per_cell, 1 / (1 + np.exp(-log_odds))).astype(float)
    found = compare_with_rest(correct, np.full(correct.shape, float(per_cell)))
    here, elsewhere = (
        np.stack([adjusted_p_values(p) for p in p_value]) < 0.05
        for p_value in (found.p_value, found.p_other_categories)
    )
    is_worse = found.difference < 0
    assert (elsewhere & is_worse).any(axis=1).mean() <= 0.05
    assert (here & is_worse).any(axis=1).mean() > 0.15  # true of these categories, not of others


def test_the_detectable_difference_is_what_the_power_says() -> None:
    random = np.random.default_rng(8)
    n, p = 400, 0.6
    gap = float(detectable_difference(np.array([p]), np.array([float(n)]))[0])
    a = random.random((2000, n)) < p + gap / 2
    b = random.random((2000, n)) < p - gap / 2
    found = mcnemar_p_value((a & ~b).sum(axis=1), (b & ~a).sum(axis=1)) < 0.05
    assert 0.75 < found.mean() < 0.85
