"""The report `coverage`: how often a model that is asked questions gives an answer at all. Pure."""

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from imagenetd.models.answers import OUTCOMES, is_asked
from imagenetd.records import Kind, LabelSpace
from imagenetd.reports.evidence import Evidence, ModelEvidence, ReportResult
from imagenetd.reports.report import Report, ReportSet
from imagenetd.scoring.metrics import ALL
from imagenetd.scoring.statistics.intervals import THESE_CATEGORIES, wilson_interval
from imagenetd.store.numerals import counted, percent_interval, significant

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
    kinds = evidence.images["kind"].to_numpy()
    first = len(model.class_names) - len(OUTCOMES)
    is_clear = model.predicted < first
    for name, members in evidence.sets.items():
        for kind in (ALL, *dict.fromkeys(kinds.tolist())):
            inside = members & ((kinds != Kind.NEUTRAL) if kind == ALL else (kinds == kind))
            num = int(inside.sum())
            if not num:
                continue
            num_clear = int((inside & is_clear).sum())
            num_right = int((inside & model.correct).sum())
            shares = {"coverage": (num_clear, num), "accuracy": (num_right, num)}
            shares["accuracy_answered"] = num_right, num_clear
            counts = np.bincount(model.predicted[inside & ~is_clear] - first, minlength=len(OUTCOMES))
            yield {
                "model": model.name,
                "regime": model.regime,
                "chance": model.chance,
                "set": name,
                "kind": str(kind),
                "num_images": num,
                "num_answered": num_clear,
                **dict(zip(OUTCOMES, counts.tolist(), strict=True)),
                "num_correct": num_right,
                **{name: value for share in shares.items() for name, value in _with_ends(*share).items()},
                "interval_for": THESE_CATEGORIES,
            }


def _with_ends(name: str, counts: tuple[int, int]) -> dict[str, float]:
    """Return a share and the ends of its Wilson interval; NaN where there is nothing to divide by."""
    part, whole = counts
    low, high = (float(end) for end in wilson_interval(part, whole)) if whole else (np.nan, np.nan)
    return {name: part / whole if whole else np.nan, f"{name}_low": low, f"{name}_high": high}


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
