"""Who works at which shard: small files beside the results, all that the processes of a run tell each other.

A claim is a file that only one process can make. A worker shows that it lives by a sign that it writes every second;
whoever watches it counts by his own clock, so the clocks of two machines need not agree.
"""

import contextlib
import itertools
import json
import os
import shutil
import socket
import statistics
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from imagenetd import errors
from imagenetd.errors import UserError, WorkerError
from imagenetd.store.files import make_folder, write_text_atomic
from imagenetd.store.locks import BOARD
from imagenetd.store.system_errors import explained

BEAT_S = 1.0
POLL_S = 0.2
MIN_SLOW_S = 1.0
"""A shard is not slow before."""
SIGN_BYTES = 8192
MAX_ERROR_BYTES = 3000
"""A sign is written in place, in a fixed room, so that it can be renewed on a full disk."""


def node_name(environment: Mapping[str, str] = os.environ) -> str:
    """Return what this machine is called, where SLURM runs by the name of the node."""
    return environment.get("SLURMD_NODENAME") or socket.gethostname()


class StoppedError(Exception):
    """The work was called off: another worker failed, or who began it is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """One worker among those of a stage."""

    number: int = 0
    count: int = 1
    """Workers of the stage; each begins at another place of the list."""
    local: int = 0
    """Among the workers of its machine: the number of its GPU."""
    name: str = "0"
    """Of this very process: one that takes a seat after another has another name."""
    slow_factor: float = 0.0
    """With nothing else left, begin a shard once more that takes another worker so many times longer than most: it has
    the same bytes, whoever is first. 0: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """What a worker last said of itself."""

    name: str
    number: int
    host: str
    pid: int
    beat: int = 0
    num_items: int = 0
    num_shards: int = 0
    gpu_gib: float = 0.0
    error_kind: str = ""
    error: str = ""
    is_ended: bool = False


