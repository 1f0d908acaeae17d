"""What the operating system refuses, in the words of a user: one line that names the folder and the option."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from imagenetd.errors import StoreError

_NO_LOCKS = (
    "this file system has no file locks, which keep two runs from writing one pool (Lustre has them when mounted with "
    "flock, NFS from version 4). Set paths.output_dir to another file system"
)
_DENIED = "no permission to {do} there. Set paths.output_dir to a folder that you may {do}"
_FAULT = (
    "the disk or the network failed (input/output error). Check it, or set paths.output_dir to another disk"
)
_REASONS = {
    errno.ENOSPC: "the disk is full. Free some space or set paths.output_dir to another disk, then run again",
    errno.EDQUOT: "the disk quota is used up. Free some space or set paths.output_dir elsewhere",
    errno.EROFS: "the file system is read-only. Set paths.output_dir to a folder that you may write to",
    errno.ENOTDIR: "a part of this path is a file, not a folder. Set paths.output_dir to a folder",
    errno.EEXIST: "a file stands where a folder is needed. Set paths.output_dir to a folder",
    errno.EISDIR: "a folder stands where a file is needed. Delete or rename that folder and run again",
    errno.ENOENT: "it, or a folder above it, has gone. Was it deleted or unmounted? Run again",
    errno.EIO: _FAULT,
    errno.ESTALE: "the network file system lost it (stale file handle). Mount it anew or set paths.output_dir "
    "to another disk",
    errno.EINVAL: "this file system cannot do that (locks, or forcing data to the disk). Set paths.output_dir to an "
    "ordinary disk",
    errno.ENAMETOOLONG: "the name is too long for this file system. Choose shorter names or a shorter "
    "paths.output_dir",
    errno.EXDEV: "parts of this folder lie on different file systems. Set paths.output_dir to one of them",
    errno.EFBIG: "the file is too large for this file system. Set paths.output_dir to another one",
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "too many files are open. Raise the limit (ulimit -n)"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), _DENIED),
    **dict.fromkeys((errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS), _NO_LOCKS),
}
_ODD = {
    "a named pipe": stat.S_ISFIFO,
    "a socket": stat.S_ISSOCK,
}
_INTERRUPTED = (errno.EINTR, errno.EPIPE, errno.ECONNRESET)
"""No fault of a file system: left to who waits for it."""


def refusal(
    error: OSError, path: Path, *, verb: str = "write", option: str = "paths.output_dir"
) -> StoreError:
    """Return the one line for what the operating system refused.

    Args:
        error: What it raised.
        path: What was asked for.
        verb: What was tried: `write`, `read` or `lock`.
        option: Names the folder, for the remedy.
    """
    known = _REASONS.get(error.errno or 0)
    if known is None:
        name = errno.errorcode.get(error.errno or 0, type(error).__name__)
        known = (
            f"the system refused it ({error.strerror or error}, {name}). Set paths.output_dir to another disk"
        )
    do = "read" if verb == "read" else "write"
    reason = known.replace("{do}", do).replace("paths.output_dir", option)
    return StoreError(f"Cannot {verb} {path}: {reason}. Finished work is kept.")


def refuse_odd(path: Path, *, verb: str = "read") -> None:
    """Raise StoreError for a pipe or a socket in a file's place: opening it would wait for ever."""
    try:
        mode = os.stat(path).st_mode
    except OSError:  # told by who opens it
        return
    for kind, is_kind in _ODD.items():
        if is_kind(mode):
            raise StoreError(
                f"Cannot {verb} {path}: {kind} stands where a file is needed. Delete it and run again. "
                "Finished work is kept."
            )


@contextlib.contextmanager
def explained(path: Path, *, option: str = "paths.output_dir", verb: str = "write") -> Iterator[None]:
    """Turn the operating system's refusals to write `path` into a StoreError of one line, which names the `option`."""
    try:
        yield
    except OSError as error:
        if error.errno in _INTERRUPTED or isinstance(error, TimeoutError):
            raise
        raise refusal(error, path, verb=verb, option=option) from error


_OF_DISKS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE}


@contextlib.contextmanager
def explained_below(folder: Path) -> Iterator[None]:
    """Turn what the operating system refuses anywhere below `folder` into one line; the net below all other nets."""
    try:
        yield
    except OSError as error:
        name = error.filename if isinstance(error.filename, str | bytes | os.PathLike) else None
        path = Path(os.fsdecode(name)) if name else folder
        is_below = name is not None and path.resolve().is_relative_to(folder.resolve())
        if not is_below and (error.errno not in _OF_DISKS or name is not None):
            raise
        raise refusal(error, path, verb="use") from error
