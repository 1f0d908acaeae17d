"""A pool of generated images: its layout in shards, its manifest, and reading images back."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from imagenetd.errors import DamagedError, StoreError
from imagenetd.images.decode import Decoding, UndecodableError, decode
from imagenetd.images.shards import read_member, shard_name
from imagenetd.records import ImageRow, Prompt, Record
from imagenetd.store import remote
from imagenetd.store.folders import (
    check_table,
    read_listed,
    read_sealed_record,
    read_table,
    require_fields,
    write_table_atomic,
)
from imagenetd.words.prompt_table import PromptTable, arrow_schema

PROMPTS_FILE, MANIFEST_FILE = "prompts.parquet", "manifest.parquet"
NUM_SHARDS_AIMED_AT = 16
"""Small pools are cut into about so many shards, so that several processes can share them."""

MAX_SHARDS = 10_000
"""File systems and object stores get slow with more files in one folder."""

BYTES_PER_PIXEL = 2.1
"""Of a lossless PNG of a photograph (measured at 512 px)."""

POOL_DECODING = Decoding(max_pixels=2**40, max_aspect_ratio=float("inf"), option="pool")
"""What lies in a pool was let in when it was made."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a pool is cut; fixed when the pool is begun, whatever a later config says."""

    num_images: int
    unit_size: int
    """Images of one batch of the generator."""
    images_per_shard: int
    """A multiple of unit_size."""

    @property
    def num_shards(self) -> int:
        """Number of shards of the whole pool."""
        return -(-self.num_images // self.images_per_shard)

    def images(self, shard: int) -> range:
        """Return the indices of a shard's images in the prompt table."""
        first = shard * self.images_per_shard
        return range(first, min(first + self.images_per_shard, self.num_images))

    def units(self, shard: int) -> list[range]:
        """Return the indices of each unit of a shard."""
        images = self.images(shard)
        return [
            range(first, min(first + self.unit_size, images.stop))
            for first in range(images.start, images.stop, self.unit_size)
        ]


def make_layout(num_images: int, *, unit_size: int, max_images_per_shard: int) -> Layout:
    """Choose the shard size from the pool alone, never from the number of processes.

    A folder never holds more than MAX_SHARDS files: the shards of a pool of ten million images are larger.

    >>> make_layout(960, unit_size=16, max_images_per_shard=512)
    Layout(num_images=960, unit_size=16, images_per_shard=64)
    """
    units = -(-num_images // unit_size)
    most = max(1, max_images_per_shard // unit_size)
    each = max(min(most, -(-units // NUM_SHARDS_AIMED_AT)), -(-units // MAX_SHARDS))
    return Layout(num_images, unit_size, unit_size * each)


def part_name(shard: int) -> str:
    """Return the name of a shard's part of a Parquet data set."""
    return f"part-{shard:06d}.parquet"


def image_table(rows: Sequence[ImageRow]) -> pa.Table:
    """Return image rows as an Arrow table."""
    return pa.Table.from_pylist([asdict(row) for row in rows], schema=arrow_schema(ImageRow))


def read_prompts(path: Path) -> PromptTable:
    """Read a prompt table."""
    return PromptTable(checked(read_listed(path.parent, path.name), Prompt, path))


def checked(table: pa.Table, record: type, path: Path) -> pa.Table:
    """Return the table's columns of a record; a table that lacks one is a StoreError."""
    schema = arrow_schema(record)
    lacking = [field.name for field in fields(record) if field.name not in table.column_names]
    if lacking:
        raise StoreError(
            f"{path} lacks the columns {', '.join(lacking)}: it is damaged or of another version. "
            "Delete it and run again."
        )
    try:
        return table.select(schema.names).cast(schema)
    except (pa.ArrowException, ValueError) as error:
        raise DamagedError(
            f"{path} has columns of other types than {record.__name__} ({str(error).splitlines()[0][:120]}). "
            "Delete it and run again."
        ) from error


def write_prompts_by_shard(path: Path, rows: PromptTable, layout: Layout) -> None:
    """Write a prompt table whose row groups are the shards of a pool, so that a worker reads its own rows alone."""
    table = rows.table.cast(arrow_schema(Prompt))
    write_table_atomic(path, table, row_group_size=layout.images_per_shard)


def open_prompts_by_shard(path: Path) -> pq.ParquetFile:
    """Open a table of `write_prompts_by_shard`, every byte checked once; what is read later is one shard at a time."""
    check_table(path)
    return pq.ParquetFile(path, memory_map=True)


def prompts_of_shard(file: pq.ParquetFile, shard: int, layout: Layout, path: Path) -> list[Prompt]:
    """Return the rows of one shard."""
    try:
        table = checked(file.read_row_group(shard), Prompt, path)
    except (pa.ArrowException, ValueError, IndexError, OSError) as error:
        raise DamagedError(f"{path} is damaged ({error}). Delete it and run again.") from error
    if table["index"].to_pylist() != list(layout.images(shard)):
        raise DamagedError(f"{path} does not hold the rows of shard {shard}. Delete it and run again.")
    return PromptTable(table)[:]


@dataclass(frozen=True)
class Pool:
    """A finished pool."""

    folder: Path
    key: str
    layout: Layout
    table: pd.DataFrame
    """One row for each image, ordered by index, with the columns of ImageRow."""
    first: int = field(default=0, kw_only=True)
    """Index of the image in the first row; not 0 for a part of the images."""

    @property
    def is_flagged(self) -> np.ndarray:
        """Bool "images": marked by a safety checker; images that were not generated here passed none."""
        return self.table["is_flagged"].to_numpy(dtype=bool)

    def readable(self) -> "Pool":
        """Return the images that can be decoded: all of a pool, whose images were decoded when they were made."""
        return self

    def require_readable(self) -> None:
        """Raise DataError where the user wants no image left out and some cannot be decoded, or where none can."""

    def refuse_unreadable(self, index: int, reason: str) -> None:
        """Raise DataError where the run shall stop at an image that cannot be decoded."""

    def leave_out(self, shard: int, reasons: Mapping[int, str]) -> None:
        """Record which images of a shard cannot be decoded.

        Args:
            shard: Its number.
            reasons: Index of the image -> why.
        """
        assert not reasons, "an image of a pool that cannot be decoded is a StoreError"

    def left_out(self) -> pd.DataFrame | None:
        """Return the files that are not evaluated, with the reason; None where there can be none."""
        return None

    def facts(self) -> dict[str, Any]:
        """Return what `summary.json` says of images that were not made here, and of what is left out of them."""
        return {}

    def findings(self, accuracies: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], list[str]]:
        """Return the tables and sentences that the images themselves define, e.g. mCE; a pool defines none.

        Args:
            accuracies: See `Dataset.findings`.
        """
        return {}, []

    def shard_rows(self, shard: int) -> pd.DataFrame:
        """Return the rows of one shard."""
        images = self.layout.images(shard)
        return self.table.iloc[images.start - self.first : images.stop - self.first]

    def shard(self, number: int) -> "Pool":
        """Return the images of one shard, under the indices that they have in the whole."""
        return replace(self, table=self.shard_rows(number), first=self.layout.images(number).start)

    def rows(self, indices: Sequence[int]) -> pd.DataFrame:
        """Return the rows of some images."""
        return self.table.iloc[[index - self.first for index in indices]]

    def require_same_images(self, image_ids: Sequence[str], path: Path) -> None:
        """Raise StoreError when a file is not about exactly these images in this order."""
        if list(image_ids) != self.table["image_id"].tolist():
            raise StoreError(
                f"{path} is damaged: it is not about the images of {self.folder}. Delete it and run again."
            )

    def place(self, index: int) -> tuple[Path, int, int] | None:
        """Return the archive of ours in which an image lies, its first byte there and their number; None: in none."""
        row = self.table.iloc[index - self.first]
        return self.folder / "shards" / str(row.shard), int(row.offset), int(row.length)

    def read_bytes(self, index: int) -> bytes:
        """Return the encoded image at a position of the table, checked against its recorded hash."""
        place = self.place(index)
        assert place is not None, "images of a pool lie in its shards"
        return read_member(*place, str(self.table["sha256"].iloc[index - self.first]))

    def read_image(self, index: int) -> Image.Image:
        """Return the image at a position of the table, RGB."""
        data = self.read_bytes(index)
        try:
            return decode(data, POOL_DECODING)
        except UndecodableError as error:
            raise StoreError(
                f"{self.folder} holds an image that cannot be decoded: {self.rows([index])['image_id'].item()} "
                f"({error}). "
                f"Look with python -m imagenetd.images verify {self.folder}."
            ) from error


@dataclass(frozen=True)
class PoolShards:
    """The same pool for who needs one shard at a time: the table of the others is never read."""

    folder: Path
    key: str
    layout: Layout

    def shard(self, number: int) -> Pool:
        """Return the images of one shard, under the indices that they have in the whole."""
        path, images = self.folder / "manifest" / part_name(number), self.layout.images(number)
        table = checked(read_table(path), ImageRow, path).to_pandas()
        if table["index"].tolist() != list(images):
            raise DamagedError(f"{path} does not list the images of its shard. Delete it and run again.")
        return Pool(self.folder, self.key, self.layout, table, first=images.start)


def twin_prompts(mined: pd.DataFrame, *, num_images_per_cell: int) -> PromptTable:
    """Return the prompt of each mined image again, with the seed index that a larger pool would give next.

    A twin is the image `seed_index + num_images_per_cell` of its cell: none of the pool's, never twice the same, and
    the one that a pool of twice as many images a cell holds there. Its text is that of the mined image, whatever
    templates take turns.

    Args:
        mined: Rows of the pool's table.
        num_images_per_cell: Of the pool.
    """
    rows = []
    for index, row in enumerate(mined.to_dict("records")):
        seed_index = int(row["seed_index"]) + num_images_per_cell
        pair = f"{row['category']}/{row['seed']}/{seed_index}" if row["pair"] else ""
        prompt = {field.name: row[field.name] for field in fields(Prompt)}
        rows.append(Prompt(**(prompt | {"index": index, "seed_index": seed_index, "pair": pair})))
    return PromptTable.of(rows)


def read_pool(folder: Path, key: str) -> Pool:
    """Open a finished pool; what does not add up is a StoreError."""
    path, layout = folder / MANIFEST_FILE, read_layout(folder)
    stored = read_listed(folder, path.name, of=key)
    table = checked(stored, ImageRow, path).to_pandas().sort_values("index", ignore_index=True)
    is_complete = np.array_equal(table["index"].to_numpy(), np.arange(layout.num_images))
    if not is_complete or table["image_id"].duplicated().any():
        raise StoreError(
            f"{path} is damaged: it lists {table['image_id'].nunique()} images where {layout.num_images} are expected. "
            "Delete it and run again: it is built anew from the shards."
        )
    return Pool(folder, key, layout, table)


def read_layout(folder: Path) -> Layout:
    """Return the layout of a finished pool."""
    return layout_of(folder / "layout.json", read_sealed_record(folder / "layout.json"))


def layout_of(path: Path, record: Record) -> Layout:
    """Return the layout that a record names; one that cannot be is a StoreError."""
    names = [field.name for field in fields(Layout)]
    require_fields(path, record, dict.fromkeys(names, int))
    layout = Layout(**{name: record[name] for name in names})
    if min(record[name] for name in names) < 1 or layout.images_per_shard % layout.unit_size:
        raise DamagedError(
            f"{path} is damaged: it says {record}. Delete the folder {path.parent} and run again."
        )
    return layout


def missing_shards(folder: Path, layout: Layout) -> list[int]:
    """Return the numbers of the shards whose file is neither there nor in the object store."""
    elsewhere = remote.stored_shards(folder / "shards")
    missing = missing_numbers(folder / "shards", shard_name, layout.num_shards)
    return [shard for shard in missing if shard_name(shard) not in elsewhere]


def missing_numbers(folder: Path, name: Callable[[int], str], count: int) -> list[int]:
    """Return the numbers below `count` whose file is not in a folder; the folder is listed once, not asked for each."""
    there = set(os.listdir(folder)) if folder.is_dir() else set()
    return [number for number in range(count) if name(number) not in there]
