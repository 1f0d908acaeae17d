"""What every report is computed from: stored predictions of all models over one pool, and the sets of images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imagenetd.models.relations import Origin, relation
from imagenetd.scoring.counts import CELL, MODEL, Mark, accuracy_by, count_answers, without_control
from imagenetd.scoring.mining import num_failures

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class ModelEvidence:
    """One model's answers over the pool."""

    name: str
    role: str
    """`surrogate`, `target` or `gate`."""
    family: str
    regime: str
    """Label space it was scored in; numbers of different regimes are never ranked together."""
    chance: float
    class_names: tuple[str, ...]
    predicted: np.ndarray
    """Int "images": its best class."""
    correct: np.ndarray
    """Bool "images": right in its own label space; false where it does not count."""
    confidence: np.ndarray
    """Float "images": softmax probability of its best class."""
    counted: np.ndarray
    """Bool "images": false where its scoring leaves an image without an answer out, which then stands in no number."""
    training_data: tuple[str, ...] = ()
    """Names of the data sets that its weights have seen; empty: unknown."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "correct", self.correct & self.counted)

    @property
    def wrong(self) -> np.ndarray:
        """Bool "images": it counts, and is not right."""
        return self.mark.wrong

    def is_right(self, position: int) -> bool | None:
        """Return whether its answer to an image is right; None where the image does not count."""
        return bool(self.correct[position]) if self.counted[position] else None

    @property
    def origin(self) -> Origin:
        """Where its mistakes may come from."""
        return Origin(self.family, self.training_data)

    @property
    def mark(self) -> Mark:
        """What is counted of it."""
        return Mark(self.name, self.role, self.regime, self.correct, self.counted)


@dataclass(frozen=True)
class Twins:
    """The confirmation set: for every mined image another image of the same prompt."""

    positions: np.ndarray
    """Int "twins": where the mined image of each stands in the pool."""
    correct: Mapping[str, np.ndarray]
    """Name of a model that has seen them -> bool "twins"."""
    counted: Mapping[str, np.ndarray]
    """Likewise: false where a twin was flagged or the model's scoring leaves it out."""


@dataclass(frozen=True)
class Evidence:
    """One pool, its models and its sets."""

    images: pd.DataFrame
    """One row an image: image_id, category, kind, nuisance, seed_index, text."""
    models: tuple[ModelEvidence, ...]
    sets: Mapping[str, np.ndarray]
    """`pool`, `mined`, `accepted`, and `pool_accepted` where the whole pool was judged -> bool "images"."""
    min_failures: int
    baseline: pd.DataFrame | None = None
    """The same models on real photographs, if a run on such is named: one row for each model and category with
    model, regime, num_classes, category, num_images, num_correct."""
    twins: Twins | None = None
    """The confirmation set, if one was drawn."""
    read_image: "Callable[[int], Image] | None" = None
    """Gives the image at a position of `images`, for the few reports that run a model."""
    evaluated: pd.DataFrame | None = None
    """The counts of the stage `evaluate`, of the models that it knows."""

    @cached_property
    def counts(self) -> pd.DataFrame:
        """What every model has right under its own regime, one row for each set, model and cell in this order.

        Rows are those of `count_answers`; models that the stage `evaluate` does not know are counted here.
        """
        found = {} if self.evaluated is None else _by_set_and_model(self.evaluated)
        unknown = [
            model for model in self.models if any((name, model.name) not in found for name in self.sets)
        ]
        if unknown:
            fresh = count_answers(self.images, [model.mark for model in unknown], self.sets)
            found |= _by_set_and_model(fresh)
        parts = [found[name, model.name] for name in self.sets for model in self.models]
        texts = {
            name: pd.CategoricalDtype(
                list(dict.fromkeys(word for part in parts for word in part[name].cat.categories))
            )
            for name in (*MODEL, "regime", "set", *CELL)
        }
        return pd.concat([part.astype(texts) for part in parts], ignore_index=True)

    @cached_property
    def num_failing(self) -> np.ndarray:
        """Int "images": how many surrogates are wrong."""
        not_wrong = [~model.wrong for model in self.of_role("surrogate")]
        return num_failures(np.array(not_wrong, dtype=bool).reshape(-1, len(self.images)))

    def by_failures(self) -> pd.DataFrame:
        """Return the accuracy of each target on the judged images that at least k surrogates get wrong, k in `set`."""
        judged, steps = self.sets[self.judged], range(len(self.of_role("surrogate")) + 1)
        sets = {str(k): judged & (self.num_failing >= k) for k in steps}
        counts = count_answers(self.images, [model.mark for model in self.of_role("target")], sets)
        return accuracy_by(without_control(counts), ["model", "set"])

    def of_role(self, *roles: str) -> list[ModelEvidence]:
        """Return the models that play one of these parts."""
        return [model for model in self.models if model.role in roles]

    def relation(self, model: ModelEvidence) -> str:
        """Return what a model is to the surrogates, see `relations.relation`."""
        surrogates = [other.origin for other in self.of_role("surrogate")]
        return relation(model.role, model.origin, surrogates)

    @property
    def judged(self) -> str:
        """The largest set without known mistakes of the generator: `pool_accepted` where there is one."""
        return "pool_accepted" if "pool_accepted" in self.sets else "pool"


def _by_set_and_model(counts: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    own = counts[counts["is_own"]]
    return {
        (str(name), str(model)): rows
        for (name, model), rows in own.groupby(["set", "model"], sort=False, observed=True)
    }


@dataclass(frozen=True)
class ReportResult:
    """What a report says."""

    name: str
    tables: Mapping[str, pd.DataFrame]
    """Name -> tidy table; written as CSV, shown in the HTML report, logged to W&B."""
    findings: tuple[str, ...] = ()
    """Sentences for people, the most important first."""
    summary: Mapping[str, Any] = field(default_factory=dict)
    """Plain numbers for `summary.json`, under `reports.<name>`."""
