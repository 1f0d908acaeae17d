"""Stage 4: the images on which the surrogates fail together."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from imagenetd.images.pool import Pool, checked
from imagenetd.records import Failure, Kind, StageResult
from imagenetd.scoring.mining import easy_images, num_failures, shared_failures
from imagenetd.store.folders import StageFolder, read_listed, write_table_atomic

FAILURES_FILE = "failures.parquet"


def mine_failures(
    folder: StageFolder,
    pool: Pool,
    correct: Callable[[], np.ndarray],
    surrogates: Sequence[str],
    *,
    min_failures: int,
) -> StageResult:
    """Write `failures.parquet`: for every image how many surrogates fail, and whether it is mined or easy.

    The images of the neutral prompt are a control arm and are never mined, nor are those that a safety checker flagged.

    Args:
        folder: Of this stage.
        pool: The images.
        correct: Gives bool "surrogates images" when it is needed.
        surrogates: Names, in the order of the rows of `correct`.
        min_failures: k of k-of-n.
    """
    with folder.locked():
        record, remark = folder.sound()
        skipped = record is not None
        if record is None:
            started = time.perf_counter()
            matrix = correct()
            is_nuisance = (pool.table["kind"] != Kind.NEUTRAL).to_numpy()
            mined = shared_failures(matrix, min_failures=min_failures) & is_nuisance & ~pool.is_flagged
            easy = easy_images(matrix)
            columns = {
                "image_id": pa.array(pool.table["image_id"].tolist(), pa.string()),
                "num_failures": pa.array(num_failures(matrix)),
                "is_shared": pa.array(mined),
                "is_easy": pa.array(easy),
            }
            write_table_atomic(folder.path / FAILURES_FILE, pa.table(columns), of=folder.key)
            record = {
                "num_mined": int(mined.sum()),
                "num_easy": int(easy.sum()),
                "num_surrogates": len(surrogates),
                "min_failures": min_failures,
                "surrogates": list(surrogates),
                "seconds": time.perf_counter() - started,
            }
            folder.finish(record, [FAILURES_FILE])
    return _result(folder, record, pool.layout.num_images, is_skipped=skipped, remark=remark)


def _result(
    folder: StageFolder, record: dict[str, Any], num_images: int, *, is_skipped: bool, remark: str
) -> StageResult:
    note = (
        f"{record['min_failures']} of {record['num_surrogates']} surrogates wrong on "
        f"{record['num_mined'] / max(1, num_images):.1%} of {num_images} images; "
        f"{record['num_easy']} easy images kept beside them"
    )
    note += f"; {remark}" if remark else ""
    counts = {"mined": record["num_mined"], "easy": record["num_easy"]}
    return StageResult(
        stage="mine",
        key=folder.key,
        folder=str(folder.path),
        num_items=record["num_mined"],
        unit="hard images",
        seconds=record["seconds"],
        is_skipped=is_skipped,
        note=note,
        counts=counts,
    )


def read_failures(folder: Path, pool: Pool) -> np.ndarray:
    """Return bool "images": which images of the pool are mined."""
    return read_mining(folder, pool)["is_shared"].to_numpy()


def read_mining(folder: Path, pool: Pool) -> pd.DataFrame:
    """Return the outcome of mining, one row for each image of the pool with the columns of Failure."""
    path = folder / FAILURES_FILE
    table = checked(read_listed(folder, FAILURES_FILE), Failure, path)
    pool.require_same_images(table["image_id"].to_pylist(), path)
    return table.to_pandas()
