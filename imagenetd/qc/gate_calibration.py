"""What human votes say about a gate: its probabilities made honest. Pure."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from imagenetd.config.qc import CalibrationMethod
from imagenetd.qc.estimates import JudgedImages

CLIP = 1e-6
"""Probabilities are kept this far from 0 and 1, so that their log-odds are finite."""


@dataclass(frozen=True)
class Calibration:
    """A map from the gate's probability to the probability that people accept the image."""

    method: CalibrationMethod
    knots: Float[np.ndarray, " knots"]
    """Gate probabilities in rising order, and what stands for them; straight lines between."""
    values: Float[np.ndarray, " knots"]
    slope: float = 1.0
    """Of Platt's sigmoid over the log-odds, with its intercept."""
    intercept: float = 0.0

    def __call__(self, probability: Float[np.ndarray, " images"]) -> Float[np.ndarray, " images"]:
        """Return calibrated probabilities."""
        if self.method is CalibrationMethod.platt:
            return 1 / (1 + np.exp(-(self.slope * log_odds(probability) + self.intercept)))
        if self.method is CalibrationMethod.isotonic:
            return np.interp(probability, self.knots, self.values)
        return probability


NOTHING = Calibration(CalibrationMethod.none, np.zeros(0), np.zeros(0))


def log_odds(probability: Float[np.ndarray, " images"]) -> Float[np.ndarray, " images"]:
    """Return log(p / (1 - p)), finite."""
    clipped = np.clip(probability.astype(np.float64), CLIP, 1 - CLIP)
    return np.log(clipped) - np.log1p(-clipped)


def calibrate(
    probability: Float[np.ndarray, " judged"],
    is_valid: Bool[np.ndarray, " judged"],
    weight: Float[np.ndarray, " judged"],
    *,
    method: CalibrationMethod,
    min_images: int,
) -> Calibration:
    """Fit the map on judged images; `NOTHING` when they are too few or all alike.

    Args:
        probability: The gate's.
        is_valid: What people decided.
        weight: How many images of the pool each stands for: mined images are judged far more often than others.
        method: Platt's sigmoid (with his smoothed targets, so that it exists for separable data too), or isotonic
            regression.
        min_images: Fewer calibrate nothing.
    """
    num_valid = int(is_valid.sum())
    if method is CalibrationMethod.none or len(is_valid) < min_images or num_valid in (0, len(is_valid)):
        return NOTHING
    if method is CalibrationMethod.isotonic:
        from scipy.optimize import isotonic_regression

        order = np.argsort(probability, kind="stable")
        fitted = isotonic_regression(is_valid[order].astype(np.float64), weights=weight[order])
        knots, last = np.unique(probability[order][::-1], return_index=True)
        return Calibration(method, knots, fitted.x[::-1][last])
    import statsmodels.api as sm

    high, low = (num_valid + 1) / (num_valid + 2), 1 / (len(is_valid) - num_valid + 2)
    target = np.where(is_valid, high, low)
    design = np.stack([log_odds(probability), np.ones(len(probability))], axis=1)
    scale = weight * (len(weight) / weight.sum())
    fit = sm.GLM(target, design, family=sm.families.Binomial(), freq_weights=scale).fit()
    slope, intercept = fit.params
    return Calibration(method, np.zeros(0), np.zeros(0), float(slope), float(intercept))


def cross_fit(
    probability: Float[np.ndarray, " images"],
    people: JudgedImages,
    fold: Int[np.ndarray, " images"],
    *,
    method: CalibrationMethod,
    min_images: int,
) -> tuple[CalibrationMethod, Float[np.ndarray, " images"]]:
    """Return the method that was used and calibrated probabilities, each fitted on the votes of the other folds only.

    So no image's own votes, and no votes of its fold, decide about it: the precision of what passes is measured out
    of sample, and a threshold is too. Where one fold's rest is too little to calibrate, nothing is calibrated.

    Args:
        probability: The gate's, of every image.
        people: What they have judged; each image counts 1 / the probability that it was judged.
        fold: Of every image.
        method: See `calibrate`.
        min_images: See `calibrate`; it counts all judged images.
    """
    fitted = np.array(probability, dtype=np.float64)
    judged, is_valid, chance = people.judged, people.valid, people.sampling.probability
    weight = 1 / np.where(chance > 0, chance, 1.0)
    if int(judged.sum()) < min_images:
        return CalibrationMethod.none, fitted
    for number in np.unique(fold).tolist():
        rest = judged & (fold != number)
        found = calibrate(probability[rest], is_valid[rest], weight[rest], method=method, min_images=1)
        if found.method is CalibrationMethod.none:
            return CalibrationMethod.none, np.array(probability, dtype=np.float64)
        here = fold == number
        fitted[here] = found(probability[here])
    return method, fitted
