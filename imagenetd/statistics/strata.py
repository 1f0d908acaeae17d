"""Is a group worse than others, category by category: the stratified test, and what many tests at once allow."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr
from scipy.stats import false_discovery_control

Counts = Float[np.ndarray, "*#models categories #groups"]
PerGroup = Float[np.ndarray, "*models groups"]
"""With the models of the larger side; sides broadcast."""


@dataclass(frozen=True, slots=True)
class StratifiedDifference:
    """Accuracy of a group minus that of its comparison, within categories."""

    difference: PerGroup
    p_value: PerGroup
    """Two-sided."""


def compare_in_strata(
    num_correct: Counts, num_images: Counts, other_correct: Counts, other_images: Counts
) -> StratifiedDifference:
    """Compare each group with its comparison within categories, so that another mix of categories is no effect.

    The test is that of Cochran, Mantel and Haenszel (1959), without continuity correction; the difference is
    weighted as theirs. NaN where no category has images on both sides, or where all answers are equal.
    """
    total = num_images + other_images
    right = num_correct + other_correct
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = num_images * right / total
        spread = num_images * other_images * right * (total - right) / (total**2 * (total - 1))
        weight = num_images * other_images / total
        gap = num_correct / num_images - other_correct / other_images
        used = (num_images > 0) & (other_images > 0)
        surplus = np.where(used, num_correct - expected, 0).sum(axis=-2)
        variance = np.where(used, spread, 0).sum(axis=-2)
        difference = np.where(used, weight * gap, 0).sum(axis=-2) / np.where(used, weight, 0).sum(axis=-2)
        z = surplus / np.sqrt(variance)
    return StratifiedDifference(difference, np.where(variance > 0, 2 * ndtr(-np.abs(z)), np.nan))


def compare_with_rest(num_correct: Counts, num_images: Counts) -> StratifiedDifference:
    """Compare each group with all other groups together, within categories."""
    rest_correct = num_correct.sum(axis=-1, keepdims=True) - num_correct
    rest_images = num_images.sum(axis=-1, keepdims=True) - num_images
    return compare_in_strata(num_correct, num_images, rest_correct, rest_images)


def adjusted_p_values(p_value: Float[np.ndarray, " tests"]) -> Float[np.ndarray, " tests"]:
    """Return what Benjamini and Hochberg (1995) compare with the accepted false discovery rate; NaN is no test.

    >>> adjusted_p_values(np.array([0.01, np.nan, 0.04, 0.03])).round(3).tolist()
    [0.03, nan, 0.04, 0.04]
    """
    adjusted = np.full(len(p_value), np.nan)
    known = ~np.isnan(p_value)
    if known.any():
        adjusted[known] = false_discovery_control(p_value[known])
    return adjusted
