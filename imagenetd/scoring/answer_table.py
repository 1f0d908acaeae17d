"""What one model answers to every image, and what of it is right: all that is read of its logits. Pure arithmetic."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Float

from imagenetd.records import LabelSpace
from imagenetd.scoring import labelspaces as ls
from imagenetd.store.hashes import content_key

NUM_BEST = 5
NO_CATEGORY = -1
VERSION = 1
"""Of the columns below: a table of another version is made anew from the logits."""


@dataclass(frozen=True)
class Scoring:
    """How a model's logits are read over a pool."""

    space: LabelSpace
    categories: tuple[str, ...]
    """Of the images; answers name categories by their position here."""
    lenient: Mapping[str, Sequence[int]]
    """Category -> further ImageNet ids that the lenient regime takes as right."""
    has_rivals: bool = False
    """Some image names a rival of its category, and the model knows both."""

    @classmethod
    def of(
        cls, space: LabelSpace, images: pd.DataFrame, *, lenient: Mapping[str, Sequence[int]]
    ) -> "Scoring":
        """Return how the logits of a model of this label space are read over all these images."""
        categories = tuple(dict.fromkeys(images["category"])) or tuple(space.accepted)
        return cls(space, categories, lenient, not space.outcomes and bool(_has_rival(images, space).any()))

    @property
    def key(self) -> str:
        """Equal exactly for scorings that read the same answers from the same logits."""
        near = {name: list(self.lenient[name]) for name in self.categories if name in self.lenient}
        space = asdict(self.space)
        return content_key(
            {"version": VERSION, "space": space, "categories": self.categories, "lenient": near}
        )

    @cached_property
    def regimes(self) -> tuple[ls.Regime, ...]:
        """The regimes that are read from logits, the model's own first."""
        return ls.regimes(self.space, self.categories, lenient=self.lenient)

    @property
    def num_outcomes(self) -> int:
        """Number of the last classes that are no answers."""
        return len(self.space.outcomes)


@dataclass(frozen=True)
class Answers:
    """The answers of one model to the images of a pool, in the order of the pool."""

    scoring: Scoring
    table: pa.Table
    """As `answer_rows` returns it."""

    def column(self, name: str) -> np.ndarray:
        """Return a column without gaps."""
        return np.asarray(self.table[name].to_numpy(zero_copy_only=False))

    @property
    def predicted(self) -> np.ndarray:
        """Int32 "images": the best class; of equal logits the first."""
        return self.column("predicted")

    @property
    def top(self) -> np.ndarray:
        """Int32 "images top": the best classes, best first."""
        width = self.table["top"].type.list_size
        return np.asarray(self.table["top"].combine_chunks().flatten()).reshape(-1, width)

    @property
    def confidence(self) -> np.ndarray:
        """Float32 "images": softmax probability of the best class."""
        return self.column("confidence")

    @property
    def correct(self) -> np.ndarray:
        """Bool "images": right in the model's own label space."""
        return self.column(f"correct_{self.scoring.space.regime}")

    @property
    def counted(self) -> np.ndarray:
        """Bool "images": false where the model's scoring leaves an image without an answer out."""
        return self.column("counted")

    @property
    def wrong(self) -> np.ndarray:
        """Bool "images": it counts, and is not right."""
        return self.counted & ~self.correct


