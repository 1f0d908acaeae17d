"""One self-contained HTML page: style, script, numbers and pictures inside, nothing fetched from anywhere."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from imagenetd import ASSETS_DIR
from imagenetd.reports.html.charts import Figure
from imagenetd.store.escaping import json_for_script as json_for_script

ASSETS = ASSETS_DIR / "report"
DIGITS = 4
"""Of numbers in tables; the CSV files hold them all."""


Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Table:
    """The first rows of a table, by column."""

    name: str
    group: str
    """The report that it belongs to."""
    file: str
    """Where all rows are."""
    num_rows: int
    """Of the whole table."""
    columns: Sequence[str]
    values: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class CardModel:
    """A model whose answer stands on every card."""

    name: str
    role: str
    relation: str
    """To the surrogates."""


@dataclass(frozen=True, slots=True)
class Card:
    """A failure to look at."""

    id: str
    src: str
    """The picture, as a data address."""
    group: str
    category: str
    kind: str
    nuisance: str
    prompt: str
    answers: Sequence[tuple[str, int]]
    """What each model says, and whether it is right (1)."""


@dataclass(frozen=True)
class Page:
    """What a page shows; every text is escaped when it is written."""

    title: str
    lead: str
    """One sentence below the title."""
    tiles: Sequence[tuple[str, str, str]]
    """Name, number and small print of each key number."""
    findings: Sequence[str]
    """The most important ones, at the top."""
    figures: Sequence[Figure]
    tables: Sequence[Table] = ()
    cards: Sequence[Card] = ()
    models: Sequence[CardModel] = ()
    """Of the answers on a card, in their order."""
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
    names = ("figures", "tables", "cards", "models")
    data = {name: [dataclasses.asdict(one) for one in getattr(page, name)] for name in names}
    return environment.get_template("page.html.j2").render(
        page=page,
        data=json_for_script(data),
        style=(ASSETS / "report.css").read_text(),
        script="\n".join((ASSETS / name).read_text() for name in ("charts.js", "report.js")),
    )


def table_values(name: str, group: str, frame: pd.DataFrame, *, max_rows: int, file: str) -> Table:
    """Return a table as columns of plain values, cut to its first rows.

    Args:
        name: Of the table.
        group: The report that it belongs to.
        frame: The table.
        max_rows: Rows that the page holds.
        file: Where all rows are, for the note below a table that was cut.
    """
    shown = frame.head(max_rows)
    return Table(
        name=name,
        group=group,
        file=file,
        num_rows=len(frame),
        columns=[str(column) for column in shown.columns],
        values=[_plain(shown[column]) for column in shown.columns],
    )


def _plain(column: pd.Series) -> list[Cell]:
    if column.dtype.kind == "b":
        return ["yes" if value else "no" for value in column.tolist()]
    if column.dtype.kind == "f":
        values = column.to_numpy(dtype=np.float64)
        return [float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None for value in values.tolist()]
    if column.dtype.kind in "iu":
        return column.tolist()
    return ["" if value is None or value != value else str(value) for value in column.tolist()]
