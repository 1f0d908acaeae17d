"""Processes of this machine."""

import multiprocessing
import os
import secrets
import sys
from dataclasses import replace
from multiprocessing.process import BaseProcess
from typing import Annotated

from imagenetd.config.ranges import Range
from imagenetd.config.schema import Config
from imagenetd.stages.executors.executor import Executor
from imagenetd.stages.workers.board import Board, Seat
from imagenetd.stages.workers.supervise import Crew, supervise
from imagenetd.stages.workers.work import Work


class LocalExecutor(Executor):
    """As many processes of this machine as `trainer.devices` says; one does all of it in the process of the run.

    Args:
        lost_after_s: A process that gives no sign of life for so long is ended, and another takes its place.
        max_losses: So many processes in a row may be lost without one unit finished in between; then the run ends.
        slow_factor: A process with nothing left to do begins a shard once more that takes another one so many times
            longer than most; 0: never.
    """

    def __init__(
        self,
        *,
        lost_after_s: Annotated[float, Range(1, 86_400)] = 60.0,
        max_losses: Annotated[int, Range(0, 1_000_000)] = 24,
        slow_factor: Annotated[float, Range(0, 1_000_000)] = 0.0,
    ) -> None:
        self.lost_after_s, self.max_losses, self.slow_factor = lost_after_s, max_losses, slow_factor

    def carry_out(self, work: Work, config: Config) -> bool:
        """Return when no shard is missing; False where one process is enough, which is that of the run."""
        count = min(self.num_workers(config), len(work.missing()))
        if count <= 1:
            return False
        board = Board(work.folder)
        board.open()
        crew = ProcessCrew(work, lost_after_s=self.lost_after_s, can_fork=config.trainer.accelerator == "cpu")
        seats = [
            Seat(number=number, count=count, local=number, slow_factor=self.slow_factor)
            for number in range(count)
        ]
        supervise(work, board, crew, seats, silence_s=self.lost_after_s, max_losses=self.max_losses)
        return True


class ProcessCrew(Crew):
    """Processes that this one starts.

    Args:
        work: To be done.
        lost_after_s: For the processes, which watch each other as well.
        can_fork: A forked process has read the libraries already, which takes half a minute; CUDA cannot be forked.
    """

    def __init__(self, work: Work, *, lost_after_s: float, can_fork: bool) -> None:
        self.folder, self.lost_after_s = work.folder, lost_after_s
        forks = can_fork and sys.platform != "darwin" and "fork" in multiprocessing.get_all_start_methods()
        self._context = multiprocessing.get_context("fork" if forks else "spawn")
        self._processes: dict[str, BaseProcess] = {}

    def start(self, seat: Seat) -> str:
        """Start a process for a seat."""
        from imagenetd.stages.workers.opening import work_at  # which knows every stage's libraries

        name = f"{seat.number}-{secrets.token_hex(4)}"
        taken = replace(seat, name=name)
        process: BaseProcess = self._context.Process(  # type: ignore[attr-defined]
            target=work_at,
            args=(self.folder, taken),
            kwargs={"lost_after_s": self.lost_after_s, "parent": os.getpid()},
            name=f"worker {seat.number}",
        )
        process.start()
        self._processes[name] = process
        return name

    def ended(self, name: str) -> str | None:
        """Return how a process ended, None while it runs."""
        process = self._processes[name]
        if process.is_alive() or process.exitcode is None:
            return None
        code = process.exitcode
        return "" if code == 0 else f"by {_signal_name(-code)}" if code < 0 else f"with code {code}"

    def kill(self, name: str) -> None:
        """End a process, whatever it does."""
        process = self._processes[name]
        process.kill()
        process.join(10)


def _signal_name(number: int) -> str:
    import signal

    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
