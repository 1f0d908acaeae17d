"""Sweeps whose jobs run side by side: one pool, each model once, a table at the end, a failed job by its name."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import psutil
import pytest

pytestmark = pytest.mark.slow

FEW = ["nuisances.background=[beach-s]", "nuisances.texture=[striped]", "nuisances.material=[wood]"]
OPTIONS = [
    *FEW,
    "generator=render",
    "num_images_per_cell=1",
    "logger=none",
    "report.plot=false",
    "surrogates=one_tiny",
]
LAUNCHERS = {
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "submitit_local": ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10"],
}


def sweep(root: Path, folder: Path, *options: str) -> "subprocess.Popen[str]":
    places = [f"paths.output_dir={folder / 'runs'}", f"hydra.sweep.dir={folder / 'sweep'}"]
    command = [sys.executable, "run.py", "-m", *OPTIONS, *places, *options]
    return subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.mark.parametrize("launcher", list(LAUNCHERS))
def test_jobs_side_by_side_share_one_pool_and_a_failed_one_is_named(
    root: Path, tmp_path: Path, launcher: str
) -> None:
    axes = ["target=tiny_resnet,tiny_clip", "mining.min_failures=1,2"]
    process = sweep(root, tmp_path, *axes, *LAUNCHERS[launcher])
    shown, errors = process.communicate(timeout=500)
    assert process.returncode == 1, errors
    assert "Traceback" not in shown + errors
    assert "comparison of 2 of 4 jobs" in shown
    for number, target in ((1, "tiny_resnet"), (3, "tiny_clip")):
        assert (
            f"job {number} (target={target} mining.min_failures=2) failed: mining.min_failures is 2" in shown
        )
    table = pd.read_csv(tmp_path / "sweep" / "comparison.csv")
    assert table["target"].tolist() == ["tiny_resnet", "tiny_clip"]
    assert table["num_pool"].tolist() == [36, 36]
    runs = tmp_path / "runs"
    assert len(list(runs.glob("pools/*"))) == 1
    names = {path.parent.name.rsplit("-", 1)[0] for path in runs.glob("predictions/*/*/stage.json")}
    assert names == {"tiny_clip_vit", "tiny_gate", "tiny_resnet", "tiny_clip"}


def test_a_job_that_is_killed_is_named_and_the_sweep_ends_with_code_1(root: Path, tmp_path: Path) -> None:
    process = sweep(root, tmp_path, "target=tiny_resnet,tiny_clip", *LAUNCHERS["joblib"])
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("generate "):
            break
    workers = [
        child for child in psutil.Process(process.pid).children() if "popen_loky" in " ".join(child.cmdline())
    ]
    os.kill(workers[0].pid, signal.SIGKILL)
    shown, errors = process.communicate(timeout=200)
    assert process.returncode == 1, errors
    assert re.search(
        r"job \d \(target=\w+\) failed: it ended without a word: killed, or out of memory", shown
    ), errors
