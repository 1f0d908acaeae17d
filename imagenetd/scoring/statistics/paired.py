"""Two models on the same images: who wins where they differ, how alike their mistakes are, which ranks are possible."""

from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int

from imagenetd.scoring.statistics.intervals import Estimate, degrees_of_freedom_of, simultaneous_confidence
from imagenetd.scoring.statistics.jackknife import jackknife_interval

Counts = Int[np.ndarray, "*pairs"]
Rates = Float[np.ndarray, "*pairs"]


def mcnemar_p_value(only_a: Counts, only_b: Counts) -> Rates:
    """Return the exact two-sided p-value of McNemar's test: of the images that only one model gets right, half each.

    >>> mcnemar_p_value(np.array([1]), np.array([6])).round(4).tolist()
    [0.125]
    """
    total = only_a + only_b
    fewer = np.minimum(only_a, only_b)
    return np.minimum(1.0, 2 * scipy.special.bdtr(fewer.astype(np.float64), total, 0.5))


def error_consistency(
    num_images: Float[np.ndarray, "*#pairs"], right_a: Rates, right_b: Rates, both_right: Rates
) -> Rates:
    """Return Cohen's kappa of right and wrong (Geirhos, Meding and Wichmann 2020, NeurIPS, equation 1).

    0: as alike as two models of these accuracies with independent mistakes; 1: the same mistakes. NaN where a
    model is always right or always wrong together with the other, since nothing can differ.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b, both = right_a / num_images, right_b / num_images, both_right / num_images
        observed = 1 - a - b + 2 * both
        expected = a * b + (1 - a) * (1 - b)
        return np.where(expected < 1 - 1e-12, (observed - expected) / (1 - expected), np.nan)


@dataclass(frozen=True, slots=True)
class PairCounts:
    """The answers of the two models of each pair to the images that count for both, by cluster."""

    images: Float[np.ndarray, "clusters pairs"]
    right_a: Float[np.ndarray, "clusters pairs"]
    right_b: Float[np.ndarray, "clusters pairs"]
    both: Float[np.ndarray, "clusters pairs"]
    """Images on which both are right."""

    @property
    def only_a(self) -> Float[np.ndarray, "clusters pairs"]:
        """Images on which only the first is right."""
        return self.right_a - self.both

    @property
    def only_b(self) -> Float[np.ndarray, "clusters pairs"]:
        """Images on which only the second is right."""
        return self.right_b - self.both

    @property
    def neither(self) -> Float[np.ndarray, "clusters pairs"]:
        """Images on which both are wrong."""
        return self.images - self.right_a - self.only_b


def pair_counts(
    correct: Bool[np.ndarray, "models images"],
    counted: Bool[np.ndarray, "models images"],
    pairs: tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]],
    *,
    cluster: Int[np.ndarray, " images"],
) -> PairCounts:
    """Return the counts of each pair in every cluster that has an image, in the order of the clusters.

    Args:
        correct: Of all models.
        counted: An image that does not count for one of the two stands in no number of the pair.
        pairs: Rows of the first and of the second model of each.
        cluster: Of each image.
    """
    order = np.argsort(cluster, kind="stable")
    found, first = np.unique(cluster[order], return_index=True)
    right, known = ((part[:, order]).astype(np.float32) for part in (correct & counted, counted))
    sums = np.zeros((4, len(found), len(pairs[0])))
    for number, (start, end) in enumerate(zip(first, [*first[1:], len(order)], strict=True)):
        a, b = right[:, start:end], known[:, start:end]
        for row, product in enumerate((b @ b.T, a @ b.T, b @ a.T, a @ a.T)):
            sums[row, number] = product[pairs]
    return PairCounts(*sums)


MIN_MISTAKES = 5
"""Mistakes, or right answers where these are rarer, without which a kappa is not measured."""


def kappa_interval(
    num_images: Float[np.ndarray, "clusters *columns"],
    right_a: Float[np.ndarray, "clusters pairs"],
    right_b: Float[np.ndarray, "clusters pairs"],
    both_right: Float[np.ndarray, "clusters pairs"],
    *,
    confidence: float = 0.95,
) -> Estimate:
    """Return the error consistency of each pair with its interval for other clusters; NaN where it is not measured.

    The jackknife over clusters on Fisher's scale (arctanh), with half an image more in each of the four fields of a
    pair's table, so that a field without images does not look certain (Haldane 1956). Not measured: fewer than
    `MIN_MISTAKES` mistakes, or right answers, of one of the two, or fewer than two clusters.
    """
    sums = [
        np.broadcast_to(num_images.reshape(len(right_a), -1), right_a.shape),
        right_a,
        right_b,
        both_right,
    ]
    totals = [part.sum(axis=0) for part in sums]
    images, a, b, _ = totals
    is_measured = np.minimum.reduce([a, images - a, b, images - b]) >= MIN_MISTAKES
    value = np.where(is_measured, error_consistency(*totals), np.nan)
    middle = _smoothed_kappa(*totals)
    left_out = _smoothed_kappa(*(total - part for total, part in zip(totals, sums, strict=True)))
    found = jackknife_interval(
        np.clip(middle, -SURE, SURE),
        np.clip(left_out, -SURE, SURE),
        num_images=num_images,
        bounds=(-1.0, 1.0),
        scale=np.arctanh,
        back=np.tanh,
        confidence=confidence,
    )
    low, high = np.minimum(found.low, value), np.maximum(found.high, value)
    unknown = ~is_measured | np.isnan(found.low)
    return Estimate.of(
        np.where(unknown, np.nan, value),
        found.error,
        *(np.where(unknown, np.nan, end) for end in (low, high)),
    )


SURE = 0.9999
"""Fisher's scale has no place for 1."""


