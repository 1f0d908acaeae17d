"""One votes folder as the page sees it: its tasks, its desk, its images under opaque names, its deliveries."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagenetd.errors import StoreError
from imagenetd.qc.annotate import refusals
from imagenetd.qc.annotate.database import Database
from imagenetd.qc.annotate.desk import Desk
from imagenetd.qc.annotate.disguise import EXAMPLES, Pictures
from imagenetd.qc.annotate.tokens import Badge, Signer, read_or_make_key
from imagenetd.qc.annotate.workers import Workers
from imagenetd.qc.answers import answer_table
from imagenetd.qc.progress import missing_responses, read_rules
from imagenetd.qc.sentinels import sentinel_failures
from imagenetd.qc.tasks import Response, Task
from imagenetd.qc.votes_folder import (
    RESPONSES_FOLDER,
    TASKS_FILE,
    TaskSet,
    close_to_others,
    image_bytes,
    read_responses,
    read_tasks,
    response_name,
    write_response,
)
from imagenetd.store.folders import write_bytes_atomic

DESK_FOLDER = "desk"
"""Below the votes folder: the database and the secret key; private."""
PICTURES_FOLDER = "pictures"
"""In the desk: pictures as workers get them. It may be deleted at any time."""
PICTURE_TIME_S = 946_684_800
"""Of every picture that leaves: 2000-01-01."""
NUM_TASKS_WITH_IMAGES = 3
"""Images of a worker's latest tasks are served, not those of all it ever had."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One picture as the worker may know it: no role, no id, no truth."""

    image: str
    """Opaque name, good for this session alone."""
    category: str
    """Display name of the object that is asked for."""


