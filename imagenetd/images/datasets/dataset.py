"""What every dataset can do: say what it holds, which classes it has, and decode its images."""

import abc
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from PIL import Image

from imagenetd.config.ranges import Range
from imagenetd.errors import ConfigError, DataError
from imagenetd.images.datasets.labels import NameResolver, apply_label_map, read_label_map, refuse_unknown
from imagenetd.images.datasets.walk import Found, FoundFile, walk
from imagenetd.images.decode import MAX_ASPECT_RATIO, MAX_PIXELS, Decoding, decode
from imagenetd.records import Identity
from imagenetd.words.vocabulary import Category

if TYPE_CHECKING:
    import pandas as pd

STOP, LIST = "stop", "list"
UNREADABLE, UNKNOWN_LABEL = "unreadable", "unknown label"
DOCS = "docs/evaluate.md says where to get it."


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a dataset and what it is said to show."""

    file: str
    """Relative to the root, as printable text."""
    path: bytes
    """The same as the file system spells it; empty where the image is no file."""
    category: str
    kind: str
    nuisance: str = ""
    severity: int = 0
    """1..5 in ImageNet-C, else 0."""
    rival: str = ""
    """The wrong category of a two-choice question, where the dataset names one."""
    row: int = -1
    """Number of the row that holds the image, where it is no file."""
    text: str = ""
    """A prompt, where the images were generated."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that is not evaluated."""

    file: str
    category: str
    problem: str
    """`unreadable` or `unknown label`."""
    reason: str


@dataclass(slots=True)
class Listing:
    """What a dataset holds."""

    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    """What was passed over on purpose, with its count."""
    unknown: Counter[str] = field(default_factory=Counter)
    """Labels that mean no category, with the number of their images."""
    note: str = ""
    """What else the run shall say of the images."""

    def add(self, file: FoundFile, category: str, kind: str, nuisance: str = "", **more: Any) -> None:
        """Take a file in as an image, with further columns of `Entry`, or as a problem where it cannot be read."""
        if file.problem:
            self.problems.append(Problem(file.shown, category, UNREADABLE, file.problem))
        else:
            self.entries.append(Entry(file.shown, file.path, category, kind, nuisance, **more))

    def refuse(self, file: str, label: str, reason: str) -> None:
        """Leave a file out, whose label means no category."""
        self.unknown[label] += 1
        self.problems.append(Problem(file, "", UNKNOWN_LABEL, reason))


