"""Who starts the workers makes no difference: one, two or three processes, torchrun, or shard by shard by hand."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from imagenetd.config.schema import StageName
from imagenetd.errors import ConfigError, StoreError, WorkerError
from imagenetd.images.pool import part_name
from imagenetd.stages.executors.place import Place, find_place, is_follower
from imagenetd.stages.workers.opening import make_shard, predict_shard
from imagenetd.stages.workers.work import ORDER_FILE
from tests.test_crash import job, results
from tests.test_pipeline import run

EXECUTORS = sorted((Path(__file__).parents[1] / "conf" / "executor").glob("*.yaml"))


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("straight")
    run(job(folder))
    return folder


@pytest.mark.parametrize("path", EXECUTORS, ids=lambda path: path.stem)
def test_an_executor_yaml_opens_with_a_sentence_and_names_its_class(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# ") and re.match(r"# .*[.`]$", text.splitlines()[0])
    assert yaml.safe_load(text)["_target_"].startswith("imagenetd.stages.executors.")


def test_three_processes_give_the_bytes_and_the_numbers_of_one(tmp_path: Path, straight: Path) -> None:
    made = job(tmp_path)
    made.trainer.devices = 3
    run(made)
    assert results(tmp_path) == results(straight)
    assert not list(tmp_path.rglob(".work"))


def test_a_shard_is_a_function_of_its_folder_and_number(tmp_path: Path, straight: Path) -> None:
    """Whatever is lost of a finished run is made again from `order.json`, one shard at a time, in any order."""
    run(job(tmp_path))
    (pool,) = tmp_path.glob("pools/*")
    (predictions,) = tmp_path.glob("predictions/*")
    (model,) = predictions.glob("s1-*")
    for shard in (7, 2):
        (pool / "shards" / f"shard-{shard:06d}.tar").unlink()
        (pool / "manifest" / part_name(shard)).unlink()
        make_shard(pool, shard)
    for shard in (11, 0):
        (model / part_name(shard)).unlink()
        predict_shard(predictions, "s1", shard)
    assert results(tmp_path) == results(straight)


def test_a_shard_is_not_made_by_a_machine_that_would_make_another(tmp_path: Path, straight: Path) -> None:
    from imagenetd.store.folders import read_sealed_record, write_record

    (pool,) = straight.glob("pools/*")
    order = read_sealed_record(pool / ORDER_FILE)
    for name in ("layout.json", "prompts.parquet"):
        (tmp_path / name).write_bytes((pool / name).read_bytes())
    write_record(tmp_path / ORDER_FILE, order | {"facts": {"generator": "0123"}})
    with pytest.raises(
        WorkerError, match=r"another generator \([0-9a-f]+\) than the run that asks for work \(0123\)"
    ):
        make_shard(tmp_path, 0)
    with pytest.raises(StoreError, match=r"order.json is missing"):
        make_shard(tmp_path / "nothing", 0)


def test_a_model_that_the_order_does_not_name_is_refused(straight: Path) -> None:
    (predictions,) = straight.glob("predictions/*")
    with pytest.raises(WorkerError, match=r"names no model vit_l, but s0, s1, s2, t"):
        predict_shard(predictions, "vit_l", 0)


def test_a_worker_that_stops_without_ending_is_replaced(tmp_path: Path, straight: Path) -> None:
    """SIGSTOP: the process is there, and does nothing; its sign of life stops, and `lost_after_s` later it is ended."""
    code = (
        "from tests.test_crash import job; from tests.test_pipeline import run; from pathlib import Path; import sys\n"
        "made = job(Path(sys.argv[1])); made.trainer.devices = 2; made.executor['lost_after_s'] = 2.0\n"
        "made.generator['_target_'] = 'tests.slow.test_chaos.SlowRenderer'\n"
        "run(made)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    stopped = 0
    while not stopped and process.poll() is None:
        for claim in tmp_path.glob("pools/*/.work/claims/*"):
            owner = claim.read_text()
            if (
                owner.startswith("1-")
                and not (claim.parents[2] / "manifest" / part_name(int(claim.name))).is_file()
            ):
                stopped = int(yaml.safe_load((claim.parents[1] / "signs" / owner).read_text())["pid"])
        time.sleep(0.005)
    os.kill(stopped, signal.SIGSTOP)
    shown, _ = process.communicate(timeout=120)
    assert process.returncode == 0, shown
    assert "worker 1 was ended after 2 s without a sign of life: another takes its place" in shown
    assert results(tmp_path) == results(straight)


def test_a_slow_workers_shard_is_made_by_an_idle_one_and_nothing_is_left_over(
    tmp_path: Path, straight: Path
) -> None:
    """Worker 0 oversleeps its first unit; worker 1 makes all shards, that one as well, before it wakes up."""
    made = job(tmp_path)
    made.stages = [StageName.prompts, StageName.generate]
    made.trainer.devices = 2
    made.executor["slow_factor"] = 4.0
    made.generator |= {
        "_target_": "tests.sleepers.SleepingGenerator",
        "nap_s": 0.01,
        "oversleeps_s": 6.0,
        "mark": str(tmp_path / "mark"),
    }
    run(made)
    (pool,) = tmp_path.glob("pools/*")
    slept, stored = (tmp_path / "mark").stat().st_mtime, (pool / "manifest" / part_name(0)).stat().st_mtime
    assert 1.0 < stored - slept < 5.5
    theirs = {
        name: value for name, value in results(straight).items() if name.startswith(f"pools/{pool.name}")
    }
    assert {name: value for name, value in results(tmp_path).items() if name.startswith("pools/")} == theirs
    assert not list(pool.rglob("*.times")) and not list(pool.rglob("*.tmp"))


@pytest.mark.slow
def test_torchrun_shares_one_run_among_its_processes(root: Path, tmp_path: Path) -> None:
    options = [
        "generator=render", "categories.names=[banana,mug,sock]", "nuisances.background=[beach-s,street-s]",
        "nuisances.texture=[striped]", "nuisances.material=[wood]", "num_images_per_cell=6", "generator.unit_size=4",
        "stages=[prompts,generate]",
    ]  # fmt: skip
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    for name, command in (
        ("two", [*torchrun, "run.py", "executor=torchrun"]),
        ("one", [sys.executable, "run.py"]),
    ):
        made = subprocess.run(
            [*command, *options, f"paths.output_dir={tmp_path / name}"],
            cwd=root, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert made.returncode == 0, made.stdout + made.stderr
        if name == "two":
            assert len(re.findall(r"^generate +72 images", made.stdout, re.MULTILINE)) == 1
    assert results(tmp_path / "two") == results(tmp_path / "one")
    assert not list((tmp_path / "two" / ".launches").iterdir())


def test_a_launcher_that_did_not_start_this_process_is_told() -> None:
    with pytest.raises(ConfigError, match="executor.launcher=srun, but srun did not start this process"):
        find_place("srun", {})


def test_the_place_of_a_process_follows_from_what_the_launcher_says() -> None:
    environment = {"SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "77"}
    assert find_place("srun", environment | {"SLURMD_NODENAME": "n1"}) == Place(3, 1, 4, "srun-77-0-0", "n1")
    assert is_follower(environment) and not is_follower(environment | {"SLURM_PROCID": "0"})


def test_stages_without_images_need_no_workers(tmp_path: Path) -> None:
    made = job(tmp_path)
    made.stages = [StageName.prompts]
    run(made)
    assert not list(tmp_path.rglob(ORDER_FILE))


@pytest.mark.parametrize(
    ("devices", "begun"),
    [(1, "predictions/*/*/part-*"), (2, "pools/*/shards/*.tar*")],
    ids=["loop", "workers"],
)
def test_sigterm_ends_a_stage_as_ctrl_c_does_and_the_run_goes_on_from_there(
    root: Path, tmp_path: Path, devices: int, begun: str
) -> None:
    options = ["stages=[prompts,generate,predict]", "generator=render", f"trainer.devices={devices}"]
    process = subprocess.Popen(
        [sys.executable, "run.py", *options, f"paths.output_dir={tmp_path}"],
        cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    while process.poll() is None and not list(tmp_path.glob(begun)):
        time.sleep(0.02)
    process.terminate()
    shown, _ = process.communicate(timeout=90)
    assert process.returncode == 143, shown
    assert shown.strip().endswith(
        "Ended by SIGTERM. Finished work is kept: the same command goes on from here."
    )
    assert "Traceback" not in shown
    assert not list(tmp_path.glob("predictions/*/*/stage.json")) and not list(tmp_path.rglob(".work/claims"))
