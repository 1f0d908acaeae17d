"""The cost plan for the terminal."""

from collections.abc import Sequence

from rich.table import Table

from imagenetd.qc.costs import CostRow
from imagenetd.store.console import new_table
from imagenetd.store.numerals import significant

COLUMNS = (
    *("k", "gate", "votes", "mined", "shown", "sampled", "accepted", "valid %", "tasks", "responses"),
    *("judgements", "USD", "judgements / accepted", "USD / accepted"),
)


def cost_table(rows: Sequence[CostRow], *, num_surrogates: int) -> Table:
    """Return the table; expected numbers are rounded."""
    table = new_table(f"what quality control will cost, for k of {num_surrogates} surrogates wrong")
    for name in COLUMNS:
        table.add_column(name, justify="right")
    for place, row in enumerate(rows):
        last_of_k = place + 1 == len(rows) or rows[place + 1].min_failures != row.min_failures
        table.add_row(*_cells(row), end_section=last_of_k)
    return table


def _cells(row: CostRow) -> list[str]:
    gate = "none" if row.gate_threshold is None else significant(row.gate_threshold, 6)
    counts = [str(row.min_failures), gate, str(row.votes_per_image), f"{row.mined:,}", f"{row.shown:,}"]
    counts.append(f"{row.sampled:,}")
    expected = [f"{row.accepted:,.0f}", _number(row.valid_share, scale=100, digits=1)]
    work = [f"{row.tasks:,}", f"{row.responses:,.0f}", f"{row.judgements:,.0f}", f"{row.usd:,.0f}"]
    return [
        *counts,
        *expected,
        *work,
        _number(row.judgements_per_accepted),
        _number(row.usd_per_accepted, digits=2),
    ]


def _number(value: float | None, *, scale: int = 1, digits: int = 1) -> str:
    return "-" if value is None else f"{scale * value:,.{digits}f}"
