"""What a figure of the HTML report consists of: five kinds, each as `assets/report/charts.js` reads it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Rate:
    """A share in percent with its interval."""

    v: float
    """NaN where there is no image."""
    lo: float
    hi: float
    n: int
    """Images."""


@dataclass(frozen=True, slots=True)
class Dot:
    """A point of a scatter plot."""

    label: str
    x: Rate
    y: Rate


@dataclass(frozen=True, slots=True)
class Dots:
    """The points of one colour."""

    name: str
    points: Sequence[Dot]
    hollow: bool = False
    small: bool = False


@dataclass(frozen=True, slots=True)
class Titled:
    """What every figure has."""

    id: str
    title: str
    caption: str


@dataclass(frozen=True, slots=True)
class Scatter(Titled):
    """One rate against another, both in percent, with the line on which they are equal."""

    x: str
    y: str
    """What the axes show, as `x`."""
    series: Sequence[Dots]
    type: str = field(default="scatter", init=False)


@dataclass(frozen=True, slots=True)
class Place:
    """A point of a curve: at the whole number `x` a share in percent, as `Rate`."""

    x: int
    v: float
    lo: float
    hi: float
    n: int


@dataclass(frozen=True, slots=True)
class Curve:
    """The points of one line."""

    name: str
    points: Sequence[Place]


@dataclass(frozen=True, slots=True)
class Lines(Titled):
    """Rates over whole numbers, with bands."""

    x: str
    y: str
    series: Sequence[Curve]
    type: str = field(default="lines", init=False)


@dataclass(frozen=True, slots=True)
class ForestRow:
    """A line of a forest plot; rows of one group stand under its name."""

    group: str
    label: str
    marks: Sequence[Rate]
    """One for each of the figure's marks."""


@dataclass(frozen=True, slots=True)
class ForestPanel:
    """What is shown at once; the reader chooses one."""

    name: str
    rows: Sequence[ForestRow]


@dataclass(frozen=True, slots=True)
class Forest(Titled):
    """Rates with intervals, one below the other."""

    x: str
    marks: Sequence[str]
    min_images: int
    """A mark of fewer images is hollow."""
    panels: Sequence[ForestPanel]
    type: str = field(default="forest", init=False)


@dataclass(frozen=True, slots=True)
class Step:
    """A change from one accuracy to another, all in percent or points."""

    start: str
    end: str
    before: float
    after: float
    v: float
    """The change, with its interval."""
    lo: float
    hi: float
    n: int
    """Images at the end."""
    meaning: str
    said: str
    """Stands in place of the number where nothing was measured; else empty."""


@dataclass(frozen=True, slots=True)
class StepsPanel:
    """What is shown at once; the reader chooses one."""

    name: str
    steps: Sequence[Step]


@dataclass(frozen=True, slots=True)
class Steps(Titled):
    """How an accuracy falls or rises step by step."""

    x: str
    panels: Sequence[StepsPanel]
    type: str = field(default="steps", init=False)


@dataclass(frozen=True, slots=True)
class HeatColumn:
    """A column of a heat map."""

    kind: str
    label: str


@dataclass(frozen=True, slots=True)
class Heat(Titled):
    """Shares in percent by row and column, one layer of them at a time."""

    rows: Sequence[str]
    columns: Sequence[HeatColumn]
    counts: Sequence[Sequence[int]]
    """Images of each cell, by row and column."""
    layers: Mapping[str, Sequence[Sequence[float]]]
    """Name -> values; -1 where a cell is empty."""
    type: str = field(default="heat", init=False)


Figure = Scatter | Lines | Forest | Steps | Heat
