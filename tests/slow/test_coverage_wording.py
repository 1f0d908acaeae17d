"""Intervals of the report `wording` cover 93 of 100 or more in worlds whose wordings are planted."""

import numpy as np
import pytest

from imagenetd.scoring.statistics.wording import wording_effect

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("categories", [6, 12, 40, 113])
@pytest.mark.parametrize(("num_wordings", "num_seeds"), [(3, 2), (2, 4), (6, 2)])
@pytest.mark.parametrize("sd", [0.0, 0.05, 0.15, 0.3])
def test_the_spread_of_the_wordings_of_a_cell(
    categories: int, num_wordings: int, num_seeds: int, sd: float
) -> None:
    random = np.random.default_rng(0)

    def rates(size: int) -> np.ndarray:
        """Return the failure rates of cells that differ by category, by cell and by wording."""
        cell = 0.3 + np.repeat(random.normal(0, 0.15, size), 10) + random.normal(0, 0.1, size * 10)
        wording = random.normal(0, sd, (size * 10, num_wordings))
        return np.clip(np.clip(cell, 0.02, 0.98)[:, None] + wording, 0, 1)

    many = rates(5000)
    between, seed = many.var(axis=1, ddof=1).mean(), (many * (1 - many)).mean()
    covered = []
    for _ in range(1000):
        truth = rates(categories)
        wrong = random.binomial(num_seeds, truth).astype(float)
        category = np.repeat(np.arange(categories), 10)
        found = wording_effect(wrong, np.full(truth.shape, float(num_seeds)), category)
        is_held = found.share.low <= between / (between + seed) <= found.share.high
        covered.append([found.sd.low <= np.sqrt(between) + 1e-9 <= found.sd.high + 2e-9, is_held])
    rate = np.mean(covered, axis=0)
    print(f"{categories} categories, {num_wordings} x {num_seeds}, sd {sd}: {100 * rate}")
    assert (rate >= 0.93).all()
