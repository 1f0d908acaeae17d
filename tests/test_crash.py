"""Killed at any moment and started again, or shared by two processes: the same bytes, the same numbers."""

import hashlib
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from imagenetd.config.schema import Config, StageName
from imagenetd.images.check import check_pool
from tests.test_pipeline import config, run, summary

TIMES = {"seconds", "merge_seconds"}


def job(output_dir: Path) -> Config:
    """300 images in 15 shards: enough moments to be killed at."""
    return config(
        output_dir, "num_images_per_cell=25", "generator.unit_size=4", "nuisances.texture=[striped]"
    )


def generation(output_dir: Path) -> Config:
    """The first two stages of the same job."""
    made = job(output_dir)
    made.stages = [StageName.prompts, StageName.generate]
    return made


def results(output_dir: Path) -> dict[str, object]:
    """Return everything a run leaves behind, without the times it took."""
    found: dict[str, object] = {}
    for path in sorted(output_dir.rglob("*")):
        name = str(path.relative_to(output_dir))
        if path.suffix == ".tar":
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.suffix == ".parquet":
            table = pd.read_parquet(path)
            found[name] = table.drop(columns=[c for c in table if c in TIMES]).map(freeze).to_dict("list")
        elif path.suffix == ".csv":
            found[name] = path.read_text()
        elif path.suffix in (".tmp", ".times"):
            found[name] = "left over"
    return found


def freeze(value: object) -> object:
    if isinstance(value, float) and np.isnan(value):
        return "nan"  # the accuracy of a slice without images, which equals itself here
    return value.tobytes() if isinstance(value, np.ndarray) else value


def start(output_dir: Path) -> "multiprocessing.process.BaseProcess":
    process = multiprocessing.get_context("fork").Process(target=run, args=(job(output_dir),))
    process.start()
    return process


def num_files(output_dir: Path) -> int:
    """Return how far a run is: the files that are finished."""
    return sum(path.suffix in (".tar", ".parquet", ".json") for path in output_dir.rglob("*"))


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("straight")
    run(job(folder))
    return folder


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_five_times_at_random_moments_and_restarted_all_results_are_those_of_a_straight_run(
    tmp_path: Path, straight: Path, seed: int
) -> None:
    moments = random.Random(seed)
    for num_done in sorted(moments.sample(range(1, num_files(straight) - 3), 5)):
        process = start(tmp_path)
        while num_files(tmp_path) < num_done:
            assert process.is_alive()
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.03))
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
    run(job(tmp_path))
    assert results(tmp_path) == results(straight)


def test_two_processes_give_the_bytes_and_the_numbers_of_one(tmp_path: Path, straight: Path) -> None:
    made = job(tmp_path)
    made.trainer.devices = 2
    outcome = run(made)
    assert results(tmp_path) == results(straight)
    assert summary(outcome)["num_images"]["pool"] == 300


def test_two_runs_at_once_on_one_pool_share_the_work(tmp_path: Path, straight: Path) -> None:
    processes = [start(tmp_path) for _ in range(2)]
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert results(tmp_path) == results(straight)


# diffusers 0.42 converts the sampler's noise levels in a way that numpy 2.4 warns about
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_diffusion_model_gives_the_same_bytes_with_one_and_two_processes(tmp_path: Path) -> None:
    few = ["nuisances.background=[beach-s]", "nuisances.texture=[striped]", "num_images_per_cell=2"]
    options = ["generator=tiny", "generator.unit_size=4", *few]
    for devices in (1, 2):
        made = config(tmp_path / str(devices), *options)
        made.trainer.devices = devices
        run(made)
    assert results(tmp_path / "1") == results(tmp_path / "2")


def test_generation_killed_a_dozen_times_leaves_every_image_once_and_whole(tmp_path: Path) -> None:
    moments, num_killed, stored = random.Random(3), 0, 0
    while num_killed < 12 and stored < 900_000:  # of about a megabyte
        process = multiprocessing.get_context("fork").Process(target=run, args=(generation(tmp_path),))
        process.start()
        wanted = stored + moments.randrange(20_000, 90_000)
        while process.is_alive() and stored < wanted:
            stored = sum(path.stat().st_size for path in tmp_path.glob("pools/*/shards/*") if path.exists())
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.01))
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join(60)
        num_killed += process.exitcode == -signal.SIGKILL
    assert num_killed >= 8
    folder = Path(run(generation(tmp_path)).folder)
    finding = check_pool(folder, num_threads=1, progress=lambda count: None)
    assert finding.is_whole and finding.is_finished and finding.num_images == 300
