"""What a logger gets: one run, complete and already on disk."""

from dataclasses import dataclass, field

import pandas as pd
from PIL import Image


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
