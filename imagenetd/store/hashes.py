"""Content keys of stages, and hashes of the files that they rest on."""

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from imagenetd.store.system_errors import explained

LAYOUT_VERSION = 1
"""Part of every key: stages made under another layout are made again, never misread."""


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
    with explained(Path(path), verb="read"), open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def file_sha256(path: Path) -> str:
    """Return the hash of a file's bytes; a file read once in this process is not read again."""
    with explained(path, verb="read"):
        status = path.stat()
    return _file_sha256(str(path.resolve()), status.st_size, status.st_mtime_ns)


def folder_sha256(folder: Path, *, suffixes: tuple[str, ...]) -> str:
    """Return one hash for all files below `folder` that end in one of `suffixes`, names included."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in suffixes)
    return content_key({str(path.relative_to(folder)): file_sha256(path) for path in files})
