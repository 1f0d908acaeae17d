"""The Lightning module that makes a pool's images, as many processes as there are."""

from collections.abc import Iterable, Iterator

import torch
from lightning import LightningModule
from torch.utils.data import DataLoader, Dataset

from imagenetd.stages.workers.board import Seat
from imagenetd.stages.workers.work import Task, UnitWork


class _Tasks(Dataset[Task]):
    """Names the units of work; nothing is read."""

    def __getitem__(self, task: Task) -> Task:
        return task


class GenerateModule(LightningModule):
    """Makes whole shards, unit by unit.

    Args:
        work: Makes the units.
        shards: To be made; asked for one at a time.
        seat: Of this worker.
    """

    def __init__(self, work: UnitWork, shards: Iterable[int], seat: Seat) -> None:
        super().__init__()
        self.work, self.shards, self.seat = work, shards, seat

    def setup(self, stage: str) -> None:
        """Read the weights and start the writer, in this process."""
        self.work.begin(str(self.trainer.strategy.root_device), self.seat)

    def predict_dataloader(self) -> DataLoader[Task]:
        """Return the units, shard by shard."""
        return DataLoader(_Tasks(), batch_size=None, sampler=self._tasks())  # type: ignore[arg-type]

    def _tasks(self) -> Iterator[Task]:
        for shard in self.shards:
            yield from self.work.tasks(shard)

    def items_of(self, task: Task) -> int:
        """Return the number of images of a unit, for the progress bar."""
        return task[2] - task[1]

    @torch.inference_mode()
    def predict_step(self, task: Task, batch_idx: int) -> None:
        """Make one unit and hand it to the writer, unless an interrupted run has stored it already."""
        self.work.make(task)

    def on_predict_end(self) -> None:
        """Wait until all is stored."""
        self.work.end()

    def stop(self) -> None:
        """Write nothing more: the loop was left between two units."""
        self.work.stop()
