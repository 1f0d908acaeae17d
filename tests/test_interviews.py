"""Models that are asked questions, from the wrong option to coverage in the summary; no download."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from imagenetd.errors import ConfigError, ModelError
from imagenetd.models.answers import OUTCOMES
from imagenetd.models.released_questions import released_rivals
from imagenetd.models.vqa import VqaClassifier
from imagenetd.pipeline import Outcome
from imagenetd.stages.setup import make_setup
from imagenetd.words.vocabulary import choose_categories
from tests.test_pipeline import config, run, summary
from tests.tiny_chat import save_tiny_idefics3, save_tiny_llava, save_tiny_qwen2_vl

CPU = torch.device("cpu")
SCRIPTED = "tests.fakes.ScriptedInterviewer"
SCRIPT = ["{first}", "It is a {second}.", "{first} or {second}", "I cannot tell", "a cloud"]
NAMES = ["banana", "mug", "sock"]


def asked(**options: Any) -> dict[str, Any]:
    return {"_target_": SCRIPTED, "name": "chat", "script": SCRIPT} | options


def answers(folder: Path) -> pa.Table:
    (found,) = (path for path in folder.glob("predictions/*/chat-*") if (path / "stage.json").is_file())
    return pq.read_table(sorted(found.glob("part-*.parquet")))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    folder = tmp_path_factory.mktemp("runs")
    return folder, run(config(folder, target=asked(log=str(folder / "log"))))


def test_the_wrong_option_is_the_reference_models_favourite_wrong_category(
    finished: tuple[Path, Outcome],
) -> None:
    folder, _ = finished
    table = answers(folder).to_pandas().set_index("image_id")
    (first,) = folder.glob("predictions/*/s0-*")  # the first surrogate is the reference
    reference = pq.read_table(sorted(first.glob("part-*.parquet"))).to_pandas().set_index("image_id")
    images = pq.read_table(next(folder.glob("pools/*/manifest.parquet"))).to_pandas().set_index("image_id")
    for image_id, row in table.iterrows():
        label = NAMES.index(images.loc[image_id, "category"])
        ranked = [place for place in np.argsort(-reference.loc[image_id, "logits"]) if place != label]
        assert set(row["options"]) == {NAMES[label], NAMES[ranked[0]]}
        assert row["question"] == f"Which? {', '.join(row['options'])}."


def test_answers_are_kept_and_scored_with_every_image_in_the_denominator(
    finished: tuple[Path, Outcome],
) -> None:
    folder, outcome = finished
    table, found = answers(folder).to_pandas(), summary(outcome)
    assert len(table) == 72 and set(table["outcome"]) == {*NAMES, *OUTCOMES}
    counts = table["outcome"].value_counts()
    said = found["reports"]["coverage"]["chat"]["pool"]
    assert said["num_images"] == 72 == found["targets"]["chat"]["pool"]["n"]
    assert {name: said[name] for name in OUTCOMES} == {name: counts[name] for name in OUTCOMES}
    assert said["coverage"] == pytest.approx(1 - counts[[*OUTCOMES]].sum() / 72)
    assert (found["models"]["chat"]["regime"], found["models"]["chat"]["chance"]) == ("two-choice", 0.5)
    rows = pd.read_csv(outcome.folder / "tables" / "coverage" / "answers.csv")
    total = rows[(rows["set"] == "pool") & (rows["kind"] == "all")].iloc[0]
    assert total["num_correct"] == found["models"]["chat"]["accuracy"]["pool"]["num_correct"] > 0


def test_compat_leaves_unclear_answers_out_and_asks_no_model_again(finished: tuple[Path, Outcome]) -> None:
    folder, outcome = finished
    num_asked = len((folder / "log").read_text().splitlines())
    again = run(config(folder, target=asked(log=str(folder / "log"), scoring="compat")))
    assert len((folder / "log").read_text().splitlines()) == num_asked == 72
    strict, compat = (summary(run_)["models"]["chat"] for run_ in (outcome, again))
    answered = summary(outcome)["reports"]["coverage"]["chat"]["pool"]["coverage"] * 72
    assert compat["regime"] == "two-choice-answered"
    assert compat["accuracy"]["pool"]["num_images"] == round(answered) < 72
    assert compat["accuracy"]["pool"]["num_correct"] == strict["accuracy"]["pool"]["num_correct"]


def test_the_full_list_needs_no_other_model(tmp_path: Path) -> None:
    made = config(tmp_path, "stages=[prompts,generate,predict]", num_surrogates=1)
    made.target = asked(question="full-list")
    run(made)
    table = answers(tmp_path).to_pandas()
    assert {tuple(sorted(options)) for options in table["options"]} == {tuple(NAMES)}
    assert len({tuple(options) for options in table["options"]}) == 6  # every order occurs


def test_an_asked_model_can_be_a_surrogate(tmp_path: Path) -> None:
    made = config(tmp_path)
    made.surrogates["chat"] = asked()
    found = summary(run(made))
    assert found["models"]["chat"]["accuracy"]["mined"]["num_correct"] == 0


def test_an_image_that_a_surrogates_scoring_leaves_out_is_no_failure_of_it(tmp_path: Path) -> None:
    made = config(tmp_path, num_surrogates=1)
    made.surrogates["chat"] = asked(scoring="compat")
    made.mining.min_failures = 1
    found = run(made)
    folders = summary(found)["folders"]
    record = pd.read_parquet(Path(folders["evaluate"]) / "per_image.parquet").set_index(["model", "image"])
    mining = pd.read_parquet(Path(folders["mine"]) / "failures.parquet").set_index("image_id")
    chat = record.loc["chat", "correct_two-choice-answered"].reindex(mining.index)
    net = record.loc["s0", "correct_closed-set"].reindex(mining.index).astype(bool)
    assert chat.isna().any() and (chat == False).any()  # noqa: E712
    expected = (~net).astype(int) + (chat == False).fillna(False).astype(int)  # noqa: E712
    assert mining["num_failures"].tolist() == expected.tolist()
    assert not mining["is_easy"][chat.isna()].any()


def test_the_reference_must_be_a_model_of_the_run(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="target.reference=other is no model of this run, which holds s0, s1, s2"
    ):
        make_setup(config(tmp_path, target=asked(reference="other")))


def test_a_named_reference_makes_another_key(tmp_path: Path) -> None:
    keys = {
        name: make_setup(config(tmp_path, target=asked(reference=name))).folders["chat"].key
        for name in ("s0", "s1", "s2")
    }
    assert len(set(keys.values())) == 3
    assert make_setup(config(tmp_path, target=asked())).folders["chat"].key == keys["s0"]


def test_a_question_of_one_category_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="categories.names holds one"):
        make_setup(config(tmp_path, "categories.names=[mug]", target=asked()))


def test_an_unknown_way_of_asking_is_refused() -> None:
    with pytest.raises(ConfigError, match="question=two must be one of two-choice, full-list"):
        VqaClassifier(model="a/b", question="two")
    with pytest.raises(ConfigError, match="template=What is this\\? must be a text with {options} in it"):
        VqaClassifier(model="a/b", template="What is this?")
    with pytest.raises(ConfigError, match="dtype=int8"):
        VqaClassifier(model="a/b", dtype="int8")


def released(folder: Path, *lines: str) -> str:
    header = "image_dir\tgt_category\ttop1_pred_cate\ttop2_pred_cate"
    (folder / "background.csv").write_text("\n".join([header, *lines]) + "\n")
    return str(folder)


def images(*files: str, category: str = "mug") -> pd.DataFrame:
    return pd.DataFrame({"image_id": files, "category": category, "kind": "background", "file": files})


def test_released_questions_give_the_failure_category(tmp_path: Path) -> None:
    spec = released(
        tmp_path,
        "background/mug/1.png\tmug\tmug\ttea_cup",
        "./ImageNet-D/background/mug/2.png\tmug\tmixing/salad_bowl\tmug",
    )
    found = released_rivals(spec, images("background/mug/1.png", "mug/2.png"))
    assert found == {"background/mug/1.png": "tea_cup", "mug/2.png": "mixing_or_salad_bowl"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("background/mug/9.png\tmug\tmug\tvase", "has no line for mug/1.png"),
        ("background/mug/1.png\tvase\tmug\tvase", "says that mug/1.png shows vase, but it is listed as mug"),
        ("background/mug/1.png\tmug\tcat\tvase", "names 'cat', which is none of the 113"),
    ],
)
def test_released_questions_that_do_not_fit_are_told(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        released_rivals(released(tmp_path, line), images("mug/1.png"))


def test_a_file_that_is_no_question_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match="lacks the columns image_dir"):
        released_rivals(str(tmp_path / "x.csv"), images("mug/1.png"))
    with pytest.raises(ConfigError, match="neither a file nor a folder"):
        released_rivals(str(tmp_path / "nowhere"), images("mug/1.png"))


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llava(tmp_path_factory.mktemp("llava"))


def chat(folder: Path, **options: Any) -> VqaClassifier:
    model = VqaClassifier(model=str(folder), **{"max_new_tokens": 6} | options)
    model.reference_identity = {"model": "r"}
    model.rivals = {"a": "pen", "b": "can_opener", "c": "mug"}
    model.load(choose_categories(["mug", "pen", "can_opener"]), CPU)
    return model


def interview(model: VqaClassifier) -> list[str]:
    pictures = [Image.new("RGB", size, "red") for size in ((64, 48), (30, 90), (28, 28))]
    pictures[1].putpixel((3, 3), (0, 0, 255))
    said = model.interview([model.transform(p) for p in pictures], ["a", "b", "c"], ["mug", "mug", "pen"])
    return [answer.answer for answer in said]


def test_a_tiny_llava_runs_through_the_whole_chain(llava: Path, tmp_path: Path) -> None:
    spec = {"_target_": "imagenetd.models.vqa.VqaClassifier", "model": str(llava), "name": "chat"}
    outcome = run(config(tmp_path, "num_images_per_cell=1", target=spec | {"max_new_tokens": 4}))
    table, found = answers(tmp_path).to_pandas(), summary(outcome)
    assert len(table) == 12 and table["answer"].str.len().gt(0).all()
    assert set(table["outcome"]) <= {*NAMES, *OUTCOMES}
    assert found["reports"]["coverage"]["chat"]["pool"]["num_images"] == 12
    record = json.loads(next(tmp_path.glob("predictions/*/chat-*/stage.json")).read_text())
    assert record["identity"]["asked"]["reference"] and record["label_space"]["regime"] == "two-choice"


@pytest.mark.parametrize("save", [save_tiny_llava, save_tiny_idefics3, save_tiny_qwen2_vl])
def test_greedy_answers_do_not_depend_on_the_batch(save: Any, tmp_path: Path) -> None:
    model = chat(save(tmp_path), dtype="float32")
    together = interview(model)
    alone = [
        model.say([image], [question], [0])[0]
        for image, question in zip(
            [Image.new("RGB", (64, 48), "red"), Image.new("RGB", (28, 28), "red")],
            [model.ask(model.options("a", "mug")), model.ask(model.options("c", "pen"))],
            strict=True,
        )
    ]
    assert [together[0], together[2]] == alone and all(together)


def test_sampled_answers_have_a_seed_of_their_own(llava: Path) -> None:
    model = chat(llava, temperature=1.0)
    first, second = interview(model), interview(model)
    assert first == second
    assert interview(chat(llava, temperature=1.0, seed=1)) != first


def test_a_folder_without_weights_or_processor_is_told(llava: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"is not a folder with config.json and \*.safetensors"):
        VqaClassifier(model=str(tmp_path)).missing_files("target")
    for file in llava.glob("*"):
        if file.name in ("config.json", "model.safetensors"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ModelError, match="processor") as caught:
        chat(tmp_path)
    assert "\n" not in str(caught.value)


def test_weights_that_lack_a_tensor_are_refused(llava: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for file in llava.glob("*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(llava / "model.safetensors")
    dropped = sorted(name for name in weights if "projector" in name)[0]
    save_file(
        {name: value for name, value in weights.items() if name != dropped},
        tmp_path / "model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(ModelError, match="lacks 1 weights of model_type=llava") as caught:
        chat(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_model_that_writes_no_text_is_refused(llava: Path, tmp_path: Path) -> None:
    for file in llava.glob("*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.json").write_text('{"model_type": "resnet"}')
    with pytest.raises(ModelError, match="model_type=resnet is not a model that writes text") as caught:
        chat(tmp_path)
    assert "\n" not in str(caught.value)
