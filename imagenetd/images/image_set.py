"""The images of a dataset with the face of a pool, so that every later stage works on either."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image

from imagenetd.errors import DataError
from imagenetd.images.datasets.dataset import STOP, UNKNOWN_LABEL, UNREADABLE, Dataset, Problem
from imagenetd.images.pool import Layout, Pool, make_layout, part_name
from imagenetd.store import remote
from imagenetd.store.folders import read_table, write_table_atomic
from imagenetd.words.prompt_table import arrow_schema

UNIT_SIZE = 64
MAX_IMAGES_PER_SHARD = 512
PROBLEMS_FILE = "problems.parquet"
"""Lists the files that were left out before any image was decoded."""
LEFT_OUT_SCHEMA = pa.schema([("image_id", pa.string()), *arrow_schema(Problem)])


@dataclass(frozen=True, slots=True)
class CutLayout(Layout):
    """The layout of a set from which unreadable images were taken: shards of unequal length."""

    firsts: tuple[int, ...] = ()
    """Index of each shard's first image, and the number of images."""

    @property
    def num_shards(self) -> int:
        """Number of shards of the whole set."""
        return len(self.firsts) - 1

    def images(self, shard: int) -> range:
        """Return the indices of a shard's images."""
        return range(self.firsts[shard], self.firsts[shard + 1])


def dataset_layout(num_images: int) -> Layout:
    """Return how a dataset is cut, from its size alone."""
    return make_layout(num_images, unit_size=UNIT_SIZE, max_images_per_shard=MAX_IMAGES_PER_SHARD)


@dataclass(frozen=True)
class ImageSet(Pool):
    """The images of a dataset.

    `table` has the columns image_id, index, text, category, kind, nuisance, seed, seed_index, file, path (as the file
    system spells it), row, severity, rival, is_flagged, size, sha256. `folder` holds the manifest.
    """

    dataset: Dataset = field(kw_only=True)
    ignored: Mapping[str, int] = field(default_factory=dict)
    """What else lies in the dataset's folder -> how many."""

    def place(self, index: int) -> None:
        """Return None: the files are the user's, and may move."""

    def read_bytes(self, index: int) -> bytes:
        """Return the encoded image; DataError when the file is gone or has changed since it was hashed."""
        row = self.table.iloc[index - self.first]
        try:
            data = self.dataset.read_bytes(row)
        except OSError as error:
            raise DataError(
                f"{row.file} cannot be read any more ({error.strerror}). Is data.root={self.dataset.root} still there?"
            ) from error
        if hashlib.sha256(data).hexdigest() != row.sha256:
            raise DataError(
                f"{row.file} has changed since this run began to read data.root={self.dataset.root}. Run again: "
                "changed files are predicted anew."
            )
        return data

    def read_image(self, index: int) -> Image.Image:
        """Return the image as the models see it, RGB; UndecodableError where there is none."""
        return self.dataset.decode(self.read_bytes(index))

    def left_out_path(self, shard: int) -> Path:
        """Return the file that lists the unreadable images of a shard."""
        return self.folder / "unreadable" / part_name(shard)

    def require_readable(self) -> None:
        """Raise DataError for unreadable images where the config stops at them, or where none is left."""
        lost = self.left_out()
        lost = lost[lost["problem"] == UNREADABLE]
        root = f"data.root={self.dataset.root}"
        if len(lost) and self.dataset.on_unreadable == STOP:
            raise DataError(
                f"{len(lost)} images of {root} cannot be read, e.g. {lost.iloc[0].file}: {lost.iloc[0].reason}. "
                "Mend them, take them out, or go on without them with data.on_unreadable=list."
            )
        if not self.readable().layout.num_images:
            raise DataError(
                f"{root} holds no readable image: {len(lost)} cannot be read, e.g. {lost.iloc[0].file}: "
                f"{lost.iloc[0].reason}."
            )

    def refuse_unreadable(self, index: int, reason: str) -> None:
        """Raise DataError for an image that cannot be decoded where the config stops at it."""
        if self.dataset.on_unreadable == STOP:
            raise DataError(
                f"{self.table['file'].iloc[index - self.first]} cannot be read: {reason}. Mend it or take it out of "
                f"data.root={self.dataset.root}, or go on without such images with data.on_unreadable=list."
            )

    def leave_out(self, shard: int, reasons: Mapping[int, str]) -> None:
        """Record which images of a shard cannot be decoded; every model must agree on them.

        Args:
            shard: Its number.
            reasons: Index of the image -> why.
        """
        table, path = left_out_table(self, reasons), self.left_out_path(shard)
        before = read_table(path) if path.is_file() else LEFT_OUT_SCHEMA.empty_table()
        if path.is_file() and before["image_id"].to_pylist() != table["image_id"].to_pylist():
            raise DataError(
                f"{path} lists {before.num_rows} unreadable images of this shard, but now {table.num_rows} cannot be "
                f"read (another Pillow?). Delete {self.folder} and the predictions of this dataset, and run again."
            )
        if table.num_rows and not path.is_file():
            write_table_atomic(path, table)
            remote.push(path)

    def left_out(self) -> pd.DataFrame:
        """Return every file that is not evaluated and why: columns file, category, problem, reason."""
        listed: Any = read_table(self.folder / PROBLEMS_FILE).to_pandas()
        undecoded = self.undecoded()[list(listed.columns)]
        return pd.concat([listed, undecoded], ignore_index=True).sort_values("file", ignore_index=True)

    def facts(self) -> dict[str, Any]:
        """Return the root, and how many of its files are not evaluated."""
        counts = self.left_out()["problem"].value_counts()
        return {
            "root": self.dataset.root,
            "unreadable": int(counts.get(UNREADABLE, 0)),
            "unknown_label": int(counts.get(UNKNOWN_LABEL, 0)),
            "ignored": dict(sorted(self.ignored.items())),
        }

    def findings(self, accuracies: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], list[str]]:
        """Return the tables and sentences that the dataset defines."""
        return self.dataset.findings(accuracies)

    def undecoded(self) -> pd.DataFrame:
        """Return the images that could not be decoded; empty before the first prediction."""
        paths = [self.left_out_path(shard) for shard in range(self.layout.num_shards)]
        tables = [read_table(path) for path in paths if path.is_file()]
        return pa.concat_tables([LEFT_OUT_SCHEMA.empty_table(), *tables]).to_pandas()

    def readable(self) -> "ImageSet":
        """Return the set without the images that could not be decoded; the shards keep their numbers."""
        lost = set(self.undecoded()["image_id"])
        if not lost:
            return self
        kept = ~self.table["image_id"].isin(lost).to_numpy()
        ends = [self.layout.images(shard).stop for shard in range(self.layout.num_shards)]
        firsts = (0, *(int(kept[:end].sum()) for end in ends))
        layout = CutLayout(int(kept.sum()), self.layout.unit_size, self.layout.images_per_shard, firsts)
        return replace(self, layout=layout, table=self.table[kept].reset_index(drop=True))


