"""Every file below a folder, without hanging, looping or leaving anything out in silence."""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from imagenetd.store.escaping import shown

LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", ".directory", ".gitkeep", ".gitignore"})
"""Files that desktops and tools leave behind."""
LITTER_FOLDERS = frozenset({"__MACOSX", ".git", ".ipynb_checkpoints", "@eaDir", ".cache", ".huggingface"})
IMAGE_SUFFIXES = frozenset(
    (
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".webp",
        ".gif",
        ".bmp",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".pbm",
    )
    + (".jp2", ".j2k", ".avif", ".ico", ".tga")
)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file below the root."""

    path: bytes
    """Relative to the root, as the file system spells it."""
    problem: str = ""
    """Why it cannot be read; empty for a regular file."""

    @property
    def shown(self) -> str:
        """The path as text; bytes that are not UTF-8 are escaped, as are control characters."""
        return shown(self.path)

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the folders and of the file."""
        return tuple(shown(part) for part in self.path.split(b"/"))

    @property
    def is_image_by_name(self) -> bool:
        """The name ends like an image's."""
        return Path(self.parts[-1]).suffix.lower() in IMAGE_SUFFIXES


@dataclass(slots=True)
class Found:
    """What lies below a folder."""

    files: list[FoundFile] = field(default_factory=list)
    """Ordered by path."""
    ignored: Counter[str] = field(default_factory=Counter)
    """What was passed over, e.g. `.DS_Store`, with its count."""


def walk(root: Path) -> Found:
    """Return all files below `root`; links to folders are followed, but never into a folder that holds them."""
    found = Found()
    base = os.fsencode(root)
    waiting: list[tuple[bytes, frozenset[tuple[int, int]]]] = [(b"", frozenset({_identity(base)}))]
    while waiting:
        below, ancestors = waiting.pop()
        waiting += [
            (path, ancestors | {identity}) for path, identity in _look_into(base, below, ancestors, found)
        ]
    found.files.sort(key=lambda file: file.path)
    return found


def subfolders(root: Path) -> Iterator[str]:
    """Yield the names of the folders directly below `root`, sorted, without litter."""
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        if entry.name not in LITTER_FOLDERS and _is_folder(os.fsencode(entry.path)):
            yield entry.name


def listed_path(root: Path, name: str) -> bytes:
    """Return the path, relative to the root, that a line of a table means: as it stands, or as Windows writes it."""
    spellings = (name, name.strip(), name.strip().replace("\\", "/"))
    found = next((one for one in spellings if one and "\0" not in one and _is_there(root / one)), name)
    if os.path.isabs(found) and Path(found).absolute().is_relative_to(root.absolute()):
        found = os.path.relpath(found, root)  # two spellings of one file are one file
    return os.path.normpath(os.fsencode(found))


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, a folder that may not be entered
        return False


def _look_into(
    base: bytes, below: bytes, ancestors: frozenset[tuple[int, int]], found: Found
) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Add what lies directly in one folder, and yield its folders: path and identity."""
    folder = os.path.join(base, below) if below else base
    try:
        names = sorted(os.listdir(folder))
    except PermissionError:
        found.files.append(FoundFile(below, "no permission to list this folder"))
        return
    except OSError as error:
        found.files.append(FoundFile(below, f"this folder cannot be listed ({error.strerror})"))
        return
    for name in names:
        path = os.path.join(below, name) if below else name
        full = os.path.join(base, path)
        if _is_litter(name, full):
            found.ignored[shown(name)] += 1
        elif not _is_folder(full):
            found.files.append(FoundFile(path, problem_of(full)))
        elif (identity := _identity(full)) in ancestors:
            found.ignored["link to a folder that holds it"] += 1
        else:
            yield path, identity
    if below and not names:
        found.ignored["empty folder"] += 1


def _is_litter(name: bytes, full: bytes) -> bool:
    text = shown(name)
    return text in LITTER or text.startswith("._") or (text in LITTER_FOLDERS and _is_folder(full))


def _is_folder(full: bytes) -> bool:
    try:
        return stat.S_ISDIR(os.stat(full).st_mode)
    except OSError:  # a dangling link, or one to itself
        return False


def _identity(full: bytes) -> tuple[int, int]:
    status = os.stat(full)
    return status.st_dev, status.st_ino


def problem_of(full: bytes) -> str:
    """Return why a path is no readable file, without opening it: a pipe would wait for ever."""
    try:
        mode = os.stat(full).st_mode
    except FileNotFoundError:
        return "a link to nothing" if os.path.islink(full) else "there is no such file"
    except ValueError:  # a NUL in the name
        return "no name of a file"
    except OSError as error:
        return f"cannot be reached ({error.strerror})"
    kinds = (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    special = next((word for is_kind, word in kinds if is_kind(mode)), None)
    if special:
        return f"{special}, not a file"
    return "" if os.access(full, os.R_OK) else "no permission to read it"
