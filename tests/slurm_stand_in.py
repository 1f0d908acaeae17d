"""A queue in place of SLURM's: `sbatch` runs the scripts as processes of this machine, `squeue` says which are over.

Called by the names of SLURM's commands. What it knows lies in the folder `SLURM_STAND_IN`: `max_array_size` is what
`scontrol` says, and while `hold` is there no job starts.
"""

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

SPOOL = Path(os.environ.get("SLURM_STAND_IN", "/nonexistent"))
COMMANDS = ("sbatch", "squeue", "scontrol", "scancel")


def install(folder: Path, *, max_array_size: int = 1001) -> dict[str, str]:
    """Put the commands into a folder; return the environment in which they are found."""
    (folder / "bin").mkdir(parents=True)
    (folder / "spool").mkdir()
    (folder / "spool" / "max_array_size").write_text(str(max_array_size))
    for name in COMMANDS:
        path = folder / "bin" / name
        path.write_text(
            f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(__file__)} {name} "$@"\n'
        )
        path.chmod(0o755)
    search = f"{folder / 'bin'}:{os.environ['PATH']}"
    return {**os.environ, "PATH": search, "SLURM_STAND_IN": str(folder / "spool")}


def wait_until_empty(environment: dict[str, str], *, timeout_s: float) -> None:
    """Come back when no job waits or runs."""
    spool, deadline = Path(environment["SLURM_STAND_IN"]), time.monotonic() + timeout_s
    while any(not is_over(job) for job in jobs_of(spool)):
        assert time.monotonic() < deadline, [job.name for job in jobs_of(spool) if not is_over(job)]
        time.sleep(0.05)


def jobs_of(spool: Path) -> list[Path]:
    """Return the folders of all jobs, in their order."""
    return sorted((path for path in spool.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))


def is_over(job: Path) -> bool:
    """Tell whether a job has ended, or its process was killed."""
    if (job / "over").exists():
        return True
    try:
        os.kill(int((job / "pid").read_text() or "0"), 0)
    except (FileNotFoundError, ValueError):
        return False
    except ProcessLookupError:
        return True
    return False


def sbatch(arguments: list[str]) -> None:
    script = Path(arguments[-1])
    after = next((one.split(":")[1:] for one in arguments if one.startswith("--dependency=")), [])
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=(.*)$", script.read_text(), re.MULTILINE))
    tasks = re.fullmatch(r"0-(\d+)(?:%(\d+))?", options.get("array", "0-0"))
    assert tasks is not None, options
    if int(tasks[1]) >= int((SPOOL / "max_array_size").read_text()):
        print("sbatch: error: Batch job submission failed: Invalid job array specification", file=sys.stderr)
        raise SystemExit(1)
    job = SPOOL / str(101 + len(jobs_of(SPOOL)))
    job.mkdir()
    (job / "script").write_text(script.read_text())
    process = subprocess.Popen(
        [sys.executable, __file__, "run", job.name, str(int(tasks[1]) + 1), tasks[2] or "2", *after],
        start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    (job / "pid").write_text(str(process.pid))
    print(job.name)


def run(arguments: list[str]) -> None:
    job, count, at_once = SPOOL / arguments[0], int(arguments[1]), int(arguments[2])
    while (SPOOL / "hold").exists() or not all(is_over(SPOOL / other) for other in arguments[3:]):
        time.sleep(0.05)
    text = (job / "script").read_text()
    is_array = "#SBATCH --array=" in text
    output = re.search(r'^#SBATCH --output="?([^"\n]*)"?$', text, re.MULTILINE)
    assert output is not None
    running: list[subprocess.Popen[bytes]] = []
    for task in range(count):
        while len([one for one in running if one.poll() is None]) >= at_once:
            time.sleep(0.01)
        log = output[1].replace("%A", job.name).replace("%j", job.name).replace("%a", str(task))
        own = {
            "SLURM_JOB_ID": str(int(job.name) * 1000 + task) if is_array else job.name,
            "SLURM_PROCID": "0",
        }
        own |= {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_JOB_ID": job.name} if is_array else {}
        with open(log, "ab") as stream:
            running.append(
                subprocess.Popen(
                    ["bash", str(job / "script")],
                    env={**os.environ, **own},
                    stdout=stream,
                    stderr=stream,
                )
            )
        (job / f"pid-{task}").write_text(str(running[-1].pid))
    codes = [one.wait() for one in running]
    (job / "over").write_text(" ".join(map(str, codes)))


def squeue(arguments: list[str]) -> None:
    asked = next(one.removeprefix("--jobs=").split(",") for one in arguments if one.startswith("--jobs="))
    known = [SPOOL / name for name in asked if (SPOOL / name).is_dir()]
    if not known:
        print("slurm_load_jobs error: Invalid job id specified", file=sys.stderr)
        raise SystemExit(1)
    for job in known:
        if not is_over(job):
            print(job.name, "RUNNING" if list(job.glob("pid-*")) else "PENDING")


def scontrol(arguments: list[str]) -> None:
    print(f"Configuration data\nMaxArraySize            = {(SPOOL / 'max_array_size').read_text()}")


def scancel(arguments: list[str]) -> None:
    for name in arguments:
        os.killpg(int((SPOOL / name / "pid").read_text()), 15)
        (SPOOL / name / "over").write_text("cancelled")


if __name__ == "__main__":
    {"sbatch": sbatch, "run": run, "squeue": squeue, "scontrol": scontrol, "scancel": scancel}[sys.argv[1]](
        sys.argv[2:]
    )
