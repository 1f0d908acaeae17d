"""Shared failures: the images that several surrogates get wrong (paper, section 3.2). Pure arithmetic."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from imagenetd.errors import ConfigError
from imagenetd.records import LabelSpace


def accepted_classes(space: LabelSpace, categories: Sequence[str]) -> Bool[np.ndarray, "categories classes"]:
    """Return which classes of a model count as right for each category, rows in the order of `categories`."""
    accepted = np.zeros((len(categories), space.num_classes), dtype=bool)
    for row, category in enumerate(categories):
        accepted[row, list(space.accepted[category])] = True
    return accepted


def num_failures(correct: Bool[np.ndarray, "surrogates images"]) -> Int[np.ndarray, " images"]:
    """Return how many surrogates are wrong on each image."""
    return (~correct).sum(axis=0)


def shared_failures(
    correct: Bool[np.ndarray, "surrogates images"],
    *,
    min_failures: int,
) -> Bool[np.ndarray, " images"]:
    """Mark the images that at least `min_failures` surrogates get wrong.

    >>> shared_failures(np.array([[False, False], [False, True]]), min_failures=2).tolist()
    [True, False]
    """
    required = resolve_min_failures(min_failures, num_surrogates=correct.shape[0])
    return num_failures(correct) >= required


def easy_images(correct: Bool[np.ndarray, "surrogates images"]) -> Bool[np.ndarray, " images"]:
    """Mark the images that every surrogate gets right; the paper fine-tunes on such images (section 4.3)."""
    return num_failures(correct) == 0


def resolve_min_failures(
    asked: int | None, *, num_surrogates: int, surrogates: str = "the surrogate set"
) -> int:
    """Return the k of k-of-n, where None means all n; ConfigError unless 1 <= k <= n.

    Args:
        asked: `mining.min_failures`.
        num_surrogates: n.
        surrogates: What the message calls the set, e.g. `surrogates=four_tiny`.
    """
    if num_surrogates < 1:
        raise ConfigError(
            f"{surrogates} holds no model, and mining needs at least one. Choose a surrogate set."
        )
    if asked is None:
        return num_surrogates
    if asked < 1:
        raise ConfigError(
            f"mining.min_failures is {asked}, so every image would count as a failure. "
            f"Set it between 1 and {num_surrogates}, or to null for all surrogates."
        )
    if asked > num_surrogates:
        models = "model" if num_surrogates == 1 else "models"
        raise ConfigError(
            f"mining.min_failures is {asked}, but {surrogates} holds only {num_surrogates} {models}. "
            f"Set mining.min_failures to {num_surrogates} or less, or choose a larger surrogate set."
        )
    return asked
