"""What leader and followers do in a long stage, and when a launch begins and ends."""

import atexit
import contextlib
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagenetd.config.schema import TrainerConfig
from imagenetd.errors import ConfigError, UserError, WorkerError
from imagenetd.stages.workers.team.follower import Follower, StoppedError
from imagenetd.stages.workers.team.leader import Leader
from imagenetd.stages.workers.team.meeting import join_leader
from imagenetd.stages.workers.team.place import Place, check_size, find_place
from imagenetd.stages.workers.trainer import LongStage, errors_in_one_line, make_trainer
from imagenetd.store.console import say
from imagenetd.store.locks import working_in

if TYPE_CHECKING:
    import lightning

_leaders: dict[str, Leader] = {}
"""The one leader of this process: it outlives a job, so that the jobs of a sweep have the same followers."""


def lead(config: TrainerConfig, output_dir: Path) -> None:
    """Listen for the other processes of this launch, until this process ends."""
    place = find_place(config.launcher)
    check_size(place, config.devices, config.num_nodes, os.environ)
    if not _leaders:
        _leaders[place.launch] = Leader(place, output_dir, join_timeout_s=config.join_timeout_s)
        atexit.register(_leaders[place.launch].disband)


def follow(config: TrainerConfig, output_dir: Path) -> None:
    """Work for the leader of this launch until it has no more work; WorkerError when it is not there."""
    place = find_place(config.launcher)
    check_size(place, config.devices, config.num_nodes, os.environ)
    follower = Follower(place, join_leader(output_dir, place, timeout_s=config.join_timeout_s))
    for payload in follower.stages():
        follower.ended(_work(follower, payload))


def abandon() -> None:
    """Send the followers home at once, because the user wants this process to end now."""
    for leader in _leaders.values():
        atexit.unregister(leader.disband)
        leader.disband(waits=False)
    _leaders.clear()


def _work(follower: Follower, payload: bytes) -> str | None:
    """Take part in a long stage; return what went wrong."""
    try:
        long: LongStage = pickle.loads(payload)
        with working_in(long.folder):
            follower.check_stop()  # the leader still holds the folder, so nobody else does
            trainer = _team_trainer(long, follower.place, follower.take, follower.check_stop)
            with errors_in_one_line(long.module):
                trainer.predict(long.module, return_predictions=False)
    except StoppedError:
        return None
    except WorkerError:
        raise
    except UserError as error:
        return str(error)
    except Exception as error:
        follower.ended(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
        raise
    return None


@contextlib.contextmanager
def leading_trainer(long: LongStage, tasks: Sequence[int]) -> "Iterator[lightning.Trainer]":
    """Share the tasks with the followers: give the trainer for the leader's part, and end when all parts are done."""
    if not _leaders:
        raise ConfigError(f"trainer.launcher={long.config.launcher.value} works with run.py only.")
    (leader,) = _leaders.values()
    timeout_s = long.config.timeout_s
    leader.begin(pickle.dumps(long), tasks)
    try:
        trainer = _team_trainer(long, leader.place, leader.take, lambda: None)
        with errors_in_one_line(long.module):
            yield trainer
    except Exception:
        leader.stop()
        leader.wait_until_idle(timeout_s=timeout_s)
        raise
    shares = leader.end(timeout_s=timeout_s)
    if leader.place.world_size > 1:
        say(f"{long.stage:<9} {_shown(shares)}", style="dim")


def _shown(shares: dict[int, int]) -> str:
    """Return who took how much, e.g. `2 processes took 8 to 9 shards each`."""
    numbers = sorted(shares.values())
    span = (
        f"{numbers[0]} to {numbers[-1]} shards each"
        if numbers[0] != numbers[-1]
        else f"{numbers[0]} shards each"
    )
    return f"{len(numbers)} processes took {span}"


def _team_trainer(
    long: LongStage, place: Place, take: Callable[[], int | None], check: Callable[[], None]
) -> "lightning.Trainer":
    from imagenetd.stages.workers.team.strategy import CheckBetweenUnits, TeamStrategy

    index, device = _device(long.config, place)
    strategy = TeamStrategy(device, place, take)
    return make_trainer(long, devices=index, strategy=strategy, callbacks=[CheckBetweenUnits(check)])


def _device(config: TrainerConfig, place: Place) -> tuple[Any, Any]:
    """Return the device of this process: the only GPU that it sees, or the one of its number on this machine."""
    import torch

    if config.accelerator == "cpu":
        return 1, torch.device("cpu")
    count = torch.cuda.device_count()
    if count > 1 and place.local_rank >= count:
        raise ConfigError(
            f"{place.host} has {count} GPUs, but process {place.rank} is number {place.local_rank + 1} there. "
            f"Start {count} processes on each node."
        )
    index = place.local_rank if count > 1 else 0
    return [index], torch.device("cuda", index)
