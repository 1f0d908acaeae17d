"""Label Studio: tasks and labelling configuration out, its JSON export in. One picture is one task there."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from imagenetd.errors import StoreError
from imagenetd.qc.annotate.reading import read_text
from imagenetd.qc.annotate.room import Room, Source
from imagenetd.qc.tasks import Judgement, Response
from imagenetd.qc.wording import INSTRUCTIONS, RECOGNISE, USE
from imagenetd.store.folders import make_folder, write_text_atomic

CONFIG_FILE, TASKS_FILE = "labeling_config.xml", "tasks.json"
CHOICES = {"yes": True, "no": False}
PREFIX = "labelstudio-"
"""Before Label Studio's number of a person, in a worker's name."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an export held."""

    num_new: int
    num_known: int
    unfinished: tuple[tuple[str, str, int], ...]
    """Task, worker, pictures without an answer; nothing of these was stored."""


def labelling_config() -> str:
    """Return the labelling configuration: the picture, the name, both questions, each required."""
    lines = [
        "<View>",
        '  <Header value="$look_for"/>',
        '  <Image name="picture" value="$image" zoom="true"/>',
    ]
    keys = iter("1234")
    for number, (name, question) in enumerate((("can_recognise", RECOGNISE), ("can_use", USE)), start=1):
        lines += [
            f'  <Header value="$question_{number}" size="5"/>',
            f'  <Choices name="{name}" toName="picture" choice="single-radio" showInline="true" required="true" '
            f"requiredMessage={quoteattr(question.hint)}>",
            *(f'    <Choice value="{word}" hotkey="{next(keys)}"/>' for word in CHOICES),
            "  </Choices>",
        ]
    return "\n".join([*lines, "</View>", ""])


def export_tasks(room: Room, folder: Path, source: Source) -> int:
    """Write the labelling configuration and the tasks; return how many pictures are asked for.

    Args:
        room: The votes folder.
        folder: Where both files are written.
        source: Where Label Studio gets the pictures: embedded, or an address below which they are served.
    """
    make_folder(folder)
    display = room.task_set.settings.display
    rows = []
    for task in room.task_set.tasks:
        for slot in task.slots:
            name = display[slot.category]
            reference = _reference(room, task.task_id, slot.position)
            questions = [question.text.replace("{object}", name) for question in (RECOGNISE, USE)]
            data = {
                "image": source(task.task_id, slot.position, reference),
                "ref": reference,
                "look_for": f"Look for: {name}",
            }
            rows.append({"data": data | {"question_1": questions[0], "question_2": questions[1]}})
    write_text_atomic(folder / CONFIG_FILE, labelling_config())
    write_text_atomic(folder / TASKS_FILE, json.dumps(rows, indent=1, ensure_ascii=False))
    write_text_atomic(folder / "instructions.txt", "\n".join(INSTRUCTIONS) + "\n")
    return len(rows)


def import_export(room: Room, path: Path) -> Imported:
    """Take in Label Studio's JSON export; a task counts when one person has answered all of its pictures."""
    try:
        rows = json.loads(read_text(path))
        answers = _answers(room, rows)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise StoreError(
            f"{path} is no JSON export of Label Studio ({error!r}). Export the project as JSON, not JSON-MIN."
        ) from error
    new, known, unfinished = 0, 0, []
    for (task_id, worker), given in sorted(answers.items()):
        slots = room.votes.task(task_id).slots
        missing = sum(slot.position not in given for slot in slots)
        if missing:
            unfinished.append((task_id, worker, missing))
            continue
        response = Response(task_id, worker, tuple(given[slot.position] for slot in slots))
        is_new = room.desk.take_in(response)
        new, known = new + is_new, known + (not is_new)
    return Imported(new, known, tuple(unfinished))


def _answers(room: Room, rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], dict[int, Judgement]]:
    """Return, for each task and worker, the answers by position; a person's last word on a picture counts."""
    places = {
        _reference(room, task.task_id, slot.position): (task.task_id, slot.position)
        for task in room.task_set.tasks
        for slot in task.slots
    }
    found: dict[tuple[str, str], dict[int, Judgement]] = defaultdict(dict)
    for row in rows:
        reference = row["data"]["ref"]
        if reference not in places:
            raise StoreError(f"The export holds a picture {reference!r} that is none of {room.folder}.")
        task_id, position = places[reference]
        for annotation in sorted(_done(row), key=lambda one: str(one.get("updated_at", ""))):
            said = {
                one["from_name"]: CHOICES[one["value"]["choices"][0]]
                for one in annotation["result"]
                if one.get("type") == "choices"
            }
            if set(said) == {"can_recognise", "can_use"}:
                seconds = float(annotation.get("lead_time") or 0.0)
                answer = Judgement(position, said["can_recognise"], said["can_use"], seconds)
                found[task_id, _worker(annotation["completed_by"])][position] = answer
    return found


def _done(row: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (one for one in row.get("annotations", ()) if not one.get("was_cancelled"))


def _worker(completed_by: Any) -> str:
    """Return a worker's name from the number of a person, or from the mapping that holds it; no address is kept."""
    number = completed_by["id"] if isinstance(completed_by, Mapping) else completed_by
    return f"{PREFIX}{int(number)}"


def _reference(room: Room, task_id: str, position: int) -> str:
    return room.signer.name("labelstudio", task_id, position)
