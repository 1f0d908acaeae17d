"""How much the workers agree: acceptance, pairwise and majority agreement, Krippendorff's alpha. Pure arithmetic.

Every number has an interval for other images and other workers of the same kind. None is taken from resampled images:
no resample holds an image of a kind that was not met by chance, and near 1 that kind is all that matters.
"""

from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int

from imagenetd.qc.estimates import binomial_bounds

Counts = Int[np.ndarray, " images"]

MIN_MINORITY_IMAGES = 10
"""Alpha compares images that differ: with fewer images that most workers reject (or accept) it is not measured."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and its interval; NaN where it is not defined or not measured."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class _Votes:
    """Votes, or what each adds to a number of its image."""

    image: Int[np.ndarray, " votes"]
    """0, 1, 2 and so on."""
    worker: Int[np.ndarray, " votes"]
    value: np.ndarray
    """Bool or float "votes"."""


NOT_MEASURED = Estimate(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True, slots=True)
class Agreement:
    """How much the workers agree."""

    acceptance: Estimate
    """Mean over the images of the share of votes that accept the image."""
    pairwise: Estimate
    """Mean over the images of the share of pairs of votes that say the same."""
    majority: Estimate
    """Mean over the images of the share of votes that say what most on the image say; of a tie half."""
    alpha: Estimate
    """Krippendorff's alpha for two categories: 1 full agreement, 0 as by chance."""
    num_minority: int
    """Images that most votes accept, or those that most reject, whichever are fewer: alpha rests on them."""


def krippendorff(num_yes: Counts, num_votes: Counts) -> float:
    """Return alpha = 1 - observed / expected disagreement (Krippendorff 2004, chapter 11).

    NaN when all votes are equal. An image with one vote has no pair and does not count.

    >>> krippendorff(np.array([2, 0, 1]), np.array([2, 2, 2]))  # 1 - (1/3) / 0.6
    0.4444444444444444
    """
    return float(_alpha_of(_alpha_sums(num_yes, num_votes).sum(axis=1)))


def _alpha_sums(
    num_yes: Int[np.ndarray, " groups"], num_votes: Int[np.ndarray, " groups"]
) -> Float[np.ndarray, "3 groups"]:
    """Return what each image adds to the accepting votes, the rejecting ones, and the disagreement."""
    counted = num_votes > 1
    yes, no = num_yes * counted, (num_votes - num_yes) * counted
    return np.stack([yes, no, 2 * yes * no / np.maximum(num_votes - 1, 1)])


def _alpha_of(sums: Float[np.ndarray, "3 *groups"]) -> Float[np.ndarray, "*groups"]:
    yes, no, disagreement = sums
    mixed = 2.0 * yes * no
    return np.where(mixed == 0, np.nan, 1 - disagreement * (yes + no - 1) / np.where(mixed == 0, 1.0, mixed))


def measure_agreement(
    image: Int[np.ndarray, " votes"],
    worker: Int[np.ndarray, " votes"],
    accepts: Bool[np.ndarray, " votes"],
    *,
    confidence: float,
) -> Agreement:
    """Return all measures with their intervals; images without votes do not exist here.

    Args:
        image: Of each vote.
        worker: Of each vote.
        accepts: Q1 or Q2.
        confidence: Of the intervals.
    """
    if len(image) == 0:
        return Agreement(NOT_MEASURED, NOT_MEASURED, NOT_MEASURED, NOT_MEASURED, 0)
    _, place = np.unique(image, return_inverse=True)
    votes, yes = np.bincount(place), np.bincount(place[accepts], minlength=int(place.max()) + 1)
    # What one vote adds to the number of its image: its acceptance; how many others say the same; whether most do.
    same = np.where(accepts, yes[place], (votes - yes)[place])
    has_pair = votes[place] > 1
    terms = [
        (accepts.astype(np.float64), np.ones(len(place), dtype=bool), 0.0, 1),
        ((same - 1) / np.maximum(votes[place] - 1, 1), has_pair, 0.5, 2),
        (0.5 * (1 + np.sign(2 * same - votes[place])), has_pair, 0.5, 1),  # of a tie half of the votes
    ]
    shares = [
        _mean_over_images(
            _Votes(place[kept], worker[kept], term[kept]), lowest=lowest, stands=stands, confidence=confidence
        )
        for term, kept, lowest, stands in terms
    ]
    num_minority = int(min((2 * yes > votes).sum(), (2 * yes < votes).sum()))
    alpha = NOT_MEASURED
    if num_minority >= MIN_MINORITY_IMAGES:
        freedom = num_minority - 1
        alpha = _alpha(_Votes(place, worker, accepts), shares[1], confidence=confidence, freedom=freedom)
    acceptance, pairwise, majority = shares
    return Agreement(acceptance, pairwise, majority, alpha, num_minority)


