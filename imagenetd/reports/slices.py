"""The report `slices`: where a model fails more than elsewhere, found on half of the images, confirmed on the rest."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import pandas as pd

from imagenetd.config.ranges import AnyCount, OpenShare, Range, Share
from imagenetd.reports.design import Design, share
from imagenetd.reports.evidence import Evidence, ModelEvidence, ReportResult
from imagenetd.reports.report_set import Report
from imagenetd.scoring.counts import rate_of, tally
from imagenetd.scoring.statistics.intervals import THESE_CATEGORIES, THESE_IMAGES, newcombe_difference
from imagenetd.scoring.statistics.slices import (
    best_slices,
    excess_p_values,
    memberships,
    slice_scores,
    slice_sums,
)
from imagenetd.scoring.statistics.strata import adjusted_p_values
from imagenetd.store.numerals import counted, percent_interval
from imagenetd.words.imagenet import imagenet_ids
from imagenetd.words.wordnet import hypernym_groups

ANY = "any"
COLUMNS = [
    *("model", "categories", "nuisances", "num_categories", "num_nuisances", "score"),
    *("num_images_found", "error_found", "num_images", "num_errors", "error", "wilson_low", "wilson_high"),
    *("low_if_confirmed", "high_if_confirmed", "base_error", "base_low", "base_high"),
    "num_images_elsewhere",
    *(
        "excess",
        "excess_low",
        "excess_high",
        "lift",
        "p_value",
        "q_value",
        "is_confirmed",
        "population",
        "lift_for",
    ),
]


@dataclass(frozen=True, slots=True)
class SlicesReport(Report):
    """The worst slices by category, group of categories (WordNet), kind and nuisance, and by pairs of these."""

    num_slices: Annotated[int, Range(1, 100_000)] = 10
    """Slices of each target that are looked at again on the other half."""
    min_images: AnyCount = 10
    """Images that a slice needs on the half where it is found."""
    size_weight: Share = 0.05
    """Between 0 and 1: how much a slice's size counts against its error rate."""
    false_discovery_rate: OpenShare = 0.05
    """Accepted share of false alarms among the confirmed slices."""

    name: ClassVar[str] = "slices"

    def report(self, evidence: Evidence) -> ReportResult:
        """Return `slices`."""
        design = Design(evidence)
        space = SliceSpace.of(design)
        halves = [halves_of(design, model) for model in evidence.of_role("target")]
        looked_at = [
            self._of(model, space, half)
            for model, half in zip(evidence.of_role("target"), halves, strict=True)
        ]
        parts = [part for part in looked_at if len(part)]  # a model without mistakes has no slice
        table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)
        summary = {
            "num_found": len(table),
            "num_confirmed": int(table["is_confirmed"].sum()) if len(table) else 0,
        }
        return ReportResult(self.name, {"slices": table}, tuple(_findings(table, sizes_of(halves))), summary)

    def _of(self, model: ModelEvidence, space: "SliceSpace", halves: np.ndarray) -> pd.DataFrame:
        """Search on half 0, look again on half 1; `halves` is "errors|images halves categories nuisances"."""
        sums = np.stack(
            [[slice_sums(half, space.rows, space.columns) for half in counted] for counted in halves]
        )
        (errors, errors_again), (sizes, sizes_again) = sums
        score = slice_scores(errors, sizes, weight=1 - self.size_weight, min_size=self.min_images)
        chosen = best_slices(score, space.rows, space.columns, most=self.num_slices)
        if not chosen:
            return pd.DataFrame(columns=COLUMNS)
        row, column = (np.array(side) for side in zip(*chosen, strict=True))
        wrong, images = (np.rint(half[row, column]).astype(np.int64) for half in (errors_again, sizes_again))
        all_wrong, all_images = round(float(errors_again[0, 0])), round(float(sizes_again[0, 0]))
        base = rate_of(all_wrong - wrong, all_images - images)
        p_value = excess_p_values(wrong, images, all_wrong, all_images)
        q_value = adjusted_p_values(p_value)
        confirmed = q_value < self.false_discovery_rate
        error = rate_of(wrong, images)
        of_confirmed = 1 - 0.05 * max(1, int(confirmed.sum())) / len(chosen)
        if_confirmed = rate_of(wrong, images, confidence=of_confirmed)
        excess = newcombe_difference(
            wrong, images, all_wrong - wrong, all_images - images, confidence=of_confirmed
        )
        return pd.DataFrame(
            {
                **{"model": model.name, "categories": [space.row_names[index] for index in row.tolist()]},
                "nuisances": [space.column_names[index] for index in column.tolist()],
                "num_categories": space.rows[row].sum(axis=1),
                "num_nuisances": space.columns[column].sum(axis=1),
                **{"score": score[row, column], "num_images_found": sizes[row, column].astype(np.int64)},
                "error_found": rate_of(errors[row, column], sizes[row, column]).value,
                **{"num_images": images, "num_errors": wrong, "error": error.value},
                **{"wilson_low": error.low, "wilson_high": error.high},
                **{"low_if_confirmed": if_confirmed.low, "high_if_confirmed": if_confirmed.high},
                **{"base_error": base.value, "base_low": base.low, "base_high": base.high},
                "num_images_elsewhere": all_images - images,
                **{"excess": excess.value, "excess_low": excess.low, "excess_high": excess.high},
                **{"lift": share(error.value, base.value), "p_value": p_value, "q_value": q_value},
                **{"is_confirmed": confirmed, "population": THESE_CATEGORIES},
                "lift_for": THESE_IMAGES,
            }
        )


