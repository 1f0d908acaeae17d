"""What an executor is: it has the shards of a long stage made, wherever its workers run."""

import abc
import contextlib
from collections.abc import Iterator

from imagenetd.config.schema import Config, build
from imagenetd.errors import ConfigError
from imagenetd.stages.executors.place import num_tasks_beside
from imagenetd.stages.workers.work import Work, write_order
from imagenetd.store.console import say


class Executor(abc.ABC):
    """Has the shards of a long stage made.

    A worker needs the folder of the stage and its own seat: see `imagenetd.stages.workers.opening.work_at`.
    """

    @abc.abstractmethod
    def carry_out(self, work: Work, config: Config) -> bool:
        """Return True when no shard is missing; at once False where the process of the run shall make them itself.

        Args:
            work: Locked by this run.
            config: Of the run, as workers elsewhere are told it.

        Raises:
            UserError: What a worker ended with, in one line.
        """

    @contextlib.contextmanager
    def leading(self, config: Config) -> Iterator[None]:
        """Hold what the workers of a run need from its first to its last stage."""
        if (count := num_tasks_beside()) > 1:
            say(
                f"One of {count} processes of a launcher, each with a run of its own. To share one: executor=slurm."
            )
        yield

    def follow(self, config: Config) -> None:  # noqa: B027 - most start their workers themselves
        """Work for the process that leads this one, where a launcher has started several."""

    def num_workers(self, config: Config) -> int:
        """Return how many workers there will be, for the estimate of the cost."""
        return config.trainer.devices or 1


def executor_of(config: Config) -> Executor:
    """Return the executor that a config names."""
    executor = build(config.executor, option="executor")
    if not isinstance(executor, Executor):
        raise ConfigError(
            f"executor._target_={config.executor['_target_']} gives a {type(executor).__name__}, not an Executor. "
            "Choose executor=local."
        )
    return executor


def carried_out(work: Work, config: Config) -> bool:
    """Have a long stage done by the executor that the config names; False where this process shall do it itself."""
    executor = executor_of(config)
    write_order(work, config)
    return executor.carry_out(work, config)
