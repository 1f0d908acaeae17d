"""Stage 2: the pool of images."""

import itertools
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imagenetd.errors import DamagedError, StoreError
from imagenetd.images.pool import (
    BYTES_PER_PIXEL,
    MANIFEST_FILE,
    PROMPTS_FILE,
    Layout,
    checked,
    layout_of,
    make_layout,
    missing_shards,
    part_name,
    read_prompts,
    write_prompts_by_shard,
)
from imagenetd.images.shards import shard_name
from imagenetd.records import ImageRow, Prompt, Record, StageResult
from imagenetd.stages.executors.executor import carried_out, held
from imagenetd.stages.run import Run
from imagenetd.stages.workers.board import Seat
from imagenetd.stages.workers.supervise import alone
from imagenetd.stages.workers.units import GenerateWork
from imagenetd.store import remote
from imagenetd.store.folders import (
    STAGE_FILE,
    StageFolder,
    content_key,
    make_folder,
    read_stage_file,
    read_table,
    require_space,
    size_of,
    write_record,
    write_table_atomic,
)
from imagenetd.store.system_errors import explained
from imagenetd.words.prompt_table import PromptTable, arrow_schema

RESERVE = 1.2
"""Of free space, for pictures that compress worse than others."""


def generate(run: Run) -> StageResult:
    """Make the images that the pool still lacks and write its manifest; or list and hash the dataset in its place.

    A unit of work is a fixed run of rows of the prompt table, whatever the number of processes, so an image has the
    same bytes whoever makes it and however often the run is interrupted.
    """
    listed = run.setup.images.listed()
    if listed is not None:
        return listed
    setup, folder, generator = run.setup, run.setup.images.folder, run.setup.images.generator
    assert generator is not None, "images are drawn or listed"
    rows = read_prompts(setup.folders["prompts"].path / PROMPTS_FILE)
    with held(folder, setup.config):
        layout = _fixed_layout(
            folder.path, len(rows), generator.unit_size, setup.config.store.images_per_shard
        )
        record, remark = folder.sound()
        if record is not None:
            return _result(folder, record, is_skipped=True)
        _forget_lost(folder, layout)
        folder.reopen()
        key = content_key(setup.images.identity)
        pending, told = _parts_to_make(folder.path, layout, key)
        remark = told or remark
        if pending:
            for name in ("shards", "manifest"):
                make_folder(folder.path / name)
            write_prompts_by_shard(folder.path / PROMPTS_FILE, rows, layout)
            trainer = setup.config.trainer
            work = GenerateWork(generator, folder=folder.path, trainer=trainer, generator_key=key)
            _require_room(work, pending)
            if not carried_out(work, setup.config):
                with alone(work) as (loop, counter):
                    if loop is None:
                        work.do_without_lightning(pending, Seat(), counter)
                    else:
                        loop.trainer.predict(loop.module, return_predictions=False)
        record = _finish(folder, rows, layout, key)
        note = f"; {remark}" if remark else ""
        if layout.unit_size != generator.unit_size:
            note += f"; in units of {layout.unit_size} images, as it was begun"
        return _result(folder, record, is_skipped=False, note=note)


def _require_room(work: GenerateWork, pending: list[int]) -> None:
    """Raise StoreError when the disk cannot hold the images of some shards."""
    num_pixels = work.num_items(pending) * work.generator.num_pixels
    require_space(work.folder, int(num_pixels * BYTES_PER_PIXEL * RESERVE))


def _forget_lost(folder: StageFolder, layout: Layout) -> None:
    """Delete the shards that have another size than when they were finished: their images are made anew."""
    lost = set(folder.lost())
    for shard in range(layout.num_shards):
        if f"shards/{shard_name(shard)}" in lost:
            remote.forget(folder.path / "shards" / shard_name(shard))


