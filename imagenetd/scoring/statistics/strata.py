"""Is a group worse than others, category by category: the stratified test, and what many tests at once allow."""

from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Float

Counts = Float[np.ndarray, "*#models categories #groups"]
PerGroup = Float[np.ndarray, "*models groups"]
"""With the models of the larger side; sides broadcast."""


FEW_MISTAKES = 25.0
"""With fewer expected mistakes (or right answers) the normal distribution is too light in its tail."""


@dataclass(frozen=True, slots=True)
class StratifiedDifference:
    """Accuracy of a group minus that of its comparison, within categories."""

    difference: PerGroup
    """Weighted as in the test of Cochran, Mantel and Haenszel: most images count most."""
    p_value: PerGroup
    """Two-sided, on these categories: images are independent."""
    mean_difference: PerGroup
    """Of the categories, each counting once."""
    low: PerGroup
    """Of `mean_difference`, for other categories."""
    high: PerGroup
    p_other_categories: PerGroup
    """Two-sided: t over the differences of the categories, at least `p_value`; NaN with fewer than two."""


def compare_in_strata(
    num_correct: Counts, num_images: Counts, other_correct: Counts, other_images: Counts
) -> StratifiedDifference:
    """Compare each group with its comparison within categories, so that another mix of categories is no effect.

    Two questions. On these categories: the test of Cochran, Mantel and Haenszel (1959), without continuity correction,
    or its exact conditional form (products of hypergeometric distributions, two-sided by doubling) where fewer than
    `FEW_MISTAKES` mistakes or right answers are expected. For other categories: is the mean difference of the
    categories 0? NaN where no category has images on both sides, or where all answers are equal.
    """
    total = num_images + other_images
    right = num_correct + other_correct
    with np.errstate(divide="ignore", invalid="ignore"):
        used = (num_images > 0) & (other_images > 0)
        expected = np.where(used, num_images * right / total, 0)
        spread = num_images * other_images * right * (total - right) / (total**2 * (total - 1))
        weight = num_images * other_images / total
        gap = num_correct / num_images - other_correct / other_images
        surplus = (np.where(used, num_correct, 0) - expected).sum(axis=-2)
        variance = np.where(used, spread, 0).sum(axis=-2)
        difference = np.where(used, weight * gap, 0).sum(axis=-2) / np.where(used, weight, 0).sum(axis=-2)
        z = surplus / np.sqrt(variance)
    p_value = np.where(variance > 0, 2 * scipy.special.ndtr(-np.abs(z)), np.nan)
    rarer = np.minimum(expected.sum(axis=-2), (np.where(used, num_images, 0) - expected).sum(axis=-2))
    few = (variance > 0) & (rarer < FEW_MISTAKES)
    if few.any():
        p_value[few] = _exact_p_values(num_correct, num_images, right, total, used, few)
    mean, low, high, p_other = _over_categories(gap, used)
    # What these images do not show of these categories they cannot show of others: t errs where mistakes are rare.
    return StratifiedDifference(difference, p_value, mean, low, high, np.maximum(p_other, p_value))


def _over_categories(
    gap: np.ndarray, used: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, ends and p-value of t over the categories (axis -2)."""
    count = used.sum(axis=-2)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(used, gap, 0).sum(axis=-2) / count
        square = np.where(used, (gap - mean[..., None, :]) ** 2, 0).sum(axis=-2)
        error = np.sqrt(square / (count - 1) / count)
        reach = scipy.special.stdtrit(np.maximum(count - 1, 1), 0.975) * error
        p_value = np.where(
            (count > 1) & (error > 0), 2 * scipy.special.stdtr(count - 1, -np.abs(mean) / error), np.nan
        )
    known = (count > 1) & (error > 0)
    low, high = (np.where(known, np.clip(mean + sign * reach, -1, 1), np.nan) for sign in (-1, 1))
    return mean, low, high, p_value


def _exact_p_values(
    num_correct: np.ndarray,
    num_images: np.ndarray,
    right: np.ndarray,
    total: np.ndarray,
    used: np.ndarray,
    few: np.ndarray,
) -> np.ndarray:
    """Return the exact p-values of the groups that are `few`, in their order: given the margins of every category."""
    shape = np.broadcast_shapes(num_correct.shape, num_images.shape, right.shape)
    correct, images, hits, everyone = (
        np.moveaxis(np.where(used, np.broadcast_to(part, shape), 0), -2, -1)[few]
        for part in (num_correct, num_images, right, total)
    )
    is_right_rare = (images * hits / np.maximum(everyone, 1)).sum(axis=1) * 2 < images.sum(axis=1)
    rare = np.where(is_right_rare[:, None], hits, everyone - hits)
    seen = np.where(is_right_rare, correct.sum(axis=1), (images - correct).sum(axis=1))
    most = np.minimum(images, rare)
    size = int(most.sum(axis=1).max()) + 1
    chance = np.zeros((len(seen), size))
    chance[:, 0] = 1.0
    for category in range(images.shape[1]):
        drawn, marked, whole = images[:, category], rare[:, category], everyone[:, category]
        moved = np.zeros_like(chance)
        for count in range(int(most[:, category].max()) + 1):
            moved[:, count:] += (
                chance[:, : size - count] * _hypergeometric(count, drawn, marked, whole)[:, None]
            )
        chance = moved
    places = np.arange(size)
    at_most = (chance * (places <= seen[:, None])).sum(axis=1)
    at_least = (chance * (places >= seen[:, None])).sum(axis=1)
    return np.minimum(1.0, 2 * np.minimum(at_most, at_least))


def _hypergeometric(count: int, drawn: np.ndarray, marked: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return the chance of `count` marked ones among `drawn` of `whole`."""
    rest = whole - marked
    possible = (count <= marked) & (count <= drawn) & (drawn - count <= rest)
    chance = (
        scipy.special.binom(marked, count)
        * scipy.special.binom(rest, np.maximum(drawn - count, 0))
        / scipy.special.binom(whole, drawn)
    )
    return np.where(possible, chance, 0.0)


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
        adjusted[known] = scipy.stats.false_discovery_control(p_value[known])
    return adjusted
