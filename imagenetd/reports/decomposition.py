"""The report `decomposition`: where the drop comes from, real -> neutral -> nuisance -> mined -> accepted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from imagenetd.records import Kind
from imagenetd.reports.arms import Arm, arm_of, arms_of, pair_sums_by_seed, real_arm
from imagenetd.reports.design import ALL, Design
from imagenetd.reports.evidence import Evidence, ReportResult
from imagenetd.reports.report_set import Report
from imagenetd.scoring.counts import rate_of
from imagenetd.scoring.statistics.intervals import (
    OTHER_CATEGORIES,
    OTHER_SEEDS,
    THESE_CATEGORIES,
    Estimate,
    clustered_difference,
    clustered_share,
    clustered_subset_difference,
    zero_events_bound,
)
from imagenetd.store.numerals import counted, percent_interval

STEPS = ("real", "neutral", "nuisance", "mined", "accepted")
"""Arms of the chain; arrows join neighbours that have images."""
JUDGED_STEPS = ("neutral_judged", "nuisance_judged", "accepted")
"""The same after quality control of the whole pool, where there is one: no arrow mixes judged and unjudged images."""
MEANINGS = {
    ("real", "neutral"): "generated instead of real",
    ("neutral", "nuisance"): "a nuisance in the prompt",
    ("real", "nuisance"): "generated, with a nuisance, instead of real",
    ("nuisance", "mined"): "chosen because the surrogates fail",
    ("mined", "accepted"): "images that do not show their object taken out",
    ("neutral_judged", "nuisance_judged"): "a nuisance in the prompt, judged images",
    ("nuisance_judged", "accepted"): "chosen because the surrogates fail, judged images",
}


@dataclass(frozen=True, slots=True)
class DecompositionReport(Report):
    """The drop of every target, arrow by arrow, with intervals that are paired by category."""

    name: ClassVar[str] = "decomposition"

    def report(self, evidence: Evidence) -> ReportResult:
        """Return `arms`, `arrows` and, with a baseline, `baseline_drop`."""
        design = Design(evidence)
        arms, arrows, drops = [], [], []
        for index, model in enumerate(evidence.models):
            if model.role != "target":
                continue
            found = arms_of(design, index)
            arms += [_arm_row(model.name, arm) for arm in found.values()]
            for steps in (STEPS, JUDGED_STEPS):
                present = [found[step] for step in steps if step in found]
                for start, end in zip(present, present[1:], strict=False):
                    pairs = self._by_seed(design, index, start, end)
                    arrows.append([*self._arrow(model.name, start, end), *pairs])
            drops += list(self._drops(design, index))
        tables = {"arms": pd.DataFrame(arms), "arrows": pd.DataFrame(arrows, columns=ARROW_COLUMNS)}
        if drops:
            tables["baseline_drop"] = pd.DataFrame(drops)
        findings = tuple(_findings(tables["arrows"], evidence, has_drop=bool(drops)))
        return ReportResult(self.name, tables, findings, _summary(tables["arrows"]))

    def _arrow(self, model: str, start: Arm, end: Arm) -> list[object]:
        used = (start.images > 0) | (end.images > 0)
        if start.name == "real":  # the same categories on both sides
            used = (start.images > 0) & (end.images > 0)
        first, second = _restricted(start, used), _restricted(end, used)
        is_subset = (start.name, end.name) in SUBSETS
        found = _change(first, second, is_subset=is_subset)
        mix = _another_mix(first, second)
        meaning = MEANINGS.get((start.name, end.name), "")
        counts = [int(first.images.sum()), int(second.images.sum()), int(used.sum())]
        change = second.accuracy - first.accuracy
        taken = (
            _taken_out(*counts[:2]) if is_subset and end.name == "accepted" and start.name == "mined" else ""
        )
        return [
            *(model, start.name, end.name, meaning, first.accuracy, second.accuracy),
            *(
                change,
                float(found.low),
                float(found.high),
                mix,
                change - mix,
                *counts,
                taken,
                OTHER_CATEGORIES,
            ),
        ]

    def _by_seed(self, design: Design, index: int, start: Arm, end: Arm) -> list[object]:
        """Return the ends of the interval over pairs, and their number; NaN for arrows without pairs.

        A pair is what the neutral and the nuisance prompts of one category made with one seed index: with
        `prompts.paired_noise` from the same noise.
        """
        if (start.name, end.name) not in PAIRED:
            return [np.nan, np.nan, np.nan, ""]
        sums = pair_sums_by_seed(design, index, "pool_accepted" if start.name in JUDGED_STEPS else "pool")
        if not len(sums):
            return [np.nan, np.nan, 0, ""]
        found = clustered_difference(sums[:, 3], sums[:, 2], sums[:, 1], sums[:, 0])
        return [float(found.low), float(found.high), len(sums), f"{THESE_CATEGORIES}, {OTHER_SEEDS}"]

    def _drops(self, design: Design, index: int) -> Iterator[dict[str, object]]:
        """Yield the drop from real photographs of the same categories to every set and kind."""
        real = real_arm(design, design.evidence.models[index])
        if real is None:
            return
        for row, set_ in enumerate(design.sets):
            for kind in [ALL, *design.kinds]:
                arm = arm_of(design, row, index, design.in_kind(kind), "")
                used = (arm.images > 0) & (real.images > 0)
                if used.any():
                    start, end = _restricted(real, used), _restricted(arm, used)
                    found, matched = _change(start, end), _change(_matched(start, end), end)
                    yield {
                        **{"model": design.evidence.models[index].name, "set": set_, "kind": kind},
                        **{"num_real": int(start.images.sum()), "num_images": int(end.images.sum())},
                        **{"num_categories": int(used.sum()), "real_accuracy": start.accuracy},
                        **{"accuracy": end.accuracy, "drop": start.accuracy - end.accuracy},
                        **{"drop_low": -float(found.high), "drop_high": -float(found.low)},
                        "drop_same_mix": -float(matched.value),
                        "drop_same_mix_low": -float(matched.high),
                        "drop_same_mix_high": -float(matched.low),
                        "interval_for": OTHER_CATEGORIES,
                    }


ARROW_COLUMNS = [
    *("model", "start", "end", "meaning", "start_accuracy", "end_accuracy", "change", "low", "high"),
    *("by_category_mix", "within_categories", "num_start", "num_end", "num_categories", "taken_out"),
    *("interval_for", "low_by_seed", "high_by_seed", "num_pairs", "by_seed_for"),
]
SUBSETS = {("nuisance", "mined"), ("mined", "accepted"), ("nuisance_judged", "accepted")}
"""Arrows to a part of the same images."""
PAIRED = {("neutral", "nuisance"), ("neutral_judged", "nuisance_judged")}


def _restricted(arm: Arm, used: np.ndarray) -> Arm:
    return Arm(arm.name, arm.images[used], arm.num_correct[used])


def _change(start: Arm, end: Arm, *, is_subset: bool = False) -> Estimate:
    """Return the accuracy at the end minus that at the start, over whole categories, paired by category."""
    if not is_subset:
        return clustered_difference(end.num_correct, end.images, start.num_correct, start.images)
    found = clustered_subset_difference(start.num_correct, start.images, end.num_correct, end.images)
    return Estimate.of(-found.value, found.error, -found.high, -found.low)


def _taken_out(num_start: int, num_end: int) -> str:
    """Return how many images were taken out, with what that leaves possible: none of 122 is at most 3.0%."""
    number = num_start - num_end
    if number == 0:
        most = f"at most {100 * float(zero_events_bound(num_start)):.1f}%"
        return f"no image was taken out of {num_start:,} ({most} on {THESE_CATEGORIES})"
    found = rate_of(number, num_start)
    ends = percent_interval(float(found.low), float(found.high), digits=1)
    return f"{number:,} of {num_start:,} taken out, {100 * found.value:.1f}% {ends} on {THESE_CATEGORIES}"


def _matched(start: Arm, end: Arm) -> Arm:
    """Return the start with as many images of each category as the end."""
    return Arm(start.name, end.images, rate_of(start.num_correct, start.images).value * end.images)


def _another_mix(start: Arm, end: Arm) -> float:
    """Return the part of the change that comes from another mix of categories, at the accuracies of the start.

    A category without images at the start counts there with the start's overall accuracy.
    """
    accuracy = np.where(start.images > 0, rate_of(start.num_correct, start.images).value, start.accuracy)
    weight = end.images / end.images.sum() - start.images / start.images.sum()
    return float((weight * accuracy).sum())


def _arm_row(model: str, arm: Arm) -> dict[str, object]:
    correct, images = round(arm.num_correct.sum()), round(arm.images.sum())
    found, other = rate_of(correct, images), clustered_share(arm.num_correct, arm.images)
    return {
        **{"model": model, "arm": arm.name, "num_images": images, "num_correct": correct},
        **{"accuracy": arm.accuracy, "wilson_low": float(found.low), "wilson_high": float(found.high)},
        **{"wilson_for": THESE_CATEGORIES, "num_categories": int((arm.images > 0).sum())},
        **{"low_other_categories": float(other.low), "high_other_categories": float(other.high)},
    }


def _summary(arrows: pd.DataFrame) -> dict[str, dict[str, object]]:
    """Return the change of each arrow, and its ends for other categories."""
    found: dict[str, dict[str, object]] = {}
    for row in arrows.to_dict("records"):
        of_model = found.setdefault(str(row["model"]), {})
        name = f"{row['start']} -> {row['end']}"
        of_model[name] = float(row["change"])
        of_model[f"{name}, low and high for {OTHER_CATEGORIES}"] = [float(row["low"]), float(row["high"])]
    return found


def _findings(arrows: pd.DataFrame, evidence: Evidence, *, has_drop: bool) -> Iterator[str]:
    for model, rows in arrows.groupby("model", sort=False):
        chain = rows[rows["end"].isin(STEPS) & rows["start"].isin(STEPS)]
        yield f"{model}, change in points, for {OTHER_CATEGORIES}: " + "; ".join(_arrow_text(chain)) + "."
    missing: Sequence[str] = [
        *([] if has_drop else ["real photographs (report.baseline=RUN_DIR)"]),
        *(
            []
            if Kind.NEUTRAL in set(evidence.images["kind"])
            else ["a control arm (prompts.include_neutral=true)"]
        ),
    ]
    if missing:
        yield f"The decomposition lacks {' and '.join(missing)}."


def _arrow_text(rows: pd.DataFrame) -> Iterator[str]:
    for row in rows.to_dict("records"):
        step = f"{row['start']} to {row['end']}"
        if row["taken_out"] and row["num_start"] == row["num_end"]:
            yield f"{step} none, {row['taken_out']}"  # a change of 0.0 would look measured
            continue
        ends = percent_interval(row["low"], row["high"], digits=1, signed=True)
        note = f"; {row['taken_out']}" if row["taken_out"] else ""
        yield (
            f"{step} {100 * row['change']:+z.1f} {ends} (from {row['num_start']:,} to "
            f"{counted(row['num_end'], 'image')}{note})"
        )
