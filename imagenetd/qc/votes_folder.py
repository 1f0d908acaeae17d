"""The folder where tasks wait for people and answers come back: the one meeting point of all human ways.

```
<votes folder>/
  tasks.json                             what is asked, sentinels included: private, never served as it is
  responses/<task>--<worker>.json        one complete response each, whole or not there
```

A way (local page, MTurk, Label Studio, form, simulation) reads `tasks.json` and delivers with `write_response`. It may
keep files of its own in the folder; nothing else is read. A sent response stands in its file and nowhere else: whoever
takes the file out has taken the votes back.
"""

import contextlib
import dataclasses
import json
import os
import threading
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from imagenetd.errors import StoreError
from imagenetd.images.shards import read_member
from imagenetd.qc.completion import missing_responses, read_rules
from imagenetd.qc.judgements import judgement_table
from imagenetd.qc.sentinels import sentinel_failures
from imagenetd.qc.tasks import (
    ImageFacts,
    Judgement,
    Received,
    Response,
    Sampled,
    Slot,
    SlotRole,
    Task,
    TaskSet,
    TaskSettings,
    TrainingExample,
)
from imagenetd.store.folders import explained
from imagenetd.store.private import FILE_MODE, make_private, make_private_folder, write_private_json

TASKS_FILE = "tasks.json"
RESPONSES_FOLDER = "responses"
FORMAT = 1
"""Of both kinds of file; another number is refused."""
CLOCK_TICK_NS = 1_000_000_000
"""Two changes of a folder within such a time may have the same stamp."""


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
            {image_id: Sampled(**one) for image_id, one in content["sampling"].items()},
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
    wanted = (folder / RESPONSES_FOLDER / name for name in sorted(names or ()))
    for path in response_files(folder) if names is None else filter(Path.is_file, wanted):
        content = _read_json(path, "Delete it: its task is given out again.")
        try:
            answers = tuple(_answer(answer) for answer in content["answers"])
            response = Response(content["task_id"], content["worker"], answers)
            if path.name != response_name(response.task_id, response.worker):
                raise ValueError("its name is that of another response")
            require_complete(known[response.task_id], response)
            found.append(Received(response, float(content["received_s"])))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise StoreError(
                f"{path} is damaged ({error!r}). Delete it: its task is given out again."
            ) from error
    return sorted(found, key=lambda one: (one.received_s, one.response.task_id, one.response.worker))


