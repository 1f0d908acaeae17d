"""The report `causes`: what mistakes come from, what always fails, and what is seen instead."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import pandas as pd

from imagenetd.config.ranges import AnyCount, Range
from imagenetd.records import Kind
from imagenetd.reports.confusions import category_confusion_table, confusion_table, nature_table
from imagenetd.reports.design import ALL, Design, share
from imagenetd.reports.evidence import Evidence, ReportResult
from imagenetd.reports.report_set import Report
from imagenetd.scoring.counts import Mark, Tally, joint_mark, rate_of, tally
from imagenetd.scoring.statistics.independence import independent_share
from imagenetd.scoring.statistics.intervals import (
    OTHER_CATEGORIES,
    THESE_CATEGORIES,
    THESE_IMAGES,
    simultaneous_confidence,
    zero_events_bound,
)
from imagenetd.scoring.statistics.jackknife import jackknife_interval
from imagenetd.scoring.statistics.variance import variance_components, variance_shares
from imagenetd.store.numerals import counted, percent_interval


@dataclass(frozen=True, slots=True)
class CausesReport(Report):
    """Variance components, nuisances that always fail, confusion pairs, near and far failures."""

    min_images: AnyCount = 5
    """Nuisances with fewer images are not ranked."""
    max_confusions: AnyCount = 200
    """Rows of each table of confusions (of each model)."""
    near_distance: Annotated[int, Range(0, 1000)] = 4
    """Steps in WordNet up to which a wrong answer is near; among the 113 categories 5% of all pairs are."""

    name: ClassVar[str] = "causes"

    def report(self, evidence: Evidence) -> ReportResult:
        """Return `variance`, `always_fail`, `confusions`, `confusions_by_category` and `nature`."""
        design = Design(evidence)
        targets = evidence.of_role("target")
        tables = {
            "variance": _variance(design),
            "always_fail": self._always_fail(design),
            "confusions": confusion_table(design, targets, max_rows=self.max_confusions),
            "confusions_by_category": category_confusion_table(design, targets, max_rows=self.max_confusions),
            "nature": nature_table(design, targets, near_distance=self.near_distance),
        }
        return ReportResult(self.name, tables, tuple(_findings(tables)), _summary(tables))

    def _always_fail(self, design: Design) -> pd.DataFrame:
        """One row for each nuisance: images that every target gets wrong, and cells where every image is such.

        Images count that count for every target.
        """
        evidence = design.evidence
        nobody = np.ones(len(evidence.images), dtype=bool)
        marks = [m.mark for m in evidence.of_role("target")] or [Mark("", "", "", nobody, nobody)]
        together = joint_mark("all targets", "target", marks, least=len(marks))
        used = together.counted & evidence.sets[evidence.judged] & ~design.is_control[design.cell_of_image]
        found = tally([together], design.cell_of_image, len(design.cells), among=used)
        images, all_wrong = found.num_images[0], found.num_wrong[0]
        columns = np.stack([images, all_wrong, images > 0, (images > 0) & (all_wrong == images)])
        counts = np.rint(design.by_nuisance(columns.astype(np.float64))).astype(np.int64)
        is_ranked = (counts[0] >= self.min_images) & (design.nuisances["kind"] != Kind.NEUTRAL).to_numpy()
        level = simultaneous_confidence(int(is_ranked.sum()))
        rate, of_all = (rate_of(counts[1], counts[0], confidence=one) for one in (0.95, level))
        table = design.nuisances.assign(
            num_images=counts[0],
            num_all_fail=counts[1],
            share=rate.value,
            wilson_low=rate.low,
            wilson_high=rate.high,
            low_of_all=of_all.low,
            high_of_all=of_all.high,
            wilson_for=THESE_CATEGORIES,
            **_if_independent(design, np.stack([m.wrong[used] for m in marks]), used, found),
            excess_for=OTHER_CATEGORIES,
            num_cells=counts[2],
            num_cells_always_fail=counts[3],
            is_ranked=is_ranked,
        )
        table = table[table["kind"] != Kind.NEUTRAL]
        return table.sort_values(["is_ranked", "share"], ascending=False, kind="stable", ignore_index=True)


def _if_independent(
    design: Design, wrong: np.ndarray, used: np.ndarray, found: Tally
) -> dict[str, np.ndarray]:
    """Return for each nuisance what independent mistakes within its cells would give, and what is seen beyond that.

    `num_images_compared` are the images of cells with at least as many images as there are targets: only there can
    each target be asked on another image. `excess` is what is seen on them minus `share_if_independent`.

    Args:
        design: Of the pool.
        wrong: Bool "targets images", of the images that count.
        used: Bool "images" of the pool: which these are.
        found: All targets together in each cell.
    """
    expected = independent_share(wrong, design.cell_of_image[used], len(design.cells))
    known = ~np.isnan(expected)
    counts, together = found.num_images[0] * known, found.num_wrong[0] * known
    sums = design.square(
        np.stack([counts, together, np.nan_to_num(expected) * counts]).astype(np.float64), ~design.is_control
    )
    compared, seen, independent = sums.sum(axis=1)
    without = sums.sum(axis=1, keepdims=True) - sums
    excess = jackknife_interval(
        share(seen - independent, compared),
        share(without[1] - without[2], without[0]),
        num_images=sums[0].sum(axis=1),
        bounds=(-1.0, 1.0),
    )
    # Without a common mistake in any category nothing varies: what n images leave possible stays.
    reach = np.where(excess.low < excess.high, 0.0, zero_events_bound(np.rint(compared).astype(np.int64)))
    return {
        "num_images_compared": np.rint(compared).astype(np.int64),
        "share_compared": rate_of(seen, compared).value,
        "share_if_independent": share(independent, compared),
        "excess": excess.value,
        "excess_low": np.maximum(excess.low - reach, -1.0),
        "excess_high": np.minimum(excess.high + reach, 1.0),
    }


def _variance(design: Design) -> pd.DataFrame:
    """One row for each model, kind and component: the part of right and wrong that it accounts for."""
    row = design.sets.index(design.evidence.judged)
    rows = []
    for index, model in enumerate(design.evidence.models):
        for kind in [ALL, *[kind for kind in design.kinds if kind != Kind.NEUTRAL]]:
            inside = design.in_kind(kind)
            images = design.square(design.num_counted[row, index], inside)
            correct = design.square(design.num_correct[row, index], inside)
            components, shares = variance_components(correct, images), variance_shares(correct, images)
            rows += [
                {
                    **{"model": model.name, "role": model.role},
                    **{"kind": kind, "component": name, "variance": float(getattr(components, name))},
                    **{"share": float(found.value), "low": float(found.low), "high": float(found.high)},
                    "population": OTHER_CATEGORIES,
                    "num_categories": int((images.sum(axis=1) > 0).sum()),
                    "num_cells": int((images > 0).sum()),
                    "num_cells_of_one_image": int((images == 1).sum()),
                }
                for name, found in shares.items()
            ]
    return pd.DataFrame(rows)


def _of_all_kinds(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["kind"] == ALL]


def _of_targets(variance: pd.DataFrame) -> pd.DataFrame:
    return _of_all_kinds(variance[variance["role"] == "target"])


def _summary(tables: dict[str, pd.DataFrame]) -> dict[str, object]:
    shares = _of_targets(tables["variance"])
    return {
        "variance_shares": {
            str(model): dict(zip(rows["component"], rows["share"], strict=True))
            for model, rows in shares.groupby("model", sort=False)
        },
        "variance_shares_interval": {
            str(model): {row["component"]: [row["low"], row["high"]] for row in rows.to_dict("records")}
            for model, rows in shares.groupby("model", sort=False)
        },
    }


def _findings(tables: dict[str, pd.DataFrame]) -> Iterator[str]:
    yield from _variance_findings(_of_targets(tables["variance"]))
    ranked = tables["always_fail"]
    ranked = ranked[ranked["is_ranked"] & (ranked["num_all_fail"] > 0)]
    named = ranked[ranked["nuisance"] != ""]  # a plain folder has no nuisances
    for row in named.head(1).to_dict("records"):
        yield _always_fail_finding(row, num_ranked=int(tables["always_fail"]["is_ranked"].sum()))
    for row in tables["confusions"].head(3).to_dict("records"):
        yield (
            f"{row['category']} with {row['nuisance'] or row['kind']} -> {row['predicted']}: named by "
            f"{counted(row['num_models'], 'target')}, in {row['num_answers']} of "
            f"{counted(round(row['num_answers'] / row['share']), 'answer')} about "
            f"{counted(row['num_images'], 'image')} (an exact count of {THESE_IMAGES})."
        )
    for model, rows in _of_all_kinds(tables["nature"]).groupby("model", sort=False):
        texts = [
            f"{row['nature'].replace('_', ' ')} {100 * row['share']:.0f}% "
            f"{percent_interval(row['wilson_low'], row['wilson_high'])} "
            f"(answers at random {100 * row['chance_share']:.0f}%)"
            for row in rows.to_dict("records")
        ]
        count = int(rows["num_all_failures"].iloc[0])
        yield f"{model}: of its {counted(count, 'failure')} {', '.join(texts)}; for {THESE_CATEGORIES}."


def _variance_findings(shares: pd.DataFrame) -> Iterator[str]:
    for model, rows in shares.groupby("model", sort=False):
        parts = rows.set_index("component")
        if parts.loc[["category", "nuisance"], "share"].isna().any():
            continue  # one category or one nuisance
        part = {name: _share_text(row) for name, row in parts.iterrows()}
        split = (
            f"their pairing {part['interaction']}, the seed {part['seed']}"
            if parts["share"].notna()["interaction"]
            else f"their pairing and the seed {part['seed']} (one image a cell cannot tell them apart)"
        )
        alone = int(parts["num_cells_of_one_image"].iloc[0])
        doubt = (
            f"; {alone} of {parts['num_cells'].iloc[0]} cells have one image, so this holds if sizes are unrelated to "
            "accuracy"
            if alone and parts["share"].notna()["interaction"]
            else ""
        )
        yield (
            f"{model}: the variance of right and wrong goes with the category for {part['category']}, the nuisance for "
            f"{part['nuisance']}, {split}; 95% intervals for {OTHER_CATEGORIES}{doubt}."
        )


def _share_text(row: pd.Series) -> str:
    return f"{100 * row['share']:.0f}% {percent_interval(row['low'], row['high'])}"


def _always_fail_finding(row: dict[str, Any], *, num_ranked: int) -> str:
    ends = percent_interval(row["low_of_all"], row["high_of_all"])
    text = (
        f"{row['nuisance']} fails most: every target is wrong on {100 * row['share']:.0f}% of its "
        f"{row['num_images']} images {ends}, for {THESE_CATEGORIES} and all {num_ranked} nuisances at once"
    )
    if not np.isnan(row["share_if_independent"]):
        text += f"; {100 * row['share_if_independent']:.0f}% if mistakes within a cell were independent"
        if row["num_images_compared"] < row["num_images"]:
            text += f", against {100 * row['share_compared']:.0f}% on the {row['num_images_compared']} images compared"
    return (
        f"{text}. All images of {row['num_cells_always_fail']} of its {row['num_cells']} categories are such."
    )
