"""Stage 6: what every model has right, counted once, and its accuracy on every slice of every set."""

import time
from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import pandas as pd
import pyarrow as pa

from imagenetd.records import Score, StageResult
from imagenetd.scoring.counts import count_answers, score_rows
from imagenetd.scoring.image_record import marks_of, regime_rows, regimes_of
from imagenetd.stages.keys import CastModel
from imagenetd.stages.record import RECORD_FILE, REGIMES_FILE, write_record
from imagenetd.stages.run import SCORED_ROLES, Run
from imagenetd.stages.stored import COUNTS_FILE, SCORES_FILE
from imagenetd.store.folders import write_table_atomic


def evaluate(run: Run) -> StageResult:
    """Write `counts.parquet`, its sums (`scores.parquet`, `regimes.parquet`), and the record of every image."""
    folder = run.setup.folders["evaluate"]
    with folder.locked():
        record, remark = folder.sound()
        skipped = record is not None
        if record is None:
            started, models = time.perf_counter(), run.setup.of_role(*SCORED_ROLES)
            counts = _counts(run, models)
            scores = score_rows(counts)
            regimes = regime_rows(counts, {m.name: regimes_of(run.answers(m).scoring) for m in models})
            columns = {field.name: [getattr(row, field.name) for row in scores] for field in fields(Score)}
            write_table_atomic(folder.path / SCORES_FILE, pa.table(columns), of=folder.key)
            for name, table in ((COUNTS_FILE, counts), (REGIMES_FILE, regimes)):
                write_table_atomic(folder.path / name, pa.Table.from_pandas(table, preserve_index=False))
            answers = ((model.name, model.role, run.answers(model)) for model in models)
            write_record(folder.path, run.pool.table, answers)
            record = {"num_scores": len(scores), "seconds": time.perf_counter() - started}
            folder.finish(record, [COUNTS_FILE, SCORES_FILE, RECORD_FILE, REGIMES_FILE])
    return StageResult(
        stage="evaluate",
        key=folder.key,
        folder=str(folder.path),
        num_items=record["num_scores"],
        unit="scores",
        seconds=record["seconds"],
        is_skipped=skipped,
        note=remark,
    )


def _counts(run: Run, models: Sequence[CastModel]) -> pd.DataFrame:
    """Return what is right on the pool, and on the confirmation set behind it if there is one."""
    images, sets = run.pool.table, dict(run.sets)
    on_twins: Sequence[tuple[np.ndarray, np.ndarray] | None] = [None] * len(models)
    if run.twins is not None:
        seen = run.answers_to_twins(models)
        on_twins = list(zip(seen.correct, seen.counted, strict=True))
        num_images, num_twins = len(images), len(run.twins.pool.table)
        nowhere = np.zeros(num_twins, dtype=bool)
        sets = {name: np.append(members, nowhere) for name, members in sets.items()}
        sets["confirmation"] = np.arange(num_images + num_twins) >= num_images
        images = pd.concat([images, run.twins.pool.table], ignore_index=True)
    marks = [
        mark
        for model, twins in zip(models, on_twins, strict=True)
        for mark in marks_of(model.name, model.role, run.answers(model), twins=twins)
    ]
    return count_answers(images, marks, sets)
