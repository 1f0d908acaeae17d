"""The benchmark in other tools' formats, read back with their own libraries, bytes and scores compared."""

import hashlib
import importlib
import inspect
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from imagenetd.config.schema import CONF_DIR, Config, StageName
from imagenetd.errors import ConfigError, DataError, UserError
from imagenetd.pipeline import Outcome, run_pipeline
from imagenetd.reports.exports.benchmark import COLUMNS
from imagenetd.reports.exports.export import Export
from imagenetd.scoring.predictions import read_answers
from imagenetd.stages.run import Run
from imagenetd.stages.setup import Setup, make_setup
from tests.test_pipeline import FAKE, config, run

FORMATS = sorted(path.stem for path in (CONF_DIR / "export").glob("*.yaml"))


def composed(formats: Sequence[str]) -> dict[str, Any]:
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        content = compose("config", overrides=[f"export=[{','.join(formats)}]"]).export
    found: Any = OmegaConf.to_container(content, resolve=True)
    return found


class Exported:
    """One finished run with every format; two of three fakes must fail, so that the sets differ."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        made = config(folder, "mining.min_failures=2")
        run(made)
        made.stages = [StageName.export]
        made.export = composed(FORMATS)
        self.config = made
        self.outcome = run(made)
        self.setup: Setup = make_setup(made)
        self.job = Run(self.setup)
        self.accepted = np.flatnonzero(self.job.sets["accepted"])

    def of(self, name: str) -> Path:
        (found,) = (self.outcome.folder / "exports").glob(f"{name}-*")
        return found

    @property
    def table(self) -> pd.DataFrame:
        return self.job.pool.table.iloc[self.accepted]

    def sha256(self) -> dict[str, str]:
        return dict(zip(self.table["image_id"], self.table["sha256"], strict=True))

    def correct(self, name: str) -> np.ndarray:
        (model,) = [model for model in self.setup.models if model.name == name]
        return self.job.correct([model])[0]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return Exported(tmp_path_factory.mktemp("exports"))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_yaml_names_every_argument_of_its_class(name: str) -> None:
    from hydra.utils import get_object

    (spec,) = composed([name]).values()
    factory = get_object(spec.pop("_target_"))
    assert issubclass(factory, Export)
    assert set(spec) == set(inspect.signature(factory).parameters)
    factory(**spec)


def test_the_folder_has_the_layout_of_the_release(exported: Exported) -> None:
    root = exported.of("folder")
    found = {path.relative_to(root).as_posix(): digest(path.read_bytes()) for path in root.rglob("*.png")}
    rows = exported.table.itertuples()
    assert found == {f"{row.kind}/{row.category}/{row.image_id}.png": row.sha256 for row in rows}
    for kind in ("background", "texture", "material"):
        questions = pd.read_csv(root / "questions" / f"{kind}.csv", sep="\t")
        assert list(questions) == ["image_dir", "gt_category", "top1_pred_cate", "top2_pred_cate"]
        assert set(questions["image_dir"]) == {name for name in found if name.startswith(kind)}


def test_the_questions_name_the_two_best_categories_of_the_first_surrogate(exported: Exported) -> None:
    from tests.stored_logits import read_logits

    questions = pd.concat(
        pd.read_csv(path, sep="\t") for path in (exported.of("folder") / "questions").glob("*.csv")
    ).set_index("image_dir")
    logits = read_logits(exported.setup.folders["s0"].path, exported.job.pool)[exported.accepted]
    names = np.array(["banana", "mug", "sock"])
    for row, scores in zip(exported.table.itertuples(), logits, strict=True):
        best = names[np.argsort(-scores)]
        asked = questions.loc[f"{row.kind}/{row.category}/{row.image_id}.png"]
        assert [asked["gt_category"], asked["top1_pred_cate"], asked["top2_pred_cate"]] == [
            row.category,
            *best[:2],
        ]


def test_the_folder_tells_the_nuisance_and_every_answer(exported: Exported) -> None:
    images = pd.read_csv(exported.of("folder") / "images.csv", keep_default_na=False)
    assert list(images) == list(COLUMNS)
    assert images["nuisance"].tolist() == exported.table["nuisance"].tolist()
    assert images["prompt"].tolist() == exported.table["text"].tolist()
    assert (images["num_failures"] >= 2).all() and images["is_mined"].all()
    answers = pd.read_csv(exported.of("folder") / "predictions.csv")
    assert answers["image_id"].tolist() == images["image_id"].tolist()
    for name in ("s0", "s1", "s2", "t"):
        assert answers[f"{name}_correct"].tolist() == exported.correct(name)[exported.accepted].tolist()


def test_import_back_of_the_folder_gives_the_same_answer_on_every_image(
    exported: Exported, tmp_path: Path
) -> None:
    root = exported.of("folder")
    made = config(tmp_path, "mining.min_failures=2", stages=[StageName.prompts, StageName.generate])
    made.stages += [StageName.predict, StageName.mine, StageName.qc, StageName.evaluate]
    made.generator = {
        "_target_": "imagenetd.images.generators.folder.FolderGenerator",
        "root": str(root),
        "metadata": str(root / "images.csv"),
        "unit_size": 64,
    }
    run_pipeline(made, plain_config={})
    plan = make_setup(made)
    again = Run(plan)
    assert again.pool.table["category"].tolist() == exported.table["category"].tolist()
    assert again.pool.table["nuisance"].tolist() == exported.table["nuisance"].tolist()
    for model in plan.models:
        right = read_answers(plan.folders[model.name].path, again.pool, again.space(model)).correct
        assert right.tolist() == exported.correct(model.name)[exported.accepted].tolist()
    assert again.mined.all()


def read_as_the_release(root: Path, output_dir: Path, *overrides: str, **changes: Any) -> Config:
    """Return the config of `python run.py experiment=evaluate data=imagenet_d data.root=ROOT`, with all four fakes."""
    kind = ["experiment=evaluate", "data=imagenet_d", f"data.root={root}"]
    made = config(output_dir, *kind, *overrides, num_surrogates=0, **changes)
    made.targets = {f"s{n}": {"_target_": FAKE, "name": f"s{n}", "seed": n} for n in range(3)}
    return made


def correctness(outcome: Outcome) -> dict[str, dict[str, int]]:
    """Return model -> file -> right (1) or wrong (0), as the run's own CSV says."""
    table = pd.read_csv(outcome.folder / "per_image.csv")
    return {
        str(name): dict(zip(rows["image"], rows["correct_closed-set"], strict=True))
        for name, rows in table.groupby("model")
    }


