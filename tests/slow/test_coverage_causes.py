"""Intervals of causes, calibration, persistence and family effects cover 93 of 100 or more in hard worlds."""

import numpy as np
import pytest
from scipy.special import expit

from imagenetd.reports.calibration import calibrate
from imagenetd.scoring.statistics.family import family_log_odds
from imagenetd.scoring.statistics.intervals import clustered_difference
from imagenetd.scoring.statistics.variance import cell_correlation, variance_components, variance_shares

pytestmark = pytest.mark.slow


def _covers(covered: list[bool] | np.ndarray, what: str) -> bool:
    rate = float(np.mean(covered))
    print(f"{what}: covered {100 * rate:.1f} of 100 in {np.size(covered)} runs")
    return rate >= 0.93


@pytest.mark.parametrize("categories", [12, 40])
@pytest.mark.parametrize(
    ("sd_category", "sd_nuisance", "sd_pairing"), [(0.3, 0.6, 1.0), (1.0, 0.5, 0.5), (0.0, 0.8, 1.5)]
)
def test_variance_shares(categories: int, sd_category: float, sd_nuisance: float, sd_pairing: float) -> None:
    random = np.random.default_rng(1)
    covered: dict[str, list[bool]] = {}
    together = []
    for _ in range(300):
        of_nuisance = random.normal(0, sd_nuisance, 20)

        def rates(size: int, of_nuisance: np.ndarray = of_nuisance) -> np.ndarray:
            pairing = random.normal(0, sd_pairing, (size, 20))
            return expit(1 + random.normal(0, sd_category, (size, 1)) + of_nuisance + pairing)

        truth = variance_components((many := rates(1000)) * 1e7, np.full(many.shape, 1e7))
        right, images = random.binomial(4, rates(categories)).astype(float), np.full((categories, 20), 4.0)
        for name, found in variance_shares(right, images).items():
            share = float(np.clip(truth.shares[name], 0, 1))
            covered.setdefault(name, []).append(bool(found.low <= share <= found.high))
        alike = cell_correlation(right, images)
        between = truth.category + truth.nuisance + truth.interaction
        together.append(bool(alike.low <= between / (between + truth.seed) <= alike.high))
    assert all([_covers(runs, f"{name}, {categories} categories") for name, runs in covered.items()])
    assert _covers(together, f"correlation of a cell, {categories} categories")


@pytest.mark.parametrize("images", [122, 960])
@pytest.mark.parametrize("world", ["calibrated", "sure by 10 points", "slope", "small"])
def test_calibration_error(images: int, world: str) -> None:
    random = np.random.default_rng(2)

    def right(confidence: np.ndarray) -> np.ndarray:
        moved = {"calibrated": 0.0, "sure by 10 points": 0.1, "small": 0.03}
        return 0.65 + 0.5 * (confidence - 0.65) if world == "slope" else confidence - moved[world]

    many = random.uniform(0.3, 1, 2_000_000)
    bins = np.clip((many * 15).astype(int), 0, 14)
    truth = np.abs(np.bincount(bins, weights=many - right(many), minlength=15)).sum() / len(many)
    confidence = random.uniform(0.3, 1, (1000, images))
    correct = random.random(confidence.shape) < right(confidence)
    group = np.repeat(np.arange(1000), images)
    found = calibrate(confidence.ravel(), correct.ravel(), group, num_groups=1000, num_bins=15)
    _, low, high = found.error_interval()
    assert _covers((low <= truth) & (truth <= high), f"calibration error, {world}, {images} images")


@pytest.mark.parametrize("images", [2, 4, 8, 16])
@pytest.mark.parametrize("spread", [0.0, 1.5])
def test_persistence(images: int, spread: float) -> None:
    random = np.random.default_rng(3)
    covered = []
    for _ in range(400):
        rate = expit(np.log(0.12 / 0.88) + spread * random.normal(size=(12, 20)))
        half = images // 2
        fails = random.binomial(half, rate, size=(2, 12, 20))
        sums, chosen = np.zeros((4, 12)), np.zeros((12, 20))
        for choose, confirm in ((0, 1), (1, 0)):
            is_chosen = fails[choose] >= max(1, 0.5 * half)
            sums += [
                (is_chosen * fails[confirm]).sum(axis=1),
                half * is_chosen.sum(axis=1),
                fails[confirm].sum(axis=1),
                np.full(12, 20 * half),
            ]
            chosen += is_chosen
        if chosen.sum():
            found = clustered_difference(*sums)
            truth = (chosen * rate).sum() / chosen.sum() - rate.mean()
            covered.append(bool(found.low <= truth <= found.high))
    assert _covers(covered, f"persistence minus base rate, {images} images a cell, sd {spread}")


@pytest.mark.parametrize(("of_family", "of_sibling"), [(0.0, 0.0), (0.0, -1.0), (-1.0, 1.0), (1.0, -1.0)])
def test_family_effects_of_zero(of_family: float, of_sibling: float) -> None:
    random = np.random.default_rng(4)
    category = np.repeat(np.arange(12), 80)
    covered, values = [], []
    for _ in range(400):
        difficulty = random.normal(0, 1, 960) + random.normal(0, 0.5, 12)[category] - 0.5

        def fails(strength: float, difficulty: np.ndarray = difficulty) -> np.ndarray:
            return random.random(960) < expit(difficulty + strength)

        found, _ = family_log_odds(
            fails(of_sibling),
            np.stack([fails(0) for _ in range(3)]),
            family_fails=fails(of_family) & fails(of_family),
            others_failing=fails(0).astype(int) + fails(0),
            category=category,
            num_categories=12,
        )
        if np.isfinite(found.value):
            covered.append(bool(found.low <= 0 <= found.high))
            values.append(float(found.value))
    print(f"mean {np.mean(values):+.3f} log-odds, family {of_family:+}, sibling {of_sibling:+}")
    assert abs(np.mean(values)) < 0.1
    assert _covers(covered, "family effect of zero")