def answer_rows(
    logits: Float[np.ndarray, "images classes"], images: pd.DataFrame, scoring: Scoring
) -> pa.Table:
    """Return one row for each image with everything that later stages ask of logits.

    `predicted`, `confidence`: the best class and its probability; `top`: the classes of the largest logits, best
    first; `second_confidence`: probability of the second of them, NaN where there is one class; `margin`: between the
    two largest logits; `label_probability`: of the classes of the image's own category; `category`: the one that the
    best class belongs to, -1 for none; `best_category`, `second_category`: of all categories by the best class of
    each; `counted`: false for an image that the model's scoring leaves out; `correct_<regime>`, `top5_<regime>`: right
    under each regime, `compat_top5_hits`, `correct_two-choice` (null without a rival).

    Args:
        logits: Of one model; one that is not finite is a ValueError: it would silently count as an answer.
        images: With `category`, and `rival` where there is one.
        scoring: Of the whole pool; `images` may be a part of it.
    """
    finite = np.isfinite(logits).all(axis=1)
    if not finite.all():
        raise ValueError(f"The logits of {int((~finite).sum())} of {len(logits)} images are NaN or infinite.")
    space, own = scoring.space, scoring.regimes[0]
    position = {name: number for number, name in enumerate(scoring.categories)}
    label = images["category"].map(position).to_numpy(dtype=np.int64)
    top = ls.top_choices(logits, NUM_BEST)
    best = np.take_along_axis(logits, top[:, :2], axis=1)
    powers = np.exp(logits - best[:, :1])
    sums = powers.sum(axis=1)
    second = powers[np.arange(len(top)), top[:, 1]] / sums if top.shape[1] > 1 else np.full(len(top), np.nan)
    exact = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    of_label = (exact / exact.sum(axis=1, keepdims=True) * own.accepted[label]).sum(axis=1)
    first = ls.top_choices(own.accepted.T.astype(np.float32), 1)[:, 0]
    owner = np.where(own.accepted.any(axis=0), first, NO_CATEGORY)
    by_category = np.stack([logits[:, row].max(axis=1, initial=-np.inf) for row in own.accepted], axis=1)
    order = ls.top_choices(by_category, 2)
    columns: dict[str, Any] = {
        "predicted": top[:, 0].astype(np.int32),
        "confidence": (1 / sums).astype(np.float32),
        "top": pa.FixedSizeListArray.from_arrays(pa.array(top.astype(np.int32).ravel()), top.shape[1]),
        "second_confidence": second.astype(np.float32),
        "margin": ls.margin(best),
        "label_probability": of_label,
        "category": owner[top[:, 0]].astype(np.int32),
        "best_category": order[:, 0].astype(np.int32),
        "second_category": order[:, -1].astype(np.int32),
        "counted": (top[:, 0] < space.num_classes - scoring.num_outcomes) | (not space.leaves_out),
    }
    for regime in scoring.regimes:
        columns |= _regime_columns(logits, top, label, regime, scoring)
    if scoring.has_rivals:
        columns[f"correct_{ls.TWO_CHOICE}"] = _two_choice(logits, images, space)
    return pa.table(columns)


def _regime_columns(
    logits: np.ndarray, top: np.ndarray, label: np.ndarray, regime: ls.Regime, scoring: Scoring
) -> dict[str, np.ndarray]:
    best = top if regime.members is None else ls.top_choices(ls.choice_scores(logits, regime), NUM_BEST)
    columns = {f"correct_{regime.name}": ls.hits(best[:, :1], label, regime.accepted) > 0}
    if regime.num_choices > NUM_BEST and not scoring.num_outcomes:  # a chat model gives one answer
        num_hits = ls.hits(best, label, regime.accepted)
        columns[f"top5_{regime.name}"] = num_hits > 0
        if regime.name == ls.ANY_OF_IDS:
            columns["compat_top5_hits"] = num_hits
    return columns


def _has_rival(images: pd.DataFrame, space: LabelSpace) -> np.ndarray:
    if "rival" not in images:
        return np.zeros(len(images), dtype=bool)
    names = list(space.accepted)
    return (images["rival"].isin(names) & images["category"].isin(names)).to_numpy()


def _two_choice(logits: np.ndarray, images: pd.DataFrame, space: LabelSpace) -> pa.Array:
    """Return right or wrong against the rival of each image, null where it has none that the model knows."""
    names = list(space.accepted)
    column = {name: number for number, name in enumerate(names)}
    has_rival = _has_rival(images, space)
    rows = images[has_rival]
    per_category = ls.Regime(ls.SUMMED, tuple(space.accepted.values()), np.eye(len(names), dtype=bool))
    scores = ls.choice_scores(logits[has_rival], per_category)
    label, rival = (rows[name].map(column).to_numpy(dtype=np.int64) for name in ("category", "rival"))
    right = np.zeros(len(images), dtype=bool)
    right[has_rival] = ls.two_choice_correct(scores, label, rival)
    return pa.array(right, mask=~has_rival)
