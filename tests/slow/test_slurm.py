"""One run on two nodes of a real SLURM, by srun and by job arrays: the pool, the keys and the tables of a local run."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagenetd.stages.executors.slurm_array import read_submission
from tests.slow.slurm_cluster import Cluster, missing_programs, running_cluster
from tests.test_crash import results

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(missing_programs()), reason=f"SLURM is not installed: {missing_programs()} missing"
    ),
]

FEW = [
    "nuisances.background=[beach-s,street-s]",
    "nuisances.texture=[striped]",
    "nuisances.material=[fire,wood]",
]
OPTIONS = [*FEW, "num_images_per_cell=2", "generator.unit_size=4", "logger=none", "report.plot=false"]
ON_CPU = ["trainer.accelerator=cpu", "trainer.num_threads=1", "trainer.channels_last=false"]
TIMEOUT_S = 400.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture(scope="module")
def local(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process on this machine makes of the two targets."""
    folder = tmp_path_factory.mktemp("local")
    for target in ("tiny_resnet", "tiny_clip"):
        command = [sys.executable, "run.py", *OPTIONS, f"target={target}", f"paths.output_dir={folder}"]
        subprocess.run(command, cwd=root, check=True, capture_output=True, timeout=TIMEOUT_S)
    return folder


def kept(folder: Path) -> dict[str, object]:
    """Return what the stages left behind, without Hydra's own notes."""
    return {name: value for name, value in results(folder).items() if not name.startswith("hydra/")}


def of_one_target(folder: Path, without: str) -> dict[str, object]:
    """Return the pool and the predictions of all models but one; what depends on the target has another folder."""
    return {
        name: value
        for name, value in kept(folder).items()
        if name.startswith(("prompts/", "pools/", "predictions/")) and f"/{without}-" not in name
    }


def started(cluster: Cluster, root: Path, *options: str, num_nodes: int = 2) -> "subprocess.Popen[str]":
    command = [
        "srun",
        f"--nodes={num_nodes}",
        "--ntasks-per-node=1",
        "--cpus-per-task=1",
        "--kill-on-bad-exit=0",
    ]
    run = [sys.executable, "run.py", "executor=slurm", *ON_CPU, *OPTIONS, *options]
    return subprocess.Popen(
        [*command, *run],
        cwd=root,
        env=cluster.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: "subprocess.Popen[str]") -> str:
    try:
        shown, _ = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        shown, _ = process.communicate()
        raise AssertionError(shown) from None
    assert process.returncode == 0, shown
    return shown


def test_srun_on_two_nodes_gives_the_pool_and_the_tables_of_a_local_run(
    cluster: Cluster, root: Path, tmp_path: Path, local: Path
) -> None:
    shown = ended(started(cluster, root, f"paths.output_dir={tmp_path}"))
    assert len(re.findall(r"^generate +2 processes took", shown, re.MULTILINE)) == 1, shown
    assert len(re.findall(r"^report ", shown, re.MULTILINE)) == 1  # the other task says nothing
    assert len(list((tmp_path / "hydra").iterdir())) == 1  # and keeps no notes
    mine, theirs = kept(tmp_path), kept(local)
    assert len(mine) > 10 and mine == {name: theirs[name] for name in mine}
    assert of_one_target(tmp_path, "none") == of_one_target(local, "tiny_clip")


def test_a_run_killed_on_two_nodes_is_ended_by_one(
    cluster: Cluster, root: Path, tmp_path: Path, local: Path
) -> None:
    process = started(cluster, root, f"paths.output_dir={tmp_path}")
    deadline = time.monotonic() + TIMEOUT_S
    while not list(tmp_path.glob("pools/*/shards/*.tar")):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)
    cluster.run("scancel", "--signal=KILL", "--full", "--name=python")
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert not list(tmp_path.glob("*/summary.json"))
    ended(started(cluster, root, f"paths.output_dir={tmp_path}", num_nodes=1))
    assert of_one_target(tmp_path, "none") == of_one_target(local, "tiny_clip")


