"""How many answers are right: one frame of counts, and the function that makes accuracies of it. Pure arithmetic."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from imagenetd.records import Kind, Score
from imagenetd.scoring.statistics.bootstrap import ratio
from imagenetd.scoring.statistics.intervals import Counts, wilson_interval

ALL = "all"
"""Stands in `kind` and `nuisance` of a total."""
POOL = "pool"
MODEL = ["model", "role"]
CELL = ["kind", "nuisance", "category"]
NUMBERS = ["num_images", "num_correct", "num_top5"]


@dataclass(frozen=True)
class Mark:
    """Which images a model has right under one regime."""

    model: str
    role: str
    regime: str
    correct: Bool[np.ndarray, " images"]
    counted: Bool[np.ndarray, " images"]
    """False where the model has not seen an image, or the regime leaves it out."""
    top5: Int[np.ndarray, " images"] | Bool[np.ndarray, " images"] | None = None
    """How often an image counts among the five best answers; None: the regime has no such number."""
    is_own: bool = True
    """It is the model's own regime; under others only the whole pool is counted."""

    @property
    def wrong(self) -> Bool[np.ndarray, " images"]:
        """What counts and is not right."""
        return self.counted & ~self.correct


def joint_mark(name: str, role: str, marks: Sequence[Mark], *, least: int) -> Mark:
    """Return several models as one: wrong where at least `least` of them are. It counts what counts for all."""
    counted = np.all([mark.counted for mark in marks], axis=0)
    num_wrong = np.sum([mark.wrong for mark in marks], axis=0)
    return Mark(name, role, "", num_wrong < least, counted)


@dataclass(frozen=True, slots=True)
class Tally:
    """How many images count in each group, and how many of these are right."""

    num_images: Int[np.ndarray, "models groups"]
    num_correct: Int[np.ndarray, "models groups"]

    @property
    def num_wrong(self) -> Int[np.ndarray, "models groups"]:
        """Int "models groups"."""
        return self.num_images - self.num_correct


def tally(
    marks: Sequence[Mark],
    group: Int[np.ndarray, " images"],
    num_groups: int,
    *,
    among: Bool[np.ndarray, " images"] | None = None,
) -> Tally:
    """Return the counts of each mark in groups that are no cells: bins, halves, what others get wrong.

    Args:
        marks: Of all models.
        group: Of each image, from 0 to `num_groups` - 1.
        num_groups: Some may be without an image.
        among: Only these images; None: all.
    """
    members = slice(None) if among is None else among
    sums = _sums(_wide(marks, len(group))[members], group[members], num_groups)
    columns = (
        [sums[number, name].to_numpy(np.int64) for number in range(len(marks))] for name in NUMBERS[:2]
    )
    return Tally(*(np.array(column, dtype=np.int64).reshape(len(marks), num_groups) for column in columns))


def count_answers(
    images: pd.DataFrame, marks: Sequence[Mark], sets: Mapping[str, Bool[np.ndarray, " images"]]
) -> pd.DataFrame:
    """Return one row for each mark, set and cell of the images, in this order; cells in order of appearance.

    Columns: `model`, `role`, `regime`, `is_own`, `set`, `kind`, `nuisance`, `category`, `num_images` (that count),
    `num_correct`, `num_top5` (over the pool; NaN where the regime has none). A cell without images of a set has zeros.

    Args:
        images: With kind, nuisance and category.
        marks: Of all models.
        sets: Name of a set -> which images are in it.
    """
    cell = images.groupby(CELL, sort=False, dropna=False).ngroup().to_numpy()
    cells = images[CELL].drop_duplicates(ignore_index=True)
    wide = _wide(marks, len(images))
    summed = {name: _sums(wide[members], cell[members], len(cells)) for name, members in sets.items()}
    pieces = [
        (number, name) for number, mark in enumerate(marks) for name in sets if mark.is_own or name == POOL
    ]
    columns = {
        **{
            name: _repeated([getattr(marks[n], name) for n, _ in pieces], len(cells))
            for name in (*MODEL, "regime")
        },
        "is_own": np.repeat([marks[number].is_own for number, _ in pieces], len(cells)),
        "set": _repeated([name for _, name in pieces], len(cells)),
        **{name: _tiled(cells[name], len(pieces)) for name in CELL},
    }
    for what in NUMBERS:
        absent = np.full(len(cells), np.nan)
        is_known = [(n, what) in wide and (what != NUMBERS[2] or name == POOL) for n, name in pieces]
        found = [
            summed[name][number, what].to_numpy() if known else absent
            for known, (number, name) in zip(is_known, pieces, strict=True)
        ]
        columns[what] = np.concatenate(found) if found else np.zeros(0)
    return pd.DataFrame(columns).astype(
        {"num_images": "int64", "num_correct": "int64", "num_top5": "float64"}
    )


