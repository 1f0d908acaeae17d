"""The report `confirmation`: the mined prompts on another seed, which chose nothing. Pure."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, TypedDict

import numpy as np
import pandas as pd

from imagenetd.config.ranges import AnyCount
from imagenetd.reports.design import ALL
from imagenetd.reports.evidence import Evidence, ReportResult, Twins
from imagenetd.reports.report_set import Report
from imagenetd.scoring.counts import Mark, accuracy_by, count_answers, joint_mark, without_control
from imagenetd.scoring.statistics.intervals import OTHER_SEEDS
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
        table = pd.DataFrame(_rows(evidence, twins), columns=[*COLUMNS])
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


def _marks(evidence: Evidence, twins: Twins) -> Iterator[Mark]:
    """Yield what is right on the pool and on the twins behind it: targets first, then all surrogates together."""
    shown = [model for model in evidence.models if model.name in twins.correct]
    ordered = sorted(shown, key=lambda model: model.role != "target")
    marks = [
        Mark(
            model.name,
            model.role,
            model.regime,
            np.append(model.correct, twins.correct[model.name]),
            np.append(model.counted, twins.counted[model.name]),
        )
        for model in ordered
    ]
    yield from marks
    if surrogates := [mark for mark in marks if mark.role == "surrogate"]:
        yield joint_mark(TOGETHER, "surrogate", surrogates, least=evidence.min_failures)


def _rows(evidence: Evidence, twins: Twins) -> Iterator[TwinsRow]:
    size, marks = len(evidence.images), list(_marks(evidence, twins))
    images = pd.concat([evidence.images, evidence.images.iloc[twins.positions]], ignore_index=True)
    place = np.arange(len(images))
    sets = {"pool": place < size, "mined": np.isin(place, twins.positions), "twins": place >= size}
    counts, by = count_answers(images, marks, sets), ["model", "kind", "set"]
    totals = accuracy_by(without_control(counts), ["model", "set"]).assign(kind=ALL)
    found = pd.concat([totals, accuracy_by(counts, by)]).set_index(by)
    kinds = (ALL, *dict.fromkeys(images["kind"].to_numpy()[size:].tolist()))
    for mark, kind in itertools.product(marks, kinds):
        pool, mined, again = (found.loc[(mark.model, kind, name)] for name in sets)
        if not again["num_images"]:
            continue
        lost = pool["accuracy"] - mined["accuracy"]
        back = {
            end: (pool["accuracy"] - again[number]) / lost if lost > 0 else np.nan
            for end, number in (("", "accuracy"), ("_low", "wilson_high"), ("_high", "wilson_low"))
        }
        yield {
            "model": mark.model,
            "role": mark.role,
            "kind": str(kind),
            "population": OTHER_SEEDS,
            "num_pool": int(pool["num_images"]),
            "pool_accuracy": pool["accuracy"],
            "num_mined": int(mined["num_images"]),
            "mined_accuracy": mined["accuracy"],
            "num_twins": int(again["num_images"]),
            "twins_correct": int(again["num_correct"]),
            "twins_accuracy": again["accuracy"],
            "twins_low": again["wilson_low"],
            "twins_high": again["wilson_high"],
            "returns": back[""],
            "returns_low": back["_low"],
            "returns_high": back["_high"],
        }


def _surrogates(count: int) -> str:
    return "1 surrogate fails" if count == 1 else f"{count} surrogates fail together"