def left_out_table(images: ImageSet, reasons: Mapping[int, str]) -> pa.Table:
    """Return what is known of the images that cannot be decoded.

    Args:
        images: The whole set.
        reasons: Index of the image -> why.
    """
    rows: list[dict[str, Any]] = []
    for index, reason in reasons.items():
        row = images.table.iloc[index - images.first]
        known = {name: row[name] for name in ("image_id", "file", "category")}
        rows.append({**known, "problem": UNREADABLE, "reason": reason})
    return pa.Table.from_pylist(rows, schema=LEFT_OUT_SCHEMA)


def entry_columns(entries: Sequence[Any], sha256: Sequence[str], sizes: Sequence[int]) -> pd.DataFrame:
    """Return the table of a set, one row for each entry, in order."""
    table = pd.DataFrame(
        {
            "image_id": [
                hashlib.sha256(e.path + f"\0{e.row}\0{h}".encode()).hexdigest()[:32]
                for e, h in zip(entries, sha256, strict=True)
            ],
            "index": np.arange(len(entries)),
            "text": [e.text or e.file for e in entries],
            **{name: [getattr(e, name) for e in entries] for name in ("category", "kind", "nuisance")},
            "seed": 0,
            **{
                name: [getattr(e, name) for e in entries]
                for name in ("file", "path", "row", "severity", "rival")
            },
            "is_flagged": False,
            "size": sizes,
            "sha256": sha256,
        }
    )
    cells = table.groupby(["category", "kind", "nuisance"], sort=False)
    table.insert(7, "seed_index", cells.cumcount())
    return table
