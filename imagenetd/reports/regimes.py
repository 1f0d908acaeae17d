"""The table of regimes for people: one block for each regime, so that none is ranked with another."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from rich.console import RenderableType
from rich.text import Text

from imagenetd.reports.terminal import interval_cell, percent, share_cell
from imagenetd.scoring.counts import ALL
from imagenetd.scoring.labelspaces import COMPAT, EXPLAINED
from imagenetd.scoring.statistics.intervals import THESE_CATEGORIES
from imagenetd.store.console import cell, new_table
from imagenetd.store.numerals import significant

LOST = {"unreadable": "unreadable images", "unknown_label": "files with unknown labels"}


def regimes_view(table: pd.DataFrame, *, min_images: int = 5) -> list[RenderableType]:
    """Return one table with a block for each regime and a row for each target.

    Args:
        table: From `stages.record.read_regimes`.
        min_images: Accuracies of fewer images are dim.
    """
    totals = table[(table["kind"] == ALL) & (table["role"] == "target")]
    view = new_table(f"targets by label space, on all images; [95% interval] for {THESE_CATEGORIES}")
    view.add_column("regime, model", no_wrap=True)
    for title in ("chance %", "top-1", "top-5 %"):
        view.add_column(title, justify="right", no_wrap=True)
    view.add_column("right is", style="dim")
    for regime, rows in totals.groupby("regime", sort=False):
        view.add_row(cell(regime, style="bold"), "", "", "", EXPLAINED.get(str(regime), ""))
        for row in rows.to_dict("records"):
            top1 = interval_cell(
                row["top1"], row["wilson_low"], row["wilson_high"], row["num_images"], min_images=min_images
            )
            chance = significant(100 * row["chance"])
            view.add_row(cell(f"  {row['model']}"), chance, top1, _top5(row, min_images), "")
    return [view] if len(totals) else []


def _top5(row: Mapping[str, Any], min_images: int) -> Text:
    """Return `97.1 [96,98]`; the images are those of the top answer; of the public script's sum no interval."""
    if math.isnan(row["top5"]):
        return Text("-", style="dim")
    if row["regime"] == COMPAT:
        return Text(f"{percent(row['top5'])} (no share)", style="dim")
    return share_cell(
        row["top5"], row["top5_low"], row["top5_high"], row["num_images"], min_images=min_images
    )


def data_view(data: Mapping[str, Any], sentences: Sequence[str]) -> list[RenderableType]:
    """Return one line for each number that a dataset itself defines, and one for files that were not evaluated."""
    lines = [cell(sentence) for sentence in sentences]
    lost = [f"{data[name]:,} {what}" for name, what in LOST.items() if data.get(name)]
    if lost:
        lines.append(Text(f"not evaluated: {', '.join(lost)}; unreadable.csv lists them", style="yellow"))
    return [*lines]
