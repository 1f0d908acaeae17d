"""What a mistake comes from: the category, the nuisance, this nuisance on this category, or the luck of the seed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

PerModel = Float[np.ndarray, "*models"]


@dataclass(frozen=True, slots=True)
class VarianceComponents:
    """Variances of right (1) and wrong (0), which add up to p (1 - p)."""

    category: PerModel
    nuisance: PerModel
    interaction: PerModel
    """NaN where every cell has one image: then it is part of `seed`."""
    seed: PerModel


def variance_components(
    num_correct: Float[np.ndarray, "*models categories nuisances"],
    num_images: Float[np.ndarray, "categories nuisances"],
) -> VarianceComponents:
    """Return unbiased estimates of the crossed random effects, from products of pairs of answers.

    The mean product of two answers is p^2 plus the variance of what the two images share: the cell, only the
    category, only the nuisance, or nothing. All pairs of each sort are counted, so cells may hold any number of
    images (U-statistics; Searle, Casella and McCulloch 1992, Variance Components, section 5.3, for the balanced
    case, where both agree). On the scale of probabilities, not of log-odds. An estimate can be below zero.
    """
    right, total = num_correct.sum(axis=(-2, -1)), float(num_images.sum())
    cells, all_cells = (num_correct**2).sum(axis=(-2, -1)), float((num_images**2).sum())
    rows, all_rows = (num_correct.sum(axis=-1) ** 2).sum(axis=-1), float((num_images.sum(axis=-1) ** 2).sum())
    columns = (num_correct.sum(axis=-2) ** 2).sum(axis=-1)
    all_columns = float((num_images.sum(axis=-2) ** 2).sum())
    nothing = _mean(right**2 - rows - columns + cells, total**2 - all_rows - all_columns + all_cells)
    same_category = _mean(rows - cells, all_rows - all_cells)
    same_nuisance = _mean(columns - cells, all_columns - all_cells)
    same_cell = _mean(cells - right, all_cells - total)
    share = _mean(right, total)
    category, nuisance = np.asarray(same_category - nothing), np.asarray(same_nuisance - nothing)
    interaction = np.asarray(same_cell - same_category - same_nuisance + nothing)
    rest = share - same_cell if all_cells > total else share - same_category - same_nuisance + nothing
    return VarianceComponents(category, nuisance, interaction, np.asarray(rest))


def _mean(part: Any, whole: float) -> np.ndarray:
    return np.asarray(part / whole if whole > 0 else np.full(np.shape(part), np.nan))
