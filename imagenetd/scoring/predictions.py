"""The logits of one model over one pool, read back in the order of the pool."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from imagenetd.errors import DamagedError, StoreError
from imagenetd.images.pool import Pool, part_name
from imagenetd.store.folders import STAGE_FILE, read_sealed_record, read_table, write_table_atomic
from imagenetd.store.seals import fast_hash

ROWS_AT_A_TIME = 8192
"""Bounds the memory of a softmax over 1,000 classes."""


ANSWERS_FILE = "answers.parquet"


def subject(model_key: str, pool_key: str) -> str:
    """Return what a part of a model's predictions is about; it stands in the part itself.

    >>> subject("5168a8be", "d29d5f82")
    'model 5168a8be on images d29d5f82'
    """
    return f"model {model_key} on images {pool_key}"


def read_part(folder: Path, shard: int, pool: Pool) -> pa.Table:
    """Return one part of a finished model's predictions: the one that its record lists, of this model and pool."""
    return _read_parts(folder, [shard], pool)[0]


def _read_parts(folder: Path, shards: Sequence[int], pool: Pool) -> list[pa.Table]:
    record = _record(folder)
    of = subject(record["key"], pool.key)
    return [
        read_table(folder / part_name(n), of=of, seal=_listed_seal(folder, record, part_name(n)))
        for n in shards
    ]


def _record(folder: Path) -> dict[str, Any]:
    return read_sealed_record(folder / STAGE_FILE, {"key": str, "files": dict})


def _listed_seal(folder: Path, record: Mapping[str, Any], name: str) -> str:
    if name not in record["files"]:
        raise StoreError(f"{folder / STAGE_FILE} does not list {name}. Delete it and run again.")
    return str(record["files"][name][1])


def read_logits(folder: Path, pool: Pool) -> np.ndarray:
    """Return float32 "images classes"; parts that do not belong to the model and the pool are a DamagedError."""
    tables = _read_parts(folder, range(pool.layout.num_shards), pool)
    for shard, table in enumerate(tables):
        lacking = {"image_id", "logits", "seconds"} - set(table.column_names)
        if lacking or table["image_id"].to_pylist() != pool.shard_rows(shard)["image_id"].tolist():
            raise DamagedError(
                f"{folder / part_name(shard)} is damaged: it does not hold the images of its shard. "
                "Delete it and run again: only its images are predicted anew."
            )
    table = pa.concat_tables(tables)
    width = table["logits"].type.list_size
    return table["logits"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, width)


def unsound_parts(folder: Path, num_shards: int, *, of: str) -> dict[int, str]:
    """Return the parts that are missing, damaged or not about `of` -> what is wrong with each; empty when missing."""
    found = {}
    for shard in range(num_shards):
        path = folder / part_name(shard)
        if not path.is_file():
            found[shard] = ""
            continue
        try:
            read_table(path, of=of)
        except DamagedError as error:
            found[shard] = str(error)
    return found


@dataclass(frozen=True, slots=True)
class PartTotals:
    """What all parts of a model's predictions add up to."""

    seconds: float
    """Time that the model took."""
    num_tied: int
    """Images whose largest logit several classes have; the first of them counts as the answer, everywhere."""


def read_totals(folder: Path, num_shards: int, *, of: str) -> PartTotals:
    """Return time and ties of the stored predictions of a model; every part must be about `of`."""
    seconds, num_tied = 0.0, 0
    for shard in range(num_shards):
        table = read_table(folder / part_name(shard), of=of)
        seconds += sum(table["seconds"].to_pylist())
        width = table["logits"].type.list_size
        flat = table["logits"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        num_tied += count_ties(flat.reshape(-1, width))
    return PartTotals(float(seconds), num_tied)


def count_ties(logits: Float[np.ndarray, "images classes"]) -> int:
    """Return the number of images with two or more best classes.

    >>> count_ties(np.array([[1.0, 3.0, 3.0], [0.0, 1.0, 0.0]]))
    1
    """
    if logits.shape[1] < 2 or not len(logits):
        return 0
    return int(((logits == logits.max(axis=1, keepdims=True)).sum(axis=1) > 1).sum())


@dataclass(frozen=True)
class Answers:
    """What most statistics need of the logits."""

    predicted: np.ndarray
    """Int32 "images": the best class; of equal logits the first."""
    confidence: np.ndarray
    """Float32 "images": softmax probability of the best class."""


def read_answers(folder: Path, pool: Pool) -> Answers:
    """Return the best class of every image; the logits are read once, the answers are kept in `answers.parquet`.

    The file names the seal of every part that it was made from, so that answers to other logits are never used; a
    damaged one is made anew.
    """
    path, record = folder / ANSWERS_FILE, _record(folder)
    names = [part_name(shard) for shard in range(pool.layout.num_shards)]
    of = f"{subject(record['key'], pool.key)}: {fast_hash(*(_listed_seal(folder, record, n).encode() for n in names))}"
    if path.is_file():
        with contextlib.suppress(DamagedError):  # it holds nothing that the logits do not say
            table = read_table(path, of=of)
            return Answers(table["predicted"].to_numpy(), table["confidence"].to_numpy())
    answers = _answers(folder, read_logits(folder, pool))
    table = pa.table({"predicted": answers.predicted, "confidence": answers.confidence})
    write_table_atomic(path, table, of=of)
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
