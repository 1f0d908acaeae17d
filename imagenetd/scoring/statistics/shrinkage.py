"""Empirical-Bayes shrinkage of accuracies: the beta-binomial model, with its own uncertainty averaged over."""

import numpy as np
import scipy
from jaxtyping import Float, Int

Counts = Int[np.ndarray, " groups"]
Rates = Float[np.ndarray, " groups"]

MAX_TABLED = 512
"""Up to so many images of a group, pairs of counts are told apart by counting."""
MAX_IMAGES = 2**31
"""Of a group, so that two counts fit into one whole number."""
NUM_SPREADS, NUM_CENTRES, CENTRE_RANGE, MAX_ERROR = 20, 9, 3.0, 2.0


def shrink(
    num_correct: Counts, num_images: Counts, *, confidence: float = 0.95
) -> tuple[Rates, Rates, Rates]:
    """Return mean, lower and upper end of each group's accuracy, given that the groups are alike.

    Each group's true accuracy is a draw from one Beta distribution, its number of correct answers Binomial.
    The Beta's mean and spread are not known either: the posterior is averaged over a grid of both, with a flat
    prior on the intra-class correlation (Kleinman 1973, JASA 68, 46-54; Gelman et al., Bayesian Data Analysis,
    section 5.3). The intervals cover on average over the groups, not each group on its own. A group without
    images gets the mean of the groups.

    >>> mean, low, high = shrink(np.array([0, 5, 10, 5]), np.array([10, 10, 10, 10]))
    >>> bool(0 < mean[0] < 0.2), bool(0.8 < mean[2] < 1)
    (True, True)
    """
    if num_images.sum() == 0:
        unknown = np.full(len(num_images), np.nan)
        return unknown, np.zeros(len(num_images)), np.ones(len(num_images))
    base = int(num_images.max()) + 1
    if base > MAX_IMAGES:
        raise ValueError(f"A group has {base - 1:,} images; at most {MAX_IMAGES - 1:,} can be told apart.")
    code = num_correct * base + num_images
    pairs, index = np.unique(code, return_inverse=True) if base > MAX_TABLED else _unique(code, base**2)
    repeats = np.bincount(index, minlength=len(pairs))
    correct = (pairs // base).astype(np.float64)
    wrong = pairs % base - correct
    alpha, beta, width = _grid(num_correct, num_images)
    fit = _log_beta(correct[:, None] + alpha, wrong[:, None] + beta) - _log_beta(alpha, beta)
    log_weight = repeats @ fit + np.log(width)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    total = (correct + wrong)[:, None] + alpha + beta
    means = (correct[:, None] + alpha) / total
    mean = means @ weight
    # Not E[x^2] - E[x]^2, which loses every digit where the groups are nearly all right.
    variance = (means * (1 - means) / (total + 1) + (means - mean[:, None]) ** 2) @ weight
    low, high = _beta_interval(mean, variance, confidence)
    return mean[index], low[index], high[index]


def _unique(code: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct codes and each one's place among them; counting is faster than sorting."""
    pairs = np.flatnonzero(np.bincount(code, minlength=size))
    place = np.zeros(size, dtype=np.int64)
    place[pairs] = np.arange(len(pairs))
    return pairs, place[code]


def _grid(num_correct: np.ndarray, num_images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return alpha, beta and the prior volume of every grid point; centres lie closer where the data say more."""
    used = num_images > 0
    groups, images = int(used.sum()), int(num_images.sum())
    centre = (num_correct.sum() + 0.5) / (images + 1)
    spread = (np.arange(NUM_SPREADS) + 0.5) / NUM_SPREADS
    correlation = spread**2  # flat in the correlation, closer where it is small
    error = np.sqrt((1 / images + correlation / groups) / (centre * (1 - centre)))
    error = np.minimum(error, MAX_ERROR)  # without a right or a wrong answer the formula has no meaning
    step = np.linspace(-CENTRE_RANGE, CENTRE_RANGE, NUM_CENTRES)
    mean = scipy.special.expit(scipy.special.logit(centre) + error[:, None] * step)
    strength = np.broadcast_to((1 / correlation - 1)[:, None], mean.shape)
    volume = (2 * spread * error)[:, None] * mean * (1 - mean)  # d correlation x d mean
    return (mean * strength).ravel(), ((1 - mean) * strength).ravel(), volume.ravel()


def _log_beta(alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
    return scipy.special.gammaln(alpha) + scipy.special.gammaln(beta) - scipy.special.gammaln(alpha + beta)


def _beta_interval(
    mean: np.ndarray, variance: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the Beta distribution with these two moments."""
    strength = mean * (1 - mean) / variance - 1
    alpha, beta = mean * strength, (1 - mean) * strength
    tail = (1 - confidence) / 2
    low, high = scipy.special.betaincinv(alpha, beta, tail), scipy.special.betaincinv(alpha, beta, 1 - tail)
    return np.minimum(low, mean), np.maximum(high, mean)  # near 0 and 1 the mean can lie outside
