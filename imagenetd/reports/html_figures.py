"""What the HTML report draws: plain values for each figure; the page's script draws them."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from imagenetd.metrics import wilson_interval
from imagenetd.records import Kind
from imagenetd.reports.evidence import Evidence, ModelEvidence, ReportResult
from imagenetd.reports.html_table_figures import Figure, by_surrogates, decomposition

MAX_HEAT_COLUMNS = 48
"""Nuisances in the heat map; of more, those with most hard images."""
ROLES = {"target": "unseen target", "surrogate": "surrogate (chose the images)", "gate": "gate"}


def run_figures(evidence: Evidence, results: Sequence[ReportResult], *, min_images: int) -> list[Figure]:
    """Return the figures of one run, those without data left out."""
    tables = {result.name: result.tables for result in results}
    made = [
        on_the_line(evidence, min_images=min_images),
        by_failures(evidence, min_images=min_images),
        by_surrogates(tables.get("selection", {})),
        decomposition(tables.get("decomposition", {})),
        forest(evidence, min_images=min_images),
        heat_map(evidence, min_images=min_images),
    ]
    return [figure for figure in made if figure is not None]


def rate(num_correct: int, num_images: int) -> dict[str, float]:
    """Return a share in percent with its Wilson interval, as the script wants it."""
    low, high = wilson_interval(np.array([num_correct]), np.array([num_images]))
    value = num_correct / num_images if num_images else float("nan")
    ends = {"v": 100 * value, "lo": 100 * float(low[0]), "hi": 100 * float(high[0])}
    return {name: round(number, 2) for name, number in ends.items()} | {"n": num_images}


def _rate_in(model: ModelEvidence, members: np.ndarray) -> dict[str, float]:
    return rate(int((model.correct & members).sum()), int(members.sum()))


def _is_nuisance(evidence: Evidence) -> np.ndarray:
    return (evidence.images["kind"] != Kind.NEUTRAL).to_numpy()


def _hard(evidence: Evidence) -> tuple[str, np.ndarray]:
    """Return the name and the members of the hardest set that has images; nothing was mined in an evaluation."""
    for name in ("accepted", "mined"):
        if name in evidence.sets and evidence.sets[name].any():
            return name, evidence.sets[name]
    return "hard", np.zeros(len(evidence.images), dtype=bool)


def on_the_line(evidence: Evidence, *, min_images: int) -> Figure | None:
    """Accuracy on hard images against accuracy on the pool: every model, and every nuisance of every target."""
    name, hard = _hard(evidence)
    inside = _is_nuisance(evidence)
    everyone = evidence.sets[evidence.judged] & inside
    if not (hard & inside).any():
        return None
    series = []
    for role, label in ROLES.items():
        points = [
            {"label": model.name, "x": _rate_in(model, everyone), "y": _rate_in(model, hard & inside)}
            for model in evidence.of_role(role)
        ]
        if points:
            series.append({"name": label, "points": points, "hollow": role != "target"})
    for model in evidence.of_role("target"):
        points = [
            {"label": f"{nuisance} ({kind})", "x": _rate_in(model, everyone & own), "y": y}
            for kind, nuisance, own in _nuisances(evidence)
            if (y := _rate_in(model, hard & own))["n"] >= min_images
        ]
        if points:
            series.append({"name": f"{model.name}, one nuisance each", "points": points, "small": True})
    return {
        "id": "line",
        "type": "scatter",
        "title": "Accuracy on the line",
        "caption": "Every model on all images (across) and on the hard ones (up), with 95% intervals. On the dashed "
        "line nothing is lost. Surrogates lie at the bottom because they chose the images.",
        "x": f"accuracy on {evidence.judged.replace('_', ' ')}, %",
        "y": f"accuracy on {name} images, %",
        "series": series,
    }


def _nuisances(evidence: Evidence) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield kind, nuisance and members of each nuisance, in the order of the pool."""
    images = evidence.images
    keys = images["kind"].astype(str) + "\x1f" + images["nuisance"].astype(str)
    codes, names = pd.factorize(keys)
    order = {
        str(kind): place for place, kind in enumerate(Kind)
    }  # a dataset has kinds of its own: after ours
    rows = sorted(range(len(names)), key=lambda row: order.get(names[row].split("\x1f")[0], len(order)))
    for row in rows:
        kind, nuisance = names[row].split("\x1f")
        if kind != Kind.NEUTRAL:
            yield kind, nuisance, codes == row


def forest(evidence: Evidence, *, min_images: int) -> Figure | None:
    """Accuracy of each target by nuisance, on all images and on the hard ones."""
    targets = evidence.of_role("target")
    if not targets:
        return None
    name, hard = _hard(evidence)
    everyone = evidence.sets[evidence.judged]
    panels = []
    for model in targets:
        rows = [
            {
                "group": kind,
                "label": nuisance,
                "marks": [_rate_in(model, everyone & own), _rate_in(model, hard & own)],
            }
            for kind, nuisance, own in _nuisances(evidence)
        ]
        panels.append({"name": model.name, "rows": rows})
    return {
        "id": "nuisances",
        "type": "forest",
        "title": "By nuisance",
        "caption": f"Accuracy with 95% Wilson interval. Hollow: fewer than {min_images} images, too few to tell.",
        "x": "accuracy, %",
        "marks": [evidence.judged.replace("_", " "), name],
        "min_images": min_images,
        "panels": panels,
    }


def by_failures(evidence: Evidence, *, min_images: int) -> Figure | None:
    """Accuracy of each target on the images that at least k of n surrogates get wrong."""
    surrogates, targets = evidence.of_role("surrogate"), evidence.of_role("target")
    if not surrogates or not targets:
        return None
    wrong = np.sum([~model.correct for model in surrogates], axis=0)
    inside = evidence.sets[evidence.judged] & _is_nuisance(evidence)
    series = []
    for model in targets:
        points = [
            {"x": k} | found
            for k in range(len(surrogates) + 1)
            if (found := _rate_in(model, inside & (wrong >= k)))["n"] >= min_images
        ]
        series.append({"name": model.name, "points": points})
    return {
        "id": "failures",
        "type": "lines",
        "title": "How many surrogates must fail",
        "caption": f"k of {len(surrogates)}: accuracy on images that at least k surrogates get wrong; at 0 it is the "
        f"whole pool. This run asks for {evidence.min_failures}. Bands: 95% Wilson; points of one line share images.",
        "x": "surrogates that must fail, at least",
        "y": "accuracy, %",
        "series": series,
    }


def heat_map(evidence: Evidence, *, min_images: int) -> Figure | None:
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
    columns = [(kind, nuisance) for kind, nuisance, _ in _nuisances(evidence)]
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
    return {
        "id": "heat",
        "type": "heat",
        "title": "Category by nuisance",
        "caption": "All images of the pool; few to a cell, so look for rows and columns, not for single cells. A "
        "click on a cell filters the gallery.",
        "rows": categories,
        "columns": [{"kind": kind, "label": nuisance} for kind, nuisance in columns],
        "counts": counts,
        "layers": values,
    }
