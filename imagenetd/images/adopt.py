"""In place of prompts and generate: a dataset that exists already, listed, hashed and checked."""

import contextlib
import dataclasses
import hashlib
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from imagenetd.errors import DamagedError, DataError
from imagenetd.images.datasets.dataset import Dataset, Entry, Listing, Problem
from imagenetd.images.image_set import PROBLEMS_FILE, ImageSet, dataset_layout, entry_columns
from imagenetd.images.pool import MANIFEST_FILE
from imagenetd.records import StageResult
from imagenetd.store.folders import StageFolder, content_key, make_folder, read_table, write_table_atomic
from imagenetd.words.prompt_table import arrow_schema
from imagenetd.words.vocabulary import Category

HASH_THREADS = 4
HASHES_SCHEMA = pa.schema(
    [("path", pa.binary()), ("size", pa.int64()), ("modified_ns", pa.int64()), ("sha256", pa.string())]
)


@dataclass(frozen=True)
class Adopted:
    """A dataset as this run sees it."""

    dataset: Dataset
    categories: tuple[Category, ...]
    """The classes of the benchmark."""
    listing: Listing
    table: pd.DataFrame
    key: str
    """Of the files, their labels and the options that change pixels."""


def adopt(dataset: Dataset, chosen: Sequence[Category], output_dir: Path) -> Adopted:
    """List a dataset and hash its files; a file whose size and time are as before is not read again.

    Args:
        dataset: Not read yet.
        chosen: Categories that the config names.
        output_dir: Where the hashes are kept, `paths.output_dir`.
    """
    categories = dataset.categories(chosen)
    listing = dataset.listing(categories)
    if listing.entries[0].path:
        sizes, hashes = _file_hashes(dataset, listing.entries, output_dir / "datasets" / "hashes")
    else:  # rows of a table: they are read, there is no time to trust
        contents = [dataset.read_bytes(entry) for entry in listing.entries]
        sizes = [len(content) for content in contents]
        hashes = [hashlib.sha256(content).hexdigest() for content in contents]
    table = entry_columns(listing.entries, hashes, sizes)
    identity = {
        "stage": "data",
        "options": dataset.identity(),
        "categories": {category.name: list(category.imagenet_ids) for category in categories},
        "images": _digest(table),
    }
    return Adopted(dataset, categories, listing, table, content_key(identity))


def _digest(table: pd.DataFrame) -> str:
    digest = hashlib.sha256()
    columns = ["image_id", "category", "kind", "nuisance", "severity", "rival", "text"]
    for row in table[columns].itertuples(index=False):
        digest.update("\0".join(map(str, row)).encode("utf-8", "backslashreplace") + b"\n")
    return digest.hexdigest()


def _file_hashes(dataset: Dataset, entries: Sequence[Entry], folder: Path) -> tuple[list[int], list[str]]:
    """Return size and sha256 of every file; those that have not changed are not read again."""
    root = os.fsencode(dataset.root)
    name = hashlib.sha256(os.path.realpath(root)).hexdigest()[:16]
    path = folder / f"{name}.parquet"
    known: dict[bytes, tuple[int, int, str]] = {}
    if path.is_file():
        with contextlib.suppress(DamagedError):  # the files say it themselves: they are read again
            stored = read_table(path, of=path.stem).to_pydict()
            columns = [stored[name] for name in HASHES_SCHEMA.names[1:]]
            known = dict(zip(stored["path"], zip(*columns, strict=True), strict=True))
    statuses = [os.stat(os.path.join(root, entry.path)) for entry in entries]

    def one(position: int) -> str:
        entry, status = entries[position], statuses[position]
        before = known.get(entry.path)
        if before is not None and before[:2] == (status.st_size, status.st_mtime_ns):
            return before[2]
        return _sha256(os.path.join(root, entry.path), entry.file)

    with ThreadPoolExecutor(HASH_THREADS) as threads:  # hashing frees the interpreter
        hashes = list(threads.map(one, range(len(entries))))
    sizes = [status.st_size for status in statuses]
    fresh = {e.path: (s.st_size, s.st_mtime_ns, h) for e, s, h in zip(entries, statuses, hashes, strict=True)}
    if any(known.get(path) != value for path, value in fresh.items()):
        make_folder(folder)
        merged = [(path, *value) for path, value in {**known, **fresh}.items()]
        made = dict(zip(HASHES_SCHEMA.names, map(list, zip(*merged, strict=True)), strict=True))
        write_table_atomic(path, pa.table(made, schema=HASHES_SCHEMA), of=path.stem)
    return sizes, hashes


def _sha256(path: bytes, shown: str) -> str:
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(
            f"{shown} cannot be read ({error.strerror}). Mend the file, or take it out."
        ) from error


def write_manifest(folder: StageFolder, adopted: Adopted) -> StageResult:
    """Write `manifest.parquet` (one row an image) and `problems.parquet`, unless they are there."""
    started = time.perf_counter()
    with folder.locked():
        record, remark = folder.sound()
        skipped = record is not None
        # Files that are not evaluated may come and go under the same key.
        problems = [dataclasses.asdict(problem) for problem in adopted.listing.problems]
        table = pa.Table.from_pylist(problems, schema=arrow_schema(Problem))
        write_table_atomic(folder.path / PROBLEMS_FILE, table)
        if record is None:
            table = pa.Table.from_pandas(adopted.table, preserve_index=False)
            write_table_atomic(folder.path / MANIFEST_FILE, table, of=folder.key)
            record = {
                "num_images": len(adopted.table),
                "root": str(Path(adopted.dataset.root).resolve()),
                "options": adopted.dataset.identity(),
                "seconds": time.perf_counter() - started,
            }
            folder.finish(record, [MANIFEST_FILE])
    return StageResult(
        stage="data",
        key=folder.key,
        folder=str(folder.path),
        num_items=len(adopted.table),
        unit="images",
        seconds=record["seconds"],
        is_skipped=skipped,
        note="; ".join(part for part in (_note(adopted.listing), remark) if part),
        counts={"problems": len(problems)},
    )


def _note(listing: Listing) -> str:
    parts = [listing.note] if listing.note else []
    parts += [f"{len(listing.problems)} files cannot be used"] if listing.problems else []
    parts += [f"ignored: {count} x {what}" for what, count in sorted(listing.ignored.items())]
    return "; ".join(parts)


def open_images(folder: StageFolder, adopted: Adopted) -> ImageSet:
    """Return the images of an adopted dataset, unreadable ones included."""
    layout = dataset_layout(len(adopted.table))
    ignored = adopted.listing.ignored
    return ImageSet(folder.path, folder.key, layout, adopted.table, dataset=adopted.dataset, ignored=ignored)
