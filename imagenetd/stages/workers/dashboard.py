"""How a long stage goes on: a bar in the terminal, and the same numbers as JSON lines for other people's dashboards."""

import collections
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from imagenetd.store.console import console
from imagenetd.store.system_errors import explained

PROGRESS_FILE = "progress.jsonl"
LINE_EVERY_S = 10.0
NOW_S = 30.0
"""The speed of now is that of the last so many seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed:
    """What a line of `progress.jsonl` says."""

    time: float
    """Seconds since 1970."""
    stage: str
    images: int
    """Done since this start of the run."""
    images_asked: int
    """That were missing when it started."""
    images_per_s: float
    """Since the start."""
    images_per_s_now: float
    """Of the last 30 s."""
    eta_s: float | None
    """Until the end, at the speed of now; None before anything is done."""
    shards_done: int
    shards_in_flight: int
    shards_given_again: int
    """Of workers that were lost or slow."""
    workers: int
    workers_lost: int
    usd: float | None
    """Cost so far; None where `trainer.usd_per_hour` is not set."""
    gpu_gib: float
    """Most memory that one process has held on its GPU."""


class Dashboard:
    """Shows how a stage goes on, from its construction to `close`.

    Args:
        stage: Its title.
        num_items: Images that are missing.
        folder: Where `progress.jsonl` is written; None: nowhere.
        usd_per_hour: Of one process.
    """

    def __init__(
        self, stage: str, num_items: int, *, folder: Path | None = None, usd_per_hour: float | None = None
    ) -> None:
        self.stage, self.num_items, self.usd_per_hour = stage, num_items, usd_per_hour
        self._path = folder / PROGRESS_FILE if folder is not None else None
        self._bar = Progress(
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[shards]}"),
            console=console(),
            transient=True,
            disable=not console().is_terminal,
        )
        self._bar.add_task(stage, total=num_items, speed="", shards="")
        self._bar.start()
        self._started = self._written = self._paid_until = time.monotonic()
        self._recent: collections.deque[tuple[float, int]] = collections.deque([(self._started, 0)])
        self._worker_s = 0.0
        self._last: Progressed | None = None

    def show(
        self,
        done: int,
        *,
        shards: tuple[int, int, int] = (0, 0, 0),
        workers: tuple[int, int] = (1, 0),
        gpu_gib: float = 0.0,
    ) -> None:
        """Show where the stage stands.

        Args:
            done: Images.
            shards: Done, in flight, and given again.
            workers: At work, and lost until now.
            gpu_gib: Most memory of one GPU.
        """
        now, done = time.monotonic(), min(self.num_items, done)
        self._worker_s += (now - self._paid_until) * workers[0]
        self._paid_until = now
        self._recent.append((now, done))
        while len(self._recent) > 2 and now - self._recent[1][0] > NOW_S:
            self._recent.popleft()
        (since, before), left = self._recent[0], self.num_items - done
        speed_now = (done - before) / max(1e-9, now - since)
        said = Progressed(
            time=round(time.time(), 1),
            stage=self.stage,
            images=done,
            images_asked=self.num_items,
            images_per_s=round(done / max(1e-9, now - self._started), 3),
            images_per_s_now=round(speed_now, 3),
            eta_s=round(left / speed_now, 1) if speed_now > 0 else None,
            shards_done=shards[0],
            shards_in_flight=shards[1],
            shards_given_again=shards[2],
            workers=workers[0],
            workers_lost=workers[1],
            usd=None if self.usd_per_hour is None else round(self._worker_s / 3600 * self.usd_per_hour, 4),
            gpu_gib=round(gpu_gib, 2),
        )
        self._bar.update(self._bar.tasks[0].id, completed=done, speed=speeds(said), shards=shares(said))
        self._last = said
        if now - self._written > LINE_EVERY_S:
            self._write(said)
            self._written = now

    def advance(self, count: int, *, gpu_gib: float = 0.0) -> None:
        """Count some images more, of a stage that one process does alone."""
        self.show((self._last.images if self._last else 0) + count, gpu_gib=gpu_gib)

    def close(self) -> None:
        """Take the bar off the terminal, and write the last line."""
        self._bar.stop()
        if self._last is not None:
            self._write(self._last)

    def _write(self, said: Progressed) -> None:
        if self._path is not None:
            with explained(self._path), self._path.open("a") as stream:
                stream.write(json.dumps(asdict(said)) + "\n")


def speeds(said: Progressed) -> str:
    """Return the speed of now and since the start, what was paid, and the memory of the GPU."""
    memory = f", {said.gpu_gib:.1f} GiB" if said.gpu_gib else ""
    cost = "" if said.usd is None else f", {said.usd:.2f} USD"
    return f"{said.images_per_s_now:.1f}/s now, {said.images_per_s:.1f}/s in all{cost}{memory}"


def shares(said: Progressed) -> str:
    """Return how the shards stand; empty where one process does all."""
    if not said.shards_done + said.shards_in_flight:
        return ""
    again = f", {said.shards_given_again} given again" if said.shards_given_again else ""
    lost = f", {said.workers_lost} workers lost" if said.workers_lost else ""
    return f"shards: {said.shards_done} done, {said.shards_in_flight} in flight{again}{lost}"
