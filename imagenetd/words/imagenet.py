"""The 1,000 classes of ImageNet-1k in the order of every classifier's outputs: WordNet ids, sorted."""

import csv
import functools
from dataclasses import dataclass

from imagenetd import ASSETS_DIR
from imagenetd.words.vocabulary import Category

CLASSES_FILE = ASSETS_DIR / "imagenet" / "classes.csv"
NUM_CLASSES = 1000


@dataclass(frozen=True, slots=True)
class ImageNetClass:
    """One output of an ImageNet-1k classifier."""

    id: int
    wnid: str
    """WordNet id, e.g. `n02708093`: the name of its folder in ImageNet."""
    name: str


@functools.cache
def load_classes() -> tuple[ImageNetClass, ...]:
    """Return the classes by id."""
    with open(CLASSES_FILE, newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(stream)
        return tuple(ImageNetClass(int(row["id"]), row["wnid"], row["name"]) for row in rows)


@functools.cache
def ids_by_wnid() -> dict[str, int]:
    """Return WordNet id -> class id."""
    return {entry.wnid: entry.id for entry in load_classes()}


def class_category(class_id: int) -> Category:
    """Return a class of ImageNet as a category of its own, named by its WordNet id (names are not unique)."""
    entry = load_classes()[class_id]
    return Category(entry.wnid, entry.name, (class_id,))
