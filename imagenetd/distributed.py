"""One way to run a Lightning prediction loop: any number of processes, the same result."""

import multiprocessing
import re
import sys
from typing import TYPE_CHECKING

from imagenetd import errors
from imagenetd.config import TrainerConfig
from imagenetd.errors import ConfigError
from imagenetd.progress import StageProgress, quieten

if TYPE_CHECKING:
    import lightning


def run_prediction(
    module: "lightning.LightningModule", config: TrainerConfig, *, stage: str, num_tasks: int, num_items: int
) -> None:
    """Call the module's predict_step for all of its tasks.

    The module divides its tasks itself, by `trainer.global_rank` and `trainer.world_size`, because a task is a whole
    shard and what it writes must not depend on the division.

    Args:
        module: Writes its own results to disk.
        config: Devices, strategy, threads.
        stage: Title of the progress bar.
        num_tasks: What can be divided; no more processes than this are started.
        num_items: What the progress bar counts, over all processes.
    """
    import torch
    from lightning import Trainer
    from lightning.pytorch.utilities.exceptions import MisconfigurationException
    from torch.multiprocessing.spawn import ProcessRaisedException

    if config.devices < 1 or config.num_nodes < 1 or config.num_threads < 1:
        raise ConfigError("trainer.devices, trainer.num_nodes and trainer.num_threads must be 1 or more.")
    torch.set_num_threads(config.num_threads)
    devices = max(1, min(config.devices, num_tasks))
    strategy = config.strategy
    if strategy == "auto" and devices * config.num_nodes > 1:
        strategy = _local_strategy(config.accelerator) if config.num_nodes == 1 else "ddp"
    quieten()
    try:
        trainer = Trainer(
            accelerator=config.accelerator,
            devices=devices,
            num_nodes=config.num_nodes,
            strategy=strategy,
            precision=config.precision,  # type: ignore[arg-type]
            logger=False,
            callbacks=[StageProgress(stage, num_items)],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
    except (ValueError, RuntimeError, ModuleNotFoundError, MisconfigurationException) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"trainer.accelerator={config.accelerator} and trainer.devices={config.devices} cannot start: {reason}"
        ) from error
    try:
        trainer.predict(module, return_predictions=False)
    except ProcessRaisedException as error:
        raise _own_error(error) from error


def _local_strategy(accelerator: str) -> str:
    """Fork where nothing forbids it: a spawned process spends half a minute on imports; CUDA cannot be forked."""
    can_fork = (
        accelerator == "cpu"
        and "fork" in multiprocessing.get_all_start_methods()
        and sys.platform != "darwin"
    )
    return "ddp_fork" if can_fork else "ddp_spawn"


def _own_error(error: Exception) -> Exception:
    """Return the UserError that a spawned process ended with, or the error as it is."""
    last = str(error).strip().splitlines()[-1]
    found = re.match(r"imagenetd\.errors\.(\w+): (.*)", last)
    return getattr(errors, found[1])(found[2]) if found else error
