"""What a start costs: a finished run, a page of help and a missing file are told without the heavy libraries."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from imagenetd.config.schema import CONF_DIR
from imagenetd.models import repositories
from imagenetd.models.open_clip_weights import OpenClipWeights
from imagenetd.models.timm_weights import TimmWeights
from imagenetd.stages import shown_again

ROOT = CONF_DIR.parent
HEAVY = (
    "torch",
    "torchvision",
    "lightning",
    "scipy.special",
    "scipy.stats",
    "statsmodels",
    "matplotlib",
    "wandb",
)
LISTER = """
import json, runpy, sys
sys.argv = ["run.py", *sys.argv[2:]]
place = {place!r}
try:
    runpy.run_path("run.py", run_name="__main__")
finally:
    open(place, "w").write(json.dumps(sorted(sys.modules)))
"""


def modules_of(folder: Path, *arguments: str) -> tuple[set[str], str]:
    """Run a command; return the names of what it imported, and what it said."""
    place = folder / "modules.json"
    script = LISTER.format(place=str(place))
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script, "run.py", *arguments],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
    )
    return set(json.loads(place.read_text())), done.stdout + done.stderr


def test_a_finished_run_started_again_says_the_same_and_imports_nothing_heavy(tmp_path: Path) -> None:
    command = [
        "stages=[prompts,generate,predict,evaluate,report]",
        "generator=render",
        "surrogates=none",
        "target=tiny_resnet",
        "categories.names=[banana,mug]",
        "nuisances=tiny",
        "num_images_per_cell=1",
        "logger=none",
        f"paths.output_dir={tmp_path / 'runs'}",
    ]
    first, said = modules_of(tmp_path, *command)
    assert "torch" in first and "scipy.special" in first, said
    again, said_again = modules_of(tmp_path, *command)
    assert said_again.count("already done") == 5, said_again
    assert not again & set(HEAVY)
    table = said[said.index("tiny_resnet (") : said.index("report ")]
    assert table.strip() in said_again


def test_a_generator_that_draws_alone_makes_its_pool_without_torch(tmp_path: Path) -> None:
    few = ["categories.names=[banana,mug]", "nuisances.background=[beach-s]", "nuisances.texture=[striped]"]
    command = ["generator=render", "stages=[prompts,generate]", "num_images_per_cell=1", "logger=none", *few]
    found, told = modules_of(tmp_path, *command, f"paths.output_dir={tmp_path}")
    assert "images in" in told and not found & {*HEAVY}


def test_the_page_of_help_needs_no_table_library(tmp_path: Path) -> None:
    found, said = modules_of(tmp_path, "--help")
    assert "python run.py" in said and not found & {*HEAVY, "pandas", "pyarrow", "numpy"}


def test_what_was_shown_is_not_shown_again_once_a_file_has_changed(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "overall.csv").write_text("model,accuracy")
    shown_again.keep_shown(tmp_path, ["82.0 of 960"])
    record = {"shown": {"made_from": "key", "files": shown_again.run_files(tmp_path)}}
    found = shown_again.shown_before(tmp_path, record, "key")
    assert found is not None and found.plain.strip() == "82.0 of 960"
    assert shown_again.shown_before(tmp_path, record, "other") is None
    (tmp_path / "tables" / "overall.csv").write_text("model,accuracX")
    assert shown_again.shown_before(tmp_path, record, "key") is None


def test_files_out_of_reach_are_told_without_the_library_of_any_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    command = ["surrogates=four_clip", "target=vit_l", f"paths.output_dir={tmp_path / 'runs'}"]
    found, said = modules_of(tmp_path, *command)
    assert "5 files (about 5,653 MB) are neither on this machine nor within reach" in said
    assert "timm/vit_large_patch16_224.augreg_in21k_ft_in1k" in said and "Nothing was started." in said
    assert not found & {*HEAVY, "timm", "open_clip", "transformers"}


def test_what_is_known_is_told_before_a_library_is_asked_for_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    command = ["generator=sd21", "target=timm", "target.architecture=of_another_release"]
    found, said = modules_of(tmp_path, *command, f"paths.output_dir={tmp_path / 'runs'}")
    assert "4 files (about 2,580 MB) are neither" in said and "unet/diffusion_pytorch_model.fp16" in said
    assert "Not looked for yet: the weights of target, whose place only timm knows." in said
    assert not found & {*HEAVY, "timm"}


@pytest.mark.parametrize("library", ["timm", "open_clip"])
def test_the_table_of_repositories_says_what_the_library_says(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = dict(repositories._rows(library))
    assert rows, f"{repositories.table_path(library)} is missing: python -m imagenetd.models.repositories"
    chosen = random.Random(0).sample(sorted(rows), 25)
    from_table = [said(library, model) for model in chosen]
    monkeypatch.setattr(repositories, "_rows", lambda library: {})
    assert from_table == [said(library, model) for model in chosen]


def said(library: str, model: str) -> object:
    if library == "timm":
        return TimmWeights(architecture=model).hub_file()
    architecture, tag = model.split(" ")
    weights = OpenClipWeights(architecture=architecture, weights=tag)
    return weights.hub_file(), weights.tokenizer_repository() or None
