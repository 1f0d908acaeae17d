"""What the report says about a run besides its scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from imagenetd.records import LabelSpace, StageResult


@dataclass(frozen=True)
class RunFacts:
    """What the report says about a run besides its scores."""

    name: str
    status: str
    num_images: dict[str, int]
    models: dict[str, tuple[str, LabelSpace]]
    """Name -> role and label space."""
    min_failures: int
    seed: int
    stages: Sequence[StageResult]
    generator_key: str
    config: dict[str, Any]
    overrides: tuple[str, ...]
    evaluate: Path
    """Folder of the stage evaluate."""
    left_out: pd.DataFrame | None
    """Files of a dataset that were not evaluated; None for a pool of our own."""
    data: dict[str, Any]
    """Of a dataset: root, and how many files were not evaluated."""
    findings: Callable[[], tuple[dict[str, pd.DataFrame], list[str]]]
    """Gives the tables and sentences that a dataset itself defines, e.g. the mean corruption error."""
    relations: dict[str, str] = field(default_factory=dict)
    """Name of each model -> what it is to the surrogates, see `relations.relation`."""
    qc: dict[str, Any] = field(default_factory=dict)
    """What quality control found, see `stages.qc.read_qc_summary`."""

    @property
    def regimes(self) -> dict[str, tuple[str, float]]:
        """Name of each model -> its regime and chance level."""
        return {name: (space.regime, space.chance) for name, (_, space) in self.models.items()}
