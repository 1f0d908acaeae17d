"""Counting in a Lightning loop, and silence from the library."""

import logging
import warnings
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from imagenetd.stages.workers.work import Counter


def quieten() -> None:
    """Keep Lightning's advice off the terminal: devices and data-loader workers are the user's choice here."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning_fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    warnings.filterwarnings("ignore", module=r"torch\..*", category=FutureWarning)


def gpu_memory(trainer: Trainer) -> float:
    """Return the most GPU memory that this process has held, GiB; 0 when it works on another device."""
    import torch

    if trainer.strategy.root_device.type != "cuda":  # to ask CUDA itself would forbid to fork afterwards
        return 0.0
    return torch.cuda.max_memory_allocated() / 2**30


class CountItems(Callback):
    """Counts the items of `module.items_of(batch)`, and ends the loop between two of them when it shall.

    Args:
        counter: Is told.
    """

    def __init__(self, counter: Counter) -> None:
        self.counter = counter

    def on_predict_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """End the loop where the work was called off."""
        self.counter.check()

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Count."""
        self.counter.advance(pl_module.items_of(batch), gpu_gib=gpu_memory(trainer))
