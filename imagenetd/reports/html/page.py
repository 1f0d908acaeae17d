"""One self-contained HTML page: style, script, numbers and pictures inside, nothing fetched from anywhere."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from imagenetd import ASSETS_DIR
from imagenetd.store.escaping import json_for_script as json_for_script

ASSETS = ASSETS_DIR / "report"
DIGITS = 4
"""Of numbers in tables; the CSV files hold them all."""


@dataclass(frozen=True)
class Page:
    """What a page shows, all of it plain values; every text is escaped when it is written."""

    title: str
    lead: str
    """One sentence below the title."""
    tiles: Sequence[tuple[str, str, str]]
    """Name, number and small print of each key number."""
    findings: Sequence[str]
    """The most important ones, at the top."""
    figures: Sequence[Mapping[str, Any]]
    tables: Sequence[Mapping[str, Any]] = ()
    """From `table_values`."""
    cards: Sequence[Mapping[str, Any]] = ()
    models: Sequence[Mapping[str, str]] = ()
    """Name and role of each answer on a card."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Provenance: name -> text."""
    more_findings: Sequence[str] = ()
    """Folded below the first."""
    links: Sequence[tuple[str, str]] = ()
    """Text and relative address."""


def render_page(page: Page) -> str:
    """Return the page as HTML."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS), autoescape=True, undefined=jinja2.StrictUndefined
    )
    data = {
        "figures": list(page.figures),
        "tables": list(page.tables),
        "cards": list(page.cards),
        "models": list(page.models),
    }
    return environment.get_template("page.html.j2").render(
        page=page,
        data=json_for_script(data),
        style=(ASSETS / "report.css").read_text(),
        script="\n".join((ASSETS / name).read_text() for name in ("charts.js", "report.js")),
    )


def table_values(name: str, group: str, frame: pd.DataFrame, *, max_rows: int, file: str) -> dict[str, Any]:
    """Return a table as columns of plain values, cut to its first rows.

    Args:
        name: Of the table.
        group: The report that it belongs to.
        frame: The table.
        max_rows: Rows that the page holds.
        file: Where all rows are, for the note below a table that was cut.
    """
    shown = frame.head(max_rows)
    return {
        "name": name,
        "group": group,
        "file": file,
        "num_rows": len(frame),
        "columns": [str(column) for column in shown.columns],
        "values": [_plain(shown[column]) for column in shown.columns],
    }


def _plain(column: pd.Series) -> list[Any]:
    if column.dtype.kind == "b":
        return ["yes" if value else "no" for value in column.tolist()]
    if column.dtype.kind == "f":
        values = column.to_numpy(dtype=np.float64)
        return [float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None for value in values.tolist()]
    if column.dtype.kind in "iu":
        return column.tolist()
    return ["" if value is None or value != value else str(value) for value in column.tolist()]
