"""Does a model know when it is wrong: confidence against accuracy, in bins."""

from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Float

from imagenetd.scoring.statistics.bootstrap import ratio
from imagenetd.scoring.statistics.intervals import zero_events_bound

PerGroup = Float[np.ndarray, " groups"]
PerBin = Float[np.ndarray, "groups bins"]

MAX_FACTOR, NUM_FACTORS = 6.0, 121
"""How far the interval of the calibration error is searched, as a multiple of the error that was seen."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Of every group of images."""

    num_images: PerBin
    confidence: PerBin
    """Sum over the images of a bin."""
    num_correct: PerBin
    squared_gap: PerBin
    """Sum of (confidence - right)^2 over the images of a bin."""

    @property
    def error(self) -> PerGroup:
        """Expected calibration error (Guo et al. 2017, ICML, equation 3); NaN without images. Biased upwards."""
        gap = np.abs(self.confidence - self.num_correct).sum(axis=1)
        return ratio(gap, self.num_images.sum(axis=1))

    @property
    def overconfidence(self) -> PerGroup:
        """Mean confidence minus accuracy."""
        gap = (self.confidence - self.num_correct).sum(axis=1)
        return ratio(gap, self.num_images.sum(axis=1))

    def error_if_calibrated(self, *, quantile: float = 0.95) -> tuple[PerGroup, PerGroup]:
        """Return what a calibrated model of these confidences would show with so few images: mean and high quantile.

        No part of the error that was seen: where confidence and accuracy are far apart, chance adds little to it. The
        mean is that of the binomial's absolute deviation (De Moivre), the quantile that of a gamma distribution with
        this mean and the variance of the sum over bins.
        """
        n = self.num_images
        p = np.clip(np.nan_to_num(ratio(self.confidence, n)), 1e-12, 1 - 1e-12)
        k = np.floor(n * p) + 1
        ways = (
            scipy.special.gammaln(n + 1)
            - scipy.special.gammaln(k + 1)
            - scipy.special.gammaln(np.maximum(n - k, 0) + 1)
        )
        deviation = np.where(n > 0, 2 * k * np.exp(ways + k * np.log(p) + (n - k + 1) * np.log1p(-p)), 0.0)
        variance = np.maximum(n * p * (1 - p) - deviation**2, 0).sum(axis=1)
        total = n.sum(axis=1)
        mean = np.maximum(deviation.sum(axis=1), 1e-12)
        shape = mean**2 / np.maximum(variance, 1e-18)
        high = scipy.special.gammaincinv(shape, quantile) * mean / shape
        return ratio(deviation.sum(axis=1), total), ratio(high, total)

    def error_interval(self, *, confidence: float = 0.95) -> tuple[PerGroup, PerGroup, PerGroup]:
        """Return the calibration error without its bias, and its interval: for other images of these categories.

        The gaps of the bins are taken as normal, so that the mean and variance of the sum of their sizes are known
        (folded normal). The bias is what the error would gain if the gaps that were seen were the true ones (the
        bootstrap's estimate in closed form). The ends are those of the multiples of these gaps for which the error
        that was seen is just not too large or too small.
        """
        n, total = self.num_images, self.num_images.sum(axis=1)
        safe = np.where(total > 0, total, 1.0)[:, None]
        gap = (self.confidence - self.num_correct) / safe
        # A bin without a mistake does not vary, and says little: one answer more, as right as the bin is confident.
        right = (self.num_correct + np.nan_to_num(ratio(self.confidence, n))) / (n + 1)
        alone = n * (right * (1 - right) + np.nan_to_num(ratio(gap * safe, n)) ** 2)
        variance = np.maximum(np.maximum(self.squared_gap, alone) / safe - gap**2, 0) / safe
        size, spread = np.abs(gap), np.sqrt(np.maximum(variance, 1e-18))
        seen, reach = size.sum(axis=1), float(scipy.special.ndtri(0.5 + confidence / 2))
        plain = np.sqrt(np.maximum((self.squared_gap / safe - gap**2) / safe, 1e-18))
        value = np.maximum(2 * seen - _folded_sum(size, plain, total, 0.0), 0.0)
        low, high = (_factor_of(size, spread, total, shift) * seen for shift in (reach, -reach))
        # Or only the gaps beyond their error are real, and the rest is what few images make.
        clear = np.where(size > 1.5 * spread, size, 0.0)
        low = np.minimum(low, _factor_of(clear, spread, total, reach, seen=seen) * clear.sum(axis=1))
        # Never less than how far confidence and accuracy are apart as a whole.
        apart = np.abs(gap.sum(axis=1)) + reach * np.sqrt(variance.sum(axis=1))
        most = zero_events_bound(np.maximum(total, 1), confidence=confidence)
        high = np.minimum(np.maximum(np.maximum(high, apart), most), 1.0)
        known, value = total > 0, np.clip(value, low, high)
        return np.where(known, value, np.nan), np.where(known, low, 0.0), np.where(known, high, 1.0)


def _factor_of(
    size: np.ndarray, spread: np.ndarray, total: np.ndarray, shift: float, *, seen: np.ndarray | None = None
) -> np.ndarray:
    """Return for each group the factor on the sizes of its gaps at which mean + shift x deviation is what was seen."""
    factor = np.linspace(0, MAX_FACTOR, NUM_FACTORS)
    curve = np.stack([_folded_sum(size * one, spread, total, shift) for one in factor.tolist()])
    wanted = size.sum(axis=1) if seen is None else seen
    return _crossing(factor, curve, wanted)


def _folded_sum(size: np.ndarray, spread: np.ndarray, total: np.ndarray, shift: float) -> np.ndarray:
    """Return mean + shift x deviation of the sum over bins of |normal gaps| of these true sizes."""
    sign = scipy.special.erf(size / (spread * np.sqrt(2)))
    folded = spread * np.sqrt(2 / np.pi) * np.exp(-((size / spread) ** 2) / 2) + size * sign
    alone = np.maximum(size**2 + spread**2 - folded**2, 0).sum(axis=1)
    signed = size * sign  # an image that falls into one bin is missing in the others
    together = (signed.sum(axis=1) ** 2 - (signed**2).sum(axis=1)) / np.maximum(total, 1)
    return folded.sum(axis=1) + shift * np.sqrt(np.maximum(alone - together, 0))


def _crossing(factor: np.ndarray, curve: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return for each group the factor at which its rising curve, "factors groups", reaches what was seen."""
    above = curve >= seen
    after = np.where(above.any(axis=0), above.argmax(axis=0), len(factor) - 1)
    before = np.maximum(after - 1, 0)
    group = np.arange(len(seen))
    step = curve[after, group] - curve[before, group]
    part = np.where(step > 0, (seen - curve[before, group]) / np.where(step > 0, step, 1), 0.0)
    found = factor[before] + np.clip(part, 0, 1) * (factor[after] - factor[before])
    return np.where(after == 0, 0.0, found)
