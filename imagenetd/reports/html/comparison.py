"""Figures and findings of the page that compares the runs of a sweep."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from imagenetd.reports.html.table_figures import Figure
from imagenetd.scoring.statistics.intervals import (
    THESE_CATEGORIES,
    simultaneous_confidence,
    subset_difference,
)
from imagenetd.store.numerals import counted, percent_interval


def comparison_figures(table: pd.DataFrame) -> list[Figure]:
    """Return the figures that the jobs have data for."""
    rows = [_numbers(row) for row in table.to_dict("records")]
    made = [_on_the_line(rows), _by_surrogates(rows), _forest(rows)]
    return [figure for figure in made if figure is not None]


def comparison_findings(table: pd.DataFrame) -> list[str]:
    """Return what the table says in words: the largest and the smallest drop of each target.

    The data chose these runs, so their intervals hold for all runs of the target at once.
    """
    found = []
    for target, rows in table.dropna(subset=["drop"]).groupby("target", sort=False):
        most, least = rows.loc[rows["drop"].idxmax()], rows.loc[rows["drop"].idxmin()]
        level = simultaneous_confidence(len(rows))
        text = f"{target} loses {_drop(most, level)}"
        if most["job"] != least["job"]:
            text += f", {_drop(least, level)} (95% for all {len(rows)} runs at once)"
        found.append(f"{text}; intervals are for {THESE_CATEGORIES}.")
    return found


def _drop(row: pd.Series, level: float) -> str:
    """Return `70.5 points [63, 76] with 4 surrogates (122 hard images)`."""
    end = "accepted" if not math.isnan(row["accepted_accuracy"]) else "mined"
    is_judged = end == "accepted" and not math.isnan(row["pool_accepted_accuracy"])
    start = "pool_accepted" if is_judged else "pool"
    counts = (float(row[f"{name}_{what}"]) for name in (start, end) for what in ("num_correct", "num_images"))
    ends = subset_difference(*counts, confidence=level)
    return (
        f"{100 * row['drop']:z.1f} points {percent_interval(float(ends.low), float(ends.high))} with "
        f"{counted(int(row['num_surrogates']), 'surrogate')} ({counted(int(row[f'{end}_num_images']), 'hard image')})"
    )


def _numbers(row: dict[str, Any]) -> dict[str, Any]:
    """Return a job with its start (all images, judged where that is known) and its hard images."""
    start = "pool_accepted" if not math.isnan(row["pool_accepted_accuracy"]) else "pool"
    hard = "accepted" if not math.isnan(row["accepted_accuracy"]) else "mined"
    words = [word for word in str(row["overrides"]).split() if not word.startswith("target=")]
    label = " ".join(words) or str(row["name"])
    ends = {"start": _rate(row, start), "hard": _rate(row, hard)}
    return {"label": label, "target": str(row["target"]), "n": int(row["num_surrogates"]), **ends} | {
        "group": f"{int(row['min_failures'])} of {int(row['num_surrogates'])} surrogates",
    }


def _rate(row: dict[str, Any], name: str) -> dict[str, float]:
    ends = (("v", "accuracy"), ("lo", "wilson_low"), ("hi", "wilson_high"))
    found: dict[str, float] = {key: round(100 * row[f"{name}_{column}"], 2) for key, column in ends}
    count = row[f"{name}_num_images"]
    return found | {"n": 0 if math.isnan(count) else int(count)}


def _targets(rows: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["target"] for row in rows))


def _on_the_line(rows: Sequence[dict[str, Any]]) -> Figure | None:
    series = [
        {
            "name": target,
            "points": [
                {"label": row["label"], "x": row["start"], "y": row["hard"]}
                for row in rows
                if row["target"] == target and not math.isnan(row["hard"]["v"])
            ],
        }
        for target in _targets(rows)
    ]
    if not any(entry["points"] for entry in series):
        return None
    return {
        "id": "line",
        "type": "scatter",
        "title": "Accuracy on the line",
        "caption": "Each point is a run: accuracy on all images (across), on its hard ones (up), 95% intervals "
        f"for {THESE_CATEGORIES}.",
        "x": "accuracy on all images, %",
        "y": "accuracy on hard images, %",
        "series": series,
    }


def _by_surrogates(rows: Sequence[dict[str, Any]]) -> Figure | None:
    if len({row["n"] for row in rows}) < 2:
        return None
    series = [
        {
            "name": target,
            "points": [
                {"x": row["n"]} | row["hard"]
                for row in sorted(rows, key=lambda row: row["n"])
                if row["target"] == target and not math.isnan(row["hard"]["v"])
            ],
        }
        for target in _targets(rows)
    ]
    return {
        "id": "surrogates",
        "type": "lines",
        "title": "How many surrogates choose",
        "caption": "Accuracy of each target on the hard images of each run. Bands: 95% Wilson, for "
        f"{THESE_CATEGORIES}; the runs share images.",
        "x": "surrogates",
        "y": "accuracy on hard images, %",
        "series": series,
    }


def _forest(rows: Sequence[dict[str, Any]]) -> Figure:
    return {
        "id": "runs",
        "type": "forest",
        "title": "Every run",
        "caption": f"Accuracy with 95% Wilson interval, for {THESE_CATEGORIES}, on all images and on the hard ones.",
        "x": "accuracy, %",
        "marks": ["all images", "hard images"],
        "min_images": 5,
        "panels": [
            {
                "name": target,
                "rows": [
                    {"group": row["group"], "label": row["label"], "marks": [row["start"], row["hard"]]}
                    for row in rows
                    if row["target"] == target
                ],
            }
            for target in _targets(rows)
        ],
    }
