"""Run folders: content keys, atomic writes, locks, and the answer to "is this already done?"."""

import contextlib
import fcntl
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from imagenetd import __version__
from imagenetd.errors import DamagedError, StoreError
from imagenetd.records import Record
from imagenetd.store import remote
from imagenetd.store.files import TEMPORARY, make_folder, size_of, write_bytes_atomic, write_json_atomic
from imagenetd.store.files import require_room as require_room
from imagenetd.store.files import require_space as require_space
from imagenetd.store.files import write_text_atomic as write_text_atomic
from imagenetd.store.hashes import content_key as content_key
from imagenetd.store.hashes import content_key_of_rows as content_key_of_rows
from imagenetd.store.hashes import file_sha256 as file_sha256
from imagenetd.store.hashes import folder_sha256 as folder_sha256
from imagenetd.store.locks import BOARD, MAX_WAIT_S, WORKERS, lock
from imagenetd.store.seals import (
    BrokenSealError,
    LaterFormatError,
    check_parquet,
    fast_hash,
    open_bytes,
    open_record,
    seal_bytes,
    seal_parquet,
    seal_record,
)
from imagenetd.store.system_errors import explained, refusal, refuse_odd

STAGE_FILE = "stage.json"
LOCK_FILE = ".lock"
OF = b"imagenetd.of"
"""Metadata of a table: what it is about."""


def write_table_atomic(
    path: Path, table: pa.Table, *, of: str = "", row_group_size: int | None = None
) -> None:
    """Write a Parquet file atomically, sealed: a reader sees every changed bit.

    Args:
        path: Of the file.
        table: What is written.
        of: What the table is about, e.g. the keys of model and pool: a reader that asks for another one is refused.
        row_group_size: Rows that can be read without the others; None: as the library likes.
    """
    if of:
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), OF: of.encode()})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True, row_group_size=row_group_size)
    write_bytes_atomic(path, seal_parquet(sink.getvalue().to_pybytes()))


def read_table(path: Path, *, of: str | None = None, seal: str | None = None) -> pa.Table:
    """Read a Parquet file of ours; a damaged or foreign one is a DamagedError that says what to delete.

    Args:
        path: Of the file.
        of: What it must be about, as it was written with; None: anything.
        seal: The seal that a record lists for it; None: whatever it carries.
    """
    return read_table_and_seal(path, of=of, seal=seal)[0]


def read_table_and_seal(
    path: Path, *, of: str | None = None, seal: str | None = None
) -> tuple[pa.Table, str]:
    """Return what `read_table` does, and the seal that the file carries."""
    data = _read(path)
    try:
        found = check_parquet(data)
        if seal is not None and found != seal:
            raise BrokenSealError("it is not the file that its stage has written")
        table = pq.read_table(pa.BufferReader(data), partitioning=None)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, error) from error
    known = (table.schema.metadata or {}).get(OF, b"").decode(errors="replace")
    if of is not None and known != of:
        raise DamagedError(
            f"{path} is of another model, pool or stage ({known or 'not said'} instead of {of}). Delete it and run "
            "again: it is made anew."
        )
    return table, found


def _damaged(path: Path, error: Exception) -> DamagedError:
    reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
    return DamagedError(f"{path} is damaged ({reason}). Delete it and run again: it is made anew.")


def check_table(path: Path) -> str:
    """Return the seal of a Parquet file of ours after checking every byte, which need not fit into memory."""
    refuse_odd(path)
    with explained(path, verb="read"), pa.memory_map(str(path)) as stream:
        data = stream.read_buffer()
    try:
        return check_parquet(memoryview(data))
    except BrokenSealError as error:
        raise DamagedError(
            f"{path} is damaged ({error}). Delete it and run again: it is made anew."
        ) from error


def _read(path: Path) -> bytes:
    refuse_odd(path)
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise StoreError(f"{path} is missing, though its stage is marked as done. {_REMEDY}") from error
    except OSError as error:
        raise refusal(error, path, verb="read") from error


def write_sealed_bytes(path: Path, data: bytes, *, of: str) -> None:
    """Write a cache atomically: any bytes, what they are about, and a seal."""
    write_bytes_atomic(path, seal_bytes(data + of.encode()))


