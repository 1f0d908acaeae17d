"""How much of a cell's failures goes with the words of its prompt, and how much with the seed alone."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from imagenetd.scoring.statistics.bootstrap import ratio
from imagenetd.scoring.statistics.intervals import Estimate, zero_events_bound
from imagenetd.scoring.statistics.jackknife import jackknife_interval


@dataclass(frozen=True, slots=True)
class WordingEffect:
    """What the wordings of a cell do to its failure rate, on average over the cells that can tell."""

    sd: Estimate
    """Standard deviation of the failure rates of a cell's wordings; 0 where its estimated square is not above it."""
    share: Estimate
    """Part of that square in the variance between the images of a cell; the rest is the seed. Can be below 0."""
    sd_as_seen: float
    """The same, read off the observed rates: the seed's share is still in it."""
    num_images: int
    num_cells: int
    num_categories: int


def wording_effect(
    num_wrong: Float[np.ndarray, "cells wordings"],
    num_images: Float[np.ndarray, "cells wordings"],
    category: Int[np.ndarray, " cells"],
    *,
    confidence: float = 0.95,
) -> WordingEffect:
    """Return how far the failure rates of a cell's wordings lie apart, with intervals for other categories.

    In each cell the mean product of two answers to one wording, minus that of two answers to different wordings, is an
    unbiased estimate of the variance of the wordings' failure rates, whatever these are (U-statistics, as in
    `variance_components`). Only wordings with two images or more say anything, and cells with two of them; every such
    cell has the same weight. Intervals: jackknife over categories, widened by sqrt(G / (G - 1)).

    Args:
        num_wrong: Wrong answers of one model.
        num_images: Images; 0 where a cell lacks a wording.
        category: Code of each cell's category.
        confidence: Of the intervals.
    """
    is_used = (num_images >= 2).sum(axis=1) >= 2
    parts = _parts_of_cells(num_wrong[is_used], num_images[is_used])
    size = int(category.max(initial=-1)) + 1
    between, seed, as_seen, cells, images = np.stack(
        [np.bincount(category[is_used], weights=part, minlength=size) for part in parts]
    ).astype(np.float64)
    totals = [np.asarray(part.sum()) for part in (between, seed, cells)]
    others = [total - part for total, part in zip(totals, (between, seed, cells), strict=True)]
    variance = _interval(ratio(totals[0], totals[2]), ratio(others[0], others[2]), images, confidence)
    share = _interval(_share(*totals[:2]), _share(*others[:2]), images, confidence)
    is_known, num_used = bool(is_used.any()), int(images.sum())
    low, high = variance.low, variance.high
    if is_known and not low < high:  # no mistake, or nothing but mistakes, in any category
        low, high = np.array(0.0), zero_events_bound(np.array(num_used))
    ends = [np.sqrt(np.clip(end, 0.0, None)) for end in (low, high)]
    ends = [
        np.where(np.isfinite(end), end, limit) for end, limit in zip(ends, (0.0, np.sqrt(0.5)), strict=True)
    ]
    of_share = [
        np.where(np.isfinite(end), end, limit) for end, limit in ((share.low, 0.0), (share.high, 1.0))
    ]
    return WordingEffect(
        sd=Estimate.of(np.sqrt(np.clip(variance.value, 0.0, None)), (ends[1] - ends[0]) / 4, *ends),
        share=Estimate.of(share.value, share.error, *of_share),
        sd_as_seen=float(np.sqrt(as_seen.sum() / cells.sum())) if is_known else float("nan"),
        num_images=num_used,
        num_cells=int(is_used.sum()),
        num_categories=int((images > 0).sum()),
    )


def _parts_of_cells(num_wrong: np.ndarray, num_images: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return for each cell the variance between its wordings, that of the seed, the observed one, 1, and its images."""
    repeated = num_images >= 2
    count = repeated.sum(axis=1).astype(np.float64)
    rate = np.where(repeated, ratio(num_wrong, num_images), 0.0)
    twice = np.where(repeated, ratio(num_wrong * (num_wrong - 1), num_images * (num_images - 1)), 0.0)
    squares = (rate**2).sum(axis=1)
    different = (rate.sum(axis=1) ** 2 - squares) / (count * (count - 1))
    between, seed = twice.sum(axis=1) / count - different, (rate - twice).sum(axis=1) / count
    used = np.where(repeated, num_images, 0.0).sum(axis=1)
    return between, seed, squares / count - different, np.ones(len(count)), used


def _share(between: np.ndarray, seed: np.ndarray) -> np.ndarray:
    both = np.asarray(between + seed)
    return np.where(both > 0, ratio(between, both), np.nan)


def _interval(value: np.ndarray, without: np.ndarray, num_images: np.ndarray, confidence: float) -> Estimate:
    """Return the jackknife's interval, widened: squares of few effects vary more than it sees."""
    found = jackknife_interval(
        value, without, num_images=num_images, bounds=(-1.0, 2.0), confidence=confidence
    )
    number = int((num_images > 0).sum())
    factor = np.sqrt(number / max(number - 1, 1))
    low, high = (value + factor * (end - value) for end in (found.low, found.high))
    return Estimate.of(found.value, factor * found.error, np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0))
