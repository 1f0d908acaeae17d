"""What the HTML report of a run draws; the page's script draws it."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from imagenetd.records import Kind
from imagenetd.reports.evidence import Evidence, ModelEvidence, ReportResult
from imagenetd.reports.html.charts import (
    Curve,
    Dot,
    Dots,
    Figure,
    Forest,
    ForestPanel,
    ForestRow,
    Heat,
    HeatColumn,
    Lines,
    Place,
    Rate,
    Scatter,
    Step,
    Steps,
    StepsPanel,
)
from imagenetd.scoring.counts import CELL, POOL, accuracy_by, ordered_kinds, without_control
from imagenetd.scoring.statistics.intervals import (
    OTHER_CATEGORIES,
    THESE_CATEGORIES,
    THESE_IMAGES,
)

MAX_HEAT_COLUMNS = 48
"""Nuisances in the heat map; of more, those with most hard images."""
ROLES = {"target": "target", "surrogate": "surrogate (chose the images)", "gate": "gate"}


def run_figures(evidence: Evidence, results: Sequence[ReportResult], *, min_images: int) -> list[Figure]:
    """Return the figures of one run, those without data left out."""
    tables = {result.name: result.tables for result in results}
    made: list[Figure | None] = [
        on_the_line(evidence, min_images=min_images),
        by_failures(evidence, min_images=min_images),
        by_surrogates(tables.get("selection", {})),
        decomposition(tables.get("decomposition", {})),
        forest(evidence, min_images=min_images),
        heat_map(evidence, min_images=min_images),
    ]
    return [figure for figure in made if figure is not None]


def _named(model: ModelEvidence, evidence: Evidence) -> str:
    """Return a target with what it is to the surrogates; the other roles are named by their series."""
    relation = evidence.relation(model)
    return model.name if relation == model.role else f"{model.name} ({relation})"


NOTHING = Rate(math.nan, 0.0, 100.0, 0)
Places = dict[tuple[str, ...], Rate]


def _rates(counts: pd.DataFrame, *by: str) -> Places:
    """Return the accuracy of each group, in percent with its Wilson interval."""
    found = accuracy_by(counts, by)
    return dict(zip(found[list(by)].itertuples(index=False, name=None), _in_percent(found), strict=True))


def _in_percent(found: pd.DataFrame) -> list[Rate]:
    ends = [np.round(100 * found[end], 2).tolist() for end in ("accuracy", "wilson_low", "wilson_high")]
    return [Rate(*row) for row in zip(*ends, found["num_images"].tolist(), strict=True)]


def _by_nuisance(evidence: Evidence) -> tuple[list[tuple[str, str]], Places]:
    """Return kind and nuisance of each nuisance, by kind, and the accuracy of each model, set, kind and nuisance."""
    counts = evidence.counts
    counts = counts[counts["kind"] != Kind.NEUTRAL]
    cells = counts[["kind", "nuisance"]].drop_duplicates()
    order = ordered_kinds(cells["kind"].tolist())
    names = sorted(cells.itertuples(index=False, name=None), key=lambda cell: order.index(cell[0]))
    return names, _rates(counts, "model", "set", "kind", "nuisance") if names else {}


def _is_nuisance(evidence: Evidence) -> np.ndarray:
    return (evidence.images["kind"] != Kind.NEUTRAL).to_numpy()


def _hard(evidence: Evidence) -> str:
    """Return the name of the hardest set that has images; nothing was mined in an evaluation."""
    sets = evidence.sets
    return next((name for name in ("accepted", "mined") if name in sets and sets[name].any()), "hard")


def on_the_line(evidence: Evidence, *, min_images: int) -> Scatter | None:
    """Accuracy on hard images against accuracy on the pool: every model, and every nuisance of every target."""
    name, judged = _hard(evidence), evidence.judged
    if name == "hard" or not (evidence.sets[name] & _is_nuisance(evidence)).any():
        return None
    totals = _rates(without_control(evidence.counts), "model", "set")
    nuisances, rates = _by_nuisance(evidence)
    series = []
    for role, label in ROLES.items():
        points = [
            Dot(_named(model, evidence), totals[model.name, judged], totals[model.name, name])
            for model in evidence.of_role(role)
        ]
        if points:
            series.append(Dots(label, points, hollow=role != "target"))
    for model in evidence.of_role("target"):
        points = [
            Dot(f"{nuisance} ({kind})", rates[model.name, judged, kind, nuisance], hard)
            for kind, nuisance in nuisances
            if (hard := rates[model.name, name, kind, nuisance]).n >= min_images
        ]
        if points:
            series.append(Dots(f"{model.name}, one nuisance each", points, small=True))
    return Scatter(
        id="line",
        title="Accuracy on the line",
        caption="Every model on all images (across) and on the hard ones (up), with 95% Wilson intervals for "
        f"{THESE_CATEGORIES}. On the dashed "
        "line nothing is lost. Surrogates lie at the bottom because they chose the images.",
        x=f"accuracy on {evidence.judged.replace('_', ' ')}, %",
        y=f"accuracy on {name} images, %",
        series=series,
    )


def forest(evidence: Evidence, *, min_images: int) -> Forest | None:
    """Accuracy of each target by nuisance, on all images and on the hard ones."""
    targets = evidence.of_role("target")
    if not targets:
        return None
    name, (nuisances, rates) = _hard(evidence), _by_nuisance(evidence)
    panels = []
    for model in targets:
        rows = [
            ForestRow(
                *cell, tuple(rates.get((model.name, of, *cell), NOTHING) for of in (evidence.judged, name))
            )
            for cell in nuisances
        ]
        panels.append(ForestPanel(model.name, rows))
    return Forest(
        id="nuisances",
        title="By nuisance",
        caption=f"Accuracy with 95% Wilson interval for {THESE_CATEGORIES}, each row by itself: the lowest of many "
        f"rows is lower than its truth. Hollow: fewer than {min_images} images, too few to tell.",
        x="accuracy, %",
        marks=(evidence.judged.replace("_", " "), name),
        min_images=min_images,
        panels=panels,
    )


def by_failures(evidence: Evidence, *, min_images: int) -> Lines | None:
    """Accuracy of each target on the images that at least k of n surrogates get wrong."""
    surrogates, targets = evidence.of_role("surrogate"), evidence.of_role("target")
    if not surrogates or not targets:
        return None
    found = evidence.by_failures()
    series = []
    for model in targets:
        rows = found[found["model"] == model.name]
        steps = zip(rows["set"].astype(int), _in_percent(rows), strict=True)
        points = [Place(k, one.v, one.lo, one.hi, one.n) for k, one in steps if one.n >= min_images]
        series.append(Curve(model.name, points))
    return Lines(
        id="failures",
        title="How many surrogates must fail",
        caption=f"k of {len(surrogates)}: accuracy on images that at least k surrogates get wrong; at 0 it is the "
        f"whole pool. This run asks for {evidence.min_failures}. Bands: 95% Wilson, for "
        f"{THESE_CATEGORIES}; points of one line share images.",
        x="surrogates that must fail, at least",
        y="accuracy, %",
        series=series,
    )


def heat_map(evidence: Evidence, *, min_images: int) -> Heat | None:
    """Category by nuisance: the share of hard images, and the accuracy of each target."""
    images = evidence.images
    kept = _is_nuisance(evidence)
    if not kept.any():
        return None
    mined = evidence.sets.get("mined")
    cells = images[["category", "kind", "nuisance"]].assign(n=1)[kept]
    if mined is not None:
        cells["hard"] = mined[kept]
    summed = cells.groupby(["category", "kind", "nuisance"], sort=False).sum(numeric_only=True).reset_index()
    columns = _by_nuisance(evidence)[0]
    if len(columns) > MAX_HEAT_COLUMNS:
        weight = "n" if mined is None else "hard"
        hardest = summed.groupby(["kind", "nuisance"])[weight].sum().nlargest(MAX_HEAT_COLUMNS)
        columns = [column for column in columns if column in hardest.index]
    place = {column: index for index, column in enumerate(columns)}
    categories = sorted(images["category"].unique())
    line = {name: index for index, name in enumerate(categories)}
    counts = [[0] * len(columns) for _ in categories]
    targets = {model.name: f"accuracy of {model.name}" for model in evidence.of_role("target")}
    layers = [*([] if mined is None else ["share of hard images"]), *targets.values()]
    values = {name: [[-1.0] * len(columns) for _ in categories] for name in layers}
    for row in summed.to_dict("records"):
        column = place.get((row["kind"], row["nuisance"]))
        if column is not None:
            counts[line[row["category"]]][column] = int(row["n"])
            if mined is not None:
                hard = round(100 * row["hard"] / row["n"], 1)
                values["share of hard images"][line[row["category"]]][column] = hard
    pool = evidence.counts[(evidence.counts["set"] == POOL) & evidence.counts["model"].isin(list(targets))]
    for row in accuracy_by(pool, ["model", *CELL]).dropna(subset=["accuracy"]).to_dict("records"):
        column = place.get((row["kind"], row["nuisance"]))
        if column is not None:
            values[targets[row["model"]]][line[row["category"]]][column] = round(100 * row["accuracy"], 1)
    return Heat(
        id="heat",
        title="Category by nuisance",
        caption=f"All images of the pool: exact shares of {THESE_IMAGES}, without intervals; few to a cell, so look "
        "for rows and columns, not for single cells. A "
        "click on a cell filters the gallery.",
        rows=categories,
        columns=[HeatColumn(kind, nuisance) for kind, nuisance in columns],
        counts=counts,
        layers=values,
    )


def by_surrogates(tables: Mapping[str, pd.DataFrame]) -> Lines | None:
    """Accuracy of each target against the number of surrogates that must all fail, mean over the subsets."""
    if "curve" not in tables:
        return None
    curve = tables["curve"]
    curve = curve[curve["num_surrogates"] == curve["min_failures"]]
    series = [
        Curve(
            str(target),
            [
                Place(
                    x=int(row["num_surrogates"]),
                    v=_percent(row["accuracy"]),
                    lo=_percent(row["low"]),
                    hi=_percent(row["high"]),
                    n=round(float(row["mean_num_judged"])),
                )
                for row in rows.to_dict("records")
            ],
        )
        for target, rows in curve.groupby("target", sort=False)
    ]
    return Lines(
        id="surrogates",
        title="How many surrogates choose",
        caption="All subsets of the surrogates, all of each subset must fail: mean accuracy of the targets, as in "
        "the paper's ablation. Bands: 95% for "
        f"{OTHER_CATEGORIES}. n: mean size of the sets.",
        x="surrogates that must all fail",
        y="accuracy, %",
        series=series,
    )


def decomposition(tables: Mapping[str, pd.DataFrame]) -> Steps | None:
    """Where the drop of each target comes from."""
    arrows = tables.get("arrows")
    if arrows is None or arrows.empty:
        return None
    panels = []
    for model, rows in arrows.groupby("model", sort=False):
        steps = [
            Step(
                start=str(row["start"]).replace("_", " "),
                end=str(row["end"]).replace("_", " "),
                before=_percent(row["start_accuracy"]),
                after=_percent(row["end_accuracy"]),
                v=_percent(row["change"]),
                lo=_percent(row["low"]),
                hi=_percent(row["high"]),
                n=int(row["num_end"]),
                meaning="; ".join(filter(None, (str(row["meaning"]), str(row["taken_out"])))),
                # Where no image was taken out nothing was measured: a change of 0.0 would look so.
                said=f"none of {row['num_start']:,} taken out"
                if row["taken_out"] and row["num_start"] == row["num_end"]
                else "",
            )
            for row in rows.to_dict("records")
        ]
        panels.append(StepsPanel(str(model), steps))
    return Steps(
        id="decomposition",
        title="Where the drop comes from",
        caption="Each bar is one step; the number is its change in points with a 95% interval for "
        f"{OTHER_CATEGORIES}, paired by category. n: images at the end of the step.",
        x="accuracy, %",
        panels=panels,
    )


def _percent(share: float) -> float:
    return round(100 * share, 2)
