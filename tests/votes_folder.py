"""A votes folder made by hand: few tasks, small pictures, sentinels with known answers."""

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from imagenetd.config.page import PageConfig
from imagenetd.config.qc import SentinelRule, StoppingConfig
from imagenetd.qc.completion import Rules, plain_rules
from imagenetd.qc.page_options import write_options
from imagenetd.qc.tasks import (
    ImageFacts,
    Judgement,
    Response,
    Slot,
    SlotRole,
    Task,
    TaskSet,
    TaskSettings,
    TrainingExample,
)
from imagenetd.qc.votes_folder import (
    read_tasks,
    write_tasks,
)

DISPLAY = {"mug": "mug", "sock": "sock", "banana": "banana"}
CATEGORIES = tuple(DISPLAY)
NUM_SENTINELS = 3  # a positive, a negative, a repeat


def page_options(**changes: object) -> PageConfig:
    options = {
        "host": "127.0.0.1",
        "port": 0,
        "public_url": None,
        "certificate": None,
        "private_key": None,
        "link_days": 14.0,
        "session_hours": 12.0,
        "timeout_minutes": 30.0,
        "form_days": 14.0,
        "max_request_kb": 16,
    }
    return PageConfig(**options | changes)  # type: ignore[arg-type]


def picture(name: str, size_px: int = 24, *, grain: bool = False) -> bytes:
    """Return a PNG of its own for each name; with grain it is as large as a photograph."""
    digest = hashlib.sha256(name.encode()).digest()
    image = Image.new("RGB", (size_px, size_px), tuple(digest[:3]))
    ImageDraw.Draw(image).ellipse((4, 4, size_px - 5, size_px - 5), fill=tuple(digest[3:6]))
    if grain:
        noise = np.random.default_rng(digest[0]).integers(-15, 16, (size_px, size_px, 3))
        image = Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()


def slots_of(number: int, num_items: int) -> tuple[Slot, ...]:
    """Return items, then a positive, a negative and a repeat of the first item."""
    items = [
        Slot(n, f"t{number}-item{n}", CATEGORIES[n % len(CATEGORIES)], SlotRole.ITEM)
        for n in range(num_items)
    ]
    sentinels = [
        Slot(num_items, f"t{number}-positive", "mug", SlotRole.POSITIVE),
        Slot(num_items + 1, f"t{number}-negative", "sock", SlotRole.NEGATIVE),
        Slot(num_items + 2, items[0].image_id, items[0].category, SlotRole.CONSISTENCY),
    ]
    return (*items, *sentinels)


def make_votes_folder(
    folder: Path,
    *,
    num_tasks: int = 2,
    num_items: int = 2,
    num_workers: int = 2,
    size_px: int = 24,
    grain: bool = False,
    display: dict[str, str] | None = None,
    options: PageConfig | None = None,
) -> Path:
    """Write pictures, tasks and options; return the votes folder."""
    tasks = [Task(f"task{number}", slots_of(number, num_items)) for number in range(num_tasks)]
    names = sorted({slot.image_id for task in tasks for slot in task.slots} | {"example-yes", "example-no"})
    (folder / "pool").mkdir(parents=True)
    images: dict[str, ImageFacts] = {}
    with open(folder / "pool" / "shard.tar", "wb") as shard:
        for name in names:
            content = picture(name, size_px, grain=grain)
            facts = ("../pool/shard.tar", shard.tell(), len(content), hashlib.sha256(content).hexdigest())
            images[name] = ImageFacts(*facts)
            shard.write(content)
    rules = Rules(num_workers, SentinelRule.both, StoppingConfig(False, 3, 0.99, False, 0.8))
    settings = TaskSettings(
        display=DISPLAY | (display or {}),
        training=(
            TrainingExample("example-yes", "mug", True, True, "It has a handle and holds a drink."),
            TrainingExample("example-no", "sock", False, False, "Nothing here is a sock."),
        ),
        workers_per_image=num_workers,
        title="a test",
        rules=plain_rules(rules),
    )
    votes = folder / "votes"
    write_tasks(votes, tasks, images, settings)
    write_options(votes, {"page": options or page_options()})
    return votes


def right_answer(slot: Slot) -> bool:
    """Return what a careful worker says to both questions: no to the negative sentinel alone."""
    return slot.role is not SlotRole.NEGATIVE


def careful_response(task: Task, worker: str) -> Response:
    """Return the response of a worker who passes every sentinel."""
    shown_no = {slot.image_id for slot in task.slots if not right_answer(slot)}  # also where it comes again
    said = [(slot.position, slot.image_id not in shown_no) for slot in task.slots]
    answers = (Judgement(position, yes, yes, 1.0) for position, yes in said)
    return Response(task.task_id, worker, tuple(answers))


def tasks_of(votes: Path) -> TaskSet:
    return read_tasks(votes)
