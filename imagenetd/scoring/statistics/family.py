"""Does a target fail where its own family of surrogates fails, more than other targets do on equally hard images?"""

import numpy as np
from jaxtyping import Bool, Float, Int

from imagenetd.scoring.statistics.intervals import Estimate
from imagenetd.scoring.statistics.jackknife import jackknife_interval

MIN_DISCORDANT = 5
"""Images on which only the target, and on which only a control fails, on each side: with fewer nothing is measured."""


def family_log_odds(
    target_fails: Bool[np.ndarray, " images"],
    controls_fail: Bool[np.ndarray, "controls images"],
    *,
    family_fails: Bool[np.ndarray, " images"],
    others_failing: Int[np.ndarray, " images"],
    category: Int[np.ndarray, " images"],
    num_categories: int,
) -> tuple[Estimate, int]:
    """Return how much the target's odds of failing rise where its family fails, beyond those of controls: a log.

    Compared are images at which equally many surrogates of other families fail. Of those that exactly one of target
    and control gets wrong, how often is it the target? If an image's difficulty and a model's strength add up on the
    log-odds scale, these odds do not depend on the difficulty, whatever it is (conditional logistic regression of
    matched pairs: Breslow and Day 1980, section 5.2; Rasch 1960), so they are the same where the family fails and
    where it does not, unless target and family share mistakes. The ratio of the two odds is that of Mantel and
    Haenszel (1959) over strata and controls: 0 without a family effect. The jackknife interval is for other
    categories. Where the target's failures follow difficulty more steeply than the controls', that shows, too.

    Returns:
        The log odds ratio, NaN where fewer than `MIN_DISCORDANT` images decide it, and how many images do.
    """
    strata = int(others_failing.max(initial=0)) + 1
    size = num_categories * strata
    code = category * strata + others_failing
    sums = np.zeros((4, len(controls_fail), num_categories, strata))
    for place, control in enumerate(controls_fail):
        sides = (target_fails & ~control, ~target_fails & control)
        for row, (where, side) in enumerate(
            (where, side) for where in (family_fails, ~family_fails) for side in sides
        ):
            counted = np.bincount(code[where & side], minlength=size)
            sums[row, place] = counted.reshape(num_categories, strata)
    of_strata = sums.sum(axis=2)
    without = np.moveaxis(of_strata[:, :, None, :] - sums, 2, 0)
    discordant = controls_fail != target_fails if len(controls_fail) else np.zeros((1, len(code)), bool)
    num_deciding = int(discordant.any(axis=0).sum())
    value, left_out = _log_ratio(of_strata), np.array([_log_ratio(part) for part in without])
    num_images = np.bincount(category, minlength=num_categories).astype(np.float64)
    if (of_strata.sum(axis=(1, 2)) < MIN_DISCORDANT).any():
        value = np.asarray(np.nan)
    found = jackknife_interval(value, left_out, num_images=num_images, bounds=(-np.inf, np.inf))
    known = np.isfinite(found.low) & np.isfinite(found.high)
    ends = (np.where(known, number, np.nan) for number in (found.value, found.error, found.low, found.high))
    return Estimate.of(*ends), num_deciding


def _log_ratio(counts: np.ndarray) -> np.ndarray:
    """Return the log odds ratio of "4 controls strata": the family fails (target, control), then it does not."""
    total = np.maximum(counts.sum(axis=0), 1)
    more, less = (counts[0] * counts[3] / total).sum(), (counts[1] * counts[2] / total).sum()
    return np.asarray(np.log(more / less) if more > 0 and less > 0 else np.nan)


def accuracy_without(
    accuracy: Float[np.ndarray, "*rows"], log_odds: Float[np.ndarray, "*rows"]
) -> Float[np.ndarray, "*rows"]:
    """Return the accuracy at odds of failing that are smaller by this log: a translation, not another estimate.

    >>> accuracy_without(np.array([0.2]), np.array([np.log(4)])).tolist()
    [0.5]
    """
    failing = (1 - accuracy) * np.exp(-log_odds)
    return np.asarray(accuracy / np.where(accuracy + failing > 0, accuracy + failing, 1))
