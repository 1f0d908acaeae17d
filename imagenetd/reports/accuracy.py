"""The report `accuracy`: every model on every kind, nuisance, category and cell, with what n allows to say."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from imagenetd.config.ranges import AnyCount, OpenShare
from imagenetd.records import Kind
from imagenetd.reports.design import ALL, SET_WORDS, Design, describe
from imagenetd.reports.evidence import Evidence, ReportResult
from imagenetd.reports.report_set import Report
from imagenetd.scoring.counts import accuracy_by, without_control
from imagenetd.scoring.statistics.intervals import (
    OTHER_CATEGORIES,
    THESE_CATEGORIES,
    THESE_IMAGES,
    Estimate,
    clustered_share,
)
from imagenetd.scoring.statistics.power import detectable_difference
from imagenetd.scoring.statistics.shrinkage import shrink
from imagenetd.scoring.statistics.strata import (
    StratifiedDifference,
    adjusted_p_values,
    compare_in_strata,
    compare_with_rest,
)
from imagenetd.store.numerals import counted, percent_interval

TESTS = {
    "vs_rest": (True, "difference"),
    "p_rest": (True, "p_value"),
    "vs_rest_by_category": (True, "mean_difference"),
    "vs_rest_by_category_low": (True, "low"),
    "vs_rest_by_category_high": (True, "high"),
    "p_rest_other_categories": (True, "p_other_categories"),
    "vs_neutral": (False, "difference"),
    "p_neutral": (False, "p_value"),
}
"""Column -> compared with the rest of its kind (else with the neutral prompt), and which number of the comparison."""
SHRUNKEN_FOR = f"{THESE_CATEGORIES}, on average over the rows: not for the row that stands out"
MODEL_COLUMNS = ["model", "role", "family", "regime", "num_classes"]


@dataclass(frozen=True, slots=True)
class AccuracyReport(Report):
    """Accuracy with Wilson and empirical-Bayes intervals; nuisances that are worse than the rest."""

    min_images: AnyCount = 5
    """Slices with fewer images are neither ranked nor tested."""
    false_discovery_rate: OpenShare = 0.05
    """Accepted share of false alarms among the nuisances that are called worse."""

    name: ClassVar[str] = "accuracy"

    def report(self, evidence: Evidence) -> ReportResult:
        """Return `totals`, `per_nuisance`, `per_category` and `per_cell`."""
        design = Design(evidence)
        totals = self._totals(design)
        nuisances = self._per_nuisance(design)
        tables = {
            "totals": totals,
            "per_nuisance": nuisances,
            "per_category": self._per_category(design),
            "per_cell": self._per_cell(design),
        }
        findings = _findings(totals, nuisances, design, rate=self.false_discovery_rate)
        summary = {
            "num_worse_nuisances": _num_worse(nuisances, design, "is_worse"),
            "num_worse_nuisances_for": THESE_CATEGORIES,
            "num_worse_nuisances_other_categories": _num_worse(
                nuisances, design, "is_worse_other_categories"
            ),
        }
        return ReportResult(self.name, tables, tuple(findings), summary)

    def _totals(self, design: Design) -> pd.DataFrame:
        kinds = [ALL, *design.kinds]
        found_by_kind = pd.concat(
            [
                accuracy_by(without_control(design.counts), ["set", "model"]).assign(kind=ALL),
                accuracy_by(design.counts, ["set", "model", "kind"]),
            ]
        )
        table = self._long(design, found_by_kind, pd.DataFrame({"kind": kinds}))
        found = [
            self._over_categories(design, row, design.in_kind(kind))
            for row in range(len(design.sets))
            for kind in kinds
        ]
        shape = (len(design.sets), len(kinds), -1)
        for end in ("low", "high"):
            values = np.stack([getattr(estimate, end) for estimate in found]).reshape(shape)
            table[f"{end}_other_categories"] = values.transpose(0, 2, 1).ravel()
        return table.drop(columns=["shrunken", "shrunken_low", "shrunken_high", "shrunken_for"])

    def _over_categories(self, design: Design, row: int, inside: np.ndarray) -> Estimate:
        """Return the accuracy of each model on a set over whole categories."""
        images = design.by_category(design.num_counted[row] * inside)
        correct = design.by_category(design.num_correct[row] * inside)
        return clustered_share(correct.T, images.T)

    def _per_nuisance(self, design: Design) -> pd.DataFrame:
        found = accuracy_by(design.counts, ["set", "model", "kind", "nuisance"])
        table = self._long(design, found, design.nuisances, pools=design.nuisances["kind"])
        table = table.assign(**self._tests(design)).loc[table["kind"] != Kind.NEUTRAL].reset_index(drop=True)
        for test in ("rest", "neutral", "rest_other_categories"):
            table.loc[~table["is_ranked"], f"p_{test}"] = np.nan
            table[f"q_{test}"] = table.groupby(["set", "model"])[f"p_{test}"].transform(
                lambda p: adjusted_p_values(p.to_numpy(dtype=np.float64))
            )
        rate = self.false_discovery_rate
        table["is_worse"] = (table["q_rest"] < rate) & (table["vs_rest"] < 0)
        table["is_worse_for"] = THESE_CATEGORIES
        elsewhere = (table["q_rest_other_categories"] < rate) & (table["vs_rest_by_category"] < 0)
        table["is_worse_other_categories"] = elsewhere
        table["vs_rest_for"] = table["vs_neutral_for"] = THESE_CATEGORIES
        table["vs_rest_by_category_for"] = OTHER_CATEGORIES
        ranked = table["shrunken"].where(table["is_ranked"])
        table["rank_from_worst"] = ranked.groupby([table["set"], table["model"]]).rank(method="min")
        return table

    def _tests(self, design: Design) -> dict[str, np.ndarray]:
        """Return the columns of the comparisons with the rest of the kind and with the neutral prompt."""
        size = (len(design.sets), len(design.evidence.models), len(design.nuisances))
        found = {name: np.full(size, np.nan) for name in TESTS}
        for kind in [kind for kind in design.kinds if kind != Kind.NEUTRAL]:
            of_kind = (design.nuisances["kind"] == kind).to_numpy()
            for row in range(len(design.sets)):
                with_rest, with_neutral = _compare(design, row, kind, of_kind)
                for name, (of_rest, number) in TESTS.items():
                    compared = with_rest if of_rest else with_neutral
                    found[name][row][:, of_kind] = getattr(compared, number)
        return {name: values.ravel() for name, values in found.items()}

    def _per_category(self, design: Design) -> pd.DataFrame:
        found = accuracy_by(without_control(design.counts), ["set", "model", "category"])
        table = self._long(design, found, pd.DataFrame({"category": design.categories}))
        ranked = table["shrunken"].where(table["is_ranked"])
        table["rank_from_worst"] = ranked.groupby([table["set"], table["model"]]).rank(method="min")
        return table

    def _per_cell(self, design: Design) -> pd.DataFrame:
        """One row for each cell: sizes of the sets, and over the pool each model's accuracy, shrunken in its kind."""
        table = design.cells[["kind", "nuisance", "category"]].copy()
        for row, name in enumerate(design.sets):
            table[f"num_{name}"] = design.num_images[row]
        table["is_ranked"] = design.num_images[0] >= self.min_images
        table["correct_for"], table["shrunken_for"] = THESE_IMAGES, SHRUNKEN_FOR
        for column, model in enumerate(design.evidence.models):
            correct, images = design.num_correct[0, column], design.num_counted[0, column]
            table[f"correct_{model.name}"] = correct
            mean, low, high = _shrink_in(table["kind"], correct, images)
            table[f"shrunken_{model.name}"] = mean
            table[f"shrunken_{model.name}_low"], table[f"shrunken_{model.name}_high"] = low, high
        return table

    def _long(
        self, design: Design, found: pd.DataFrame, slices: pd.DataFrame, *, pools: pd.Series | None = None
    ) -> pd.DataFrame:
        """Return one row for each set, model and slice, in this order.

        Args:
            design: Of the pool.
            found: From `accuracy_by`, for each set, model and slice.
            slices: One row for each slice.
            pools: Which slices are alike.
        """
        num_sets, num_models, num_slices = len(design.sets), len(design.evidence.models), len(slices)
        models = describe(design.evidence.models)[MODEL_COLUMNS]
        table = pd.DataFrame({"set": np.repeat(design.sets, num_models * num_slices)})
        for column in models:
            table[column] = np.tile(np.repeat(models[column].to_numpy(), num_slices), num_sets)
        for column in slices:
            table[column] = np.tile(slices[column].to_numpy(), num_sets * num_models)
        table = table.merge(
            found.drop(columns=["num_top5", "top5"]),
            on=["set", "model", *slices.columns],
            how="left",
            validate="one_to_one",
        )
        correct, images = (
            table[name].to_numpy().reshape(-1, num_slices) for name in ("num_correct", "num_images")
        )
        like = pd.Series(ALL, index=range(num_slices)) if pools is None else pools
        rows = zip(correct, images, strict=True)
        shrunken = np.concatenate([_shrink_in(like, *row) for row in rows], axis=1)
        accuracy, num_images = table["accuracy"].to_numpy(), table["num_images"].to_numpy()
        return table.assign(
            wilson_for=THESE_CATEGORIES,
            detectable_difference=detectable_difference(accuracy, num_images.astype(np.float64)),
            shrunken=shrunken[0],
            shrunken_low=shrunken[1],
            shrunken_high=shrunken[2],
            shrunken_for=SHRUNKEN_FOR,
            is_ranked=num_images >= self.min_images,
        )


