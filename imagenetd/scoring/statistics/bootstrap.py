"""Bootstrap over clusters: whole categories or cells are drawn, since their images are not independent."""

import numpy as np
import scipy
from jaxtyping import Float

from imagenetd.scoring.statistics.intervals import Estimate

MAX_WEIGHTS = 2_000_000
"""Weights held at a time."""


def resampled_sums(
    sums: Float[np.ndarray, "clusters columns"], *, num_draws: int, seed: int
) -> Float[np.ndarray, "draws columns"]:
    """Return the column sums of `num_draws` resamples of the clusters, with replacement.

    A resample is a row of multinomial weights; all of them times all columns is one matrix product. Columns of
    one call are resampled together, so that differences between them are paired.
    """
    random = np.random.default_rng(seed)
    num_clusters = sums.shape[0]
    drawn = np.empty((num_draws, sums.shape[1]))
    rows = max(1, min(num_draws, MAX_WEIGHTS // max(1, num_clusters)))
    for first in range(0, num_draws, rows):
        count = min(rows, num_draws - first)
        picks = random.integers(0, num_clusters, size=(count, num_clusters), dtype=np.int32)
        picks += num_clusters * np.arange(count, dtype=np.int32)[:, None]
        weights = np.bincount(picks.ravel(), minlength=count * num_clusters).reshape(count, num_clusters)
        drawn[first : first + count] = weights.astype(np.float64) @ sums
    return drawn


def interval_of(
    value: Float[np.ndarray, "*columns"],
    drawn: Float[np.ndarray, "draws *columns"],
    *,
    num_clusters: int,
    bounds: tuple[float, float],
    confidence: float = 0.95,
) -> Estimate:
    """Return value +- t x standard error of the resamples.

    With few clusters the percentile interval is too narrow. Here the error is scaled by sqrt(G / (G - 1)) and
    multiplied by the quantile of Student's t with G - 1 degrees of freedom (Cameron and Miller 2015, J. Human
    Resources 50, section VI). Without two clusters, or two resamples that are
    defined (an image was drawn), nothing is known: the interval is `bounds`.
    """
    if num_clusters < 2:
        unknown = np.full(np.shape(value), np.nan)
        return Estimate(value, unknown, np.full(value.shape, bounds[0]), np.full(value.shape, bounds[1]))
    finite = np.isfinite(drawn)
    count = finite.sum(axis=0)
    filled = np.where(finite, drawn, 0)
    mean = filled.sum(axis=0) / np.maximum(count, 1)
    variance = np.where(finite, (filled - mean) ** 2, 0).sum(axis=0) / np.maximum(count - 1, 1)
    error = np.sqrt(variance * num_clusters / (num_clusters - 1))
    reach = float(scipy.special.stdtrit(num_clusters - 1, 0.5 + confidence / 2)) * error
    low, high = np.clip(value - reach, *bounds), np.clip(value + reach, *bounds)
    is_unknown = ~np.isfinite(value) | (count < 2)
    return Estimate(
        value,
        np.where(is_unknown, np.nan, error),
        np.where(is_unknown, bounds[0], low),
        np.where(is_unknown, bounds[1], high),
    )


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, NaN where there is nothing to divide by."""
    whole = np.asarray(whole, dtype=np.float64)
    return np.where(whole == 0, np.nan, part / np.where(whole == 0, 1, whole))
