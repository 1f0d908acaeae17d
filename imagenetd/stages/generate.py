"""Stage 2: the pool of images."""

import itertools
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imagenetd.config import StoreConfig, TrainerConfig
from imagenetd.errors import StoreError
from imagenetd.generators.generator import Generator
from imagenetd.pool import Layout, checked, make_layout, missing_numbers, missing_shards, part_name
from imagenetd.prompt_table import PromptTable
from imagenetd.records import ImageRow, StageResult
from imagenetd.shards import shard_name
from imagenetd.store import (
    STAGE_FILE,
    StageFolder,
    content_key,
    make_folder,
    read_stage_file,
    read_table,
    require_space,
    write_json_atomic,
    write_table_atomic,
)

BYTES_PER_PIXEL = 2.5
"""Upper estimate for a lossless PNG of a photograph, for the check of free space."""


def generate_pool(
    folder: StageFolder,
    rows: PromptTable,
    generator: Generator,
    *,
    generator_identity: dict[str, Any],
    store: StoreConfig,
    trainer: TrainerConfig,
    waiting: Callable[[Path], None],
) -> StageResult:
    """Make the images that the pool still lacks and write its manifest.

    A unit of work is a fixed run of rows of the prompt table, whatever the number of processes, so an image has the
    same bytes whoever makes it and however often the run is interrupted.
    """
    with folder.locked(waiting):
        layout = _fixed_layout(folder.path, len(rows), generator.unit_size, store.images_per_shard)
        record = folder.done()
        lost = missing_shards(folder.path, layout) if record else []
        if record is not None and not lost and (folder.path / "manifest.parquet").is_file():
            return _result(folder, record, is_skipped=True)
        folder.reopen()
        for shard in lost:
            (folder.path / "manifest" / part_name(shard)).unlink(missing_ok=True)
        pending = missing_numbers(folder.path / "manifest", part_name, layout.num_shards)
        if pending:
            _make(folder.path, rows, pending, layout, generator, generator_identity, trainer)
        record = _finish(folder, layout, content_key(generator_identity))
        note = f"; in units of {layout.unit_size} images, as it was begun"
        return _result(
            folder, record, is_skipped=False, note=note if layout.unit_size != generator.unit_size else ""
        )


def _make(
    folder: Path,
    rows: PromptTable,
    pending: list[int],
    layout: Layout,
    generator: Generator,
    identity: dict[str, Any],
    trainer: TrainerConfig,
) -> None:
    from imagenetd.distributed import run_prediction
    from imagenetd.generators.module import GenerateModule

    for name in ("shards", "manifest"):
        make_folder(folder / name)
    num_images = sum(len(layout.images(shard)) for shard in pending)
    require_space(folder, int(num_images * generator.num_pixels * BYTES_PER_PIXEL))
    module = GenerateModule(generator, rows, folder=folder, layout=layout, pending=pending, identity=identity)
    run_prediction(module, trainer, stage="generate", tasks=pending, num_items=num_images, folder=folder)


def _fixed_layout(folder: Path, num_images: int, unit_size: int, images_per_shard: int) -> Layout:
    """Return the layout the pool was begun with, or fix it now."""
    path = folder / "layout.json"
    record = read_stage_file(path)
    if record is None or not _has_images(folder):
        layout = make_layout(num_images, unit_size=unit_size, max_images_per_shard=images_per_shard)
        write_json_atomic(path, asdict(layout))
        return layout
    try:
        layout = Layout(**record)
    except TypeError as error:
        raise StoreError(f"{path} is damaged. Delete the folder {folder} and run again.") from error
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
    return any(path.stat().st_size > 0 for path in stored)


def read_layout(folder: Path) -> Layout:
    """Return the layout of a finished pool."""
    record = read_stage_file(folder / "layout.json")
    if record is None:
        raise StoreError(f"{folder}/layout.json is missing. Delete {folder} and run again.")
    return Layout(**record)


def _finish(folder: StageFolder, layout: Layout, generator_key: str) -> dict[str, Any]:
    """Join the parts of the manifest, check that every image is there once, and mark the pool as done."""
    started = time.perf_counter()
    paths = [folder.path / "manifest" / part_name(shard) for shard in range(layout.num_shards)]
    table = pa.concat_tables(checked(read_table(path), ImageRow, path) for path in paths).sort_by("index")
    if not np.array_equal(table["index"].to_numpy(), np.arange(layout.num_images)):
        raise StoreError(
            f"{folder.path}/manifest does not list every image once. Delete that folder and run again: it is rebuilt."
        )
    write_table_atomic(folder.path / "manifest.parquet", table)
    num_bytes = sum((folder.path / "shards" / shard_name(n)).stat().st_size for n in range(layout.num_shards))
    record = {
        "num_images": layout.num_images,
        "num_shards": layout.num_shards,
        "num_bytes": num_bytes,
        "num_flagged": int(pc.sum(table["is_flagged"]).as_py() or 0),
        "generator": generator_key,
        "seconds": float(pc.sum(table["seconds"]).as_py()),
        "merge_seconds": time.perf_counter() - started,
    }
    folder.finish(record)
    return record


def _result(folder: StageFolder, record: dict[str, Any], *, is_skipped: bool, note: str = "") -> StageResult:
    note = f"{record['num_bytes'] / 2**20:.1f} MB in {record['num_shards']} shards{note}"
    if record.get("num_flagged"):
        note += f"; {record['num_flagged']} flagged by the safety checker (is_flagged in the manifest), never mined"
    return StageResult(
        "generate",
        folder.key,
        str(folder.path),
        record["num_images"],
        "images",
        record["seconds"],
        is_skipped,
        note,
    )
