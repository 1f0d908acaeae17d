"""Encodes and stores finished units in a thread, while the generator already makes the next one."""

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from imagenetd.generators.generator import Picture, image_id, noise_seed
from imagenetd.pool import Layout, image_table, part_name
from imagenetd.records import ImageRow, Prompt
from imagenetd.shards import Member, ShardWriter, shard_name, sidecars
from imagenetd.store import explained, write_table_atomic


@dataclass(frozen=True)
class Unit:
    """What the generator made of one unit of work."""

    first: int
    """Index of its first image."""
    rows: Sequence[Prompt]
    pictures: Sequence[Picture]
    seconds: float
    """Of the device, for the whole unit."""


class PoolWriter:
    """Writes one shard after the other, unit by unit; a unit counts when its bytes are forced to disk.

    At most one unit waits to be written while the next is made, so a crash loses no more than two units.

    Args:
        folder: Of the pool.
        layout: How the pool is cut.
        generator_key: Fingerprint of the generator.
    """

    def __init__(self, folder: Path, layout: Layout, generator_key: str) -> None:
        self.folder, self.layout, self.generator_key = folder, layout, generator_key
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self._pending: list[Future[None]] = []
        self._shard: ShardWriter | None = None

    def open(self, shard: int, rows: Sequence[Prompt]) -> int:
        """Begin or continue a shard; return how many of its images an interrupted run has left in it."""
        writer = ShardWriter(self.folder / "shards" / shard_name(shard))
        if writer.path.is_file():  # closed, but killed before its part of the manifest was written
            self._shard = None
            return len(rows)
        self._shard = writer.__enter__()
        ids = [image_id(self.generator_key, row) for row in rows]
        return writer.keep(ids, unit_size=self.layout.unit_size)

    def add(self, unit: Unit) -> None:
        """Store a unit as soon as the one before it is stored; an error of that one is raised here."""
        shard = self._shard
        assert shard is not None
        self._submit(lambda: self._store(shard, unit))

    def close_shard(self, shard: int) -> None:
        """Name the shard, then write its part of the manifest."""
        writer, self._shard = self._shard, None
        self._submit(lambda: self._finish(shard, writer))

    def wait(self) -> None:
        """Return when all is stored, and raise what went wrong."""
        pending, self._pending = self._pending, []
        for future in pending:
            future.result()

    def stop(self) -> None:
        """End the thread after what it has begun; whole units stay for the next start."""
        self._thread.shutdown(wait=True)
        if self._shard is not None:
            self._shard.__exit__(None, None, None)
            self._shard = None

    def _submit(self, task: Callable[[], None]) -> None:
        self.wait()
        self._pending = [self._thread.submit(task)]

    def _store(self, shard: ShardWriter, unit: Unit) -> None:
        files: list[tuple[str, bytes]] = []
        for row, picture in zip(unit.rows, unit.pictures, strict=True):
            name = image_id(self.generator_key, row)
            height, width = picture.pixels.shape[:2]
            sidecar = {"image_id": name, **asdict(row), "height_px": height, "width_px": width}
            sidecar["noise_seed"] = noise_seed(self.generator_key, row)
            sidecar["is_flagged"] = picture.is_flagged
            text = json.dumps(sidecar, ensure_ascii=False).encode()
            files += [(f"{name}.png", png(picture.pixels)), (f"{name}.json", text)]
        shard.append(files)
        stop, each = unit.first + len(unit.rows), unit.seconds / len(unit.rows)
        line = {"first": unit.first, "stop": stop, "seconds_per_image": each}
        path = shard.path.with_name(f"{shard.path.name}.times")
        with explained(path), path.open("a") as stream:
            stream.write(json.dumps(line) + "\n")

    def _finish(self, shard: int, writer: ShardWriter | None) -> None:
        """Close the archive; what stands in the manifest is read back from the archive itself."""
        if writer is not None:
            writer.finish()
            writer.__exit__(None, None, None)
        path = self.folder / "shards" / shard_name(shard)
        times_path = path.with_name(f"{path.name}.times")
        times = read_times(times_path)
        found = sidecars(path, num_images=len(self.layout.images(shard)))
        with path.open("rb") as stream:
            rows = [self._row(stream, path.name, member, sidecar, times) for member, sidecar in found]
        write_table_atomic(self.folder / "manifest" / part_name(shard), image_table(rows))
        times_path.unlink(missing_ok=True)

    def _row(
        self, stream: Any, name: str, member: Member, sidecar: dict[str, Any], times: dict[int, float]
    ) -> ImageRow:
        stream.seek(member.offset)
        older = {"noise_seed": int(sidecar["image_id"], 16) & (2**63 - 1)}  # shards once did not say it
        return ImageRow(
            **(older | sidecar),
            generator=self.generator_key,
            sha256=hashlib.sha256(stream.read(member.length)).hexdigest(),
            shard=name,
            offset=member.offset,
            length=member.length,
            seconds=times.get(sidecar["index"], 0.0),
        )


def read_times(path: Path) -> dict[int, float]:
    """Return image index -> seconds from a shard's time file; a line torn by a kill is left out."""
    times: dict[int, float] = {}
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            unit = json.loads(line)
        except ValueError:
            continue
        times |= dict.fromkeys(range(unit["first"], unit["stop"]), unit["seconds_per_image"])
    return times


def png(array: np.ndarray) -> bytes:
    """Return the pixels as a PNG file, the same bytes for the same pixels."""
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format="PNG", compress_level=6)
    return stream.getvalue()
