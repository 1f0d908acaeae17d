"""What a logger gets: one run, complete and already on disk."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from PIL import Image

from imagenetd.reports.summary import RunSummary


@dataclass(frozen=True, slots=True)
class FailureCard:
    """One shared failure, to be looked at."""

    image_id: str
    image: Image.Image
    prompt: str
    category: str
    kind: str
    nuisance: str
    predictions: dict[str, str]
    """Model -> the class that it names."""

    @property
    def caption(self) -> str:
        """The prompt and what each model saw instead, in one line."""
        seen = ", ".join(f"{model}: {answer}" for model, answer in self.predictions.items())
        return f"{self.prompt} | {seen}"


@dataclass(frozen=True, slots=True)
class Confusion:
    """What a model says of each category."""

    name: str
    title: str
    classes: tuple[str, ...]
    actual: tuple[int, ...]
    """Class of each image."""
    predicted: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Curve:
    """Lines over one axis."""

    name: str
    title: str
    x_label: str
    xs: tuple[float, ...]
    lines: dict[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Artifact:
    """Files that belong together, and what they were made from."""

    name: str
    """Ends in the key of its stage: equal names, equal content."""
    type: str
    """`pool`, `predictions` or `benchmark`."""
    files: dict[str, Path]
    """Name in the artifact -> file."""
    lineage: dict[str, str]
    """Stage -> key of what it was made from."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run in W&B or in CSV files: one pool, one surrogate set, one target."""

    key: str
    """Equal for equal results: it becomes the id of the run."""
    name: str
    group: str
    """Runs to be compared in the UI share it."""
    job_type: str
    tags: tuple[str, ...]
    config: dict[str, object]
    summary: dict[str, float | int | str]
    """Flat, e.g. `accuracy/tiny_resnet/mined`."""
    tables: dict[str, pd.DataFrame]
    failures: tuple[FailureCard, ...] = field(default=())
    confusions: tuple[Confusion, ...] = ()
    curves: tuple[Curve, ...] = ()
    artifacts: tuple[Artifact, ...] = ()


def flat_numbers(summary: RunSummary) -> dict[str, float | int | str]:
    """Return the numbers of a run under one name each, e.g. `accuracy/tiny_resnet/mined`."""
    flat: dict[str, float | int | str] = {
        f"num_images/{name}": count for name, count in summary.num_images.items()
    }
    for model, entry in summary.models.items():
        for set_, score in entry.accuracy.items():
            if score.accuracy is not None:
                flat[f"accuracy/{model}/{set_}"] = score.accuracy
                flat[f"accuracy/{model}/{set_}_low"] = score.wilson_low
                flat[f"accuracy/{model}/{set_}_high"] = score.wilson_high
                flat[f"accuracy/{model}/{set_}_num_images"] = score.num_images
    flat["intervals_for"] = summary.intervals_for
    flat |= {f"yield/{name}": share for name, share in summary.yields.items() if share is not None}
    numbers = ((name, value) for name, value in summary.qc.items() if isinstance(value, int | float))
    flat |= {f"qc/{name}": value for name, value in numbers}
    flat |= {f"cost/{name}": value for name, value in summary.cost.items() if value is not None}
    flat |= {f"seconds/{name}": value for name, value in summary.seconds.items()}
    return flat
