"""What every export is made of: the images of one set with all that is known of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from imagenetd.records import Score
from imagenetd.reports.evidence import ModelEvidence

COLUMNS = {
    "file": "path below the folder of the export",
    "image_id": "hash of generator, prompt and seeds",
    "category": "key of the prompted category: the label",
    "category_name": "the category in words",
    "imagenet_ids": "ImageNet-1k classes that count as right, separated by blanks",
    "kind": "kind of nuisance: background, texture, material; neutral for the control arm",
    "nuisance": "raw name of the nuisance in its vocabulary; empty for the control arm",
    "nuisance_name": "the nuisance in words",
    "prompt": "what the generator was told",
    "template_version": "version of the sentence around category and nuisance",
    "seed": "of the pool",
    "seed_index": "which of the images of one cell",
    "noise_seed": "of this image's noise, as text: it does not fit into a float",
    "width_px": "width in pixels",
    "height_px": "height in pixels",
    "sha256": "of the encoded file",
    "num_failures": "surrogates that are wrong",
    "is_mined": "hard: enough surrogates are wrong",
    "is_accepted": "hard, and passed quality control",
    "is_easy": "no surrogate is wrong",
}
"""Columns of `Benchmark.images`, in their order, each with its meaning."""


@dataclass(frozen=True)
class Provenance:
    """How the images came to be, in plain values."""

    generator: Mapping[str, object]
    """Identity of the generator: weights' hash, steps, guidance."""
    embedded: bool
    """Made by a generator of this package."""
    min_failures: int
    qc: Mapping[str, object]
    """Options of quality control."""
    num_images: Mapping[str, int]
    """Size of each set, without the control arm."""
    keys: Mapping[str, str]
    """Stage -> its key."""
    versions: Mapping[str, str]
    overrides: Sequence[str]
    """The command that made the run, without `python run.py`."""


@dataclass(frozen=True)
class Benchmark:
    """One set of images, complete and ready to be written."""

    name: str
    set: str
    """`accepted`, `mined`, `easy`, `not_mined`, `pool` or `pool_accepted`."""
    images: pd.DataFrame
    """One row an image, with the columns of COLUMNS."""
    models: tuple[ModelEvidence, ...]
    """Their arrays follow the rows of `images`."""
    scores: Sequence[Score]
    """Of the whole run, for the datasheet."""
    provenance: Provenance
    num_bytes: int
    """Of all encoded images."""
    read_bytes: Callable[[int], bytes]
    """Encoded PNG of the row at a position of `images`, checked against its hash."""
    best_two: Callable[[str], tuple[list[str], list[str]]]
    """Name of a model -> for each image its best and its second best category, in words."""

    @property
    def title(self) -> str:
        """A name for people."""
        return f"{self.name}, {self.set} images"

    @property
    def categories(self) -> list[str]:
        """Keys in alphabetical order: the class index of an image is the position of its category."""
        return sorted(set(self.images["category"]))


def file_name(kind: str, category: str, image_id: str) -> str:
    """Return where an image lies in an export, as in released ImageNet-D.

    >>> file_name("texture", "mug", "0a1b")
    'texture/mug/0a1b.png'
    """
    return f"{kind}/{category}/{image_id}.png"


def predictions_frame(benchmark: Benchmark) -> pd.DataFrame:
    """Return image_id, and for each model `<model>_predicted`, `<model>_correct`, `<model>_confidence`.

    `<model>_correct` is unknown where the model's scoring leaves an image out.
    """
    columns: dict[str, object] = {"image_id": benchmark.images["image_id"].to_numpy()}
    for model in benchmark.models:
        columns[f"{model.name}_predicted"] = predicted_names(model)
        columns[f"{model.name}_correct"] = pd.arrays.BooleanArray(model.correct, ~model.counted)
        columns[f"{model.name}_confidence"] = model.confidence
    return pd.DataFrame(columns)


def predicted_names(model: ModelEvidence) -> list[str]:
    """Return the class that a model names for each image."""
    return [model.class_names[index] for index in model.predicted.tolist()]
