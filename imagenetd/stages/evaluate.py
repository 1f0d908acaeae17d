"""Stage 6: accuracy of every model on every slice of the pool, the mined and the accepted set."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa

from imagenetd.metrics import score_rows
from imagenetd.pool import Pool, checked
from imagenetd.records import Score, StageResult
from imagenetd.stages.record import has_record
from imagenetd.store import StageFolder, read_table, write_table_atomic


def evaluate_models(
    folder: StageFolder,
    pool: Pool,
    correct: Callable[[], np.ndarray],
    counted: Callable[[], np.ndarray],
    *,
    models: Sequence[tuple[str, str]],
    sets: Mapping[str, np.ndarray],
    record: Callable[[Path], None],
    waiting: Callable[[Path], None],
) -> StageResult:
    """Write `scores.parquet`, one row for each model, set and slice.

    Args:
        folder: Of this stage.
        pool: The images.
        correct: Gives bool "models images" when it is needed.
        counted: Likewise; false where a model's scoring leaves an image out.
        models: Name and role of each row of `correct`.
        sets: Name of a set -> bool "images".
        record: Writes the record of every image into the folder.
        waiting: Called when another process works on this folder.
    """
    with folder.locked(waiting):
        done = folder.done()
        skipped = done is not None and (folder.path / "scores.parquet").is_file() and has_record(folder.path)
        if done is None or not skipped:
            started = time.perf_counter()
            scores = score_rows(
                correct(),
                models=models,
                kinds=pool.table["kind"].tolist(),
                nuisances=pool.table["nuisance"].tolist(),
                sets=sets,
                counted=counted(),
            )
            columns = {field.name: [getattr(row, field.name) for row in scores] for field in fields(Score)}
            write_table_atomic(folder.path / "scores.parquet", pa.table(columns))
            record(folder.path)
            done = {"num_scores": len(scores), "seconds": time.perf_counter() - started}
            folder.finish(done)
    path, seconds = str(folder.path), done["seconds"]
    return StageResult("evaluate", folder.key, path, done["num_scores"], "scores", seconds, skipped)


def read_scores(folder: Path) -> list[Score]:
    """Read the scores back."""
    path = folder / "scores.parquet"
    return [Score(**row) for row in checked(read_table(path), Score, path).to_pylist()]
