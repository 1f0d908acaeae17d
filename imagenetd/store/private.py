"""Files for their owner alone, whatever the umask: votes, the truth about sentinels, secrets."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imagenetd.errors import StoreError
from imagenetd.store.folders import make_folder, write_json_atomic

FOLDER_MODE, FILE_MODE = 0o700, 0o600


def make_private(path: Path) -> Path:
    """Take a file or folder away from everybody but its owner; one of another user is a StoreError."""
    status = path.stat()
    wanted = FOLDER_MODE if stat.S_ISDIR(status.st_mode) else FILE_MODE
    if stat.S_IMODE(status.st_mode) & 0o077 == 0:
        return path
    try:
        path.chmod(wanted)
    except OSError as error:
        if status.st_uid != os.geteuid():
            raise StoreError(
                f"{path} belongs to another user (number {status.st_uid}), who could read or change it. "
                "Work in a folder of your own."
            ) from error
        # a file system without modes, e.g. of a USB disk, where the mount says who may read
    return path


def make_private_folder(folder: Path, *, option: str = "paths.output_dir") -> Path:
    """Create a folder that only its owner may enter; one that is there already is closed to others."""
    return make_private(make_folder(folder, option=option))


def make_private_file(path: Path) -> Path:
    """Create an empty file that only its owner may read, or close one that is there already."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, FILE_MODE))
    return make_private(path)


def write_private_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file atomically into a folder that is closed to others; the file is closed, too."""
    make_private_folder(path.parent)
    write_json_atomic(path, content)
    make_private(path)
