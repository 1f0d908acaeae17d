"""One picture for people: accuracy of a target on every nuisance, pool against mined against accepted."""

import io
from typing import Any

import pandas as pd

from imagenetd.records import NUISANCE_KINDS
from imagenetd.reports.tables import held_together
from imagenetd.scoring.statistics.intervals import THESE_CATEGORIES

MARKS = {"pool": ("#8c8c8c", "o"), "mined": ("#d95f02", "s"), "accepted": ("#1b6ca8", "D")}
"""Colour and shape of each set: told apart without colour, too."""

OFFSET = 0.22
"""Distance of the sets within one row, in rows."""


def nuisance_plot(nuisances: pd.DataFrame, *, min_images: int, max_rows_per_kind: int) -> bytes:
    """Return a PNG with one panel for each kind and one row for each nuisance, worst on top of its kind.

    Error bars are Wilson intervals; a mark is hollow where fewer than `min_images` images stand behind it.

    Args:
        nuisances: Rows of one model from the table `per_nuisance`.
        min_images: See above.
        max_rows_per_kind: Larger kinds show only the nuisances with the lowest accuracy on the pool.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    known = [kind for kind in NUISANCE_KINDS if kind in set(nuisances["kind"])]
    panels = [
        (kind, _lowest(rows, max_rows_per_kind))
        for kind in dict.fromkeys([*known, *nuisances["kind"]])
        if len(rows := nuisances[nuisances["kind"] == kind])
    ]
    heights = [len(rows) + 0.6 for _, rows in panels]
    figure = Figure(figsize=(7.5, 1.3 + 0.34 * sum(heights)), layout="constrained")
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)
    for axes, (kind, rows) in zip(grid[:, 0], panels, strict=True):
        _draw_panel(axes, rows, kind, min_images)
    if panels:
        figure.align_ylabels()
        grid[-1, 0].set_xlabel(f"accuracy (%), with 95% Wilson intervals for {THESE_CATEGORIES}")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        model = nuisances["model"].iloc[0]
        figure.suptitle(f"{model}: accuracy by nuisance", x=0.01, ha="left", fontsize=11)
        figure.legend(handles, labels, loc="upper right", ncols=3, frameon=False, fontsize=9)
    target = io.BytesIO()
    FigureCanvasAgg(figure).print_png(target)
    return target.getvalue()


def _lowest(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """Return the rows from the lowest accuracy on; when some are left out, with intervals for all rows at once."""
    chosen = rows.sort_values("pool_accuracy", kind="stable").head(most)
    return chosen if len(rows) <= most else held_together(chosen, num_compared=len(rows))


def _draw_panel(axes: Any, rows: pd.DataFrame, kind: str, min_images: int) -> None:
    sets = [name for name in MARKS if f"{name}_accuracy" in rows]
    for place, name in enumerate(sets):
        colour, marker = MARKS[name]
        shift = (place - (len(sets) - 1) / 2) * OFFSET
        axes.plot([], [], marker, color=colour, label=name, markersize=5)
        for row, record in enumerate(rows.to_dict("records")):
            if record[f"{name}_num_images"] == 0:
                continue
            middle = 100 * record[f"{name}_accuracy"]
            low, high = 100 * record[f"{name}_wilson_low"], 100 * record[f"{name}_wilson_high"]
            is_small = record[f"{name}_num_images"] < min_images
            axes.plot(
                [low, high], [row + shift] * 2, color=colour, linewidth=1.1, alpha=0.45 if is_small else 0.8
            )
            face = "white" if is_small else colour
            axes.plot(middle, row + shift, marker, color=colour, markerfacecolor=face, markersize=5, zorder=3)
    axes.set_yticks(range(len(rows)), rows["nuisance"], fontsize=9)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(-2, 102)
    axes.set_ylabel(kind, fontsize=9, fontweight="bold")
    axes.grid(axis="x", color="#e5e5e5", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
