"""Stage 4: the images on which the surrogates fail together."""

import time

import pyarrow as pa

from imagenetd.records import Kind, Record, StageResult
from imagenetd.scoring.mining import easy_images, num_failures, shared_failures
from imagenetd.stages.run import Run
from imagenetd.stages.stored import FAILURES_FILE
from imagenetd.store.folders import StageFolder, write_table_atomic


def mine(run: Run) -> StageResult:
    """Write `failures.parquet`: for every image how many surrogates fail, and whether it is mined or easy.

    The images of the neutral prompt are a control arm and are never mined, nor are those that a safety checker flagged.
    """
    folder = run.setup.folders["mine"]
    with folder.locked():
        record, remark = folder.sound()
        skipped = record is not None
        if record is None:
            record = _mine(run, folder)
    num_images = run.pool.layout.num_images
    note = (
        f"{record['min_failures']} of {record['num_surrogates']} surrogates wrong on "
        f"{record['num_mined'] / max(1, num_images):.1%} of {num_images} images; "
        f"{record['num_easy']} easy images kept beside them"
    )
    return StageResult(
        stage="mine",
        key=folder.key,
        folder=str(folder.path),
        num_items=record["num_mined"],
        unit="hard images",
        seconds=record["seconds"],
        is_skipped=skipped,
        note=f"{note}; {remark}" if remark else note,
        counts={"mined": record["num_mined"], "easy": record["num_easy"]},
    )


def _mine(run: Run, folder: StageFolder) -> Record:
    started = time.perf_counter()
    pool, surrogates, min_failures = run.pool, run.setup.of_role("surrogate"), run.setup.min_failures
    not_wrong = ~run.wrong(surrogates)  # an image that a surrogate's scoring leaves out is no failure of it
    is_nuisance = (pool.table["kind"] != Kind.NEUTRAL).to_numpy()
    mined = shared_failures(not_wrong, min_failures=min_failures) & is_nuisance & ~pool.is_flagged
    easy = easy_images(run.correct(surrogates))
    columns = {
        "image_id": pa.array(pool.table["image_id"].tolist(), pa.string()),
        "num_failures": pa.array(num_failures(not_wrong)),
        "is_shared": pa.array(mined),
        "is_easy": pa.array(easy),
    }
    write_table_atomic(folder.path / FAILURES_FILE, pa.table(columns), of=folder.key)
    record = {
        "num_mined": int(mined.sum()),
        "num_easy": int(easy.sum()),
        "num_surrogates": len(surrogates),
        "min_failures": min_failures,
        "surrogates": [model.name for model in surrogates],
        "seconds": time.perf_counter() - started,
    }
    folder.finish(record, [FAILURES_FILE])
    return record
