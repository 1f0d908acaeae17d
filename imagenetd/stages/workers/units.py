"""A pool made unit by unit; it needs no torch where its generator needs none."""

import time
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from imagenetd.config.schema import TrainerConfig
from imagenetd.images.generators.generator import Generator, noise_seed
from imagenetd.images.pool import (
    PROMPTS_FILE,
    Layout,
    missing_numbers,
    open_prompts_by_shard,
    part_name,
    prompts_of_shard,
    read_layout,
)
from imagenetd.images.writer import PoolWriter, Unit
from imagenetd.records import Record
from imagenetd.stages.workers.board import Seat
from imagenetd.stages.workers.work import Counter, Task, UnitWork, no_memory

if TYPE_CHECKING:
    from lightning import LightningModule
    from pyarrow.parquet import ParquetFile


class GenerateWork(UnitWork):
    """The images of a pool: each shard needs its own rows of the prompt table and nothing else.

    Args:
        generator: Not loaded yet: each process loads its own.
        folder: Of the pool, with `layout.json` and `prompts.parquet`, whose row groups are the shards.
        trainer: Of the run.
        generator_key: Of the generator's identity.
    """

    stage = "generate"

    def __init__(
        self, generator: Generator, *, folder: Path, trainer: TrainerConfig, generator_key: str
    ) -> None:
        self.generator, self.folder, self.trainer = generator, folder, trainer
        self.generator_key = generator_key
        self._writer: PoolWriter | None = None
        self._is_loaded = False
        self._kept = 0

    @cached_property
    def layout(self) -> Layout:
        """How the pool is cut."""
        return read_layout(self.folder)

    @cached_property
    def _prompts(self) -> "ParquetFile":
        return open_prompts_by_shard(self.folder / PROMPTS_FILE)

    def order(self) -> Record:
        """Return the key that the generator must have."""
        return {"generator": self.generator_key}

    def missing(self) -> list[int]:
        """Return the shards without a part of the manifest."""
        return missing_numbers(self.folder / "manifest", part_name, self.layout.num_shards)

    def is_missing(self, shard: int) -> bool:
        """Tell whether a shard has no part of the manifest."""
        return not (self.folder / "manifest" / part_name(shard)).is_file()

    def num_items(self, shards: Iterable[int]) -> int:
        """Return how many images some shards hold."""
        return sum(len(self.layout.images(shard)) for shard in shards)

    @property
    def needs_lightning(self) -> bool:  # type: ignore[override]
        """Tell whether the generator needs torch."""
        return self.generator.needs_torch or self.trainer.accelerator != "cpu"

    def module(self, shards: Iterable[int], seat: Seat) -> "LightningModule":
        """Return the module that makes some shards."""
        from imagenetd.stages.workers.generating import GenerateModule

        return GenerateModule(self, shards, seat)

    def do_without_lightning(self, shards: Iterable[int], seat: Seat, counter: Counter) -> None:
        """Make some shards without reading torch."""
        try:
            self.begin("cpu", seat)
            for shard in shards:
                for task in self.tasks(shard):
                    counter.check()
                    self.make(task)
                    counter.advance(task[2] - task[1])
            self.end()
        except MemoryError as error:
            raise no_memory() from error
        finally:
            self.stop()

    def begin(self, device: str, seat: Seat) -> None:
        """Read the weights, unless they are read, and start the writer, in this process."""
        if not self._is_loaded:
            self.generator.load(device)
            self._is_loaded = True
        self._writer = PoolWriter(self.folder, self.layout, self.generator_key, name=seat.name)

    def tasks(self, shard: int) -> Iterator[Task]:
        """Yield the units of a shard."""
        yield from ((shard, unit.start, unit.stop) for unit in self.layout.units(shard))

    def make(self, task: Task) -> None:
        """Make one unit and hand it to the writer, unless an interrupted run has stored it already."""
        shard, first, stop = task
        images, writer = self.layout.images(shard), self._writer
        assert writer is not None
        try:
            if first == images.start:
                path = self.folder / PROMPTS_FILE
                self._rows = prompts_of_shard(self._prompts, shard, self.layout, path)
                self._kept = writer.open(shard, self._rows)
            if first >= images.start + self._kept:
                rows = self._rows[first - images.start : stop - images.start]
                started = time.perf_counter()
                seeds = [noise_seed(self.generator_key, row) for row in rows]
                pictures = self.generator.generate(rows, seeds)
                writer.add(Unit(first, rows, pictures, time.perf_counter() - started))
            if stop == images.stop:
                writer.close_shard(shard)
        except BaseException:
            writer.stop()
            raise

    def end(self) -> None:
        """Wait until all is stored."""
        assert self._writer is not None
        try:
            self._writer.wait()
        finally:
            self.stop()

    def stop(self) -> None:
        """Write nothing more: the loop was left between two units."""
        if self._writer is not None:
            self._writer.stop()
            self._writer = None

    def close(self) -> None:
        """Give the generator's memory back."""
        if self._is_loaded:
            self.generator.close()
            self._is_loaded = False