def original_correctness(exported: Exported) -> dict[str, dict[str, int]]:
    """Return the same of the run that made the images."""
    files = [f"{row.kind}/{row.category}/{row.image_id}.png" for row in exported.table.itertuples()]
    return {
        name: dict(zip(files, exported.correct(name)[exported.accepted].astype(int).tolist(), strict=True))
        for name in ("s0", "s1", "s2", "t")
    }


def test_the_folder_read_as_the_release_gives_the_same_answer_and_the_nuisance_of_every_image(
    exported: Exported, tmp_path: Path
) -> None:
    root = exported.of("folder")
    outcome = run(read_as_the_release(root, tmp_path))
    assert correctness(outcome) == original_correctness(exported)
    images = Run(make_setup(read_as_the_release(root, tmp_path))).pool.table.set_index("sha256")
    told = images.loc[exported.table["sha256"], ["kind", "nuisance", "text"]].to_numpy().tolist()
    assert told == exported.table[["kind", "nuisance", "text"]].to_numpy().tolist()
    table = pd.read_csv(outcome.folder / "tables" / "per_nuisance.csv")
    expected = exported.table["nuisance"].value_counts().to_dict()
    assert dict(zip(table["nuisance"], table["pool_num_images"], strict=True)) == expected
    count = len(exported.accepted)
    assert outcome.results[0].note.startswith(
        f"an export with the nuisances of {count} images; the release has 4,835"
    )