def _answer(entry: Mapping[str, Any]) -> Judgement:
    """Return an answer; `3.0` is 3, but a word is no yes: every text that is not empty would count as one."""
    answer = Judgement(**entry)
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


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the work is."""

    num_sent: int
    """Responses of anybody."""
    num_missing: int
    """Responses that are still waited for."""


class VotesFolder:
    """A votes folder while it is open: what is asked, who has answered, what is decided and what is missing.

    The files are the only place where a sent response stands. Several processes may have the folder open; each sees
    what the others have delivered, and what the owner has taken out, at its next `refresh`.

    Args:
        folder: Its path.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.RLock()
        self._tasks_stamp, self._responses_stamp, self._listed_ns = -1, -1, 0
        self._by_id: dict[str, Task] = {}
        self._images: dict[str, frozenset[str]] = {}
        """Task id -> its images, also of tasks that were withdrawn."""
        self._names: dict[str, tuple[str, str]] = {}
        """File name -> task and worker of each response that is known."""
        self._received: dict[str, dict[str, Received]] = {}
        """Task id -> worker -> response."""
        self._missing: dict[str, int] = {}
        """Task id -> responses that are waited for; without those that must be counted anew."""
        self._read_tasks()
        close_to_others(folder)
        self.refresh()

    def refresh(self) -> None:
        """Take over what has changed: responses that came or were taken out, and tasks of a new round."""
        with self._lock:
            self._read_tasks()
            responses, now_ns = self.folder / RESPONSES_FOLDER, time.time_ns()
            with explained(responses):
                stamp = responses.stat().st_mtime_ns
                if stamp == self._responses_stamp and stamp < self._listed_ns - CLOCK_TICK_NS:
                    return
                names = {entry.name for entry in os.scandir(responses) if entry.name.endswith(".json")}
            for one in read_responses(self.folder, self.task_set, names=names - self._names.keys()):
                self._add(one)
            for name in self._names.keys() - names:
                task_id, worker = self._names.pop(name)
                del self._received[task_id][worker]
                self._missing.pop(task_id, None)
            self._responses_stamp, self._listed_ns = stamp, now_ns

    def deliver(self, response: Response, *, received_s: float | None = None) -> bool:
        """Keep a whole response for good, once; return False when this worker's response to this task stood already.

        Args:
            response: To a task of this folder; else StoreError, and nothing is stored.
            received_s: Unix time at which it was sent; None: now.
        """
        when = time.time() if received_s is None else received_s
        is_new = write_response(self.folder, self.task(response.task_id), response, received_s=when)
        with self._lock:
            if is_new:
                self._add(Received(response, when))
            elif self.received(response.task_id, response.worker) is None:
                self.refresh()  # another process was faster
        return is_new

    def task(self, task_id: str) -> Task:
        """Return a task; StoreError when this folder has none of this id."""
        if task_id not in self._by_id:
            raise StoreError(f"{self.folder} has no task {task_id!r}: the answers belong to another run.")
        return self._by_id[task_id]

    def has_task(self, task_id: str) -> bool:
        """Tell whether a task is asked now; one that was withdrawn is not."""
        return task_id in self._by_id

    def images(self, task_id: str) -> frozenset[str]:
        """Return the ids of a task's images; of one that was withdrawn before the folder was opened, none."""
        return self._images.get(task_id, frozenset())

    def received(self, task_id: str, worker: str) -> Received | None:
        """Return the response that a worker has sent to a task; None where there is none."""
        with self._lock:
            return self._received.get(task_id, {}).get(worker)

    def received_from(self, worker: str) -> list[Received]:
        """Return what one worker has sent, the latest first."""
        with self._lock:
            found = [of_task[worker] for of_task in self._received.values() if worker in of_task]
        return sorted(found, key=lambda one: -one.received_s)

    def missing(self) -> dict[str, int]:
        """Return how many more responses each incomplete task waits for now; one that fails a sentinel is replaced."""
        with self._lock:
            stale = [task for task in self.task_set.tasks if task.task_id not in self._missing]
            given = [one.response for task in stale for one in self._received.get(task.task_id, {}).values()]
            found = missing_responses(stale, given, self._rules) if stale else {}
            self._missing |= {task.task_id: found.get(task.task_id, 0) for task in stale}
            return {task_id: self._missing[task_id] for task_id in self._by_id if self._missing[task_id]}

    def progress(self) -> Progress:
        """Return how much all together have sent, and what is missing."""
        return Progress(len(self._names), sum(self.missing().values()))

    def failed_sentinels(self, response: Response) -> str:
        """Return why a response does not count; empty when it passes every sentinel."""
        table = judgement_table([self.task(response.task_id)], [response])
        return sentinel_failures(table, self._rules.sentinel_rule).reason(0)

    def _read_tasks(self) -> None:
        path = self.folder / TASKS_FILE
        stamp = path.stat().st_mtime_ns if path.is_file() else 0
        if stamp == self._tasks_stamp:
            return
        self.task_set = read_tasks(self.folder)
        self._rules = read_rules(self.task_set.settings.rules)
        self._by_id = {task.task_id: task for task in self.task_set.tasks}
        self._images |= {
            name: frozenset(s.image_id for s in task.slots) for name, task in self._by_id.items()
        }
        self._missing.clear()
        self._tasks_stamp = stamp

    def _add(self, received: Received) -> None:
        task_id, worker = received.response.task_id, received.response.worker
        self._names[response_name(task_id, worker)] = (task_id, worker)
        self._received.setdefault(task_id, {})[worker] = received
        self._missing.pop(task_id, None)
