"""Every estimator that claims 95% covers 95 +- 2 of 100, over thousands of simulated pools with a known truth."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import expit

from imagenetd.reports.decomposition import DecompositionReport
from imagenetd.reports.design import Design
from imagenetd.reports.persistence import persistence_table, transfer_table
from imagenetd.reports.subset_curves import Subsets, curve_table
from imagenetd.scoring.statistics.intervals import (
    clustered_difference,
    clustered_share,
    clustered_subset_difference,
    simultaneous_confidence,
    wilson_interval,
)
from imagenetd.scoring.statistics.paired import kappa_interval, rank_bounds
from imagenetd.scoring.statistics.shrinkage import shrink
from tests.test_decomposition_report import _given
from tests.test_subsets import _family, _noise

pytestmark = pytest.mark.slow


def _is_nominal(covered: np.ndarray) -> bool:
    rate = float(np.mean(covered))
    print(f"covered {100 * rate:.1f} of 100 in {np.size(covered)} runs")
    return 0.93 <= rate <= 0.97


@pytest.mark.parametrize(("images", "rate"), [(8, 0.4), (50, 0.1), (500, 0.9)])
def test_wilson(images: int, rate: float) -> None:
    correct = np.random.default_rng(0).binomial(
        images, np.random.default_rng(1).normal(rate, 0.02, 50_000).clip(0, 1)
    )
    truth = (
        np.random.default_rng(1).normal(rate, 0.02, 50_000).clip(0, 1)
    )  # a little spread evens out the steps
    low, high = wilson_interval(correct, np.full(50_000, images))
    assert _is_nominal((low <= truth) & (truth <= high))


@pytest.mark.parametrize("groups", [8, 20, 47, 468])
def test_shrunken(groups: int) -> None:
    random = np.random.default_rng(2)
    covered = []
    for _ in range(20_000 // groups):
        a, b = random.uniform(1, 8, 2)
        truth = random.beta(a, b, groups)
        mean, low, high = shrink(random.binomial(48, truth), np.full(groups, 48))
        covered.append((low <= truth) & (truth <= high))
    assert _is_nominal(np.concatenate(covered))


WORLDS = [(0.5, 0.7), (0.88, 1.0), (0.93, 2.0), (0.97, 1.0), (0.03, 1.0), (0.99, 1.0)]
"""Mean share, and standard deviation of the categories on the log-odds."""


def _log_odds(rate: float, sd: float) -> float:
    """Return the middle on the log-odds at which the mean share is `rate`."""
    nodes = np.random.default_rng(1).normal(size=200_000)
    return float(brentq(lambda middle: expit(middle + sd * nodes).mean() - rate, -15, 15))


def _sizes(random: np.random.Generator, clusters: int, runs: int, *, is_skewed: bool) -> np.ndarray:
    if not is_skewed:
        return np.full((clusters, runs), 30)
    return np.maximum(1, np.rint(30 * np.exp(random.normal(size=(clusters, runs)) - 0.5))).astype(int)


def _is_enough(what: str, covered: np.ndarray) -> bool:
    rate = float(np.mean(covered))
    print(f"{what}: covered {100 * rate:.1f} of 100 in {np.size(covered)} runs")
    return rate >= 0.93


@pytest.mark.parametrize("is_skewed", [False, True])
@pytest.mark.parametrize("clusters", [3, 5, 8, 12, 40])
def test_clustered_share(clusters: int, is_skewed: bool) -> None:
    random = np.random.default_rng(3)
    for rate, sd in WORLDS:
        images = _sizes(random, clusters, 1500, is_skewed=is_skewed)
        right = random.binomial(images, expit(_log_odds(rate, sd) + sd * random.normal(size=images.shape)))
        found = clustered_share(right, images)
        assert (found.low < found.high).all()
        covered = (found.low <= rate) & (rate <= found.high)
        assert _is_enough(f"{rate} sd {sd}, {clusters} categories, skewed {is_skewed}", covered)


@pytest.mark.parametrize("clusters", [3, 5, 12, 40])
def test_clustered_difference_of_two_models(clusters: int) -> None:
    random = np.random.default_rng(4)
    for a, b, shared, own in [(0.7, 0.7, 0.5, 0.3), (0.9, 0.93, 1.0, 0.5), (0.95, 0.99, 1.0, 1.0)]:
        common = shared * random.normal(size=(clusters, 30, 1500))[:, :1]
        sd = float(np.hypot(shared, own))
        rights = []
        for rate in (a, b):
            chance = expit(_log_odds(rate, sd) + common + own * random.normal(size=(clusters, 1, 1500)))
            rights.append(random.random((clusters, 30, 1500)) < chance)
        only_a, only_b = ((x & ~y).sum(axis=1) for x, y in (rights, rights[::-1]))
        images = np.full(only_a.shape, 30)
        found = clustered_difference(only_a, images, only_b, images)
        assert _is_enough(f"{a} - {b}, {clusters}", (found.low <= a - b) & (a - b <= found.high))


@pytest.mark.parametrize("clusters", [3, 5, 12, 40])
def test_kappa(clusters: int) -> None:
    random = np.random.default_rng(4)
    for rate in (0.7, 0.9, 0.97, 0.99):
        shape = (clusters, 30, 1500)
        is_shared, shared = random.random(shape) < 0.4, random.random(shape) < rate
        a, b = (np.where(is_shared, shared, random.random(shape) < rate) for _ in range(2))
        sums = (part.sum(axis=1).astype(float) for part in (a, b, a & b))
        found = kappa_interval(np.full(clusters, 30.0), *sums)
        known = np.isfinite(found.value)
        print(f"kappa, {rate}, {clusters} categories: withheld in {100 * (1 - known.mean()):.0f} of 100")
        if known.sum() >= 100:
            covered = (found.low <= 0.4) & (found.high >= 0.4)
            assert _is_enough(f"kappa, {rate}, {clusters} categories", covered[known])


@pytest.mark.parametrize("clusters", [3, 5, 15])
def test_ranks_hold_together(clusters: int) -> None:
    random = np.random.default_rng(5)
    covered = []
    for _ in range(1500):
        right = random.binomial(30, expit(_EQUAL + 0.5 * random.normal(size=(clusters, 10)))).astype(float)
        low, high = rank_bounds(right, np.full(clusters, 30.0))
        covered.append((low == 1).all() and (high == 10).all())
    assert _is_enough(f"ranks of ten equal models, {clusters} categories", np.array(covered))


_EQUAL = 0.9


@pytest.mark.parametrize("num_targets", [2, 5, 10, 20])
def test_the_widest_pair(num_targets: int) -> None:
    random = np.random.default_rng(6)
    first, second = np.triu_indices(num_targets, 1)
    level, covered = simultaneous_confidence(len(first)), []
    images = np.full((12, len(first)), 30)
    for _ in range(300):
        right = random.random((num_targets, 12, 30)) < expit(
            _EQUAL + 0.3 * random.normal(size=(num_targets, 12, 1))
        )
        only_a, only_b = ((right[x] & ~right[y]).sum(axis=2).T for x, y in ((first, second), (second, first)))
        found = clustered_difference(only_a, images, only_b, images, confidence=level)
        widest = np.abs(found.value).argmax()
        covered.append(found.low[widest] <= 0 <= found.high[widest])
    assert _is_enough(f"widest pair of {num_targets} targets", np.array(covered))


@pytest.mark.parametrize(
    ("clusters", "size", "middle"), [(40, 24, -5.0), (12, 80, -3.2), (12, 80, -6.0), (5, 40, -6.0)]
)
def test_arrow_to_few_mined_images(clusters: int, size: int, middle: float) -> None:
    random = np.random.default_rng(7)
    category = 0.7 * random.normal(size=(clusters, 1, 2000))
    luck = random.normal(size=(clusters, size, 2000))
    right = random.random(luck.shape) < expit(2.5 + category - 1.5 * luck)
    mined = random.random(luck.shape) < expit(middle - 0.7 * category + 1.5 * luck)
    truth = right.mean() - right[mined].mean()
    sums = [part.sum(axis=1) for part in (right, np.ones_like(right), right & mined, mined)]
    used = sums[3].sum(axis=0) > 0
    found = clustered_subset_difference(*(part[:, used] for part in sums))
    covered = (found.low <= truth) & (truth <= found.high)
    assert _is_enough(f"arrow to {mined.sum() / 2000:.0f} mined images of {clusters} categories", covered)


def test_arrows() -> None:
    report = DecompositionReport()
    runs = [report.report(_given(seed)).tables["arrows"].set_index(["start", "end"]) for seed in range(1500)]
    for arrow in (("neutral", "nuisance"), ("nuisance", "mined")):
        change, low, high = (
            np.array([run.loc[arrow, name] for run in runs]) for name in ("change", "low", "high")
        )
        truth = change.mean()
        assert _is_enough(" to ".join(arrow), (low <= truth) & (truth <= high))


def test_persistence_and_transfer_under_noise() -> None:
    excess, shared = [], []
    for seed in range(1000):
        design = Design(_noise(seed, cells=0.0))
        row = persistence_table(design, min_share=0.5).set_index("failure_of").loc["t"]
        excess.append(row["excess_low"] <= 0 <= row["excess_high"])
        table = transfer_table(design)
        shared.append(((table["excess_low"] <= 0) & (table["excess_high"] >= 0)).to_numpy())
    print(f"covered {100 * np.mean(excess):.1f} and {100 * np.mean(np.concatenate(shared)):.1f} of 100")
    assert np.mean(excess) >= 0.93 and np.mean(np.concatenate(shared)) >= 0.93  # wide on purpose


def test_curves() -> None:
    points = []
    for seed in range(600):
        subsets = Subsets.of(Design(_family(seed, 0.0)), num_draws=150, seed=0, max_rows=100)
        curve = (
            curve_table(subsets).query("target == 'u0' and num_surrogates == 2 and min_failures == 2").iloc[0]
        )
        points.append([curve["low"], curve["accuracy"], curve["high"]])
    low, value, high = np.array(points).T
    covered = np.mean((low <= value.mean()) & (value.mean() <= high))
    print(f"covered {100 * covered:.1f} of 100")
    assert covered >= 0.93
