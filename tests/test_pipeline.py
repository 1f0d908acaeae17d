"""The whole chain on the renderer and on classifiers of mean colours: fast, exact, with a known answer."""

import copy
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from imagenetd.config.schema import CONF_DIR, Config, StageName, register
from imagenetd.errors import ConfigError, MissingFilesError, StoreError, VocabularyError
from imagenetd.pipeline import Outcome, run_pipeline
from imagenetd.stages.setup import make_setup

register()
FAKE = "tests.fakes.ColourClassifier"


def config(output_dir: Path, *overrides: str, num_surrogates: int = 3, **changes: Any) -> Config:
    """Compose the real configs, then put classifiers of mean colours into every part."""
    fixed = [
        "generator=render",
        "categories.names=[banana,mug,sock]",
        "logger=none",
        "qc=none",
        "report.plot=false",
        "report.html=null",
    ]
    words = [
        "nuisances.background=[beach-s,street-s]",
        "nuisances.texture=[striped]",
        "nuisances.material=[wood]",
    ]
    paths = [f"paths.output_dir={output_dir}", "num_images_per_cell=6", "name=test"]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        composed = compose("config", overrides=[*fixed, *words, *paths, *overrides])
    made: Any = OmegaConf.to_object(composed)
    made.surrogates = {f"s{n}": {"_target_": FAKE, "name": f"s{n}", "seed": n} for n in range(num_surrogates)}
    made.target = {"_target_": FAKE, "name": "t", "seed": 99}
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def run(made: Config) -> Outcome:
    return run_pipeline(made, plain_config={"seed": made.seed})


def summary(outcome: Outcome) -> dict[str, Any]:
    return json.loads((outcome.folder / "summary.json").read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    folder = tmp_path_factory.mktemp("runs")
    return folder, run(config(folder))


def test_the_chain_ends_with_a_summary_and_tables(finished: tuple[Path, Outcome]) -> None:
    _, outcome = finished
    found = summary(outcome)
    assert outcome.status == "done"
    assert found["images"] == found["num_images"]["pool"] == 3 * 4 * 6
    assert (found["mined"], found["accepted"]) == (found["num_images"]["mined"],) * 2
    assert found["targets"]["t"]["mined"]["n"] == found["mined"]
    assert found["surrogates"] == ["s0", "s1", "s2"]
    assert set(found["seconds"]) == {"prompts", "generate", "predict", "mine", "qc", "evaluate"}
    assert {"torch", "diffusers", "imagenetd"} <= set(found["versions"])
    table = pd.read_csv(outcome.folder / "tables" / "per_nuisance.csv")
    assert list(table["nuisance"]) == ["beach-s", "street-s", "striped", "wood"]
    assert table["pool_num_images"].tolist() == [18] * 4


def test_surrogates_score_exactly_zero_on_what_they_mined_together(finished: tuple[Path, Outcome]) -> None:
    found = summary(finished[1])
    assert found["num_images"]["mined"] > 0
    for name in found["surrogates"]:
        assert found["models"][name]["accuracy"]["mined"]["num_correct"] == 0
        assert found["models"][name]["accuracy"]["pool"]["num_correct"] > 0


def test_a_second_start_does_nothing_twice(finished: tuple[Path, Outcome]) -> None:
    folder, outcome = finished
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}
    again = run(config(folder))
    assert [result.is_skipped for result in again.results] == [True] * 7
    assert again.folder == outcome.folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")} == before


def test_a_sweep_makes_images_once_and_runs_each_model_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for num_surrogates in (1, 2, 3):
        for target in (98, 99):
            made = config(tmp_path / "runs", num_surrogates=num_surrogates)
            made.target = {"_target_": FAKE, "name": f"t{target}", "seed": target}
            for spec in (*made.surrogates.values(), made.target):
                spec["log"] = str(log)
            run(made)
    assert sorted(log.read_text().split()) == ["s0", "s1", "s2", "t98", "t99"]
    assert len(list((tmp_path / "runs" / "pools").iterdir())) == 1


def test_more_surrogates_never_mine_more(tmp_path: Path) -> None:
    mined = [summary(run(config(tmp_path, num_surrogates=n)))["num_images"]["mined"] for n in (1, 2, 3)]
    assert mined == sorted(mined, reverse=True)


def test_two_of_three_mines_at_least_as_much_as_three_of_three(tmp_path: Path) -> None:
    three = summary(run(config(tmp_path)))["num_images"]["mined"]
    two = summary(run(config(tmp_path, "mining.min_failures=2")))["num_images"]["mined"]
    assert two >= three


