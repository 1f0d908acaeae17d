"""What an executor is: it has the shards of a long stage made, wherever its workers run."""

import abc
import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path

from imagenetd.config.schema import Config, build
from imagenetd.errors import ConfigError
from imagenetd.stages.executors.place import num_tasks_beside
from imagenetd.stages.workers.work import Work, write_order
from imagenetd.store.console import say
from imagenetd.store.folders import StageFolder


class SubmittedError(Exception):
    """No error of anybody: the work lies in a queue, so this run ends here, and a job of the queue goes on with it.

    Args:
        folder: Of the stage that waits.
        line: What the user is told.
    """

    def __init__(self, folder: Path, line: str) -> None:
        super().__init__(line)
        self.folder, self.line = folder, line


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
            SubmittedError: The shards wait in a queue, and so does the rest of the run.
            UserError: What a worker ended with, in one line.
        """

    def look(self, folder: Path) -> None:  # noqa: B027 - most leave no jobs behind
        """Look at the jobs that an earlier command has left to a queue, before a long stage begins.

        Args:
            folder: Of the stage, held by this run; workers of jobs may still be there.

        Raises:
            SubmittedError: They are not over.
            UserError: What one of them ended with.
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


def held(folder: StageFolder, config: Config) -> contextlib.AbstractContextManager[None]:
    """Hold the folder of a long stage alone; SubmittedError where jobs of this command are still to come."""
    return folder.locked(first=functools.partial(executor_of(config).look, folder.path))


def carried_out(work: Work, config: Config) -> bool:
    """Have a long stage done by the executor that the config names; False where this process shall do it itself."""
    executor = executor_of(config)
    write_order(work, config)
    return executor.carry_out(work, config)
