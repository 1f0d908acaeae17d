"""The folder where tasks wait for people and answers come back: the one meeting point of all human ways.

```
<votes folder>/
  tasks.json                             what is asked, sentinels included: private, never served as it is
  responses/<task>--<worker>.json        one complete response each, whole or not there
```

A way (local page, MTurk, Label Studio, form, simulation) reads `tasks.json` and delivers with `write_response`. It may
keep files of its own in the folder; nothing else is read.
"""

import contextlib
import dataclasses
import json
import os
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from imagenetd.errors import StoreError
from imagenetd.images.shards import read_member
from imagenetd.qc.tasks import Answer, Response, Slot, SlotRole, Task
from imagenetd.store.folders import explained
from imagenetd.store.private import FILE_MODE, make_private, make_private_folder, write_private_json

TASKS_FILE = "tasks.json"
RESPONSES_FOLDER = "responses"
FORMAT = 1
"""Of both kinds of file; another number is refused."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Where an image's bytes lie; its id is the key."""

    shard: str
    """Path of the tar shard, relative to the votes folder, so that both can be moved together."""
    offset: int
    length: int
    sha256: str


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """An image shown before the task together with its right answers (paper, section 3.3)."""

    image_id: str
    category: str
    """Key of the category that is asked for."""
    can_recognise: bool
    can_use: bool
    reason: str
    """Why, in a sentence for the worker."""


@dataclass(frozen=True, slots=True)
class TaskSettings:
    """What the ways need to know besides the tasks."""

    display: Mapping[str, str]
    """Category key -> its name in words, for the two questions; every category of a slot or an example."""
    training: tuple[TrainingExample, ...]
    workers_per_image: int
    """Different workers whose responses to a task are asked for."""
    title: str = ""
    """Of the run, for headings."""
    rules: Mapping[str, Any] = field(default_factory=dict)
    """When a task is complete: `progress.Rules` as plain values, see `progress.read_rules`."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """Why an image stands in a task; never shown to the worker."""

    arm: str
    """See `sampling.Arm`; `sentinel` for an image that is no item."""
    inclusion_probability: float | None
    """Of the images of this arm; None for a sentinel, whose answers are no votes."""


@dataclass(frozen=True, slots=True)
class TaskSet:
    """The content of `tasks.json`."""

    tasks: tuple[Task, ...]
    images: Mapping[str, ImageFacts]
    """Image id -> facts; every image of a slot or an example."""
    settings: TaskSettings
    sampling: Mapping[str, Sampled] = field(default_factory=dict)
    """Image id of each slot -> why it is asked about."""

    def task(self, task_id: str) -> Task:
        """Return a task; StoreError when there is none of this id."""
        for task in self.tasks:
            if task.task_id == task_id:
                return task
        raise StoreError(f"There is no task {task_id!r} among the {len(self.tasks)} tasks of this run.")


@dataclass(frozen=True, slots=True)
class Received:
    """A response and when it was delivered."""

    response: Response
    received_s: float = field(default=0.0)
    """Seconds since 1970, or a counter of a simulation; orders the responses of a task."""


def write_tasks(
    folder: Path,
    tasks: Sequence[Task],
    images: Mapping[str, ImageFacts],
    settings: TaskSettings,
    sampling: Mapping[str, Sampled] | None = None,
) -> None:
    """Write `tasks.json` atomically and make the folder for responses."""
    content = {
        "format": FORMAT,
        "tasks": [dataclasses.asdict(task) for task in tasks],
        "images": {image_id: dataclasses.asdict(facts) for image_id, facts in images.items()},
        "settings": dataclasses.asdict(settings),
        "sampling": {image_id: dataclasses.asdict(one) for image_id, one in (sampling or {}).items()},
    }
    close_to_others(folder)
    write_private_json(folder / TASKS_FILE, content)


def close_to_others(folder: Path) -> None:
    """Make a votes folder and what lies in it private to its owner, whatever the umask; also one that is there already.

    `tasks.json` holds the truth about the sentinels, the desk the votes and the key of the invitations.
    """
    make_private_folder(folder)
    make_private_folder(folder / RESPONSES_FOLDER)
    for path in folder.iterdir():
        with contextlib.suppress(
            FileNotFoundError
        ):  # a file that was being written has its final name by now
            if not path.is_symlink():
                make_private(path)


def read_tasks(folder: Path) -> TaskSet:
    """Read `tasks.json`; a missing or damaged one is a StoreError."""
    content = _read_json(folder / TASKS_FILE, "Name the votes folder that the run printed.")
    try:
        settings = content["settings"]
        training = tuple(TrainingExample(**example) for example in settings["training"])
        return TaskSet(
            tuple(_task(entry) for entry in content["tasks"]),
            {image_id: ImageFacts(**facts) for image_id, facts in content["images"].items()},
            TaskSettings(**settings | {"training": training}),
            {image_id: Sampled(**one) for image_id, one in content.get("sampling", {}).items()},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{folder / TASKS_FILE} is damaged ({error}). Delete it and run again.") from error


def _task(entry: Mapping[str, Any]) -> Task:
    slots = (Slot(**slot | {"role": SlotRole(slot["role"])}) for slot in entry["slots"])
    return Task(entry["task_id"], tuple(slots))


def image_bytes(folder: Path, facts: ImageFacts) -> bytes:
    """Return an image's encoded file, checked against its hash."""
    return read_member(folder / facts.shard, facts.offset, facts.length, facts.sha256)


