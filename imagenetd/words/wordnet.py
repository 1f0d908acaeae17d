"""How far two ImageNet classes are apart in WordNet, and which of them people take for one thing."""

import csv
import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from imagenetd import ASSETS_DIR
from imagenetd.words.imagenet import NUM_CLASSES, load_classes

WORDNET_DIR = ASSETS_DIR / "wordnet" / "imagenet_v1"
_NOT_ABOVE = 100


def _rows(name: str) -> list[dict[str, str]]:
    with open(WORDNET_DIR / name, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@functools.cache
def _steps_up() -> Int[np.ndarray, "classes synsets"]:
    """Return the least number of steps from each class up to each synset; 100 where it is not above it."""
    parents = {row["wnid"]: row["parents"].split() for row in _rows("synsets.csv")}
    position = {wnid: place for place, wnid in enumerate(parents)}
    steps = np.full((NUM_CLASSES, len(parents)), _NOT_ABOVE, dtype=np.int16)
    for entry in load_classes():
        level, distance = {entry.wnid}, 0
        while level:
            for wnid in level:
                steps[entry.id, position[wnid]] = min(int(steps[entry.id, position[wnid]]), distance)
            level = {parent for wnid in level for parent in parents[wnid]}
            distance += 1
    return steps


def wordnet_distances(
    first: Int[np.ndarray, " pairs"], second: Int[np.ndarray, " pairs"]
) -> Int[np.ndarray, " pairs"]:
    """Return the number of steps up and down between two classes through their nearest common hypernym.

    >>> wordnet_distances(np.array([954, 954]), np.array([954, 953])).tolist()  # banana, pineapple
    [0, 2]
    """
    steps = _steps_up()
    found = np.zeros(len(first), dtype=np.int64)
    for start in range(0, len(first), 2000):
        rows = slice(start, start + 2000)
        found[rows] = (steps[first[rows]] + steps[second[rows]]).min(axis=1)
    return found


@functools.cache
def is_one_to_people() -> Bool[np.ndarray, "classes classes"]:
    """Mark the pairs of classes that people gave to the same photographs so often that they are one label."""
    same = np.eye(NUM_CLASSES, dtype=bool)
    for row in _rows("co_labels.csv"):
        first, second = int(row["first"]), int(row["second"])
        same[first, second] = same[second, first] = True
    return same


def group_distances(
    groups: Sequence[Sequence[int]], others: Sequence[Sequence[int]]
) -> tuple[Int[np.ndarray, "groups others"], Bool[np.ndarray, "groups others"]]:
    """Return the least WordNet distance between two groups of classes, and whether people take them for one label."""
    first = np.array([index for group in groups for index in group])
    second = np.array([index for group in others for index in group])
    distance = wordnet_distances(np.repeat(first, len(second)), np.tile(second, len(first)))
    same = is_one_to_people()[np.ix_(first, second)]
    starts, other_starts = _starts(groups), _starts(others)
    least = np.minimum.reduceat(distance.reshape(len(first), len(second)), starts, axis=0)
    any_same = np.logical_or.reduceat(same, starts, axis=0)
    return (
        np.minimum.reduceat(least, other_starts, axis=1),
        np.logical_or.reduceat(any_same, other_starts, axis=1),
    )


def _starts(groups: Sequence[Sequence[int]]) -> np.ndarray:
    return np.cumsum([0, *(len(group) for group in groups[:-1])])


def hypernym_groups(groups: Sequence[Sequence[int]]) -> dict[str, list[int]]:
    """Return the synsets that lie above at least two groups of classes, but not above all: name -> positions.

    Of synsets above the same groups the lowest stays. Names that occur twice get their id.
    """
    above = np.stack([(_steps_up()[list(group)] < _NOT_ABOVE).any(axis=0) for group in groups])
    rows = _rows("synsets.csv")
    depth = np.where(above, np.stack([_steps_up()[list(group)].min(axis=0) for group in groups]), 0).sum(
        axis=0
    )
    found: dict[tuple[int, ...], int] = {}
    for place in np.argsort(depth, kind="stable").tolist():
        members = tuple(np.flatnonzero(above[:, place]).tolist())
        if 2 <= len(members) < len(groups):
            found.setdefault(members, place)
    names: dict[str, list[int]] = {}
    for members, place in found.items():
        name = rows[place]["name"]
        names[name if name not in names else f"{name} {rows[place]['wnid']}"] = list(members)
    return names
