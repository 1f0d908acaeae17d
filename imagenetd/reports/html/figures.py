"""What the HTML report draws: plain values for each figure; the page's script draws them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from imagenetd.records import Kind
from imagenetd.reports.evidence import Evidence, ModelEvidence, ReportResult
from imagenetd.reports.html.table_figures import Figure, by_surrogates, decomposition
from imagenetd.scoring.statistics.intervals import THESE_CATEGORIES, THESE_IMAGES, wilson_interval

MAX_HEAT_COLUMNS = 48
"""Nuisances in the heat map; of more, those with most hard images."""
ROLES = {"target": "target", "surrogate": "surrogate (chose the images)", "gate": "gate"}


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


def rates(num_correct: np.ndarray, num_images: np.ndarray) -> list[dict[str, float]]:
    """Return shares in percent with their Wilson intervals, as the script wants them."""
    low, high = wilson_interval(num_correct, num_images)
    value = np.where(num_images == 0, np.nan, num_correct / np.maximum(num_images, 1))
    ends = [np.round(100 * end, 2).tolist() for end in (value, low, high)]
    return [
        {"v": v, "lo": lo, "hi": hi, "n": n} for v, lo, hi, n in zip(*ends, num_images.tolist(), strict=True)
    ]


def rate(num_correct: int, num_images: int) -> dict[str, float]:
    """Return one share, as `rates` does."""
    return rates(np.array([num_correct]), np.array([num_images]))[0]


def _named(model: ModelEvidence, evidence: Evidence) -> str:
    """Return a target with what it is to the surrogates; the other roles are named by their series."""
    relation = evidence.relation(model)
    return model.name if relation == model.role else f"{model.name} ({relation})"


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
    nuisances = _nuisances(evidence)
    series = []
    for role, label in ROLES.items():
        points = [
            {
                "label": _named(model, evidence),
                "x": _rate_in(model, everyone),
                "y": _rate_in(model, hard & inside),
            }
            for model in evidence.of_role(role)
        ]
        if points:
            series.append({"name": label, "points": points, "hollow": role != "target"})
    for model in evidence.of_role("target"):
        found = zip(
            nuisances.names, nuisances.rates(model, everyone), nuisances.rates(model, hard), strict=True
        )
        points = [
            {"label": f"{nuisance} ({kind})", "x": x, "y": y}
            for (kind, nuisance), x, y in found
            if y["n"] >= min_images
        ]
        if points:
            series.append({"name": f"{model.name}, one nuisance each", "points": points, "small": True})
    return {
        "id": "line",
        "type": "scatter",
        "title": "Accuracy on the line",
        "caption": "Every model on all images (across) and on the hard ones (up), with 95% Wilson intervals for "
        f"{THESE_CATEGORIES}. On the dashed "
        "line nothing is lost. Surrogates lie at the bottom because they chose the images.",
        "x": f"accuracy on {evidence.judged.replace('_', ' ')}, %",
        "y": f"accuracy on {name} images, %",
        "series": series,
    }


@dataclass(frozen=True)
class _Nuisances:
    """The nuisances of a pool by kind, and which one each image has."""

    names: list[tuple[str, str]]
    """Kind and nuisance."""
    codes: np.ndarray
    """Int "images": position in `names`; the control arm comes after the last."""

    def rates(self, model: ModelEvidence, members: np.ndarray) -> list[dict[str, float]]:
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


def forest(evidence: Evidence, *, min_images: int) -> Figure | None:
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
        rows = [
            {"group": kind, "label": nuisance, "marks": [start, end]}
            for (kind, nuisance), start, end in found
        ]
        panels.append({"name": model.name, "rows": rows})
    return {
        "id": "nuisances",
        "type": "forest",
        "title": "By nuisance",
        "caption": f"Accuracy with 95% Wilson interval for {THESE_CATEGORIES}, each row by itself: the lowest of many "
        f"rows is lower than its truth. Hollow: fewer than {min_images} images, too few to tell.",
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
        f"whole pool. This run asks for {evidence.min_failures}. Bands: 95% Wilson, for "
        f"{THESE_CATEGORIES}; points of one line share images.",
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
    return {
        "id": "heat",
        "type": "heat",
        "title": "Category by nuisance",
        "caption": f"All images of the pool: exact shares of {THESE_IMAGES}, without intervals; few to a cell, so look "
        "for rows and columns, not for single cells. A "
        "click on a cell filters the gallery.",
        "rows": categories,
        "columns": [{"kind": kind, "label": nuisance} for kind, nuisance in columns],
        "counts": counts,
        "layers": values,
    }