def read_sealed_bytes(path: Path, *, of: str) -> bytes:
    """Return what `write_sealed_bytes` was given; DamagedError for other bytes, and for those of another thing."""
    try:
        data = open_bytes(_read(path))
    except ValueError as error:
        raise _damaged(path, error) from error
    if not data.endswith(of.encode()):
        raise DamagedError(f"{path} is not about {of}. Delete it and run again: it is made anew.")
    return data[: len(data) - len(of.encode())]


def write_record(path: Path, content: Mapping[str, Any]) -> None:
    """Write a record of ours as sealed JSON, atomically."""
    write_json_atomic(path, seal_record(content))


def read_stage_file(path: Path) -> Record | None:
    """Return what `write_record` was given, None where there is no file; a damaged record is a StoreError."""
    refuse_odd(path)
    try:
        stored = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except NotADirectoryError as error:
        raise StoreError(
            f"{path.parent} is a file, not a folder. Set paths.output_dir to a folder."
        ) from error
    except OSError as error:
        raise refusal(error, path, verb="read") from error
    except (ValueError, RecursionError) as error:
        raise _damaged_record(path, str(error)) from error
    if not isinstance(stored, dict):
        raise _damaged_record(path, "no mapping")
    try:
        return open_record(stored)
    except LaterFormatError as error:
        raise StoreError(
            f"{path} was written by a newer imagenetd ({error}; installed is {__version__}). Install that version, or "
            "set paths.output_dir to another folder."
        ) from error
    except BrokenSealError as error:
        raise _damaged_record(path, str(error)) from error


def _damaged_record(path: Path, reason: str) -> DamagedError:
    return DamagedError(
        f"{path} is damaged ({' '.join(reason.split())}). Delete it and run again: its stage is checked anew."
    )


def read_sealed_record(path: Path, fields: Mapping[str, type | tuple[type, ...]] | None = None) -> Record:
    """Return what `write_record` was given; a missing or damaged record is a StoreError.

    Args:
        path: Of the file.
        fields: Name -> type of what must stand in it.
    """
    content = read_stage_file(path)
    if content is None:
        raise StoreError(f"{path} is missing. Run the stage again that writes it.")
    require_fields(path, content, fields or {})
    return content


def require_fields(
    path: Path, content: Mapping[str, Any], fields: Mapping[str, type | tuple[type, ...]]
) -> None:
    """Raise StoreError when a record lacks one of these fields or has it in another type."""
    for name, kind in fields.items():
        value = content.get(name)
        is_number_for_truth = isinstance(value, bool) and kind is not bool
        if name not in content or not isinstance(value, kind) or is_number_for_truth:
            kinds = kind if isinstance(kind, tuple) else (kind,)
            words = " or ".join(one.__name__ for one in kinds)
            raise _damaged_record(path, f"{name} is {value!r:.40}, not {words}")


def read_listed(folder: Path, name: str, **options: Any) -> pa.Table:
    """Return a table of a finished stage: exactly the one that its `stage.json` lists."""
    record = read_sealed_record(folder / STAGE_FILE, {"files": dict})
    if name not in record["files"]:
        raise StoreError(f"{folder / STAGE_FILE} does not list {name}. {_REMEDY}")
    return read_table(folder / name, seal=str(record["files"][name][1]), **options)


def file_seal(path: Path) -> str:
    """Return the hash of a file for a stage's record: of a Parquet file its own seal, else of all bytes."""
    data = _read(path)
    try:
        return check_parquet(data) if path.suffix == ".parquet" else fast_hash(data)
    except ValueError as error:
        raise _damaged(path, error) from error


_REMEDY = f"Delete {STAGE_FILE} beside it and run again: what is missing is made anew."


