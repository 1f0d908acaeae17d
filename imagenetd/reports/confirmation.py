"""The report `confirmation`: the mined prompts on another seed, which chose nothing. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, TypedDict

import numpy as np
import pandas as pd

from imagenetd.config.ranges import AnyCount
from imagenetd.records import Kind
from imagenetd.reports.design import ALL
from imagenetd.reports.evidence import Evidence, ReportResult, Twins
from imagenetd.reports.report_set import Report
from imagenetd.scoring.statistics.intervals import OTHER_SEEDS, wilson_interval
from imagenetd.store.numerals import counted, known, percent_interval

TOGETHER = "all surrogates"
"""Stands for the event that `min_failures` surrogates are wrong: `accuracy` is the share of the others."""


class TwinsRow(TypedDict):
    """One model on one kind: its accuracy on the pool, on the mined images, and on their twins."""

    model: str
    role: str
    kind: str
    population: str
    num_pool: int
    pool_accuracy: float
    num_mined: int
    mined_accuracy: float
    num_twins: int
    twins_correct: int
    twins_accuracy: float
    twins_low: float
    twins_high: float
    returns: float
    """Part of the drop from pool to mined that comes back with another seed; NaN where nothing was lost."""
    returns_low: float
    returns_high: float


COLUMNS = tuple(TwinsRow.__annotations__)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at on the twins: a model, or all surrogates together."""

    name: str
    role: str
    right: np.ndarray
    """Bool "images", of the pool."""
    again: np.ndarray
    """Bool "twins"."""
    counted: np.ndarray
    """Bool "twins": the others stand in no number."""


@dataclass(frozen=True, slots=True)
class ConfirmationReport(Report):
    """Accuracy on another seed of every mined prompt, beside the pool and the mined images."""

    min_images: AnyCount = 5
    """Kinds with fewer twins are not told in words."""

    name: ClassVar[str] = "confirmation"

    def report(self, evidence: Evidence) -> ReportResult:
        """Return `twins`: one row for each model and kind; none where `mining.confirm` is off.

        The mined images were chosen because models failed on them, their twins were not: the difference is what the
        seed alone did. Given the prompts a twin is a new draw, so the Wilson interval of the twins (wider than needed
        where prompts differ in difficulty) is one for other seeds of these prompts; pool and mined images are counted
        whole. Twins have not passed quality control, nor have the mined images beside them.
        """
        twins = evidence.twins
        if twins is None:
            return ReportResult(self.name, {"twins": pd.DataFrame(columns=[*COLUMNS])})
        rows = [row for subject in _subjects(evidence, twins) for row in _rows(evidence, twins, subject)]
        table = pd.DataFrame(rows, columns=[*COLUMNS])
        totals = table[table["kind"] == ALL]
        summary = {
            str(row["model"]): {name: known(row[name]) for name in SUMMARY}
            for row in totals.to_dict("records")
        }
        return ReportResult(self.name, {"twins": table}, tuple(self._findings(totals, evidence)), summary)

    def _findings(self, totals: pd.DataFrame, evidence: Evidence) -> Iterator[str]:
        for row in totals.to_dict("records"):
            if row["num_twins"] < self.min_images:
                continue
            span = percent_interval(row["twins_low"], row["twins_high"])
            if row["role"] == "target" and row["pool_accuracy"] > row["mined_accuracy"]:
                yield (
                    f"{row['model']}: {100 * row['mined_accuracy']:.1f}% right on the {row['num_mined']} mined images, "
                    f"{100 * row['twins_accuracy']:.1f}% {span} on another seed of the same prompts (other seeds; pool "
                    f"{100 * row['pool_accuracy']:.1f}%): {100 * row['returns']:.0f}% of the drop comes back with "
                    f"another seed {percent_interval(row['returns_low'], row['returns_high'])}."
                )
            if row["model"] == TOGETHER:
                again, high, low = (1 - row[name] for name in ("twins_accuracy", "twins_low", "twins_high"))
                yield (
                    f"{_surrogates(evidence.min_failures)} again on {100 * again:.0f}% "
                    f"{percent_interval(low, high)} of {counted(row['num_twins'], 'twin')} of mined images (other "
                    "seeds), "
                    f"on {100 * (1 - row['pool_accuracy']):.0f}% of the pool."
                )


SUMMARY = (
    *("num_mined", "mined_accuracy", "num_twins", "twins_accuracy", "twins_low", "twins_high"),
    *("pool_accuracy", "returns", "returns_low", "returns_high"),
)


def _subjects(evidence: Evidence, twins: Twins) -> Iterator[Subject]:
    """Yield the models that have seen the twins, targets first, and all surrogates together."""
    shown = [model for model in evidence.models if model.name in twins.correct]
    ordered = sorted(shown, key=lambda model: model.role != "target")
    for model in ordered:
        again, counted = twins.correct[model.name], twins.counted[model.name]
        yield Subject(model.name, model.role, model.correct, again, counted)
    surrogates = [model for model in shown if model.role == "surrogate"]
    if surrogates:
        wrong = sum(~model.correct for model in surrogates)
        wrong_again = sum(~twins.correct[model.name] for model in surrogates)
        counted = np.all([twins.counted[model.name] for model in surrogates], axis=0)
        few = evidence.min_failures
        right, again = np.asarray(wrong) < few, np.asarray(wrong_again) < few
        yield Subject(TOGETHER, "surrogate", right, again, counted)


def _rows(evidence: Evidence, twins: Twins, subject: Subject) -> Iterator[TwinsRow]:
    kinds = evidence.images["kind"].to_numpy()
    of_twin = kinds[twins.positions]
    for kind in (ALL, *dict.fromkeys(of_twin.tolist())):
        in_pool = (kinds != Kind.NEUTRAL) if kind == ALL else (kinds == kind)
        here = np.ones(len(of_twin), dtype=bool) if kind == ALL else of_twin == kind
        mined, used = subject.right[twins.positions[here]], subject.again[here & subject.counted]
        if not len(used):
            continue
        low, high = (float(end) for end in wilson_interval(np.array(used.sum()), np.array(len(used))))
        pool, chosen, now = subject.right[in_pool].mean(), mined.mean(), used.mean()
        lost = pool - chosen
        yield {
            "model": subject.name,
            "role": subject.role,
            "kind": str(kind),
            "population": OTHER_SEEDS,
            "num_pool": int(in_pool.sum()),
            "pool_accuracy": pool,
            "num_mined": len(mined),
            "mined_accuracy": chosen,
            "num_twins": len(used),
            "twins_correct": int(used.sum()),
            "twins_accuracy": now,
            "twins_low": low,
            "twins_high": high,
            "returns": (pool - now) / lost if lost > 0 else np.nan,
            "returns_low": (pool - high) / lost if lost > 0 else np.nan,
            "returns_high": (pool - low) / lost if lost > 0 else np.nan,
        }


def _surrogates(count: int) -> str:
    return "1 surrogate fails" if count == 1 else f"{count} surrogates fail together"
