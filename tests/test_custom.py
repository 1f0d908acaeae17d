"""Models of the user's own."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from imagenetd.errors import ConfigError, ModelError
from imagenetd.models.custom import CustomClassifier
from imagenetd.stages.setup import make_setup
from imagenetd.words.imagenet import load_classes
from imagenetd.words.vocabulary import choose_categories
from tests.own_models import Linear
from tests.test_pipeline import config, run, summary

CPU = torch.device("cpu")
CATEGORIES = choose_categories(["banana", "mug", "sock"])
NAMES = ["banana", "mug", "sock"]


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    torch.manual_seed(0)
    save_file(Linear().state_dict(), tmp_path / "linear.safetensors")
    return str(tmp_path / "linear.safetensors")


def custom(name: str, **options: Any) -> CustomClassifier:
    return CustomClassifier(module=f"tests.own_models.{name}", **{"classes": NAMES} | options)


def loaded(name: str, **options: Any) -> CustomClassifier:
    model = custom(name, **{"loads_own_weights": True} | options)
    model.load(CATEGORIES, CPU)
    return model


def test_a_torch_module_gets_the_weights_of_the_checkpoint(checkpoint: str) -> None:
    model = loaded("Linear", checkpoint=checkpoint, kwargs={"num_classes": 3}, loads_own_weights=False)
    torch.manual_seed(0)
    batch = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(model.logits(batch), Linear()(batch))


@pytest.mark.parametrize("name", ["colour_function", "wrapped"])
def test_any_callable_will_do(name: str) -> None:
    batch = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(loaded(name).logits(batch), batch.mean(dim=(2, 3)))


def test_the_preprocessing_is_the_users_or_the_usual_one() -> None:
    red = Image.new("RGB", (50, 40), "red")
    own = loaded("colour_function", transform="tests.own_models.plain_colours")
    assert own.transform(red).flatten().tolist() == [1.0, 0.0, 0.0]
    usual = loaded("colour_function", input_size_px=32, mean=[0.0] * 3, std=[1.0] * 3)
    assert usual.transform(red).shape == (3, 32, 32)


def test_a_file_gives_the_order_of_the_outputs(tmp_path: Path) -> None:
    wnids = [entry.wnid for entry in load_classes()]
    (tmp_path / "order.txt").write_text("\n".join(reversed(wnids)))
    model = loaded("counting", classes=str(tmp_path / "order.txt"))
    assert model.logits(torch.zeros(1, 3, 4, 4)).argmax().item() == 999 - 7
    assert model.label_space(CATEGORIES).num_classes == 1000
    (tmp_path / "numbers.txt").write_text("\n".join(map(str, range(999, -1, -1))))
    other = loaded("counting", classes=str(tmp_path / "numbers.txt"))
    assert other.identity(CATEGORIES) == model.identity(CATEGORIES)


@pytest.mark.parametrize(
    ("text", "message"),
    [("0\n1\n", "it has 2 different classes"), ("n99999999\n", "'n99999999', which is none")],
)
def test_an_order_that_is_not_one_of_all_classes_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "order.txt").write_text(text)
    with pytest.raises(ConfigError, match=message):
        custom("counting", classes=str(tmp_path / "order.txt"), loads_own_weights=True).identity(CATEGORIES)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Linear", {}, "the network would be random"),
        ("Linear", {"checkpoint": "nowhere.safetensors"}, "does not exist"),
        (
            "Linear",
            {"loads_own_weights": True, "kwargs": {"depth": 3}},
            "cannot be made: .*unexpected keyword",
        ),
        ("Liner", {"loads_own_weights": True}, "cannot be imported"),
    ],
)
def test_a_model_that_cannot_be_made_is_told_in_one_line(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises((ModelError, ConfigError), match=message) as caught:
        custom(name, **options).load(CATEGORIES, CPU)
    assert "\n" not in str(caught.value)


def test_weights_of_another_shape_are_told_in_one_line(checkpoint: str) -> None:
    with pytest.raises(ModelError, match=r"head.weight is \[3, 3\] in the file and \[5, 3\]") as caught:
        custom("Linear", checkpoint=checkpoint, kwargs={"num_classes": 5}).load(CATEGORIES, CPU)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", r"fails on images of shape \[2, 3, 8, 8\]: .*own_models.py:\d+"),
        ("wide", "where images x classes is needed"),
    ],
)
def test_a_model_that_fails_on_images_is_told_in_one_line(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        loaded(name).logits(torch.zeros(2, 3, 8, 8))
    assert "\n" not in str(caught.value)


def test_the_identity_follows_code_arguments_weights_and_preprocessing(checkpoint: str) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"kwargs": {"num_classes": 3}},
        {"version": "2"},
        {"input_size_px": 32},
        {"transform": "tests.own_models.plain_colours"},
        {"checkpoint": None, "loads_own_weights": True},
        {"classes": NAMES[::-1]},
    ]
    identities = [
        json.dumps(custom("Linear", **{"checkpoint": checkpoint} | change).identity(CATEGORIES))
        for change in changes
    ]
    assert len(set(identities)) == len(changes)
    same = custom("Linear", checkpoint=checkpoint, batch_size=3, family="x").identity(CATEGORIES)
    assert json.dumps(same) == identities[0]


def test_a_model_of_ones_own_runs_through_the_whole_chain(tmp_path: Path, checkpoint: str) -> None:
    spec = {"_target_": "imagenetd.models.custom.CustomClassifier", "module": "tests.own_models.Linear"}
    spec |= {"checkpoint": checkpoint, "classes": NAMES, "name": "own"}  # type: ignore[dict-item]
    found = summary(run(config(tmp_path, "num_images_per_cell=1", target=spec)))
    assert found["targets"]["own"]["pool"]["n"] == 12
    wide = spec | {"module": "tests.own_models.counting", "checkpoint": None, "loads_own_weights": True}
    with pytest.raises(ModelError, match="own gave 1000 logits an image, but has 3 classes"):
        run(config(tmp_path, "num_images_per_cell=1", target=wide))


def test_a_model_cannot_be_called_like_a_stage(tmp_path: Path) -> None:
    spec = {"_target_": "tests.fakes.ColourClassifier", "name": "mine", "seed": 5}
    with pytest.raises(ConfigError, match="A model is called mine, as a stage is"):
        make_setup(config(tmp_path, target=spec))
