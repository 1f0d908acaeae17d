"""The 1,000 classes of ImageNet-1k in the order of every classifier's outputs: WordNet ids, sorted."""

import csv
import functools
from dataclasses import dataclass

from imagenetd import ASSETS_DIR
from imagenetd.words.vocabulary import Category, load_categories

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


@functools.cache
def _titles() -> dict[str, str]:
    """Return WordNet id -> name, with the id behind it where two classes have the same name (crane, maillot)."""
    names = [entry.name for entry in load_classes()]
    return {
        entry.wnid: entry.name if names.count(entry.name) == 1 else f"{entry.name} ({entry.wnid})"
        for entry in load_classes()
    }


def category_title(name: str) -> str:
    """Return what people call a category: the name of a class that goes by its WordNet id, else the key itself.

    >>> category_title("n01440764"), category_title("mug")
    ('tench', 'mug')
    """
    return _titles().get(name, name)


@functools.cache
def _ids_by_title() -> dict[str, int]:
    return {title: ids_by_wnid()[wnid] for wnid, title in _titles().items()}


def imagenet_ids(category: str) -> tuple[int, ...]:
    """Return the ImageNet classes of a category by its key, WordNet id or title; none for one that is unknown."""
    if category in load_categories():
        return load_categories()[category].imagenet_ids
    found = ids_by_wnid().get(category, _ids_by_title().get(category))
    return () if found is None else (found,)


def class_category(class_id: int) -> Category:
    """Return a class of ImageNet as a category of its own, named by its WordNet id (names are not unique)."""
    entry = load_classes()[class_id]
    return Category(entry.wnid, entry.name, (class_id,))
