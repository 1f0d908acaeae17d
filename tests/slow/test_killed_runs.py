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


def start(root: Path, folder: Path, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, str(root / "run.py"), *OPTIONS, f"paths.output_dir={folder}", *options]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def finish(root: Path, folder: Path, *options: str) -> float:
    started = time.perf_counter()
    process = start(root, folder, *options)
    shown, _ = process.communicate(timeout=900)
    assert process.returncode == 0, shown
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
    num_killed = 0
    while num_killed < 5:
        process = start(root, tmp_path)
        try:
            process.wait(moments.uniform(0.15, 0.7) * seconds)
            break  # it came to its end before it could be killed
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            num_killed += 1
    assert num_killed >= 3
    finish(root, tmp_path)
    assert kept(tmp_path) == kept(folder)


def test_two_processes_end_with_the_results_of_one(
    root: Path, tmp_path: Path, straight: tuple[Path, float]
) -> None:
    finish(root, tmp_path, "trainer.devices=2")
    assert kept(tmp_path) == kept(straight[0])
