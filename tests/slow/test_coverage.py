"""Every estimator that claims 95% covers 95 +- 2 of 100, over thousands of simulated pools with a known truth."""

import numpy as np
import pytest

from imagenetd.reports.decomposition import DecompositionReport
from imagenetd.reports.design import Design
from imagenetd.reports.persistence import persistence_table, transfer_table
from imagenetd.reports.subset_curves import Subsets, curve_table, leave_family_out_table
from imagenetd.statistics.bootstrap import interval_of, resampled_sums
from imagenetd.statistics.intervals import wilson_interval
from imagenetd.statistics.paired import error_consistency, rank_bounds
from imagenetd.statistics.shrinkage import shrink
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


@pytest.mark.parametrize("clusters", [8, 12, 40, 113])
def test_clustered(clusters: int) -> None:
    random = np.random.default_rng(3)
    covered = []
    for run in range(3000):
        images = random.integers(10, 50, clusters)
        right = random.binomial(images, random.beta(4, 4, clusters))
        sums = np.stack([images, right], axis=1).astype(float)
        drawn = resampled_sums(sums, num_draws=300, seed=run)
        value = np.array(right.sum() / images.sum())
        found = interval_of(value, drawn[:, 1] / drawn[:, 0], num_clusters=clusters, bounds=(0.0, 1.0))
        covered.append(found.low <= 0.5 <= found.high)
    assert _is_nominal(np.array(covered))


def test_kappa() -> None:
    random = np.random.default_rng(4)
    covered = []
    for run in range(3000):
        shape = (30, 20)
        is_shared, shared = random.random(shape) < 0.4, random.random(shape) < 0.7
        a, b = (np.where(is_shared, shared, random.random(shape) < 0.7) for _ in range(2))
        sums = np.stack([np.full(30, 20), a.sum(1), b.sum(1), (a & b).sum(1)], axis=1).astype(float)
        drawn = resampled_sums(sums, num_draws=300, seed=run)
        value = error_consistency(*(np.array([total]) for total in sums.sum(axis=0)))[0]
        moved = error_consistency(*drawn.T)
        found = interval_of(np.array(value), moved, num_clusters=30, bounds=(-1.0, 1.0))
        covered.append(found.low <= 0.4 <= found.high)
    assert _is_nominal(np.array(covered))


def test_ranks_hold_together() -> None:
    random = np.random.default_rng(5)
    truth, covered = np.array([0.8, 0.7, 0.7, 0.5]), []
    for run in range(2000):
        right = random.binomial(40, np.clip(truth + random.normal(0, 0.1, (15, 1)), 0, 1))
        sums = np.hstack([np.full((15, 1), 40), right]).astype(float)
        drawn = resampled_sums(sums, num_draws=300, seed=run)
        value = sums[:, 1:].sum(axis=0) / sums[:, 0].sum()
        low, high = rank_bounds(value, drawn[:, 1:] / drawn[:, :1], num_clusters=15)
        covered.append((low <= [1, 2, 2, 4]).all() and (high >= [1, 3, 3, 4]).all())
    print(f"covered {100 * np.mean(covered):.1f} of 100")
    assert np.mean(covered) >= 0.93  # of sets of ranks more is no mistake


def test_arrows() -> None:
    report = DecompositionReport(num_draws=200)
    runs = [report.report(_given(seed)).tables["arrows"].set_index(["start", "end"]) for seed in range(1500)]
    for arrow in (("neutral", "nuisance"), ("nuisance", "mined")):
        change, low, high = (
            np.array([run.loc[arrow, name] for run in runs]) for name in ("change", "low", "high")
        )
        truth = change.mean()
        assert _is_nominal((low <= truth) & (truth <= high))


def test_persistence_and_transfer_under_noise() -> None:
    excess, shared = [], []
    for seed in range(1000):
        design = Design(_noise(seed, cells=0.0))
        row = (
            persistence_table(design, min_share=0.5, num_draws=200, seed=seed)
            .set_index("failure_of")
            .loc["t"]
        )
        excess.append(row["excess_low"] <= 0 <= row["excess_high"])
        table = transfer_table(design, num_draws=200, seed=seed)
        shared.append(((table["excess_low"] <= 0) & (table["excess_high"] >= 0)).to_numpy())
    assert _is_nominal(np.array(excess))
    assert _is_nominal(np.concatenate(shared))


@pytest.mark.parametrize(("leak", "truth"), [(0.0, 0.0), (0.6, 0.124)])
def test_family_leaks_and_curves(leak: float, truth: float) -> None:
    leaks, points = [], []
    for seed in range(600):
        subsets = Subsets.of(Design(_family(seed, leak)), num_draws=150, seed=0, max_rows=100)
        row = leave_family_out_table(subsets).query("family == 'a' and target == 'sibling'").iloc[0]
        leaks.append(row["leak_low"] <= truth <= row["leak_high"])
        curve = (
            curve_table(subsets).query("target == 'u0' and num_surrogates == 2 and min_failures == 2").iloc[0]
        )
        points.append([curve["low"], curve["accuracy"], curve["high"]])
    low, value, high = np.array(points).T
    assert _is_nominal(np.array(leaks))
    assert _is_nominal((low <= value.mean()) & (value.mean() <= high))
