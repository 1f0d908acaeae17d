"""Who works here: seen examples, withdrawn invitations."""

import time
from collections.abc import Callable

from imagenetd.qc.annotate import refusals
from imagenetd.qc.annotate.database import Database


class Workers:
    """The workers of one folder.

    Args:
        database: Of the folder.
        clock: Gives unix time in seconds.
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database, self._clock = database, clock

    def enter(self, worker: str) -> None:
        """Make a worker known; a blocked one is refused."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT blocked_at FROM worker WHERE worker = ?", (worker,)).fetchone()
        if row is None:
            with self._database.writing() as connection:
                connection.execute("INSERT OR IGNORE INTO worker (worker) VALUES (?)", (worker,))
        elif row["blocked_at"] is not None:
            raise refusals.blocked()

    def is_trained(self, worker: str) -> bool:
        """Tell whether a worker has seen the examples."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT trained_at FROM worker WHERE worker = ?", (worker,)).fetchone()
        return row is not None and row["trained_at"] is not None

    def finish_examples(self, worker: str) -> None:
        """Remember that a worker has seen the examples."""
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE worker SET trained_at = coalesce(trained_at, ?) WHERE worker = ?",
                (self._clock(), worker),
            )

    def block(self, worker: str, *, is_blocked: bool = True) -> None:
        """Shut a worker out, or let it in again; what was sent stays."""
        with self._database.writing() as connection:
            connection.execute("INSERT OR IGNORE INTO worker (worker) VALUES (?)", (worker,))
            when = self._clock() if is_blocked else None
            connection.execute("UPDATE worker SET blocked_at = ? WHERE worker = ?", (when, worker))

    def blocked(self) -> dict[str, bool]:
        """Return every worker's name and whether it is blocked, by name."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT worker, blocked_at FROM worker ORDER BY worker").fetchall()
        return {row["worker"]: row["blocked_at"] is not None for row in rows}
