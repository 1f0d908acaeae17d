"""What people are asked and what they answer: tasks of images with sentinels among them (paper, section 3.3)."""

import enum
from dataclasses import dataclass


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
class Answer:
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
    answers: tuple[Answer, ...]
