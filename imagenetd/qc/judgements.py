"""All answers of a run as flat arrays, so that hundreds of thousands of them are judged at once. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from imagenetd.qc.tasks import Response, Slot, SlotRole, Task
from imagenetd.records import Vote

ROLES = tuple(SlotRole)
"""The codes in `JudgementTable.role` are positions in this tuple."""


@dataclass(frozen=True)
class JudgementTable:
    """One row for each answer; rows of one response stand together, in the order of its slots."""

    image_ids: tuple[str, ...]
    workers: tuple[str, ...]
    responses: tuple[tuple[str, str], ...]
    """Task and worker of each response."""
    response: Int[np.ndarray, " answers"]
    """Position in `responses`, as the next two in `workers` and `image_ids`."""
    worker: Int[np.ndarray, " answers"]
    image: Int[np.ndarray, " answers"]
    role: Int[np.ndarray, " answers"]
    can_recognise: Bool[np.ndarray, " answers"]
    can_use: Bool[np.ndarray, " answers"]

    @property
    def accepts(self) -> Bool[np.ndarray, " answers"]:
        """Mark the answers that accept their image: Q1 or Q2."""
        return self.can_recognise | self.can_use


def judgement_table(tasks: Sequence[Task], responses: Sequence[Response]) -> JudgementTable:
    """Lay the responses out as arrays, joined with the slots that they answer."""
    slots: dict[str, tuple[Slot, ...]] = {task.task_id: task.slots for task in tasks}
    image_code: dict[str, int] = {}
    role_code = {role: code for code, role in enumerate(ROLES)}
    per_task = {
        task_id: (
            [image_code.setdefault(slot.image_id, len(image_code)) for slot in of_task],
            [role_code[slot.role] for slot in of_task],
        )
        for task_id, of_task in slots.items()
    }
    worker_code: dict[str, int] = {}
    for one in responses:
        worker_code.setdefault(one.worker, len(worker_code))
    counts = np.array([len(one.answers) for one in responses], dtype=np.int64)
    owners = np.array([worker_code[one.worker] for one in responses], dtype=np.int64)
    return JudgementTable(
        image_ids=tuple(image_code),
        workers=tuple(worker_code),
        responses=tuple((one.task_id, one.worker) for one in responses),
        response=np.repeat(np.arange(len(responses)), counts),
        worker=np.repeat(owners, counts),
        image=_flat([per_task[one.task_id][0] for one in responses], np.int64),
        role=_flat([per_task[one.task_id][1] for one in responses], np.int64),
        can_recognise=_flat([[a.can_recognise for a in one.answers] for one in responses], np.bool_),
        can_use=_flat([[a.can_use for a in one.answers] for one in responses], np.bool_),
    )


def _flat(rows: Sequence[Sequence[int]], dtype: type) -> np.ndarray:
    return np.array([value for row in rows for value in row], dtype=dtype)


def item_votes(table: JudgementTable, is_qualified: Bool[np.ndarray, " responses"]) -> tuple[Vote, ...]:
    """Return the votes on the items of the qualified responses; what sentinels were told is no vote."""
    rows = np.flatnonzero(is_item(table) & is_qualified[table.response])
    columns = (table.image[rows], table.worker[rows], table.can_recognise[rows], table.can_use[rows])
    return tuple(
        Vote(table.image_ids[image], table.workers[worker], recognise, use, 1.0)
        for image, worker, recognise, use in zip(*(column.tolist() for column in columns), strict=True)
    )


def is_item(table: JudgementTable) -> Bool[np.ndarray, " answers"]:
    """Mark the answers to images that are to be judged."""
    return table.role == ROLES.index(SlotRole.ITEM)
