"""One votes folder as people's ways see it: its tasks, its desk, its images under opaque names."""

import base64
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imagenetd.config.page import PageConfig
from imagenetd.qc.annotate import refusals
from imagenetd.qc.annotate.database import Database
from imagenetd.qc.annotate.desk import Desk
from imagenetd.qc.annotate.disguise import EXAMPLES, Pictures
from imagenetd.qc.annotate.tokens import Badge, Signer, read_or_make_key
from imagenetd.qc.annotate.workers import Workers
from imagenetd.qc.page_options import require_usable
from imagenetd.qc.tasks import (
    Task,
    TaskSet,
)
from imagenetd.qc.votes_folder import (
    VotesFolder,
    image_bytes,
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


MINUTE_S = 60

Source = Callable[[str, int, str], str]
"""Task id (or `EXAMPLES`), position, opaque name -> address of the picture in the form."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One picture as the worker may know it: no role, no id, no truth."""

    image: str
    """Opaque name, good for this session alone."""
    category: str
    """Display name of the object that is asked for."""


class Room:
    """Everything that people's ways need of one folder.

    Args:
        folder: The votes folder.
        timeout_s: A task that was not touched for so long is free for others.
        clock: Gives unix time in seconds.
    """

    def __init__(self, folder: Path, *, timeout_s: float, clock: Callable[[], float] = time.time) -> None:
        self.votes = VotesFolder(folder)
        self.signer = Signer(read_or_make_key(folder / DESK_FOLDER / "secret.key"))
        self.database = Database(folder / DESK_FOLDER / "desk.sqlite3")
        self.workers = Workers(self.database, clock=clock)
        self.desk = Desk(self.database, self.votes, timeout_s=timeout_s, clock=clock)
        self._pictures = Pictures(
            self.signer, self.images_of, self._image, folder / DESK_FOLDER / PICTURES_FOLDER
        )
        self.desk.deliver()  # what was sent and could not be delivered before a kill

    @property
    def folder(self) -> Path:
        """Where everything lies."""
        return self.votes.folder

    @property
    def task_set(self) -> TaskSet:
        """What is asked now."""
        return self.votes.task_set

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def next_task(self, worker: str) -> Task | None:
        """Return the task that a worker is to do now."""
        task_id = self.desk.take(worker)
        return None if task_id is None else self.votes.task(task_id)

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
        return [slot.image_id for slot in self.votes.task(task_id).slots]

    def _image(self, image_id: str) -> bytes:
        return image_bytes(self.folder, self.task_set.images[image_id])

    def find_task(self, worker: str, name: str) -> Task:
        """Return the task behind an opaque name; one that was never given to this worker is refused."""
        for task_id in self.desk.given(worker):
            if self.task_name(worker, task_id) == name and self.votes.has_task(task_id):
                return self.votes.task(task_id)
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
            if name in names or not self.votes.has_task(task_id):
                continue
            task = self.votes.task(task_id)
            names |= {
                shown.image: (task_id, slot.position)
                for shown, slot in zip(self.shown(badge, task), task.slots, strict=True)
            }
        if name not in names:
            raise refusals.unknown_task()
        return self.picture(*names[name])


def open_room(folder: Path, options: PageConfig) -> Room:
    """Open a votes folder for people's ways."""
    return Room(folder, timeout_s=require_usable(options).timeout_minutes * MINUTE_S)


def embedded(room: Room) -> Source:
    """Return the source that puts the picture itself into the form."""

    def address(task_id: str, position: int, name: str) -> str:
        return f"data:image/png;base64,{base64.b64encode(room.picture(task_id, position)).decode()}"

    return address
