"""A long stage as a worker sees it: shards that anybody can make alone, in any order, with the same bytes."""

import abc
import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from omegaconf import OmegaConf

from imagenetd.config.schema import Config, TrainerConfig
from imagenetd.errors import WorkerError
from imagenetd.records import Record
from imagenetd.stages.workers.board import Seat
from imagenetd.store.folders import read_sealed_record, write_record

if TYPE_CHECKING:
    from lightning import LightningModule

ORDER_FILE = "order.json"
Task = tuple[int, int, int]
"""Shard, index of the unit's first image, index after its last."""


class Counter(Protocol):
    """Is told how the work goes on."""

    def advance(self, num_items: int, *, gpu_gib: float = 0.0) -> None:
        """Count finished items, and learn the most GPU memory that this process has held."""

    def check(self) -> None:
        """Raise StoppedError when the work was called off."""


class Work(abc.ABC):
    """What is to be done in a long stage, by as many workers as there are.

    Nothing here depends on who works: a shard that is stored has a part in the folder, which is written last.
    """

    stage: str
    folder: Path
    """Of the stage: locked by the run, and `.work` below it belongs to the workers."""
    trainer: TrainerConfig
    precision: str | None = None
    """Of Lightning."""
    needs_lightning = True
    """False: the work needs no torch, whose import takes seconds."""

    @abc.abstractmethod
    def order(self) -> Record:
        """Return what another process needs to know, beside the config, to do the same."""

    @abc.abstractmethod
    def missing(self) -> list[int]:
        """Return the shards that are not stored, by looking into the folder."""

    @abc.abstractmethod
    def is_missing(self, shard: int) -> bool:
        """Tell whether one shard is not stored."""

    @abc.abstractmethod
    def num_items(self, shards: Iterable[int]) -> int:
        """Return how many images some shards have."""

    @abc.abstractmethod
    def module(self, shards: Iterable[int], seat: Seat) -> "LightningModule":
        """Return the module whose `predict_step` makes and stores some shards; what is loaded stays loaded.

        Args:
            shards: Asked for one at a time.
            seat: Of this worker.
        """

    def do_without_lightning(self, shards: Iterable[int], seat: Seat, counter: Counter) -> None:
        """Make some shards in plain Python, where `needs_lightning` is False."""
        raise NotImplementedError

    def close(self) -> None:  # noqa: B027 - most have nothing to give back
        """Give back what is loaded."""


class UnitWork(Work):
    """Work whose shards are made unit by unit; a unit that is stored survives a kill."""

    @abc.abstractmethod
    def begin(self, device: str, seat: Seat) -> None:
        """Read the weights, unless they are read, and start the writer, in this process."""

    @abc.abstractmethod
    def tasks(self, shard: int) -> Iterator[Task]:
        """Yield the units of a shard."""

    @abc.abstractmethod
    def make(self, task: Task) -> None:
        """Make one unit and hand it to the writer, unless an interrupted run has stored it already."""

    @abc.abstractmethod
    def end(self) -> None:
        """Wait until all is stored."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Write nothing more: the loop was left between two units."""


@dataclass(frozen=True, slots=True)
class Order:
    """The content of `order.json`."""

    stage: str
    config: Config
    facts: Record
    """As `Work.order` returned it."""


def write_order(work: Work, config: Config) -> None:
    """Leave word of what is to be done in the folder of the stage, for workers of other processes and machines."""
    plain: Any = OmegaConf.to_container(OmegaConf.structured(config), enum_to_str=True)
    content = {"stage": work.stage, "config": plain, "facts": work.order(), "cwd": os.getcwd()}
    write_record(work.folder / ORDER_FILE, content)


def read_order(folder: Path) -> Order:
    """Return what is to be done in a folder; StoreError where nothing was ordered."""
    record = read_sealed_record(
        folder / ORDER_FILE, {"stage": str, "config": dict, "facts": dict, "cwd": str}
    )
    with contextlib.suppress(OSError):  # another machine need not have that folder
        os.chdir(record["cwd"])  # every path of a config is meant from there
    config: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), record["config"]))
    return Order(record["stage"], config, record["facts"])


def shown_shares(numbers: Iterable[int], *, kind: str = "processes") -> str:
    """Return who took how much, e.g. `2 processes took 8 to 9 shards each`."""
    taken = sorted(numbers)
    span = f"{taken[0]}" if taken[0] == taken[-1] else f"{taken[0]} to {taken[-1]}"
    return f"{len(taken)} {kind} took {span} shards each"


def no_memory() -> WorkerError:
    """Return what to say where no memory was left."""
    return WorkerError(
        "There was no memory left for this run or for another process of it. Use fewer with trainer.num_workers=0 "
        "and trainer.devices=1, or smaller batches. What is finished is kept: the same command goes on from here."
    )
