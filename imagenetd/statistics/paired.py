"""Two models on the same images: who wins where they differ, how alike their mistakes are, which ranks are possible."""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import bdtr, ndtri, stdtrit

Counts = Int[np.ndarray, "*pairs"]
Rates = Float[np.ndarray, "*pairs"]


def mcnemar_p_value(only_a: Counts, only_b: Counts) -> Rates:
    """Return the exact two-sided p-value of McNemar's test: of the images that only one model gets right, half each.

    >>> mcnemar_p_value(np.array([1]), np.array([6])).round(4).tolist()
    [0.125]
    """
    total = only_a + only_b
    fewer = np.minimum(only_a, only_b)
    return np.minimum(1.0, 2 * bdtr(fewer.astype(np.float64), total, 0.5))


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


def pair_sums(
    correct: Bool[np.ndarray, "models images"], cluster: Int[np.ndarray, " images"], num_clusters: int
) -> Float[np.ndarray, "clusters models models"]:
    """Return for each cluster on how many images both models of a pair are right; the diagonal is each alone."""
    order = np.argsort(cluster, kind="stable")
    bounds = np.searchsorted(cluster[order], np.arange(num_clusters + 1))
    ordered = correct[:, order].astype(np.float32)
    sums = np.zeros((num_clusters, len(correct), len(correct)))
    for number in range(num_clusters):
        part = ordered[:, bounds[number] : bounds[number + 1]]
        sums[number] = part @ part.T
    return sums


def rank_bounds(
    value: Float[np.ndarray, " models"],
    drawn: Float[np.ndarray, "draws models"],
    *,
    num_clusters: int,
    confidence: float = 0.95,
) -> tuple[Int[np.ndarray, " models"], Int[np.ndarray, " models"]]:
    """Return the best and the worst rank of each model that the data allow, for all models at once; 1 is best.

    A model's best rank counts those that are surely better, its worst those that are surely worse. "Surely" is
    judged over all pairs together by the bootstrap's largest studentised difference (Mogstad, Romano, Shaikh and
    Wilhelm 2024, Rev. Econ. Stud. 91, section 3), widened for few clusters as in `bootstrap.interval_of`.
    """
    size = len(value)
    if size < 2 or num_clusters < 2:
        return np.ones(size, dtype=np.int64), np.full(size, size, dtype=np.int64)
    first, second = np.triu_indices(size, 1)
    gap = value[first] - value[second]
    moved = drawn[:, first] - drawn[:, second]
    moved = moved[np.isfinite(moved).all(axis=1)]
    error = moved.std(axis=0, ddof=1)
    scale = np.maximum(error, 1e-9)  # equal models differ by nothing in every draw
    limit = float(np.quantile((np.abs(moved - gap) / scale).max(axis=1), confidence))
    tail = 0.5 + confidence / 2
    limit *= float(stdtrit(num_clusters - 1, tail) / ndtri(tail))
    limit *= float(np.sqrt(num_clusters / (num_clusters - 1)))
    better = np.zeros((size, size), dtype=bool)
    better[first, second] = gap > limit * scale
    better[second, first] = -gap > limit * scale
    return 1 + better.sum(axis=0), size - better.sum(axis=1)
