"""One run on two nodes of a real SLURM, and a job array: the pool, the keys and the tables of a local run."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

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
