"""SLURM's own commands: `sbatch`, `squeue`, `scontrol` and `scancel`; no accounting database is asked."""

import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from imagenetd.errors import ConfigError, WorkerError

TIMEOUT_S = 120.0
"""SLURM's own clients wait for a busy controller for up to 100 s."""
OVER = (
    "COMPLETED",
    "COMPLETING",
    "CANCELLED",
    "FAILED",
    "TIMEOUT",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
)


def require_slurm() -> None:
    """Raise ConfigError where jobs cannot be submitted."""
    if lacking := [name for name in ("sbatch", "squeue") if shutil.which(name) is None]:
        raise ConfigError(
            f"executor=slurm_array submits jobs, but there is no {lacking[0]} on this machine's PATH. Start the "
            "command on a login node of a SLURM cluster, or choose executor=local."
        )


def submit(script: Path, *, after: Sequence[str] = ()) -> str:
    """Submit a script and return the number of its job.

    Args:
        script: With its own `#SBATCH` lines.
        after: Jobs that must have ended, however they did.
    """
    order = [f"--dependency=afterany:{':'.join(after)}"] if after else []
    answer = _run("sbatch", "--parsable", *order, str(script))
    found = re.match(r"(\d+)", answer.stdout)
    if answer.returncode or found is None:
        raise WorkerError(f"sbatch did not take {script}: {_reason(answer)}. Nothing of it runs.")
    return found[1]


def waiting_or_running(jobs: Iterable[str]) -> set[str]:
    """Return those of some jobs that are not over; one that squeue no longer knows is over."""
    asked = sorted(set(jobs))
    if not asked:
        return set()
    answer = _run("squeue", "--noheader", f"--jobs={','.join(asked)}", "--format=%F %T")
    if answer.returncode and "Invalid job id" not in answer.stderr:
        raise WorkerError(
            f"squeue does not say whether jobs {', '.join(asked)} of this stage are over: {_reason(answer)}. "
            "Start the same command again when it answers."
        )
    lines = [line.split() for line in answer.stdout.splitlines()]
    return {line[0] for line in lines if len(line) == 2 and line[1] not in OVER} & set(asked)


def max_array_size() -> int:
    """Return how many tasks one job array may have here."""
    answer = _run("scontrol", "show", "config")
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", answer.stdout, re.MULTILINE)
    if found is None:
        raise WorkerError(
            f"scontrol show config does not say MaxArraySize: {_reason(answer)}. Set executor.max_array_size."
        )
    return max(1, int(found[1]))


def cancel(jobs: Iterable[str]) -> None:
    """Take jobs out of the queue."""
    _run("scancel", *jobs)


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except FileNotFoundError as error:
        raise ConfigError(f"There is no {command[0]} on the PATH of this machine.") from error
    except subprocess.TimeoutExpired as error:
        raise WorkerError(
            f"{command[0]} did not answer within {TIMEOUT_S:.0f} s. Start the same command again when SLURM does."
        ) from error


def _reason(answer: "subprocess.CompletedProcess[str]") -> str:
    said = " ".join((answer.stderr or answer.stdout).split()).rstrip(".")
    return said[:300] or f"it said nothing (code {answer.returncode})"