def test_every_image_carries_what_it_was_made_of(finished: tuple[Path, Outcome]) -> None:
    folder = Path(finished[1].results[1].folder)
    table = pd.read_parquet(folder / "manifest.parquet")
    row = table.iloc[0]
    assert (row.text, row.template_version, row.category) == (
        "a photo of a banana in the beach",
        "v1",
        "banana",
    )
    assert (row.kind, row.nuisance, row.seed, row.seed_index) == ("background", "beach-s", 0, 0)
    assert table["image_id"].is_unique
    assert (table["noise_seed"] == [int(name, 16) & (2**63 - 1) for name in table["image_id"]]).all()


def test_easy_images_are_kept_beside_the_hard_ones(finished: tuple[Path, Outcome]) -> None:
    mine = next(result for result in finished[1].results if result.stage == "mine")
    table = pd.read_parquet(Path(mine.folder) / "failures.parquet")
    assert (table["is_easy"] == (table["num_failures"] == 0)).all()
    assert (table["is_shared"] == (table["num_failures"] == 3)).all()


def test_the_control_arm_is_made_but_never_mined(tmp_path: Path) -> None:
    outcome = run(config(tmp_path, "prompts.include_neutral=true"))
    pool = pd.read_parquet(Path(outcome.results[1].folder) / "manifest.parquet")
    failures = pd.read_parquet(Path(outcome.results[3].folder) / "failures.parquet")
    assert (pool["kind"] == "neutral").sum() == 3 * 6
    assert not failures["is_shared"][pool["kind"] == "neutral"].any()
    assert summary(outcome)["num_images"]["pool"] == 3 * 4 * 6


def test_the_gate_rejects_what_it_does_not_see(tmp_path: Path) -> None:
    made = config(tmp_path)
    made.qc = make_gate(made, seed=7)
    outcome = run(made)
    found = summary(outcome)
    decisions = pd.read_parquet(Path(outcome.results[4].folder) / "decisions.parquet")
    assert found["num_images"]["accepted"] == decisions["is_accepted"].sum() < found["num_images"]["mined"]
    assert set(decisions["reason"]) == {"accepted", "rejected by vote", "not mined"}
    assert found["num_images"]["pool_accepted"] == decisions["is_valid"].sum()


def make_gate(made: Config, *, seed: int) -> Any:
    from imagenetd.config.schema import QcMethod

    qc = copy.copy(made.qc)
    qc.method, qc.gate, qc.min_confidence = (
        QcMethod.auto,
        {"_target_": FAKE, "name": "gate", "seed": seed, "family": "gate"},
        0.4,
    )
    return qc


def test_stages_can_be_run_one_after_the_other(tmp_path: Path, finished: tuple[Path, Outcome]) -> None:
    for stage in StageName:
        outcome = run(config(tmp_path, stages=[stage]))
    straight, stepwise = summary(finished[1]), summary(outcome)
    assert stepwise["models"] == straight["models"]


def test_a_stage_without_what_it_needs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="stages has mine without prompts, .* Add prompts to stages"):
        run(config(tmp_path, stages=[StageName.mine]))


def test_a_surrogate_that_is_also_the_target_is_refused(tmp_path: Path) -> None:
    made = config(tmp_path, target={"_target_": FAKE, "name": "other_name", "seed": 1})
    with pytest.raises(ConfigError, match=r"target and surrogates\.s1 are the same model"):
        make_setup(made)


def test_a_gate_that_is_also_a_surrogate_is_refused(tmp_path: Path) -> None:
    made = config(tmp_path)
    made.qc = make_gate(made, seed=0)
    with pytest.raises(ConfigError, match=r"qc\.gate and surrogates\.s0 are the same model"):
        make_setup(made)


def test_more_failures_than_surrogates_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mining\.min_failures is 4, but .* holds only 3 models"):
        make_setup(config(tmp_path, "mining.min_failures=4"))


def test_no_surrogate_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no model"):
        make_setup(config(tmp_path, num_surrogates=0))


def test_words_that_make_no_vocabulary_are_refused(tmp_path: Path) -> None:
    for overrides in (
        ["nuisances.texture=[striped,striped]"],
        ["nuisances.texture=[wood]"],
        ["nuisances.background=[]", "nuisances.texture=[]", "nuisances.material=[]"],
        ["categories.names=[banana,banana]"],
    ):
        with pytest.raises(VocabularyError) as caught:
            make_setup(config(tmp_path, *overrides))
        assert "\n" not in str(caught.value)