@dataclass(frozen=True, slots=True)
class SliceSpace:
    """All sets of categories (rows) and of nuisances (columns) that can make a slice; the first is everything."""

    rows: np.ndarray
    row_names: Sequence[str]
    columns: np.ndarray
    column_names: Sequence[str]

    @classmethod
    def of(cls, design: Design) -> "SliceSpace":
        """Take categories and their groups in WordNet, kinds and nuisances."""
        categories, words = design.categories, design.nuisances
        groups = _groups(categories)
        rows: list[list[int]] = [list(range(len(categories))), *groups.values()]
        rows += [[place] for place in range(len(categories))]
        kinds = {kind: np.flatnonzero(words["kind"] == kind).tolist() for kind in words["kind"].unique()}
        columns = [list(range(len(words))), *kinds.values(), *([place] for place in range(len(words)))]
        return cls(
            memberships(rows, len(categories)),
            [ANY, *groups, *categories],
            memberships(columns, len(words)),
            [ANY, *(f"any {kind}" for kind in kinds), *words["nuisance"]],
        )


def halves_of(design: Design, model: ModelEvidence) -> np.ndarray:
    """Return errors and images of both halves, "2 2 categories nuisances"; halves by seed, or by image if there is one.

    The control arm is left out.
    """
    evidence = design.evidence
    seed = evidence.images["seed_index"].to_numpy()
    half = seed % 2 if (seed > 0).any() else np.arange(len(seed)) // 2 % 2
    size = len(design.cells)
    group = half * size + design.cell_of_image
    found = tally([model.mark], group, 2 * size, among=evidence.sets[evidence.judged])
    counted = np.stack([found.num_wrong, found.num_images]).reshape(2, 2, size)
    return design.square(counted.astype(np.float64), ~design.is_control)


def _groups(categories: Sequence[str]) -> dict[str, list[int]]:
    """Return the WordNet groups that hold at least two of the categories, but not all."""
    groups = [imagenet_ids(name) for name in categories]
    return hypernym_groups(groups) if all(groups) else {}


def sizes_of(halves: Sequence[np.ndarray]) -> tuple[str, str]:
    """Return how many images count in the half where slices are found and in the other, e.g. `9` or `9 to 12`."""
    sums = np.array([half[1].sum(axis=(1, 2)) for half in halves]).reshape(-1, 2)
    ends = [(int(side.min()), int(side.max())) if len(side) else (0, 0) for side in sums.T]
    first, second = (f"{low:,}" if low == high else f"{low:,} to {high:,}" for low, high in ends)
    return first, second


def _findings(table: pd.DataFrame, sizes: tuple[str, str]) -> Iterator[str]:
    found, again = sizes
    confirmed = table[table["is_confirmed"].astype(bool)] if len(table) else table
    if confirmed.empty:
        yield (
            f"Of {counted(len(table), 'slice')} found on half of the images (n = {found}) none is confirmed on the "
            f"other half (n = {again})."
        )
        return
    for row in confirmed.sort_values("error", ascending=False).head(5).to_dict("records"):
        yield (
            f"{row['model']} fails on {100 * row['error']:.0f}% of {row['categories']} with {row['nuisances']} "
            f"{percent_interval(row['low_if_confirmed'], row['high_if_confirmed'])} "
            f"({counted(row['num_images'], 'image')}) against {100 * row['base_error']:.0f}% "
            f"{percent_interval(row['base_low'], row['base_high'])} elsewhere "
            f"({counted(row['num_images_elsewhere'], 'image')}), on images that did not choose the slice; for "
            f"{THESE_CATEGORIES}."
        )
