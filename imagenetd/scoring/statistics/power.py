"""How small a difference a table could have shown."""

from statistics import NormalDist

import numpy as np
from jaxtyping import Float

Rates = Float[np.ndarray, "*slices"]

POWER_REACH = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)
"""A difference of so many standard errors is found with 80% power by a two-sided test at 5%."""


def detectable_difference(
    accuracy: Rates, num_images: Float[np.ndarray, "*slices"], *, power: float = 0.8, level: float = 0.05
) -> Rates:
    """Return the smallest difference between two models that n images show with this power.

    (z[1 - level/2] + z[power]) x sqrt(2 p (1 - p) / n): about so much, if both models answer the same images, have the
    same accuracy and make their mistakes independently. Mistakes that coincide leave less noise, mistakes that avoid
    each other more, and so does another model nearer to 50%: this is no bound. The tables of pairs have the number
    from the mistakes as they are. At p = 0 or 1 it uses one mistake (right answer) in n.
    """
    reach = NormalDist().inv_cdf(1 - level / 2) + NormalDist().inv_cdf(power)
    n = np.where(num_images > 0, num_images, np.nan)
    p = np.clip(accuracy, 1 / (n + 1), n / (n + 1))
    return np.minimum(1.0, reach * np.sqrt(2 * p * (1 - p) / n))
