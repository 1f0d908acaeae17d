"""The Lightning module that makes a pool's images and writes their shards."""

import hashlib
import io
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningModule
from PIL import Image
from torch.utils.data import DataLoader

from imagenetd.generators.generator import Generator, image_id, noise_seed
from imagenetd.pool import Layout, image_table, part_name
from imagenetd.records import ImageRow, Prompt
from imagenetd.shards import Member, ShardWriter, shard_name, sidecars
from imagenetd.store import content_key, explained, write_table_atomic

Unit = tuple[int, int, int]
"""Shard, index of the unit's first image, index after its last."""


class GenerateModule(LightningModule):
    """Makes whole shards, unit by unit; every unit is durable before the next begins.

    Args:
        generator: Not loaded yet: each process loads its own.
        rows: The whole prompt table.
        folder: Of the pool.
        layout: How the pool is cut.
        pending: Numbers of the shards still to be made.
        identity: Of the generator.
    """

    def __init__(
        self,
        generator: Generator,
        rows: list[Prompt],
        *,
        folder: Path,
        layout: Layout,
        pending: list[int],
        identity: dict[str, Any],
    ) -> None:
        super().__init__()
        self.generator, self.rows, self.folder, self.layout, self.pending = (
            generator,
            rows,
            folder,
            layout,
            pending,
        )
        self.generator_key = content_key(identity)
        self._writer: ShardWriter | None = None
        self._kept = 0

    def setup(self, stage: str) -> None:
        """Read the weights in this process."""
        self.generator.load(str(self.trainer.strategy.root_device))

    def predict_dataloader(self) -> DataLoader[Unit]:
        """Return this process's units, shard by shard."""
        mine = self.pending[self.trainer.global_rank :: self.trainer.world_size]
        units: list[Unit] = [
            (shard, unit.start, unit.stop) for shard in mine for unit in self.layout.units(shard)
        ]
        return DataLoader(units, batch_size=None, collate_fn=None)  # type: ignore[arg-type]

    def items_of(self, unit: Unit) -> int:
        """Return the number of images of a unit, for the progress bar."""
        return unit[2] - unit[1]

    def predict_step(self, unit: Unit, batch_idx: int) -> None:
        """Make and store one unit, unless an interrupted run already has."""
        shard, first, stop = unit
        images = self.layout.images(shard)
        try:
            if first == images.start:
                self._open(shard)
            if first >= images.start + self._kept:
                self._make(shard, range(first, stop))
            if stop == images.stop:
                self._close(shard)
        except BaseException:
            if self._writer is not None:  # its whole units stay for the next start
                self._writer.__exit__(None, None, None)
            raise

    def _ids(self, images: range) -> list[str]:
        return [image_id(self.generator_key, self.rows[index]) for index in images]

    def _open(self, shard: int) -> None:
        writer = ShardWriter(self.folder / "shards" / shard_name(shard))
        if writer.path.is_file():  # closed, but killed before its part of the manifest was written
            self._kept = len(self.layout.images(shard))
            return
        self._writer = writer.__enter__()
        self._kept = writer.keep(self._ids(self.layout.images(shard)), unit_size=self.layout.unit_size)

    @torch.inference_mode()
    def _make(self, shard: int, images: range) -> None:
        assert self._writer is not None
        started = time.perf_counter()
        rows = [self.rows[index] for index in images]
        ids = self._ids(images)
        pixels = self.generator.generate(rows, [noise_seed(name) for name in ids])
        files: list[tuple[str, bytes]] = []
        for name, row, array in zip(ids, rows, pixels, strict=True):
            sidecar = {
                "image_id": name,
                **asdict(row),
                "height_px": array.shape[0],
                "width_px": array.shape[1],
            }
            files += [
                (f"{name}.png", _png(array)),
                (f"{name}.json", json.dumps(sidecar, ensure_ascii=False).encode()),
            ]
        self._writer.append(files)
        seconds = (time.perf_counter() - started) / len(rows)
        line = {"first": images.start, "stop": images.stop, "seconds_per_image": seconds}
        path = self.folder / "shards" / f"{shard_name(shard)}.times"
        with explained(path), path.open("a") as stream:
            stream.write(json.dumps(line) + "\n")

    def _close(self, shard: int) -> None:
        """Name the shard, then write its part of the manifest from what the shard itself says."""
        if self._writer is not None:
            self._writer.finish()
            self._writer.__exit__(None, None, None)
            self._writer = None
        self._kept = 0
        path = self.folder / "shards" / shard_name(shard)
        times_path = path.with_name(f"{path.name}.times")
        times = read_times(times_path)
        num_images = len(self.layout.images(shard))
        rows = [
            self._row(path, member, sidecar, times)
            for member, sidecar in sidecars(path, num_images=num_images)
        ]
        write_table_atomic(self.folder / "manifest" / part_name(shard), image_table(rows))
        times_path.unlink(missing_ok=True)

    def _row(self, path: Path, member: Member, sidecar: dict[str, Any], times: dict[int, float]) -> ImageRow:
        with path.open("rb") as stream:
            stream.seek(member.offset)
            sha256 = hashlib.sha256(stream.read(member.length)).hexdigest()
        return ImageRow(
            **sidecar,
            noise_seed=noise_seed(sidecar["image_id"]),
            generator=self.generator_key,
            sha256=sha256,
            shard=path.name,
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


def _png(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format="PNG", compress_level=6)
    return stream.getvalue()
