"""Automatic quality control: an independent model says whether it sees the prompted category."""

from collections.abc import Sequence

import numpy as np

from imagenetd.qc.votes import Ballot
from imagenetd.records import Vote


def gate_ballot(
    confidence: np.ndarray,
    *,
    image_ids: Sequence[str],
    gate: str,
    min_confidence: float,
) -> Ballot:
    """Return one vote of the gate for each image.

    Args:
        confidence: Float "images": probability of the prompted category.
        image_ids: Of the images.
        gate: Name of the gate, as the worker.
        min_confidence: The gate says yes from this probability of the prompted category on.
    """
    votes = (
        Vote(image_id, gate, bool(sure >= min_confidence), False, float(sure))
        for image_id, sure in zip(image_ids, confidence, strict=True)
    )
    return Ballot(tuple(votes))
