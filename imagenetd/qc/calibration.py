"""What human votes say about a gate: its probabilities made honest, and the precision of what it accepts. Pure."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from imagenetd.qc_config import CalibrationMethod
from imagenetd.statistics.intervals import wilson_interval

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


@dataclass(frozen=True, slots=True)
class Precision:
    """Share of valid images among those that the gate accepts."""

    value: float
    low: float
    high: float
    num_judged: int


def stratified_precision(strata: list[tuple[int, int, int]], *, confidence: float = 0.95) -> Precision:
    """Return the share of valid images in a union of strata, each known from a random sample of it.

    The interval joins Wilson's intervals of the strata by the squares of their distances (Zou and Donner 2008,
    Statistics in Medicine 27, 1693-1702). A stratum without a sample leaves its whole share unknown.

    Args:
        strata: For each: images, judged images, valid ones among the judged.
        confidence: Of the interval.
    """
    sizes, judged, valid = (np.array(column, dtype=np.int64) for column in zip(*strata, strict=True))
    total = sizes.sum()
    if total == 0 or not (judged > 0).any():
        return Precision(float("nan"), 0.0, 1.0, 0)
    share = np.where(judged > 0, valid / np.maximum(judged, 1), 0.5)
    low, high = wilson_interval(valid, judged, confidence=confidence)
    weight = sizes / total
    value = float((weight * share).sum())
    below = float(np.sqrt(((weight * (share - low)) ** 2).sum()))
    above = float(np.sqrt(((weight * (high - share)) ** 2).sum()))
    return Precision(value, max(0.0, value - below), min(1.0, value + above), int(judged.sum()))