class Room:
    """Everything that the server needs of one folder.

    Args:
        folder: The votes folder.
        timeout_s: A task that was not touched for so long is free for others.
        clock: Gives unix time in seconds.
    """

    def __init__(self, folder: Path, *, timeout_s: float, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self.task_set: TaskSet = read_tasks(folder)
        close_to_others(folder)
        self.signer = Signer(read_or_make_key(folder / DESK_FOLDER / "secret.key"))
        self.database = Database(folder / DESK_FOLDER / "desk.sqlite3")
        self.workers = Workers(self.database, clock=clock)
        self.desk = Desk(self.database, self._missing, timeout_s=timeout_s, clock=clock)
        self.is_behind = False
        """A response was sent and could not be delivered."""
        self._pictures = Pictures(
            self.signer, self.images_of, self._image, folder / DESK_FOLDER / PICTURES_FOLDER
        )
        self._lock = threading.Lock()
        self._stamp = 0
        self._by_id: dict[str, Task] = {}
        self._rules = read_rules(self.task_set.settings.rules)
        self.refresh()
        self.reconcile()

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def refresh(self) -> None:
        """Take over `tasks.json` when it was written anew, as after a new round of votes."""
        with self._lock:
            stamp = (self.folder / TASKS_FILE).stat().st_mtime_ns
            if stamp == self._stamp:
                return
            self.task_set = read_tasks(self.folder)
            self._by_id = {task.task_id: task for task in self.task_set.tasks}
            self._rules = read_rules(self.task_set.settings.rules)
            self.desk.set_tasks(self.task_set.tasks)
            self._stamp = stamp

    def _missing(self, task_id: str, responses: Sequence[Response]) -> int:
        """Return how many more qualified responses a task waits for; a response that fails a sentinel is replaced."""
        if task_id not in self._by_id:
            return 0
        return missing_responses([self._by_id[task_id]], responses, self._rules).get(task_id, 0)

    def reconcile(self) -> None:
        """Deliver what was sent but not delivered before a kill, and learn what was delivered without this database."""
        self.deliver()
        for received in read_responses(self.folder, self.task_set):
            self.desk.bring(received.response)

    def deliver(self) -> int:
        """Write every sent response that is not in the folder yet; return how many were written.

        It may be called at any time and by several: a response is delivered once.
        """
        responses, num_new = self.folder / RESPONSES_FOLDER, 0
        for response, sent_s in self.desk.sent():
            path = responses / response_name(response.task_id, response.worker)
            if response.task_id in self._by_id and not path.is_file():
                num_new += write_response(
                    self.folder, self._by_id[response.task_id], response, received_s=sent_s
                )
        self.is_behind = False
        return num_new

    def next_task(self, worker: str) -> Task | None:
        """Return the task that a worker is to do now."""
        self.refresh()
        task_id = self.desk.take(worker)
        return None if task_id is None else self._by_id[task_id]

    def submit(self, task: Task, worker: str) -> Response:
        """Close a task and deliver its response.

        Where the folder cannot be written the response stays on the desk, `is_behind` is set, and the worker is told to
        try again: a second attempt, the next `deliver` or the next start delivers it.

        Raises:
            Refusal: As `Desk.submit`; a task that is sent and delivered already is refused.
        """
        try:
            response, sent_s = self.desk.submit(task.task_id, worker), None
        except refusals.Refusal as refusal:
            path = self.folder / RESPONSES_FOLDER / response_name(task.task_id, worker)
            if refusal.code != refusals.already_submitted().code or path.is_file():
                raise
            response, sent_s = self.desk.sent_response(task.task_id, worker)
        try:
            write_response(self.folder, task, response, received_s=sent_s)
        except (OSError, StoreError):
            self.is_behind = True
            raise
        return response

    def take_in(self, response: Response, *, sent_s: float | None = None) -> bool:
        """Keep a whole response that was given elsewhere; return False when it is here already.

        Args:
            response: Of a task of this folder.
            sent_s: Unix time at which the worker sent it; None: now.
        """
        task = self.task(response.task_id)
        is_new = write_response(self.folder, task, response, received_s=sent_s)
        self.desk.bring(response)
        return is_new

    def task(self, task_id: str) -> Task:
        """Return a task; StoreError when this folder has none of this id."""
        if task_id not in self._by_id:
            raise StoreError(f"{self.folder} has no task {task_id!r}: the answers belong to another run.")
        return self._by_id[task_id]

    def failed_sentinels(self, response: Response) -> str:
        """Return why a response does not count; empty when it passes every sentinel."""
        table = answer_table([self.task(response.task_id)], [response])
        return sentinel_failures(table, self._rules.sentinel_rule).reason(0)

    def picture(self, task_id: str, position: int) -> bytes:
        """Return the picture at one place of a task, or of the `EXAMPLES`, as a PNG that is like no other.

        All pictures of a task have one size, and a repeated picture is another file: nothing but the look of it tells.
        """
        return self._pictures.get(task_id, position)

    def write_picture(self, task_id: str, position: int, path: Path) -> None:
        """Write a picture elsewhere; all are of one time."""
        write_bytes_atomic(path, self.picture(task_id, position))
        os.utime(path, (PICTURE_TIME_S, PICTURE_TIME_S))

    def images_of(self, task_id: str) -> list[str]:
        """Return the ids of the images of a task, or of the `EXAMPLES`, in their order."""
        if task_id == EXAMPLES:
            return [example.image_id for example in self.task_set.settings.training]
        return [slot.image_id for slot in self.task(task_id).slots]

    def _image(self, image_id: str) -> bytes:
        return image_bytes(self.folder, self.task_set.images[image_id])

    def find_task(self, worker: str, name: str) -> Task:
        """Return the task behind an opaque name; one that was never given to this worker is refused."""
        for task_id in self.desk.given(worker):
            if self.task_name(worker, task_id) == name and task_id in self._by_id:
                return self._by_id[task_id]
        raise refusals.unknown_task()

    def task_name(self, worker: str, task_id: str) -> str:
        """Return the name under which a worker knows a task; the same after a reload."""
        return self.signer.name("task", worker, task_id)

    def shown(self, badge: Badge, task: Task) -> list[Shown]:
        """Return the pictures of a task as the worker may know them."""
        display = self.task_set.settings.display
        return [
            Shown(
                self.signer.name("image", badge.session, task.task_id, slot.position), display[slot.category]
            )
            for slot in task.slots
        ]

    def example_name(self, badge: Badge, number: int) -> str:
        """Return the opaque name of a training example's picture."""
        return self.signer.name("image", badge.session, "example", number)

    def image(self, badge: Badge, name: str) -> bytes:
        """Return the picture behind an opaque name, when this session was given it."""
        training = self.task_set.settings.training
        names = {self.example_name(badge, number): (EXAMPLES, number) for number in range(len(training))}
        for task_id in self.desk.given(badge.worker)[:NUM_TASKS_WITH_IMAGES]:
            if name in names or task_id not in self._by_id:
                continue
            task = self._by_id[task_id]
            names |= {
                shown.image: (task_id, slot.position)
                for shown, slot in zip(self.shown(badge, task), task.slots, strict=True)
            }
        if name not in names:
            raise refusals.unknown_task()
        return self.picture(*names[name])
