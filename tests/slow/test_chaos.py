"""Workers killed twenty times, one that hangs, a driver that is killed: the run ends, with equal bytes."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from torch import Tensor

from imagenetd.images.check import check_pool
from imagenetd.images.generators.generator import Picture
from imagenetd.images.generators.render import RenderGenerator
from imagenetd.records import Prompt
from tests.fakes import ColourClassifier
from tests.test_crash import job, results
from tests.test_pipeline import run

pytestmark = pytest.mark.slow

NUM_KILLS = 20
CODE = """
import sys, time
from pathlib import Path
from tests.test_crash import job
from tests.test_pipeline import run
made = job(Path(sys.argv[1]))
made.trainer.devices = 3
made.executor["lost_after_s"] = 3.0
made.generator["_target_"] = "tests.slow.test_chaos.SlowRenderer"
for spec in made.surrogates.values():
    spec["_target_"] = "tests.slow.test_chaos.SlowClassifier"
run(made)
"""


class SlowRenderer(RenderGenerator):
    """Takes its time, so that it can be killed at work."""

    def generate(self, rows: Sequence[Prompt], noise_seeds: Sequence[int]) -> list[Picture]:
        time.sleep(0.05)
        return super().generate(rows, noise_seeds)


class SlowClassifier(ColourClassifier):
    """Takes its time as well."""

    def logits(self, images: Tensor) -> Tensor:
        time.sleep(0.1)
        return super().logits(images)


def start(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", CODE, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def workers(folder: Path, stage: str) -> list[int]:
    """Return the processes that are at work in a stage now."""
    found = []
    for path in folder.glob(f"{stage}/*/.work/signs/*"):
        with contextlib.suppress(ValueError, OSError):
            sign = json.loads(path.read_text())
            if not sign["is_ended"]:
                found.append(int(sign["pid"]))
    return found


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("straight")
    run(job(folder))
    return folder


@pytest.mark.parametrize("seed", [0, 1])
def test_a_run_whose_workers_are_killed_twenty_times_ends_by_itself_with_equal_bytes(
    tmp_path: Path, straight: Path, seed: int
) -> None:
    moments, killed = random.Random(seed), {"pools": 0, "predictions": 0}
    process = start(tmp_path)
    while process.poll() is None:
        for stage in killed:
            living = workers(tmp_path, stage)
            if living and killed[stage] < NUM_KILLS // 2:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(moments.choice(living), signal.SIGKILL)
                    killed[stage] += 1
                time.sleep(moments.uniform(0.1, 0.6))
        time.sleep(0.01)
    shown = process.communicate()[0]
    assert process.returncode == 0, shown
    assert killed == {"pools": NUM_KILLS // 2, "predictions": NUM_KILLS // 2}
    assert results(tmp_path) == results(straight)
    (pool,) = tmp_path.glob("pools/*")
    assert check_pool(pool, num_threads=1, progress=lambda count: None).num_images == 300
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_driver_that_is_killed_needs_one_restart_and_its_workers_end(
    tmp_path: Path, straight: Path
) -> None:
    process = start(tmp_path)
    while not (living := workers(tmp_path, "pools")) or not list(tmp_path.glob("pools/*/manifest/*")):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").is_dir() for pid in living) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in living if Path(f"/proc/{pid}").is_dir()]
    again = start(tmp_path)
    shown = again.communicate(timeout=200)[0]
    assert again.returncode == 0, shown
    assert results(tmp_path) == results(straight)


def test_a_worker_that_hangs_is_replaced_within_the_stated_time(tmp_path: Path, straight: Path) -> None:
    process = start(tmp_path)
    while not (living := workers(tmp_path, "predictions")):
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(living[0], signal.SIGSTOP)
    stopped = time.monotonic()
    while Path(f"/proc/{living[0]}").is_dir() and time.monotonic() - stopped < 60:
        time.sleep(0.02)
    assert time.monotonic() - stopped < 3.0 + 5.0
    shown = process.communicate(timeout=200)[0]
    assert process.returncode == 0 and "without a sign of life" in shown, shown
    assert results(tmp_path) == results(straight)
