"""The one home of intervals: of shares, of differences, over images or over whole categories.

Every interval answers for a population, and whoever shows it says which:

- THESE_IMAGES: exactly the images that were counted. A share of them is exact and needs no interval.
- THESE_CATEGORIES: other images (seeds) of the same categories and nuisances. Images count as independent.
- OTHER_CATEGORIES: other categories of the same sort. Whole categories are the units.

No interval here has no width: where nothing was seen to go wrong, a bound remains.
"""

from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Float, Int

THESE_IMAGES = "these images"
THESE_CATEGORIES = "these categories"
OTHER_CATEGORIES = "other categories"
OTHER_SEEDS = "other seeds"

Number = np.ndarray | np.floating | np.integer | float
"""Arithmetic turns an array without axes into a plain number."""
Counts = Int[np.ndarray, "*slices"] | Float[np.ndarray, "*slices"] | np.floating | np.integer | float | int
Rates = Float[np.ndarray, "*slices"]
Sums = Int[np.ndarray, "clusters *#columns"] | Float[np.ndarray, "clusters *#columns"]

NUM_CORRELATIONS = 10
"""Grid of the correlation of answers within a cluster."""
CAUTION = 0.25
"""Standard deviations above its mean at which the correlation is taken: measured in tests/slow/test_coverage.py."""
TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval."""

    value: np.ndarray
    error: np.ndarray
    """Standard error."""
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, *numbers: Number) -> "Estimate":
        """Make one of value, error, low and high."""
        return cls(*(np.asarray(number) for number in numbers))


def wilson_interval(
    num_correct: Counts, num_images: Counts, *, confidence: float = 0.95
) -> tuple[Rates, Rates]:
    """Return the lower and upper end of the score interval of a proportion (Wilson 1927, JASA 22, 209-212).

    It stands for other images of these categories. Without any image nothing is known: the interval is (0, 1).

    >>> low, high = wilson_interval(np.array([5, 0]), np.array([10, 0]))
    >>> low.round(4).tolist(), high.round(4).tolist()
    ([0.2366, 0.0], [0.7634, 1.0])
    """
    from statsmodels.stats.proportion import (
        proportion_confint,  # takes a second, and not every command needs it
    )

    correct, images = np.asarray(num_correct, dtype=np.float64), np.asarray(num_images, dtype=np.float64)
    low, high = proportion_confint(correct, np.maximum(images, 1), alpha=1 - confidence, method="wilson")
    return np.where(images == 0, 0.0, low), np.where(images == 0, 1.0, high)


def zero_events_bound(num_images: Counts, *, confidence: float = 0.95) -> Rates:
    """Return the largest share that fits having seen none in so many images (Clopper and Pearson 1934).

    >>> round(float(zero_events_bound(np.array(122))), 3)
    0.03
    """
    images = np.maximum(np.asarray(num_images, dtype=np.float64), TINY)
    return np.asarray(1 - ((1 - confidence) / 2) ** (1 / images))


def simultaneous_confidence(num_intervals: int, *, confidence: float = 0.95) -> float:
    """Return the confidence at which each of so many intervals is drawn, so that all of them hold together.

    For the largest, smallest, widest or worst of many numbers, which the data chose (Sidak 1967, JASA 62, 626-633:
    conservative for normal estimates whatever their correlation).

    >>> round(simultaneous_confidence(20), 4)
    0.9974
    """
    return float(confidence ** (1 / max(1, num_intervals)))


def newcombe_difference(
    correct_a: Counts, images_a: Counts, correct_b: Counts, images_b: Counts, *, confidence: float = 0.95
) -> Estimate:
    """Return share a - share b of images that have nothing in common (Newcombe 1998, Stat. Med. 17, method 10).

    It stands for other images of these categories.

    >>> found = newcombe_difference(*(np.array(count) for count in (56, 70, 48, 80)))
    >>> round(float(found.low), 4), round(float(found.high), 4)
    (0.0524, 0.3339)
    """
    first = _wilson_estimate(correct_a, images_a, confidence)
    second = _wilson_estimate(correct_b, images_b, confidence)
    return _difference(first, second, correlation=np.zeros(()))


def subset_difference(
    num_correct: Counts,
    num_images: Counts,
    correct_inside: Counts,
    images_inside: Counts,
    *,
    confidence: float = 0.95,
) -> Estimate:
    """Return the share of a set minus the share of a subset of it: a drop from the pool to its hard images.

    The set is the subset and a rest, which have no image in common: set - subset = (rest - subset) x the rest's part
    of the set. NaN and (-1, 1) where either is empty; where nothing is left out, what could have been (see
    `zero_events_bound`) gives the width. It stands for other images of these categories.
    """
    whole = [np.asarray(counts, dtype=np.float64) for counts in (num_correct, num_images)]
    inside = [np.asarray(counts, dtype=np.float64) for counts in (correct_inside, images_inside)]
    rest_images = np.maximum(whole[1] - inside[1], 0)
    rest_correct = np.clip(whole[0] - inside[0], 0, rest_images)
    rest = _wilson_estimate(rest_correct, rest_images, confidence)
    part = _wilson_estimate(inside[0], inside[1], confidence)
    return _of_subset(rest, part, rest_images, whole[1], np.zeros(()), confidence)


def clustered_share(num_correct: Sums, num_images: Sums, *, confidence: float = 0.95) -> Estimate:
    """Return the share of right answers over all clusters, with an interval for other clusters.

    Korn and Graubard (1998, Survey Methodology 24): the exact interval of Clopper and Pearson at the effective number
    of images. That comes from the residuals of the clusters, each divided by its expected size (Bell and McCaffrey
    2002, Survey Methodology 28, with their degrees of freedom, for clusters of unequal size), and is never more than
    the correlation within clusters allows that the counts leave possible: clusters that are all right say little
    about the next one. Holds near 0 and 1, with 3 clusters and with skewed sizes, where value +- t x error does not.
    With fewer than two clusters nothing is known: (0, 1).
    """
    return _share_of(_Clusters.of(num_correct, num_images, confidence))


def clustered_difference(
    correct_a: Sums, images_a: Sums, correct_b: Sums, images_b: Sums, *, confidence: float = 0.95
) -> Estimate:
    """Return share a - share b over the same clusters, paired by cluster, with an interval for other clusters.

    The two intervals of `clustered_share` are joined with the correlation of their residuals (Zou and Donner 2008,
    Stat. Med. 27, 1693-1702), so the difference keeps inside -1..1 and never has no width. Two models on the same
    images: give the images that only one of them gets right, and all images twice.
    """
    first, second = (
        _Clusters.of(correct_a, images_a, confidence),
        _Clusters.of(correct_b, images_b, confidence),
    )
    return _difference(_share_of(first), _share_of(second), correlation=_correlation(first, second))


def clustered_subset_difference(
    num_correct: Sums,
    num_images: Sums,
    correct_inside: Sums,
    images_inside: Sums,
    *,
    confidence: float = 0.95,
) -> Estimate:
    """Return the share of a set minus that of a subset of it, with an interval for other clusters.

    As `subset_difference`, with the intervals of `clustered_share`, paired by cluster.
    """
    whole = [np.asarray(counts, dtype=np.float64) for counts in (num_correct, num_images)]
    inside = [np.asarray(counts, dtype=np.float64) for counts in (correct_inside, images_inside)]
    rest_images = np.maximum(whole[1] - inside[1], 0)
    rest_correct = np.clip(whole[0] - inside[0], 0, rest_images)
    rest, part = (
        _Clusters.of(rest_correct, rest_images, confidence),
        _Clusters.of(inside[0], inside[1], confidence),
    )
    return _of_subset(
        _share_of(rest),
        _share_of(part),
        rest_images.sum(axis=0),
        whole[1].sum(axis=0),
        _correlation(rest, part),
        confidence,
    )


def share_from_error(
    value: Rates,
    error: Rates,
    *,
    num_images: Counts,
    degrees_of_freedom: float | int,
    confidence: float = 0.95,
) -> tuple[Rates, Rates]:
    """Return the ends for a share whose standard error over clusters is known, for example from resamples.

    The exact interval at the effective number of images: inside 0..1, and as wide as `num_images` independent images
    where the error is 0. Prefer `clustered_share` where the counts are at hand.
    """
    quantile = 0.5 + confidence / 2
    reach = scipy.special.stdtrit(np.maximum(degrees_of_freedom, 1), quantile) / scipy.special.ndtri(quantile)
    spread = np.maximum((np.nan_to_num(error) * reach) ** 2, TINY)
    effective = np.minimum(np.asarray(value * (1 - value) / spread), num_images)
    effective = np.where(error > 0, effective, num_images)
    known = np.isfinite(value) & (np.asarray(num_images) > 0) & (degrees_of_freedom >= 1)
    low, high = _exact(np.where(known, value, 0.5), np.where(known, effective, 1.0), confidence)
    return np.where(known, low, 0.0), np.where(known, high, 1.0)


@dataclass(frozen=True, slots=True)
class _Clusters:
    """What the clusters say about one share, or about one in each column."""

    num_clusters: np.ndarray
    share: np.ndarray
    residuals: np.ndarray
    """"clusters *columns": parts of the error, each at its expected size."""
    variance_of_one: np.ndarray
    """Of the share, as a multiple of p (1 - p): from the residuals, with the t of few clusters."""
    variance_at_least: np.ndarray
    """The same, from the correlation within clusters that the counts leave possible."""
    error: np.ndarray
    num_images: np.ndarray
    confidence: float

    @classmethod
    def of(cls, num_correct: Sums, num_images: Sums, confidence: float) -> "_Clusters":
        correct, images = np.broadcast_arrays(
            np.asarray(num_correct, dtype=np.float64), np.asarray(num_images, dtype=np.float64)
        )
        total = images.sum(axis=0)
        weight = images / np.maximum(total, 1)
        share = correct.sum(axis=0) / np.maximum(total, TINY)
        related = _correlation_within(correct, images)
        spread = related + (1 - related) / np.maximum(images, 1)
        least = (weight**2 * spread).sum(axis=0)
        expected = (1 - 2 * weight) * spread + least
        scale = np.sqrt(np.where(expected > TINY, spread / np.maximum(expected, TINY), 0.0))
        residuals = scale * (correct - share * images) / np.maximum(total, 1)
        variance = (residuals**2).sum(axis=0)
        quantile = 0.5 + confidence / 2
        reach = scipy.special.stdtrit(degrees_of_freedom_of(weight, spread), quantile) / scipy.special.ndtri(
            quantile
        )
        of_one = variance * reach**2 / np.maximum(share * (1 - share), TINY)
        return cls(
            np.asarray((images > 0).sum(axis=0)),
            np.asarray(share),
            residuals,
            np.asarray(of_one),
            np.asarray(least),
            np.asarray(np.sqrt(variance)),
            np.asarray(total),
            confidence,
        )


def degrees_of_freedom_of(weight: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Return those of the variance of a weighted mean of clusters (Bell and McCaffrey 2002, equation 8), at least 1.

    Args:
        weight: "clusters *columns", adding up to 1.
        spread: Variance of the mean of each cluster, up to a factor.
    """
    least, own = (weight**2 * spread).sum(axis=0), weight * spread
    expected = (1 - 2 * weight) * spread + least
    size = np.where(expected > TINY, spread / np.maximum(expected, TINY), 0.0) * weight**2
    trace = (size * expected).sum(axis=0)
    zero, first, second = (((size * own**power).sum(axis=0)) for power in (0, 1, 2))
    pairs = least**2 * zero**2 + 2 * zero * second - 4 * least * zero * first + 2 * first**2
    diagonal = size**2 * (expected**2 - (least - 2 * own) ** 2)
    return np.asarray(np.maximum(trace**2 / np.maximum(pairs + diagonal.sum(axis=0), TINY**2), 1.0))


