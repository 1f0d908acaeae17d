"""Watching the workers of a stage: lost ones are replaced, and what one ends with in an error ends the work of all."""

import abc
import contextlib
import time
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field

from imagenetd.errors import WorkerError
from imagenetd.stages.workers.board import Board, Seat, Sign, Watch, error_of
from imagenetd.stages.workers.dashboard import Dashboard
from imagenetd.stages.workers.trainer import Loop, loop_of
from imagenetd.stages.workers.work import Work, shown_shares
from imagenetd.store.console import say
from imagenetd.store.folders import forget_unfinished

POLL_S = 0.1
PATIENCE_S = 30.0


class Crew(abc.ABC):
    """Starts workers somewhere, and knows which of them have ended."""

    kind = "processes"
    """What a worker is called."""
    patience_s = PATIENCE_S
    """After the work is done or called off, a worker has so long to come to an end."""

    @abc.abstractmethod
    def start(self, seat: Seat) -> str:
        """Start a worker for a seat; return its name, which no other worker has."""

    @abc.abstractmethod
    def ended(self, name: str) -> str | None:
        """Return how a worker ended, e.g. `by SIGKILL`; empty when it came to its own end, None while it works."""

    def is_waiting(self, name: str) -> bool:
        """Tell whether a worker waits for a place to work at, so that no sign of life can be expected of it."""
        return False

    @abc.abstractmethod
    def kill(self, name: str) -> None:
        """End a worker, whatever it does."""


@contextlib.contextmanager
def alone(work: Work) -> "Iterator[tuple[Loop | None, BarCounter]]":
    """Show how the work goes on that this process does itself: give its loop, None where it needs no Lightning."""
    missing = work.missing()
    bar = BarCounter(dashboard_of(work, missing))
    try:
        if work.needs_lightning:
            with loop_of(work, missing, Seat(), bar) as loop:
                yield loop, bar
        else:
            yield None, bar
        work.close()
    finally:
        bar.bar.close()


class BarCounter:
    """Moves the bar of a stage that is done in this process."""

    def __init__(self, bar: Dashboard) -> None:
        self.bar = bar

    def advance(self, num_items: int, *, gpu_gib: float = 0.0) -> None:
        """Count finished items."""
        self.bar.advance(num_items, gpu_gib=gpu_gib)

    def check(self) -> None:
        """Go on: who works alone is not called off."""


def dashboard_of(work: Work, missing: Sequence[int]) -> Dashboard:
    """Return what shows how a work goes on."""
    return Dashboard(
        work.stage, work.num_items(missing), folder=work.folder, usd_per_hour=work.trainer.usd_per_hour
    )


def supervise(
    work: Work, board: Board, crew: Crew, seats: Sequence[Seat], *, silence_s: float, max_losses: int
) -> None:
    """Return when no shard is missing; a worker that is lost or silent is replaced.

    Args:
        work: What must be done; its order is written.
        board: Open; taken away at the end.
        crew: Starts the workers.
        seats: One for each worker.
        silence_s: A worker that gives no sign for so long is ended and replaced.
        max_losses: So many may be lost in a row without one finished item in between.

    Raises:
        WorkerError: Too many workers were lost.
        UserError: What a worker ended with.
    """
    missing = work.missing()
    watched = _Watched(work, board, crew, Watch(silence_s), max_losses, num_asked=len(missing))
    bar = dashboard_of(work, missing)
    try:
        for seat in seats:
            watched.at_work[crew.start(seat)] = seat
        goes_on = True
        while goes_on:
            goes_on = watched.goes_on()
            bar.show(
                watched.num_items if goes_on else bar.num_items,  # a sign is a second old
                shards=watched.shards,
                workers=(watched.num_workers, watched.num_lost),
                gpu_gib=watched.gpu_gib,
            )
    except BaseException:
        board.stop()
        raise
    finally:
        bar.close()
        _dismiss(crew, list(watched.at_work))
        wait_for_others(board)
        signs = board.signs()
        board.close()
    if watched.num_lost:
        forget_unfinished(work.folder)
    _raise_first(signs)
    taken = [sign.num_shards for sign in signs.values() if sign.num_shards]
    if len(taken) > 1:
        say(f"{work.stage:<9} {shown_shares(taken, kind=crew.kind)}", style="dim")


