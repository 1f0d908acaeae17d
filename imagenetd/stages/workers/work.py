"""A long stage as a worker sees it: shards that anybody can make alone, in any order, with the same bytes."""

import abc
import contextlib
import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from omegaconf import OmegaConf

from imagenetd.config.schema import Config, TrainerConfig
from imagenetd.records import Record
from imagenetd.stages.workers.board import Seat
from imagenetd.store.folders import read_sealed_record, write_record

ORDER_FILE = "order.json"


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
    def do(self, shards: Iterable[int], seat: Seat, counter: Counter) -> None:
        """Make some shards and store them; what is loaded stays loaded.

        Args:
            shards: Asked for one at a time.
            seat: Of this worker.
            counter: Is told what is finished, and may end the work at a unit's edge.
        """

    def close(self) -> None:  # noqa: B027 - most have nothing to give back
        """Give back what is loaded."""


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


def this_machine() -> str:
    """Return the name of this machine."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def one_by_one(shards: Iterable[int], counter: Counter) -> Iterator[int]:
    """Yield shards, and stop between two of them when the work was called off."""
    for shard in shards:
        counter.check()
        yield shard
