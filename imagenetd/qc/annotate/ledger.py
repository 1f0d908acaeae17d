"""What the desk's database says: who was given what, what was answered, how far the work is. Nothing here writes."""

from dataclasses import dataclass

from imagenetd.qc.annotate.database import Database
from imagenetd.qc.annotate.queries import answers_of, response_of
from imagenetd.qc.tasks import Answer, Response


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the work is."""

    num_sent: int
    """Responses that were sent by anybody."""
    num_missing: int
    """Responses that are still waited for."""


class Ledger:
    """The readable side of a folder's queue.

    Args:
        database: Of the folder.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def given(self, worker: str) -> list[str]:
        """Return the ids of all tasks that a worker was ever given, the latest first."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT task_id FROM lease WHERE worker = ? ORDER BY submitted_at IS NULL DESC, touched_at DESC",
                (worker,),
            )
            return [row["task_id"] for row in rows]

    def answers(self, task_id: str, worker: str) -> dict[int, Answer]:
        """Return what a worker has said so far, by position."""
        with self._database.reading() as connection:
            return {answer.position: answer for answer in answers_of(connection, task_id, worker)}

    def sent(self) -> list[tuple[Response, float]]:
        """Return every sent response and when it was sent, the earliest first."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT * FROM lease WHERE submitted_at IS NOT NULL ORDER BY submitted_at"
            ).fetchall()
            return [
                (response_of(connection, row["task_id"], row["worker"]), row["submitted_at"]) for row in rows
            ]

    def sent_response(self, task_id: str, worker: str) -> tuple[Response, float]:
        """Return the response that a worker has sent to a task, and when."""
        with self._database.reading() as connection:
            (sent_s,) = connection.execute(
                "SELECT submitted_at FROM lease WHERE task_id = ? AND worker = ?", (task_id, worker)
            ).fetchone()
            return response_of(connection, task_id, worker), sent_s

    def progress(self) -> Progress:
        """Return how much all together have sent, and what is missing."""
        with self._database.reading() as connection:
            (sent,) = connection.execute(
                "SELECT count(*) FROM lease WHERE submitted_at IS NOT NULL"
            ).fetchone()
            (missing,) = connection.execute("SELECT coalesce(sum(num_missing), 0) FROM task").fetchone()
        return Progress(sent, missing)

    def num_sent_by(self, worker: str) -> int:
        """Return how many tasks one worker has sent."""
        with self._database.reading() as connection:
            (sent,) = connection.execute(
                "SELECT count(*) FROM lease WHERE worker = ? AND submitted_at IS NOT NULL", (worker,)
            ).fetchone()
        return sent

    def missing(self) -> dict[str, int]:
        """Return how many more responses each incomplete task waits for."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT task_id, num_missing FROM task WHERE num_missing > 0"
            ).fetchall()
        return {row["task_id"]: row["num_missing"] for row in rows}
