"""The predictions of one model over one pool, read back in the order of the pool: its answers, and its logits."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from imagenetd.errors import DamagedError, ModelError, StoreError
from imagenetd.images.pool import Pool, part_name
from imagenetd.records import LabelSpace, Record
from imagenetd.scoring.answer_table import Answers, Scoring, answer_rows
from imagenetd.store.folders import (
    STAGE_FILE,
    StageFolder,
    read_sealed_record,
    read_table,
    read_table_and_seal,
    write_table_atomic,
)
from imagenetd.store.seals import fast_hash
from imagenetd.words.near_synonyms import load_near_synonyms

ANSWERS_FILE = "answers.parquet"
COMPUTED = b"imagenetd.computed"
"""Metadata of a part: as JSON, what was `loaded` and how its logits were `computed`."""


def subject(model_key: str, pool_key: str) -> str:
    """Return what a part of a model's predictions is about; it stands in the part itself.

    >>> subject("5168a8be", "d29d5f82")
    'model 5168a8be on images d29d5f82'
    """
    return f"model {model_key} on images {pool_key}"


def labels(pool: Pool) -> tuple[list[str], np.ndarray]:
    """Return the categories of a pool in order of appearance, and each image's position among them."""
    names = list(dict.fromkeys(pool.table["category"]))
    position = {name: number for number, name in enumerate(names)}
    return names, pool.table["category"].map(position).to_numpy(dtype=np.int64)


def read_part(folder: Path, shard: int, pool: Pool) -> pa.Table:
    """Return one part of a finished model's predictions: the one that its record lists, of this model and pool.

    It has the logits, of which most that is asked stands in the answers: see `read_answers`.
    """
    record, path = _record(folder), folder / part_name(shard)
    return read_table(path, of=subject(record["key"], pool.key), seal=_listed_seal(folder, record, path.name))


def _record(folder: Path) -> Record:
    return read_sealed_record(folder / STAGE_FILE, {"key": str, "files": dict})


def _listed_seal(folder: Path, record: Mapping[str, Any], name: str) -> str:
    if name not in record["files"]:
        raise StoreError(f"{folder / STAGE_FILE} does not list {name}. Delete it and run again.")
    return str(record["files"][name][1])


def _checked_logits(part: pa.Table, folder: Path, shard: int, pool: Pool) -> np.ndarray:
    lacking = {"image_id", "logits", "seconds"} - set(part.column_names)
    if lacking or part["image_id"].to_pylist() != pool.shard_rows(shard)["image_id"].tolist():
        raise DamagedError(
            f"{folder / part_name(shard)} is damaged: it does not hold the images of its shard. "
            "Delete it and run again: only its images are predicted anew."
        )
    return logits_of(part)


def logits_of(part: pa.Table) -> Float[np.ndarray, "images classes"]:
    """Return the logits in one part of a model's predictions."""
    width = part["logits"].type.list_size
    return part["logits"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, width)


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


def scoring_of(space: LabelSpace, pool: Pool) -> Scoring:
    """Return how the logits of a model of this label space are read over a pool."""
    return Scoring.of(space, pool.table, lenient=load_near_synonyms())


@dataclass(frozen=True, slots=True)
class ReadThrough:
    """What one reading of all parts of a model's predictions gives."""

    answers: Answers
    seconds: float
    """Time that the model took."""
    num_tied: int
    """Images whose largest logit several classes have; the first of them counts as the answer, everywhere."""
    seals: dict[str, str]
    """Of every part."""
    loaded: Record
    """What the model was loaded from, as its last part says; empty where no part says it."""
    computed: list[Record]
    """Every way in which its logits were computed: a resumed run may have another."""


def read_through(
    folder: Path, pool: Pool, scoring: Scoring, *, model_key: str, listed: Mapping[str, str] | None = None
) -> ReadThrough:
    """Read the logits of a model, one part after the other, each of them once.

    Args:
        folder: Of its predictions, finished or not.
        pool: The images that they are about.
        scoring: From `scoring_of`.
        model_key: Of the predictions.
        listed: Part -> the seal that its record lists; None: they are not finished.
    """
    rows, seconds, num_tied, seals = [], 0.0, 0, {}
    loaded: Record = {}
    computed: list[Record] = []
    for shard in range(pool.layout.num_shards):
        name = part_name(shard)
        part, seals[name] = read_table_and_seal(
            folder / name, of=subject(model_key, pool.key), seal=None if listed is None else listed[name]
        )
        logits = _checked_logits(part, folder, shard, pool)
        told = json.loads((part.schema.metadata or {}).get(COMPUTED, b"{}"))
        loaded = told.get("loaded", loaded)
        computed += [told["computed"]] if told and told["computed"] not in computed else []
        try:
            rows.append(answer_rows(logits, pool.shard_rows(shard), scoring))
        except ValueError as error:
            raise ModelError(f"{folder}: {error} Delete this folder and run again.") from error
        seconds += sum(part["seconds"].to_pylist())
        num_tied += count_ties(logits)
    return ReadThrough(
        Answers(scoring, pa.concat_tables(rows)), float(seconds), num_tied, seals, loaded, computed
    )


def about_answers(scoring: Scoring, pool: Pool, *, model_key: str, seals: Mapping[str, str]) -> str:
    """Return what a table of answers is about: a model, a pool, these very logits, and how they were read."""
    names = [part_name(shard) for shard in range(pool.layout.num_shards)]
    logits = fast_hash(*(seals[name].encode() for name in names))
    images = fast_hash("\n".join(pool.table["image_id"]).encode())
    return f"answers by {scoring.key} from {logits} to {images}: {subject(model_key, pool.key)}"


def listed_parts(folder: Path, pool: Pool) -> dict[str, str]:
    """Return the seal of every part that the record of finished predictions lists."""
    record, names = _record(folder), [part_name(shard) for shard in range(pool.layout.num_shards)]
    return {name: _listed_seal(folder, record, name) for name in names}


def read_answers(folder: Path, pool: Pool, space: LabelSpace) -> Answers:
    """Return the answers of a finished model; no logits are read where `predict` has left a table of them.

    Those of a run with other classes have a table of other answers: here they are read from the logits, and `predict`
    writes them.
    """
    record, scoring, seals = _record(folder), scoring_of(space, pool), listed_parts(folder, pool)
    of = about_answers(scoring, pool, model_key=record["key"], seals=seals)
    if record.get("answers") == of:
        seal = _listed_seal(folder, record, ANSWERS_FILE)
        return Answers(scoring, read_table(folder / ANSWERS_FILE, of=of, seal=seal))
    return read_through(folder, pool, scoring, model_key=record["key"], listed=seals).answers


def keep_answers(folder: StageFolder, record: Mapping[str, Any], found: ReadThrough, pool: Pool) -> None:
    """Write `answers.parquet` beside the logits that it was read from, and mark the predictions as done."""
    scoring = found.answers.scoring
    of = about_answers(scoring, pool, model_key=folder.key, seals=found.seals)
    write_table_atomic(folder.path / ANSWERS_FILE, found.answers.table, of=of)
    told = {**record, "label_space": asdict(scoring.space), "answers": of}
    folder.finish(told, [ANSWERS_FILE], sealed=found.seals)


def count_ties(logits: Float[np.ndarray, "images classes"]) -> int:
    """Return the number of images with two or more best classes.

    >>> count_ties(np.array([[1.0, 3.0, 3.0], [0.0, 1.0, 0.0]]))
    1
    """
    if logits.shape[1] < 2 or not len(logits):
        return 0
    return int(((logits == logits.max(axis=1, keepdims=True)).sum(axis=1) > 1).sum())
