"""The report `causes`: what mistakes come from, what always fails, and what is seen instead."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import pandas as pd

from imagenetd.ranges import AnyCount, Range
from imagenetd.records import Kind
from imagenetd.reports.confusions import category_confusion_table, confusion_table, nature_table
from imagenetd.reports.design import ALL, Design, share
from imagenetd.reports.evidence import Evidence, ReportResult
from imagenetd.reports.report import Report
from imagenetd.statistics.intervals import wilson_interval
from imagenetd.statistics.variance import variance_components


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
        """One row for each nuisance: images that every target gets wrong, and cells where every image is such."""
        evidence = design.evidence
        targets = evidence.of_role("target")
        used = evidence.sets[evidence.judged] & ~design.is_control[design.cell_of_image]
        wrong = np.stack([~model.correct for model in targets]) if targets else np.zeros((1, len(used)), bool)
        images, all_wrong = design.count(used), design.count(used & wrong.all(axis=0))
        rates = np.stack([share(design.count(used & row), images) for row in wrong])
        columns = np.stack([images, all_wrong, images > 0, (images > 0) & (all_wrong == images)])
        # Mistakes independent within a cell: the product of the models' rates there.
        expected = design.by_nuisance(np.nan_to_num(rates.prod(axis=0)) * images)
        counts = np.rint(design.by_nuisance(columns.astype(np.float64))).astype(np.int64)
        low, high = wilson_interval(counts[1], counts[0])
        table = design.nuisances.assign(
            num_images=counts[0],
            num_all_fail=counts[1],
            share=share(counts[1], counts[0]),
            wilson_low=low,
            wilson_high=high,
            share_if_independent=share(expected, counts[0]),
            num_cells=counts[2],
            num_cells_always_fail=counts[3],
            is_ranked=counts[0] >= self.min_images,
        )
        table = table[table["kind"] != Kind.NEUTRAL]
        return table.sort_values(["is_ranked", "share"], ascending=False, kind="stable", ignore_index=True)


def _variance(design: Design) -> pd.DataFrame:
    """One row for each model, kind and component: the part of right and wrong that it accounts for."""
    row = design.sets.index(design.evidence.judged)
    parts = []
    for kind in [ALL, *[kind for kind in design.kinds if kind != Kind.NEUTRAL]]:
        inside = design.in_kind(kind)
        images = design.square(design.num_images[row], inside)
        correct = design.square(design.num_correct[row], inside)
        found = variance_components(correct, images)
        accuracy = share(correct.sum(axis=(-2, -1)), images.sum())
        total = accuracy * (1 - accuracy)
        for name in ("category", "nuisance", "interaction", "seed"):
            values = getattr(found, name)
            parts.append(
                pd.DataFrame(
                    {
                        "model": [model.name for model in design.evidence.models],
                        "role": [model.role for model in design.evidence.models],
                        **{"kind": kind, "component": name, "variance": values},
                        "share": share(values, total),
                    }
                )
            )
    table = pd.concat(parts, ignore_index=True)
    order = {model.name: place for place, model in enumerate(design.evidence.models)}
    return table.sort_values("model", key=lambda names: names.map(order), kind="stable", ignore_index=True)


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
        }
    }


def _findings(tables: dict[str, pd.DataFrame]) -> Iterator[str]:
    shares = _of_targets(tables["variance"])
    for model, rows in shares.groupby("model", sort=False):
        part = rows.set_index("component")["share"]
        if part[["category", "nuisance"]].isna().any():
            continue  # one category or one nuisance
        part = part.clip(lower=0)  # an estimate below zero means that there is nothing
        split = (
            f"their pairing {100 * part['interaction']:.0f}%, the seed {100 * part['seed']:.0f}%"
            if part.notna()["interaction"]
            else f"their pairing and the seed {100 * part['seed']:.0f}% (one image a cell cannot tell them apart)"
        )
        yield (
            f"{model}: of the variance of right and wrong the category accounts for {100 * part['category']:.0f}%, "
            f"the nuisance for {100 * part['nuisance']:.0f}%, {split}."
        )
    ranked = tables["always_fail"]
    ranked = ranked[ranked["is_ranked"] & (ranked["num_all_fail"] > 0)]
    named = ranked[ranked["nuisance"] != ""]  # a plain folder has no nuisances
    for row in named.head(1).to_dict("records"):
        yield (
            f"{row['nuisance']} fails most: every target is wrong on {100 * row['share']:.0f}% of its "
            f"{row['num_images']} images ({100 * row['share_if_independent']:.0f}% if mistakes were independent), "
            f"and on all images of {row['num_cells_always_fail']} of {row['num_cells']} categories."
        )
    for row in tables["confusions"].head(3).to_dict("records"):
        yield (
            f"{row['category']} with {row['nuisance'] or row['kind']} -> {row['predicted']}: "
            f"{row['num_models']} {'target' if row['num_models'] == 1 else 'targets'}, "
            f"{100 * row['share']:.0f}% of their answers."
        )
    for model, rows in _of_all_kinds(tables["nature"]).groupby("model", sort=False):
        texts = [
            f"{row['nature'].replace('_', ' ')} {100 * row['share']:.0f}% (random {100 * row['chance_share']:.0f}%)"
            for row in rows.to_dict("records")
        ]
        yield f"{model}: of its failures are {', '.join(texts)}."