def _smoothed_kappa(
    images: np.ndarray, right_a: np.ndarray, right_b: np.ndarray, both: np.ndarray
) -> np.ndarray:
    return error_consistency(images + 2.0, right_a + 1.0, right_b + 1.0, both + 0.5)


@dataclass(frozen=True, slots=True)
class ModelDifferences:
    """Accuracy of one model minus that of another, over whole clusters."""

    difference: Float[np.ndarray, "*pairs"]
    error: Float[np.ndarray, "*pairs"]
    """Standard error for other clusters, at least that of independent images."""
    degrees_of_freedom: Float[np.ndarray, "*#pairs"]


def model_differences(
    num_correct: Float[np.ndarray, "clusters models"], num_images: Float[np.ndarray, "clusters *columns"]
) -> ModelDifferences:
    """Return the difference of every two models, "models models", with its error over clusters.

    Residuals and degrees of freedom (of two models the fewer) as in `intervals.clustered_share`. Two models that
    differ by a share d differ on at least as many images, which bounds the error from below.
    """
    share, residual, total, freedom = _residuals(num_correct, num_images)
    square = (residual**2).sum(axis=0)
    variance = square[:, None] + square[None] - 2 * residual.T @ residual
    fewer, freedom = (np.asarray(np.minimum.outer(number, number)) for number in (total, freedom))
    return _with_floor(share[:, None] - share[None], variance, fewer, freedom)


def pair_differences(counts: PairCounts) -> ModelDifferences:
    """Return the difference of the two models of each pair, as `model_differences`, on the images of both."""
    gap, residual, total, freedom = _residuals(counts.right_a - counts.right_b, counts.images)
    return _with_floor(gap, (residual**2).sum(axis=0), total, freedom)


def _residuals(
    counts: np.ndarray, images: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return for each column its share, the residuals of the clusters, all images, and the degrees of freedom."""
    total = np.asarray(np.maximum(images.sum(axis=0), 1.0))
    weight = images / total
    spread = TYPICAL_CORRELATION + (1 - TYPICAL_CORRELATION) / np.maximum(images, 1)
    least = (weight**2 * spread).sum(axis=0)
    scale = np.sqrt(spread / np.maximum((1 - 2 * weight) * spread + least, 1e-12))
    share = counts.sum(axis=0) / total
    images, scale = (part.reshape(len(counts), -1) for part in (images, scale))  # one column stands for all
    return share, scale * (counts - share * images) / total, total, degrees_of_freedom_of(weight, spread)


def _with_floor(
    gap: np.ndarray, variance: np.ndarray, total: np.ndarray, freedom: np.ndarray
) -> ModelDifferences:
    floor = np.maximum(np.abs(gap) - gap**2, 1 / total) / total
    return ModelDifferences(gap, np.sqrt(np.maximum(variance, floor)), np.asarray(freedom))


TYPICAL_CORRELATION = 0.1
"""Of two answers in one category, for the degrees of freedom alone."""


def rank_bounds(
    num_correct: Float[np.ndarray, "clusters models"],
    num_images: Float[np.ndarray, "clusters *columns"],
    *,
    confidence: float = 0.95,
) -> tuple[Int[np.ndarray, " models"], Int[np.ndarray, " models"]]:
    """Return the best and the worst rank of each model that the data allow, for all models at once; 1 is best.

    A model's best rank counts those that are surely better, its worst those that are surely worse, for other
    clusters (Mogstad, Romano, Shaikh and Wilhelm 2024, Rev. Econ. Stud. 91, section 3). "Surely" holds for all pairs
    together, by Sidak's bound, which also holds with three clusters, where resamples do not.
    """
    size = num_correct.shape[1]
    if size < 2 or len(num_images) < 2:
        return np.ones(size, dtype=np.int64), np.full(size, size, dtype=np.int64)
    found = model_differences(num_correct, num_images)
    level = simultaneous_confidence(size * (size - 1) // 2, confidence=confidence)
    reach = scipy.special.stdtrit(found.degrees_of_freedom, 0.5 + level / 2) * found.error
    better = found.difference > reach
    return 1 + better.sum(axis=0), size - better.sum(axis=1)