def test_the_folder_without_its_table_gives_the_same_answers_by_kind(
    exported: Exported, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(exported.of("folder"), tmp_path / "bare"))
    (root / "images.csv").unlink()
    outcome = run(read_as_the_release(root, tmp_path / "runs"))
    assert correctness(outcome) == original_correctness(exported)
    table = pd.read_csv(outcome.folder / "per_image.csv")
    assert set(table["kind"]) == set(exported.table["kind"]) and table["nuisance"].isna().all()
    assert outcome.results[0].note.startswith(f"{len(exported.accepted)} images; the release has 4,835")


def test_a_whole_export_of_all_categories_is_no_incomplete_release(
    exported: Exported, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(exported.of("folder"), tmp_path / "copy"))
    made = read_as_the_release(root, tmp_path / "runs", "categories=imagenet_d", "categories.names=all")
    assert len(make_setup(made).categories) == 113
    lost = next(root.glob("texture/*/*.png"))
    lost.unlink()
    with pytest.raises(DataError, match=rf"lacks 1 of the {len(exported.accepted)} images .*{lost.name}"):
        make_setup(made)
    made.data["check_counts"] = False
    assert not make_setup(made).images.is_drawn


def test_a_table_that_contradicts_its_folders_is_refused(exported: Exported, tmp_path: Path) -> None:
    root = Path(shutil.copytree(exported.of("folder"), tmp_path / "copy"))
    text = (root / "images.csv").read_text().splitlines()
    file, *rest = text[1].split(",")
    kind, category, name = file.split("/")
    other = next(one for one in ("banana", "mug") if one != category)
    text[1] = ",".join([file, rest[0], other, *rest[2:]])
    (root / "images.csv").write_text("\n".join(text))
    with pytest.raises(DataError, match=rf"images.csv calls {kind}/{category}/{name} .*/{other}"):
        make_setup(read_as_the_release(root, tmp_path / "runs"))


def test_the_datasheet_tells_provenance_licence_and_numbers(exported: Exported) -> None:
    text = (exported.of("folder") / "README.md").read_text()
    count = len(exported.accepted)
    assert f"{count} images of 3 everyday objects with 4 nuisances. A procedural renderer" in text
    assert "2 of 3 surrogates must be wrong (s0, s1, s2)" in text
    assert f"{count} hard, {count} accepted" in text
    share = 100 * exported.correct("t")[exported.accepted].mean()
    (row,) = (line for line in text.splitlines() if line.startswith("| t | target"))
    assert f"{share:.1f} [" in row
    assert "Images: Apache-2.0." in text
    assert exported.setup.folders["mine"].key in text


def test_images_of_a_foreign_generator_have_no_licence_until_one_is_named(
    exported: Exported, tmp_path: Path
) -> None:
    made = config(exported.folder, "mining.min_failures=2", stages=[StageName.export])
    made.export = composed(["folder"])
    made.export["folder"] |= {"to": str(tmp_path / "named"), "licence": "CC-BY-4.0"}
    run(made)
    assert "Images: CC-BY-4.0." in (tmp_path / "named" / "README.md").read_text()