@dataclass(frozen=True, slots=True)
class StageFolder:
    """The folder of one stage under one key; done when its `stage.json` stands, and the files that it lists."""

    path: Path
    stage: str
    key: str
    max_wait_s: float = MAX_WAIT_S
    """How long a run waits for another one that holds the folder; 0: it refuses to."""
    is_flat: bool = False
    """Its lock stands for folders below it, each with a record of its own."""

    def done(self) -> Record | None:
        """Return what `finish` wrote, or None when the stage is not done.

        It is done when its record is whole and every file that the record lists is there with its size.
        """
        record = self._record()
        if record is None or absent_files(self.path, record.pop("files", {})):
            return None
        return record

    def lost(self) -> list[str]:
        """Return the files that the record lists and that are gone, or have another size."""
        return absent_files(self.path, (self._record() or {}).get("files", {}))

    def _record(self) -> Record | None:
        path = self.path / STAGE_FILE
        remote.refresh(self.path, is_flat=self.is_flat)
        record = read_stage_file(path)
        if record is None:
            return None
        if record.get("key") != self.key:
            raise StoreError(
                f"{self.path} holds stage {record.get('stage')} with key {record.get('key')}, but this config has key "
                f"{self.key}. Name another folder, or delete this one."
            )
        files = record.get("files", {})
        if not isinstance(files, dict) or not all(map(_is_listing, files.values())):
            raise _damaged_record(path, "its list of files is none")
        return record

    def sound(self) -> tuple[Record | None, str]:
        """Return what `done` does after reading every listed file through, and what is wrong where it is None.

        Returns:
            The record, or None; and a note for the user, which is empty when all is well or nothing was ever done.
        """
        record = self._record()
        if record is None:
            return None, ""
        files = record.pop("files", {})
        bad = absent_files(self.path, files) or self._changed(files)
        if bad:
            more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
            return None, f"{bad[0]}{more} was damaged or lost: made anew"
        return record, ""

    def _changed(self, files: Mapping[str, Any]) -> list[str]:
        return [name for name, (_, seal) in files.items() if seal and not self._has(name, seal)]

    def _has(self, name: str, seal: str) -> bool:
        try:
            return file_seal(self.path / name) == seal
        except DamagedError:
            return False

    def finish(
        self,
        record: Mapping[str, Any],
        files: Iterable[str] = (),
        *,
        only_sizes: Iterable[str] = (),
        sealed: Mapping[str, str] | None = None,
    ) -> None:
        """Mark the stage as done.

        Args:
            record: What a later run wants to know.
            files: Names below the folder of what later stages read: listed with size and seal.
            only_sizes: Likewise, where nothing reads them back, or where they are checked otherwise.
            sealed: Likewise, with the seals of files that the stage has just read itself.
        """
        listed = {name: [size_of(self.path / name), file_seal(self.path / name)] for name in files}
        listed |= {name: [size_of(self.path / name), ""] for name in only_sizes}
        listed |= {name: [size_of(self.path / name), seal] for name, seal in (sealed or {}).items()}
        remote.push_folder(self.path)
        write_record(
            self.path / STAGE_FILE, {"stage": self.stage, "key": self.key, **record, "files": listed}
        )
        remote.push(self.path / STAGE_FILE)

    def reopen(self) -> None:
        """Forget that the stage is done; its parts stay."""
        remote.forget(self.path / STAGE_FILE)

    @contextlib.contextmanager
    def locked(self, *, first: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the folder alone; when another process holds it, say so and wait.

        A run can rightly take hours, so the wait is long, but it has an end: `max_wait_s`.

        Args:
            first: Called when no other run holds the folder, while workers of one that has ended may still be there.
        """
        make_folder(self.path)
        with contextlib.ExitStack() as stack:
            stack.enter_context(lock(self.path / LOCK_FILE, fcntl.LOCK_EX, max_wait_s=self.max_wait_s))
            first()
            workers = lock(self.path / WORKERS, fcntl.LOCK_EX, max_wait_s=self.max_wait_s)
            with workers, explained(self.path):  # of a run whose first process was killed
                if (board := self.path / BOARD).is_dir():
                    shutil.rmtree(board)  # workers that come late find no work of that run
            forget_unfinished(self.path)  # of a writer that was killed: the lock says that nobody writes now
            stack.enter_context(remote.exclusive(self.path, max_wait_s=self.max_wait_s))
            remote.refresh(self.path, is_flat=self.is_flat)
            yield


def forget_unfinished(folder: Path) -> None:
    """Delete what writers that were killed have not finished; only when nobody writes into the folder."""
    with explained(folder):
        for path in folder.rglob(TEMPORARY.format(name="*", process="*")):
            path.unlink(missing_ok=True)


def _is_listing(entry: Any) -> bool:
    return isinstance(entry, list) and [type(part) for part in entry] == [int, str]


def absent_files(folder: Path, files: Mapping[str, Any]) -> list[str]:
    """Return the names of those that are not below the folder with their size.

    Args:
        folder: Of the stage.
        files: Name -> size and seal, as `finish` lists them.
    """
    return [name for name, (size, _) in files.items() if size_of(folder / name) != size]