def _wide(marks: Sequence[Mark], num_images: int) -> pd.DataFrame:
    """Return what is summed: a row for each image, a column for each mark and number."""
    return pd.DataFrame(
        {
            (number, name): values
            for number, mark in enumerate(marks)
            for name, values in zip(NUMBERS, _numbers(mark), strict=True)
            if values is not None
        },
        index=range(num_images),
    )


def _sums(wide: pd.DataFrame, group: np.ndarray, num_groups: int) -> pd.DataFrame:
    return wide.groupby(group).sum().reindex(range(num_groups), fill_value=0)


def _numbers(mark: Mark) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    return mark.counted, mark.counted & mark.correct, None if mark.top5 is None else mark.counted * mark.top5


def _repeated(names: Sequence[str], each: int) -> pd.Categorical:
    codes, known = pd.factorize(np.array(names, dtype=object))
    return pd.Categorical.from_codes(np.repeat(codes, each), [str(name) for name in known])


def _tiled(names: pd.Series, times: int) -> pd.Categorical:
    codes, known = pd.factorize(names.astype(str))
    return pd.Categorical.from_codes(np.tile(codes, times), known)


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of images with its Wilson interval, for other images of these categories."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def rate_of(num_seen: Counts, num_images: Counts, *, confidence: float = 0.95) -> Rate:
    """Return on which share of the images a right (or a wrong) answer is seen; NaN and (0, 1) without images.

    Every accuracy and every rate of failures of a group of images that a run shows is computed here.

    Args:
        num_seen: From `tally` or `count_answers`, or sums of it.
        num_images: Likewise: those that count.
        confidence: Of the interval.
    """
    value = ratio(np.asarray(num_seen), np.asarray(num_images))
    return Rate(value, *wilson_interval(num_seen, num_images, confidence=confidence))


def accuracy_by(counts: pd.DataFrame, by: Sequence[str], *, confidence: float = 0.95) -> pd.DataFrame:
    """Return accuracy with its Wilson interval for each group, in order of appearance: see `rate_of`.

    Args:
        counts: From `count_answers`, or some rows of it.
        by: Names of columns, which stand first in the result.
        confidence: Of the intervals.
    """
    grouped = counts.groupby(list(by), sort=False, observed=True)
    top5 = [name for name in NUMBERS[2:] if name in counts]
    sums = grouped[NUMBERS[:2]].sum().join(grouped[top5].sum(min_count=1)).reset_index()
    sums = sums.astype({name: object for name in by if isinstance(sums[name].dtype, pd.CategoricalDtype)})
    found = rate_of(sums["num_correct"].to_numpy(), sums["num_images"].to_numpy(), confidence=confidence)
    if top5:
        sums = sums.assign(top5=ratio(sums["num_top5"].to_numpy(), sums["num_images"].to_numpy()))
    return sums.assign(accuracy=found.value, wilson_low=found.low, wilson_high=found.high)


def without_control(counts: pd.DataFrame) -> pd.DataFrame:
    """Return the same rows with nothing counted in the cells of the neutral prompt: totals leave this arm out."""
    kept = (counts["kind"] != Kind.NEUTRAL).to_numpy()
    return counts.assign(**{name: counts[name] * kept for name in NUMBERS})


def ordered_kinds(kinds: Sequence[str]) -> list[str]:
    """Return each kind once in the order of the paper, the neutral prompt after the others, then a dataset's own."""
    known = [str(kind) for kind in Kind]
    return [kind for kind in known if kind in kinds] + [
        kind for kind in dict.fromkeys(kinds) if kind not in known
    ]


def score_rows(counts: pd.DataFrame, *, confidence: float = 0.95) -> list[Score]:
    """Return one row for each model, set and slice, under the model's own regime; also for slices without an image.

    Slices are the total (`all`, `all`), each kind (kind, `all`) and each (kind, nuisance). Images of the neutral
    prompt are a control arm: they have their own kind row and do not count in the total.
    """
    own, of_set = counts[counts["is_own"]], [*MODEL, "set"]
    named = own[own["nuisance"] != ""]
    levels = [
        accuracy_by(without_control(own), of_set, confidence=confidence).assign(kind=ALL, nuisance=ALL),
        accuracy_by(own, [*of_set, "kind"], confidence=confidence).assign(nuisance=ALL),
        accuracy_by(named, [*of_set, "kind", "nuisance"], confidence=confidence),
    ]
    table = pd.concat([level.assign(level=number) for number, level in enumerate(levels)], ignore_index=True)
    order = {
        "model": {name: n for n, name in enumerate(dict.fromkeys(own["model"]))},
        "set": {name: n for n, name in enumerate(dict.fromkeys(own["set"]))},
        "kind": {name: n for n, name in enumerate([ALL, *ordered_kinds(own["kind"].unique().tolist())])},
    }
    places = pd.DataFrame({name: table[name].map(places) for name, places in order.items()})
    places.insert(2, "level", table["level"])
    rows = table.loc[places.sort_values(list(places), kind="stable").index, [f.name for f in fields(Score)]]
    return [Score(**row) for row in rows.to_dict("records")]
