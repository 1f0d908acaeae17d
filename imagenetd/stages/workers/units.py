"""A pool made unit by unit, and the bar that counts; neither needs torch."""

import time
from collections.abc import Iterator
from pathlib import Path

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from imagenetd.errors import WorkerError
from imagenetd.images.generators.generator import Generator, noise_seed
from imagenetd.images.pool import Layout
from imagenetd.images.writer import PoolWriter, Unit
from imagenetd.store.console import console
from imagenetd.words.prompt_table import PromptTable

Task = tuple[int, int, int]
"""Shard, index of the unit's first image, index after its last."""


class StageBar:
    """The progress bar of a stage, open from its construction to `close`."""

    def __init__(self, stage: str, num_items: int) -> None:
        self._bar = Progress(
            TextColumn("{task.description:<9}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console(),
            transient=True,
            disable=not console().is_terminal,
        )
        self.num_items = num_items
        self._bar.add_task(stage, total=num_items, speed="")
        self._bar.start()

    def advance(self, count: int, *, note: str = "") -> None:
        """Count some items more; the note stands behind the speed."""
        task = self._bar.tasks[0]
        done = min(self.num_items, task.completed + count)
        speed = done / task.elapsed if task.elapsed else 0.0
        self._bar.update(task.id, completed=done, speed=f"{speed:.1f}/s{note}")

    def close(self) -> None:
        """Take the bar off the terminal."""
        self._bar.stop()


class PoolMaker:
    """Makes units of a pool and hands them to the writer beside it.

    Args:
        generator: Not loaded yet: each process loads its own.
        rows: The whole prompt table.
        folder: Of the pool.
        layout: How the pool is cut.
        generator_key: Of the generator's identity.
    """

    def __init__(
        self, generator: Generator, rows: PromptTable, *, folder: Path, layout: Layout, generator_key: str
    ) -> None:
        self.generator, self.rows, self.layout = generator, rows, layout
        self.folder, self.generator_key = folder, generator_key
        self._writer: PoolWriter | None = None
        self._kept = 0

    def num_images(self, shards: list[int]) -> int:
        """Return how many images some shards hold."""
        return sum(len(self.layout.images(shard)) for shard in shards)

    def begin(self, device: str) -> None:
        """Read the weights and start the writer, in this process."""
        self.generator.load(device)
        self._writer = PoolWriter(self.folder, self.layout, self.generator_key)

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
                self._kept = writer.open(shard, self.rows[images.start : images.stop])
            if first >= images.start + self._kept:
                rows = self.rows[first:stop]
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
        """Wait until all is stored, and give the generator's memory back."""
        assert self._writer is not None
        try:
            self._writer.wait()
        finally:
            self.stop()
            self._writer = None
        self.generator.close()

    def stop(self) -> None:
        """Write nothing more: the loop was left between two units."""
        if self._writer is not None:
            self._writer.stop()


def make_alone(maker: PoolMaker, pending: list[int]) -> None:
    """Make some shards in this process, as the Lightning loop would, without reading torch and Lightning."""
    bar = StageBar("generate", maker.num_images(pending))
    try:
        maker.begin("cpu")
        for shard in pending:
            for task in maker.tasks(shard):
                maker.make(task)
                bar.advance(task[2] - task[1])
        maker.end()
    except MemoryError as error:
        raise no_memory() from error
    finally:
        maker.stop()
        bar.close()


def no_memory() -> WorkerError:
    """Return what to say where no memory was left."""
    return WorkerError(
        "There was no memory left for this run or for another process of it. Use fewer with trainer.num_workers=0 "
        "and trainer.devices=1, or smaller batches. What is finished is kept: the same command goes on from here."
    )
