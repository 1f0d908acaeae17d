"""The Lightning strategy of a process that works alone on its device, beside others that do the same."""

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import SingleDeviceStrategy

from imagenetd.stages.workers.team.place import Place


class TeamStrategy(SingleDeviceStrategy):
    """Prediction needs no collective operation, so none can hang: a process knows its rank, and asks for its next task.

    Args:
        device: Of this process.
        place: Of this process.
        take: Gives the next task that nobody has taken; None when there is none.
    """

    def __init__(self, device: torch.device, place: Place, take: Callable[[], int | None]) -> None:
        super().__init__(device)
        self.global_rank, self.local_rank, self.world_size = place.rank, place.local_rank, place.world_size
        self.take = take


class CheckBetweenUnits(Callback):
    """Calls `check` before each unit of work; what it raises ends the work at a unit's edge."""

    def __init__(self, check: Callable[[], None]) -> None:
        self.check = check

    def on_predict_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Check."""
        self.check()