def response_name(task_id: str, worker: str) -> str:
    """Return the file name of a response: one for each worker and task, safe for any worker's name.

    >>> response_name("t0003", "mturk:A1/..")
    't0003--mturk%3AA1%2F...json'
    """
    return f"{task_id}--{quote(worker, safe='')}.json"


def write_response(folder: Path, task: Task, response: Response, *, received_s: float | None = None) -> bool:
    """Deliver a complete response, once: a second one of the same worker to the same task changes nothing.

    Args:
        folder: The votes folder.
        task: That was answered.
        response: Answers to all of its slots, in their order; else StoreError, and nothing is stored.
        received_s: Seconds since 1970; None: now.

    Returns:
        Whether it was stored now; False: this worker's response to this task stood already.
    """
    require_complete(task, response)
    if not response.worker or len(response_name(task.task_id, response.worker)) > 250:
        raise StoreError(
            f"The worker's name {response.worker[:40]!r} is empty or too long. Give a short one."
        )
    when = time.time() if received_s is None else received_s
    content = {"format": FORMAT, "received_s": when, **dataclasses.asdict(response)}
    final = make_private_folder(folder / RESPONSES_FOLDER) / response_name(task.task_id, response.worker)
    partial = final.with_name(f"{uuid.uuid4().hex}.part")
    with explained(final):
        try:
            descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE)
            with open(descriptor, "w", encoding="utf-8") as stream:
                json.dump(content, stream)
                stream.flush()
                os.fsync(stream.fileno())
            os.link(partial, final)  # unlike a rename, it fails when the name is taken
        except FileExistsError:
            return False
        finally:
            partial.unlink(missing_ok=True)
    return True


def require_complete(task: Task, response: Response) -> None:
    """Raise StoreError unless a response answers every slot of the task, each once, in order."""
    positions = [answer.position for answer in response.answers]
    if response.task_id != task.task_id or positions != [slot.position for slot in task.slots]:
        raise StoreError(
            f"The response of {response.worker!r} to task {response.task_id!r} has {len(positions)} answers that are "
            f"not those to the {len(task.slots)} images of task {task.task_id!r}. Nothing was stored."
        )


def response_files(folder: Path) -> list[Path]:
    """Return the files of all responses, by name."""
    return sorted((folder / RESPONSES_FOLDER).glob("*.json"))


def read_responses(folder: Path, tasks: TaskSet, *, names: Collection[str] | None = None) -> list[Received]:
    """Return the responses, the earliest first; a damaged file, or one of another run, is a StoreError.

    Args:
        folder: The votes folder.
        tasks: From `read_tasks`.
        names: Of the files that are wanted; None: all.
    """
    known = {task.task_id: task for task in tasks.tasks}
    found = []
    for path in response_files(folder):
        if names is not None and path.name not in names:
            continue
        content = _read_json(path, "Delete it: its task is given out again.")
        try:
            answers = tuple(_answer(answer) for answer in content["answers"])
            response = Response(content["task_id"], content["worker"], answers)
            require_complete(known[response.task_id], response)
            found.append(Received(response, float(content["received_s"])))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise StoreError(
                f"{path} is damaged ({error!r}). Delete it: its task is given out again."
            ) from error
    return sorted(found, key=lambda one: (one.received_s, one.response.task_id, one.response.worker))


def _answer(entry: Mapping[str, Any]) -> Answer:
    """Return an answer; `3.0` is 3, but a word is no yes: every text that is not empty would count as one."""
    answer = Answer(**entry)
    if int(answer.position) != answer.position or isinstance(answer.position, bool):
        raise ValueError(f"position {answer.position!r} is no whole number")
    for name in ("can_recognise", "can_use"):
        if not isinstance(getattr(answer, name), bool):
            raise TypeError(f"{name} is {getattr(answer, name)!r}, neither true nor false")
    return dataclasses.replace(answer, position=int(answer.position), seconds=float(answer.seconds))


def _read_json(path: Path, remedy: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise StoreError(f"{path} is missing. {remedy}") from error
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror}). {remedy}") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} is damaged ({error}). {remedy}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise StoreError(f"{path} has another format than this version's ({FORMAT}). {remedy}")
    return content
