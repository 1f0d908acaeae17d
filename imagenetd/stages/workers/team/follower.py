"""Every other process of a launch: it asks the leader for work until there is none."""

from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

from imagenetd.errors import WorkerError
from imagenetd.stages.workers.team.meeting import ALIVE, NEXT, OVER, SILENCE_S, STOP
from imagenetd.stages.workers.team.place import Place


class StoppedError(Exception):
    """The leader has stopped the work, because it failed itself."""


class Follower:
    """One end of the connection to the leader."""

    def __init__(self, place: Place, connection: Connection) -> None:
        self.place, self._connection = place, connection

    def stages(self) -> Iterator[bytes]:
        """Yield the long stages that are to be worked at, until the leader has no more."""
        while (said := self._hear()) != OVER:
            if said != STOP:  # which may come when the work is done already
                yield said

    def take(self) -> int | None:
        """Return the next shard, None when all are taken."""
        self._say(NEXT)
        said = self._hear()
        if said == STOP:
            raise StoppedError
        return said

    def check_stop(self) -> None:
        """Raise StoppedError when the leader has stopped the work, WorkerError when it is gone."""
        while self._is_waiting():
            if self._receive() == STOP:
                raise StoppedError

    def ended(self, error: str | None) -> None:
        """Say that nothing is being worked at any more, and what went wrong."""
        self._say(error)

    def _hear(self) -> Any:
        """Return the next message; a leader that lives says so every ALIVE_S."""
        while True:
            if not self._is_waiting(SILENCE_S):
                raise WorkerError(
                    f"Process {self.place.rank} on {self.place.host} waited {SILENCE_S:,.0f} s for a word of process 0,"
                    " which has stopped or lost its network. What is finished is kept: the same command goes on."
                )
            said = self._receive()
            if said != ALIVE:
                return said

    def _is_waiting(self, timeout_s: float = 0.0) -> bool:
        try:
            return self._connection.poll(timeout_s)
        except (EOFError, OSError) as error:
            raise self._leader_is_gone() from error

    def _receive(self) -> Any:
        try:
            return self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._leader_is_gone() from error

    def _say(self, message: Any) -> None:
        try:
            self._connection.send(message)
        except OSError as error:
            raise self._leader_is_gone() from error

    def _leader_is_gone(self) -> WorkerError:
        return WorkerError(
            f"Process 0 is gone, so process {self.place.rank} on {self.place.host} stops. What is finished is kept."
        )
