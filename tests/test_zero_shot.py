from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from imagenetd.errors import ConfigError, ModelError
from imagenetd.models.open_clip import OpenClipClassifier
from imagenetd.models.state_dicts import choose_weights
from imagenetd.models.timm import TimmClassifier
from imagenetd.models.weight_files import open_weights
from imagenetd.models.zero_shot import cached_head, read_templates
from imagenetd.words.vocabulary import choose_categories

CPU = torch.device("cpu")
MUG = choose_categories(["mug", "banana"])
TINY = {
    "architecture": None,
    "checkpoint": "package:assets/tiny/tiny_clip_rn",
    "tokenizer": "package:assets/tiny/tokenizer",
}


def test_a_file_of_templates_has_one_sentence_a_line(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("# two\na {category}\n\n the {category} \n")
    assert read_templates(str(tmp_path / "mine.txt"), name="x") == ("a {category}", "the {category}")


def test_the_shipped_ensemble_gives_twelve_prompts() -> None:
    model = OpenClipClassifier(architecture="RN50", weights="openai", templates="ensemble_v1")
    prompts = model.prompts(MUG[0])
    assert len(set(prompts)) == 12 and prompts[0] == "A photo of a mug"
    assert all("mug" in prompt and "{" not in prompt for prompt in prompts)


@pytest.mark.parametrize(
    ("text", "message"), [("# nothing\n", "holds no sentence"), ("a photo\n", "has no {category}")]
)
def test_a_file_without_templates_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_templates(str(tmp_path / "mine.txt"), name="x")


def test_unknown_templates_are_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="templates=ensemble_v0 is neither .* nor one of ensemble_v1"):
        read_templates("ensemble_v0", name="x")


def test_a_head_is_made_once_for_each_set_of_prompts(tmp_path: Path) -> None:
    def made(identity: str, value: float) -> float:
        return cached_head(tmp_path, {"prompts": identity}, lambda: torch.full((2, 3), value))[0, 0].item()

    assert [made("a", 1.0), made("a", 2.0), made("b", 3.0)] == [1.0, 1.0, 3.0]
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


@pytest.mark.parametrize("damage", [b"xx", b"", None])
def test_a_damaged_head_is_made_anew_and_not_used(damage: bytes | None, tmp_path: Path) -> None:
    cached_head(tmp_path, {}, lambda: torch.zeros(2, 3))
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    flipped = whole[:-30] + bytes([whole[-30] ^ 1]) + whole[-29:]
    file.write_bytes(flipped if damage is None else damage)
    assert torch.equal(cached_head(tmp_path, {}, lambda: torch.ones(2, 3)), torch.ones(2, 3))
    again = cached_head(tmp_path, {}, lambda: pytest.fail("made a third time"))
    assert torch.equal(again, torch.ones(2, 3))


def test_a_model_with_a_cached_head_gives_the_same_logits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    def logits() -> torch.Tensor:
        model = OpenClipClassifier(**TINY)
        model.cache_dir = tmp_path
        model.load(MUG, CPU)
        return model.logits(batch)

    first = logits()
    monkeypatch.setattr(OpenClipClassifier, "_encode_prompts", lambda *_: pytest.fail("encoded twice"))
    assert torch.equal(first, logits())


def read(path: Path) -> dict[str, torch.Tensor]:
    return choose_weights(open_weights(path), path).tensors


def test_weights_are_found_below_what_training_scripts_wrap_around_them(tmp_path: Path) -> None:
    weight = torch.ones(2)
    bare = {"fc.weight": weight}
    wrapped = {
        "state_dict": {"epoch": 3, "arch": "resnet50", "state_dict": {"module.fc.weight": weight}},
        "model_state_dict": {"model_state_dict": bare},
        "model": {"model": "resnet50", "state_dict": bare, "best_acc1": 0.7},  # as AugMix saves it
        "lightning": {"state_dict": {"model.fc.weight": weight}, "epoch": 3},
        "compiled": {"module._orig_mod.fc.weight": weight},
    }
    for name, content in wrapped.items():
        torch.save(content, tmp_path / f"{name}.pth")
        assert list(read(tmp_path / f"{name}.pth")) == ["fc.weight"], name
    save_file({"module.fc.weight": weight}, tmp_path / "x.safetensors")
    assert list(read(tmp_path / "x.safetensors")) == ["fc.weight"]


def test_a_file_without_weights_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "lr": 0.1}, tmp_path / "x.pth")
    with pytest.raises(ModelError, match="holds a mapping with epoch, lr where weights are expected"):
        read(tmp_path / "x.pth")


@pytest.mark.parametrize("content", [b"hello", b""])
def test_a_file_that_torch_did_not_write_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(ModelError, match="is no torch file") as caught:
        read(tmp_path / "x.pth")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interpolation": "cubic"}, "interpolation=cubic must be one of nearest, bilinear"),
        ({"crop_pct": 87.5}, "crop_pct=87.5 must be 2 or less"),
        ({"mean": [0.5]}, r"mean=\[0.5\] must be three numbers"),
        ({"std": [1.0, 0.0, 1.0]}, "must be above 0"),
        ({"input_size_px": 0}, "input_size_px=0 must be 1 or more"),
    ],
)
def test_preprocessing_that_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TimmClassifier(architecture="resnet50", **options)


def test_a_size_that_a_transformer_cannot_take_is_told_in_one_line(tmp_path: Path) -> None:
    import timm

    torch.save(
        timm.create_model("vit_tiny_patch16_224", depth=1, num_classes=2).state_dict(), tmp_path / "vit.pth"
    )
    model = TimmClassifier(
        architecture="vit_tiny_patch16_224",
        model_kwargs={"depth": 1},
        checkpoint=str(tmp_path / "vit.pth"),
        classes=["mug", "banana"],
        input_size_px=96,
    )
    with pytest.raises(ModelError, match=r"doesn't match model .* Change input_size_px") as caught:
        model.load(MUG, CPU)
    assert "\n" not in str(caught.value)


def test_a_timm_network_loads_a_checkpoint_saved_by_a_parallel_trainer(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=2)
    wrapped = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"epoch": 1, "state_dict": wrapped}, tmp_path / "checkpoint.pth.tar")
    model = TimmClassifier(
        architecture="test_resnet",
        checkpoint=str(tmp_path / "checkpoint.pth.tar"),
        pretrained=False,
        classes=["mug", "banana"],
    )
    model.load(MUG, CPU)
    image = torch.rand(1, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(model.logits(image), network.eval()(image))
