"""A pool is the same however it was made: by one process or two, straight or killed and resumed, in any unit."""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from imagenetd.config.schema import Config, StageName
from imagenetd.images.check import check_pool
from imagenetd.images.unpack import open_pool
from tests import tiny_pipelines
from tests.test_crash import results
from tests.test_pipeline import config, run

# diffusers 0.42 converts the sampler's noise levels in a way that numpy 2.4 warns about
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

NUM_IMAGES = 2 * 4 * 4
SMALL = ["generator.num_inference_steps=2", "generator.height_px=32", "generator.width_px=32"]

Jobs = Callable[..., Config]


@pytest.fixture(scope="module", params=["sd", "sdxl", "tiny"])
def job(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Jobs:
    """Return how to make the config of 32 images of a pipeline."""
    if request.param == "tiny":
        chosen = ["generator=tiny", "generator.num_inference_steps=2"]
    else:
        model = tiny_pipelines.save(request.param, tmp_path_factory.mktemp(request.param))
        chosen = ["generator=diffusers", f"generator.model={model}", *SMALL]

    def make(output_dir: Path, *, devices: int = 1, unit_size: int = 4) -> Config:
        few = ["categories.names=[banana,mug]", "num_images_per_cell=4", f"generator.unit_size={unit_size}"]
        stages = [StageName.prompts, StageName.generate]
        made = config(output_dir, *chosen, *few, f"trainer.devices={devices}", stages=stages)
        return made

    return make


@pytest.fixture(scope="module")
def straight(job: Jobs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("straight")
    run(job(folder))
    return folder


def pool_of(output_dir: Path) -> Path:
    (pool,) = (output_dir / "pools").iterdir()
    return pool


def num_stored_bytes(output_dir: Path) -> int:
    return sum(path.stat().st_size for path in output_dir.glob("pools/*/shards/*.tar*") if path.is_file())


def test_a_generator_that_needs_no_torch_makes_alone_what_two_processes_make(tmp_path: Path) -> None:
    shards = []
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        run(config(folder, f"trainer.devices={devices}", stages=[StageName.prompts, StageName.generate]))
        shards.append([path.read_bytes() for path in sorted(pool_of(folder).glob("shards/*.tar"))])
    assert shards[0] and shards[0] == shards[1]


def run_alone(made: Config) -> None:
    """Run as a process of its own does, with a group that can be killed."""
    os.setsid()
    # a forked process must not fork again once anybody has asked for GPUs; nothing here uses one
    torch.cuda._is_in_bad_fork = lambda: False  # type: ignore[assignment]
    run(made)


def kill_at(output_dir: Path, made: Config, *, num_bytes: int, takes_all: bool) -> None:
    """Start a run and kill it when so many bytes are stored; `takes_all`: its worker processes too."""
    process = multiprocessing.get_context("fork").Process(target=run_alone, args=(made,))
    process.start()
    assert process.pid is not None
    while num_stored_bytes(output_dir) < num_bytes or os.getpgid(process.pid) != process.pid:
        assert process.is_alive()
        time.sleep(0.001)
    (os.killpg if takes_all else os.kill)(process.pid, signal.SIGKILL)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def assert_whole(output_dir: Path) -> None:
    finding = check_pool(pool_of(output_dir), num_threads=1, progress=lambda count: None)
    assert finding.is_whole and finding.is_finished and finding.num_images == NUM_IMAGES


def test_two_processes_give_the_bytes_of_one(job: Jobs, straight: Path, tmp_path: Path) -> None:
    run(job(tmp_path, devices=2))
    assert results(tmp_path) == results(straight)
    assert_whole(tmp_path)


def test_killed_three_times_and_resumed_with_other_process_counts_the_bytes_are_those_of_a_straight_run(
    job: Jobs, straight: Path, tmp_path: Path
) -> None:
    moments = random.Random(5)
    total = num_stored_bytes(straight)
    for devices, takes_all in ((1, True), (2, False), (1, True)):
        stored = num_stored_bytes(tmp_path)
        moment = stored + moments.uniform(0.01, 0.5) * (total - stored)
        kill_at(tmp_path, job(tmp_path, devices=devices), num_bytes=int(moment), takes_all=takes_all)
    run(job(tmp_path, devices=2))
    assert results(tmp_path) == results(straight)
    assert_whole(tmp_path)


def test_another_unit_size_keeps_ids_and_noise_and_changes_pixels_by_rounding_alone(
    job: Jobs, straight: Path, tmp_path: Path
) -> None:
    run(job(tmp_path, unit_size=6))
    first, second = open_pool(pool_of(straight)), open_pool(pool_of(tmp_path))
    columns = ["image_id", "noise_seed", "text"]
    pd.testing.assert_frame_equal(first.table[columns], second.table[columns])
    pixels = [
        np.stack([np.asarray(pool.read_image(n), dtype=int) for n in range(NUM_IMAGES)])
        for pool in (first, second)
    ]
    assert (np.abs(pixels[0] - pixels[1]) <= 1).mean() >= 0.999
