"""What people are asked and what they answer: tasks of images with sentinels among them (paper, section 3.3)."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class SlotRole(enum.StrEnum):
    """Why an image stands in a task; never shown to the worker."""

    ITEM = "item"
    POSITIVE = "positive"
    NEGATIVE = "negative"
    CONSISTENCY = "consistency"
    """An item or a sentinel shown a second time; both answers must be equal."""
    HARD_POSITIVE = "hard_positive"
    """A hard image of which earlier votes settled that it shows its object."""
    HARD_NEGATIVE = "hard_negative"
    """A hard image of which earlier votes settled that it does not show its object."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One image of a task and the category that is asked for."""

    position: int
    """Place in the task, 0 first."""
    image_id: str
    category: str
    """Key of the category that the two questions name; for an (easy) negative sentinel not the image's own."""
    role: SlotRole


@dataclass(frozen=True, slots=True)
class Task:
    """The images that one worker answers in one go; all of it counts or none of it."""

    task_id: str
    slots: tuple[Slot, ...]

    @property
    def items(self) -> tuple[Slot, ...]:
        """The slots whose answers become votes."""
        return tuple(slot for slot in self.slots if slot.role is SlotRole.ITEM)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a worker said of one slot: Q1 can the object be recognised, Q2 can it be used as the object."""

    position: int
    can_recognise: bool
    can_use: bool
    seconds: float
    """From the image's appearance to the answer."""


@dataclass(frozen=True, slots=True)
class Response:
    """One worker's answers to all slots of one task, in the order of the slots."""

    task_id: str
    worker: str
    answers: tuple[Judgement, ...]


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
    rules: Mapping[str, object] = field(default_factory=dict)
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


@dataclass(frozen=True, slots=True)
class Received:
    """A response and when it was delivered."""

    response: Response
    received_s: float = field(default=0.0)
    """Seconds since 1970, or a counter of a simulation; orders the responses of a task."""
