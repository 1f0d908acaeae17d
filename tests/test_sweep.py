"""The command that a user types, on the shipped models: one generation, each model once, a table at the end."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

FEW = [
    "nuisances.background=[beach-s,street-s]",
    "nuisances.texture=[striped]",
    "nuisances.material=[fire,wood]",
]


@pytest.fixture(scope="module")
def swept(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("sweep")
    places = [f"paths.output_dir={folder / 'runs'}", f"hydra.sweep.dir={folder / 'sweep'}"]
    options = [
        "generator=render",
        "num_images_per_cell=2",
        "logger=csv",
        "report=tables",
        "report.plot=false",
    ]
    options += [*FEW, *places]
    axes = ["surrogates=one_tiny,two_tiny", "target=tiny_resnet,tiny_clip"]
    command = [sys.executable, str(root / "run.py"), "-m", *axes, *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=folder)
    assert ended.returncode == 0, ended.stderr
    return folder, ended.stdout


def test_a_sweep_generates_once(swept: tuple[Path, str]) -> None:
    lines = [line for line in swept[1].splitlines() if line.startswith("generate ")]
    assert len(lines) == 4
    assert ["already done" in line for line in lines] == [False, True, True, True]


def test_a_sweep_runs_each_model_once(swept: tuple[Path, str]) -> None:
    predicted = re.findall(r"; ([\w, ]+) predicted now", swept[1])
    names = [name for names in predicted for name in names.split(", ")]
    assert sorted(names) == ["tiny_clip", "tiny_clip_rn", "tiny_clip_vit", "tiny_gate", "tiny_resnet"]


def test_a_sweep_ends_with_a_table_that_compares_its_jobs(swept: tuple[Path, str]) -> None:
    folder, shown = swept
    table = pd.read_csv(folder / "sweep" / "comparison.csv")
    assert table["target"].tolist() == ["tiny_resnet", "tiny_clip"] * 2
    assert table["num_surrogates"].tolist() == [1, 1, 2, 2]
    assert table["num_pool"].tolist() == [12 * 5 * 2] * 4
    assert (
        shown.rstrip().splitlines()[-1]
        == f"comparison of 4 of 4 jobs -> {folder / 'sweep' / 'comparison.csv'}"
    )
    assert "<h1>comparison of 4 runs</h1>" in (folder / "sweep" / "comparison.html").read_text()


def test_every_job_leaves_a_run_folder_with_its_numbers(swept: tuple[Path, str]) -> None:
    folder, shown = swept
    summaries = [json.loads(path.read_text()) for path in (folder / "runs").glob("*/summary.json")]
    assert len(summaries) == 4
    for summary in summaries:
        for name in summary["surrogates"]:
            assert summary["models"][name]["accuracy"]["mined"]["num_correct"] == 0
        assert summary["models"][summary["target"]]["accuracy"]["pool"]["num_images"] == 120
        assert set(summary["keys"]) == {"prompts", "generate", "predict", "mine", "qc", "evaluate"}


def test_a_failed_job_is_named_and_the_others_end(root: Path, tmp_path: Path) -> None:
    places = [f"paths.output_dir={tmp_path / 'runs'}", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    options = [
        "generator=render",
        "num_images_per_cell=1",
        "logger=none",
        "report=tables",
        "report.plot=false",
    ]
    options += [*FEW, *places]
    command = [
        sys.executable,
        str(root / "run.py"),
        "-m",
        "surrogates=one_tiny",
        "mining.min_failures=2,1",
        *options,
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stdout + ended.stderr
    assert "error: mining.min_failures is 2, but" in ended.stderr
    assert "job 0 (mining.min_failures=2) failed: mining.min_failures is 2" in ended.stdout
    assert "comparison of 1 of 2 jobs" in ended.stdout
