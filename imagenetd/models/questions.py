"""The question that a chat model is asked about an image: which options, in which order. Pure arithmetic."""

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int


def rival_categories(
    logits: Float[np.ndarray, "images classes"],
    label: Int[np.ndarray, " images"],
    accepted: Bool[np.ndarray, "categories classes"],
) -> Int[np.ndarray, " images"]:
    """Return the wrong category that a model likes most: its top-1, or its top-2 where the top-1 is right.

    A category is as likely as the best of its classes. This is the failure category of ImageNet-D's two-choice
    question (paper, section 4.1), where the model is CLIP ViT-L/14.

    >>> rival_categories(np.array([[3.0, 1.0, 2.0]]), np.array([0]), np.eye(3, dtype=bool)).tolist()
    [2]

    Args:
        logits: Of the reference model.
        label: Row of `accepted` for each image.
        accepted: Which classes belong to a category; two rows at least.
    """
    best = np.full((len(logits), len(accepted)), -np.inf, dtype=np.float64)
    for category, classes in enumerate(accepted):
        best[:, category] = logits[:, classes].max(axis=1)
    best[np.arange(len(logits)), label] = -np.inf
    return best.argmax(axis=1)


def ordered_options(options: Sequence[str], *, image_id: str, seed: int) -> list[str]:
    """Return the options in an order that depends on the image and the seed alone, never on which one is right.

    >>> ordered_options(["mug", "pen"], image_id="a", seed=0) == ordered_options(["pen", "mug"], image_id="a", seed=0)
    True
    """
    digest = hashlib.sha256(f"{seed}:{image_id}".encode()).digest()
    order = np.random.default_rng(int.from_bytes(digest[:8], "big")).permutation(len(options))
    names = sorted(options)
    return [names[place] for place in order]
