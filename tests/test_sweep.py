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
def swept(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """Six jobs, of which two ask for more failures than they have surrogates; its folder, output and errors."""
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
    axes = [
        "surrogates=one_tiny,two_tiny,three_tiny",
        "target=tiny_resnet,tiny_clip",
        "mining.min_failures=2",
    ]
    command = [sys.executable, str(root / "run.py"), "-m", *axes, *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=folder)
    assert ended.returncode == 1, ended.stderr
    return folder, ended.stdout, ended.stderr


def test_a_sweep_generates_once(swept: tuple[Path, str, str]) -> None:
    lines = [line for line in swept[1].splitlines() if line.startswith("generate ")]
    assert len(lines) == 4
    assert ["already done" in line for line in lines] == [False, True, True, True]


def test_a_sweep_runs_each_model_once(swept: tuple[Path, str, str]) -> None:
    predicted = re.findall(r"; ([\w, ]+) predicted now", swept[1])
    names = [name for names in predicted for name in names.split(", ")]
    assert sorted(names) == [
        *("tiny_clip", "tiny_clip_effnet", "tiny_clip_rn", "tiny_clip_vit", "tiny_gate", "tiny_resnet")
    ]


def test_a_sweep_ends_with_a_table_that_compares_its_jobs(swept: tuple[Path, str, str]) -> None:
    folder, shown, _ = swept
    table = pd.read_csv(folder / "sweep" / "comparison.csv")
    assert table["target"].tolist() == ["tiny_resnet", "tiny_clip"] * 2
    assert table["num_surrogates"].tolist() == [2, 2, 3, 3]
    assert table["num_pool"].tolist() == [12 * 5 * 2] * 4
    assert (
        shown.rstrip().splitlines()[-3]
        == f"comparison of 4 of 6 jobs -> {folder / 'sweep' / 'comparison.csv'}"
    )
    assert "<h1>comparison of 4 runs</h1>" in (folder / "sweep" / "comparison.html").read_text()


def test_every_job_leaves_a_run_folder_with_its_numbers(swept: tuple[Path, str, str]) -> None:
    folder, shown, _ = swept
    summaries = [json.loads(path.read_text()) for path in (folder / "runs").glob("*/summary.json")]
    assert len(summaries) == 4
    for summary in summaries:
        for name in summary["surrogates"]:
            mined = summary["models"][name]["accuracy"]["mined"]
            assert mined["num_correct"] == 0 or len(summary["surrogates"]) > 2
        assert summary["models"][summary["target"]]["accuracy"]["pool"]["num_images"] == 120
        assert set(summary["keys"]) == {"prompts", "generate", "predict", "mine", "qc", "evaluate"}


def test_a_failed_job_is_named_and_the_others_end(swept: tuple[Path, str, str]) -> None:
    _, shown, errors = swept
    assert "Traceback" not in shown + errors
    assert errors.count("error: mining.min_failures is 2, but") == 2
    assert [line.partition(":")[0] for line in shown.rstrip().splitlines()[-2:]] == [
        "job 0 (surrogates=one_tiny target=tiny_resnet) failed",
        "job 1 (surrogates=one_tiny target=tiny_clip) failed",
    ]
