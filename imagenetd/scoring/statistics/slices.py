"""Every slice of categories x nuisances at once: sizes and errors by two matrix products."""

from collections.abc import Sequence

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int

Rates = Float[np.ndarray, "rows columns"]


def slice_sums(
    counts: Float[np.ndarray, "categories nuisances"],
    rows: Bool[np.ndarray, "rows categories"],
    columns: Bool[np.ndarray, "columns nuisances"],
) -> Rates:
    """Return the sum over every slice (set of categories) x (set of nuisances)."""
    return rows.astype(np.float64) @ counts @ columns.astype(np.float64).T


def slice_scores(errors: Rates, sizes: Rates, *, weight: float, min_size: int) -> Rates:
    """Return how bad and how large each slice is (SliceLine, Sagadeeva and Boehm 2021, SIGMOD, equation 5).

    weight x (error rate / overall error rate - 1) - (1 - weight) x (images / size - 1). Row 0 and column 0 are the
    whole pool. Slices below `min_size` get minus infinity.
    """
    images, overall = sizes[0, 0], errors[0, 0] / max(sizes[0, 0], 1)
    if overall == 0:
        return np.full(sizes.shape, -np.inf)
    safe = np.maximum(sizes, 1)
    score = weight * (errors / safe / overall - 1) - (1 - weight) * (images / safe - 1)
    return np.where(sizes >= min_size, score, -np.inf)


def best_slices(
    score: Rates,
    rows: Bool[np.ndarray, "rows categories"],
    columns: Bool[np.ndarray, "columns nuisances"],
    *,
    most: int,
) -> list[tuple[int, int]]:
    """Return the slices of the highest positive scores; one that lies in or around a better one is left out."""
    chosen: list[tuple[int, int]] = []
    order = np.argsort(-score, axis=None, kind="stable")
    for place in order[: 50 * most].tolist():
        row, column = divmod(place, score.shape[1])
        if score[row, column] <= 0 or len(chosen) == most:
            break
        if not any(
            _is_nested(rows[row], rows[other]) and _is_nested(columns[column], columns[another])
            for other, another in chosen
        ):
            chosen.append((row, column))
    return chosen


def _is_nested(first: np.ndarray, second: np.ndarray) -> bool:
    shared = (first & second).sum()
    return bool(shared == min(first.sum(), second.sum()))


def excess_p_values(
    errors: Int[np.ndarray, " slices"],
    sizes: Int[np.ndarray, " slices"],
    all_errors: int,
    num_images: int,
) -> Float[np.ndarray, " slices"]:
    """Return Fisher's exact one-sided p-value of so many errors or more in a slice against the rest; 1 without images.

    The rate of the rest is not taken as known: what is given are all errors and all images, the slice's among them.
    """
    return np.where(sizes > 0, scipy.stats.hypergeom.sf(errors - 1, num_images, all_errors, sizes), 1.0)


def memberships(groups: Sequence[Sequence[int]], size: int) -> Bool[np.ndarray, "groups size"]:
    """Return one row for each group of positions."""
    member = np.zeros((len(groups), size), dtype=bool)
    for row, group in enumerate(groups):
        member[row, list(group)] = True
    return member
