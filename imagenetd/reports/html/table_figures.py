"""Figures of the HTML report that are drawn from the tables of other reports."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from imagenetd.scoring.statistics.intervals import OTHER_CATEGORIES

Figure = dict[str, Any]
"""id, type (`scatter`, `forest`, `lines`, `steps`, `heat`), title, caption, and what the type needs."""


def by_surrogates(tables: Mapping[str, pd.DataFrame]) -> Figure | None:
    """Accuracy of each target against the number of surrogates that must all fail, mean over the subsets."""
    if "curve" not in tables:
        return None
    curve = tables["curve"]
    curve = curve[curve["num_surrogates"] == curve["min_failures"]]
    series = [
        {
            "name": str(target),
            "points": [
                {
                    "x": int(row["num_surrogates"]),
                    **{
                        key: round(100 * row[column], 2)
                        for key, column in (("v", "accuracy"), ("lo", "low"), ("hi", "high"))
                    },
                    "n": round(float(row["mean_num_judged"])),
                }
                for row in rows.to_dict("records")
            ],
        }
        for target, rows in curve.groupby("target", sort=False)
    ]
    return {
        "id": "surrogates",
        "type": "lines",
        "title": "How many surrogates choose",
        "caption": "All subsets of the surrogates, all of each subset must fail: mean accuracy of the targets, as in "
        "the paper's ablation. Bands: 95% for "
        f"{OTHER_CATEGORIES}. n: mean size of the sets.",
        "x": "surrogates that must all fail",
        "y": "accuracy, %",
        "series": series,
    }


def decomposition(tables: Mapping[str, pd.DataFrame]) -> Figure | None:
    """Where the drop of each target comes from."""
    arrows = tables.get("arrows")
    if arrows is None or arrows.empty:
        return None
    panels = []
    for model, rows in arrows.groupby("model", sort=False):
        steps = [
            {
                "start": str(row["start"]).replace("_", " "),
                "end": str(row["end"]).replace("_", " "),
                "from": round(100 * row["start_accuracy"], 2),
                "to": round(100 * row["end_accuracy"], 2),
                **{
                    key: round(100 * row[column], 2)
                    for key, column in (("v", "change"), ("lo", "low"), ("hi", "high"))
                },
                "n": int(row["num_end"]),
                "meaning": "; ".join(filter(None, (str(row["meaning"]), str(row["taken_out"])))),
                # Where no image was taken out nothing was measured: a change of 0.0 would look so.
                "said": f"none of {row['num_start']:,} taken out"
                if row["taken_out"] and row["num_start"] == row["num_end"]
                else "",
            }
            for row in rows.to_dict("records")
        ]
        panels.append({"name": str(model), "steps": steps})
    return {
        "id": "decomposition",
        "type": "steps",
        "title": "Where the drop comes from",
        "caption": "Each bar is one step; the number is its change in points with a 95% interval for "
        f"{OTHER_CATEGORIES}, paired by category. n: images at the end of the step.",
        "x": "accuracy, %",
        "panels": panels,
    }