def test_a_job_array_gives_the_pool_and_the_tables_of_a_local_run(
    cluster: Cluster, root: Path, tmp_path: Path, local: Path
) -> None:
    launcher = [
        "hydra/launcher=submitit_slurm",
        "hydra.launcher.timeout_min=15",
        "hydra.launcher.cpus_per_task=1",
    ]
    places = [f"paths.output_dir={tmp_path / 'runs'}", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    command = [sys.executable, "run.py", "-m", "target=tiny_resnet,tiny_clip", *launcher, *OPTIONS, *places]
    array = subprocess.run(
        command,
        cwd=root,
        env=cluster.environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert array.returncode == 0, f"{array.stdout}\n{array.stderr}\n{cluster.logs()}"
    assert "comparison of 2 of 2 jobs" in array.stdout
    assert len(list((tmp_path / "sweep").glob("*/job.json"))) == 2
    assert kept(tmp_path / "runs") == kept(local)


ARRAY = ["executor=slurm_array", "executor.tasks=4", "executor.max_submissions=2", "target=tiny_resnet"]
FULL = """[ "$SLURMD_NODENAME" = n2 ] && ulimit -f 24"""
"""A quota of one node: the system refuses it every file of more than 24 KiB."""


def submitted(cluster: Cluster, root: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run the command on the login node."""
    command = [sys.executable, "run.py", *ARRAY, *ON_CPU, *OPTIONS, *options]
    return subprocess.run(
        command, cwd=root, env=cluster.environment, capture_output=True, text=True, timeout=120, check=False
    )


def jobs(cluster: Cluster) -> list[str]:
    shown = cluster.run("squeue", "--noheader", "--format=%F %T").stdout.splitlines()
    return [line.split()[0] for line in shown if not line.endswith("COMPLETING")]


def until_empty(cluster: Cluster, *, timeout_s: float = 3 * TIMEOUT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while jobs(cluster):
        assert time.monotonic() < deadline, cluster.run("squeue").stdout
        time.sleep(0.5)


def next_logs(folder: Path) -> str:
    paths = sorted(folder.rglob("slurm/*/next-*.log"), key=lambda path: path.stat().st_mtime)
    return "\n".join(path.read_text() for path in paths)


def test_job_arrays_on_two_nodes_give_the_pool_and_the_tables_of_a_local_run(
    cluster: Cluster, root: Path, tmp_path: Path, local: Path
) -> None:
    made = submitted(cluster, root, f"paths.output_dir={tmp_path}")
    assert made.returncode == 0, made.stdout + made.stderr
    assert re.search(
        r"^submitted: 15 shards of generate to 4 tasks of job array \d+; job \d+ then goes on",
        made.stdout,
        re.M,
    )
    again = submitted(cluster, root, f"paths.output_dir={tmp_path}")
    assert re.search(r"^already submitted: ", again.stdout, re.M), again.stdout + again.stderr
    until_empty(cluster)
    tasks = "".join(path.read_text() for path in tmp_path.rglob("slurm/001/task-*.log"))
    assert set(re.findall(r" on (n\d) took", tasks)) == {"n1", "n2"}, tasks
    mine, theirs = kept(tmp_path), kept(local)
    assert len(mine) > 10 and mine == {name: theirs[name] for name in mine}, next_logs(tmp_path)
    assert of_one_target(tmp_path, "none") == of_one_target(local, "tiny_clip")


def test_twenty_tasks_killed_are_made_up_for_by_one_submission_of_each_stage(
    cluster: Cluster, root: Path, tmp_path: Path, local: Path
) -> None:
    moments = random.Random(0)
    made = submitted(cluster, root, f"paths.output_dir={tmp_path}", "executor.tasks=14")
    assert made.returncode == 0, made.stdout + made.stderr
    killed: dict[str, set[int]] = {"pools": set(), "predictions": set()}
    deadline = time.monotonic() + 3 * TIMEOUT_S
    while any(len(pids) < 10 for pids in killed.values()):
        assert time.monotonic() < deadline and jobs(cluster), (killed, next_logs(tmp_path))
        for stage, pids in killed.items():
            for path in tmp_path.glob(f"{stage}/*/.work/signs/*"):
                try:
                    sign = json.loads(path.read_text())
                except (OSError, ValueError):  # just gone, or half written
                    continue
                if len(pids) < 10 and sign["pid"] not in pids and not sign["is_ended"]:
                    time.sleep(moments.uniform(0, 1))
                    try:
                        os.kill(sign["pid"], signal.SIGKILL)
                    except ProcessLookupError:  # came to its own end
                        continue
                    pids.add(sign["pid"])
        time.sleep(0.02)
    until_empty(cluster)
    numbers = []
    for place in (*tmp_path.glob("pools/*/slurm"), *tmp_path.glob("predictions/*/slurm")):
        last = read_submission(place.parent)
        assert last is not None
        numbers.append(
            last.number
        )  # a task that is killed while it reads its weights leaves nothing to make up for
    assert len(numbers) == 2 and max(numbers) == 2, next_logs(tmp_path)
    mine, theirs = kept(tmp_path), kept(local)
    assert len(mine) > 10 and mine == {name: theirs[name] for name in mine}
    assert of_one_target(tmp_path, "none") == of_one_target(local, "tiny_clip")
    assert submitted(cluster, root, f"paths.output_dir={tmp_path}", "executor.tasks=14").returncode == 0
    assert not jobs(cluster)


def test_without_the_job_that_goes_on_one_restart_of_the_command_does(
    cluster: Cluster, root: Path, tmp_path: Path, local: Path
) -> None:
    options = [f"paths.output_dir={tmp_path}", "stages=[prompts,generate]"]
    submitted(cluster, root, *options)
    (pool,) = tmp_path.glob("pools/*")
    last = read_submission(pool)
    assert last is not None
    cluster.run("scancel", *last.followers.values())
    until_empty(cluster)
    assert not (pool / "stage.json").exists()
    made = submitted(cluster, root, *options)
    assert made.returncode == 0 and "generate  120 images" in made.stdout, made.stdout + made.stderr
    pools = {name: value for name, value in kept(local).items() if name.startswith(("prompts/", "pools/"))}
    assert kept(tmp_path) == pools


def test_a_quota_that_one_node_has_used_up_is_told_with_node_and_folder_or_its_shards_go_elsewhere(
    cluster: Cluster, root: Path, tmp_path: Path
) -> None:
    too_large = r"Cannot write (\S+): the file is too large for this file system"
    shown = [f"executor.setup=['{FULL}']", f"paths.output_dir={tmp_path / 'array'}"]
    made = submitted(cluster, root, "stages=[prompts,generate]", *shown)
    assert made.returncode == 0, made.stdout + made.stderr
    until_empty(cluster)
    found = re.findall(rf"error: Task \d on n2: {too_large}", next_logs(tmp_path / "array"))
    assert len(found) == 1 and found[0].startswith(f"{tmp_path}/array/pools/")
    run = [sys.executable, "run.py", "executor=slurm", *ON_CPU, *OPTIONS, "stages=[prompts,generate]"]
    run.append(f"paths.output_dir={tmp_path / 'srun'}")
    srun = ["srun", "--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=1", "--kill-on-bad-exit=0"]
    ended = cluster.run(
        *srun, "--chdir", str(root), "bash", "-c", f'{FULL}; exec "$@"', "bash", *run, timeout_s=TIMEOUT_S
    )
    # the task of that node cannot begin, and the other one makes all shards
    assert ended.returncode != 0 and "generate  120 images" in ended.stdout, ended.stdout + ended.stderr
    assert "n2: task 1: Exited with exit code 1" in ended.stderr
    (found,) = re.findall(rf"error: {too_large}", ended.stderr)
    assert found.startswith(f"{tmp_path}/srun/")
