"""The Lightning module that makes a pool's images; a writer beside it stores them."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule
from torch.utils.data import DataLoader, Dataset

from imagenetd.images.generators.generator import Generator, noise_seed
from imagenetd.images.pool import Layout
from imagenetd.images.writer import PoolWriter, Unit
from imagenetd.stages.workers.trainer import tasks_of
from imagenetd.store.folders import content_key
from imagenetd.words.prompt_table import PromptTable

Task = tuple[int, int, int]
"""Shard, index of the unit's first image, index after its last."""


class _Tasks(Dataset[Task]):
    """Names the units of work; nothing is read."""

    def __getitem__(self, task: Task) -> Task:
        return task


class GenerateModule(LightningModule):
    """Makes whole shards, unit by unit.

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
        rows: PromptTable,
        *,
        folder: Path,
        layout: Layout,
        pending: list[int],
        identity: dict[str, Any],
    ) -> None:
        super().__init__()
        self.generator, self.rows, self.folder = generator, rows, folder
        self.layout, self.pending = layout, pending
        self.generator_key = content_key(identity)
        self._writer: PoolWriter | None = None
        self._kept = 0

    def setup(self, stage: str) -> None:
        """Read the weights and start the writer, in this process."""
        self.generator.load(str(self.trainer.strategy.root_device))
        self._writer = PoolWriter(self.folder, self.layout, self.generator_key)

    def predict_dataloader(self) -> DataLoader[Task]:
        """Return this process's units, shard by shard."""
        return DataLoader(_Tasks(), batch_size=None, sampler=self._tasks())  # type: ignore[arg-type]

    def _tasks(self) -> Iterator[Task]:
        for shard in tasks_of(self.trainer, self.pending):
            yield from ((shard, unit.start, unit.stop) for unit in self.layout.units(shard))

    def items_of(self, task: Task) -> int:
        """Return the number of images of a unit, for the progress bar."""
        return task[2] - task[1]

    def predict_step(self, task: Task, batch_idx: int) -> None:
        """Make one unit and hand it to the writer, unless an interrupted run has stored it already."""
        shard, first, stop = task
        images, writer = self.layout.images(shard), self._writer
        assert writer is not None
        try:
            if first == images.start:
                self._kept = writer.open(shard, self.rows[images.start : images.stop])
            if first >= images.start + self._kept:
                rows, started = self.rows[first:stop], time.perf_counter()
                seeds = [noise_seed(self.generator_key, row) for row in rows]
                with torch.inference_mode():
                    pictures = self.generator.generate(rows, seeds)
                writer.add(Unit(first, rows, pictures, time.perf_counter() - started))
            if stop == images.stop:
                writer.close_shard(shard)
        except BaseException:
            writer.stop()
            raise

    def on_predict_end(self) -> None:
        """Wait until all is stored, and give the generator's memory back."""
        assert self._writer is not None
        try:
            self._writer.wait()
        finally:
            self._writer.stop()
            self._writer = None
        self.generator.close()

    def stop(self) -> None:
        """Write nothing more: the loop was left between two units."""
        if self._writer is not None:
            self._writer.stop()
