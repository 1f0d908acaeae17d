"""The probability that an image is valid after some votes, for sequential stopping. Pure arithmetic."""

import numpy as np
from jaxtyping import Bool, Float, Int

from imagenetd.qc_config import StoppingConfig

Counts = Int[np.ndarray, " images"]


def valid_probability(
    num_yes: Counts, num_votes: Counts, *, worker_accuracy: float, prior: float
) -> Float[np.ndarray, " images"]:
    """Return P(valid | votes) for independent workers who are right with one and the same probability.

    log-odds = log(prior / (1 - prior)) + (yes - no) log(accuracy / (1 - accuracy))

    >>> valid_probability(np.array([1]), np.array([1]), worker_accuracy=0.75, prior=0.5).tolist()
    [0.75]
    """
    margin = 2 * num_yes - num_votes
    log_odds = np.log(prior / (1 - prior)) + margin * np.log(worker_accuracy / (1 - worker_accuracy))
    return 1 / (1 + np.exp(-log_odds))


def settled_images(
    num_yes: Counts, num_votes: Counts, stopping: StoppingConfig
) -> Bool[np.ndarray, " images"]:
    """Mark the images whose posterior is beyond the threshold on either side, after `min_votes` at least."""
    probability = valid_probability(
        num_yes, num_votes, worker_accuracy=stopping.worker_accuracy, prior=stopping.prior
    )
    certain = np.maximum(probability, 1 - probability) >= stopping.threshold
    return certain & (num_votes >= stopping.min_votes)
