"""Automatic quality control: an independent model says whether it sees the prompted category."""

from collections.abc import Sequence

import numpy as np

from imagenetd.qc.votes import Ballot
from imagenetd.records import Vote


def confidence_of(logits: np.ndarray, accepted: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return float "images": the probability that a model gives to the prompted category.

    Args:
        logits: Of the model, float "images classes".
        accepted: Bool "categories classes": the classes that count as each category.
        label: Int "images": the prompted category.
    """
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    probability = shifted / shifted.sum(axis=1, keepdims=True)
    return (probability * accepted[label]).sum(axis=1)


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
