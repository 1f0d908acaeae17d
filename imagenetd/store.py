"""Run folders: content keys, atomic writes, locks, and the answer to "is this already done?"."""

import contextlib
import errno
import fcntl
import functools
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from imagenetd.errors import StoreError

LAYOUT_VERSION = 1
"""Part of every key: stages made under another layout are made again, never misread."""

STAGE_FILE = "stage.json"
WORKERS = ".workers"
MIN_FREE_BYTES = 50 * 2**20
TEMPORARY = ".{name}.{process}.tmp"
"""Name of a file that is being written."""


def content_key(identity: Mapping[str, Any]) -> str:
    """Return 16 hex digits that are equal exactly when the identities are equal.

    >>> content_key({"a": 1, "b": 2}) == content_key({"b": 2, "a": 1})
    True
    """
    text = json.dumps({"layout": LAYOUT_VERSION, **identity}, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def content_key_of_rows(identity: Mapping[str, Any], rows: Iterable[bytes]) -> str:
    """Return `content_key` of an identity with the list `rows`, given as the pieces of its JSON text."""
    head, tail = json.dumps({"layout": LAYOUT_VERSION, **identity, "rows": []}, sort_keys=True).split("[]")
    digest = hashlib.sha256(f"{head}[".encode())
    for piece in rows:
        digest.update(piece)
    digest.update(f"]{tail}".encode())
    return digest.hexdigest()[:16]


@functools.cache
def _file_sha256(path: str, size: int, modified_ns: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """Return the hash of a file's bytes; a file read once in this process is not read again."""
    status = path.stat()
    return _file_sha256(str(path.resolve()), status.st_size, status.st_mtime_ns)


def folder_sha256(folder: Path, *, suffixes: tuple[str, ...]) -> str:
    """Return one hash for all files below `folder` that end in one of `suffixes`, names included."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in suffixes)
    return content_key({str(path.relative_to(folder)): file_sha256(path) for path in files})


_NO_LOCKS = (
    "this file system has no file locks, which keep two runs from writing one pool (Lustre has them when mounted with "
    "flock, NFS from version 4). Set paths.output_dir to another file system"
)


@contextlib.contextmanager
def explained(path: Path, *, option: str = "paths.output_dir") -> Iterator[None]:
    """Turn the operating system's refusals to write `path` into a StoreError of one line, which names the `option`."""
    try:
        yield
    except OSError as error:
        denied = "no permission to write there. Set paths.output_dir to a folder that you may write to"
        reasons = {
            errno.ENOSPC: "the disk is full. Free some space or set paths.output_dir to another disk, then run again",
            errno.EDQUOT: "the disk quota is used up. Free some space or set paths.output_dir elsewhere",
            errno.EROFS: "the file system is read-only. Set paths.output_dir to a folder that you may write to",
            errno.ENOTDIR: "a part of this path is a file, not a folder. Set paths.output_dir to a folder",
            errno.EEXIST: "a file stands where a folder is needed. Set paths.output_dir to a folder",
            **dict.fromkeys((errno.EACCES, errno.EPERM), denied),
            **dict.fromkeys((errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS), _NO_LOCKS),
        }
        if error.errno not in reasons:
            raise
        reason = reasons[error.errno].replace("paths.output_dir", option)
        raise StoreError(f"Cannot write {path}: {reason}. Finished work is kept.") from error


def make_folder(folder: Path, *, option: str = "paths.output_dir") -> Path:
    """Create a folder and its parents, and check that a file can be written there."""
    with explained(folder, option=option):
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, "not writable", str(folder))
    return folder


def require_room(folder: Path) -> None:
    """Raise StoreError when not even notes can be written: others, such as Hydra, would end in a traceback."""
    path = folder / f".room-{os.getpid()}"
    write_bytes_atomic(path, bytes(2**16))
    path.unlink(missing_ok=True)


def require_space(folder: Path, num_bytes: int) -> None:
    """Raise StoreError when the disk of `folder` has less than `num_bytes` (and 50 MB) free."""
    free = shutil.disk_usage(folder).free
    needed = num_bytes + MIN_FREE_BYTES
    if free < needed:
        raise StoreError(
            f"{folder} has {free / 2**20:.0f} MB free, but about {needed / 2**20:.0f} MB are needed. "
            "Free some space or set paths.output_dir to another disk."
        )


def write_bytes_atomic(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees all of it or nothing, also after a crash."""
    temporary = path.with_name(TEMPORARY.format(name=path.name, process=os.getpid()))
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text_atomic(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    write_bytes_atomic(path, text.encode())


def write_json_atomic(path: Path, content: Mapping[str, Any]) -> None:
    """Write an indented JSON file atomically."""
    write_text_atomic(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def write_table_atomic(path: Path, table: pa.Table) -> None:
    """Write a Parquet file atomically."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_bytes_atomic(path, sink.getvalue().to_pybytes())


def read_table(path: Path) -> pa.Table:
    """Read a Parquet file; a damaged one is a StoreError that says what to delete."""
    try:
        return pq.read_table(path, memory_map=False, partitioning=None)
    except FileNotFoundError as error:
        raise StoreError(f"{path} is missing, though its stage is marked as done. {_REMEDY}") from error
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0][:120]
        raise StoreError(
            f"{path} is damaged ({reason}). Delete it and run again: it is made anew."
        ) from error


_REMEDY = f"Delete {STAGE_FILE} beside it and run again: what is missing is made anew."


@dataclass(frozen=True, slots=True)
class StageFolder:
    """The folder of one stage under one key; done when its `stage.json` stands."""

    path: Path
    stage: str
    key: str

    def done(self) -> dict[str, Any] | None:
        """Return what `finish` wrote, or None when the stage is not done."""
        record = read_stage_file(self.path / STAGE_FILE)
        if record is None:
            return None
        if record.get("key") != self.key:
            raise StoreError(
                f"{self.path} holds stage {record.get('stage')} with key {record.get('key')}, but this config has key "
                f"{self.key}. Name another folder, or delete this one."
            )
        return record

    def finish(self, record: Mapping[str, Any]) -> None:
        """Mark the stage as done."""
        write_json_atomic(self.path / STAGE_FILE, {"stage": self.stage, "key": self.key, **record})

    def reopen(self) -> None:
        """Forget that the stage is done; its parts stay."""
        (self.path / STAGE_FILE).unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self, waiting: Any) -> Iterator[None]:
        """Hold the folder alone; when another process holds it, call `waiting(path)` once and wait."""
        make_folder(self.path)
        with explained(self.path), open(self.path / ".lock", "w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting(self.path)
                fcntl.flock(stream, fcntl.LOCK_EX)
            with open(self.path / WORKERS, "a+") as workers:  # of a run whose first process was killed
                fcntl.flock(workers, fcntl.LOCK_EX)
            for rubbish in self.path.rglob(TEMPORARY.format(name="*", process="*")):
                rubbish.unlink(
                    missing_ok=True
                )  # of a writer that was killed: the lock says that nobody writes now
            yield


@contextlib.contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Take part in another process's work on a locked folder; the lock is not given to a new run before this ends."""
    with explained(folder), open(folder / WORKERS, "a+") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        yield


def read_stage_file(path: Path) -> dict[str, Any] | None:
    """Return the content of a `stage.json`, None where there is none; a damaged one is a StoreError."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    except NotADirectoryError as error:
        raise StoreError(
            f"{path.parent} is a file, not a folder. Set paths.output_dir to a folder."
        ) from error
    try:
        record = json.loads(text)
    except ValueError as error:
        raise StoreError(
            f"{path} is damaged ({error}). Delete it and run again: its stage is checked anew."
        ) from error
    if not isinstance(record, dict):
        raise StoreError(
            f"{path} is damaged (no mapping). Delete it and run again: its stage is checked anew."
        )
    return record
