"""What every report is computed from: stored predictions of all models over one pool, and the sets of images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imagenetd.models.relations import Origin, relation

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
    """Bool "images": right in its own label space."""
    confidence: np.ndarray
    """Float "images": softmax probability of its best class."""
    training_data: tuple[str, ...] = ()
    """Names of the data sets that its weights have seen; empty: unknown."""

    @property
    def origin(self) -> Origin:
        """Where its mistakes may come from."""
        return Origin(self.family, self.training_data)


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