def _mean_over_images(terms: _Votes, *, lowest: float, stands: int, confidence: float) -> Estimate:
    """Return the mean over images of the mean over their votes.

    Args:
        terms: What each vote adds, 0 to 1.
        lowest: The least that the mean of an image can be.
        stands: In how many terms of its image a vote stands: a pair of votes is in the terms of both.
        confidence: Of the interval.

    Images fall into two groups, near 1 and near the lowest value there can be. The share of the rarer group has a
    binomial interval, so that a kind of image that was not met counts; the spread within groups is that of images and
    workers, crossed (Cameron, Gelbach and Miller 2011). Both are joined by the squares of their distances.
    """
    term = terms.value
    if len(term) == 0:
        return NOT_MEASURED
    _, place = np.unique(terms.image, return_inverse=True)
    _, who = np.unique(terms.worker, return_inverse=True)
    votes = np.bincount(place)
    mean = np.bincount(place, weights=term) / votes
    num_images = len(mean)
    is_high = mean > (1 + lowest) / 2
    num_high = int(is_high.sum())
    high = float(mean[is_high].mean()) if num_high else 1.0
    low = float(mean[~is_high].mean()) if num_high < num_images else lowest
    influence = (term - np.where(is_high, high, low)[place]) / (votes[place] * num_images)
    by_image, by_worker = np.bincount(place, weights=influence), np.bincount(who, weights=influence)
    spread = (by_image**2).sum() * num_images / max(1, num_images - 1)
    workers = len(by_worker)
    crossed = stands**2 * ((by_worker**2).sum() * workers / max(1, workers - 1) - (influence**2).sum())
    error = float(np.sqrt(spread + max(0.0, crossed)))
    tail = float(scipy.stats.t.ppf((1 + confidence) / 2, max(1, min(num_images, workers) - 1))) * error
    share_low, share_high = binomial_bounds(
        np.array([num_high]), np.array([num_images]), confidence=confidence
    )
    share, gap = num_high / num_images, high - low
    below = float(np.hypot(gap * (share - share_low[0]), tail))
    above = float(np.hypot(gap * (share_high[0] - share), tail))
    value = float(mean.mean())
    return Estimate(value, max(0.0, value - below), min(1.0, value + above))


def _alpha(given: _Votes, pairwise: Estimate, *, confidence: float, freedom: int) -> Estimate:
    """Return alpha with a jackknife interval on the scale log(1 - alpha), which has no end to run into.

    Left out are one image, and one worker; images and workers are crossed as in `_mean_over_images`.

    Args:
        given: Whether each vote accepts its image.
        pairwise: Agreement of pairs; its interval stands in where (almost) no vote disagrees and nothing is to vary.
        confidence: Of the interval.
        freedom: Degrees of freedom: images of the smaller kind, less one.
    """
    image, accepts = given.image, given.value
    votes, yes = np.bincount(image), np.bincount(image[accepts], minlength=int(image.max()) + 1)
    of_image = _alpha_sums(yes, votes)
    total = of_image.sum(axis=1, keepdims=True)
    value = float(_alpha_of(total)[0])
    _, who = np.unique(given.worker, return_inverse=True)
    lost = of_image[:, image] - _alpha_sums(yes[image] - accepts, votes[image] - 1)
    of_worker = np.stack([np.bincount(who, weights=row) for row in lost])
    # crossed: what leaving workers out moves beyond what leaving their single votes out does
    variance = _jackknife(total - of_image) + max(
        0.0, _jackknife(total - of_worker) - _jackknife(total - lost)
    )
    if not np.isfinite(variance):
        share = float(yes.sum() / votes.sum())
        chance = 2 * share * (1 - share)
        return Estimate(value, min(value, 1 - (1 - pairwise.low) / chance), 1.0)
    reach = float(scipy.stats.t.ppf((1 + confidence) / 2, freedom)) * variance**0.5
    return Estimate(value, float(1 - (1 - value) * np.exp(reach)), float(1 - (1 - value) * np.exp(-reach)))


def _jackknife(sums: Float[np.ndarray, "3 groups"]) -> float:
    """Return the variance of log(1 - alpha) by the jackknife; `sums` have one group less each. NaN where alpha is 1."""
    alpha = _alpha_of(sums)
    if np.isnan(alpha).any() or (alpha >= 1).any():
        return float("nan")
    moved = np.log1p(-alpha)
    size = len(moved)
    return float((size - 1) / size * ((moved - moved.mean()) ** 2).sum())
