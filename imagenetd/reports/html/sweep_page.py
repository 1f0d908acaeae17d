"""The page that compares the runs of a sweep."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from imagenetd.reports.html.charts import (
    Curve,
    Dot,
    Dots,
    Figure,
    Forest,
    ForestPanel,
    ForestRow,
    Lines,
    Place,
    Rate,
    Scatter,
)
from imagenetd.reports.html.document import Page, render_page, table_values
from imagenetd.scoring.statistics.intervals import (
    THESE_CATEGORIES,
    simultaneous_confidence,
    subset_difference,
)
from imagenetd.store.numerals import counted, percent_interval


def comparison_page(table: pd.DataFrame, links: Sequence[tuple[str, str]], *, max_rows: int = 500) -> str:
    """Return the page that compares the jobs of a sweep.

    Args:
        table: From `sweep_table.comparison_table`.
        links: Text and relative address of the report of each job that has one.
        max_rows: Rows of a table that the page holds.
    """
    shown = table.drop(columns=[name for name in table if table[name].isna().all()])
    page = Page(
        title=f"comparison of {len(table)} runs",
        lead="Each run has its own hard images, chosen by its surrogates: runs with other surrogates are other tests.",
        tiles=[
            ("runs", str(len(table)), "of this sweep"),
            ("targets", str(table["target"].nunique()), ", ".join(sorted(set(table["target"])))),
            ("surrogate sets", str(table["surrogates"].nunique()), "chose the images"),
        ],
        findings=comparison_findings(table),
        figures=comparison_figures(table),
        tables=[table_values("runs", "comparison", shown, max_rows=max_rows, file="comparison.csv")],
        links=links,
    )
    return render_page(page)


def comparison_figures(table: pd.DataFrame) -> list[Figure]:
    """Return the figures that the jobs have data for."""
    rows = [_numbers(row) for row in table.to_dict("records")]
    made: list[Figure | None] = [_on_the_line(rows), _by_surrogates(rows), _forest(rows)]
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


@dataclass(frozen=True, slots=True)
class _Compared:
    """A job with its start (all images, judged where that is known) and its hard images."""

    label: str
    target: str
    num_surrogates: int
    group: str
    start: Rate
    hard: Rate


def _numbers(row: Mapping[str, Any]) -> _Compared:
    start = "pool_accepted" if not math.isnan(row["pool_accepted_accuracy"]) else "pool"
    hard = "accepted" if not math.isnan(row["accepted_accuracy"]) else "mined"
    words = [word for word in str(row["overrides"]).split() if not word.startswith("target=")]
    return _Compared(
        label=" ".join(words) or str(row["name"]),
        target=str(row["target"]),
        num_surrogates=int(row["num_surrogates"]),
        group=f"{int(row['min_failures'])} of {int(row['num_surrogates'])} surrogates",
        start=_rate(row, start),
        hard=_rate(row, hard),
    )


def _rate(row: Mapping[str, Any], name: str) -> Rate:
    v, lo, hi = (
        round(100 * row[f"{name}_{column}"], 2) for column in ("accuracy", "wilson_low", "wilson_high")
    )
    count = row[f"{name}_num_images"]
    return Rate(v, lo, hi, 0 if math.isnan(count) else int(count))


def _by_target(rows: Sequence[_Compared]) -> dict[str, list[_Compared]]:
    found: dict[str, list[_Compared]] = {}
    for row in rows:
        found.setdefault(row.target, []).append(row)
    return found


def _on_the_line(rows: Sequence[_Compared]) -> Scatter | None:
    series = [
        Dots(target, [Dot(row.label, row.start, row.hard) for row in of if not math.isnan(row.hard.v)])
        for target, of in _by_target(rows).items()
    ]
    if not any(one.points for one in series):
        return None
    return Scatter(
        id="line",
        title="Accuracy on the line",
        caption="Each point is a run: accuracy on all images (across), on its hard ones (up), 95% intervals "
        f"for {THESE_CATEGORIES}.",
        x="accuracy on all images, %",
        y="accuracy on hard images, %",
        series=series,
    )


def _by_surrogates(rows: Sequence[_Compared]) -> Lines | None:
    if len({row.num_surrogates for row in rows}) < 2:
        return None
    series = [
        Curve(
            target,
            [
                Place(row.num_surrogates, row.hard.v, row.hard.lo, row.hard.hi, row.hard.n)
                for row in sorted(of, key=lambda row: row.num_surrogates)
                if not math.isnan(row.hard.v)
            ],
        )
        for target, of in _by_target(rows).items()
    ]
    return Lines(
        id="surrogates",
        title="How many surrogates choose",
        caption="Accuracy of each target on the hard images of each run. Bands: 95% Wilson, for "
        f"{THESE_CATEGORIES}; the runs share images.",
        x="surrogates",
        y="accuracy on hard images, %",
        series=series,
    )


def _forest(rows: Sequence[_Compared]) -> Forest:
    return Forest(
        id="runs",
        title="Every run",
        caption=f"Accuracy with 95% Wilson interval, for {THESE_CATEGORIES}, on all images and on the hard ones.",
        x="accuracy, %",
        marks=("all images", "hard images"),
        min_images=5,
        panels=[
            ForestPanel(target, [ForestRow(row.group, row.label, (row.start, row.hard)) for row in of])
            for target, of in _by_target(rows).items()
        ],
    )
