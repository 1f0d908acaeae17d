"""The desk hands out tasks and takes answers: who has which task, who has seen what, what is done.

Every rule of the queue is here, and every method is one transaction. The clock is an argument: nothing here sleeps.
"""

import math
import sqlite3
import time
from collections.abc import Callable, Sequence

from imagenetd.qc.annotate import refusals
from imagenetd.qc.annotate.database import Database
from imagenetd.qc.annotate.ledger import Ledger
from imagenetd.qc.annotate.queries import (
    FREE_TASK,
    answers_of,
    num_other_leases,
    response_of,
    unfinished_leases,
)
from imagenetd.qc.tasks import Answer, Response, Task

MAX_SECONDS = 86_400.0
"""An answer that took longer than a day counts as a day: the clock is the worker's own."""


Missing = Callable[[str, Sequence[Response]], int]
"""Task id, its responses -> how many more are waited for now."""


class Desk(Ledger):
    """The queue of one folder.

    Args:
        database: Of the folder.
        missing: The rule that says how many more responses a task needs.
        timeout_s: A task that was not touched for so long is free for others.
        clock: Gives unix time in seconds.
    """

    def __init__(
        self,
        database: Database,
        missing: Missing,
        *,
        timeout_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(database)
        self._missing = missing
        self._timeout_s, self._clock = timeout_s, clock

    def set_tasks(self, tasks: Sequence[Task]) -> None:
        """Take over the list of tasks; known ones keep their answers, those that are gone are withdrawn."""
        with self._database.writing() as connection:
            connection.execute("UPDATE task SET num_missing = 0")
            for ordinal, task in enumerate(tasks):
                connection.execute(
                    "INSERT INTO task (task_id, ordinal, num_slots, num_missing) VALUES (?, ?, ?, 0) "
                    "ON CONFLICT DO UPDATE SET ordinal = excluded.ordinal",
                    (task.task_id, ordinal, len(task.slots)),
                )
                self._count(connection, task.task_id)
                connection.executemany(
                    "INSERT OR IGNORE INTO task_image VALUES (?, ?)",
                    [(task.task_id, slot.image_id) for slot in task.slots],
                )

    def take(self, worker: str) -> str | None:
        """Return the id of the task that the worker is to do now; None when there is none for this worker.

        An unfinished task comes back first, as long as it was not given away meanwhile.
        """
        now = self._clock()
        with self._database.writing() as connection:
            for row in unfinished_leases(connection, worker):
                if self._is_held(connection, row):
                    self._touch(connection, row["task_id"], worker)
                    return row["task_id"]
            return self._free_task(connection, worker, now)

    def take_away(self, worker: str, num_tasks: int, *, until: float) -> list[str]:
        """Return the ids of up to `num_tasks` tasks that a worker takes away on forms, unfinished ones among them.

        Args:
            worker: Its name.
            num_tasks: At most.
            until: Unix time up to which they are kept for this worker.
        """
        now = self._clock()
        with self._database.writing() as connection:
            held = [row for row in unfinished_leases(connection, worker) if self._is_held(connection, row)]
            taken = [row["task_id"] for row in held][:num_tasks]
            while len(taken) < num_tasks and (task_id := self._free_task(connection, worker, now)):
                taken.append(task_id)
            connection.executemany(
                "UPDATE lease SET held_until = ? WHERE task_id = ? AND worker = ?",
                [(until, task_id, worker) for task_id in taken],
            )
        return taken

    def save(self, task_id: str, worker: str, answer: Answer) -> None:
        """Keep an answer; a later one for the same picture replaces it until the task is sent.

        Raises:
            Refusal: The task is not this worker's, is sent, was given away, or an earlier picture is still open.
        """
        with self._database.writing() as connection:
            num_slots = self._require_open(connection, task_id, worker)
            known = {other.position for other in answers_of(connection, task_id, worker)}
            if not 0 <= answer.position < num_slots:
                raise refusals.malformed(f"there is no picture {answer.position}")
            first_open = next(position for position in range(num_slots + 1) if position not in known)
            if answer.position > first_open:
                raise refusals.question_open(first_open)
            seconds = min(max(answer.seconds, 0.0), MAX_SECONDS) if math.isfinite(answer.seconds) else 0.0
            connection.execute(
                "INSERT OR REPLACE INTO answer VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    *(task_id, worker, answer.position, answer.can_recognise, answer.can_use),
                    *(seconds, self._clock()),
                ),
            )
            self._touch(connection, task_id, worker)

    def submit(self, task_id: str, worker: str) -> Response:
        """Close a task and return the whole response; a task is closed once.

        Raises:
            Refusal: As `save`, or a picture is still open.
        """
        with self._database.writing() as connection:
            num_slots = self._require_open(connection, task_id, worker)
            answers = answers_of(connection, task_id, worker)
            missing = set(range(num_slots)) - {answer.position for answer in answers}
            if missing:
                raise refusals.question_open(min(missing))
            connection.execute(
                "UPDATE lease SET submitted_at = ? WHERE task_id = ? AND worker = ?",
                (self._clock(), task_id, worker),
            )
            self._count(connection, task_id)
        return Response(task_id, worker, tuple(answers))

    def bring(self, response: Response) -> bool:
        """Take a whole response that was given elsewhere; return False when it is here already."""
        with self._database.writing() as connection:
            now, key = self._clock(), (response.task_id, response.worker)
            row = connection.execute(
                "SELECT submitted_at FROM lease WHERE task_id = ? AND worker = ?", key
            ).fetchone()
            if row is not None and row["submitted_at"] is not None:
                return False
            connection.execute("DELETE FROM answer WHERE task_id = ? AND worker = ?", key)
            connection.execute("DELETE FROM lease WHERE task_id = ? AND worker = ?", key)
            connection.execute("INSERT INTO lease VALUES (?, ?, ?, ?, NULL, ?)", (*key, now, now, now))
            connection.executemany(
                "INSERT INTO answer VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(*key, a.position, a.can_recognise, a.can_use, a.seconds, now) for a in response.answers],
            )
            self._count(connection, response.task_id)
        return True

    def _free_task(self, connection: sqlite3.Connection, worker: str, now: float) -> str | None:
        """Give a worker the first task that is free for it."""
        asked = {"worker": worker, "now": now, "timeout": self._timeout_s}
        free = connection.execute(FREE_TASK, asked).fetchone()
        if free is None:
            return None
        connection.execute(
            "INSERT INTO lease (task_id, worker, opened_at, touched_at) VALUES (?, ?, ?, ?)",
            (free["task_id"], worker, now, now),
        )
        return free["task_id"]

    def _is_held(self, connection: sqlite3.Connection, row: sqlite3.Row) -> bool:
        """Tell whether a lease still counts: in time, or nobody has taken the place meanwhile."""
        now = self._clock()
        limit = row["held_until"] or row["touched_at"] + self._timeout_s
        if limit > now:
            return row["num_missing"] > 0
        others = num_other_leases(connection, row, now=now, timeout_s=self._timeout_s)
        return others < row["num_missing"]

    def _require_open(self, connection: sqlite3.Connection, task_id: str, worker: str) -> int:
        """Return the number of slots of a task that this worker may still change."""
        row = connection.execute(
            "SELECT * FROM lease JOIN task USING (task_id) WHERE task_id = ? AND worker = ?",
            (task_id, worker),
        ).fetchone()
        if row is None:
            raise refusals.unknown_task()
        if row["submitted_at"] is not None:
            raise refusals.already_submitted()
        if not self._is_held(connection, row):
            raise refusals.given_away()
        return row["num_slots"]

    def _count(self, connection: sqlite3.Connection, task_id: str) -> None:
        """Work out anew how many more responses a task waits for."""
        rows = connection.execute(
            "SELECT worker FROM lease WHERE task_id = ? AND submitted_at IS NOT NULL ORDER BY submitted_at",
            (task_id,),
        ).fetchall()
        missing = self._missing(task_id, [response_of(connection, task_id, row["worker"]) for row in rows])
        connection.execute("UPDATE task SET num_missing = ? WHERE task_id = ?", (missing, task_id))

    def _touch(self, connection: sqlite3.Connection, task_id: str, worker: str) -> None:
        connection.execute(
            "UPDATE lease SET touched_at = ? WHERE task_id = ? AND worker = ?",
            (self._clock(), task_id, worker),
        )