def _parts_to_make(folder: Path, layout: Layout, generator_key: str) -> tuple[list[int], str]:
    """Return the shards that must be made or read back anew, and which parts of the manifest were damaged.

    A damaged part is forgotten: it is written anew from its shard.
    """
    missing = set(missing_shards(folder, layout))
    pending, damaged = [], []
    for shard in range(layout.num_shards):
        part = folder / "manifest" / part_name(shard)
        if shard in missing:
            with explained(part):
                part.unlink(missing_ok=True)
        if not part.is_file():
            pending.append(shard)
            continue
        try:
            read_table(part, of=generator_key)
        except DamagedError:
            part.unlink(missing_ok=True)
            pending.append(shard)
            damaged.append(part.name)
    return pending, f"{damaged[0]} was damaged: made anew" if damaged else ""


def _fixed_layout(folder: Path, num_images: int, unit_size: int, images_per_shard: int) -> Layout:
    """Return the layout the pool was begun with, or fix it now."""
    path = folder / "layout.json"
    record = read_stage_file(path)
    if record is None or not _has_images(folder):
        layout = make_layout(num_images, unit_size=unit_size, max_images_per_shard=images_per_shard)
        write_record(path, asdict(layout))
        return layout
    layout = layout_of(path, record)
    if layout.num_images != num_images:
        raise StoreError(
            f"{path} is of a pool of {layout.num_images} images, not {num_images}. Delete {folder}."
        )
    return layout


def _has_images(folder: Path) -> bool:
    """Tell whether anything is stored, so that the layout can no longer change."""
    if (folder / STAGE_FILE).is_file():
        return True
    stored = itertools.chain((folder / "manifest").glob("*"), (folder / "shards").glob("*"))
    return bool(remote.stored_shards(folder / "shards")) or any(path.stat().st_size > 0 for path in stored)


def _finish(folder: StageFolder, rows: PromptTable, layout: Layout, generator_key: str) -> Record:
    """Join the parts of the manifest, check that every image is there once, and mark the pool as done."""
    started = time.perf_counter()
    shards = folder.path / "shards"
    for rest in itertools.chain(shards.glob("*.tmp"), shards.glob("*.times")):
        rest.unlink(missing_ok=True)  # of a worker that was slower than another with its shard
    paths = [folder.path / "manifest" / part_name(shard) for shard in range(layout.num_shards)]
    parts = [checked(read_table(path, of=generator_key), ImageRow, path) for path in paths]
    table = pa.concat_tables(parts).sort_by("index")
    if not np.array_equal(table["index"].to_numpy(), np.arange(layout.num_images)):
        raise StoreError(
            f"{folder.path}/manifest does not list every image once. Delete that folder and run again: it is rebuilt."
        )
    prompts = rows.table.cast(arrow_schema(Prompt)).combine_chunks()
    for name in ("text", "category", "kind", "nuisance", "seed", "seed_index"):
        if not table[name].combine_chunks().equals(prompts[name].combine_chunks()):
            raise DamagedError(
                f"{folder.path}/manifest has another {name} than the prompts. Delete that folder and run again: it is "
                "rebuilt."
            )
    write_table_atomic(folder.path / MANIFEST_FILE, table, of=folder.key)
    names = [f"shards/{shard_name(number)}" for number in range(layout.num_shards)]
    num_bytes = sum(size_of(folder.path / name) for name in names)
    record = {
        "num_images": layout.num_images,
        "num_shards": layout.num_shards,
        "num_bytes": num_bytes,
        "num_flagged": int(pc.sum(table["is_flagged"]).as_py() or 0),
        "generator": generator_key,
        "seconds": float(pc.sum(table["seconds"]).as_py()),
        "merge_seconds": time.perf_counter() - started,
    }
    folder.finish(record, [MANIFEST_FILE], only_sizes=names)  # each image has its hash in the manifest
    return record


def _result(folder: StageFolder, record: Record, *, is_skipped: bool, note: str = "") -> StageResult:
    note = f"{record['num_bytes'] / 2**20:.1f} MB in {record['num_shards']} shards{note}"
    if record.get("num_flagged"):
        note += f"; {record['num_flagged']} flagged by the safety checker (is_flagged in the manifest), never mined"
    return StageResult(
        stage="generate",
        key=folder.key,
        folder=str(folder.path),
        num_items=record["num_images"],
        unit="images",
        seconds=record["seconds"],
        is_skipped=is_skipped,
        note=note,
    )
