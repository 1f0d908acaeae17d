"""Shares of a finite set of images from random samples of its parts, with intervals that hold near 0 and 1. Pure."""

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

Counts = Int[np.ndarray, " parts"]
Shares = Float[np.ndarray, " parts"]


def binomial_bounds(
    num_valid: Counts, num_judged: Counts, *, confidence: float = 0.95
) -> tuple[Shares, Shares]:
    """Return the ends of Jeffreys' interval of each share; never of zero width, and (0, 1) where nothing was judged.

    >>> low, high = binomial_bounds(np.array([122]), np.array([122]))
    >>> round(float(low[0]), 4), float(high[0])
    (0.9797, 1.0)
    """
    tail = (1 - confidence) / 2
    wrong = num_judged - num_valid
    low = stats.beta.ppf(tail, num_valid + 0.5, wrong + 0.5)
    high = stats.beta.ppf(1 - tail, num_valid + 0.5, wrong + 0.5)
    return np.where(num_valid == 0, 0.0, low), np.where(wrong == 0, 1.0, high)
