"""What the desk asks of its database; every query runs inside a transaction of the caller."""

import sqlite3

from imagenetd.qc.tasks import Answer, Response

FREE_TASK = """
SELECT task_id FROM task
WHERE num_missing > 0
  AND task_id NOT IN (SELECT task_id FROM lease WHERE worker = :worker)
  AND num_missing > (
    SELECT count(*) FROM lease WHERE lease.task_id = task.task_id AND submitted_at IS NULL
      AND coalesce(held_until, touched_at + :timeout) > :now)
  AND NOT EXISTS (
    SELECT 1 FROM task_image AS here JOIN task_image AS there USING (image_id)
      JOIN lease ON lease.task_id = there.task_id AND lease.worker = :worker
    WHERE here.task_id = task.task_id)
ORDER BY ordinal LIMIT 1
"""
"""The first task that wants one more worker, is new to this one, and shows no image that this one was given before."""


def unfinished_leases(connection: sqlite3.Connection, worker: str) -> list[sqlite3.Row]:
    """Return the tasks that a worker was given and did not send, the latest first."""
    return connection.execute(
        "SELECT * FROM lease JOIN task USING (task_id) WHERE worker = ? AND submitted_at IS NULL "
        "ORDER BY touched_at DESC",
        (worker,),
    ).fetchall()


def num_other_leases(
    connection: sqlite3.Connection, lease: sqlite3.Row, *, now: float, timeout_s: float
) -> int:
    """Return how many others have the task of a lease in hand."""
    (others,) = connection.execute(
        "SELECT count(*) FROM lease WHERE task_id = ? AND worker != ? AND submitted_at IS NULL "
        "AND coalesce(held_until, touched_at + ?) > ?",
        (lease["task_id"], lease["worker"], timeout_s, now),
    ).fetchone()
    return others


def answers_of(connection: sqlite3.Connection, task_id: str, worker: str) -> list[Answer]:
    """Return a worker's answers to a task in the order of its pictures."""
    rows = connection.execute(
        "SELECT * FROM answer WHERE task_id = ? AND worker = ? ORDER BY position", (task_id, worker)
    )
    return [
        Answer(row["position"], bool(row["can_recognise"]), bool(row["can_use"]), row["seconds"])
        for row in rows
    ]


def response_of(connection: sqlite3.Connection, task_id: str, worker: str) -> Response:
    """Return a worker's response to a task."""
    return Response(task_id, worker, tuple(answers_of(connection, task_id, worker)))
