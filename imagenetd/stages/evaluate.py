"""Stage 6: accuracy of every model on every slice of the pool, the mined and the accepted set."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from imagenetd.images.pool import checked
from imagenetd.records import Score, StageResult
from imagenetd.scoring.metrics import score_rows
from imagenetd.stages.record import RECORD_FILE, REGIMES_FILE
from imagenetd.store.folders import StageFolder, read_listed, write_table_atomic

SCORES_FILE = "scores.parquet"


@dataclass(frozen=True)
class ScoredImages:
    """The images that scores are counted from, and the models' answers on them."""

    images: pd.DataFrame
    """One row for each, with kind and nuisance."""
    correct: np.ndarray
    """Bool "models images"."""
    counted: np.ndarray
    """Bool "models images": false where a model has not seen an image or its scoring leaves it out."""
    sets: Mapping[str, np.ndarray]
    """Name of a set -> bool "images"."""


def evaluate_models(
    folder: StageFolder,
    scored: Callable[[], ScoredImages],
    *,
    models: Sequence[tuple[str, str]],
    record: Callable[[Path], None],
) -> StageResult:
    """Write `scores.parquet`, one row for each model, set and slice.

    Args:
        folder: Of this stage.
        scored: Gives the images and the answers on them when they are needed.
        models: Name and role of each row of the answers.
        record: Writes the record of every image into the folder.
    """
    with folder.locked():
        done, remark = folder.sound()
        skipped = done is not None
        if done is None:
            started = time.perf_counter()
            given = scored()
            scores = score_rows(
                given.correct,
                models=models,
                kinds=given.images["kind"].tolist(),
                nuisances=given.images["nuisance"].tolist(),
                sets=given.sets,
                counted=given.counted,
            )
            columns = {field.name: [getattr(row, field.name) for row in scores] for field in fields(Score)}
            write_table_atomic(folder.path / SCORES_FILE, pa.table(columns), of=folder.key)
            record(folder.path)
            done = {"num_scores": len(scores), "seconds": time.perf_counter() - started}
            folder.finish(done, [SCORES_FILE, RECORD_FILE, REGIMES_FILE])
    return StageResult(
        stage="evaluate",
        key=folder.key,
        folder=str(folder.path),
        num_items=done["num_scores"],
        unit="scores",
        seconds=done["seconds"],
        is_skipped=skipped,
        note=remark,
    )


def read_scores(folder: Path) -> list[Score]:
    """Read the scores back."""
    table = checked(read_listed(folder, SCORES_FILE), Score, folder / SCORES_FILE)
    return [Score(**row) for row in table.to_pylist()]
