"""The report `coverage`: how often a model that is asked questions gives an answer at all. Pure."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from imagenetd.models.answers import OUTCOMES, is_asked
from imagenetd.records import LabelSpace
from imagenetd.reports.evidence import Evidence, ModelEvidence, ReportResult
from imagenetd.reports.report_set import Report, ReportSet
from imagenetd.scoring.counts import ALL, Mark, accuracy_by, count_answers, without_control
from imagenetd.scoring.statistics.intervals import THESE_CATEGORIES
from imagenetd.store.numerals import counted, percent_interval, significant

SHARES = ("coverage", "accuracy", "accuracy_answered")
ENDS = ("coverage_low", "coverage_high", "interval_for")


@dataclass(frozen=True, slots=True)
class CoverageReport(Report):
    """Shares of clear answers, refusals, answers with several options and with none, for each set and kind."""

    name: ClassVar[str] = "coverage"

    def report(self, evidence: Evidence) -> ReportResult:
        """Return `answers`: one row for each asked model, set and kind; the totals leave the control arm out."""
        asked = [model for model in evidence.models if is_asked(model.class_names)]
        rows = [row for model in asked for row in _rows(model, evidence)]
        if not rows:
            return ReportResult(self.name, {})
        table = pd.DataFrame(rows)
        totals = table[table["kind"] == ALL]
        summary = {
            model.name: {
                row["set"]: {name: row[name] for name in ("num_images", "coverage", *ENDS, *OUTCOMES)}
                for row in totals[totals["model"] == model.name].to_dict("records")
            }
            for model in asked
        }
        findings = [_sentence(row) for row in totals[totals["set"] == "pool"].to_dict("records")]
        return ReportResult(self.name, {"answers": table}, tuple(findings), summary)


def with_coverage(chosen: ReportSet, spaces: Iterable[LabelSpace]) -> ReportSet:
    """Return the reports, and the one on coverage when a model of the run can fail to answer."""
    if not any(space.outcomes for space in spaces):
        return chosen
    return dataclasses.replace(chosen, reports={CoverageReport.name: CoverageReport()} | dict(chosen.reports))


def _rows(model: ModelEvidence, evidence: Evidence) -> Iterator[dict[str, Any]]:
    first = len(model.class_names) - len(OUTCOMES)
    is_clear, everything = model.predicted < first, np.ones(len(evidence.images), dtype=bool)
    marks = {"coverage": (is_clear, everything), "accuracy": (model.correct, everything)}
    marks["accuracy_answered"] = model.correct, is_clear
    marks |= {name: (model.predicted == first + n, everything) for n, name in enumerate(OUTCOMES)}
    counts = count_answers(
        evidence.images,
        [Mark(model.name, model.role, name, *counted) for name, counted in marks.items()],
        evidence.sets,
    )
    by = ["set", "kind", "regime"]
    totals = accuracy_by(without_control(counts), ["set", "regime"]).assign(kind=ALL)
    found = pd.concat([totals, accuracy_by(counts, by)]).set_index(by)
    kinds = [ALL, *dict.fromkeys(evidence.images["kind"].astype(str))]
    for place in itertools.product(evidence.sets, kinds):
        of = {name: found.loc[(*place, name)] for name in marks}
        if not of["accuracy"]["num_images"]:
            continue
        yield {
            "model": model.name,
            "regime": model.regime,
            "chance": model.chance,
            "set": place[0],
            "kind": place[1],
            "num_images": int(of["accuracy"]["num_images"]),
            "num_answered": int(of["coverage"]["num_correct"]),
            **{name: int(of[name]["num_correct"]) for name in OUTCOMES},
            "num_correct": int(of["accuracy"]["num_correct"]),
            **{key: value for name in SHARES for key, value in _with_ends(name, of[name]).items()},
            "interval_for": THESE_CATEGORIES,
        }


def _with_ends(name: str, found: pd.Series) -> dict[str, float]:
    """Return a share and the ends of its Wilson interval; NaN where there is nothing to divide by."""
    ends = (found["wilson_low"], found["wilson_high"]) if found["num_images"] else (np.nan, np.nan)
    numbers = (found["accuracy"], *ends)
    return {f"{name}{end}": float(n) for end, n in zip(("", "_low", "_high"), numbers, strict=True)}


def _sentence(row: dict[str, Any]) -> str:
    unclear = ", ".join(f"{row[name]} {name}" for name in OUTCOMES)
    answered = (
        f"{_share_text(row, 'accuracy_answered')} of those answered"
        if row["num_answered"]
        else "none answered"
    )
    return (
        f"{row['model']} ({row['regime']}, chance {significant(100 * row['chance'])}%) gave a clear answer on "
        f"{_share_text(row, 'coverage')} of {counted(row['num_images'], 'image')} ({unclear}): right on "
        f"{_share_text(row, 'accuracy')} of all, {answered}; for {THESE_CATEGORIES}."
    )


def _share_text(row: dict[str, Any], name: str) -> str:
    return f"{100 * row[name]:.1f}% {percent_interval(row[f'{name}_low'], row[f'{name}_high'])}"
