"""Forms: one HTML file that holds a task, its pictures and the page, and the results that it gives back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imagenetd.errors import ConfigError, StoreError
from imagenetd.qc.annotate.disguise import EXAMPLES
from imagenetd.qc.annotate.page import form_page
from imagenetd.qc.annotate.reading import read_answer, read_text
from imagenetd.qc.annotate.refusals import Refusal
from imagenetd.qc.annotate.room import Room, Source, embedded
from imagenetd.qc.annotate.tokens import Badge
from imagenetd.qc.tasks import Response, Task
from imagenetd.store.folders import make_folder, write_text_atomic

FORM_FORMAT = 1
NEVER = 2**40
"""Expiry of a form's own token: late results are taken all the same."""


@dataclass(frozen=True, slots=True)
class FormResult:
    """What a form gives back."""

    task_id: str
    worker: str
    """Empty when the form was made for whoever takes it, as on Mechanical Turk."""
    content: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class WayBack:
    """Whose answers a form brings, and how they come back."""

    worker: str = ""
    """Empty on Mechanical Turk, which says it itself."""
    file: str = ""
    """Name under which they are saved."""
    submit_to: str | None = None
    """Host that takes them; None: they are saved as a file."""


def form_html(room: Room, task: Task, source: Source, back: WayBack) -> str:
    """Return the form of one task, with the pictures that a source gives."""
    settings = room.task_set.settings
    token = room.signer.token("form", Badge(back.worker, NEVER, task.task_id))
    slots = [
        {
            "image": source(task.task_id, slot.position, picture_name(room, task, slot.position)),
            "category": settings.display[slot.category],
        }
        for slot in task.slots
    ]
    examples = [
        {
            "image": source(EXAMPLES, number, example_name(room, number)),
            "category": settings.display[one.category],
            "answer": {"can_recognise": one.can_recognise, "can_use": one.can_use},
            "reason": one.reason,
        }
        for number, one in enumerate(settings.training)
    ]
    name = room.signer.name("form", task.task_id)
    data = {"format": FORM_FORMAT, "form": token, "task": name, "worker": back.worker, "file": back.file}
    data |= {"submit_to": back.submit_to, "slots": slots, "examples": examples}
    return form_page(json.dumps(data).replace("<", "\\u003c"))


def picture_name(room: Room, task: Task, position: int) -> str:
    """Return the opaque name of a task's picture outside of the server; a repeated picture has another one."""
    return room.signer.name("picture", task.task_id, position)


def example_name(room: Room, number: int) -> str:
    """Return the opaque name of a training example's picture outside of the server."""
    return room.signer.name("picture", "example", number)


def write_forms(room: Room, worker: str, folder: Path, *, num_tasks: int, until: float) -> list[Path]:
    """Take tasks for a worker and write a form for each; an unfinished one is written again.

    Args:
        room: The votes folder.
        worker: Who gets the forms.
        folder: Where they are written.
        num_tasks: Forms at most.
        until: Unix time up to which the tasks are kept for this worker.
    """
    room.workers.enter(worker)
    make_folder(folder)
    written = []
    for task_id in room.desk.take_away(worker, num_tasks, until=until):
        name = f"{worker}-{room.signer.name('form', task_id)[:8]}"
        back = WayBack(worker, file=f"{name}.json")
        write_text_atomic(
            folder / f"{name}.html", form_html(room, room.votes.task(task_id), embedded(room), back)
        )
        written.append(folder / f"{name}.html")
    return written


def read_result(room: Room, text: str, origin: str) -> FormResult:
    """Read what a form gives back; a forged or damaged one is a StoreError, and nothing is stored."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{origin} is no result of a form ({error}). Ask for the file again.") from error
    if not isinstance(content, dict) or content.get("format") != FORM_FORMAT:
        raise StoreError(f"{origin} is no result of a form of this version. Ask for the file again.")
    token = content.get("form")
    badge = room.signer.badge("form", token, now=0.0) if isinstance(token, str) else None
    if badge is None:
        raise StoreError(
            f"{origin} comes from a form that was not written from {room.folder}, or was altered."
        )
    return FormResult(badge.session, badge.worker, content)


def response_of_result(room: Room, result: FormResult, worker: str, origin: str) -> Response:
    """Return the response in a form's result; one that lacks an answer is a StoreError."""
    task = room.votes.task(result.task_id)
    answers = result.content.get("answers")
    try:
        if not isinstance(answers, list) or not all(isinstance(one, dict) for one in answers):
            raise StoreError(f"{origin} holds no answers. Ask for the file again.")
        read = sorted((read_answer(one) for one in answers), key=lambda answer: answer.position)
    except Refusal as refusal:
        raise StoreError(f"{origin} holds an answer that makes no sense: {refusal.message}") from refusal
    if [answer.position for answer in read] != [slot.position for slot in task.slots]:
        raise StoreError(
            f"{origin} has {len(read)} answers that are not those to the {len(task.slots)} pictures of its task. "
            "Nothing was stored."
        )
    return Response(task.task_id, worker, tuple(read))


def import_result(room: Room, path: Path) -> bool:
    """Take in the result file of an offline form; return False when it is here already."""
    text = read_text(path)
    result = read_result(room, text, str(path))
    if not result.worker:
        raise ConfigError(f"{path} was made for Mechanical Turk, where answers come back by themselves.")
    return room.desk.take_in(response_of_result(room, result, result.worker, str(path)))
