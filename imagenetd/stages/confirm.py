"""The confirmation set: another seed of every mined prompt, which no model chose (sample splitting over seeds)."""

import time

import pandas as pd
import pyarrow as pa

from imagenetd.images.pool import Pool
from imagenetd.records import Record, StageResult, Twin
from imagenetd.stages.generate import generate
from imagenetd.stages.predict import predict
from imagenetd.stages.prompts import prompts
from imagenetd.stages.run import Run
from imagenetd.stages.stored import TWINS_FILE
from imagenetd.store.folders import StageFolder, write_table_atomic
from imagenetd.words.prompt_table import arrow_schema


def confirm(run: Run) -> StageResult:
    """Draw the twins, run surrogates and targets over them, and write down which twin is whose."""
    folder = run.setup.folders["confirm"]
    with folder.locked():
        record = folder.done()
        is_there = record is not None and (folder.path / TWINS_FILE).is_file()
        started = time.perf_counter()
        twins = run.twin_run
        results = [] if twins is None else [stage(twins) for stage in (prompts, generate, predict)]
        is_new = not all(result.is_skipped for result in results)
        if record is None or not is_there or is_new:
            mined = run.pool.table[run.mined]
            record = _write(folder, mined, None if twins is None else twins.pool, started=started)
    return StageResult(
        stage="confirm",
        key=folder.key,
        folder=str(folder.path),
        num_items=int(run.mined.sum()),
        unit="twins",
        seconds=record["seconds"],
        is_skipped=is_there and not is_new,
        note="no image was mined"
        if twins is None
        else f"another seed of every mined prompt, in {twins.pool.folder}",
    )


def _write(folder: StageFolder, mined: pd.DataFrame, twins: Pool | None, *, started: float) -> Record:
    """Write `twins.parquet`, one row for each mined image with the id of its twin."""
    of_twin = [] if twins is None else twins.table["image_id"].tolist()
    rows = zip(mined["image_id"].tolist(), of_twin, strict=True)
    records = [{"image_id": image, "twin_id": twin} for image, twin in rows]
    write_table_atomic(folder.path / TWINS_FILE, pa.Table.from_pylist(records, schema=arrow_schema(Twin)))
    record = {
        "num_twins": len(mined),
        "pool": None if twins is None else twins.key,
        "seconds": time.perf_counter() - started,
    }
    folder.finish(record)
    return record
