"""What the HTML report of a run draws; the page's script draws it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
from imagenetd.scoring.statistics.intervals import (
    OTHER_CATEGORIES,
    THESE_CATEGORIES,
    THESE_IMAGES,
    wilson_interval,
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


def rates(num_correct: np.ndarray, num_images: np.ndarray) -> list[Rate]:
    """Return shares in percent with their Wilson intervals."""
    low, high = wilson_interval(num_correct, num_images)
    value = np.where(num_images == 0, np.nan, num_correct / np.maximum(num_images, 1))
    ends = [np.round(100 * end, 2).tolist() for end in (value, low, high)]
    return [Rate(*row) for row in zip(*ends, num_images.tolist(), strict=True)]


def rate(num_correct: int, num_images: int) -> Rate:
    """Return one share, as `rates` does."""
    return rates(np.array([num_correct]), np.array([num_images]))[0]


def _named(model: ModelEvidence, evidence: Evidence) -> str:
    """Return a target with what it is to the surrogates; the other roles are named by their series."""
    relation = evidence.relation(model)
    return model.name if relation == model.role else f"{model.name} ({relation})"


def _rate_in(model: ModelEvidence, members: np.ndarray) -> Rate:
    return rate(int((model.correct & members).sum()), int(members.sum()))


def _is_nuisance(evidence: Evidence) -> np.ndarray:
    return (evidence.images["kind"] != Kind.NEUTRAL).to_numpy()


def _hard(evidence: Evidence) -> tuple[str, np.ndarray]:
    """Return the name and the members of the hardest set that has images; nothing was mined in an evaluation."""
    for name in ("accepted", "mined"):
        if name in evidence.sets and evidence.sets[name].any():
            return name, evidence.sets[name]
    return "hard", np.zeros(len(evidence.images), dtype=bool)


def on_the_line(evidence: Evidence, *, min_images: int) -> Scatter | None:
    """Accuracy on hard images against accuracy on the pool: every model, and every nuisance of every target."""
    name, hard = _hard(evidence)
    inside = _is_nuisance(evidence)
    everyone = evidence.sets[evidence.judged] & inside
    if not (hard & inside).any():
        return None
    nuisances = _nuisances(evidence)
    series = []
    for role, label in ROLES.items():
        points = [
            Dot(_named(model, evidence), _rate_in(model, everyone), _rate_in(model, hard & inside))
            for model in evidence.of_role(role)
        ]
        if points:
            series.append(Dots(label, points, hollow=role != "target"))
    for model in evidence.of_role("target"):
        found = zip(
            nuisances.names, nuisances.rates(model, everyone), nuisances.rates(model, hard), strict=True
        )
        points = [Dot(f"{nuisance} ({kind})", x, y) for (kind, nuisance), x, y in found if y.n >= min_images]
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


@dataclass(frozen=True)
class _Nuisances:
    """The nuisances of a pool by kind, and which one each image has."""

    names: list[tuple[str, str]]
    """Kind and nuisance."""
    codes: np.ndarray
    """Int "images": position in `names`; the control arm comes after the last."""

    def rates(self, model: ModelEvidence, members: np.ndarray) -> list[Rate]:
        """Return the accuracy of a model on the members of each nuisance."""
        size = len(self.names) + 1
        images = np.bincount(self.codes[members], minlength=size)[:-1]
        correct = np.bincount(self.codes[members & model.correct], minlength=size)[:-1]
        return rates(correct, images)


def _nuisances(evidence: Evidence) -> _Nuisances:
    images = evidence.images
    codes, kinds = pd.factorize(images["kind"].astype(str))
    inner, words = pd.factorize(images["nuisance"].astype(str))
    pairs, place = np.unique(codes * len(words) + inner, return_inverse=True)
    first = np.full(len(pairs), len(images))
    np.minimum.at(first, place, np.arange(len(images)))
    named = [(str(kinds[pair // len(words)]), str(words[pair % len(words)])) for pair in pairs]
    order = list(dict.fromkeys([*Kind, *kinds]))  # a data set may have kinds of its own
    rows = [row for row in range(len(named)) if named[row][0] != Kind.NEUTRAL]
    rows.sort(key=lambda row: (order.index(named[row][0]), first[row]))
    position = np.full(len(named), len(rows))
    position[rows] = np.arange(len(rows))
    return _Nuisances([named[row] for row in rows], position[place])


def forest(evidence: Evidence, *, min_images: int) -> Forest | None:
    """Accuracy of each target by nuisance, on all images and on the hard ones."""
    targets = evidence.of_role("target")
    if not targets:
        return None
    name, hard = _hard(evidence)
    everyone = evidence.sets[evidence.judged]
    nuisances = _nuisances(evidence)
    panels = []
    for model in targets:
        found = zip(
            nuisances.names, nuisances.rates(model, everyone), nuisances.rates(model, hard), strict=True
        )
        rows = [ForestRow(kind, nuisance, (start, end)) for (kind, nuisance), start, end in found]
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
    wrong = np.sum([~model.correct for model in surrogates], axis=0)
    inside = evidence.sets[evidence.judged] & _is_nuisance(evidence)
    series = []
    for model in targets:
        found = ((k, _rate_in(model, inside & (wrong >= k))) for k in range(len(surrogates) + 1))
        points = [Place(k, one.v, one.lo, one.hi, one.n) for k, one in found if one.n >= min_images]
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
    for model in evidence.of_role("target"):
        cells[f"m:{model.name}"] = model.correct[kept]
    summed = cells.groupby(["category", "kind", "nuisance"], sort=False).sum(numeric_only=True).reset_index()
    columns = _nuisances(evidence).names
    if len(columns) > MAX_HEAT_COLUMNS:
        weight = "n" if mined is None else "hard"
        hardest = summed.groupby(["kind", "nuisance"])[weight].sum().nlargest(MAX_HEAT_COLUMNS)
        columns = [column for column in columns if column in hardest.index]
    place = {column: index for index, column in enumerate(columns)}
    categories = sorted(images["category"].unique())
    line = {name: index for index, name in enumerate(categories)}
    layers = ({} if mined is None else {"share of hard images": "hard"}) | {
        f"accuracy of {model.name}": f"m:{model.name}" for model in evidence.of_role("target")
    }
    counts = [[0] * len(columns) for _ in categories]
    values = {name: [[-1.0] * len(columns) for _ in categories] for name in layers}
    for row in summed.to_dict("records"):
        column = place.get((row["kind"], row["nuisance"]))
        if column is None:
            continue
        counts[line[row["category"]]][column] = int(row["n"])
        for name, source in layers.items():
            values[name][line[row["category"]]][column] = round(100 * row[source] / row["n"], 1)
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
