"""Hard images on which many votes agree: as sentinels they say more of a worker than easy ones. Pure arithmetic."""

import numpy as np
from jaxtyping import Bool, Int, Int8

from imagenetd.qc.stopping import wealth

LEVEL = 0.99
"""An answer is ever taken for settled wrongly with a chance of 1 - LEVEL at most, whatever the workers' accuracy."""


def gold_images(
    image: Int[np.ndarray, " votes"],
    can_recognise: Bool[np.ndarray, " votes"],
    can_use: Bool[np.ndarray, " votes"],
    *,
    num_images: int,
    share: float,
) -> Int8[np.ndarray, " images"]:
    """Return 1 where both answers are settled to be yes, -1 where both are settled to be no, else 0.

    Both, since a sentinel may bind both (`qc.tasks.sentinel_rule`). An answer is settled when it is certain, at
    `LEVEL`, that more than `share` of all workers give it: ten of ten equal votes settle a share of 0.6, nine do not.

    Args:
        image: Whose vote it is: 0 to `num_images` - 1.
        can_recognise: Answer to the first question.
        can_use: Answer to the second question.
        num_images: How many images there are.
        share: Of all workers, 0.5 or more.

    >>> says_yes = np.array([True] * 10 + [True] * 9 + [False])
    >>> gold_images(np.repeat([0, 1], 10), says_yes, says_yes, num_images=2, share=0.6).tolist()
    [1, 0]
    """
    num_votes = np.bincount(image, minlength=num_images)
    gold = np.zeros(num_images, dtype=np.int8)
    for sign in (1, -1):
        is_settled = np.ones(num_images, dtype=bool)
        for answer in (can_recognise, can_use):
            equal = np.bincount(image[answer == (sign > 0)], minlength=num_images)
            is_settled &= wealth(equal, num_votes, share=share) >= 1 / (1 - LEVEL)
        gold[is_settled] = sign
    return gold
