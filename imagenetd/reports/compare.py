"""The report `comparison`: which target is better, how surely, and how alike the mistakes of any two models are."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from imagenetd.config.ranges import AnyCount
from imagenetd.reports.design import ALL, SET_WORDS, Design, label_spaces
from imagenetd.reports.evidence import Evidence, ModelEvidence, ReportResult
from imagenetd.reports.pairs import (
    CONSISTENCY_COLUMNS,
    PAIR_COLUMNS,
    consistency_table,
    count_pairs,
    pair_table,
)
from imagenetd.reports.report_set import Report
from imagenetd.scoring.counts import rate_of
from imagenetd.scoring.statistics.intervals import OTHER_CATEGORIES, THESE_CATEGORIES, clustered_share
from imagenetd.scoring.statistics.paired import model_differences, rank_bounds
from imagenetd.scoring.statistics.power import POWER_REACH
from imagenetd.store.numerals import counted, percent_interval


@dataclass(frozen=True, slots=True)
class ComparisonReport(Report):
    """Tests over categories and images, clustered intervals, ranks that hold together, error consistency."""

    min_images: AnyCount = 5
    """Sets and kinds with fewer images are not ranked."""

    name: ClassVar[str] = "comparison"

    def report(self, evidence: Evidence) -> ReportResult:
        """Return `ranks`, `pairs` and `error_consistency`."""
        design = Design(evidence)
        ranks = pd.DataFrame(self._ranks(design), columns=RANK_COLUMNS)
        pairs, consistency = self._pairs(design)
        tables = {"ranks": ranks, "pairs": pairs, "error_consistency": consistency}
        summary = {
            "num_pairs": len(pairs),
            "num_different": int(pairs["is_different"].sum()) if len(pairs) else 0,
            "num_different_for": OTHER_CATEGORIES,
            "num_different_these_categories": int(pairs["is_different_these_categories"].sum())
            if len(pairs)
            else 0,
        }
        return ReportResult(self.name, tables, tuple(_findings(ranks, pairs, consistency, design)), summary)

    def _ranks(self, design: Design) -> Iterator[list[Any]]:
        """Yield the rows, one label space after the other: numbers of two are never ranked together."""
        models = design.evidence.models
        spaces = np.array(label_spaces(design.evidence.of_role("target")))
        targets = np.array([index for index, model in enumerate(models) if model.role == "target"], np.int64)
        for row, name in enumerate(design.sets):
            for kind in [ALL, *design.kinds]:
                inside = design.in_kind(kind)
                images = design.by_category(design.num_counted[row] * inside)
                correct = design.by_category(design.num_correct[row] * inside)
                enough = images[targets].sum(axis=1) >= max(1, self.min_images)
                for space in dict.fromkeys(spaces[enough].tolist()):
                    members = targets[enough & (spaces == space)].tolist()
                    for numbers in _ranked(
                        [models[m] for m in members], correct[members].T, images[members].T
                    ):
                        yield [name, kind, space, *numbers]

    def _pairs(self, design: Design) -> tuple[pd.DataFrame, pd.DataFrame]:
        models = design.evidence.models
        spaces = np.array(label_spaces(models))
        is_target = np.array([model.role == "target" for model in models])
        pairs, consistency = [], []
        every = np.triu_indices(len(models), 1)
        is_fair = is_target[every[0]] & is_target[every[1]] & (spaces[every[0]] == spaces[every[1]])
        fair = every[0][is_fair], every[1][is_fair]
        cell = design.cell_of_image
        category = design.cells["category_code"].to_numpy()[cell]
        for name in design.sets:
            members = design.evidence.sets[name] & ~design.is_control[cell]
            if not members.any() or len(models) < 2:
                continue
            alike = consistency_table(models, every, count_pairs(models, members, category, every))
            consistency.append(alike.assign(set=name))
            if is_fair.any():
                counts = (count_pairs(models, members, code, fair) for code in (category, cell))
                found = pair_table(models, fair, *counts)
                pairs.append(found.assign(set=name, label_space=spaces[fair[0]]))
        return _joined(pairs, PAIR_COLUMNS), _joined(consistency, CONSISTENCY_COLUMNS)


RANK_COLUMNS = [
    *(
        "set",
        "kind",
        "label_space",
        "model",
        "family",
        "num_images",
        "num_categories",
        "accuracy",
        "low",
        "high",
    ),
    *("rank", "rank_low", "rank_high", "detectable_difference", "interval_for"),
]


def _ranked(models: list[ModelEvidence], correct: np.ndarray, images: np.ndarray) -> Iterator[list[Any]]:
    """Yield the columns from `model` on of the targets of one label space, best first.

    Args:
        models: Of one label space.
        correct: "categories targets": of the images that count for each.
        images: Likewise.
    """
    used = images.any(axis=1)
    right, images = correct[used].astype(np.float64), images[used].astype(np.float64)
    value = rate_of(right.sum(axis=0), images.sum(axis=0)).value
    found = clustered_share(right, images)
    low, high = rank_bounds(right, images)
    rank = (-value).argsort(kind="stable").argsort(kind="stable") + 1
    errors = (
        model_differences(right, images).error if len(images) > 1 else np.full((len(models),) * 2, np.nan)
    )
    for place in np.argsort(rank).tolist():
        others = np.delete(errors[place], place)
        detectable = min(1.0, POWER_REACH * float(others.max())) if len(others) else np.nan
        about = [models[place].name, models[place].family, int(images[:, place].sum())]
        numbers = [part[place] for part in (value, found.low, found.high, rank, low, high)]
        yield [*about, int((images[:, place] > 0).sum()), *numbers, detectable, OTHER_CATEGORIES]


def _joined(parts: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _findings(
    ranks: pd.DataFrame, pairs: pd.DataFrame, consistency: pd.DataFrame, design: Design
) -> Iterator[str]:
    shown = "accepted" if (pairs["set"] == "accepted").any() else design.evidence.judged
    of_set = pairs[pairs["set"] == shown]
    if len(design.evidence.of_role("target")) < 2:
        yield "One target alone: name more, or take in all models of this pool with report.models=all, to compare."
    elif of_set.empty:
        yield "No two targets share a label space: no model is compared with another."
    else:
        yield _told_apart(of_set, shown)
    alike = consistency[(consistency["set"] == design.evidence.judged) & consistency["kappa"].notna()]
    if len(alike):
        top = alike.loc[alike["kappa"].idxmax()]
        yield (
            f"Most alike in their mistakes of {len(alike)} pairs: {top['model_a']} and {top['model_b']}, kappa "
            f"{top['kappa']:.2f} [{top['kappa_low_simultaneous']:.2f}, {top['kappa_high_simultaneous']:.2f}] "
            f"(95% for all pairs at once, {OTHER_CATEGORIES}; n = {top['num_images']:,})."
        )


def _told_apart(pairs: pd.DataFrame, shown: str) -> str:
    """Say how many pairs differ, for other categories and on these, and how far the widest are apart."""
    widest = pairs.loc[pairs["difference"].abs().idxmax()]
    num_here = int(pairs["is_different_these_categories"].sum())
    name = "the pair" if len(pairs) == 1 else "the widest (interval for all pairs at once)"
    ends = percent_interval(widest["low_simultaneous"], widest["high_simultaneous"], digits=1)
    return (
        f"Of {counted(len(pairs), 'pair')} of targets on the {SET_WORDS[shown]}, told apart at a false discovery rate "
        f"of 5%: {int(pairs['is_different'].sum())} for {OTHER_CATEGORIES} (t over categories), {num_here} on "
        f"{THESE_CATEGORIES} (exact McNemar). {name.capitalize()}: {widest['model_a']} - {widest['model_b']} = "
        f"{100 * widest['difference']:+z.1f} points {ends} for {OTHER_CATEGORIES}, "
        f"{counted(widest['num_images'], 'image')}; a true difference of {100 * widest['detectable_difference']:.0f} "
        "points would be seen four times in five."
    )
