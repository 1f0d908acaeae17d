"""What `summary.json` says of a run, as records. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from imagenetd.records import LabelSpace, Score
from imagenetd.reports.evidence import ReportResult
from imagenetd.scoring.counts import ALL
from imagenetd.scoring.statistics.intervals import wilson_interval
from imagenetd.store.numerals import known


@dataclass(frozen=True, slots=True)
class SetScore:
    """Accuracy of a model on one set of images, without the control arm."""

    accuracy: float | None
    """None for a set without images."""
    num_images: int
    num_correct: int
    wilson_low: float
    wilson_high: float


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """One model of a run."""

    role: str
    relation: str
    """What it is to the surrogates, see `relations.relation`."""
    regime: str
    chance: float
    accuracy: Mapping[str, SetScore]
    """Set -> its score."""


@dataclass(frozen=True, slots=True)
class RegimeTotals:
    """One model under one regime, on its images without the control arm; None: not known in this regime."""

    num_choices: int
    chance: float
    num_images: int
    num_correct: int
    top1: float | None
    wilson_low: float | None
    wilson_high: float | None
    top5: float | None
    top5_low: float | None
    top5_high: float | None
    interval_for: str


@dataclass(frozen=True, slots=True)
class TargetScore:
    """A target on one set of images, in the shortest form."""

    accuracy: float | None
    n: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class MiningSummary:
    """How many of how many surrogates must fail."""

    min_failures: int
    num_surrogates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """The content of `summary.json`, in its order."""

    version: str
    """Of this package."""
    name: str
    status: str
    images: int
    mined: int | None
    """None in an evaluation, which mines nothing."""
    accepted: int | None
    targets: Mapping[str, Mapping[str, TargetScore]]
    """Target -> set -> its score."""
    num_images: Mapping[str, int]
    """Size of each set, without the control arm."""
    surrogates: Sequence[str]
    target: str
    """The first of the targets."""
    gate: str | None
    mining: MiningSummary
    models: Mapping[str, ModelSummary]
    yields: Mapping[str, float | None]
    """Shares of mined and accepted images with their intervals; `yield` in the file."""
    intervals_for: str
    qc: Mapping[str, Any]
    """What quality control found."""
    seconds: Mapping[str, float]
    """Of each stage."""
    cost: Mapping[str, float | None]
    """Seconds for a generated, a mined and an accepted image."""
    keys: Mapping[str, str]
    """Stage -> key."""
    folders: Mapping[str, str]
    """Stage -> folder."""
    generator: str
    """Key of the generator."""
    seed: int
    overrides: Sequence[str]
    config: Mapping[str, Any]
    versions: Mapping[str, str]
    regimes: Mapping[str, Mapping[str, RegimeTotals]]
    """Model -> regime -> its totals."""
    data: Mapping[str, Any]
    """Of a dataset: root, and how many files were not evaluated."""
    findings: Sequence[str]
    """Sentences that a dataset itself defines, and remarks on the models."""
    reports: Mapping[str, Mapping[str, Any]]
    """Report -> its numbers and findings."""

    def as_json(self) -> dict[str, Any]:
        """Return the file's content as plain values."""
        return {("yield" if name == "yields" else name): value for name, value in asdict(self).items()}


def model_summary(scores: Iterable[Score], space: LabelSpace, *, role: str, relation: str) -> ModelSummary:
    """Return the summary of one model.

    Args:
        scores: Of this model.
        space: What it tells apart.
        role: Its part in the run.
        relation: What it is to the surrogates.
    """
    accuracy = {
        score.set: SetScore(
            known(score.accuracy), score.num_images, score.num_correct, score.wilson_low, score.wilson_high
        )
        for score in _totals(scores)
    }
    return ModelSummary(role, relation, space.regime, space.chance, accuracy)


def target_scores(scores: Iterable[Score]) -> dict[str, TargetScore]:
    """Return accuracy, n and the ends of the Wilson interval of a target on each set."""
    return {
        score.set: TargetScore(known(score.accuracy), score.num_images, score.wilson_low, score.wilson_high)
        for score in _totals(scores)
    }


def _totals(scores: Iterable[Score]) -> list[Score]:
    return [score for score in scores if score.kind == ALL and score.nuisance == ALL]


def yields(num_images: Mapping[str, int]) -> dict[str, float | None]:
    """Return the shares of mined images in the pool and of accepted ones in the mined, with their Wilson intervals."""
    found: dict[str, float | None] = {}
    for name, whole in (("mined", "pool"), ("accepted", "mined")):
        part, size = num_images.get(name), num_images.get(whole)
        if part is None or not size:
            found[name] = None
            continue
        low, high = wilson_interval(part, size)
        found |= {name: part / size, f"{name}_low": float(low), f"{name}_high": float(high)}
    return found


def report_summaries(results: Sequence[ReportResult]) -> dict[str, dict[str, Any]]:
    """Return, for each report, its numbers and its findings as JSON can hold them."""
    return {result.name: {**_plain(result.summary), "findings": list(result.findings)} for result in results}


def _plain(value: Any) -> Any:
    """Return numbers of numpy as Python's, and what is no number as null: JSON knows neither."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
