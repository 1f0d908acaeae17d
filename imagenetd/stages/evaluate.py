"""Stage 6: accuracy of every model on every slice of the pool, the mined and the accepted set."""

import time
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from imagenetd.records import Score, StageResult
from imagenetd.scoring.metrics import score_rows
from imagenetd.stages.keys import PlannedModel
from imagenetd.stages.record import RECORD_FILE, REGIMES_FILE, write_record
from imagenetd.stages.run import SCORED_ROLES, Run
from imagenetd.stages.stored import SCORES_FILE
from imagenetd.store.folders import write_table_atomic


def evaluate(run: Run) -> StageResult:
    """Write `scores.parquet`, one row for each model, set and slice, and the record of every image."""
    folder = run.plan.folders["evaluate"]
    with folder.locked():
        record, remark = folder.sound()
        skipped = record is not None
        if record is None:
            started, models = time.perf_counter(), run.plan.of_role(*SCORED_ROLES)
            scores = _scores(run, models)
            columns = {field.name: [getattr(row, field.name) for row in scores] for field in fields(Score)}
            write_table_atomic(folder.path / SCORES_FILE, pa.table(columns), of=folder.key)
            answers = ((model.name, model.role, run.answers(model)) for model in models)
            write_record(folder.path, run.pool.table, answers)
            record = {"num_scores": len(scores), "seconds": time.perf_counter() - started}
            folder.finish(record, [SCORES_FILE, RECORD_FILE, REGIMES_FILE])
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


def _scores(run: Run, models: Sequence[PlannedModel]) -> list[Score]:
    """Return the scores on the pool, and on the confirmation set behind it if there is one."""
    images, sets = run.pool.table, dict(run.sets)
    correct, counted = run.correct(models), run.counted(models)
    if run.twins is not None:
        on_twins = run.answers_to_twins(models)
        num_images, num_twins = len(images), len(run.twins.pool.table)
        nowhere = np.zeros(num_twins, dtype=bool)
        sets = {name: np.append(members, nowhere) for name, members in sets.items()}
        sets["confirmation"] = np.arange(num_images + num_twins) >= num_images
        images = pd.concat([images, run.twins.pool.table], ignore_index=True)
        correct, counted = np.hstack([correct, on_twins.correct]), np.hstack([counted, on_twins.counted])
    numbers: dict[str, Any] = {"kinds": images["kind"].tolist(), "nuisances": images["nuisance"].tolist()}
    names = [(model.name, model.role) for model in models]
    return score_rows(correct, models=names, **numbers, sets=sets, counted=counted)