def test_hugging_face_reads_the_parquet_files_back(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = importlib.import_module("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    data = datasets.load_dataset(str(exported.of("hf")), split="test", cache_dir=str(tmp_path))
    assert len(data) == len(exported.accepted)
    raw = data.cast_column("image", datasets.Image(decode=False))
    assert {row["image_id"]: digest(row["image"]["bytes"]) for row in raw} == exported.sha256()
    assert data[0]["image"].size == (64, 64)
    assert data.features["label"].int2str(data["label"]) == exported.table["category"].tolist()
    assert [row["t"]["correct"] for row in data["predictions"]] == exported.correct("t")[
        exported.accepted
    ].tolist()
    assert data["nuisance"] == exported.table["nuisance"].tolist()


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # webdataset never closes a shard
def test_webdataset_streams_the_shards_back(exported: Exported) -> None:
    webdataset = importlib.import_module("webdataset")
    (shard,) = exported.of("webdataset").glob("shard-*.tar")
    stream = webdataset.WebDataset(str(shard), shardshuffle=False)
    samples = list(stream)
    assert {sample["__key__"]: digest(sample["png"]) for sample in samples} == exported.sha256()
    classes = json.loads((exported.of("webdataset") / "classes.json").read_text())
    rows = [json.loads(sample["json"]) for sample in samples]
    assert [classes[int(sample["cls"])] for sample in samples] == exported.table["category"].tolist()
    assert [row["predictions"]["t"]["correct"] for row in rows] == exported.correct("t")[
        exported.accepted
    ].tolist()
    with tarfile.open(shard) as archive:
        assert {member.mtime for member in archive} == {0}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # rdflib under mlcroissant
def test_croissant_is_valid_and_gives_images_with_their_nuisance(exported: Exported) -> None:
    mlcroissant = importlib.import_module("mlcroissant")
    data = mlcroissant.Dataset(str(exported.of("croissant") / "croissant.json"))
    assert not data.metadata.ctx.issues.errors and not data.metadata.ctx.issues.warnings
    records = list(data.records("images"))
    assert len(records) == len(exported.accepted)
    expected = exported.table.set_index("image_id")
    for record in records:
        row = expected.loc[record["images/image_id"].decode()]
        assert record["images/nuisance"].decode() == row["nuisance"]
        pixels = np.asarray(record["images/image"])
        assert np.array_equal(pixels, exported.job.pool.read_image(int(row["index"])))


def test_fiftyone_files_hold_truth_predictions_tags_and_views(exported: Exported) -> None:
    root = exported.of("fiftyone")
    samples = json.loads((root / "samples.json").read_text())["samples"]
    table = exported.job.pool.table
    assert [sample["image_id"] for sample in samples] == table["image_id"].tolist()
    assert [sample["ground_truth"]["label"] for sample in samples] == table["category"].tolist()
    wrong = ~exported.correct("t")
    assert ["t wrong" in sample["tags"] for sample in samples] == wrong.tolist()
    assert [sample["t"]["label"] == sample["ground_truth"]["label"] for sample in samples] == (
        ~wrong
    ).tolist()
    mined = exported.job.mined
    assert ["mined" in sample["tags"] for sample in samples] == mined.tolist()
    views = {view["name"] for view in json.loads((root / "metadata.json").read_text())["saved_views"]}
    assert {"mined", "accepted", "kind texture", "t fails"} <= views
    assert all((root / sample["filepath"]).is_file() for sample in samples)


def test_a_second_start_exports_nothing_again(exported: Exported) -> None:
    def times() -> dict[Path, int]:
        files = exported.outcome.folder.rglob("exports/*/*")
        return {path: path.stat().st_mtime_ns for path in files if path.name != ".lock"}

    before = times()
    assert run(exported.config).results[-1].is_skipped
    assert times() == before


@pytest.mark.parametrize("damage", ["deleted", "cut short", "all deleted"])
def test_an_export_whose_files_are_not_there_is_written_again(
    exported: Exported, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = config(exported.folder, "mining.min_failures=2", stages=[StageName.export])
    made.export = composed(["folder"])
    made.export["folder"]["to"] = str(tmp_path / "export")
    run(made)
    whole = {path: path.read_bytes() for path in (tmp_path / "export").rglob("*/*.png")}
    first = min(whole)
    if damage == "cut short":
        first.write_bytes(whole[first][:9])
    for path in list(whole) if damage == "all deleted" else [first] if damage == "deleted" else []:
        path.unlink()
    assert not run(made).results[-1].is_skipped
    assert "written again" in " ".join(capsys.readouterr().out.split())
    assert {path: path.read_bytes() for path in whole} == whole
    assert run(made).results[-1].is_skipped


def test_a_folder_that_holds_something_else_is_left_alone(exported: Exported, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    made = config(exported.folder, "mining.min_failures=2", stages=[StageName.export])
    made.export = composed(["folder"])
    made.export["folder"]["to"] = str(tmp_path)
    with pytest.raises(ConfigError, match=r"export\.folder\.to=.* is not empty and holds no export"):
        run(made)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_set_that_is_not_known_or_empty_is_refused(exported: Exported) -> None:
    made = config(exported.folder, "mining.min_failures=2", stages=[StageName.export])
    made.export = composed(["folder"])
    made.export["folder"]["set"] = "hard"
    with pytest.raises(ConfigError, match="set is hard, but only accepted, mined, easy, not_mined, pool"):
        run(made)
    made.export["folder"]["set"] = "pool_accepted"  # there is no gate here
    with pytest.raises(UserError, match=r"export\.folder\.set=pool_accepted holds no image"):
        run(made)


def test_a_question_model_that_is_not_in_the_run_is_refused(exported: Exported, tmp_path: Path) -> None:
    made = config(exported.folder, "mining.min_failures=2", stages=[StageName.export])
    made.export = composed(["folder"])
    made.export["folder"] |= {"question_model": "clip", "to": str(tmp_path / "new")}
    with pytest.raises(ConfigError, match="question_model is clip, but the run has s0, s1, s2, t"):
        run(made)


FIFTYONE = os.environ.get("IMAGENETD_FIFTYONE_PYTHON", "")
READ_FIFTYONE = """
import json, sys, fiftyone as fo
data = fo.Dataset.from_dir(sys.argv[1], dataset_type=fo.types.FiftyOneDataset)
views = {name: len(data.load_saved_view(name)) for name in data.list_saved_views()}
rows = {s.image_id: [s.ground_truth.label, s.prompt, s.nuisance, s.t.label, sorted(s.tags)] for s in data}
print("RESULT" + json.dumps({"views": views, "rows": rows, "tags": data.count_sample_tags()}))
fo.delete_dataset(data.name)
"""


@pytest.mark.slow
def test_fiftyone_itself_reads_the_data_set(exported: Exported, tmp_path: Path) -> None:
    """FiftyOne pins other versions of libraries, so it may live in an environment of its own."""
    import importlib.util
    import sys

    python = FIFTYONE or (sys.executable if importlib.util.find_spec("fiftyone") else "")
    if not python:
        pytest.skip("fiftyone is not installed: set IMAGENETD_FIFTYONE_PYTHON to a Python that has it")
    environment = {
        **os.environ,
        "FIFTYONE_DATABASE_DIR": str(tmp_path / "db"),
        "FIFTYONE_DATABASE_VALIDATION": "false",
        "FIFTYONE_DO_NOT_TRACK": "true",
    }
    command = [python, "-c", READ_FIFTYONE, str(exported.of("fiftyone"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))[6:])
    table, wrong = exported.job.pool.table, ~exported.correct("t")
    assert list(found["rows"]) == table["image_id"].tolist()
    for row, is_wrong in zip(table.itertuples(), wrong, strict=True):
        truth, prompt, nuisance, answer, tags = found["rows"][row.image_id]
        assert (truth, prompt, nuisance) == (row.category, row.text, row.nuisance)
        assert (answer != truth) == is_wrong == ("t wrong" in tags)
    assert found["views"]["t fails"] == found["tags"]["t wrong"] == int(wrong.sum())
    assert found["views"]["mined"] == int(exported.job.mined.sum())
