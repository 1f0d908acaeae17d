"""When enough workers have looked at an image: without a word about how accurate they are. Pure arithmetic.

A worker who is asked at random accepts an image with some chance p, its accept share, of which nothing is assumed. The
decision that all workers together would take is whether p is above the share m that accepts (`min_share`, a half).
"""

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int

from imagenetd.config.qc import StoppingConfig

Counts = Int[np.ndarray, " images"]

ALL_IN = 0.75
"""Part of the stake that bets on workers who all say the same: with it seven equal votes are worth 104 to 1."""


def wealth(num_yes: Counts, num_votes: Counts, *, share: float) -> Float[np.ndarray, " images"]:
    """Return what a gambler has who began with 1 and bets, vote by vote, against "the share is at most `share`".

    Where that is true the bets are unfair to the gambler, so whenever one looks and however often, the chance that the
    wealth ever reached 1 / a is at most a (Ville's inequality). The shares that cannot be bet against with success are
    the confidence sequence of Waudby-Smith and Ramdas (2024, "Estimating means of bounded random variables by
    betting"); for votes the bets that learn are Robbins' mixture: here over accept shares from `share` to 1, a part of
    the stake (`ALL_IN`) on 1 itself.

        W = w 1[all yes] m^-n + (1 - w) / (1 - m) * integral_m^1 (q / m)^yes ((1 - q) / (1 - m))^no dq

    >>> wealth(np.array([7, 9]), np.array([7, 10]), share=0.5).round(1).tolist()
    [104.0, 4.6]
    """
    if share >= 1:
        return np.ones(len(num_yes))  # no share is above 1: nothing to bet on
    num_no = num_votes - num_yes
    log_fair = scipy.special.xlogy(num_yes, share) + scipy.special.xlogy(num_no, 1 - share)
    with np.errstate(divide="ignore"):
        above = scipy.special.betaincc(num_yes + 1, num_no + 1, share)
        log_mean = scipy.special.betaln(num_yes + 1, num_no + 1) + np.log(above)
    with np.errstate(over="ignore"):
        mixture = np.exp(log_mean - log_fair - np.log(1 - share))
        certain = np.where(num_no == 0, np.exp(-log_fair), 0.0)
    return ALL_IN * certain + (1 - ALL_IN) * mixture


def settled_images(
    num_yes: Counts, num_votes: Counts, stopping: StoppingConfig, *, share: float = 0.5
) -> Bool[np.ndarray, " images"]:
    """Mark the images on which it is settled whether more than `share` of all workers would accept them.

    Whatever the workers' accuracy and however often one looks, an image is ever settled the wrong way with a chance of
    at most 1 - `threshold`. A side counts from `min_votes` votes on.
    """
    for_yes = wealth(num_yes, num_votes, share=share)
    for_no = wealth(num_votes - num_yes, num_votes, share=1 - share)
    certain = np.maximum(for_yes, for_no) >= 1 / (1 - stopping.threshold)
    return certain & (num_votes >= stopping.min_votes)


def fixed_images(
    num_yes: Counts, num_votes: Counts, *, most: int, share: float = 0.5
) -> Bool[np.ndarray, " images"]:
    """Mark the images whose decision by `most` votes is the same whatever the votes say that are still to come.

    >>> fixed_images(np.array([6, 5, 0]), np.array([6, 9, 5]), most=10).tolist()
    [True, False, True]
    """
    left = np.maximum(most - num_votes, 0)
    accepted, rejected = num_yes / most > share, ~((num_yes + left) / most > share)
    return accepted | rejected
