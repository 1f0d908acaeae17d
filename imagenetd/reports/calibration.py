"""The report `calibration`: how far confidence and accuracy are apart, per nuisance."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import pandas as pd

from imagenetd.answers import is_asked
from imagenetd.ranges import AnyCount, Range
from imagenetd.records import Kind
from imagenetd.reports.design import Design
from imagenetd.reports.evidence import Evidence, ReportResult
from imagenetd.reports.report import Report
from imagenetd.statistics.calibration import Calibration, calibrate


@dataclass(frozen=True, slots=True)
class CalibrationReport(Report):
    """Expected calibration error of every model on every nuisance."""

    num_bins: Annotated[int, Range(1, 10_000)] = 15
    """Bins of equal width of the confidence."""
    min_images: AnyCount = 30
    """Slices with fewer images are not ranked: their error is mostly luck."""

    name: ClassVar[str] = "calibration"

    def report(self, evidence: Evidence) -> ReportResult:
        """Return `per_set`, `per_nuisance` (on judged images) and `reliability` (bins of every set).

        Models that answer in words have no confidence and are left out.
        """
        models = tuple(model for model in evidence.models if not is_asked(model.class_names))
        if not models:
            return ReportResult(self.name, {})
        evidence = dataclasses.replace(evidence, models=models)
        design = Design(evidence)
        sets, bins = [], []
        for model in evidence.models:
            for name in design.sets:
                members = evidence.sets[name] & ~design.is_control[design.cell_of_image]
                group = np.zeros(int(members.sum()), dtype=np.int64)
                found = calibrate(
                    model.confidence[members].astype(np.float64),
                    model.correct[members],
                    group,
                    num_groups=1,
                    num_bins=self.num_bins,
                )
                about = {"set": name, "model": model.name, "role": model.role, "regime": model.regime}
                sets.append(self._rows(found, pd.DataFrame([about])))
                bins.append(_bins(found, about))
        nuisances = pd.concat(list(self._nuisances(design)), ignore_index=True)
        tables = {
            "per_set": pd.concat(sets, ignore_index=True),
            "per_nuisance": nuisances,
            "reliability": pd.concat(bins, ignore_index=True),
        }
        per_set = tables["per_set"]
        targets = per_set[(per_set["role"] == "target") & (per_set["set"] == evidence.judged)]
        summary = {"ece": dict(zip(targets["model"], targets["ece"], strict=True))}
        return ReportResult(self.name, tables, tuple(_findings(tables, design)), summary)

    def _nuisances(self, design: Design) -> Iterator[pd.DataFrame]:
        group = design.cells["nuisance_code"].to_numpy()[design.cell_of_image]
        members = design.evidence.sets[design.evidence.judged]
        for model in design.evidence.models:
            found = calibrate(
                model.confidence[members].astype(np.float64),
                model.correct[members],
                group[members],
                num_groups=len(design.nuisances),
                num_bins=self.num_bins,
            )
            about = design.nuisances.assign(set=design.evidence.judged, model=model.name, role=model.role)
            yield self._rows(found, about[["set", "model", "role", "kind", "nuisance"]])

    def _rows(self, found: Calibration, about: pd.DataFrame) -> pd.DataFrame:
        images = found.num_images.sum(axis=1)
        safe = np.where(images > 0, images, np.nan)
        return about.assign(
            num_images=images.astype(np.int64),
            accuracy=found.num_correct.sum(axis=1) / safe,
            confidence=found.confidence.sum(axis=1) / safe,
            ece=found.error,
            ece_of_luck=found.error_of_luck,
            overconfidence=found.overconfidence,
            is_ranked=images >= self.min_images,
        )


def _bins(found: Calibration, about: dict[str, str]) -> pd.DataFrame:
    images = found.num_images[0]
    used = images > 0
    edges = np.linspace(0, 1, len(images) + 1)
    return pd.DataFrame(
        {
            **about,
            **{
                "bin_low": edges[:-1][used],
                "bin_high": edges[1:][used],
                "num_images": images[used].astype(np.int64),
            },
            "confidence": found.confidence[0][used] / images[used],
            "accuracy": found.num_correct[0][used] / images[used],
        }
    )


def _findings(tables: dict[str, pd.DataFrame], design: Design) -> Iterator[str]:
    judged = design.evidence.judged
    overall, nuisances = tables["per_set"], tables["per_nuisance"]
    overall = overall[(overall["role"] == "target") & (overall["set"] == judged)]
    nuisances = nuisances[
        nuisances["is_ranked"] & (nuisances["kind"] != Kind.NEUTRAL) & (nuisances["nuisance"] != "")
    ]
    for row in overall.to_dict("records"):
        words = nuisances[nuisances["model"] == row["model"]]
        worst = words.loc[words["overconfidence"].idxmax()] if len(words) else None
        more = (
            ""
            if worst is None
            else (
                f"; most overconfident with {worst['nuisance']} ({100 * worst['confidence']:.0f}% sure, "
                f"{100 * worst['accuracy']:.0f}% right)"
            )
        )
        sure, right = 100 * row["confidence"], 100 * row["accuracy"]
        yield (
            f"{row['model']} is {sure:.0f}% sure and {right:.0f}% right on the {judged}: "
            f"ECE {100 * row['ece']:.1f} points, of which luck is about {100 * row['ece_of_luck']:.1f}{more}."
        )