class Board:
    """The claims and the signs of one long stage.

    Args:
        folder: Of the stage.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / BOARD
        self._claims, self._signs = self.folder / "claims", self.folder / "signs"

    def open(self, *, name: str = "") -> None:
        """Begin anew, with no claim and no worker; only who holds the stage's lock may do so.

        Args:
            name: Known to workers that are called to this board and no other, as the tasks of a queue are.
        """
        self.close()
        for folder in (self._claims, self._signs):
            make_folder(folder)
        write_text_atomic(self.folder / "name", name)

    @property
    def name(self) -> str | None:
        """What the board was opened with; None where it was taken away."""
        try:
            return (self.folder / "name").read_text()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def close(self) -> None:
        """Take the board away."""
        with explained(self.folder):
            if self.folder.is_dir():
                shutil.rmtree(self.folder)

    def claim(self, shard: int, worker: str) -> bool:
        """Take a shard; False when somebody has it."""
        return self._make_claim(self._claims / f"{shard:06d}", worker)

    def _make_claim(self, path: Path, worker: str) -> bool:
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            return False
        except FileNotFoundError as error:
            raise StoppedError from error
        except OSError as error:
            with explained(path):
                raise error
        with os.fdopen(handle, "w") as stream:
            stream.write(worker)
        return True

    def claim_copy(self, shard: int, worker: str) -> bool:
        """Begin a shard anew beside a slow worker; False when somebody has done so."""
        return self._make_claim(self._copy_path(shard), worker)

    def _copy_path(self, shard: int) -> Path:
        return self._claims / f"{shard:06d}.copy"

    def claim_ages(self, worker: str) -> dict[int, tuple[str, float]]:
        """Return shard -> its worker, and for how many seconds it has had it, by the clock of the file system.

        Args:
            worker: Who asks; its sign, which it writes every second, says what time it is.
        """
        found = {}
        with contextlib.suppress(FileNotFoundError):
            now = self.sign_path(worker).stat().st_mtime
            for shard, owner in self.claims().items():
                with contextlib.suppress(FileNotFoundError):
                    found[shard] = (owner, now - (self._claims / f"{shard:06d}").stat().st_mtime)
        return found

    def claims(self, shards: Collection[int] | None = None) -> dict[int, str]:
        """Return shard -> its worker, of all or of these shards; empty where it has not yet written its name."""
        asked, found = None if shards is None else set(shards), {}
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self._claims):
                with contextlib.suppress(FileNotFoundError, ValueError):
                    if asked is None or int(name) in asked:
                        found[int(name)] = (self._claims / name).read_text()
        return found

    def free(self, shard: int) -> None:
        """Give a shard back, and the copy that was begun of it."""
        (self._claims / f"{shard:06d}").unlink(missing_ok=True)
        self._copy_path(shard).unlink(missing_ok=True)

    def forget(self, worker: str) -> None:
        """Give back what a lost worker held, and take its sign away."""
        for shard, owner in self.claims().items():
            if owner == worker:
                self.free(shard)
        for copy in self._claims.glob("*.copy"):
            with contextlib.suppress(FileNotFoundError):
                if copy.read_text() == worker:
                    copy.unlink()
        self.sign_path(worker).unlink(missing_ok=True)

    def sign_path(self, worker: str) -> Path:
        """Return the file in which a worker shows that it lives."""
        return self._signs / worker

    def signs(self) -> dict[str, Sign]:
        """Return worker -> its last sign."""
        found = {}
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self._signs):
                with contextlib.suppress(
                    FileNotFoundError, ValueError, TypeError
                ):  # half written, or just gone
                    found[name] = Sign(**json.loads((self._signs / name).read_text()))
        return found

    def stop(self) -> None:
        """Call the work off: each worker ends after its unit."""
        with contextlib.suppress(OSError):  # on a full disk the workers end by themselves
            (self.folder / "stop").touch()

    @property
    def is_stopped(self) -> bool:
        """Tell whether the work was called off, or the board taken away."""
        return (self.folder / "stop").exists() or not self._claims.is_dir()


class Pulse:
    """Writes the sign of one worker every second; `with` ends it.

    Args:
        board: Where.
        seat: Whose.
        parent: Process that began the work on this machine: when it is gone, so is the reason to work.
    """

    def __init__(self, board: Board, seat: Seat, *, parent: int | None = None) -> None:
        self.board, self.seat, self._parent = board, seat, parent
        self._sign = Sign(name=seat.name, number=seat.number, host=node_name(), pid=os.getpid())
        self._counts: dict[str, float] = {"num_items": 0, "num_shards": 0, "gpu_gib": 0.0}
        self._over = threading.Event()
        self._is_called_off = False
        self._thread = threading.Thread(target=self._beat, daemon=True, name="pulse")
        self._writing = threading.Lock()

    def __enter__(self) -> Self:
        path = self.board.sign_path(self.seat.name)
        if self.board.is_stopped:
            raise StoppedError
        with explained(path):
            self._handle = os.open(path, os.O_CREAT | os.O_WRONLY, 0o666)
            os.pwrite(self._handle, b" " * SIGN_BYTES, 0)
        self._write()
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join(5)
        self._write(is_ended=True)
        os.close(self._handle)

    def advance(self, num_items: int, *, gpu_gib: float = 0.0) -> None:
        """Count finished items."""
        self._counts["num_items"] += num_items
        self._counts["gpu_gib"] = gpu_gib

    def took(self) -> None:
        """Count a shard."""
        self._counts["num_shards"] += 1

    def check(self) -> None:
        """Raise StoppedError when the work was called off."""
        if self._is_called_off:
            raise StoppedError

    def fail(self, error: UserError) -> None:
        """Say what went wrong, and call the work of all off."""
        self._write(error_kind=type(error).__name__, error=_cut(" ".join(str(error).split())))
        self.board.stop()

    def _beat(self) -> None:
        while not self._over.wait(BEAT_S):
            is_orphan = self._parent is not None and os.getppid() != self._parent
            self._is_called_off = is_orphan or self.board.is_stopped
            self._write()

    def _write(self, **changes: str | bool) -> None:
        with self._writing:
            kept: dict[str, Any] = {
                **asdict(self._sign),
                **self._counts,
                **changes,
                "beat": self._sign.beat + 1,
            }
            self._sign = Sign(**kept)
            line = json.dumps(kept, ensure_ascii=False).encode()
            os.pwrite(self._handle, line[:SIGN_BYTES].ljust(SIGN_BYTES), 0)


def _cut(text: str) -> str:
    """Return a text that fits into a sign, in whatever alphabet."""
    return text.encode()[:MAX_ERROR_BYTES].decode(errors="ignore")


@dataclass(slots=True)
class Watch:
    """Tells who is silent, by the watcher's own clock."""

    silence_s: float
    _seen: dict[str, tuple[int, float]] = field(default_factory=dict)

    def silent(self, signs: dict[str, Sign], names: Sequence[str]) -> list[str]:
        """Return those of the names whose sign has not changed for `silence_s`, or who never gave one."""
        now, found = time.monotonic(), []
        for name in names:
            beat = signs[name].beat if name in signs else -1
            before, since = self._seen.get(name, (None, now))
            if before != beat:
                since = now
            self._seen[name] = (beat, since)
            if now - since > self.silence_s or (name in signs and signs[name].is_ended):
                found.append(name)
        return found


