"""Models on a folder of images that exists already, from the config to the plain files of the run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from imagenetd.config.schema import CONF_DIR, Config, StageName, register
from imagenetd.errors import ConfigError, DataError
from imagenetd.pipeline import Outcome, run_pipeline
from imagenetd.stages.setup import make_setup
from tests.pictures import encoded, picture, put

register()
FAKE = "tests.fakes.ColourClassifier"
FILES = [f"{name}/{n}.png" for name in ("banana", "mug", "sock") for n in range(23)]


def config(root: Path, output_dir: Path, *overrides: str, **changes: Any) -> Config:
    fixed = ["experiment=evaluate", "data=folder", f"data.root={root}", "categories.names=[banana,mug,sock]"]
    quiet = ["logger=none", "report=tables", "report.plot=false", "name=test"]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        composed = compose("config", overrides=[*fixed, *quiet, f"paths.output_dir={output_dir}", *overrides])
    made: Any = OmegaConf.to_object(composed)
    made.target = {"_target_": FAKE, "name": "t", "seed": 9}
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def run(made: Config) -> Outcome:
    return run_pipeline(made, plain_config={"seed": made.seed})


def summary(outcome: Outcome) -> dict[str, Any]:
    return json.loads((outcome.folder / "summary.json").read_text())


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put(tmp_path_factory.mktemp("photos"), *FILES)


@pytest.fixture(scope="module")
def finished(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    folder = tmp_path_factory.mktemp("runs")
    return folder, run(config(photos, folder))


def expected_predictions(photos: Path) -> list[str]:
    """Compute by hand what the classifier of mean colours says."""
    weights = np.random.default_rng(9).normal(size=(48, 3)).astype(np.float32)
    answers = []
    for file in sorted(FILES):
        small = Image.open(photos / file).resize((4, 4))
        features = (np.asarray(small, dtype=np.float32) / 255 - 0.5).ravel()
        answers.append(["banana", "mug", "sock"][int((features @ weights).argmax())])
    return answers


def test_the_record_holds_every_image_with_its_answers(photos: Path, finished: tuple[Path, Outcome]) -> None:
    table = pd.read_csv(finished[1].folder / "per_image.csv")
    assert table["image"].tolist() == sorted(FILES)
    assert table["category"].tolist() == [file.split("/")[0] for file in sorted(FILES)]
    assert table["pred1"].tolist() == expected_predictions(photos)
    right = (table["pred1"] == table["category"]).astype(int)
    assert table["correct_closed-set"].tolist() == right.tolist()
    found = summary(finished[1])
    assert found["regimes"]["t"]["closed-set"]["num_correct"] == right.sum()
    assert found["regimes"]["t"]["closed-set"]["chance"] == pytest.approx(1 / 3)
    pool = found["targets"]["t"]["pool"]
    assert (pool["accuracy"], pool["n"]) == (right.mean(), len(FILES)) and pool["low"] < pool["high"]
    assert found["mined"] is None and found["data"]["unreadable"] == 0


def test_only_the_stages_of_an_evaluation_run(finished: tuple[Path, Outcome]) -> None:
    assert [result.stage for result in finished[1].results] == ["data", "predict", "evaluate", "report"]


def test_a_second_start_does_nothing_twice(photos: Path, finished: tuple[Path, Outcome]) -> None:
    again = run(config(photos, finished[0]))
    assert [result.is_skipped for result in again.results] == [True] * 4
    assert again.folder == finished[1].folder


def test_the_manifest_of_the_predictions_pins_model_and_versions(finished: tuple[Path, Outcome]) -> None:
    (path,) = (finished[0] / "predictions").glob("*/t-*/stage.json")
    found = json.loads(path.read_text())
    assert {"identity", "label_space", "provenance", "versions", "seconds"} <= set(found)
    assert {"torch", "pillow", "timm", "imagenetd"} <= set(found["versions"])


def test_a_changed_file_is_noticed_and_a_moved_folder_is_not_a_change(tmp_path: Path) -> None:
    root = put(tmp_path / "a", *FILES[:3])
    first = run(config(root, tmp_path / "runs"))
    moved = root.rename(tmp_path / "b")
    assert run(config(moved, tmp_path / "runs")).results[1].is_skipped
    (moved / FILES[0]).write_bytes(encoded(picture(77)))
    changed = run(config(moved, tmp_path / "runs"))
    assert changed.results[0].key != first.results[0].key and not changed.results[1].is_skipped


def test_unreadable_images_are_listed_and_counted(tmp_path: Path) -> None:
    root = put(tmp_path / "photos", *FILES[:5])
    (root / "banana" / "empty.png").write_bytes(b"")
    (root / "banana" / "page.jpg").write_bytes(b"<!DOCTYPE html>")
    (root / "banana" / "gone.png").symlink_to("nowhere")
    outcome = run(config(root, tmp_path / "runs"))
    listed = pd.read_csv(outcome.folder / "unreadable.csv")
    assert listed["file"].tolist() == ["banana/empty.png", "banana/gone.png", "banana/page.jpg"]
    assert listed["reason"].tolist()[:2] == ["the file is empty", "a link to nothing"]
    found = summary(outcome)
    assert (found["data"]["unreadable"], found["images"]) == (3, 5)
    assert len(pd.read_csv(outcome.folder / "per_image.csv")) == 5
    again = run(config(root, tmp_path / "runs", target={"_target_": FAKE, "name": "u", "seed": 3}))
    assert summary(again)["images"] == 5


def test_unreadable_images_stop_the_run_when_asked_also_after_it_went_on_once(tmp_path: Path) -> None:
    root = put(tmp_path / "photos", *FILES[:5])
    (root / "banana" / "empty.png").write_bytes(b"")
    made = config(root, tmp_path / "runs", "data.on_unreadable=stop")
    with pytest.raises(DataError, match=r"banana/empty\.png cannot be read: the file is empty") as caught:
        run(made)
    assert "\n" not in str(caught.value)
    run(config(root, tmp_path / "runs"))
    with pytest.raises(DataError, match="1 images .* cannot be read"):
        run(made)


def test_a_folder_without_one_readable_image_is_told(tmp_path: Path) -> None:
    (tmp_path / "photos" / "banana").mkdir(parents=True)
    (tmp_path / "photos" / "banana" / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match="holds no readable image: 1 cannot be read"):
        run(config(tmp_path / "photos", tmp_path / "runs"))


def test_further_targets_are_tested_beside_the_target_and_no_model_twice(
    photos: Path, tmp_path: Path
) -> None:
    made = config(photos, tmp_path)
    made.targets = {"t": made.target, "u": {"_target_": FAKE, "name": "u", "seed": 3}}
    found = summary(run(made))
    assert set(found["targets"]) == {"t", "u"}


def test_no_target_at_all_is_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="target and targets are empty"):
        make_setup(config(photos, tmp_path, target=None))


def test_a_target_without_a_name_is_called_by_its_architecture(photos: Path, tmp_path: Path) -> None:
    made = config(photos, tmp_path)
    made.target = {
        "_target_": "imagenetd.models.timm.TimmClassifier",
        "architecture": "resnet18",
        "name": None,
    }
    made.target |= {"checkpoint": "nowhere.safetensors"}
    with pytest.raises(Exception, match=r"resnet18: checkpoint=nowhere\.safetensors does not exist"):
        make_setup(made)


def test_shared_failures_can_be_mined_on_a_dataset(photos: Path, tmp_path: Path) -> None:
    made = config(photos, tmp_path)
    made.surrogates = {f"s{n}": {"_target_": FAKE, "name": f"s{n}", "seed": n} for n in range(2)}
    made.stages = [StageName.predict, StageName.mine, StageName.evaluate, StageName.report]
    found = summary(run(made))
    assert 0 < found["mined"] < len(FILES)
    assert found["models"]["s0"]["accuracy"]["mined"]["num_correct"] == 0
    assert "accepted" not in found["targets"]["t"]


def test_workers_change_no_logit(photos: Path, finished: tuple[Path, Outcome], tmp_path: Path) -> None:
    run(config(photos, tmp_path, "trainer.num_workers=2"))
    parts = [sorted(root.glob("predictions/*/t-*/part-*")) for root in (finished[0], tmp_path)]
    logits = [np.concatenate([np.stack(pd.read_parquet(p)["logits"]) for p in paths]) for paths in parts]
    assert len(logits[0]) == len(FILES)
    assert np.array_equal(*logits)


def test_two_processes_give_the_same_table_on_an_uneven_number_of_images(
    photos: Path, finished: tuple[Path, Outcome], tmp_path: Path
) -> None:
    outcome = run(config(photos, tmp_path, "trainer.devices=2"))
    assert len(FILES) % 2 == 1
    for name in ("per_image.csv", "tables/regimes.csv", "tables/overall.csv"):
        assert (outcome.folder / name).read_bytes() == (finished[1].folder / name).read_bytes()


def test_each_file_is_read_and_decoded_once_for_all_models(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imagenetd.images.datasets import dataset

    decoded: list[int] = []
    real = dataset.decode
    monkeypatch.setattr(dataset, "decode", lambda data, how: (decoded.append(len(data)), real(data, how))[1])
    made = config(photos, tmp_path)
    made.targets = {f"u{n}": {"_target_": FAKE, "name": f"u{n}", "seed": n} for n in range(3)}
    made.stages = [StageName.predict]
    run(made)
    assert len(decoded) == len(FILES)


def test_every_row_of_every_table_says_regime_and_chance(finished: tuple[Path, Outcome]) -> None:
    table = pd.read_csv(finished[1].folder / "tables" / "overall.csv")
    assert set(table["regime"]) == {"closed-set"}
    assert table["chance"].tolist() == pytest.approx([1 / 3] * len(table))


def test_corruptions_run_through_all_stages_to_their_own_table(tmp_path: Path) -> None:
    wnids = {"banana": "n07753592", "mug": "n03063599", "sock": "n04254777"}
    files = [f"{c}/{s}/{w}/0.png" for c in ("fog", "snow") for s in range(1, 6) for w in wnids.values()]
    root = put(tmp_path / "c", *files)
    made = config(root, tmp_path / "runs", "data=imagenet_c", "data.classes=categories")
    outcome = run(made)
    table = pd.read_csv(outcome.folder / "tables" / "corruptions.csv")
    record = pd.read_csv(outcome.folder / "per_image.csv")
    wrong = 1 - record.groupby("nuisance")["correct_closed-set"].mean()
    assert table.set_index("corruption")["error"].to_dict() == pytest.approx(wrong.to_dict())
    assert "mean error over 2 corruptions" in summary(outcome)["findings"][0]


def test_a_released_benchmark_runs_by_its_kinds(tmp_path: Path) -> None:
    root = put(
        tmp_path / "d", *(f"{kind}/{n}/0.png" for kind in ("texture", "material") for n in ("mug", "sock"))
    )
    outcome = run(config(root, tmp_path / "runs", "data=imagenet_d", "data.check_counts=false"))
    table = pd.read_csv(outcome.folder / "tables" / "overall.csv")
    assert table.set_index("kind")["pool_num_images"].to_dict() == {"all": 4, "texture": 2, "material": 2}
