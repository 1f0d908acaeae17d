"""One way to run a Lightning prediction loop: any number of processes, the same result."""

import multiprocessing
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagenetd.config.schema import LauncherName, TrainerConfig
from imagenetd.stages.workers.trainer import make_trainer, predict

if TYPE_CHECKING:
    import lightning


def run_prediction(
    module: "lightning.LightningModule",
    config: TrainerConfig,
    *,
    stage: str,
    tasks: Sequence[int],
    num_items: int,
    folder: Path,
    precision: str | None = None,
) -> None:
    """Call the module's predict_step for all of its tasks.

    The module gets the tasks of its process from `tasks_of`, because a task is a whole shard and what it writes must
    not depend on who makes it.

    Args:
        module: Writes its own results to disk.
        config: Devices, strategy, threads.
        stage: Title of the progress bar.
        tasks: What can be divided; no more processes than this are started.
        num_items: What the progress bar counts, over all processes.
        folder: Locked by this run; processes on other machines hold a part of the lock.
        precision: Of Lightning.
    """
    if config.launcher is not LauncherName.local:
        from imagenetd.stages.workers.team.work import LongStage, lead_prediction

        lead_prediction(LongStage(module, config, stage, num_items, folder, precision), tasks)
        return
    devices = max(1, min(config.devices or 1, len(tasks)))
    trainer = make_trainer(
        config, stage, num_items, devices=devices, strategy=_strategy(config, devices), precision=precision
    )
    predict(trainer, module)


def _strategy(config: TrainerConfig, devices: int) -> Any:
    """Fork where nothing forbids it: a spawned process spends half a minute on imports; CUDA cannot be forked."""
    from lightning.pytorch.strategies import DDPStrategy

    if config.strategy != "auto" or devices == 1:
        return config.strategy
    can_fork = (
        config.accelerator == "cpu"
        and "fork" in multiprocessing.get_all_start_methods()
        and sys.platform != "darwin"
    )
    return DDPStrategy(
        start_method="fork" if can_fork else "spawn",
        process_group_backend="gloo",  # nothing but a barrier is needed, and nccl would end it after ten minutes
        timeout=timedelta(seconds=config.timeout_s),
    )
