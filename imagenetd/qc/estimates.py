"""Shares of a finite set of images from random samples of its parts, with intervals that hold near 0 and 1. Pure.

This is prediction-powered inference in its stratified form (Angelopoulos, Duchi and Zrnic 2023, arXiv 2311.01453; Fisch
et al. 2024, arXiv 2406.04291): what a model says of every image cuts each sampling arm into parts of known size, votes
on a random sample of the arm say how many of each part are valid. The normal intervals of the papers cover 32 to 86 of
100 at 95 to 99% valid images and 60 votes; those here are joined from one binomial interval for each part.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int

from imagenetd.qc.sampling import Sampling

Counts = Int[np.ndarray, " parts"]
Shares = Float[np.ndarray, " parts"]


def binomial_bounds(
    num_valid: Counts, num_judged: Counts, *, confidence: float = 0.95
) -> tuple[Shares, Shares]:
    """Return the ends of Jeffreys' interval of each share; never of zero width, and (0, 1) where nothing was judged.

    >>> low, high = binomial_bounds(np.array([122]), np.array([122]))
    >>> round(float(low[0]), 4), float(high[0])
    (0.9797, 1.0)
    """
    tail = (1 - confidence) / 2
    wrong = num_judged - num_valid
    low = scipy.stats.beta.ppf(tail, num_valid + 0.5, wrong + 0.5)
    high = scipy.stats.beta.ppf(1 - tail, num_valid + 0.5, wrong + 0.5)
    return np.where(num_valid == 0, 0.0, low), np.where(wrong == 0, 1.0, high)


def total_bounds(
    num_valid: Counts, num_judged: Counts, num_images: Counts, *, confidence: float = 0.95
) -> tuple[Shares, Shares]:
    """Return between which numbers of valid images each part holds, in whole images; exact where all were judged.

    What was not judged has the Beta-binomial distribution that Jeffreys' prior gives it, matched in mean and variance
    by one Beta distribution.
    """
    tail, unseen = (1 - confidence) / 2, num_images - num_judged
    mean = (num_valid + 0.5) / (num_judged + 1)
    size = np.maximum(
        (num_judged + 1) * np.maximum(unseen - 1, 0) / np.maximum(unseen + num_judged + 1, 1), 1e-6
    )
    low, high = (scipy.stats.beta.ppf(at, mean * size, (1 - mean) * size) for at in (tail, 1 - tail))
    few = (num_judged == 0) | (unseen <= 1)
    low = np.where(few | (num_valid == 0), 0.0, low)
    high = np.where(few | (num_valid == num_judged), 1.0, high)
    return num_valid + np.floor(unseen * low), num_valid + np.ceil(unseen * high)


@dataclass(frozen=True, slots=True)
class Part:
    """Images of one sampling arm that the gate treats alike."""

    arm: str
    is_kept: bool
    """The gate accepts them."""
    num_images: int
    num_judged: int
    """A random sample of them."""
    num_valid: int
    """Of the judged."""
    guess: float
    """Mean probability that the gate gives them: stands in where none was judged, with the whole range beside it."""


@dataclass(frozen=True, slots=True)
class Share:
    """A share of these images; the interval is for these images too, and has no width where all were judged."""

    value: float
    low: float
    high: float
    num_judged: int
    num_images: int
    is_exact: bool
    """A count, which needs no interval: every image was judged, or, of a recall, the gate rejects none."""


@dataclass(frozen=True)
class JudgedImages:
    """Which images of a pool people have judged, how these were chosen, and what was said."""

    sampling: Sampling
    """Within an arm the judged images are a random sample."""
    judged: Bool[np.ndarray, " images"]
    valid: Bool[np.ndarray, " images"]
    """People accept the image."""


def parts_of(
    people: JudgedImages,
    kept: Bool[np.ndarray, " images"],
    probability: Float[np.ndarray, " images"],
    members: Bool[np.ndarray, " images"],
) -> list[Part]:
    """Return the parts of some images: each sampling arm, cut by what the gate decides.

    Args:
        people: What they have judged.
        kept: The gate accepts the image.
        probability: The gate's, of the image being valid.
        members: The images that are meant.
    """
    arm, judged, valid = np.asarray(people.sampling.arm), people.judged, people.valid
    found = []
    for name in np.unique(arm[members]).tolist():
        for is_kept in (True, False):
            here = members & (arm == name) & (kept == is_kept)
            if here.any():
                counts = (int(here.sum()), int((here & judged).sum()), int((here & judged & valid).sum()))
                found.append(Part(name, is_kept, *counts, float(probability[here].mean())))
    return found


def _totals(parts: Sequence[Part], confidence: float) -> tuple[float, float, float]:
    """Return the number of valid images in all parts, and how far it may be below and above."""
    if not parts:
        return 0.0, 0.0, 0.0
    images, judged, valid = (
        np.array([getattr(part, name) for part in parts])
        for name in ("num_images", "num_judged", "num_valid")
    )
    guess = np.array([part.guess for part in parts])
    value = images * np.where(judged > 0, valid / np.maximum(judged, 1), guess)
    low, high = total_bounds(valid, judged, images, confidence=confidence)
    low, high = np.minimum(low, value), np.maximum(high, value)
    total = float(value.sum())
    return total, float(np.sqrt(((value - low) ** 2).sum())), float(np.sqrt(((high - value) ** 2).sum()))


def valid_share(parts: Sequence[Part], *, confidence: float = 0.95) -> Share:
    """Return the share of valid images in all parts together.

    The intervals of the parts are joined by the squares of their distances (Zou and Donner 2008, Statistics in Medicine
    27, 1693-1702).
    """
    images = sum(part.num_images for part in parts)
    total, below, above = _totals(parts, confidence)
    ends = max(0.0, total - below) / images, min(float(images), total + above) / images
    judged = sum(part.num_judged for part in parts)
    return Share(total / images, *ends, judged, images, is_exact=judged == images)


def recall(parts: Sequence[Part], *, confidence: float = 0.95) -> Share:
    """Return which share of the valid images the gate keeps: kept / (kept + lost), each moved to its ends in turn."""
    kept, kept_below, kept_above = _totals([part for part in parts if part.is_kept], confidence)
    lost, lost_below, lost_above = _totals([part for part in parts if not part.is_kept], confidence)

    def of(found: float, missed: float) -> float:
        return found / (found + missed) if found + missed > 0 else float("nan")

    value = of(kept, lost)
    below = np.hypot(value - of(max(0.0, kept - kept_below), lost), value - of(kept, lost + lost_above))
    above = np.hypot(of(kept + kept_above, lost) - value, of(kept, max(0.0, lost - lost_below)) - value)
    ends = float(max(0.0, value - below)), float(min(1.0, value + above))
    judged, images = (sum(getattr(part, name) for part in parts) for name in ("num_judged", "num_images"))
    is_exact = judged == images or all(part.is_kept for part in parts)
    return Share(value, *ends, judged, images, is_exact=is_exact)
