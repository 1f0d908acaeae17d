"""What votes say about a gate: the precision of what it keeps, its recall, and how many images are valid. Pure."""

import numpy as np
from jaxtyping import Bool, Float

from imagenetd.qc.estimates import JudgedImages, Part, Share, parts_of, recall, valid_share
from imagenetd.qc.summary import GateShares, MeasuredShare

NAMES = ("precision", "recall", "valid")


def gate_shares(
    people: JudgedImages,
    kept: Bool[np.ndarray, " images"],
    probability: Float[np.ndarray, " images"],
    *,
    mined: Bool[np.ndarray, " images"],
    others: Bool[np.ndarray, " images"],
) -> GateShares:
    """Return precision, recall and the share of valid images, of the mined images and of the pool.

    Only images with a known chance to be judged enter, each for as many as it stands for. Where some images had none
    the value is None, and `why` says how many.

    Args:
        people: What they have judged.
        kept: The gate accepts the image.
        probability: Of being valid, by the gate.
        mined: Hard images.
        others: The other images of the pool that are no control arm.
    """
    found: dict[str, MeasuredShare] = {}
    for name, members in (("mined", mined), ("pool", mined | others)):
        for share, within in (("precision", members & kept), ("recall", members), ("valid", members)):
            never = within & (people.sampling.probability <= 0)
            if not within.any() or never.any():
                why = f"{int(never.sum())} of {int(within.sum())} images had no chance to be judged"
                found[f"{share}_{name}"] = MeasuredShare(None, None, num_judged=0, why=why)
                continue
            parts = parts_of(people, kept, probability, within)
            found[f"{share}_{name}"] = _measured(_estimate(share, parts))
    return GateShares(**found)


def _estimate(share: str, parts: list[Part]) -> Share:
    return recall(parts) if share == "recall" else valid_share(parts)


def _measured(found: Share) -> MeasuredShare:
    """Return None for the interval of a count, which needs none, and for a value that is not defined."""
    value = None if np.isnan(found.value) else round(found.value, 6)
    ends = None if found.is_exact or value is None else (round(found.low, 6), round(found.high, 6))
    return MeasuredShare(value, ends, found.num_judged, found.num_images)
