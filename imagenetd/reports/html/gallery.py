"""Failures to look at: small pictures with prompt and predictions, for the HTML report."""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from imagenetd.reports.evidence import Evidence
from imagenetd.reports.html.document import Card

LOSSLESS_BELOW_PX = 96
"""Smaller pictures are kept exactly; larger ones as WebP of this quality."""
QUALITY = 82


@dataclass(frozen=True, slots=True)
class Group:
    """Images that failed in one way."""

    name: str
    members: np.ndarray
    """Bool "images"."""


def groups(evidence: Evidence) -> list[Group]:
    """Return the ways in which an image can be a failure, each image in the first that holds it."""
    nothing = np.zeros(len(evidence.images), dtype=bool)
    mined, accepted = (evidence.sets.get(name, nothing) for name in ("mined", "accepted"))
    targets = evidence.of_role("target")
    wrong = np.any([model.wrong for model in targets], axis=0) if targets else np.zeros_like(mined)
    return [
        Group("hard, accepted", accepted),
        Group("hard, rejected", mined & ~accepted),
        Group("only a target fails", wrong & ~mined),
    ]


def choose(evidence: Evidence, count: int) -> list[tuple[int, str]]:
    """Return position and group of so many failures, accepted ones first, spread evenly over the pool."""
    chosen: list[tuple[int, str]] = []
    for group in groups(evidence):
        rows = np.flatnonzero(group.members)
        left = count - len(chosen)
        if len(rows) > left:
            rows = rows[np.linspace(0, len(rows) - 1, left).astype(int)] if left else rows[:0]
        chosen += [(int(row), group.name) for row in rows]
    return chosen


def cards(
    evidence: Evidence, read_image: Callable[[int], Image.Image], *, count: int, thumbnail_px: int
) -> list[Card]:
    """Return the failures, each with its picture as a data address."""
    models = [model for model in evidence.models if model.role != "gate"]
    found = []
    for row, group in choose(evidence, count):
        image = evidence.images.iloc[row]
        found.append(
            Card(
                id=str(image["image_id"]),
                src=data_address(read_image(row), thumbnail_px),
                group=group,
                category=str(image["category"]),
                kind=str(image["kind"]),
                nuisance=str(image["nuisance"]),
                prompt=str(image["text"]),
                answers=[
                    (model.class_names[model.predicted[row]], int(model.correct[row])) for model in models
                ],
            )
        )
    return found


def data_address(image: Image.Image, thumbnail_px: int) -> str:
    """Return a picture, at most `thumbnail_px` wide and high, as an address that holds it."""
    small = image.copy()
    small.thumbnail((thumbnail_px, thumbnail_px))
    encoded = io.BytesIO()
    exact = max(small.size) < LOSSLESS_BELOW_PX
    small.save(encoded, format="WEBP", lossless=exact, quality=QUALITY, method=4)
    return f"data:image/webp;base64,{base64.b64encode(encoded.getvalue()).decode()}"
