"""The shipped command on the shipped models, killed with SIGKILL at five random moments, against a straight run."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.test_crash import results

pytestmark = pytest.mark.slow

OPTIONS = ["num_images_per_cell=1", "logger=none", "report.plot=false", "generator.unit_size=8"]


def start(root: Path, folder: Path, *options: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, str(root / "run.py"), *OPTIONS, f"paths.output_dir={folder}", *options]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True)


def finish(root: Path, folder: Path, *options: str) -> float:
    started = time.perf_counter()
    assert start(root, folder, *options).wait(timeout=900) == 0
    return time.perf_counter() - started


def kept(folder: Path) -> dict[str, object]:
    """Return what the stages left behind, without Hydra's own notes."""
    return {name: value for name, value in results(folder).items() if not name.startswith("hydra/")}


@pytest.fixture(scope="module")
def straight(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    folder = tmp_path_factory.mktemp("straight")
    return folder, finish(root, folder)


def test_a_run_killed_five_times_ends_with_the_results_of_a_straight_run(
    root: Path, tmp_path: Path, straight: tuple[Path, float]
) -> None:
    folder, seconds = straight
    moments = random.Random(0)
    output_dir, num_killed = tmp_path / "0", 0
    for attempt in range(10):
        process = start(root, output_dir)
        time.sleep(moments.uniform(0.05, 0.45) * seconds)
        if process.poll() is not None:  # the machine got faster and this run came to its end: begin another
            output_dir = tmp_path / f"{attempt + 1}"
            continue
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        num_killed += 1
        if num_killed == 5:
            break
    assert num_killed == 5
    finish(root, output_dir)
    assert kept(output_dir) == kept(folder)


def test_two_processes_end_with_the_results_of_one(
    root: Path, tmp_path: Path, straight: tuple[Path, float]
) -> None:
    finish(root, tmp_path, "trainer.devices=2")
    assert kept(tmp_path) == kept(straight[0])
