"""A Hugging Face dataset on this machine: saved with save_to_disk, or Parquet files."""

import json
import math
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagenetd.errors import DataError
from imagenetd.images.datasets.dataset import UNREADABLE, Entry, Listing, MappedDataset, Problem
from imagenetd.images.datasets.labels import refuse_merged
from imagenetd.images.datasets.walk import LITTER_FOLDERS, problem_of
from imagenetd.words.vocabulary import Category

SAVED_FILES = ("dataset_info.json", "dataset_dict.json")
"""What save_to_disk writes."""
ROWS_AT_ONCE = 256
_OF_FILES = re.compile(r"(?P<split>.+)-(?P<number>[0-9]{5,})-of-(?P<count>[0-9]{5,})(?:-[0-9a-f]+)?")


@dataclass(kw_only=True)
class HuggingFaceDataset(MappedDataset):
    """Rows with an image and a label.

    Args:
        split: Of the dataset; null: the only one.
        image_column: Holds the images.
        label_column: Holds the labels: class names, WordNet ids, category keys, or numbers that a label map names.
        kind_column: Holds the kind of nuisance; null: there is none.
        nuisance_column: Holds the nuisance; null: there is none.
    """

    split: str | None = None
    image_column: str = "image"
    label_column: str = "label"
    kind_column: str | None = None
    nuisance_column: str | None = None

    def __post_init__(self) -> None:
        """Begin without the table."""
        super().__post_init__()
        self._rows: Any = None

    def listing(self, categories: Sequence[Category]) -> Listing:
        """Return every row: an image with its label, or a problem."""
        resolver = self.resolver(categories)
        rows, listing = self._table(), Listing()
        labels = self._texts(rows, self.label_column)
        kinds, nuisances = self._texts(rows, self.kind_column), self._texts(rows, self.nuisance_column)
        names = [name or "" for name in labels]
        refuse_merged(names, resolver, where=f"data.root={self.root}")
        lacking = self._rows_without_image(rows)
        for row, name in enumerate(names):
            category, file = resolver.find(name) if name else None, f"row {row}"
            if category is None:
                listing.refuse(file, name, f"label {name!r}: {resolver.hint(name)}")
            elif row in lacking:
                listing.problems.append(Problem(file, category, UNREADABLE, lacking[row]))
            else:
                kind, nuisance = kinds[row] or self.kind, nuisances[row] or ""
                listing.entries.append(Entry(file, b"", category, kind, nuisance, row=row))
        images = [name for name, feature in rows.features.items() if type(feature).__name__ == "Image"]
        for name in images:
            if name != self.image_column:
                listing.ignored[f"column {name} of images"] += 1
        return self.settle(listing, resolver)

    def read_bytes(self, entry: Any) -> bytes:
        """Return the encoded image of a row."""
        image = self._table()[int(entry.row)][self.image_column]
        if image.get("bytes") is not None:
            return image["bytes"]
        return self._local(str(image.get("path") or "")).read_bytes()

    def _local(self, path: str) -> Path:
        """Return where the file of a row lies: below the root, or where its path says; never in the working folder."""
        below = Path(self.root) / path
        return below if below.is_file() or not Path(path).is_absolute() else Path(path)

    def _texts(self, rows: Any, column: str | None) -> list[str | None]:
        """Return the values of a column as names: those of its classes, or the values themselves; None where none is.

        Raises:
            DataError: For a column with several values in a row.
        """
        if column is None:
            return [None] * len(rows)
        feature = rows.features[column]
        if isinstance(feature, list | dict) or type(feature).__name__ in (
            "List",
            "LargeList",
            "Sequence",
            "Image",
        ):
            raise DataError(
                f"data.root={self.root}: the column {column} holds {type(feature).__name__} values, but one label an "
                f"image is needed. Name another column; there are {', '.join(rows.column_names)}."
            )
        names = getattr(feature, "names", None)
        values = rows.select_columns([column]).with_format(None)[:][column]
        return [_name(value, names) for value in values]

    def _rows_without_image(self, rows: Any) -> dict[int, str]:
        """Return row -> why it has no image, of those that have none."""
        found: dict[int, str] = {}
        images = rows.select_columns([self.image_column]).with_format("arrow")
        for first in range(0, len(images), ROWS_AT_ONCE):
            column = images[first : first + ROWS_AT_ONCE][self.image_column].combine_chunks()
            has_bytes = column.field("bytes").is_valid().to_pylist()
            paths, is_there = column.field("path").to_pylist(), column.is_valid().to_pylist()
            for place in range(len(column)):
                if not is_there[place] or not (has_bytes[place] or paths[place]):
                    found[first + place] = "the row holds no image"
                elif not has_bytes[place]:
                    problem = problem_of(os.fsencode(self._local(paths[place])))
                    if problem:
                        found[first + place] = f"the row holds only the path {paths[place]}: {problem}"
        return found

    def _table(self) -> Any:
        if self._rows is None:
            self._rows = self._load()
        return self._rows

    def _load(self) -> Any:
        root = self.folder()
        try:
            import datasets
        except ImportError as error:
            raise DataError(
                "data=hf needs the library datasets: pip install 'imagenetd[exports]'."
            ) from error
        datasets.disable_progress_bars()
        files = sorted(path for path in root.rglob("*.parquet") if not _is_litter(path.relative_to(root)))
        saved = [name for name in SAVED_FILES if (root / name).is_file()]
        if saved and files:
            raise DataError(
                f"data.root={self.root} holds {saved[0]} and Parquet files: two data sets. Name a folder with one."
            )
        if not saved and not files:
            below = sorted({path.parent.name for name in SAVED_FILES for path in root.glob(f"*/{name}")})
            remedy = (
                f"It holds the data sets {', '.join(below[:4])}: name one, e.g. data.root={root / below[0]}."
                if below
                else "Use data=folder for a folder of images."
            )
            raise DataError(
                f"data.root={self.root} holds no Hugging Face dataset: neither save_to_disk nor Parquet files made it. "
                f"{remedy}"
            )
        chosen = [] if saved else self._chosen_files(root, files)
        try:
            if saved:
                loaded: Any = datasets.load_from_disk(str(root))
            else:
                loaded = datasets.load_dataset("parquet", data_files={"data": chosen}, split="data")
        except Exception as error:  # the library raises its own families
            cause = error.__cause__ or error  # "An error occurred while generating the dataset" says nothing
            reason = " ".join(str(cause).split())[:160]
            raise DataError(
                f"data.root={self.root} cannot be read as a Hugging Face dataset ({reason})."
            ) from error
        rows = self._chosen_split(loaded) if saved else loaded
        named = (self.image_column, self.label_column, self.kind_column, self.nuisance_column)
        lacking = [name for name in named if name and name not in rows.column_names]
        if lacking:
            raise DataError(
                f"data.root={self.root} lacks the columns {', '.join(lacking)}; it has {', '.join(rows.column_names)}. "
                "Name them with data.image_column, data.label_column, data.kind_column, data.nuisance_column."
            )
        if len(rows) == 0:
            raise DataError(f"data.root={self.root} holds no rows. Name another data.split, or get it again.")
        try:  # without the format that `set_format` left behind: it hides columns and changes what a row is
            return rows.with_format(None).cast_column(self.image_column, datasets.Image(decode=False))
        except Exception as error:
            raise DataError(
                f"data.root={self.root}: the column {self.image_column} holds {rows.features[self.image_column]}, not "
                "an encoded image a row. Name another with data.image_column."
            ) from error

    def _chosen_split(self, loaded: Any) -> Any:
        if not isinstance(loaded, dict):
            held = str(loaded.split) if loaded.split is not None else None
            if self.split is not None and self.split != held:
                raise DataError(
                    f"data.split={self.split}, but data.root={self.root} is one table"
                    f"{f', of the split {held}' if held else ' without splits'}. Leave data.split=null, or name the "
                    "folder of that split."
                )
            return loaded
        return loaded[self._split_among(list(loaded))]

    def _chosen_files(self, root: Path, files: Sequence[Path]) -> list[str]:
        """Return the Parquet files of the split; DataError for several data sets, and for a split that lacks files."""
        sets: dict[Path, dict[str, list[Path]]] = {}
        for file in files:
            place, split = _place_of(root, file)
            sets.setdefault(place, {}).setdefault(split, []).append(file)
        if len(sets) > 1:
            places = sorted(str(place) for place in sets)
            example = next(place for place in places if place != ".")
            raise DataError(
                f"data.root={self.root} holds several data sets: {', '.join(places[:5])}. Name the folder of one, e.g. "
                f"data.root={root / example}."
            )
        (splits,) = sets.values()
        chosen = splits[self._split_among(sorted(splits))]
        _refuse_lost_files(chosen)
        self._refuse_other_classes(chosen)
        return [str(file) for file in chosen]

    def _refuse_other_classes(self, files: Sequence[Path]) -> None:
        """Raise DataError where a column means other things in other files: the names of the first would count."""
        if len(files) == 1:
            return
        columns = [name for name in (self.label_column, self.kind_column, self.nuisance_column) if name]
        known = {name: _meaning(files[0], name) for name in columns}
        for file in files[1:]:
            for name, meant in known.items():
                if _meaning(file, name) != meant:
                    raise DataError(
                        f"data.root={self.root}: the column {name} has another type, or other class names, in "
                        f"{file.name} than in {files[0].name}. Keep the files of one version."
                    )

    def _split_among(self, names: Sequence[str]) -> str:
        if self.split is None and len(names) == 1:
            return names[0]
        if self.split not in names:
            raise DataError(
                f"data.split={self.split} is none of the splits {', '.join(names)}. Choose with data.split=NAME."
            )
        return str(self.split)


