"""The report `selection`: how much of the result is the mining itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import pandas as pd

from imagenetd.config.ranges import Draws, Range, Seed, Share
from imagenetd.models.relations import SAME_FAMILY
from imagenetd.reports.design import Design
from imagenetd.reports.evidence import Evidence, ReportResult
from imagenetd.reports.persistence import persistence_table, transfer_table
from imagenetd.reports.report_set import Report
from imagenetd.reports.subset_curves import Subsets, curve_table, leave_family_out_table, subset_table
from imagenetd.scoring.counts import accuracy_by, without_control
from imagenetd.scoring.statistics.intervals import OTHER_CATEGORIES, THESE_CATEGORIES
from imagenetd.store.numerals import counted, percent_interval

MIN_CELLS = 10
"""With fewer cells persistence is in the table, but no finding."""


@dataclass(frozen=True, slots=True)
class SelectionReport(Report):
    """Roles, k-of-n curves over all subsets, families left out, persistence on other seeds, transfer of failures."""

    num_draws: Draws = 500
    """Resamples of the bootstrap over categories."""
    seed: Seed = 0
    """Of the resamples."""
    min_share: Share = 0.5
    """A cell is chosen when at least this share of its images on one half of the seeds fails."""
    max_subsets: Annotated[int, Range(1, 1_000_000)] = 1024
    """Rows (subset, k); with more surrogates than these allow, subsets are sampled."""

    name: ClassVar[str] = "selection"

    def report(self, evidence: Evidence) -> ReportResult:
        """Return `roles`, `subsets`, `curve`, `leave_family_out`, `persistence` and `transfer`."""
        design = Design(evidence)
        draws = {"num_draws": self.num_draws, "seed": self.seed}
        tables = {"roles": _roles(design)}
        if evidence.of_role("surrogate"):
            subsets = Subsets.of(design, max_rows=self.max_subsets, **draws)
            tables |= {"subsets": subset_table(subsets), "curve": curve_table(subsets)}
            tables["leave_family_out"] = leave_family_out_table(subsets)
        tables["persistence"] = persistence_table(design, min_share=self.min_share)
        tables["transfer"] = transfer_table(design)
        return ReportResult(self.name, tables, tuple(_findings(tables)), _summary(tables))


def _roles(design: Design) -> pd.DataFrame:
    evidence = design.evidence
    totals = accuracy_by(without_control(design.counts), ["set", "model"]).set_index(["set", "model"])
    rows = []
    for model in evidence.models:
        relatives = [
            m.name for m in evidence.of_role("surrogate") if m.family == model.family and m is not model
        ]
        row: dict[str, object] = {
            "model": model.name,
            "role": model.role,
            "relation": evidence.relation(model),
        }
        row |= {"family": model.family, "relatives": " ".join(relatives)}
        row["training_data"] = " ".join(model.training_data)
        for name in [name for name in (evidence.judged, "mined", "accepted") if name in evidence.sets]:
            found = totals.loc[(name, model.name)]
            row |= {f"num_{name}": int(found["num_images"]), f"{name}_accuracy": float(found["accuracy"])}
            row |= {f"{name}_{end}": float(found[end]) for end in ("wilson_low", "wilson_high")}
        rows.append(row | {"wilson_for": THESE_CATEGORIES})
    return pd.DataFrame(rows)


def _summary(tables: dict[str, pd.DataFrame]) -> dict[str, object]:
    roles, kept = tables["roles"], tables["persistence"]
    return {
        "relations": dict(zip(roles["model"], roles["relation"], strict=True)),
        "persistence": dict(zip(kept["failure_of"], kept["persistence"], strict=True)),
        "base_rate": dict(zip(kept["failure_of"], kept["base_rate"], strict=True)),
        "cell_correlation": {
            row["failure_of"]: [
                row["cell_correlation"],
                row["cell_correlation_low"],
                row["cell_correlation_high"],
            ]
            for row in kept.to_dict("records")
        },
    }


def _findings(tables: dict[str, pd.DataFrame]) -> Iterator[str]:
    if "curve" in tables:
        yield from _curve_findings(tables["curve"])
    kept = tables["persistence"]
    for row in kept[kept["num_cells"] >= MIN_CELLS].head(1).to_dict("records"):
        yield (
            f"Failures of {row['failure_of']}: images of one cell are alike by an intra-class correlation of "
            f"{row['cell_correlation']:.2f} [{row['cell_correlation_low']:.2f}, {row['cell_correlation_high']:.2f}]. "
            f"{row['num_selected']} cells that fail on at least half of one half of the seeds fail on "
            f"{100 * row['persistence']:.0f}% {percent_interval(row['persistence_low'], row['persistence_high'])} "
            f"of the images of the other half, against {100 * row['base_rate']:.0f}% "
            f"{percent_interval(row['base_low'], row['base_high'])} of all; for "
            f"{OTHER_CATEGORIES}."
        )
    if kept.empty:
        yield "Every cell has images on one half of the seeds only: persistence needs num_images_per_cell=2 or more."
    yield from _leak_findings(tables)


def _curve_findings(curve: pd.DataFrame) -> Iterator[str]:
    everyone = curve[curve["num_surrogates"] == curve["min_failures"]]
    for target, rows in everyone.groupby("target", sort=False):
        steps = ", ".join(
            f"{int(row['num_surrogates'])}: {100 * row['accuracy']:.0f}% "
            f"{percent_interval(row['low'], row['high'])} of {row['mean_num_judged']:,.0f}"
            for row in rows.dropna(subset=["accuracy"]).to_dict("records")
        )
        yield (
            f"{target}, right on images that this many surrogates all get wrong: {steps} images (means over the "
            f"subsets of the surrogates; for {OTHER_CATEGORIES})."
        )


def _leak_findings(tables: dict[str, pd.DataFrame]) -> Iterator[str]:
    roles, left_out = tables["roles"], tables.get("leave_family_out")
    siblings = roles[roles["relation"] == SAME_FAMILY]
    if left_out is None or siblings.empty:
        return
    leaks = left_out[left_out["relation"] == SAME_FAMILY].dropna(subset=["log_odds_ratio"])
    unknown = [name for name in siblings["model"] if name not in set(leaks["target"])]
    if unknown:
        yield (
            f"{', '.join(unknown)}: of the family of surrogates, so part of its drop may be the mining. How much "
            "cannot be told without surrogates and targets of other families that fail often enough."
        )
    for row in leaks.to_dict("records"):
        odds = [float(np.exp(row[name])) for name in ("log_odds_ratio", "log_odds_low", "log_odds_high")]
        yield (
            f"{row['target']} is of the family of the {row['family']} surrogates: where they fail, its odds of failing "
            f"are {odds[0]:.1f} times [{odds[1]:.1f}, {odds[2]:.1f}] those of other targets on equally hard images "
            f"({counted(round(row['num_deciding']), 'deciding image')}; for {OTHER_CATEGORIES}).{_leak_text(row)}"
        )


def _leak_text(row: dict[str, Any]) -> str:
    """Return what the odds mean in points; nothing where the target is right on all mined images or on none."""
    if np.isnan(row["leak"]):
        return ""
    ends = percent_interval(row["leak_low"], row["leak_high"], digits=1, signed=True)
    return f" On the mined set that is {100 * row['leak']:+z.1f} points {ends}."
