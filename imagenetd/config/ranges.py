"""Ranges of numbers, stated beside the field or the argument that they bound, and checked once after composing.

```python
batch_size: Annotated[int, Range(1, 65_536)] = 64
min_share: Annotated[float, Range(0, 1, open_high=True)] = MISSING
```
"""

import dataclasses
import math
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from imagenetd.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers that can be meant; both ends belong to them unless they are open.

    The upper end is finite everywhere: what is above it is a slip of the finger, and would end in a full memory or in
    an error of some library hours later.
    """

    low: float
    high: float
    open_low: bool = False
    open_high: bool = False

    def holds(self, value: float) -> bool:
        """Tell whether a number can be meant; NaN never can."""
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above and below

    def wanted(self, value: float) -> str:
        """Return what a number should have been, e.g. `1 or more`."""
        low = f"above {_spelt(self.low)}" if self.open_low else f"{_spelt(self.low)} or more"
        high = f"below {_spelt(self.high)}" if self.open_high else f"{_spelt(self.high)} or less"
        if abs(value) != math.inf and value == value:
            return high if value >= self.high else low
        return f"a number, {low} and {high}"


@dataclass(frozen=True, slots=True)
class OneOf:
    """The words that can be meant."""

    choices: tuple[str | None, ...]

    def holds(self, value: str | None) -> bool:
        """Tell whether a word is among them."""
        return value in self.choices

    def wanted(self, value: str | None) -> str:
        """Return what the word should have been."""
        return f"one of {', '.join(choice or 'null' for choice in self.choices)}"


@dataclass(frozen=True, slots=True)
class Channels:
    """Beside a list with a number for each of the three channels of an image; null can be meant, too."""

    def holds(self, value: list[float] | None) -> bool:
        """Tell whether a list has as many."""
        return value is None or len(value) == 3

    def wanted(self, value: list[float] | None) -> str:
        """Return what the list should have been."""
        return "three numbers, one for each channel"


@dataclass(frozen=True, slots=True)
class With:
    """Beside a text with a place for something, such as `{options}`; null can be meant, too."""

    place: str

    def holds(self, value: str | None) -> bool:
        """Tell whether a text has the place."""
        return value is None or self.place in value

    def wanted(self, value: str | None) -> str:
        """Return what the text should have been."""
        return f"a text with {self.place} in it"


@dataclass(frozen=True, slots=True)
class MayBeEmpty:
    """Beside a text or list that says something by being empty; elsewhere it is a mistake, e.g. an empty path."""


Seed = Annotated[int, Range(0, 2**63 - 1)]
"""Of random numbers: what every library takes."""
Count = Annotated[int, Range(1, 10**9)]
"""Of things of which there must be one."""
AnyCount = Annotated[int, Range(0, 10**9)]
"""Of things of which there may be none."""
Batch = Annotated[int, Range(1, 65_536)]
"""Of images that a device holds at once."""
Draws = Annotated[int, Range(1, 1_000_000)]
"""Of a bootstrap."""
Pixels = Annotated[int, Range(1, 16_384)]
"""Of a side of an image."""
Share = Annotated[float, Range(0, 1)]
OpenShare = Annotated[float, Range(0, 1, open_low=True, open_high=True)]
"""Neither nothing nor all."""
Accuracy = Annotated[float, Range(0.5, 1, open_low=True, open_high=True)]
"""Of a judge who is better than a coin and not a god."""
Megabytes = Annotated[float, Range(0, 10_000_000)]
Days = Annotated[float, Range(0, 3650, open_low=True)]


def check_fields(config: Any, prefix: str = "") -> None:
    """Raise ConfigError for the first number of a dataclass tree that is out of the range beside its field."""
    hints = typing.get_type_hints(type(config), include_extras=True)
    for field in dataclasses.fields(config):
        value, option = getattr(config, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            check_fields(value, f"{option}.")
        else:
            check_value(value, hints[field.name], option)


def check_value(value: Any, annotation: Any, option: str) -> None:
    """Raise ConfigError for a number, word or list, also within a list or mapping, that is out of what can be meant.

    An empty text or list can be meant only where the annotation says so; of a list of anything its reader decides.
    """
    if (value == "" or value == [] and annotation is not Any) and not may_be_empty(annotation):
        raise ConfigError(f"{option} is empty. Give {option}={'VALUE' if value == '' else '[VALUE,...]'}.")
    for found, bounds in bounded(value, annotation):
        is_number = isinstance(found, int | float) and not isinstance(found, bool)
        if is_number == isinstance(bounds, Range) and not bounds.holds(found):
            shown = _spelt(found) if is_number else found
            raise ConfigError(f"{option}={shown} must be {bounds.wanted(found)}.")


def bounded(value: Any, annotation: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each part of a value that has a range or choices, with these."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        yield from (
            (value, bounds)
            for bounds in annotation.__metadata__
            if isinstance(bounds, Range | OneOf | Channels | With)
        )
        yield from bounded(value, inner[0])
    elif origin in (typing.Union, types.UnionType):
        for choice in inner:
            yield from bounded(value, choice)
    elif origin in (list, tuple) and isinstance(value, list | tuple):
        for entry in value:
            yield from bounded(entry, inner[0])
    elif origin is dict and isinstance(value, dict):
        for entry in value.values():
            yield from bounded(entry, inner[1])


def plain_type(annotation: Any) -> Any:
    """Return an annotation without the range around it."""
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is Annotated else annotation


def may_be_empty(annotation: Any) -> bool:
    """Tell whether an empty text or list can be meant."""
    return any(isinstance(mark, MayBeEmpty) for mark in getattr(annotation, "__metadata__", ()))


def unbounded(annotation: Any) -> bool:
    """Tell whether an annotation lets a number in for which no range is stated."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return not any(isinstance(bounds, Range) for bounds in annotation.__metadata__) and unbounded(
            inner[0]
        )
    return annotation in (int, float, complex) or any(unbounded(choice) for choice in inner)


def _spelt(number: float) -> str:
    return str(number) if len(str(number)) <= 40 else f"{str(number)[:40]}..."
