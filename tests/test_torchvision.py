"""Classifiers of torchvision from local weights, and preprocessing that a manifest states."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from imagenetd.errors import ModelError
from imagenetd.models.torchvision import TorchvisionClassifier
from imagenetd.store.folders import file_sha256
from imagenetd.words.vocabulary import choose_categories
from tests.pictures import picture

CATEGORIES = choose_categories(["banana", "alarm_clock"])


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random SqueezeNet in half precision."""
    from torchvision import models

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    save_file({name: value.half() for name, value in models.squeezenet1_1().state_dict().items()}, path)
    return path


def model(weights: Path, **options: Any) -> TorchvisionClassifier:
    return TorchvisionClassifier(**{"architecture": "squeezenet1_1", "checkpoint": str(weights), **options})


def told(found: TorchvisionClassifier) -> str:
    with pytest.raises(ModelError) as caught:
        found.identity(CATEGORIES)
        found.load(CATEGORIES, torch.device("cpu"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_local_checkpoint_gives_a_thousand_logits(weights: Path) -> None:
    found = model(weights, input_size_px=64)
    found.load(CATEGORIES, torch.device("cpu"))
    tensor = found.transform(picture(size=(90, 70)))
    assert tensor.shape == (3, 64, 64)
    assert found.logits(tensor[None]).shape == (1, 1000)
    assert found.label_space(CATEGORIES).accepted == {"banana": (954,), "alarm_clock": (409, 530)}


def test_what_cannot_be_loaded_is_told_in_one_line(weights: Path) -> None:
    assert "did you mean squeezenet1_1?" in told(model(weights, architecture="squeezenet1_"))
    assert "does not hold weights of resnet18" in told(model(weights, architecture="resnet18"))
    assert "is [1000, 512, 1, 1] in the file and [10" in told(
        model(weights, model_kwargs={"num_classes": 10})
    )
    assert "needs local weights" in told(TorchvisionClassifier(architecture="squeezenet1_1"))
    assert "does not exist" in told(model(weights.with_name("gone.safetensors")))


def manifest(folder: Path, weights: Path, **changes: Any) -> Path:
    """Put a copy of the weights below a manifest that describes it."""
    path = folder / "checkpoints" / "net.safetensors"
    path.parent.mkdir()
    path.write_bytes(weights.read_bytes())
    entry = {"file": "checkpoints/net.safetensors", "sha256": file_sha256(path), "input_size": [3, 96, 96]}
    entry |= {"mean": [0.5] * 3, "std": [0.25] * 3, **changes}
    (folder / "manifest.json").write_text(json.dumps({"models": [entry]}))
    return path


def test_preprocessing_comes_from_the_manifest_and_options_go_before_it(
    weights: Path, tmp_path: Path
) -> None:
    path = manifest(tmp_path, weights)
    assert model(path).identity(CATEGORIES)["preprocessing"] == {
        "input_size": [3, 96, 96],
        "crop_pct": 0.875,
        "interpolation": "bilinear",
        "mean": [0.5] * 3,
        "std": [0.25] * 3,
    }
    asked = model(path, mean=[0.1, 0.2, 0.3], input_size_px=64).identity(CATEGORIES)["preprocessing"]
    assert (asked["mean"], asked["input_size"], asked["std"]) == ([0.1, 0.2, 0.3], [3, 64, 64], [0.25] * 3)


def test_a_file_that_is_not_the_one_of_the_manifest_is_refused(weights: Path, tmp_path: Path) -> None:
    path = manifest(tmp_path, weights, sha256="0" * 64)
    assert "its sha256 differs" in told(model(path))


def test_a_manifest_of_something_else_is_passed_over(weights: Path, tmp_path: Path) -> None:
    path = manifest(tmp_path, weights, file="other.safetensors")
    assert model(path).identity(CATEGORIES)["preprocessing"]["input_size"] == [3, 224, 224]
    (tmp_path / "manifest.json").write_text("[no json")
    assert model(path).identity(CATEGORIES)["preprocessing"]["mean"] == [0.485, 0.456, 0.406]
