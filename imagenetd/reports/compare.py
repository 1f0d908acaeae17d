"""The report `comparison`: which target is better, how surely, and how alike the mistakes of any two models are."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from imagenetd.numerals import p_value
from imagenetd.ranges import AnyCount, Draws, Seed
from imagenetd.reports.design import ALL, Design, label_spaces, share
from imagenetd.reports.evidence import Evidence, ModelEvidence, ReportResult
from imagenetd.reports.pairs import (
    CONSISTENCY_COLUMNS,
    PAIR_COLUMNS,
    PairCounts,
    consistency_table,
    pair_table,
)
from imagenetd.reports.report import Report
from imagenetd.statistics.bootstrap import Estimate, interval_of, resampled_sums
from imagenetd.statistics.paired import rank_bounds
from imagenetd.statistics.power import POWER_REACH

MAX_CELL_WEIGHTS = 25_000_000
"""Draws x cells: large pools get fewer draws over cells, where the error changes little from draw to draw."""


@dataclass(frozen=True, slots=True)
class ComparisonReport(Report):
    """Exact McNemar tests, clustered bootstrap intervals, ranks with simultaneous intervals, error consistency."""

    num_draws: Draws = 1000
    """Resamples of the bootstrap."""
    seed: Seed = 0
    """Of the resamples."""
    min_images: AnyCount = 5
    """Sets and kinds with fewer images are not ranked."""

    name: ClassVar[str] = "comparison"

    def report(self, evidence: Evidence) -> ReportResult:
        """Return `ranks`, `pairs` and `error_consistency`."""
        design = Design(evidence)
        ranks = pd.DataFrame(self._ranks(design), columns=RANK_COLUMNS)
        pairs, consistency = self._pairs(design)
        tables = {"ranks": ranks, "pairs": pairs, "error_consistency": consistency}
        different = int(pairs["is_different"].sum()) if len(pairs) else 0
        summary = {"num_pairs": len(pairs), "num_different": different}
        return ReportResult(self.name, tables, tuple(_findings(ranks, pairs, consistency, design)), summary)

    def _ranks(self, design: Design) -> Iterator[list[Any]]:
        """Yield the rows, one label space after the other: numbers of two are never ranked together."""
        models = design.evidence.models
        targets = [index for index, model in enumerate(models) if model.role == "target"]
        for row, name in enumerate(design.sets):
            for kind in [ALL, *design.kinds]:
                inside = design.in_kind(kind)
                images = design.by_category(design.num_images[row] * inside)
                if images.sum() < self.min_images:
                    continue
                correct = design.by_category(design.num_correct[row] * inside)[targets]
                drawn = self._drawn(np.vstack([images, correct]).T)
                found = _interval(correct, images, drawn)
                for space, members in _by_space([models[index] for index in targets]):
                    yield from _ranked(name, kind, space, members, found, images, drawn)

    def _drawn(self, sums: np.ndarray, num_draws: int | None = None) -> np.ndarray:
        used = sums[sums[:, 0] > 0]
        return resampled_sums(used, num_draws=num_draws or self.num_draws, seed=self.seed)

    def _pairs(self, design: Design) -> tuple[pd.DataFrame, pd.DataFrame]:
        models = design.evidence.models
        spaces = np.array(label_spaces(models))
        is_target = np.array([model.role == "target" for model in models])
        pairs, consistency = [], []
        for row, name in enumerate(design.sets):
            counts = PairCounts.of(design, row)
            if len(counts.images) == 0 or len(models) < 2:
                continue
            flat = np.hstack([counts.images[:, None], counts.both.reshape(len(counts.both), -1)])
            drawn = self._drawn(flat)
            consistency.append(consistency_table(models, counts, drawn).assign(set=name))
            first, second = np.triu_indices(len(models), 1)
            is_fair = is_target[first] & is_target[second] & (spaces[first] == spaces[second])
            if is_fair.any():
                cells = np.vstack([design.num_images[row], design.num_correct[row]]).T[~design.is_control]
                num_draws = max(100, min(self.num_draws, MAX_CELL_WEIGHTS // len(cells)))
                by_cell = self._drawn(cells.astype(np.float64), num_draws)
                found = pair_table(models, counts, (drawn, by_cell), first[is_fair], second[is_fair])
                pairs.append(found.assign(set=name, label_space=spaces[first[is_fair]]))
        return _joined(pairs, PAIR_COLUMNS), _joined(consistency, CONSISTENCY_COLUMNS).dropna(
            subset=["kappa"], ignore_index=True
        )


RANK_COLUMNS = [
    *("set", "kind", "label_space", "model", "family", "num_images", "accuracy", "low", "high"),
    *("rank", "rank_low", "rank_high", "detectable_difference"),
]


def _by_space(models: list[ModelEvidence]) -> Iterator[tuple[str, list[tuple[int, ModelEvidence]]]]:
    spaces = label_spaces(models)
    for space in dict.fromkeys(spaces):
        yield space, [(row, model) for row, model in enumerate(models) if spaces[row] == space]


def _interval(correct: np.ndarray, images: np.ndarray, drawn: np.ndarray) -> Estimate:
    value = correct.sum(axis=1) / images.sum()
    return interval_of(
        value, share(drawn[:, 1:], drawn[:, :1]), num_clusters=int((images > 0).sum()), bounds=(0.0, 1.0)
    )


def _ranked(
    set_: str,
    kind: str,
    space: str,
    members: list[tuple[int, ModelEvidence]],
    found: Estimate,
    images: np.ndarray,
    drawn: np.ndarray,
) -> Iterator[list[Any]]:
    rows = [row for row, _ in members]
    value = found.value[rows]
    shares = share(drawn[:, 1:], drawn[:, :1])[:, rows]
    low, high = rank_bounds(value, shares, num_clusters=int((images > 0).sum()))
    rank = (-value).argsort(kind="stable").argsort(kind="stable") + 1
    for place in np.argsort(rank).tolist():
        row, model = members[place]
        gaps = np.delete(shares, place, axis=1) - shares[:, [place]]
        detectable = POWER_REACH * gaps.std(axis=0, ddof=1).max() if gaps.shape[1] else np.nan
        numbers = [found.value[row], found.low[row], found.high[row], rank[place], low[place], high[place]]
        yield [set_, kind, space, model.name, model.family, int(images.sum()), *numbers, detectable]


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
        told = int(of_set["is_different"].sum())
        widest = of_set.loc[of_set["difference"].abs().idxmax()]
        yield (
            f"{told} of {len(of_set)} pairs of targets are told apart on {shown} (exact McNemar, false discovery rate "
            f"5%); the widest: {widest['model_a']} - {widest['model_b']} = {100 * widest['difference']:+.1f} points "
            f"[{100 * widest['low_by_category']:.1f}, {100 * widest['high_by_category']:.1f}], "
            f"{p_value(widest['mcnemar_p'])}."
        )
    alike = consistency[consistency["set"] == design.evidence.judged]
    if len(alike):
        top = alike.loc[alike["kappa"].idxmax()]
        yield (
            f"Most alike in their mistakes: {top['model_a']} and {top['model_b']}, kappa {top['kappa']:.2f} "
            f"[{top['kappa_low']:.2f}, {top['kappa_high']:.2f}]."
        )
