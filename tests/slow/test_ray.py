"""One run on three nodes of a real Ray: the bytes and tables of a local run, whoever is killed or stopped."""

import importlib.util
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
from typing import Any

import pytest

from imagenetd.errors import ConfigError
from imagenetd.stages.executors.ray_cluster import connect
from tests.test_crash import job, results
from tests.test_pipeline import run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra `ray` is not installed"),
]
TIMEOUT_S = 500.0
NUM_KILLS = 20
CODE = """
import json, sys
from pathlib import Path
from tests.test_crash import job
from tests.test_pipeline import run
folder, address, naps, options, stages = sys.argv[1:]
made = job(Path(folder))
made.stages = made.stages[: int(stages)]
made.executor = {
    "_target_": "imagenetd.stages.executors.ray_cluster.RayExecutor", "address": address, **json.loads(options)
}
naps = json.loads(naps)
if naps:
    made.generator |= {"_target_": "tests.sleepers.SleepingGenerator", "nap_s": naps[0]}
    for spec in (*made.surrogates.values(), made.target):
        spec |= {"_target_": "tests.sleepers.SleepingClassifier", "nap_s": naps[1]}
run(made)
"""


class Nodes:
    """Three node processes of this machine."""

    def __init__(self) -> None:
        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
        )
        self.others = [self.cluster.add_node(num_cpus=1) for _ in range(2)]
        self.address = self.cluster.address

    def kill_one(self, moments: random.Random) -> None:
        """SIGKILL every process of a node that is not the head, and let another node come in its place."""
        lost = self.others.pop(moments.randrange(len(self.others)))
        self.cluster.remove_node(lost, allow_graceful=False)
        self.others.append(self.cluster.add_node(num_cpus=1))


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    made = Nodes()
    yield made
    made.cluster.shutdown()


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("straight")
    run(job(folder))
    return folder


def started(
    root: Path, folder: Path, address: str, *, num_stages: int = 3, **options: Any
) -> "subprocess.Popen[str]":
    """Start a run; `naps` are the seconds that its generator and its models sleep over each unit and batch."""
    naps = options.pop("naps", None)
    arguments = [str(folder), address, json.dumps(naps), json.dumps(options), str(num_stages)]
    command = [sys.executable, "-c", CODE, *arguments]
    return subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def ended(process: "subprocess.Popen[str]", *, code: int = 0) -> str:
    try:
        shown, _ = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(process.communicate()[0]) from None
    assert process.returncode == code, shown
    return shown


def kept(folder: Path) -> dict[str, object]:
    """Return what the first three stages leave behind."""
    places = ("prompts/", "pools/", "predictions/")
    return {name: value for name, value in results(folder).items() if name.startswith(places)}


def workers(folder: Path) -> list[int]:
    """Return the processes that work at a stage now, by their signs."""
    found = []
    for path in folder.glob("p*s/*/.work/signs/*"):
        try:
            sign = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if not sign["is_ended"] and Path(f"/proc/{sign['pid']}").exists():
            found.append(int(sign["pid"]))
    return found


def test_three_nodes_give_the_bytes_and_the_numbers_of_one_process(
    root: Path, tmp_path: Path, nodes: Nodes, straight: Path
) -> None:
    shown = ended(started(root, tmp_path, nodes.address, num_stages=7))
    assert results(tmp_path) == results(straight)
    assert not list(tmp_path.rglob(".work"))
    assert not re.search(r"raylet|pid=|INFO|WARNING", shown), shown


