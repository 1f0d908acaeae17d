"""The progress bar of a stage, and silence from the library beneath it."""

import logging
import warnings
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from imagenetd.stages.workers.units import StageBar


def quieten() -> None:
    """Keep Lightning's advice off the terminal: devices and data-loader workers are the user's choice here."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning_fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    warnings.filterwarnings("ignore", module=r"torch\..*", category=FutureWarning)


def gpu_memory(trainer: Trainer) -> str:
    """Return the most GPU memory that this process has held, in words; empty when it works on another device."""
    import torch

    if trainer.strategy.root_device.type != "cuda":  # to ask CUDA itself would forbid to fork afterwards
        return ""
    return f", {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB"


class StageProgress(Callback):
    """Counts the items of `module.items_of(batch)` on the first process and scales them to all processes."""

    def __init__(self, stage: str, num_items: int) -> None:
        self.stage, self.num_items = stage, num_items
        self._bar: StageBar | None = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Arrive in a spawned process, where nothing has been quietened yet."""
        self.__dict__.update(state)
        quieten()

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar."""
        if trainer.global_rank != 0:
            return
        self._bar = StageBar(self.stage, self.num_items)

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Advance the bar."""
        if self._bar is None:
            return
        self._bar.advance(pl_module.items_of(batch) * trainer.world_size, note=gpu_memory(trainer))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close the bar before the error is shown."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
