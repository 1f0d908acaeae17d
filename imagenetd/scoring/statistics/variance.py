"""What a mistake comes from: the category, the nuisance, this nuisance on this category, or the image itself."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from jaxtyping import Float

from imagenetd.scoring.statistics.intervals import Estimate
from imagenetd.scoring.statistics.jackknife import jackknife_interval

PerModel = Float[np.ndarray, "*models"]


@dataclass(frozen=True, slots=True)
class VarianceComponents:
    """Variances of right (1) and wrong (0), every cell with the same weight."""

    category: PerModel
    nuisance: PerModel
    interaction: PerModel
    """NaN where every cell has one image: then it is part of `seed`."""
    seed: PerModel
    """Between images of one cell."""
    total: PerModel
    """The four together: an unbiased estimate of p (1 - p). The plain product with the mean of the cells' accuracies is
    too small by the variance of that mean, which is large with few nuisances."""

    @property
    def shares(self) -> dict[str, PerModel]:
        """Part of each component in the total: they add up to 1, and one can be below 0.

        NaN where a model is always right or always wrong.
        """
        names = ("category", "nuisance", "interaction", "seed")
        return {name: _mean(getattr(self, name), self.total) for name in names}


def variance_components(
    num_correct: Float[np.ndarray, "*models categories nuisances"],
    num_images: Float[np.ndarray, "categories nuisances"],
) -> VarianceComponents:
    """Return estimates of the crossed random effects, from products of pairs of answers.

    The mean product of two answers is p^2 plus the variance of what the two images share: the cell, only the
    category, only the nuisance, or nothing. Products are averaged within each pair of cells, then over the pairs of
    cells (U-statistics; for cells of one size the analysis of variance of Searle, Casella and McCulloch 1992, section
    5.3). So cells may hold any number of images, also where that number follows from how hard they are. Cells of one
    image say nothing about `seed`: it is that of the others, whose sizes must then be unrelated to accuracy. On the
    scale of probabilities, not of log-odds. An estimate can be below zero.
    """
    everything, _ = _with_each_category_left_out(num_correct, num_images)
    return everything


def variance_components_left_out(
    num_correct: Float[np.ndarray, "*models categories nuisances"],
    num_images: Float[np.ndarray, "categories nuisances"],
) -> VarianceComponents:
    """Return the components without each category, "categories *models": for the jackknife."""
    _, left_out = _with_each_category_left_out(num_correct, num_images)
    return left_out


BEFORE_THE_CUT = (-1.0, 2.0)
"""Ends are cut to 0..1 after they are widened: an end cut before it would move past 0 where the estimate lies below."""


def variance_shares(
    num_correct: Float[np.ndarray, "*models categories nuisances"],
    num_images: Float[np.ndarray, "categories nuisances"],
    *,
    confidence: float = 0.95,
) -> dict[str, Estimate]:
    """Return the share of each component with an interval for other categories and these nuisances.

    An estimate below 0 counts as 0 and the others are its complement, so the shares lie in 0..1 and add up to 1. An
    interval is that of the estimate before this, and holds the share.

    Nuisance, interaction and seed: jackknife over categories. Category: their means vary as chi-square with G - 1
    degrees of freedom, which a jackknife of few of them does not follow (Williams 1962, Biometrika 49, with what the
    other components add to that variance taken as known). Ends keep inside 0..1.
    """
    found, left_out = _with_each_category_left_out(num_correct, num_images)
    sizes = num_images.sum(axis=-1)
    values, moved = found.shares, left_out.shares
    shares = {
        name: _measured(
            _widened(
                jackknife_interval(value, moved[name], num_images=sizes, bounds=BEFORE_THE_CUT),
                int((sizes > 0).sum()),
            )
        )
        for name, value in values.items()
        if name != "category"
    }
    used = sizes > 0
    freedom, tail = float(max(int(used.sum()) - 1, 1)), (1 - confidence) / 2
    mean = num_correct / np.maximum(num_images, 1)
    of_category = _mean(mean.sum(axis=-1), (num_images > 0).sum(axis=-1).astype(np.float64))[..., used]
    spread = np.asarray(
        of_category.var(axis=-1, ddof=1) if used.sum() > 1 else np.full(values["seed"].shape, np.nan)
    )
    rest = spread - found.category
    ends = [
        _mean(spread * freedom / scipy.special.chdtri(freedom, q) - rest, found.total)
        for q in (tail, 1 - tail)
    ]
    low, high = (np.clip(end, 0.0, 1.0) for end in ends)
    error = (high - low) / 4
    measured = {"category": _measured(Estimate.of(values["category"], error, low, high)), **shares}
    return _adding_up(measured)


def _adding_up(shares: dict[str, Estimate]) -> dict[str, Estimate]:
    """Return shares in 0..1 that add up to 1: an estimate below 0 is 0, and the others give way; NaN stays NaN."""
    kept = {name: np.maximum(found.value, 0.0) for name, found in shares.items()}
    total = np.nansum(list(kept.values()), axis=0)
    found: dict[str, Estimate] = {}
    for name, value in kept.items():
        part, ends = _mean(value, total), shares[name]
        part = np.where(np.isnan(value), np.nan, part)
        found[name] = Estimate.of(part, ends.error, np.fmin(ends.low, part), np.fmax(ends.high, part))
    return found


def cell_correlation(
    num_failures: Float[np.ndarray, "categories nuisances"],
    num_images: Float[np.ndarray, "categories nuisances"],
) -> Estimate:
    """Return the intra-class correlation of the images of one cell, with an interval for other categories.

    What images of one cell share (category, nuisance and their pairing) over that and the seed. NaN, from 0 to 1, where
    no cell has two images or all answers are equal.
    """
    found, left_out = _with_each_category_left_out(num_failures, num_images)
    value, moved = (
        np.asarray(1 - _mean(part.seed, part.category + part.nuisance + part.interaction + part.seed))
        for part in (found, left_out)
    )
    return _measured(jackknife_interval(value, moved, num_images=num_images.sum(axis=-1), bounds=(0.0, 1.0)))


def _widened(found: Estimate, num_categories: int) -> Estimate:
    """Return the interval times sqrt(G / (G - 1)): squares of few effects vary more than it sees."""
    factor = np.sqrt(num_categories / max(num_categories - 1, 1))
    low, high = (found.value + factor * (end - found.value) for end in (found.low, found.high))
    return Estimate.of(found.value, factor * found.error, np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0))


def _measured(found: Estimate) -> Estimate:
    """Return the estimate with 0..1 where the value is known and its interval is not."""
    unknown = ~np.isfinite(found.low) | ~np.isfinite(found.high)
    # An estimate outside 0..1 has its error, too: no interval without a width.
    low = np.where(unknown, 0.0, np.minimum(found.low, np.maximum(1 - 2 * found.error, 0.0)))
    high = np.where(unknown, 1.0, np.maximum(found.high, np.minimum(2 * found.error, 1.0)))
    return Estimate.of(found.value, found.error, low, high)


def _with_each_category_left_out(
    num_correct: np.ndarray, num_images: np.ndarray
) -> tuple[VarianceComponents, VarianceComponents]:
    present, repeated = num_images > 0, num_images > 1
    mean = num_correct / np.maximum(num_images, 1)
    twice = np.where(repeated, num_correct * (num_correct - 1), 0) / np.maximum(
        num_images * (num_images - 1), 1
    )
    of_cells = _Sums.of(mean, present.astype(np.float64))
    of_sizes = _Sums.of(present.astype(np.float64), present.astype(np.float64))
    within = [part.sum(axis=-1) for part in (np.where(repeated, mean, 0), twice, repeated.astype(np.float64))]
    added = [np.asarray(part.sum(axis=-1)) for part in within]
    whole = _components(of_cells.whole(), of_sizes.whole(), added)
    without = [part.sum(axis=-1, keepdims=True) - part for part in within]
    left_out = _components(of_cells.left_out(), of_sizes.left_out(), without)
    fields = (left_out.category, left_out.nuisance, left_out.interaction, left_out.seed, left_out.total)
    return whole, VarianceComponents(*(np.moveaxis(part, -1, 0) for part in fields))


@dataclass(frozen=True, slots=True)
class _Sums:
    """Of one number in each cell: by category, and their squares."""

    of_category: np.ndarray
    squares: np.ndarray
    """Of the cells, summed by category."""
    columns: np.ndarray
    """Squares of the sums by nuisance, added up: of everything."""
    crossed: np.ndarray
    """By category: of each cell times the sum of its nuisance."""

    @classmethod
    def of(cls, cells: np.ndarray, present: np.ndarray) -> "_Sums":
        of_nuisance = cells.sum(axis=-2)
        crossed = (cells * of_nuisance[..., None, :]).sum(axis=-1)
        squares = (cells**2 * present).sum(axis=-1)
        columns = np.asarray((of_nuisance**2).sum(axis=-1))
        return cls(cells.sum(axis=-1), squares, columns, crossed)

    def whole(self) -> tuple[np.ndarray, ...]:
        """Return sum, and sums of squares of cells, categories and nuisances."""
        rows = (self.of_category**2).sum(axis=-1)
        sums = (self.of_category.sum(axis=-1), self.squares.sum(axis=-1), rows, self.columns)
        return tuple(np.asarray(part) for part in sums)

    def left_out(self) -> tuple[np.ndarray, ...]:
        """Return the same without each category, "... categories"."""
        right, cells, rows, columns = (part[..., None] for part in self.whole())
        fewer = columns - 2 * self.crossed + self.squares
        return right - self.of_category, cells - self.squares, rows - self.of_category**2, fewer


def _components(
    found: tuple[np.ndarray, ...], sizes: tuple[np.ndarray, ...], within: list[np.ndarray]
) -> VarianceComponents:
    right, cells, rows, columns = found
    total, all_cells, all_rows, all_columns = sizes
    nothing = _mean(right**2 - rows - columns + cells, total**2 - all_rows - all_columns + all_cells)
    same_category = _mean(rows - cells, all_rows - all_cells)
    same_nuisance = _mean(columns - cells, all_columns - all_cells)
    share = _mean(right, total)
    category, nuisance = same_category - nothing, same_nuisance - nothing
    once, twice, repeated = within
    seed = _mean(once - twice, repeated)
    rest = share - nothing - category - nuisance
    interaction = rest - seed
    seed = np.where(np.broadcast_to(repeated > 0, seed.shape), seed, rest)
    numbers = (category, nuisance, interaction, seed, share - nothing)
    return VarianceComponents(*(np.asarray(number) for number in numbers))


def _mean(part: Any, whole: Any) -> np.ndarray:
    part, whole = np.broadcast_arrays(np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64))
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)
