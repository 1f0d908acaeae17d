"""One way to run a Lightning prediction loop: any number of processes, the same result."""

import contextlib
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from imagenetd.config.schema import LauncherName, TrainerConfig
from imagenetd.stages.workers.trainer import LongStage, errors_in_one_line, make_trainer

if TYPE_CHECKING:
    import lightning


@contextlib.contextmanager
def trainer_of(long: LongStage, tasks: Sequence[int]) -> "Iterator[lightning.Trainer]":
    """Give the trainer whose `predict` calls the module's predict_step for all of its tasks; all are done afterwards.

    The module gets the tasks of its process from `tasks_of`, because a task is a whole shard and what it writes must
    not depend on who makes it. What the loop ends with, in whatever process, leaves this block as one error.

    Args:
        long: What is done.
        tasks: What can be divided; no more processes than this are started.
    """
    config = long.config
    if config.launcher is not LauncherName.local:
        from imagenetd.stages.workers.team.work import leading_trainer

        with leading_trainer(long, tasks) as trainer:
            yield trainer
        return
    devices = max(1, min(config.devices or 1, len(tasks)))
    trainer = make_trainer(long, devices=devices, strategy=_strategy(config, devices))
    with errors_in_one_line(long.module):
        yield trainer


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
