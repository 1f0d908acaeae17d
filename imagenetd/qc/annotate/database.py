"""The SQLite file behind the page: who has which task, and what is not sent yet; it survives a killed server."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from imagenetd.errors import StoreError
from imagenetd.store.folders import explained
from imagenetd.store.private import make_private, make_private_file, make_private_folder

SCHEMA_VERSION = 2
BUSY_TIMEOUT_S = 20.0

SCHEMA = """
CREATE TABLE worker (
    worker TEXT PRIMARY KEY,
    trained_at REAL,                    -- when both examples were seen
    blocked_at REAL
) STRICT;
CREATE TABLE lease (                    -- a worker was given a task; gone when the response is in the folder
    task_id TEXT NOT NULL,
    worker TEXT NOT NULL,
    touched_at REAL NOT NULL,           -- unix time, seconds, as all times here
    held_until REAL,                    -- of a form that was taken away; null: the time-out counts
    closed_at REAL,                     -- sent, but the folder could not be written
    PRIMARY KEY (task_id, worker)
) STRICT, WITHOUT ROWID;
CREATE TABLE answer (
    task_id TEXT NOT NULL,
    worker TEXT NOT NULL,
    position INTEGER NOT NULL,
    can_recognise INTEGER NOT NULL,
    can_use INTEGER NOT NULL,
    seconds REAL NOT NULL,
    PRIMARY KEY (task_id, worker, position),
    FOREIGN KEY (task_id, worker) REFERENCES lease
) STRICT, WITHOUT ROWID;
"""


class Database:
    """One connection, shared by the threads of a process; other processes may open the file as well.

    WAL with synchronous=FULL: what was committed is there after a kill and after a power cut.

    Args:
        path: Of the file; made with its folder when it is not there. Not on a network file system.
    """

    def __init__(self, path: Path) -> None:
        make_private_folder(path.parent)
        self.path = path
        with explained(path):
            make_private_file(path)  # SQLite gives its logs the mode of the file
            for log in path.parent.glob(f"{path.name}-*"):
                make_private(log)
        self._lock = threading.RLock()
        try:
            self._connection = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
            self._prepare()
        except sqlite3.Error as error:
            raise StoreError(
                f"{path} cannot be opened ({error}). If it is damaged, put it aside: sent responses are in responses/."
            ) from error

    def _prepare(self) -> None:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        with self.writing() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, SCHEMA_VERSION):
                raise StoreError(
                    f"{self.path} has layout {version}, this version reads {SCHEMA_VERSION}. "
                    "Go on with the version that made it, or begin a new folder."
                )
            if not version:
                for statement in SCHEMA.split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it happens, or nothing, also after a kill."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Queries that see one state of the file."""
        with self._lock:
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                self._connection.execute("COMMIT")

    def close(self) -> None:
        """Close the file; the write-ahead log is folded into it."""
        with self._lock:
            self._connection.close()