def _name(value: Any, names: Sequence[str] | None) -> str | None:
    """Return what a value of a column is called; None for a missing one.

    A class number outside the names, such as -1 for "not labelled", stays a number, which means no category.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if names is not None and isinstance(value, int):
        return names[value] if 0 <= value < len(names) else str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)


def _meaning(file: Path, column: str) -> str | None:
    """Return what a Parquet file says of a column: its type and, of classes, their names; None where it lacks it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not file.is_file():  # a pipe would wait for ever
        return None
    try:
        schema = pq.read_schema(file)
        told = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        feature = told.get("info", {}).get("features", {}).get(column)
    except (OSError, ValueError, AttributeError, pa.ArrowException):  # told by who reads the rows
        return None
    if isinstance(feature, dict) and "names" in feature:
        return json.dumps(feature["names"])
    return str(schema.field(column).type) if column in schema.names else None


def _is_litter(path: Path) -> bool:
    return any(part in LITTER_FOLDERS or part.startswith("._") for part in path.parts)


def _place_of(root: Path, file: Path) -> tuple[Path, str]:
    """Return the folder of the data set that a Parquet file belongs to, and the split that its name says.

    The hub calls a file `data/<split>-00000-of-00002.parquet`, or `<split>/0000.parquet` where it converted it itself.
    """
    folder, stem = file.parent.relative_to(root), file.stem
    if matched := _OF_FILES.fullmatch(stem):
        return folder, matched["split"]
    if re.fullmatch("[0-9]+", stem):  # numbered: the folder is the split
        return (folder.parent, folder.name) if folder.name else (folder, "all")
    return folder, re.sub("[-_.][0-9]+$", "", stem)


def _refuse_lost_files(files: Sequence[Path]) -> None:
    """Raise DataError where `<split>-00000-of-00002` is there and `00001` is not, or where there are two counts."""
    matched = [found for file in files if (found := _OF_FILES.fullmatch(file.stem))]
    counts = {int(found["count"]) for found in matched}
    if not counts:
        return
    if len(counts) > 1 or len(matched) < len(files):
        raise DataError(
            f"{files[0].parent} holds files of one split from two versions ({files[0].name}, {files[-1].name}). Keep "
            "one version."
        )
    (count,) = counts
    numbers = Counter(int(found["number"]) for found in matched)
    if twice := [number for number, times in numbers.items() if times > 1]:
        raise DataError(
            f"{files[0].parent} holds number {twice[0]:05d} of the split {matched[0]['split']} twice: its images "
            "would count twice. Keep one version."
        )
    lost = sorted(set(range(count)) - {int(found["number"]) for found in matched})
    if lost:
        raise DataError(
            f"{files[0].parent} lacks {len(lost)} of the {count} files of the split {matched[0]['split']}, e.g. number "
            f"{lost[0]:05d}: the download is not complete. Get it again."
        )