def test_actors_and_nodes_killed_twenty_times_leave_the_results_of_a_straight_run(
    root: Path, tmp_path: Path, nodes: Nodes, straight: Path
) -> None:
    """Most kills hit an actor's process, every fifth a whole node; at least five fall into `predict`."""
    moments, killed = random.Random(0), {"pools": 0, "predictions": 0}
    process = started(root, tmp_path, nodes.address, naps=(0.4, 0.4), max_losses=100)
    deadline = time.monotonic() + TIMEOUT_S
    while sum(killed.values()) < NUM_KILLS and process.poll() is None and time.monotonic() < deadline:
        time.sleep(moments.uniform(0.2, 1.0))
        found = workers(tmp_path)
        stage = "predictions" if list(tmp_path.glob("predictions/*/.work")) else "pools"
        if not found or (stage == "pools" and killed["pools"] >= NUM_KILLS - 6):
            continue
        if sum(killed.values()) % 5 == 4:
            nodes.kill_one(moments)
        else:
            os.kill(moments.choice(found), signal.SIGKILL)
        killed[stage] += 1
    shown = ended(process)
    assert killed["pools"] == NUM_KILLS - 6 and killed["predictions"] >= 5, (killed, shown)
    assert sum(killed.values()) == NUM_KILLS, (killed, shown)
    assert "another takes its place" in shown
    assert kept(tmp_path) == kept(straight)


def test_an_actor_that_is_stopped_is_replaced(
    root: Path, tmp_path: Path, nodes: Nodes, straight: Path
) -> None:
    process = started(root, tmp_path, nodes.address, naps=(0.2, 0.0), lost_after_s=10.0, slow_factor=0.0)
    found: list[int] = []
    while not found and process.poll() is None:
        found = workers(tmp_path)
        time.sleep(0.01)
    os.kill(found[0], signal.SIGSTOP)
    shown = ended(process)
    assert "was ended after 10 s without a sign of life: another takes its place" in shown
    assert kept(tmp_path) == kept(straight)
    assert not Path(f"/proc/{found[0]}").exists()


def test_actors_that_wait_for_room_are_not_taken_for_lost(
    root: Path, tmp_path: Path, nodes: Nodes, straight: Path
) -> None:
    """Three of six have room; the others wait for longer than `lost_after_s`, and the run does not wait for them."""
    options = {"naps": (1.0, 0.0), "num_stages": 2, "num_workers": 6, "lost_after_s": 10.0}
    shown = ended(started(root, tmp_path, nodes.address, **options))
    assert "was ended" not in shown
    theirs = {name: value for name, value in kept(straight).items() if not name.startswith("predictions/")}
    assert kept(tmp_path) == theirs


def test_what_no_node_has_is_told(root: Path, tmp_path: Path, nodes: Nodes) -> None:
    shown = ended(started(root, tmp_path, nodes.address, num_gpus=1, join_timeout_s=3.0), code=1)
    assert "WorkerError: The Ray cluster had no room for a worker (1 CPU, 1 GPU) within 3 s" in shown


def test_the_errors_of_an_actor_are_one_line(root: Path, tmp_path: Path, nodes: Nodes) -> None:
    command = [
        *(sys.executable, "run.py", "executor=ray", f"executor.address={nodes.address}"),
        *("generator._target_=tests.sleepers.FailingGenerator", "stages=[prompts,generate]"),
        *("generator=render", "num_images_per_cell=6", f"paths.output_dir={tmp_path}"),
    ]
    made = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert made.returncode == 1
    assert "error: A process of this run ended in ZeroDivisionError: planted" in made.stdout + made.stderr


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_a_cluster_that_is_not_there_is_told_within_half_a_minute(address: str) -> None:
    started_at = time.monotonic()
    with pytest.raises(ConfigError, match=f"No Ray cluster listens at {address} .Connection refused."):
        connect(address)
    assert time.monotonic() - started_at < 30


def test_an_interrupt_ends_the_run_and_the_cluster_that_it_started(root: Path, tmp_path: Path) -> None:
    process = started(root, tmp_path, "local", naps=(1.0, 0.0), num_workers=2)
    while not workers(tmp_path) and process.poll() is None:
        time.sleep(0.1)
    found = workers(tmp_path)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in found) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(Path(f"/proc/{pid}").exists() for pid in found)
