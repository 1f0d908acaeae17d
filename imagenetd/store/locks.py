"""Locks on folders: one run writes, others wait, and no wait is without end."""

import contextlib
import errno
import fcntl
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TypeVar

from imagenetd.errors import StoreError
from imagenetd.store.console import say
from imagenetd.store.system_errors import explained, refusal, refuse_odd

WORKERS = ".workers"
"""Locked by every process that works for the run that holds the folder."""
BOARD = ".work"
"""Folder of what the workers tell each other; who has seen it while it works for a run has a share of that lock."""
MAX_WAIT_S = 24 * 3600.0
"""For another run that holds a folder: generating can take a day."""
WORKER_WAIT_S = 600.0
REMIND_S, POLL_S = 600.0, 0.2
ANSWER_S = 15.0
"""A file system that has not said whether a lock is free after this time will not say it at all."""
Answer = TypeVar("Answer")


@contextlib.contextmanager
def lock(path: Path, kind: int, *, max_wait_s: float, is_told: bool = True) -> Iterator[None]:
    """Hold a file's lock.

    Args:
        path: Of the file; made where there is none.
        kind: `fcntl.LOCK_EX` or `fcntl.LOCK_SH`.
        max_wait_s: Then it is a StoreError that names the holder; 0: it is one at once.
        is_told: The user reads at first, and every ten minutes, that another process holds the lock.
    """
    refuse_odd(path, verb="lock")
    with explained(path, verb="lock"):
        stream = in_time(lambda: open(path, "ab"), path)  # noqa: SIM115 - closed below
    with stream:
        started = told = None
        while not _try_lock(stream, kind, path):
            now = time.monotonic()
            started = now if started is None else started
            if not max_wait_s:
                raise StoreError(
                    f"Another run works in {path.parent} ({_holder(path)}). Wait until it has ended."
                )
            if now - started > max_wait_s:
                raise StoreError(
                    f"{path.parent} is held by another process ({_holder(path)}), and {max_wait_s:.0f} s of waiting "
                    "are over. End that process, or set paths.output_dir to another folder."
                )
            if is_told and (told is None or now - told > REMIND_S):
                say(f"waiting: another run works in {path.parent}", style="yellow")
                told = now
            time.sleep(POLL_S)
        if path.name != WORKERS:
            with contextlib.suppress(OSError):  # only a message of others is poorer for it
                os.ftruncate(stream.fileno(), 0)
                os.write(stream.fileno(), f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield


def in_time(ask: Callable[[], Answer], path: Path) -> Answer:
    """Return what the file system answers about a lock; StoreError where it says nothing, as NFS without its server.

    The call itself cannot be broken off: it stays behind in a thread that does not keep the process alive.
    """
    answers: queue.SimpleQueue[Answer | BaseException] = queue.SimpleQueue()

    def asked() -> None:
        try:
            answers.put(ask())
        except BaseException as error:
            answers.put(error)

    threading.Thread(target=asked, daemon=True, name="lock").start()
    try:
        answer = answers.get(timeout=ANSWER_S)
    except queue.Empty:
        raise StoreError(
            f"Cannot lock {path}: the file system has said nothing for {ANSWER_S:g} s. Its locks do not work (NFS "
            "without its lock service?), or its server is gone. Set paths.output_dir to another file system. "
            "Finished work is kept."
        ) from None
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _try_lock(stream: IO[bytes], kind: int, path: Path) -> bool:
    try:
        in_time(lambda: fcntl.flock(stream, kind | fcntl.LOCK_NB), path)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EINTR):  # held by another; or asked again after a signal
            return False
        raise refusal(error, path, verb="lock") from error
    return True


def _holder(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()[:80] or "which has not said its name"
    except OSError:
        return "whose name cannot be read"


@contextlib.contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Take part in another process's work on a locked folder; the lock is not given to a new run before this ends.

    A worker's wait is over in a moment: there is nothing to tell.
    """
    with lock(folder / WORKERS, fcntl.LOCK_SH, max_wait_s=WORKER_WAIT_S, is_told=False):
        yield
