"""Explanatory item response model: log-odds of a right answer with crossed random effects."""

from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int


@dataclass(frozen=True, slots=True)
class MixedEffects:
    """Posterior of the model of one rater."""

    intercept: float
    sd: Float[np.ndarray, " factors"]
    """Of each factor's effects, in log-odds: posterior median."""
    sd_low: Float[np.ndarray, " factors"]
    sd_high: Float[np.ndarray, " factors"]
    effects: tuple[Float[np.ndarray, " _"], ...]
    """Of each factor, in log-odds, in the order of the levels."""
    errors: tuple[Float[np.ndarray, " _"], ...]
    """Posterior standard deviations."""


def fit_mixed_effects(
    correct: Bool[np.ndarray, " images"], factors: tuple[Int[np.ndarray, " images"], ...]
) -> MixedEffects:
    """Fit log-odds = intercept + one random effect for each factor's level (De Boeck and Wilson 2004, chapter 6).

    By variational Bayes with statsmodels' BinomialBayesMixedGLM: fast, but its intervals are somewhat narrow.

    Args:
        correct: Of one model.
        factors: Level of each image, 0 .. n - 1.
    """
    from statsmodels.genmod.bayes_mixed_glm import BinomialBayesMixedGLM

    sizes = [int(levels.max()) + 1 for levels in factors]
    designs = [
        scipy.sparse.csr_matrix(
            (np.ones(len(levels)), (np.arange(len(levels)), levels)), shape=(len(levels), size)
        )
        for levels, size in zip(factors, sizes, strict=True)
    ]
    ident = np.repeat(np.arange(len(sizes)), sizes)
    model = BinomialBayesMixedGLM(
        correct.astype(np.float64), np.ones((len(correct), 1)), scipy.sparse.hstack(designs).tocsr(), ident
    )
    # A fixed start: statsmodels would draw one at random.
    found = model.fit_vb(sd=np.full(1 + len(sizes) + sum(sizes), np.exp(-0.5)))
    bounds = np.cumsum(sizes)[:-1]
    middle, low, high = (np.exp(found.vcp_mean + shift * found.vcp_sd) for shift in (0, -1.96, 1.96))
    return MixedEffects(
        float(found.fe_mean[0]),
        middle,
        low,
        high,
        tuple(np.split(found.vc_mean, bounds)),
        tuple(np.split(found.vc_sd, bounds)),
    )
