"""An interval for any number over whole clusters, from its values with each cluster left out."""

from collections.abc import Callable

import numpy as np
import scipy
from jaxtyping import Float

from imagenetd.scoring.statistics.intervals import Estimate, Rates, degrees_of_freedom_of


def jackknife_interval(
    value: Rates,
    left_out: Float[np.ndarray, "clusters *columns"],
    *,
    num_images: Float[np.ndarray, "clusters *#columns"],
    bounds: tuple[float, float],
    scale: Callable[[np.ndarray], np.ndarray] = lambda number: number,
    back: Callable[[np.ndarray], np.ndarray] = lambda number: number,
    confidence: float = 0.95,
) -> Estimate:
    """Return an interval for other clusters of any number, from its values with each cluster left out.

    On a scale where it is nearly normal: `numpy.arctanh` and `numpy.tanh` for a correlation or a kappa,
    `scipy.special.logit` and `expit` for a share; both must give finite numbers. The t has Bell's and McCaffrey's
    degrees of freedom for the sizes of the clusters. NaN where a value is not finite or there are fewer than two
    clusters: a number that the data do not measure gets no interval.
    """
    sizes = num_images.reshape(*num_images.shape, *[1] * (left_out.ndim - num_images.ndim))
    used, middle = sizes > 0, scale(value)
    moved = np.where(used, scale(left_out), middle)  # a cluster without images moves nothing
    error = np.where(used.sum(axis=0) < 2, np.nan, np.sqrt(((moved - middle) ** 2).sum(axis=0)))
    weight = sizes / np.maximum(sizes.sum(axis=0), 1)
    freedom = degrees_of_freedom_of(weight, 0.1 + 0.9 / np.maximum(sizes, 1))
    reach = scipy.special.stdtrit(freedom, 0.5 + confidence / 2) * error
    ends = np.sort(np.stack([back(middle - reach), back(middle + reach)]), axis=0)
    low, high = np.clip(ends, *bounds)
    slope = np.abs(back(middle + error) - back(middle - error)) / 2
    return Estimate.of(value, slope, low, high)
