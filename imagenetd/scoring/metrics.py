"""Accuracy of every model on every slice of every set, with its interval. Pure arithmetic."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from imagenetd.records import Kind, Score
from imagenetd.scoring.statistics.intervals import wilson_interval

ALL = "all"
"""Stands in `kind` and `nuisance` of a total."""

Counts = Int[np.ndarray, "*slices"]
Rates = Float[np.ndarray, "*slices"]


def accuracy(num_correct: Counts, num_images: Counts) -> Rates:
    """Return the share of correct images; NaN where there is no image."""
    share = np.asarray(num_correct, dtype=np.float64) / np.maximum(num_images, 1)
    return np.where(np.asarray(num_images) == 0, np.nan, share)


@dataclass(frozen=True, slots=True)
class _Slices:
    """The slices of a pool: totals first, then kinds, then nuisances in the order of the prompts."""

    names: tuple[tuple[str, str], ...]
    """Kind and nuisance of each slice."""
    cell_of_image: np.ndarray
    """Int, `images`: the (kind, nuisance) of each image."""
    in_slice: np.ndarray
    """Float, `slices cells`: 1 where a cell belongs to a slice."""


def score_rows(
    correct: Bool[np.ndarray, "models images"],
    *,
    models: Sequence[tuple[str, str]],
    kinds: Sequence[str],
    nuisances: Sequence[str],
    sets: Mapping[str, Bool[np.ndarray, " images"]],
    counted: Bool[np.ndarray, "models images"] | None = None,
    confidence: float = 0.95,
) -> list[Score]:
    """Return one row for each model, set and slice; also for slices that hold no image of a set.

    Slices are the total (`all`, `all`), each kind (kind, `all`) and each (kind, nuisance). Images of the
    neutral prompt are a control arm: they have their own kind row and do not count in the total. A slice
    without images has accuracy NaN and interval (0, 1).

    Args:
        correct: Row i belongs to `models[i]`.
        models: Name and role of each model.
        kinds: Of each image.
        nuisances: Raw name for each image; empty for the neutral prompt.
        sets: Name of a set -> which images are in it.
        counted: Which images count for a model; None: all of them.
        confidence: Of the Wilson intervals.
    """
    slices = _slices(kinds, nuisances)
    is_counted = np.ones_like(correct) if counted is None else counted
    rows: list[Score] = []
    for row, (model, role) in enumerate(models):
        for name, members in sets.items():
            is_in_set = members & is_counted[row]
            num_images = _count(slices, is_in_set)
            num_correct = _count(slices, is_in_set & correct[row])
            numbered = zip(
                slices.names,
                num_images.tolist(),
                num_correct.tolist(),
                accuracy(num_correct, num_images).tolist(),
                *(end.tolist() for end in wilson_interval(num_correct, num_images, confidence=confidence)),
                strict=True,
            )
            rows.extend(Score(model, role, name, *slice_name, *numbers) for slice_name, *numbers in numbered)
    return rows


def _slices(kinds: Sequence[str], nuisances: Sequence[str]) -> _Slices:
    codes: dict[tuple[str, str], int] = {}
    cells = [codes.setdefault(cell, len(codes)) for cell in zip(map(str, kinds), nuisances, strict=True)]
    names = tuple(dict.fromkeys(_slice_names(list(codes))))
    in_slice = np.array([[_holds(name, cell) for cell in codes] for name in names], dtype=np.float64)
    return _Slices(names, np.array(cells, dtype=np.int64), in_slice.reshape(len(names), len(codes)))


def _slice_names(cells: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    yield (ALL, ALL)
    order = [*map(str, Kind)]
    found = dict.fromkeys(kind for kind, _ in cells)  # kinds of a dataset of its own come after ours
    kinds = [kind for kind in order if kind in found] + [kind for kind in found if kind not in order]
    yield from ((kind, ALL) for kind in kinds)
    for kind in kinds:
        yield from (cell for cell in cells if cell[0] == kind and cell[1])


def _holds(name: tuple[str, str], cell: tuple[str, str]) -> bool:
    kind, nuisance = name
    if kind == ALL:
        return cell[0] != Kind.NEUTRAL
    return kind == cell[0] and nuisance in (ALL, cell[1])


def _count(slices: _Slices, is_counted: Bool[np.ndarray, " images"]) -> Counts:
    cells = np.bincount(slices.cell_of_image[is_counted], minlength=slices.in_slice.shape[1])
    return np.rint(slices.in_slice @ cells).astype(np.int64)
