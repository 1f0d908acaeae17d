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
    num_images: Float[np.ndarray, " clusters"],
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
    used = num_images > 0
    middle, moved = scale(value), scale(left_out[used])
    sizes = num_images[used]
    weight = sizes / max(sizes.sum(), 1)
    if used.sum() < 2:
        unknown = np.full(np.shape(value), np.nan)
        return Estimate.of(value, unknown, unknown, unknown)
    error = np.sqrt(((moved - middle) ** 2).sum(axis=0))
    freedom = degrees_of_freedom_of(weight, 0.1 + 0.9 / sizes)
    reach = scipy.special.stdtrit(freedom, 0.5 + confidence / 2) * error
    ends = np.sort(np.stack([back(middle - reach), back(middle + reach)]), axis=0)
    low, high = np.clip(ends, *bounds)
    slope = np.abs(back(middle + error) - back(middle - error)) / 2
    return Estimate.of(value, slope, low, high)
