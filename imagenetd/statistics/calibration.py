"""Does a model know when it is wrong: confidence against accuracy, in bins."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

PerGroup = Float[np.ndarray, " groups"]
PerBin = Float[np.ndarray, "groups bins"]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Of every group of images."""

    num_images: PerBin
    confidence: PerBin
    """Sum over the images of a bin."""
    num_correct: PerBin

    @property
    def error(self) -> PerGroup:
        """Expected calibration error (Guo et al. 2017, ICML, equation 3); NaN without images."""
        gap = np.abs(self.confidence - self.num_correct).sum(axis=1)
        return _share(gap, self.num_images.sum(axis=1))

    @property
    def overconfidence(self) -> PerGroup:
        """Mean confidence minus accuracy."""
        gap = (self.confidence - self.num_correct).sum(axis=1)
        return _share(gap, self.num_images.sum(axis=1))

    @property
    def error_of_luck(self) -> PerGroup:
        """The error that perfectly calibrated confidences of these bins would show with so few images, roughly.

        The mean absolute deviation of a binomial count is about sqrt(2 n p (1 - p) / pi).
        """
        p = _share(self.confidence, self.num_images)
        expected = np.sqrt(2 * self.num_images * np.where(self.num_images > 0, p * (1 - p), 0) / np.pi)
        return _share(expected.sum(axis=1), self.num_images.sum(axis=1))


def calibrate(
    confidence: Float[np.ndarray, " images"],
    correct: Bool[np.ndarray, " images"],
    group: Int[np.ndarray, " images"],
    *,
    num_groups: int,
    num_bins: int,
) -> Calibration:
    """Sort the images of each group into bins of equal width over 0..1."""
    bins = np.clip((confidence * num_bins).astype(np.int64), 0, num_bins - 1)
    code, size = group * num_bins + bins, num_groups * num_bins
    shape = (num_groups, num_bins)
    counts = np.bincount(code, minlength=size).astype(np.float64).reshape(shape)
    summed = np.bincount(code, weights=confidence, minlength=size).astype(np.float64).reshape(shape)
    right = np.bincount(code, weights=correct, minlength=size).astype(np.float64).reshape(shape)
    return Calibration(counts, summed, right)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)