@dataclass(kw_only=True)
class Dataset(abc.ABC):
    """Images with labels that exist already. Building one reads nothing.

    Args:
        root: Folder of the dataset.
        on_unknown: What to do with labels that mean no category: `stop`, or `list` them and go on.
        on_unreadable: What to do with images that cannot be read: `stop`, or `list` them and go on.
        max_pixels: Larger images are not decoded but counted as unreadable.
        max_aspect_ratio: So are images whose sides differ by more than this factor.
        apply_exif: Turn images as their EXIF orientation says; the reference evaluations do not.
    """

    root: str
    on_unknown: str = STOP
    on_unreadable: str = LIST
    max_pixels: Annotated[int, Range(1, 10**10)] = MAX_PIXELS
    max_aspect_ratio: Annotated[float, Range(1, 1_000_000)] = MAX_ASPECT_RATIO
    apply_exif: bool = False

    def __post_init__(self) -> None:
        for option in ("on_unknown", "on_unreadable"):
            if getattr(self, option) not in (STOP, LIST):
                raise ConfigError(f"data.{option}={getattr(self, option)} is none of {STOP}, {LIST}.")
        if self.max_pixels < 1 or self.max_aspect_ratio < 1:
            raise ConfigError("data.max_pixels and data.max_aspect_ratio must be 1 or more.")

    @property
    def kind(self) -> str:
        """What stands in the column `kind` where the dataset has no kinds of its own."""
        return type(self).__name__.removesuffix("Dataset").lower()

    def categories(self, chosen: Sequence[Category]) -> tuple[Category, ...]:
        """Return the classes of the benchmark; `chosen` are those that the config names."""
        return tuple(chosen)

    @abc.abstractmethod
    def listing(self, categories: Sequence[Category]) -> Listing:
        """Return the images with their labels; DataError when the folder is not what it should be."""

    def identity(self) -> Identity:
        """Return the options that change the pixels; the files and their labels are hashed apart."""
        return {
            "max_pixels": self.max_pixels,
            "max_aspect_ratio": float(self.max_aspect_ratio),
            "apply_exif": self.apply_exif,
        }

    def findings(self, accuracies: "pd.DataFrame") -> tuple[dict[str, "pd.DataFrame"], list[str]]:
        """Return the benchmark's own tables by name, and its own numbers in sentences.

        Args:
            accuracies: One row for each target, kind, nuisance and severity (where images have one) with num_images,
                num_correct and accuracy in the model's own regime.
        """
        return {}, []

    def read_bytes(self, entry: Any) -> bytes:
        """Return the encoded image of a row of the table (with `path` and `row`)."""
        with open(os.path.join(os.fsencode(self.root), entry.path), "rb") as stream:
            return stream.read()

    def decode(self, data: bytes) -> Image.Image:
        """Return the image as the models shall see it, RGB; UndecodableError where there is none."""
        return decode(data, Decoding(self.max_pixels, self.max_aspect_ratio, self.apply_exif))

    def folder(self) -> Path:
        """Return the root, or raise DataError when it is no folder or holds nothing."""
        root = Path(self.root)
        if not root.is_dir():
            what = "is a file, not a folder" if root.exists() else f"does not exist (read from {Path.cwd()})"
            raise DataError(f"data.root={self.root} {what}. Name the folder of the dataset; {DOCS}")
        return root

    def files(self) -> Found:
        """Return every file below the root."""
        found = walk(self.folder())
        if not found.files:
            raise DataError(f"data.root={self.root} holds no files. Name the folder of the images; {DOCS}")
        return found

    def settle(self, listing: Listing, resolver: NameResolver) -> Listing:
        """Stop for unknown labels or an empty dataset; return the listing in order."""
        if listing.unknown and self.on_unknown == STOP:
            remedy = (
                "Correct them, map them with data.label_map, or pass over them with data.on_unknown=list."
            )
            refuse_unknown(listing.unknown, resolver, where=f"data.root={self.root}", remedy=remedy)
        if not listing.entries:
            raise DataError(
                f"data.root={self.root} holds no image of the {len(resolver.categories)} categories: "
                f"{len(listing.problems)} files cannot be used{_first(listing.problems)}. {DOCS}"
            )
        listing.entries.sort(key=lambda entry: (entry.path, entry.row))
        return listing


@dataclass(kw_only=True)
class MappedDataset(Dataset):
    """A dataset whose labels may need a map.

    Args:
        label_map: Name -> category or ImageNet ids, as a mapping or a JSON, YAML or CSV file; null: names are keys,
            display names or WordNet ids of the categories.
    """

    label_map: Any = None

    def categories(self, chosen: Sequence[Category]) -> tuple[Category, ...]:
        """Return the chosen categories, or those of a label map that names ImageNet ids."""
        return self._mapped(chosen)[0]

    def resolver(self, categories: Sequence[Category]) -> NameResolver:
        """Return what tells the category of a label."""
        return NameResolver(categories, self._mapped(categories)[1])

    def _mapped(self, chosen: Sequence[Category]) -> tuple[tuple[Category, ...], dict[str, str]]:
        if self.label_map is None:
            return tuple(chosen), {}
        return apply_label_map(read_label_map(self.label_map), chosen)


def _first(problems: Sequence[Problem]) -> str:
    return f", e.g. {problems[0].file}: {problems[0].reason}" if problems else ""
