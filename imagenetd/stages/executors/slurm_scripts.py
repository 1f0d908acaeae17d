"""The sbatch scripts of a run: what a user would write, kept where he can read them."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import imagenetd
from imagenetd.config.groups import Options
from imagenetd.config.ranges import MayBeEmpty, Range
from imagenetd.config.schema import CONF_DIR
from imagenetd.errors import ConfigError

PACKAGE_ROOT = Path(imagenetd.__file__).resolve().parents[1]
SWEEPS = ("hydra.mode", "hydra.sweep", "hydra/launcher", "hydra.launcher", "hydra/sweeper", "hydra.sweeper")
"""Begin the options of Hydra that a job of a sweep does not need when it goes on alone."""


@dataclass(frozen=True, slots=True)
class JobOptions(Options):
    """What every job asks SLURM for; null leaves it to the cluster."""

    partition: str | None = None
    account: str | None = None
    time_min: Annotated[int | None, Range(1, 527_040)] = None
    cpus_per_task: Annotated[int | None, Range(1, 4096)] = None
    gpus_per_task: Annotated[int, Range(0, 1)] = 0
    mem_gb: Annotated[int | None, Range(1, 100_000)] = None
    setup: Annotated[list[str], MayBeEmpty()] = field(default_factory=list)
    sbatch: Annotated[list[str], MayBeEmpty()] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Raise ConfigError for what cannot stand in a script."""
        super(JobOptions, self).__post_init__()
        for name in ("partition", "account"):
            word = getattr(self, name)
            if word is not None and (not word or not word.isprintable() or " " in word):
                raise ConfigError(f"executor.{name}={word!r} is no name. Give one, or null.")
        for name in ("setup", "sbatch"):
            for line in getattr(self, name):
                if not line.strip() or "\n" in line or "\0" in line:
                    raise ConfigError(
                        f"executor.{name} holds {line!r}: each entry must be one line of a script."
                    )
        for line in self.sbatch:
            if not line.removeprefix("#SBATCH").strip().startswith("-"):
                raise ConfigError(
                    f"executor.sbatch holds {line!r}, but an option of sbatch starts with a hyphen, e.g. --qos=long."
                )

    def head(self, *, name: str, log: Path, uses_gpu: bool) -> list[str]:
        """Return the first lines of a script.

        Args:
            name: Of the job.
            log: File of what it prints, with SLURM's own signs such as %j.
            uses_gpu: Whether it is one that computes.
        """
        place = str(log.parent).replace("%", "%%")
        asked = {
            "job-name": name,
            "output": f'"{place}/{log.name}"',
            "open-mode": "append",
            "ntasks": 1,
            "partition": self.partition,
            "account": self.account,
            "time": self.time_min,
            "cpus-per-task": self.cpus_per_task,
            "mem": None if self.mem_gb is None else f"{self.mem_gb}G",
            "gpus-per-task": self.gpus_per_task if uses_gpu and self.gpus_per_task else None,
        }
        lines = [f"--{option}={value}" for option, value in asked.items() if value is not None]
        lines += [line.removeprefix("#SBATCH").strip() for line in self.sbatch]
        return ["#!/bin/bash", *(f"#SBATCH {line}" for line in lines)]


def array_option(count: int, *, at_once: int | None) -> str:
    """Return the line of a script that makes it an array.

    Args:
        count: Tasks of this array.
        at_once: So many may run at a time; None: as many as the cluster gives.
    """
    return f"#SBATCH --array=0-{count - 1}" + (f"%{at_once}" if at_once else "")


def array_script(head: Sequence[str], *, setup: Sequence[str], worker: Sequence[str], first: int) -> str:
    """Return the script of one job array.

    Args:
        head: First lines.
        setup: Lines before the command.
        worker: The command of a task, without its number.
        first: Number of the array's first task among all tasks of the stage.
    """
    number = f"$(({first} + SLURM_ARRAY_TASK_ID))" if first else "$SLURM_ARRAY_TASK_ID"
    return _text(head, setup, f"{shlex.join(worker)} --task {number}")


def next_script(head: Sequence[str], *, setup: Sequence[str], command: Sequence[str]) -> str:
    """Return the script that starts the command of the run again."""
    return _text(head, setup, shlex.join(command))


def _text(head: Sequence[str], setup: Sequence[str], command: str) -> str:
    body = [
        f"cd {shlex.quote(str(Path.cwd()))} || exit 1",
        f'export PYTHONPATH={shlex.quote(str(PACKAGE_ROOT))}"${{PYTHONPATH:+:$PYTHONPATH}}"',
        *setup,
        f"exec {command}",
    ]
    return "\n".join([*head, "", *body, ""])


def command_of_this_run() -> list[str]:
    """Return the command that goes on with this run: its own; in a sweep that of its job, as a run of its own."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if not HydraConfig.initialized():
        raise ConfigError(
            "executor=slurm_array goes on by starting run.py again, which did not start this run."
        )
    config = HydraConfig.get()
    command = [sys.executable, str(CONF_DIR.parent / "run.py")]
    for source in config.runtime.config_sources:
        if source.provider == "command-line":
            command.append(f"--config-dir={source.path}")
        elif source.provider == "main" and Path(source.path) != CONF_DIR:
            command.append(f"--config-path={source.path}")
    if config.job.config_name not in (None, "config"):
        command.append(f"--config-name={config.job.config_name}")
    of_hydra = [one for one in config.overrides.hydra if not one.lstrip("+~").startswith(SWEEPS)]
    number = [f"hydra.job.num={config.job.num}"] if config.mode == RunMode.MULTIRUN else []
    return [*command, *config.overrides.task, *of_hydra, *number]
