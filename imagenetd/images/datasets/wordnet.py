"""Datasets in ImageNet's own layout, a folder for each WordNet id: ImageNet-val, -A, -R, -V2, -Sketch, Stylized."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from imagenetd.config.ranges import Count, Range
from imagenetd.errors import ConfigError, DataError
from imagenetd.images.datasets.dataset import DOCS, Dataset, Listing
from imagenetd.images.datasets.walk import Found, FoundFile, subfolders
from imagenetd.store.delimited import read_delimited
from imagenetd.words.imagenet import NUM_CLASSES, class_category, ids_by_wnid
from imagenetd.words.vocabulary import Category

CATEGORIES, ALL_CLASSES = "categories", "all"
IGNORED = "images of classes that are no category of this run"


@dataclass(kw_only=True)
class WordNetDataset(Dataset):
    """`root/[subfolder/]<WordNet id or class number>/**`, or the files that a label file of ImageNet-val lists.

    Args:
        title: Of the dataset: stands in the column `kind`.
        classes: `categories`: only the images of the chosen categories, whose label space it is; `all`: every class
            that is there is a category of its own.
        subfolders: Where the class folders may lie below the root; the first that exists is taken.
        labels: CSV of Kaggle's ImageNet (ImageId,PredictionString), for a flat folder; null: class folders.
        images_per_class: Stop when a class has another number of images; null: do not count.
        num_classes: Stop when classes=all finds another number of classes; null: do not count.
        num_images: Likewise for the number of images.
    """

    title: str
    classes: str = CATEGORIES
    subfolders: list[str] | None = None
    labels: str | None = None
    images_per_class: Count | None = None
    num_classes: Annotated[int, Range(1, 1_000_000)] | None = None
    num_images: Count | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if self.classes not in (CATEGORIES, ALL_CLASSES):
            raise ConfigError(f"data.classes={self.classes} is none of {CATEGORIES}, {ALL_CLASSES}.")

    @property
    def kind(self) -> str:
        """What stands in the column `kind`."""
        return self.title

    def categories(self, chosen: Sequence[Category]) -> tuple[Category, ...]:
        """Return the chosen categories, or one for each class whose folder is there."""
        if self.classes == CATEGORIES:
            return tuple(chosen)
        ids = {index for folder in self.class_folders() if (index := class_id(folder)) is not None}
        if not ids:
            raise DataError(self.no_classes())
        return tuple(class_category(index) for index in sorted(ids))

    def class_folders(self) -> Iterator[str]:
        """Yield the names of the class folders."""
        yield from subfolders(self.base())

    def base(self) -> Path:
        """Return the folder that holds the class folders."""
        root = self.folder()
        return next((root / name for name in self.subfolders or () if (root / name).is_dir()), root)

    def no_classes(self) -> str:
        """Return what to say of a folder without class folders."""
        held = ", ".join(list(subfolders(self.base()))[:4]) or "no folder"
        return (
            f"data.root={self.root} holds no folder named by a WordNet id (n02708093) or class number, but {held}. "
            f"Name the folder that holds them; {DOCS}"
        )

    def listing(self, categories: Sequence[Category]) -> Listing:
        """Return the images of the categories; those of other ImageNet classes are counted as ignored."""
        found = self.files()
        owner = {index: category.name for category in categories for index in category.imagenet_ids}
        listing = Listing(ignored=found.ignored)
        classes = self._labelled(found, listing.ignored) if self.labels else self._in_folders(found)
        for file, index in classes:
            category = owner.get(index) if index is not None else None
            if index is None:
                listing.ignored["files outside the class folders"] += 1
            elif category is None:
                listing.ignored[IGNORED] += 1
            else:
                listing.add(file, category, **self.cell_of(file))
        if not listing.entries:
            raise DataError(self.no_classes())
        listing.entries.sort(key=lambda entry: entry.path)
        self._check_counts(listing, categories)
        return listing

    def cell_of(self, file: FoundFile) -> dict[str, Any]:
        """Return kind, and where the dataset has them nuisance and severity, of an image."""
        return {"kind": self.kind}

    def _in_folders(self, found: Found) -> Iterator[tuple[FoundFile, int | None]]:
        refuse_other_numbers(self.class_folders(), where=f"data.root={self.root}")
        depth = len(self.base().relative_to(self.folder()).parts)
        prefix = self.base().relative_to(self.folder()).parts
        for file in found.files:
            is_inside = file.parts[:depth] == prefix and len(file.parts) > depth + 1
            yield file, self.class_of(file.parts[depth:]) if is_inside else None

    def class_of(self, parts: Sequence[str]) -> int | None:
        """Return the class of a file by its folders below the base, None when they name none."""
        return class_id(parts[0])

    def _labelled(self, found: Found, ignored: Counter[str]) -> Iterator[tuple[FoundFile, int | None]]:
        table = read_delimited(
            Path(str(self.labels)),
            title=f"data.labels={self.labels}",
            needed=("ImageId", "PredictionString"),
            header="ImageId,PredictionString` as in Kaggle's `LOC_val_solution.csv",
        )
        table.refuse_repeated("ImageId")
        class_of: dict[str, int] = {}
        for row in table.rows:
            wnid = row.text("PredictionString").split()[0]
            if wnid not in ids_by_wnid():
                raise row.error(
                    "PredictionString", f"begins with {wnid[:40]!r}, which is no WordNet id of ImageNet"
                )
            class_of[Path(row.text("ImageId")).stem] = ids_by_wnid()[wnid]
        stems = {Path(file.parts[-1]).stem for file in found.files}
        if lost := len(class_of.keys() - stems):
            ignored["lines of data.labels whose image is not there"] += lost
        for file in found.files:
            index = class_of.get(Path(file.parts[-1]).stem)
            if index is None and file.is_image_by_name:
                ignored["images that data.labels does not list"] += 1
                continue
            yield file, index

    def _check_counts(self, listing: Listing, categories: Sequence[Category]) -> None:
        lost = f" ({len(listing.problems)} more cannot be used)" if listing.problems else ""
        if self.images_per_class is not None:
            counts = Counter(entry.category for entry in listing.entries)
            for category in categories:
                wanted = self.images_per_class * len(category.imagenet_ids)
                if counts[category.name] != wanted:
                    raise DataError(
                        f"data.root={self.root} holds {counts[category.name]} images of {category.name}{lost}, but "
                        f"{self.title} has {wanted}. Get it again, or set data.images_per_class=null; {DOCS}"
                    )
        if self.classes != ALL_CLASSES:
            return
        for option, found in (("num_classes", len(categories)), ("num_images", len(listing.entries))):
            wanted = getattr(self, option)
            if wanted is not None and found != wanted:
                what = option.removeprefix("num_")
                raise DataError(
                    f"data.root={self.root} holds {found:,} {what}{lost}, but {self.title} has {wanted:,}. "
                    f"Get it again, or do not count with data.{option}=null; {DOCS}"
                )


def refuse_other_numbers(names: Iterable[str], *, where: str) -> None:
    """Raise DataError for class folders that count from 1, that name one class twice, or that mix numbers and ids."""
    names = list(dict.fromkeys(names))
    beyond = [name for name in names if name.isascii() and name.isdigit() and int(name) >= NUM_CLASSES]
    if beyond:
        raise DataError(
            f"{where} holds the folder {beyond[0]}, but ImageNet numbers its classes 0..{NUM_CLASSES - 1}: these count "
            "from 1, or by another list. Rename the folders to WordNet ids."
        )
    numbers = [name for name in names if class_id(name) is not None and name.isdigit()]
    ids = [name for name in names if class_id(name) is not None and not name.isdigit()]
    if numbers and ids:
        raise DataError(
            f"{where} holds class numbers ({numbers[0]}) beside WordNet ids ({ids[0]}). Keep one way of naming."
        )
    seen: dict[int, str] = {}
    for name in numbers:
        if (other := seen.setdefault(int(name), name)) != name:
            raise DataError(f"{where} holds the folders {other} and {name}, which are one class. Merge them.")


def class_id(name: str) -> int | None:
    """Return the class that a folder's name means: a WordNet id, or a class number as in ImageNet-V2.

    >>> class_id("n02708093"), class_id("409"), class_id("images")
    (409, 409, None)
    """
    if name.isascii() and name.isdigit() and int(name) < NUM_CLASSES:
        return int(name)
    return ids_by_wnid().get(name)
