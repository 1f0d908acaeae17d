"""A Hugging Face dataset on this machine: saved with save_to_disk, or Parquet files."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagenetd.datasets.dataset import UNKNOWN_LABEL, Entry, Listing, MappedDataset, Problem
from imagenetd.errors import DataError
from imagenetd.vocabulary import Category


@dataclass(kw_only=True)
class HuggingFaceDataset(MappedDataset):
    """Rows with an image and a label.

    Args:
        split: Of the dataset; null: the only one.
        image_column: Holds the images.
        label_column: Holds the labels: class names, WordNet ids, category keys, or ImageNet ids.
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
        rows, listing, unknown = self._table(), Listing(), Counter[str]()
        columns = [name for name in (self.label_column, self.kind_column, self.nuisance_column) if name]
        labels = rows.select_columns(columns).to_dict()
        names = getattr(rows.features[self.label_column], "names", None)
        for row, label in enumerate(labels[self.label_column]):
            name = names[label] if names and isinstance(label, int) and label >= 0 else str(label)
            category, file = resolver.find(name), f"row {row}"
            if category is None:
                unknown[name] += 1
                reason = f"label {name!r}: {resolver.hint(name)}"
                listing.problems.append(Problem(file, "", UNKNOWN_LABEL, reason))
                continue
            kind = str(labels[self.kind_column][row]) if self.kind_column else self.kind
            nuisance = str(labels[self.nuisance_column][row] or "") if self.nuisance_column else ""
            listing.entries.append(Entry(file, b"", category, kind, nuisance, row=row))
        return self.settle(listing, unknown, resolver)

    def read_bytes(self, entry: Any) -> bytes:
        """Return the encoded image of a row."""
        image = self._table()[int(entry.row)][self.image_column]
        if image.get("bytes") is not None:
            return image["bytes"]
        path = image.get("path")
        return Path(path).read_bytes() if path else b""

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
        files = sorted(str(path) for path in root.rglob("*.parquet"))
        is_saved = any((root / name).is_file() for name in ("dataset_info.json", "dataset_dict.json"))
        if not is_saved and not files:
            raise DataError(
                f"data.root={self.root} holds no Hugging Face dataset: neither save_to_disk nor Parquet files made it. "
                "Use data=folder for a folder of images."
            )
        try:
            loaded = (
                datasets.load_from_disk(str(root))
                if is_saved
                else datasets.load_dataset("parquet", data_files=_by_split(files))
            )
        except Exception as error:  # the library raises its own families
            reason = " ".join(str(error).split())[:160]
            raise DataError(
                f"data.root={self.root} cannot be read as a Hugging Face dataset ({reason})."
            ) from error
        rows = self._choose_split(loaded)
        lacking = [
            name
            for name in (self.image_column, self.label_column, self.kind_column, self.nuisance_column)
            if name and name not in rows.column_names
        ]
        if lacking:
            raise DataError(
                f"data.root={self.root} lacks the columns {', '.join(lacking)}; it has {', '.join(rows.column_names)}. "
                "Name them with data.image_column, data.label_column, data.kind_column, data.nuisance_column."
            )
        return rows.cast_column(self.image_column, datasets.Image(decode=False))

    def _choose_split(self, loaded: Any) -> Any:
        if not isinstance(loaded, dict):
            return loaded
        if self.split is None and len(loaded) == 1:
            return next(iter(loaded.values()))
        if self.split not in loaded:
            raise DataError(
                f"data.split={self.split} is none of the splits {', '.join(loaded)}. Choose with data.split=NAME."
            )
        return loaded[self.split]


def _by_split(files: list[str]) -> dict[str, list[str]]:
    """Return split -> Parquet files, by the name that the hub gives them: `<split>-00000-of-00001.parquet`."""
    splits: dict[str, list[str]] = {}
    for file in files:
        splits.setdefault(Path(file).stem.split("-")[0], []).append(file)
    return splits
