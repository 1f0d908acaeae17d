"""The record of an evaluation on disk: Parquet beside the scores, plain files in the run folder."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pyarrow as pa

from imagenetd.reports.summary import RegimeTotals
from imagenetd.scoring.answer_table import Answers
from imagenetd.scoring.counts import accuracy_by
from imagenetd.scoring.image_record import REGIME_COLUMNS, model_record, with_ends
from imagenetd.store.csv_files import csv_text
from imagenetd.store.folders import read_listed, write_table_atomic, write_text_atomic
from imagenetd.store.numerals import known

RECORD_FILE, REGIMES_FILE = "per_image.parquet", "regimes.parquet"
PER_IMAGE_CSV, UNREADABLE_CSV = "per_image.csv", "unreadable.csv"


def write_record(folder: Path, images: pd.DataFrame, models: Iterable[tuple[str, str, Answers]]) -> None:
    """Write the record of all models, each given by its name, role and answers."""
    frames = [model_record(name, role, answers, images) for name, role, answers in models]
    record = pd.concat(frames, ignore_index=True)
    leading = [name for name in record if not name.startswith(("correct_", "top5_", "compat_"))]
    record = record[leading + [name for name in record if name not in leading]]
    for name in record:
        if name.startswith(("correct_", "top5_")):
            record[name] = record[name].astype("boolean")
    write_table_atomic(folder / RECORD_FILE, pa.Table.from_pandas(record, preserve_index=False))


def read_regimes(folder: Path) -> pd.DataFrame:
    """Return the accuracies under each regime with their intervals, one row for each model, regime and kind."""
    return with_ends(read_listed(folder, REGIMES_FILE).to_pandas()[list(REGIME_COLUMNS)])


def read_record(folder: Path) -> pd.DataFrame:
    """Return one row for each model and image."""
    return read_listed(folder, RECORD_FILE).to_pandas()


def own_accuracies(record: pd.DataFrame, regimes: Mapping[str, str]) -> pd.DataFrame:
    """Return the accuracy of some models, each in its own regime, by kind, nuisance and severity if there is one.

    Args:
        record: From `read_record`.
        regimes: Name of a model -> its own regime.
    """
    parts = []
    for model, regime in regimes.items():
        rows = record[record["model"] == model]
        right = rows[f"correct_{regime}"].astype("boolean")
        parts.append(
            rows.assign(num_images=right.notna().astype(int), num_correct=right.fillna(False).astype(int))
        )
    by = [name for name in ("model", "kind", "nuisance", "severity") if name in record]
    return accuracy_by(pd.concat(parts, ignore_index=True), by)


def write_plain_files(folder: Path, evaluate: Path, left_out: pd.DataFrame | None) -> None:
    """Write `per_image.csv`, `tables/regimes.csv` and `unreadable.csv`, so that a spreadsheet can check the run.

    Args:
        folder: Of the run.
        evaluate: Of the stage evaluate.
        left_out: Files of a dataset that were not evaluated; None for a pool of our own.
    """
    path, source = folder / PER_IMAGE_CSV, evaluate / RECORD_FILE
    if not path.is_file() or path.stat().st_mtime_ns < source.stat().st_mtime_ns:
        write_text_atomic(path, spreadsheet(read_record(evaluate)))
    write_text_atomic(folder / "tables" / "regimes.csv", csv_text(read_regimes(evaluate)))
    if left_out is not None:
        write_text_atomic(folder / UNREADABLE_CSV, csv_text(left_out))


def spreadsheet(record: pd.DataFrame) -> str:
    """Return the record as CSV: right is 1, wrong is 0, empty is not known in this regime."""
    plain = record.copy()
    for name in plain:
        if plain[name].dtype in ("boolean", "bool", "object") and name.startswith(("correct_", "top5_")):
            plain[name] = plain[name].astype("boolean").astype("Int8")
    plain["margin"] = plain["margin"].round(6)
    return csv_text(plain)


def regime_summary(table: pd.DataFrame) -> dict[str, dict[str, RegimeTotals]]:
    """Return for each model and regime the totals that stand in `summary.json`."""
    totals = table[table["kind"] == "all"]
    summary: dict[str, dict[str, RegimeTotals]] = {}
    for row in totals.to_dict("records"):
        entry = RegimeTotals(**{field.name: known(row[field.name]) for field in fields(RegimeTotals)})
        summary.setdefault(row["model"], {})[row["regime"]] = entry
    return summary