@dataclass(slots=True)
class _Watched:
    """Workers in progress."""

    work: Work
    board: Board
    crew: Crew
    watch: Watch
    max_losses: int
    num_asked: int
    """Shards that were missing at the start."""
    at_work: dict[str, Seat] = field(default_factory=dict)
    num_items: int = 0
    """Finished by all workers, those that were lost included."""
    shards: tuple[int, int, int] = (0, 0, 0)
    """Done, in flight, and given again."""
    num_workers: int = 0
    gpu_gib: float = 0.0
    num_lost: int = 0
    _items_of_lost: int = 0
    _shards_of_lost: int = 0
    _losses: int = 0
    """In a row."""

    def goes_on(self) -> bool:
        """Look after the workers; False when no shard is missing."""
        time.sleep(POLL_S)
        signs = self.board.signs()
        _raise_first(signs)
        items = sum(sign.num_items for sign in signs.values()) + self._items_of_lost
        self._losses = 0 if items > self.num_items else self._losses
        self.num_items = max(items, self.num_items)
        self.gpu_gib = max((sign.gpu_gib for sign in signs.values()), default=0.0)
        started = time.monotonic()
        missing = self.work.missing()
        for name, how in _lost(self.crew, self.watch, signs, list(self.at_work)).items():
            missing = self._replace(name, how)
        done, taken = self.num_asked - len(missing), sum(sign.num_shards for sign in signs.values())
        self.num_workers = sum(not sign.is_ended for sign in signs.values())
        in_flight = min(len(missing), max(0, taken + self._shards_of_lost - done))
        self.shards = (done, in_flight, self._shards_of_lost)
        time.sleep(min(5.0, 10 * (time.monotonic() - started)))  # a long list is looked at less often
        return bool(missing)

    def _replace(self, name: str, how: str) -> list[int]:
        """Let another worker take the seat of a lost one, unless all is done; return what is missing."""
        seat = self.at_work.pop(name)
        signs = self.board.signs()
        _raise_first(signs)
        held = [shard for shard, owner in self.board.claims().items() if owner == name]
        self.board.forget(name)
        missing = self.work.missing()
        self._items_of_lost += signs[name].num_items if name in signs else 0
        self._shards_of_lost += len(set(held) & set(missing))
        self.num_lost += 1
        if not missing:
            return []
        self._losses += 1
        if self._losses > self.max_losses:
            raise WorkerError(
                f"{self._losses} processes of this run were lost in a row, the last {how} (out of memory?), and not "
                "one image was finished in between. What was finished before is kept: the same command, with "
                "any number of processes, goes on from here."
            )
        say(f"worker {seat.number} was ended {how}: another takes its place", style="yellow")
        self.at_work[self.crew.start(seat)] = seat
        return missing


def wait_for_others(board: Board) -> None:
    """Wait until workers that others have started have seen that the work is over; a silent one is not waited for."""
    watch, deadline = Watch(5.0), time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        signs = board.signs()
        living = [name for name, sign in signs.items() if not sign.is_ended]
        if set(living) <= set(watch.silent(signs, living)):
            return
        time.sleep(0.02)


def _lost(crew: Crew, watch: Watch, signs: dict[str, Sign], names: list[str]) -> dict[str, str]:
    """Return the workers that are gone or silent -> how they ended."""
    found = {name: how for name in names if (how := crew.ended(name)) is not None}
    living = {name: sign for name, sign in signs.items() if not sign.is_ended}
    for name in watch.silent(living, _expected(crew, names, found)):
        if name in signs and signs[name].is_ended:
            continue
        crew.kill(name)
        found[name] = f"after {watch.silence_s:g} s without a sign of life"
    return {name: how or "early" for name, how in found.items()}


def _expected(crew: Crew, names: list[str], ended: Container[str]) -> list[str]:
    """Return the workers that must show that they live."""
    return [name for name in names if name not in ended and not crew.is_waiting(name)]


def _raise_first(signs: dict[str, Sign]) -> None:
    failed = [sign for sign in signs.values() if sign.error_kind]
    if failed:
        raise error_of(min(failed, key=lambda sign: sign.number))


def _dismiss(crew: Crew, names: list[str]) -> None:
    """Wait until the workers have come to an end, and end those that do not."""
    for name in names:
        if crew.is_waiting(name):
            crew.kill(name)
    deadline = time.monotonic() + crew.patience_s
    while [name for name in names if crew.ended(name) is None] and time.monotonic() < deadline:
        time.sleep(0.02)
    for name in names:
        if crew.ended(name) is None:
            crew.kill(name)
