"""The logits of one model over one pool, read back in the order of the pool."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from imagenetd.errors import StoreError
from imagenetd.pool import Pool, part_name
from imagenetd.store import read_table, write_table_atomic

ROWS_AT_A_TIME = 8192
"""Bounds the memory of a softmax over 1,000 classes."""


def read_logits(folder: Path, pool: Pool) -> np.ndarray:
    """Return float32 "images classes"; parts that do not belong to the pool are a StoreError."""
    tables = [read_table(folder / part_name(shard)) for shard in range(pool.layout.num_shards)]
    for shard, table in enumerate(tables):
        lacking = {"image_id", "logits", "seconds"} - set(table.column_names)
        if lacking or table["image_id"].to_pylist() != pool.shard_rows(shard)["image_id"].tolist():
            raise StoreError(
                f"{folder / part_name(shard)} is damaged: it does not hold the images of its shard. "
                "Delete it and run again: only its images are predicted anew."
            )
    table = pa.concat_tables(tables)
    width = table["logits"].type.list_size
    return table["logits"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, width)


def read_seconds(folder: Path, num_shards: int) -> float:
    """Return the time that the model took over all images."""
    return float(
        sum(sum(read_table(folder / part_name(shard))["seconds"].to_pylist()) for shard in range(num_shards))
    )


@dataclass(frozen=True)
class Answers:
    """What most statistics need of the logits."""

    predicted: np.ndarray
    """Int32 "images": the best class; of equal logits the first."""
    confidence: np.ndarray
    """Float32 "images": softmax probability of the best class."""


def read_answers(folder: Path, pool: Pool) -> Answers:
    """Return the best class of every image; the logits are read once, the answers are kept in `answers.parquet`.

    The file names the size and time of every part that it was made from, so that answers to other logits are
    never used.
    """
    path = folder / "answers.parquet"
    parts = [(folder / part_name(shard)).stat() for shard in range(pool.layout.num_shards)]
    stamp = repr([(part.st_size, part.st_mtime_ns) for part in parts]).encode()
    if path.is_file():
        table = read_table(path)
        if (table.schema.metadata or {}).get(b"parts") == stamp and len(table) == pool.layout.num_images:
            return Answers(table["predicted"].to_numpy(), table["confidence"].to_numpy())
    answers = _answers(folder, read_logits(folder, pool))
    table = pa.table({"predicted": answers.predicted, "confidence": answers.confidence})
    write_table_atomic(path, table.replace_schema_metadata({b"parts": stamp}))
    return answers


def _answers(folder: Path, logits: np.ndarray) -> Answers:
    num_images = len(logits)
    predicted, confidence = np.zeros(num_images, np.int32), np.zeros(num_images, np.float32)
    for first in range(0, num_images, ROWS_AT_A_TIME):
        rows = logits[first : first + ROWS_AT_A_TIME]
        if not np.isfinite(rows).all():
            raise StoreError(f"{folder} holds logits that are not finite. Delete this folder and run again.")
        best = rows.argmax(axis=1)
        predicted[first : first + len(rows)] = best
        top = rows[np.arange(len(rows)), best]
        confidence[first : first + len(rows)] = 1 / np.exp(rows - top[:, None]).sum(axis=1)
    return Answers(predicted, confidence)
