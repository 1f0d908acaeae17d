"""Draws the confirmation set and runs the models over it."""

import time
from pathlib import Path

import pandas as pd

from imagenetd.images.pool import Pool, read_layout, read_pool
from imagenetd.images.source import drawn_images
from imagenetd.records import StageResult
from imagenetd.stages.confirm import TWINS_FILE, twin_prompts, write_twins
from imagenetd.stages.generate import generate_pool
from imagenetd.stages.keys import prediction_folder
from imagenetd.stages.predict import predict_pool
from imagenetd.stages.prompts import write_prompts
from imagenetd.stages.run import Job


def confirm_failures(job: Job) -> StageResult:
    """Draw the twins, run surrogates and targets over them, and write down which twin is whose."""
    folder = job.plan.folders["confirm"]
    with folder.locked():
        record = folder.done()
        is_there = record is not None and (folder.path / TWINS_FILE).is_file()
        started = time.perf_counter()
        mined = job.pool.table[job.mined].reset_index(drop=True)
        twins, is_new = _draw(job, mined)
        if record is None or not is_there or is_new:
            write_twins(folder, mined, twins, seconds=time.perf_counter() - started)
            record = folder.done()
            assert record is not None
    note = "no image was mined" if twins is None else f"another seed of every mined prompt, in {twins.folder}"
    return StageResult(
        stage="confirm",
        key=folder.key,
        folder=str(folder.path),
        num_items=len(mined),
        unit="twins",
        seconds=record["seconds"],
        is_skipped=is_there and not is_new,
        note=note,
    )


def _draw(job: Job, mined: pd.DataFrame) -> tuple[Pool | None, bool]:
    """Return the pool of the twins, seen by surrogates and targets, and whether any of this was done only now."""
    if mined.empty:
        return None, False
    config, generator = job.plan.config, job.plan.generator
    assert generator is not None, "the plan refuses images that cannot be drawn again"
    rows = twin_prompts(mined, num_images_per_cell=config.num_images_per_cell)
    root, identity = Path(config.paths.output_dir), job.plan.generator_identity
    drawn = drawn_images(root, generator, rows, identity=identity, categories=job.plan.categories)
    written = write_prompts(drawn.prompts_folder, rows)
    pool = drawn.folder
    made = generate_pool(
        pool,
        rows,
        generator,
        generator_identity=identity,
        store=config.store,
        trainer=config.trainer,
    )
    twins = read_pool(pool.path, pool.key, read_layout(pool.path))
    asked = job.plan.of_role("surrogate", "target")
    models = {model.name: (model.classifier, prediction_folder(config, twins.key, model)) for model in asked}
    seen = predict_pool(twins, models, job.plan.categories, trainer=config.trainer)
    return twins, not all(result.is_skipped for result in (written, made, seen))
