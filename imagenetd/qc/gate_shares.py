"""What votes say about a gate: the precision of what it keeps, its recall, and how many images are valid. Pure."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from imagenetd.qc.estimates import Part, Share, parts_of, recall, valid_share
from imagenetd.qc.sampling import Sampling

NAMES = ("precision", "recall", "valid")


def gate_shares(
    sampling: Sampling,
    kept: Bool[np.ndarray, " images"],
    judged: Bool[np.ndarray, " images"],
    valid: Bool[np.ndarray, " images"],
    probability: Float[np.ndarray, " images"],
    *,
    mined: Bool[np.ndarray, " images"],
    others: Bool[np.ndarray, " images"],
) -> dict[str, Any]:
    """Return `precision_X`, `recall_X` and `valid_X` for X the mined images and the pool, as plain values.

    Only images with a known chance to be judged enter, each for as many as it stands for. Where some images had none
    the value is None, and `why` says how many.

    Args:
        sampling: How the judged images were chosen.
        kept: The gate accepts the image.
        judged: People have judged it.
        valid: They accept it.
        probability: Of being valid, by the gate.
        mined: Hard images.
        others: The other images of the pool that are no control arm.
    """
    found: dict[str, Any] = {}
    arm = np.asarray(sampling.arm)
    for name, members in (("mined", mined), ("pool", mined | others)):
        for share, within in (("precision", members & kept), ("recall", members), ("valid", members)):
            never = within & (sampling.probability <= 0)
            if not within.any() or never.any():
                why = f"{int(never.sum())} of {int(within.sum())} images had no chance to be judged"
                found[f"{share}_{name}"] = {"value": None, "interval": None, "num_judged": 0, "why": why}
                continue
            parts = parts_of(arm, kept, judged, valid, probability, within)
            found[f"{share}_{name}"] = _plain(_estimate(share, parts))
    return found


def _estimate(share: str, parts: list[Part]) -> Share:
    return recall(parts) if share == "recall" else valid_share(parts)


def _plain(found: Share) -> dict[str, Any]:
    """Return None for the interval of a count, which needs none, and for a value that is not defined."""
    value = None if np.isnan(found.value) else round(found.value, 6)
    ends = None if found.is_exact or value is None else [round(found.low, 6), round(found.high, 6)]
    counts = {"num_judged": found.num_judged, "num_images": found.num_images}
    return {"value": value, "interval": ends, "for": "these images"} | counts