class Hand:
    """Takes shards for one worker, one at a time, until none is missing.

    Args:
        board: Of the stage.
        seat: Of the worker.
        missing: Returns the shards that are not stored, by looking.
        is_missing: Tells it of one shard.
        lost_after_s: A worker that gives no sign for so long is lost, and others take its shards.
        pulse: Of the worker.
    """

    def __init__(
        self,
        board: Board,
        pulse: Pulse,
        *,
        missing: Callable[[], list[int]],
        is_missing: Callable[[int], bool],
        lost_after_s: float,
    ) -> None:
        self.board, self.pulse, self.seat = board, pulse, pulse.seat
        self._missing, self._is_missing = missing, is_missing
        self._watch = Watch(lost_after_s)

    def rounds(self, *, waits: bool = True) -> Iterator[Iterator[int]]:
        """Yield runs of shards: each goes on until all are taken; after it, those of lost workers are taken over.

        Between two rounds nothing of this worker is unfinished, so two workers never wait for each other.

        Args:
            waits: Stay until all shards are stored, to help out; else end when all are taken.
        """
        while missing := self._missing():
            self.pulse.check()
            claims = self.board.claims(missing)
            free = [shard for shard in missing if shard not in claims]
            if free:
                taken = self._take(free)
                if (first := next(taken, None)) is not None:
                    yield itertools.chain([first], taken)
                continue
            if not waits:
                return
            if (slow := self._slow(missing)) is not None:
                self.pulse.took()
                yield iter([slow])
                continue
            owners = {claims[shard] for shard in missing} - {self.seat.name}
            for name in self._watch.silent(self.board.signs(), sorted(owners)):
                for shard, owner in claims.items():
                    if owner == name and shard in missing:
                        self.board.free(shard)
            if all(claims[shard] == self.seat.name for shard in missing):
                for shard in missing:  # its part was lost after it was made
                    self.board.free(shard)
            time.sleep(POLL_S)

    def _take(self, free: list[int]) -> Iterator[int]:
        start = self.seat.number * len(free) // max(1, self.seat.count)
        for shard in free[start:] + free[:start]:
            self.pulse.check()
            if self._is_missing(shard) and self.board.claim(shard, self.seat.name):
                self.pulse.took()
                yield shard

    def _slow(self, missing: list[int]) -> int | None:
        """Return a shard that another worker has had for too long, now begun here as well; None: there is none.

        How long a shard takes follows from the claims: a worker takes its next one when it is done with the last.
        """
        if not self.seat.slow_factor:
            return None
        ages = self.board.claim_ages(self.seat.name)
        taken: dict[str, list[float]] = {}
        for owner, age in ages.values():
            taken.setdefault(owner, []).append(age)
        spans = [
            earlier - later
            for ages_of_one in taken.values()
            for earlier, later in itertools.pairwise(sorted(ages_of_one, reverse=True))
        ]
        limit = max(MIN_SLOW_S, self.seat.slow_factor * statistics.median(spans)) if spans else float("inf")
        for shard in sorted(missing, key=lambda shard: -ages.get(shard, ("", 0.0))[1]):
            owner, age = ages.get(shard, (self.seat.name, 0.0))
            if owner != self.seat.name and age > limit and self.board.claim_copy(shard, self.seat.name):
                return shard
        return None


def error_of(sign: Sign) -> UserError:
    """Return the error that a worker ended with, as it was where it happened; on another machine, with its name."""
    kind = getattr(errors, sign.error_kind, WorkerError)
    if kind is errors.MissingFilesError or sign.host != node_name():
        return WorkerError(f"Worker {sign.number} on {sign.host}: {sign.error}")
    return kind(sign.error)