def _shrink_in(pools: pd.Series, correct: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Shrink each pool of slices by itself; return "3 slices": mean, low, high."""
    found = np.full((3, len(correct)), np.nan)
    for pool in pools.unique():
        members = (pools == pool).to_numpy()
        found[:, members] = shrink(correct[members], images[members])
    return found


def _compare(
    design: Design, row: int, kind: str, of_kind: np.ndarray
) -> tuple[StratifiedDifference, StratifiedDifference]:
    """Return the comparison "models nuisances" with the rest of the kind, and with neutral."""
    inside = design.in_kind(kind)
    images = design.square(design.num_counted[row], inside)[..., of_kind]
    correct = design.square(design.num_correct[row], inside)[..., of_kind]
    rest = compare_with_rest(correct, images)
    control = design.is_control
    images_control = design.by_category(design.num_counted[row] * control)[:, :, None]
    correct_control = design.by_category(design.num_correct[row] * control)[:, :, None]
    neutral = compare_in_strata(correct, images, correct_control, images_control)
    return rest, neutral


def _num_worse(nuisances: pd.DataFrame, design: Design, column: str) -> dict[str, int]:
    rows = nuisances[(nuisances["set"] == design.evidence.judged) & (nuisances["role"] == "target")]
    return {str(model): int(of_model.sum()) for model, of_model in rows.groupby("model")[column]}


def _findings(totals: pd.DataFrame, nuisances: pd.DataFrame, design: Design, *, rate: float) -> Iterator[str]:
    judged = design.evidence.judged
    worse = nuisances[(nuisances["set"] == judged) & (nuisances["role"] == "target")]
    for model_name, of_model in worse.groupby("model", sort=False):
        if (num_tested := int(of_model["p_rest"].notna().sum())) < 2:
            continue
        here, elsewhere = (_named(of_model, name) for name in ("is_worse", "is_worse_other_categories"))
        found = (
            f"none is worse than the rest of its kind, neither on {THESE_CATEGORIES} nor for {OTHER_CATEGORIES}"
            if here == elsewhere == "none"
            else f"worse than the rest of its kind on {THESE_CATEGORIES}: {here}; for {OTHER_CATEGORIES}: {elsewhere}"
        )
        yield f"{model_name}, of {num_tested} nuisances {found} (false discovery rate {100 * rate:g}%)."
    rows = totals[(totals["kind"] == ALL) & (totals["role"] == "target")].set_index(["set", "model"])
    for model in design.evidence.of_role("target"):
        pool = rows.loc[(judged, model.name)]
        text = f"{model.name}: {_with_ends(pool)} of {counted(pool['num_images'], 'image')} of the {SET_WORDS[judged]}"
        if "accepted" in design.sets and rows.loc[("accepted", model.name), "num_images"]:
            hard = rows.loc[("accepted", model.name)]
            text += f", {_with_ends(hard)} of {counted(hard['num_images'], 'accepted hard one')}"
            if len(design.evidence.of_role("target")) == 1:
                text += (
                    f"; another model differs there from it if it is some {100 * hard['detectable_difference']:.0f} "
                    "points away, were their mistakes independent and their accuracies equal"
                )
        yield f"{text}."


def _named(nuisances: pd.DataFrame, column: str) -> str:
    """Return `2 (glass, beach-s)`, the worst first."""
    found = nuisances[nuisances[column]].sort_values("shrunken")
    words = ", ".join(found["nuisance"].head(4))
    return f"{len(found)} ({words}{', ...' if len(found) > 4 else ''})" if len(found) else "none"


def _with_ends(row: pd.Series) -> str:
    """Return `82.0% ([79, 84] on these categories, [76, 87] for other categories)`."""
    here = f"{percent_interval(row['wilson_low'], row['wilson_high'])} on {THESE_CATEGORIES}"
    ends = percent_interval(row["low_other_categories"], row["high_other_categories"])
    return f"{100 * row['accuracy']:.1f}% ({here}, {ends} for {OTHER_CATEGORIES})"