def _correlation_within(correct: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return how alike two answers of one cluster may be: the posterior mean of the intra-class correlation and a bit.

    From the beta-binomial likelihood at the mean of all clusters, with a flat prior.
    """
    share = np.asarray((correct.sum(axis=0) + 0.5) / (images.sum(axis=0) + 1))
    root = (np.arange(NUM_CORRELATIONS) + 0.5) / NUM_CORRELATIONS  # closer where the correlation is small
    fit = np.stack([_log_likelihood(correct, images, share, float(u**2)) + np.log(u) for u in root])
    weight = np.exp(fit - fit.max(axis=0))
    weight /= weight.sum(axis=0)
    grid = (root**2).reshape(-1, *[1] * share.ndim)
    mean = (weight * grid).sum(axis=0)
    deviation = np.sqrt(np.maximum((weight * grid**2).sum(axis=0) - mean**2, 0.0))
    return np.asarray(np.minimum(mean + CAUTION * deviation, grid.max()))


def _log_likelihood(
    correct: np.ndarray, images: np.ndarray, share: np.ndarray, correlation: float
) -> np.ndarray:
    alpha, beta = share * (1 / correlation - 1), (1 - share) * (1 / correlation - 1)
    each = (
        scipy.special.gammaln(correct + alpha)
        + scipy.special.gammaln(images - correct + beta)
        - scipy.special.gammaln(images + alpha + beta)
    )
    alone = scipy.special.gammaln(alpha) + scipy.special.gammaln(beta) - scipy.special.gammaln(alpha + beta)
    return np.asarray(each.sum(axis=0) - len(images) * alone)


def _share_of(clusters: _Clusters) -> Estimate:
    variance = np.maximum(clusters.variance_of_one, clusters.variance_at_least)
    known = clusters.num_clusters >= 2
    effective = np.minimum(1 / np.maximum(variance, TINY), np.maximum(clusters.num_images, 1))
    low, high = _exact(clusters.share, effective, clusters.confidence)
    return Estimate.of(
        np.where(clusters.num_images > 0, clusters.share, np.nan),
        np.where(known, clusters.error, np.nan),
        np.where(known, low, 0.0),
        np.where(known, high, 1.0),
    )


def _exact(share: Number, images: Number, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of Clopper's and Pearson's interval; the number of images need not be whole."""
    right, wrong, tail = share * images, (1 - share) * images, (1 - confidence) / 2
    low = np.where(right <= TINY, 0.0, scipy.special.betaincinv(np.maximum(right, TINY), wrong + 1, tail))
    high = np.where(
        wrong <= TINY, 1.0, scipy.special.betaincinv(right + 1, np.maximum(wrong, TINY), 1 - tail)
    )
    return low, high


def _wilson_estimate(num_correct: Counts, num_images: Counts, confidence: float) -> Estimate:
    images = np.asarray(num_images, dtype=np.float64)
    share = np.asarray(num_correct, dtype=np.float64) / np.maximum(images, 1)
    low, high = wilson_interval(num_correct, num_images, confidence=confidence)
    error = np.sqrt(share * (1 - share) / np.maximum(images, 1))
    return Estimate.of(np.where(images > 0, share, np.nan), error, low, high)


def _correlation(first: _Clusters, second: _Clusters) -> np.ndarray:
    product = (first.residuals * second.residuals).sum(axis=0)
    return np.asarray(product / np.maximum(first.error * second.error, TINY))


def _difference(first: Estimate, second: Estimate, *, correlation: Number) -> Estimate:
    """Return first - second: the distances to their ends, joined like standard errors (Zou and Donner 2008)."""
    value = first.value - second.value
    below_first, above_first = first.value - first.low, first.high - first.value
    below_second, above_second = second.value - second.low, second.high - second.value
    low = value - _joined(below_first, above_second, correlation)
    high = value + _joined(above_first, below_second, correlation)
    known = np.isfinite(value) & (np.isfinite(first.error) | np.isfinite(second.error))
    error = _joined(first.error, second.error, correlation)
    return Estimate.of(
        value,
        np.where(known, error, np.nan),
        np.where(known, np.maximum(low, -1.0), -1.0),
        np.where(known, np.minimum(high, 1.0), 1.0),
    )


def _joined(first: Number, second: Number, correlation: Number) -> np.ndarray:
    return np.asarray(np.sqrt(np.maximum(first**2 + second**2 - 2 * correlation * first * second, 0.0)))


FEW_LEFT_OUT = 10
"""With fewer images outside a subset, how many there would be another time matters more than what they show."""


def _of_subset(
    rest: Estimate,
    part: Estimate,
    num_rest: Number,
    num_images: Number,
    correlation: Number,
    confidence: float,
) -> Estimate:
    """Return set - subset = (rest - subset) x the rest's part of the set."""
    outside = num_rest / np.maximum(num_images, 1)
    gap = _difference(rest, part, correlation=correlation)
    low, high = outside * gap.low, outside * gap.high
    # Nothing is known of images that were not left out, but they can be no better than all right, no worse than none.
    least, most = wilson_interval(num_rest, num_images, confidence=confidence)
    most = np.where(num_rest == 0, zero_events_bound(num_images, confidence=confidence), most)
    gap_low = np.where(num_rest > 0, gap.low, -part.high)
    gap_high = np.where(num_rest > 0, gap.high, 1 - part.low)
    few = num_rest < FEW_LEFT_OUT
    low = np.where(few, np.minimum(least * gap_low, most * gap_low), low)
    high = np.where(few, np.maximum(least * gap_high, most * gap_high), high)
    known = np.isfinite(part.value) & (num_images > 0)
    value = np.where(num_rest > 0, outside * gap.value, 0.0)
    return Estimate.of(
        np.where(known, value, np.nan),
        np.where(known, outside * gap.error, np.nan),
        np.where(known, low, -1.0),
        np.where(known, high, 1.0),
    )
