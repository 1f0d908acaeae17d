"""The report `calibration`: how far confidence and accuracy are apart, per nuisance."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from imagenetd.config.ranges import AnyCount, Range
from imagenetd.models.answers import is_asked
from imagenetd.records import Kind
from imagenetd.reports.design import SET_WORDS, Design
from imagenetd.reports.evidence import Evidence, ModelEvidence, ReportResult
from imagenetd.reports.report_set import Report
from imagenetd.scoring.counts import Mark, rate_of, tally
from imagenetd.scoring.statistics.calibration import Calibration
from imagenetd.scoring.statistics.intervals import THESE_CATEGORIES, simultaneous_confidence
from imagenetd.store.numerals import counted, percent_interval


@dataclass(frozen=True, slots=True)
class CalibrationReport(Report):
    """Expected calibration error of every model on every nuisance."""

    num_bins: Annotated[int, Range(1, 10_000)] = 15
    """Bins of equal width of the confidence."""
    min_images: AnyCount = 30
    """Slices with fewer images are not ranked: a calibrated model would show a large error there, too."""

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
                found = self._calibrated(model, members, np.zeros(len(members), dtype=np.int64), 1)
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
        names = ("ece", "ece_debiased", "ece_low", "ece_high", "ece_if_calibrated")
        summary = {name: dict(zip(targets["model"], targets[name], strict=True)) for name in names}
        return ReportResult(self.name, tables, tuple(_findings(tables, design)), summary)

    def _nuisances(self, design: Design) -> Iterator[pd.DataFrame]:
        group = design.cells["nuisance_code"].to_numpy()[design.cell_of_image]
        members = design.evidence.sets[design.evidence.judged]
        for model in design.evidence.models:
            found = self._calibrated(model, members, group, len(design.nuisances))
            about = design.nuisances.assign(set=design.evidence.judged, model=model.name, role=model.role)
            rows = self._rows(found, about[["set", "model", "role", "kind", "nuisance"]])
            rows["is_ranked"] &= rows["kind"] != Kind.NEUTRAL
            together = simultaneous_confidence(int(rows["is_ranked"].sum()))
            low, high = _overconfidence_ends(found, confidence=together)
            yield rows.assign(overconfidence_low_of_all=low, overconfidence_high_of_all=high)

    def _calibrated(
        self, model: ModelEvidence, members: np.ndarray, group: np.ndarray, size: int
    ) -> Calibration:
        here = members & model.counted
        confidence = model.confidence[here].astype(np.float64)
        return calibrate(
            confidence, model.correct[here], group[here], num_groups=size, num_bins=self.num_bins
        )

    def _rows(self, found: Calibration, about: pd.DataFrame) -> pd.DataFrame:
        images = found.num_images.sum(axis=1)
        safe = np.where(images > 0, images, np.nan)
        debiased, low, high = found.error_interval()
        calibrated, calibrated_high = found.error_if_calibrated()
        over_low, over_high = _overconfidence_ends(found)
        return about.assign(
            num_images=images.astype(np.int64),
            accuracy=rate_of(found.num_correct.sum(axis=1), images).value,
            confidence=found.confidence.sum(axis=1) / safe,
            ece=found.error,
            ece_debiased=debiased,
            ece_low=low,
            ece_high=high,
            ece_if_calibrated=calibrated,
            ece_if_calibrated_high=calibrated_high,
            overconfidence=found.overconfidence,
            overconfidence_low=over_low,
            overconfidence_high=over_high,
            population=THESE_CATEGORIES,
            is_ranked=images >= self.min_images,
        )


def calibrate(
    confidence: Float[np.ndarray, " images"],
    correct: Bool[np.ndarray, " images"],
    group: Int[np.ndarray, " images"],
    *,
    num_groups: int,
    num_bins: int,
) -> Calibration:
    """Sort the images of each group into bins of equal width over 0..1; all of them count."""
    bins = np.clip((confidence * num_bins).astype(np.int64), 0, num_bins - 1)
    code, shape = group * num_bins + bins, (num_groups, num_bins)
    found = tally([Mark("", "", "", correct, np.ones_like(correct))], code, num_groups * num_bins)
    sure, gap = (
        np.bincount(code, column, minlength=num_groups * num_bins).astype(np.float64).reshape(shape)
        for column in (confidence, (confidence - correct) ** 2)
    )
    images, right = (part.reshape(shape).astype(np.float64) for part in (found.num_images, found.num_correct))
    return Calibration(images, sure, right, gap)


def _overconfidence_ends(found: Calibration, *, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return confidence minus the ends of the accuracy's Wilson interval; (-1, 1) without images."""
    images = found.num_images.sum(axis=1)
    right = rate_of(found.num_correct.sum(axis=1), images, confidence=confidence)
    mean = np.where(images > 0, found.confidence.sum(axis=1) / np.maximum(images, 1), np.nan)
    return np.nan_to_num(mean - right.high, nan=-1.0), np.nan_to_num(mean - right.low, nan=1.0)


def _bins(found: Calibration, about: dict[str, str]) -> pd.DataFrame:
    used = found.num_images[0] > 0
    images, right = found.num_images[0][used], found.num_correct[0][used]
    rate = rate_of(right, images)
    edges = np.linspace(0, 1, len(used) + 1)
    return pd.DataFrame(
        {
            **about,
            **{"bin_low": edges[:-1][used], "bin_high": edges[1:][used]},
            **{"num_images": images.astype(np.int64), "confidence": found.confidence[0][used] / images},
            **{"accuracy": rate.value, "wilson_low": rate.low, "wilson_high": rate.high},
            "wilson_for": THESE_CATEGORIES,
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
        worst = _worst_finding(words) if len(words) else ""
        yield (
            f"{row['model']}, on {counted(row['num_images'], 'image')} of the {SET_WORDS[judged]}: "
            f"{100 * row['confidence']:.0f}% sure, {100 * row['accuracy']:.0f}% right; calibration error "
            f"{100 * row['ece_debiased']:.1f} points {percent_interval(row['ece_low'], row['ece_high'], digits=1)} for "
            f"{THESE_CATEGORIES}, its bias taken off ({100 * row['ece']:.1f} as seen; a calibrated model would show "
            f"{100 * row['ece_if_calibrated']:.1f}, at most {100 * row['ece_if_calibrated_high']:.1f} in 95 of 100 "
            f"such samples).{worst}"
        )


def _worst_finding(nuisances: pd.DataFrame) -> str:
    """Return the nuisance that comes out worst, with an interval that holds for all of them at once."""
    worst = nuisances.loc[nuisances["overconfidence"].idxmax()]
    low, high = worst["overconfidence_low_of_all"], worst["overconfidence_high_of_all"]
    doubt = "" if low > 0 else " No nuisance is surely overconfident."
    return (
        f"{doubt} Most sure for what is right, with {worst['nuisance']}: {100 * worst['confidence']:.0f}% sure, "
        f"{100 * worst['accuracy']:.0f}% right of {worst['num_images']}, {100 * worst['overconfidence']:+z.0f} points "
        f"{percent_interval(low, high, signed=True)} for all {len(nuisances)} nuisances at once."
    )
