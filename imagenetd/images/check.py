"""Every image of a pool, read once: is it there, does it have its hash, does it decode?"""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from imagenetd.errors import StoreError
from imagenetd.images.decode import UndecodableError, decode
from imagenetd.images.pool import (
    MANIFEST_FILE,
    POOL_DECODING,
    Layout,
    checked,
    missing_numbers,
    part_name,
    read_layout,
)
from imagenetd.images.shards import shard_name, sidecars
from imagenetd.records import ImageRow
from imagenetd.store.folders import STAGE_FILE, read_stage_file, read_table


@dataclass(frozen=True, slots=True)
class ShardFinding:
    """What is wrong with one shard; empty when nothing is."""

    shard: int
    num_images: int
    """Images that are whole."""
    num_bytes: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PoolFinding:
    """What a check of a pool has found."""

    layout: Layout
    is_finished: bool
    shards: tuple[ShardFinding, ...]
    missing_shards: tuple[int, ...]
    """Not made yet, or lost."""
    num_repeated: int
    """Images whose id stands more than once."""

    @property
    def num_images(self) -> int:
        """Number of images that are whole."""
        return sum(shard.num_images for shard in self.shards)

    @property
    def damaged(self) -> list[ShardFinding]:
        """Return the shards in which something is wrong."""
        return [shard for shard in self.shards if shard.problems]

    @property
    def is_whole(self) -> bool:
        """Whether every image that should be there is there once, and none is damaged."""
        return not (self.damaged or self.num_repeated or (self.is_finished and self.missing_shards))


def check_pool(folder: Path, *, num_threads: int, progress: Callable[[int], None]) -> PoolFinding:
    """Read every stored image of a pool, finished or not.

    Args:
        folder: Of the pool.
        num_threads: Shards that are read at a time.
        progress: Called with the number of images of each shard that has been read.
    """
    layout = read_layout(folder)
    missing = set(missing_numbers(folder / "shards", shard_name, layout.num_shards))
    missing |= set(missing_numbers(folder / "manifest", part_name, layout.num_shards))
    present = [shard for shard in range(layout.num_shards) if shard not in missing]

    def check(shard: int) -> tuple[ShardFinding, list[str]]:
        found = _check_shard(folder, layout, shard)
        progress(len(layout.images(shard)))
        return found

    with ThreadPoolExecutor(num_threads) as threads:
        results = list(threads.map(check, present))
    ids = [name for _, names in results for name in names]
    is_finished = read_stage_file(folder / STAGE_FILE) is not None
    shards = tuple(finding for finding, _ in results)
    return PoolFinding(layout, is_finished, shards, tuple(sorted(missing)), len(ids) - len(set(ids)))


def _check_shard(folder: Path, layout: Layout, shard: int) -> tuple[ShardFinding, list[str]]:
    """Return what is wrong with a shard, and the ids that its part of the manifest lists."""
    path, part = folder / "shards" / shard_name(shard), folder / "manifest" / part_name(shard)
    try:
        table = checked(read_table(part), ImageRow, part)
    except StoreError as error:
        return ShardFinding(shard, 0, 0, (str(error),)), []
    problems = []
    if not np.array_equal(table["index"].to_numpy(), np.asarray(layout.images(shard))):
        problems.append(f"{part.name} does not list the images of its shard")
    problems += _strange_rows(path, table)
    num_whole = 0
    with path.open("rb") as stream:
        for row in table.to_pylist():
            trouble = _trouble(os.pread(stream.fileno(), row["length"], row["offset"]), row)
            num_whole += not trouble
            if trouble:
                problems.append(f"{row['image_id']} {trouble}")
    return ShardFinding(shard, num_whole, path.stat().st_size, tuple(problems)), table["image_id"].to_pylist()


def _strange_rows(path: Path, table: pa.Table) -> list[str]:
    """Return what the rows beside the images say otherwise than the manifest."""
    try:
        found = sidecars(path, num_images=table.num_rows)
    except StoreError as error:
        return [str(error)]
    return [
        f"{row['image_id']} has another {name} beside it than in the manifest"
        for (member, sidecar), row in zip(found, table.to_pylist(), strict=True)
        for name in [next((name for name in sidecar if sidecar[name] != row.get(name)), None)]
        if name is not None or member.name != f"{row['image_id']}.png"
    ]


def _trouble(data: bytes, row: dict[str, Any]) -> str:
    """Return what is wrong with an image's bytes; empty when nothing is."""
    if len(data) != row["length"]:
        return "is cut short"
    if hashlib.sha256(data).hexdigest() != row["sha256"]:
        return "does not have its recorded hash"
    try:
        size = decode(data, POOL_DECODING).size
    except UndecodableError as error:
        return f"does not decode ({error})"
    return "" if size == (row["width_px"], row["height_px"]) else f"is of {size[0]} x {size[1]} px"


def forget_shard(folder: Path, shard: int) -> None:
    """Delete a damaged shard, so that the next run makes its images anew."""
    (folder / "shards" / shard_name(shard)).unlink(missing_ok=True)
    (folder / "manifest" / part_name(shard)).unlink(missing_ok=True)
    (folder / MANIFEST_FILE).unlink(missing_ok=True)
    (folder / STAGE_FILE).unlink(missing_ok=True)
