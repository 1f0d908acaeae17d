"""Truth and worker quality estimated together: Dawid-Skene with a prior, and GLAD by crowd-kit."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from imagenetd.config.qc import AggregationMethod
from imagenetd.errors import ConfigError

YES, NO = "yes", "no"
NUM_ITERATIONS = 100
TOLERANCE = 1e-9

PRIOR_RIGHT, PRIOR_WRONG = 4.0, 1.0
"""Dawid-Skene counts as if every worker had been right on four of five earlier images, valid ones and invalid ones.

Without such a prior EM invents a class: on 122 valid images with 10 votes of workers who are right with 95% it calls
the 4 to 5 images with the most slips invalid, and the workers bad at seeing it.
"""


def crowd_probability(
    image: Int[np.ndarray, " votes"],
    worker: Int[np.ndarray, " votes"],
    accepts: Bool[np.ndarray, " votes"],
    *,
    num_images: int,
    method: AggregationMethod,
) -> Float[np.ndarray, " images"]:
    """Return the probability that each image is valid; NaN for an image without votes.

    Votes that all say the same need no model: every method then gives their share, 1 or 0.
    """
    num_votes = np.bincount(image, minlength=num_images)
    if method is AggregationMethod.majority or accepts.all() or not accepts.any():
        num_yes = np.bincount(image[accepts], minlength=num_images)
        return np.where(num_votes == 0, np.nan, num_yes / np.maximum(num_votes, 1))
    if method is AggregationMethod.dawid_skene:
        found = dawid_skene(image, worker, accepts, num_images=num_images)
    else:
        found = _glad(image, worker, accepts, num_images=num_images)
    return np.where(num_votes == 0, np.nan, found)


def dawid_skene(
    image: Int[np.ndarray, " votes"],
    worker: Int[np.ndarray, " votes"],
    accepts: Bool[np.ndarray, " votes"],
    *,
    num_images: int,
) -> Float[np.ndarray, " images"]:
    """Return the probability that each image is valid, by EM with a prior on every worker (Dawid and Skene 1979).

    Each worker has one probability to be right on valid and one on invalid images, both with the prior
    Beta(`PRIOR_RIGHT`, `PRIOR_WRONG`). crowd-kit's version has no prior.
    """
    num_votes = np.bincount(image, minlength=num_images)
    valid = np.bincount(image[accepts], minlength=num_images) / np.maximum(num_votes, 1)
    voted = num_votes > 0
    size = int(worker.max()) + 1

    def per_worker(weight: Float[np.ndarray, " votes"]) -> Float[np.ndarray, " workers"]:
        return np.bincount(worker, weights=weight, minlength=size)

    for _ in range(NUM_ITERATIONS):
        belief, prior = valid[image], PRIOR_RIGHT + PRIOR_WRONG
        sensitivity = (per_worker(belief * accepts) + PRIOR_RIGHT) / (per_worker(belief) + prior)
        specificity = (per_worker((1 - belief) * ~accepts) + PRIOR_RIGHT) / (per_worker(1 - belief) + prior)
        share = (valid[voted].sum() + 1) / (voted.sum() + 2)
        said_yes = np.log(sensitivity) - np.log1p(-specificity)
        said_no = np.log1p(-sensitivity) - np.log(specificity)
        evidence = np.bincount(
            image, weights=np.where(accepts, said_yes[worker], said_no[worker]), minlength=num_images
        )
        before, valid = valid, 1 / (1 + np.exp(-np.clip(evidence + np.log(share / (1 - share)), -700, 700)))
        if np.abs(valid - before)[voted].max() < TOLERANCE:
            break
    return valid


def _glad(
    image: Int[np.ndarray, " votes"],
    worker: Int[np.ndarray, " votes"],
    accepts: Bool[np.ndarray, " votes"],
    *,
    num_images: int,
) -> Float[np.ndarray, " images"]:
    """Return crowd-kit's estimate; it has priors on workers and images of its own, and its import takes seconds.

    crowd-kit wants words as labels and one row for each pair of image and worker.
    """
    import pandas as pd

    frame = pd.DataFrame({"task": image, "worker": worker, "label": np.where(accepts, YES, NO)})
    with np.errstate(divide="ignore"):  # its line search tries workers so good that their density is 0
        share = _model().fit_predict_proba(frame)[YES]
    probability = np.full(num_images, np.nan)
    probability[share.index.to_numpy()] = share.to_numpy()
    return probability


def _model() -> Any:
    try:
        from crowdkit.aggregation import GLAD
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"qc/aggregation=glad needs {error.name}, which is not installed. Install it with "
            "pip install 'imagenetd[qc]', or choose qc/aggregation=majority."
        ) from error
    return GLAD(n_iter=NUM_ITERATIONS)