def test_all_missing_files_are_listed_before_any_work(tmp_path: Path) -> None:
    made = config(tmp_path / "runs")
    for spec in made.surrogates.values():
        spec["missing"] = True
    with pytest.raises(MissingFilesError) as caught:
        run(made)
    assert [file.file for file in caught.value.files] == [
        "s0.safetensors",
        "s1.safetensors",
        "s2.safetensors",
    ]  # type: ignore[attr-defined]
    assert "surrogates.s1.checkpoint=PATH" in str(caught.value)
    assert "3 files (about 36 MB)" in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_a_run_folder_of_another_config_is_refused(tmp_path: Path) -> None:
    run_dir = tmp_path / "mine"
    run(config(tmp_path, f"paths.run_dir={run_dir}"))
    before = (run_dir / "summary.json").read_bytes()
    with pytest.raises(StoreError, match="but this config has key"):
        run(config(tmp_path, f"paths.run_dir={run_dir}", "mining.min_failures=1"))
    assert (run_dir / "summary.json").read_bytes() == before


def test_a_damaged_shard_is_told_and_made_again_when_it_is_deleted(
    tmp_path: Path, finished: tuple[Path, Outcome]
) -> None:
    shutil.copytree(finished[0], tmp_path / "runs")
    pool = next((tmp_path / "runs" / "pools").iterdir())
    shutil.rmtree(tmp_path / "runs" / "predictions")
    shard = pool / "shards" / "shard-000001.tar"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:900] + bytes(8) + whole[908:])
    with pytest.raises(StoreError, match=r"shard-000001\.tar is damaged: .* Delete this file and run again"):
        run(config(tmp_path / "runs"))
    shard.unlink()
    run(config(tmp_path / "runs"))
    assert shard.read_bytes() == whole


def test_a_damaged_manifest_is_told_and_rebuilt(tmp_path: Path, finished: tuple[Path, Outcome]) -> None:
    shutil.copytree(finished[0], tmp_path / "runs")
    manifest = next((tmp_path / "runs" / "pools").iterdir()) / "manifest.parquet"
    rows = pd.read_parquet(manifest)
    manifest.write_bytes(manifest.read_bytes()[:-5])
    outcome = run(config(tmp_path / "runs"))
    note = next(result.note for result in outcome.results if result.stage == "generate")
    assert "manifest.parquet" in note and "damaged" in note
    pd.testing.assert_frame_equal(pd.read_parquet(manifest), rows)


def test_a_lost_part_of_the_predictions_is_predicted_anew(
    tmp_path: Path, finished: tuple[Path, Outcome]
) -> None:
    shutil.copytree(finished[0], tmp_path / "runs")
    part = next((tmp_path / "runs" / "predictions").glob("*/s1-*/part-000000.parquet"))
    logits = np.stack(pd.read_parquet(part)["logits"])
    part.unlink()
    outcome = run(config(tmp_path / "runs"))
    assert np.array_equal(np.stack(pd.read_parquet(part)["logits"]), logits)
    assert next(result.note for result in outcome.results if result.stage == "predict").startswith(
        "s1 predicted now"
    )


def test_an_output_folder_without_permission_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: False if "locked" in str(path) else real(path, mode))
    with pytest.raises(StoreError, match="no permission to write there"):
        run(config(tmp_path / "locked"))


def test_a_word_that_the_generator_never_learned_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="generator=render cannot draw 'toaster'"):
        make_setup(config(tmp_path, "categories.names=[banana,toaster]"))


def test_a_seed_draws_another_pool_and_keeps_the_first(tmp_path: Path) -> None:
    first, second = run(config(tmp_path)), run(config(tmp_path, "seed=1"))
    ids = [
        set(pd.read_parquet(Path(o.results[1].folder) / "manifest.parquet")["image_id"])
        for o in (first, second)
    ]
    assert ids[0].isdisjoint(ids[1])


def test_a_run_folder_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir = f"paths.run_dir={tmp_path / 'mine'}"
    run(config(tmp_path, run_dir))
    monkeypatch.setattr("imagenetd.store.hashes.LAYOUT_VERSION", 2)
    with pytest.raises(StoreError, match="but this config has key"):
        run(config(tmp_path, run_dir))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can only be mounted by root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_too_small_for_the_pool_is_told_before_any_image_is_made(small_disk: Path) -> None:
    with pytest.raises(StoreError, match="MB free, but about .* MB are needed"):
        run(config(small_disk))


def test_a_disk_that_fills_up_loses_nothing_that_was_finished(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagenetd.stages.generate.require_space", lambda folder, num_bytes: None)
    with pytest.raises(StoreError, match="the disk is full") as caught:
        run(config(small_disk, "num_images_per_cell=40"))
    assert "\n" not in str(caught.value)
    pool = next((small_disk / "pools").iterdir())
    finished = {path: path.read_bytes() for path in (pool / "shards").glob("*.tar")}
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    run(config(small_disk, "num_images_per_cell=40"))
    assert finished
    assert all(path.read_bytes() == data for path, data in finished.items())
