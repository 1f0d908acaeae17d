"""Where this process stands among those that srun or torchrun started."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from imagenetd.errors import ConfigError
from imagenetd.stages.workers.board import node_name


@dataclass(frozen=True, slots=True)
class Place:
    """One process of a launch."""

    rank: int
    """0 leads."""
    local_rank: int
    """Among the processes of this machine."""
    world_size: int
    launch: str
    """Names the launch: the same for all of its processes, another after a requeue."""
    host: str


_VARIABLES = {
    "srun": ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS"),
    "torchrun": ("RANK", "LOCAL_RANK", "WORLD_SIZE"),
}
_LAUNCH = {
    "srun": ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT"),
    "torchrun": ("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RESTART_COUNT"),
}


def find_place(launcher: str, environment: Mapping[str, str] = os.environ) -> Place:
    """Read the variables that the launcher sets; ConfigError when it did not start this process."""
    names = _VARIABLES[launcher]
    lacking = [name for name in names if not environment.get(name, "").isdigit()]
    if lacking:
        raise ConfigError(
            f"executor.launcher={launcher}, but {launcher} did not start this process ({lacking[0]} is not "
            f"set). Start it as `{launcher} ... python run.py ...`, or choose executor=local."
        )
    rank, local_rank, world_size = (int(environment[name]) for name in names)
    parts = [environment.get(name, "0") for name in _LAUNCH[launcher]]
    return Place(rank, local_rank, world_size, "-".join([launcher, *parts]), node_name(environment))


def is_follower(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether a launcher started this process as another than the first."""
    return any(environment.get(names[0], "0") not in ("", "0") for names in _VARIABLES.values())


def num_tasks_beside(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many processes the launcher started in all; 1 without a launcher."""
    sizes = [environment.get(names[2], "") for names in _VARIABLES.values()]
    return max([1, *(int(size) for size in sizes if size.isdigit())])
