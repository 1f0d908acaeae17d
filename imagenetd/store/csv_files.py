"""Tables as CSV that a spreadsheet opens without running anything, and that come back as they were."""

import re

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv

from imagenetd.store.escaping import FORMULA_STARTS, for_csv, from_csv

ROWS_FOR_ARROW = 5000
"""Larger tables are written by Arrow, ten times as fast."""


def csv_text(frame: pd.DataFrame, *, separator: str = ",") -> str:
    """Return a table as CSV with a header line; numbers unrounded, absent values empty, no cell a formula."""
    safe = frame.copy(deep=False)
    for place in range(frame.shape[1]):
        column = frame.iloc[:, place]
        if _may_hold_formulas(column):
            safe.isetitem(place, [for_csv(text) if isinstance(text, str) else text for text in column])
    safe.columns = [for_csv(str(name)) for name in frame.columns]
    if len(safe) <= ROWS_FOR_ARROW:
        return safe.to_csv(index=False, lineterminator="\n", sep=separator)
    sink = pa.BufferOutputStream()
    options = pa_csv.WriteOptions(quoting_style="needed", delimiter=separator)
    pa_csv.write_csv(pa.Table.from_pandas(safe, preserve_index=False), sink, options)
    return sink.getvalue().to_pybytes().decode()


def _may_hold_formulas(column: pd.Series) -> bool:
    """Tell whether a column has a text that could need an apostrophe: most have none, and large ones need no loop."""
    if column.dtype.kind in "biufcmM":
        return False
    if isinstance(column.dtype, pd.StringDtype):
        return bool(column.str.match(f"[{re.escape(FORMULA_STARTS)}']").any())
    starts = (*FORMULA_STARTS, "'")
    return any(isinstance(text, str) and text.startswith(starts) for text in column)


def from_csv_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table that pandas read from `csv_text`, with the headings and texts that were written."""
    plain = frame.rename(columns=lambda name: from_csv(str(name)))
    for place in range(plain.shape[1]):
        column = plain.iloc[:, place]
        if _may_hold_formulas(column):
            plain.isetitem(place, [from_csv(cell) if isinstance(cell, str) else cell for cell in column])
    return plain
