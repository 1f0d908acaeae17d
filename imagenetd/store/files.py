"""Writing files so that a reader sees all of a file or nothing, and asking whether there is room for them."""

import errno
import json
import os
import shutil
import socket
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imagenetd.errors import StoreError
from imagenetd.store import remote
from imagenetd.store.system_errors import explained, refusal

MIN_FREE_BYTES = 50 * 2**20
TEMPORARY = ".{name}.{process}.tmp"
"""Name of a file that is being written."""


UMASKS = {"owner": 0o077, "group": 0o007, "umask": None}
"""What is taken from new files and folders, for each value of `paths.readable_by`."""


def restrict_new_files(readable_by: str) -> None:
    """Let only these people read what this process, and those that it starts, will write.

    A run folder holds prompts, votes with the names of people, and the truth of tasks that workers must not see.
    """
    if (mask := UMASKS[readable_by]) is not None:
        os.umask(mask)


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
    temporary = path.with_name(
        TEMPORARY.format(name=path.name, process=f"{socket.gethostname()}-{os.getpid()}")
    )
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


def size_of(path: Path) -> int:
    """Return the size of a file in bytes, also of a shard that only the object store has; -1 where there is none."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return remote.stored_size(path)
    except OSError as error:
        raise refusal(error, path, verb="read") from error
    return status.st_size if stat.S_ISREG(status.st_mode) else -1
