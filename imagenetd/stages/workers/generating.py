"""The Lightning module that makes a pool's images, as many processes as there are."""

from collections.abc import Iterator

import torch
from lightning import LightningModule
from torch.utils.data import DataLoader, Dataset

from imagenetd.stages.workers.trainer import tasks_of
from imagenetd.stages.workers.units import PoolMaker, Task


class _Tasks(Dataset[Task]):
    """Names the units of work; nothing is read."""

    def __getitem__(self, task: Task) -> Task:
        return task


class GenerateModule(LightningModule):
    """Makes whole shards, unit by unit.

    Args:
        maker: Of the units.
        pending: Numbers of the shards still to be made.
    """

    def __init__(self, maker: PoolMaker, pending: list[int]) -> None:
        super().__init__()
        self.maker, self.pending = maker, pending

    def setup(self, stage: str) -> None:
        """Read the weights and start the writer, in this process."""
        self.maker.begin(str(self.trainer.strategy.root_device))

    def predict_dataloader(self) -> DataLoader[Task]:
        """Return this process's units, shard by shard."""
        return DataLoader(_Tasks(), batch_size=None, sampler=self._tasks())  # type: ignore[arg-type]

    def _tasks(self) -> Iterator[Task]:
        for shard in tasks_of(self.trainer, self.pending):
            yield from self.maker.tasks(shard)

    def items_of(self, task: Task) -> int:
        """Return the number of images of a unit, for the progress bar."""
        return task[2] - task[1]

    @torch.inference_mode()
    def predict_step(self, task: Task, batch_idx: int) -> None:
        """Make one unit and hand it to the writer, unless an interrupted run has stored it already."""
        self.maker.make(task)

    def on_predict_end(self) -> None:
        """Wait until all is stored, and give the generator's memory back."""
        self.maker.end()

    def stop(self) -> None:
        """Write nothing more: the loop was left between two units."""
        self.maker.stop()
