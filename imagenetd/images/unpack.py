"""A pool, or a slice of it, as ordinary image files with a table beside them."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from imagenetd.errors import ConfigError, StoreError
from imagenetd.images.pool import Pool, read_pool
from imagenetd.store.csv_files import csv_text
from imagenetd.store.folders import (
    STAGE_FILE,
    make_folder,
    read_stage_file,
    require_fields,
    write_bytes_atomic,
    write_text_atomic,
)

FIRST_COLUMNS = ["file", "category", "kind", "nuisance", "prompt", "seed", "seed_index"]
"""What `generator=folder` reads back."""


def open_pool(folder: Path) -> Pool:
    """Open a finished pool by its folder alone."""
    record = read_stage_file(folder / STAGE_FILE)
    if record is None:
        raise StoreError(
            f"{folder} is no finished pool: it has no {STAGE_FILE}. Name a folder below pools/, or finish it with the "
            "command that began it."
        )
    require_fields(folder / STAGE_FILE, record, {"key": str})
    return read_pool(folder, record["key"])


def choose_rows(
    table: pd.DataFrame, wanted: Mapping[str, str], *, limit: int | None, title: str = "manifest"
) -> pd.DataFrame:
    """Return the rows whose columns have the wanted values, the first `limit` of them.

    Args:
        table: One row an image.
        wanted: Column -> its value.
        limit: None: all.
        title: What errors call the table.
    """
    for column, value in wanted.items():
        if column not in table:
            raise ConfigError(f"{column} is not a column of the {title}: it has {', '.join(table.columns)}.")
        chosen = table[table[column].astype(str) == value]
        if chosen.empty:
            known = ", ".join(table[column].astype(str).drop_duplicates()[:12])
            raise ConfigError(f"No image has {column}={value}. There are, for example: {known}.")
        table = chosen
    return table if limit is None else table.head(limit)


def unpack_pool(pool: Pool, rows: pd.DataFrame, out: Path, *, progress: Callable[[int], None]) -> Path:
    """Write `out/<kind>/<category>/<image_id>.png` for each row, and `out/metadata.csv`, which is written last.

    A file that is there already is left alone, so an interrupted command goes on where it was.
    """
    make_folder(out)
    files = rows["kind"] + "/" + rows["category"] + "/" + rows["image_id"] + ".png"
    for index, file in zip(rows["index"], files, strict=True):
        path = out / file
        if not path.is_file():
            write_bytes_atomic(path, pool.read_bytes(int(index)))
        progress(1)
    table = rows.assign(file=files).rename(columns={"text": "prompt"})
    rest = [name for name in table if name not in (*FIRST_COLUMNS, "index", "shard", "offset", "length")]
    write_text_atomic(out / "metadata.csv", csv_text(table[[*FIRST_COLUMNS, *rest]]))
    return out / "metadata.csv"
