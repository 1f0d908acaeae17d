"""The desk hands out tasks and keeps answers until they are sent: who has which task, who has seen what.

Every rule of the queue is here, and every method is one transaction. What was sent is none of the desk's: it stands in
the votes folder alone. The clock is an argument: nothing here sleeps.
"""

import math
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imagenetd.errors import StoreError
from imagenetd.qc.annotate import refusals
from imagenetd.qc.annotate.database import Database
from imagenetd.qc.tasks import Judgement, Response
from imagenetd.qc.votes_folder import VotesFolder

MAX_SECONDS = 86_400.0
"""An answer that took longer than a day counts as a day: the clock is the worker's own."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A task that a worker was given and that is not delivered yet."""

    task_id: str
    worker: str
    touched_at: float
    """Unix time, seconds, as all times here."""
    held_until: float | None
    """Of a form that was taken away; None: the time-out counts."""
    closed_at: float | None
    """When the worker sent it; it stands here until the folder can be written."""


class Desk:
    """The queue of one folder.

    Args:
        database: Of the folder.
        votes: The folder.
        timeout_s: A task that was not touched for so long is free for others.
        clock: Gives unix time in seconds.
    """

    def __init__(
        self,
        database: Database,
        votes: VotesFolder,
        *,
        timeout_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database, self._votes = database, votes
        self._timeout_s, self._clock = timeout_s, clock
        self.is_behind = False
        """A task was sent and could not be delivered."""

    def given(self, worker: str) -> list[str]:
        """Return the ids of all tasks that a worker was ever given, the latest first."""
        with self._database.reading() as connection:
            in_hand = [lease.task_id for lease in self._leases(connection) if lease.worker == worker]
        return in_hand + [one.response.task_id for one in self._votes.received_from(worker)]

    def answers(self, task_id: str, worker: str) -> dict[int, Judgement]:
        """Return what a worker has said so far of a task that is not delivered, by position."""
        with self._database.reading() as connection:
            return {answer.position: answer for answer in _answers(connection, task_id, worker)}

    def num_in_hand(self) -> Counter[str]:
        """Return how many tasks each worker has in hand."""
        with self._database.reading() as connection:
            return Counter(lease.worker for lease in self._leases(connection))

    def take(self, worker: str) -> str | None:
        """Return the id of the task that the worker is to do now; None when there is none for this worker.

        An unfinished task comes back first, as long as it was not given away meanwhile.
        """
        with self._database.writing() as connection:
            self._votes.refresh()
            for lease in self._held(connection, worker):
                self._touch(connection, lease.task_id, worker)
                return lease.task_id
            return self._free_task(connection, worker)

    def take_away(self, worker: str, num_tasks: int, *, until: float) -> list[str]:
        """Return the ids of up to `num_tasks` tasks that a worker takes away on forms, unfinished ones among them.

        Args:
            worker: Its name.
            num_tasks: At most.
            until: Unix time up to which they are kept for this worker.
        """
        with self._database.writing() as connection:
            self._votes.refresh()
            taken = [lease.task_id for lease in self._held(connection, worker)][:num_tasks]
            while len(taken) < num_tasks and (task_id := self._free_task(connection, worker)):
                taken.append(task_id)
            connection.executemany(
                "UPDATE lease SET held_until = ? WHERE task_id = ? AND worker = ?",
                [(until, task_id, worker) for task_id in taken],
            )
        return taken

    def save(self, task_id: str, worker: str, answer: Judgement) -> None:
        """Keep an answer; a later one for the same picture replaces it until the task is sent.

        Raises:
            Refusal: The task is not this worker's, is sent, was given away, or an earlier picture is still open.
        """
        with self._database.writing() as connection:
            self._require_open(connection, task_id, worker)
            num_slots = len(self._votes.task(task_id).slots)
            known = {other.position for other in _answers(connection, task_id, worker)}
            if not 0 <= answer.position < num_slots:
                raise refusals.malformed(f"there is no picture {answer.position}")
            first_open = next(position for position in range(num_slots + 1) if position not in known)
            if answer.position > first_open:
                raise refusals.question_open(first_open)
            seconds = min(max(answer.seconds, 0.0), MAX_SECONDS) if math.isfinite(answer.seconds) else 0.0
            connection.execute(
                "INSERT OR REPLACE INTO answer VALUES (?, ?, ?, ?, ?, ?)",
                (task_id, worker, answer.position, answer.can_recognise, answer.can_use, seconds),
            )
            self._touch(connection, task_id, worker)

    def submit(self, task_id: str, worker: str) -> Response:
        """Close a task, once, and deliver its response to the folder.

        Where the folder cannot be written the closed task stays here, `is_behind` is set, and the worker is told to try
        again: a second attempt, the next `deliver` or the next start delivers it.

        Raises:
            Refusal: As `save`, or a picture is still open.
        """
        with self._database.writing() as connection:
            lease = self._lease(connection, task_id, worker)
            if lease is None or lease.closed_at is None:
                self._require_open(connection, task_id, worker)
                given = {answer.position for answer in _answers(connection, task_id, worker)}
                if missing := {slot.position for slot in self._votes.task(task_id).slots} - given:
                    raise refusals.question_open(min(missing))
                connection.execute(
                    "UPDATE lease SET closed_at = ? WHERE task_id = ? AND worker = ?",
                    (self._clock(), task_id, worker),
                )
            _, problem = self._deliver(connection)
        delivered = self._votes.received(task_id, worker)
        if delivered is None:
            raise problem or StoreError(f"{self._votes.folder} has no task {task_id!r} any more.")
        return delivered.response

    def deliver(self) -> int:
        """Deliver every closed task that is not in the folder yet; return how many were written.

        It may be called at any time and by several: a response is delivered once. What the folder refuses is raised
        when all others are delivered.
        """
        with self._database.writing() as connection:
            num_new, problem = self._deliver(connection)
        if problem is not None:
            raise problem
        return num_new

    def take_in(self, response: Response, *, sent_s: float | None = None) -> bool:
        """Deliver a whole response that was given elsewhere; return False when it is there already.

        Args:
            response: Of a task of this folder.
            sent_s: Unix time at which the worker sent it; None: now.
        """
        with self._database.writing() as connection:
            is_new = self._votes.deliver(response, received_s=sent_s)
            _forget(connection, response.task_id, response.worker)
        return is_new

    def _deliver(self, connection: sqlite3.Connection) -> tuple[int, OSError | StoreError | None]:
        """Move closed tasks into the folder; return how many are new there, and why others could not be moved."""
        num_new, problem = 0, None
        for lease in _all_leases(connection):
            key = (lease.task_id, lease.worker)
            if self._votes.received(*key) is None:
                if lease.closed_at is None or not self._votes.has_task(lease.task_id):
                    continue
                response = Response(*key, tuple(_answers(connection, *key)))
                try:
                    num_new += self._votes.deliver(response, received_s=lease.closed_at)
                except (OSError, StoreError) as error:
                    problem = error
                    continue
            _forget(connection, *key)
        self.is_behind = problem is not None
        return num_new, problem

    def _leases(self, connection: sqlite3.Connection) -> list[Lease]:
        """Return the tasks in hand, the latest first; what is in the folder is in nobody's hand, also after a kill."""
        return [
            lease
            for lease in _all_leases(connection)
            if self._votes.received(lease.task_id, lease.worker) is None
        ]

    def _lease(self, connection: sqlite3.Connection, task_id: str, worker: str) -> Lease | None:
        found = (one for one in self._leases(connection) if (one.task_id, one.worker) == (task_id, worker))
        return next(found, None)

    def _held(self, connection: sqlite3.Connection, worker: str) -> list[Lease]:
        """Return the unfinished tasks of a worker that were not given away, the latest first."""
        leases = self._leases(connection)
        own = (lease for lease in leases if lease.worker == worker and lease.closed_at is None)
        return [lease for lease in own if self._is_held(lease, leases)]

    def _free_task(self, connection: sqlite3.Connection, worker: str) -> str | None:
        """Give a worker the first task that wants one more and shows no image that this one was given before."""
        now, leases = self._clock(), self._leases(connection)
        given = {lease.task_id for lease in leases if lease.worker == worker}
        given |= {one.response.task_id for one in self._votes.received_from(worker)}
        seen = frozenset[str]().union(*(self._votes.images(task_id) for task_id in given))
        num_held = Counter(lease.task_id for lease in leases if self._is_in_time(lease, now))
        for task_id, num_missing in self._votes.missing().items():
            if task_id in given or num_held[task_id] >= num_missing or seen & self._votes.images(task_id):
                continue
            connection.execute(
                "INSERT INTO lease (task_id, worker, touched_at) VALUES (?, ?, ?)", (task_id, worker, now)
            )
            return task_id
        return None

    def _is_held(self, lease: Lease, leases: Sequence[Lease]) -> bool:
        """Tell whether a lease still counts: in time, or nobody has taken the place meanwhile."""
        now, num_missing = self._clock(), self._votes.missing().get(lease.task_id, 0)
        if self._is_in_time(lease, now):
            return num_missing > 0
        others = (one for one in leases if one.task_id == lease.task_id and one.worker != lease.worker)
        return sum(self._is_in_time(one, now) for one in others) < num_missing

    def _is_in_time(self, lease: Lease, now: float) -> bool:
        until = lease.touched_at + self._timeout_s if lease.held_until is None else lease.held_until
        return lease.closed_at is not None or until > now

    def _require_open(self, connection: sqlite3.Connection, task_id: str, worker: str) -> None:
        """Refuse unless this worker may still change its answers to a task."""
        lease = self._lease(connection, task_id, worker)
        if lease is None:
            self._votes.refresh()
            if self._votes.received(task_id, worker) is None:
                raise refusals.unknown_task()
        if lease is None or lease.closed_at is not None:
            raise refusals.already_submitted()
        if not self._is_held(lease, self._leases(connection)):
            raise refusals.given_away()

    def _touch(self, connection: sqlite3.Connection, task_id: str, worker: str) -> None:
        connection.execute(
            "UPDATE lease SET touched_at = ? WHERE task_id = ? AND worker = ?",
            (self._clock(), task_id, worker),
        )


def _all_leases(connection: sqlite3.Connection) -> list[Lease]:
    columns = "task_id, worker, touched_at, held_until, closed_at"
    rows = connection.execute(f"SELECT {columns} FROM lease ORDER BY touched_at DESC").fetchall()
    return [Lease(*row) for row in rows]


def _answers(connection: sqlite3.Connection, task_id: str, worker: str) -> list[Judgement]:
    """Return a worker's answers to a task in the order of its pictures."""
    rows = connection.execute(
        "SELECT position, can_recognise, can_use, seconds FROM answer WHERE task_id = ? AND worker = ? "
        "ORDER BY position",
        (task_id, worker),
    )
    return [
        Judgement(position, bool(recognise), bool(use), seconds) for position, recognise, use, seconds in rows
    ]


def _forget(connection: sqlite3.Connection, task_id: str, worker: str) -> None:
    """Take a delivered task off the desk, its answers with it."""
    for table in ("answer", "lease"):
        connection.execute(f"DELETE FROM {table} WHERE task_id = ? AND worker = ?", (task_id, worker))
