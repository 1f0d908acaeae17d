"""The results of a batch as Mechanical Turk's web site gives them: a CSV with one line for each assignment."""

from dataclasses import dataclass
from pathlib import Path

from imagenetd.errors import StoreError
from imagenetd.qc.annotate.forms import read_result, response_of_result
from imagenetd.qc.annotate.room import Room
from imagenetd.qc.annotate.turk.question import ANSWERS_FIELD
from imagenetd.qc.annotate.turk.review import worker_name
from imagenetd.store.delimited import read_delimited

TABLE_SUFFIXES = (".csv", ".tsv", ".txt")
WORKER, STATUS, ANSWERS = "WorkerId", "AssignmentStatus", f"Answer.{ANSWERS_FIELD}"
COUNTED = ("Submitted", "Approved")


@dataclass(frozen=True, slots=True)
class TableResults:
    """What a table held."""

    num_new: int
    num_known: int
    num_left_out: int
    """Assignments that were rejected or not submitted."""


def import_table(room: Room, path: Path) -> TableResults:
    """Take in every submitted or approved assignment of a table; nothing is stored when one of them cannot be read."""
    table = read_delimited(
        path, title=str(path), needed=(WORKER, ANSWERS), optional=(STATUS,), error=StoreError
    )
    responses, num_left_out = [], 0
    for row in table.rows:
        if row.text(STATUS, default=COUNTED[0]) not in COUNTED:
            num_left_out += 1
            continue
        worker, origin = worker_name(room, row.text(WORKER)), f"{path}, line {row.line}, column {ANSWERS}"
        result = read_result(room, row.text(ANSWERS), origin)
        responses.append(response_of_result(room, result, worker, origin))
    num_new = sum(room.desk.take_in(response) for response in responses)
    return TableResults(num_new, len(responses) - num_new, num_left_out)
