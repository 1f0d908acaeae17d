"""The processes that srun or torchrun has started: the first runs the stages, the others take shards beside it.

They meet in a folder below the output folder, which all of them see: no port is open, no variable has to be set.
"""

import atexit
import contextlib
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from imagenetd.config.ranges import OneOf, Range
from imagenetd.config.schema import Config
from imagenetd.errors import WorkerError
from imagenetd.stages.executors.executor import Executor
from imagenetd.stages.executors.local import ProcessCrew
from imagenetd.stages.executors.place import Place, find_place
from imagenetd.stages.workers.board import Board, Pulse, Seat, StoppedError, Watch
from imagenetd.stages.workers.opening import work_at
from imagenetd.stages.workers.supervise import supervise, wait_for_others
from imagenetd.stages.workers.work import Work
from imagenetd.store.files import write_text_atomic

POLL_S = 0.2
FIRST = "first"
"""Name of the process that runs the stages."""


class Launch:
    """What the first process of a launch tells the others: which folder is worked at, and when all is over.

    Args:
        folder: Of the launch, seen by all of its processes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.board = folder, Board(folder)
        self._pulse = Pulse(self.board, Seat(name=FIRST))
        self._num_stages = 0

    def open(self) -> None:
        """Show that the first process is there."""
        self.board.open()
        self._pulse.__enter__()

    def announce(self, stage_folder: Path) -> None:
        """Call the others to the work in a folder."""
        self._num_stages += 1
        write_text_atomic(stage_path(self.folder, self._num_stages), str(stage_folder.absolute()))

    def close(self) -> None:
        """Send the others home."""
        self.board.stop()
        self._pulse.__exit__(None, None, None)
        wait_for_others(self.board)
        shutil.rmtree(self.folder, ignore_errors=True)  # a file system that is slow to forget may keep it


_launches: dict[str, Launch] = {}
"""The one launch that this process leads: it outlives a job, so that the jobs of a sweep have the same workers."""


class LaunchedExecutor(Executor):
    """As many workers as the launcher has started; a lost one's shards are taken over by the others.

    Args:
        launcher: `srun` or `torchrun`.
        lost_after_s: A worker that gives no sign for so long is lost. File systems of a network show a sign late.
        join_timeout_s: The others wait so long for the first process to come.
        silence_s: They end when it gives no sign for so long.
        max_losses: So many times in a row the worker beside the first process may be lost without a finished image.
    """

    def __init__(
        self,
        *,
        launcher: Annotated[str, OneOf(("srun", "torchrun"))],
        lost_after_s: Annotated[float, Range(1, 86_400)] = 120.0,
        join_timeout_s: Annotated[float, Range(0, 86_400)] = 120.0,
        silence_s: Annotated[float, Range(1, 86_400)] = 300.0,
        max_losses: Annotated[int, Range(0, 1_000_000)] = 24,
    ) -> None:
        self.launcher, self.lost_after_s, self.join_timeout_s = launcher, lost_after_s, join_timeout_s
        self.silence_s, self.max_losses = silence_s, max_losses

    @contextlib.contextmanager
    def leading(self, config: Config) -> Iterator[None]:
        """Be there for the other processes of the launch, until this process ends."""
        place = find_place(self.launcher)
        if not _launches:
            launch = Launch(launch_folder(config, place))
            launch.open()
            atexit.register(launch.close)
            _launches[place.launch] = launch
        yield

    def follow(self, config: Config) -> None:
        """Work beside the first process until all is over; WorkerError when it does not come, or is gone."""
        place = find_place(self.launcher)
        folder = launch_folder(config, place)
        board, watch, number = Board(folder), Watch(self.silence_s), 1
        deadline = time.monotonic() + self.join_timeout_s
        while FIRST not in board.signs() or board.is_stopped:
            if time.monotonic() > deadline:
                raise WorkerError(
                    f"Process {place.rank} on {place.host} waited {self.join_timeout_s:g} s (executor.join_timeout_s) "
                    f"for process 0, which leaves word in {folder}. Do all machines see this folder?"
                )
            time.sleep(POLL_S)
        me = Seat(number=place.rank, count=place.world_size, local=place.local_rank, name=f"{place.rank}")
        with contextlib.suppress(StoppedError), Pulse(board, me):
            while True:
                path = stage_path(folder, number)
                if path.is_file():
                    number += 1
                    seat = replace(me, name=f"{place.rank}-{secrets.token_hex(4)}")
                    work_at(Path(path.read_text()), seat, lost_after_s=self.lost_after_s)
                elif board.is_stopped:
                    return
                elif watch.silent(board.signs(), [FIRST]):
                    raise WorkerError(
                        f"Process 0 is gone, so process {place.rank} on {place.host} stops. What is finished is kept."
                    )
                else:
                    time.sleep(POLL_S)

    def carry_out(self, work: Work, config: Config) -> bool:
        """Return when no shard is missing."""
        place = find_place(self.launcher)
        launch = _launches[place.launch]
        crew = ProcessCrew(work, lost_after_s=self.lost_after_s, can_fork=config.trainer.accelerator == "cpu")
        board, count = Board(work.folder), min(place.world_size, len(work.missing()))
        board.open()
        launch.announce(work.folder)
        seats = [Seat(number=0, count=max(1, count), local=place.local_rank)]
        supervise(work, board, crew, seats, silence_s=self.lost_after_s, max_losses=self.max_losses)
        return True

    def num_workers(self, config: Config) -> int:
        """Return how many processes the launcher has started."""
        return find_place(self.launcher).world_size


def launch_folder(config: Config, place: Place) -> Path:
    """Return the folder in which the processes of a launch meet."""
    return config.paths.folder() / ".launches" / place.launch


def stage_path(folder: Path, number: int) -> Path:
    """Return the file that names the folder of a launch's n-th long stage."""
    return folder / f"stage-{number:06d}"
