"""Logits in float32 from the last features on, whatever autocast does before; ties counted; what was used, recorded."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from imagenetd.models.network import patches
from imagenetd.models.open_clip import OpenClipClassifier
from imagenetd.models.precision import PreciseTail
from imagenetd.models.timm import TimmClassifier
from imagenetd.models.torchvision import TorchvisionClassifier
from imagenetd.scoring.predictions import count_ties
from imagenetd.words.vocabulary import choose_categories
from tests.test_pipeline import config, run, summary

CPU = torch.device("cpu")
CATEGORIES = choose_categories(["mug", "banana", "chair"])


def is_rounded(logits: torch.Tensor) -> bool:
    """Tell whether bfloat16 could hold the same numbers."""
    return torch.equal(logits.bfloat16().float(), logits)


def both(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the logits of a few pictures in float32 and under autocast."""
    model.load(CATEGORIES, CPU)
    batch = torch.stack([model.transform(image) for image in patches()])
    with torch.autocast("cpu", torch.bfloat16):
        half = model.logits(batch)
        assert torch.is_autocast_enabled("cpu")
    return model.logits(batch), half


def random_timm(folder: Path, architecture: str, num_classes: int, **options: Any) -> TimmClassifier:
    import timm

    torch.manual_seed(0)
    network = timm.create_model(architecture, num_classes=num_classes, **options)
    torch.save(network.state_dict(), folder / "x.pth")
    return TimmClassifier(
        architecture=architecture, checkpoint=str(folder / "x.pth"), pretrained=False, model_kwargs=options
    )


@pytest.mark.parametrize(
    "architecture", ["test_resnet", "test_vit", "test_convnext", "test_efficientnet", "test_byobnet"]
)
def test_a_head_of_timm_runs_in_float32_behind_half_precision_features(
    architecture: str, tmp_path: Path
) -> None:
    exact, half = both(random_timm(tmp_path, architecture, 1000))
    assert half.dtype == torch.float32 and not is_rounded(half)
    assert not torch.equal(exact, half)  # the body did run in half precision
    torch.testing.assert_close(half, exact, atol=0.05 * float(exact.abs().max()), rtol=0)


def test_both_heads_of_a_distilled_transformer_run_in_float32(tmp_path: Path) -> None:
    model = random_timm(tmp_path, "deit_tiny_distilled_patch16_224", 1000, depth=2)
    _, half = both(model)
    assert not is_rounded(half)
    kinds: list[torch.dtype] = []
    for head in model.network().get_classifier():  # type: ignore[operator]
        head.register_forward_hook(lambda _, __, output: kinds.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        model.logits(torch.zeros(1, 3, 224, 224))
    assert kinds == [torch.float32, torch.float32]


def test_torchvision_and_its_convolution_as_a_head_run_in_float32_at_the_end(tmp_path: Path) -> None:
    from torchvision import models

    torch.manual_seed(0)
    torch.save(models.squeezenet1_1().state_dict(), tmp_path / "x.pth")
    model = TorchvisionClassifier(
        architecture="squeezenet1_1", checkpoint=str(tmp_path / "x.pth"), input_size_px=64
    )
    _, half = both(model)
    assert not is_rounded(half)


@pytest.mark.parametrize("tower", ["tiny_clip_vit", "tiny_clip_rn", "tiny_clip_convnext"])
def test_a_dual_encoder_normalises_scales_and_compares_in_float32(tower: str) -> None:
    model = OpenClipClassifier(
        architecture=None,
        checkpoint=f"package:assets/tiny/{tower}",
        tokenizer="package:assets/tiny/tokenizer",
    )
    exact, half = both(model)
    assert not is_rounded(half) and not torch.equal(exact, half)
    batch = torch.stack([model.transform(image) for image in patches()])
    with torch.autocast("cpu", torch.bfloat16):
        features = model.features(batch)
        logits = model.logits(batch)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(len(batch)), atol=1e-6, rtol=0)
    torch.testing.assert_close(logits, 100 * features @ model._head, atol=1e-4, rtol=0)


class Hidden(nn.Module):
    """A network whose products are no layers, so that no tail can be told apart."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(3, 7, generator=torch.Generator().manual_seed(0)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3)) @ self.weight


def test_a_network_without_layers_runs_in_float32_as_a_whole() -> None:
    tail, batch = PreciseTail(Hidden()), torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    exact = tail.watch(batch)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(tail.run(batch), exact)
    assert tail.is_whole


def test_images_with_two_best_classes_are_counted() -> None:
    logits = np.array([[1.0, 3.0, 3.0], [0.0, 1.0, 0.0], [2.0, 2.0, 2.0]], np.float32)
    assert count_ties(logits) == 2
    assert count_ties(np.zeros((3, 1), np.float32)) == 0
    assert count_ties(np.zeros((0, 4), np.float32)) == 0


@pytest.fixture(scope="module")
def half_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run in bfloat16 with a target whose outputs are always equal in pairs."""
    folder = tmp_path_factory.mktemp("runs")
    spec = {"_target_": "imagenetd.models.custom.CustomClassifier", "module": "tests.own_models.twins"}
    spec |= {"classes": ["banana", "mug", "sock", "chair"], "loads_own_weights": True, "name": "twins"}  # type: ignore[dict-item]
    done = run(config(folder, "num_images_per_cell=1", "trainer.precision=bf16-mixed", target=spec))
    return folder, summary(done)


def test_ties_are_counted_and_told(half_run: tuple[Path, dict[str, Any]]) -> None:
    folder, found = half_run
    (file,) = folder.glob("predictions/*/twins-*/stage.json")
    record = json.loads(file.read_text())
    assert record["num_tied"] == record["num_images"]
    num = record["num_images"]
    sentence = f"twins gives its largest logit to several classes on {num} of {num} images: the first of them counts."
    assert record["remarks"] == [sentence]
    assert sentence in found["findings"]


def test_the_record_says_what_was_computed_with(half_run: tuple[Path, dict[str, Any]]) -> None:
    (file,) = half_run[0].glob("predictions/*/twins-*/stage.json")
    record = json.loads(file.read_text())
    (computed,) = record["computed"]
    assert computed["device"] == "cpu" and computed["logits"] == "float32"
    assert (computed["weights"], computed["features"], computed["matmul"]) == (
        "float32",
        "bfloat16",
        "highest",
    )
    assert record["identity"]["precision"] == "bf16-mixed up to the last features, then float32"
