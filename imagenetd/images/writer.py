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

from imagenetd.errors import DamagedError
from imagenetd.images.generators.generator import Picture, image_id, noise_seed
from imagenetd.images.pool import Layout, image_table, part_name
from imagenetd.images.shards import Member, ShardWriter, png_size, shard_name, sidecars
from imagenetd.records import ImageRow, Prompt
from imagenetd.store import remote
from imagenetd.store.folders import explained, write_table_atomic
from imagenetd.store.seals import open_record, seal_record


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
        name: Of this process, in the names of unfinished files.
    """

    def __init__(self, folder: Path, layout: Layout, generator_key: str, *, name: str = "0") -> None:
        self.folder, self.layout, self.generator_key, self.name = folder, layout, generator_key, name
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self._pending: list[Future[None]] = []
        self._shard: ShardWriter | None = None
        self._rows: Sequence[Prompt] = ()

    def open(self, shard: int, rows: Sequence[Prompt]) -> int:
        """Begin or continue a shard; return how many of its images an interrupted run has left in it."""
        writer = ShardWriter(self.folder / "shards" / shard_name(shard), writer=self.name)
        self._rows = rows
        remote.fetch(writer.path)
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
        writer, self._shard, rows = self._shard, None, self._rows
        self._submit(lambda: self._finish(shard, writer, rows))
        if remote.mirror_of(
            self.folder
        ):  # a lost machine shall cost one shard, not one on its way and one begun
            self.wait()

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
            stream.write(json.dumps(seal_record(line)) + "\n")

    def _finish(self, shard: int, writer: ShardWriter | None, rows: Sequence[Prompt]) -> None:
        """Close the archive; what stands in the manifest is read back from the archive itself, and checked.

        Another writer may have been faster with the same shard. Its part of the manifest stays: the times go with it.
        """
        if writer is not None:
            writer.finish()
            writer.__exit__(None, None, None)
        path = self.folder / "shards" / shard_name(shard)
        times_path = path.with_name(f"{path.name}.times")
        part, times = self.folder / "manifest" / part_name(shard), read_times(times_path)
        if (
            not part.is_file()
        ):  # looked for after the times were read, which are forgotten after it is written
            remote.fetch(path)
            found = stored_rows(path, rows, self.generator_key, times)
            write_table_atomic(part, image_table(found), of=self.generator_key)
        times_path.unlink(missing_ok=True)
        remote.push(path, part)


def stored_rows(
    path: Path, rows: Sequence[Prompt], generator_key: str, times: dict[int, float]
) -> list[ImageRow]:
    """Return what a finished shard holds, one row for each image, after checking every byte that counts.

    Nothing but the prompts is taken for granted: the PNG's own checksums, and the row that is stored beside each
    image, must fit. DamagedError where they do not.

    Args:
        path: Of the shard.
        rows: Its prompts.
        generator_key: Fingerprint of the generator.
        times: Index of an image -> seconds.
    """
    made = []
    with explained(path, verb="read"), path.open("rb") as stream:
        for (member, sidecar), row in zip(sidecars(path, num_images=len(rows)), rows, strict=True):
            stream.seek(member.offset)
            data = stream.read(member.length)
            try:
                _require_own(member, sidecar, row, generator_key, png_size(data))
            except ValueError as error:
                raise DamagedError(
                    f"{path} is damaged: {member.name} {error}. Delete it and run again: only its images are made "
                    "anew."
                ) from error
            made.append(
                ImageRow(
                    **sidecar,
                    generator=generator_key,
                    sha256=hashlib.sha256(data).hexdigest(),
                    shard=path.name,
                    offset=member.offset,
                    length=member.length,
                    seconds=times.get(row.index, 0.0),
                )
            )
    return made


def _require_own(
    member: Member, sidecar: dict[str, Any], row: Prompt, generator_key: str, size: tuple[int, int]
) -> None:
    """Raise ValueError where the row that is stored beside an image is not the one that was written."""
    name = image_id(generator_key, row)
    expected = {"image_id": name, **asdict(row), "noise_seed": noise_seed(generator_key, row)}
    expected |= {"height_px": size[0], "width_px": size[1]}
    if member.name != f"{name}.png":
        raise ValueError(f"stands where {name}.png should be")
    for field, value in expected.items():
        if field not in sidecar:
            raise ValueError(f"has no {field} in its row")
        if sidecar[field] != value:
            raise ValueError(f"has {field}={sidecar[field]!r:.60} in its row instead of {value!r:.60}")
    if strange := set(sidecar) - set(expected) - {"is_flagged"}:
        raise ValueError(f"has {strange.pop()!r:.40} in its row")
    if not isinstance(sidecar.get("is_flagged"), bool):
        raise ValueError("has no truth value for is_flagged in its row")


def read_times(path: Path) -> dict[int, float]:
    """Return image index -> seconds from a shard's time file; a line torn by a kill, or damaged, is left out."""
    times: dict[int, float] = {}
    with explained(path, verb="read"):
        lines = path.read_bytes().splitlines() if path.is_file() else []
    for line in lines:
        try:
            unit = open_record(json.loads(line))
        except (ValueError, AttributeError, TypeError):
            continue
        seconds: float = unit["seconds_per_image"]
        times |= dict.fromkeys(range(unit["first"], unit["stop"]), seconds)
    return times


def png(array: np.ndarray) -> bytes:
    """Return the pixels as a PNG file, the same bytes for the same pixels."""
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format="PNG", compress_level=6)
    return stream.getvalue()
