"""Checkpoints as people save them, and files that are none: one way of reading for every adapter."""

import argparse
import json
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file

from imagenetd.errors import ModelError
from imagenetd.models.classifier import Classifier
from imagenetd.models.custom import CustomClassifier
from imagenetd.models.open_clip import OpenClipClassifier
from imagenetd.models.timm import TimmClassifier
from imagenetd.models.torchvision import TorchvisionClassifier
from imagenetd.words.vocabulary import choose_categories
from tests.own_models import Linear

CPU = torch.device("cpu")
NAMES = ["mug", "banana"]
CATEGORIES = choose_categories(NAMES)
WORDS = "package:assets/tiny/tokenizer"
TEXT = {"context_length": 16, "vocab_size": 457, "width": 32, "heads": 2, "layers": 1}
CLIP_CFG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": TEXT | {"hf_tokenizer_name": "x", "pool_type": "eos", "eos_id": 1, "pad_id": 1},
}

State = dict[str, torch.Tensor]
Loader = Callable[[Path], Classifier]


def timm_model(path: Path, **options: Any) -> TimmClassifier:
    given = {"architecture": "test_resnet", "checkpoint": str(path), "pretrained": False, "classes": NAMES}
    return TimmClassifier(**given | options)


def torchvision_model(path: Path, **options: Any) -> TorchvisionClassifier:
    given = {"architecture": "squeezenet1_1", "checkpoint": str(path), "input_size_px": 64}
    return TorchvisionClassifier(**given | options)


def custom_model(path: Path, **options: Any) -> CustomClassifier:
    given = {"module": "tests.own_models.Linear", "kwargs": {"num_classes": 2}, "checkpoint": str(path)}
    return CustomClassifier(**given | {"classes": NAMES} | options)


def clip_model(path: Path, **options: Any) -> OpenClipClassifier:
    (path.parent / "open_clip_config.json").write_text(json.dumps({"model_cfg": CLIP_CFG}))
    place = path if path.is_dir() else path.parent
    return OpenClipClassifier(architecture=None, checkpoint=str(place), tokenizer=WORDS, **options)


MODELS: dict[str, Any] = {
    "timm": timm_model,
    "torchvision": torchvision_model,
    "custom": custom_model,
    "open_clip": clip_model,
}


@pytest.fixture(scope="module")
def networks() -> dict[str, torch.nn.Module]:
    import open_clip
    import timm
    from torchvision import models

    torch.manual_seed(0)
    return {
        "timm": timm.create_model("test_resnet", num_classes=2),
        "torchvision": models.squeezenet1_1(),
        "custom": Linear(2),
        "open_clip": open_clip.CLIP(**CLIP_CFG),
    }


def loaded(kind: str, path: Path, **options: Any) -> Any:
    model = MODELS[kind](path, **options)
    model.load(CATEGORIES, CPU)
    return model


def told(kind: str, path: Path, **options: Any) -> str:
    """Return the one line with which a file is refused."""
    with pytest.raises(ModelError) as caught:
        loaded(kind, path, **options)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 700
    return message


def named(state: State, prefix: str) -> State:
    return {prefix + name: value for name, value in state.items()}


def other(state: State) -> State:
    """Return raw weights beside averaged ones: the same, moved a little."""
    return {name: value + 0.01 if value.is_floating_point() else value for name, value in state.items()}


def lightning(state: State) -> Any:
    beside = {"criterion.weight": torch.ones(2), "train_acc.total": torch.tensor(7)}
    return {"state_dict": named(state, "model.") | beside, "epoch": 3, "optimizer_states": [{}]}


WRAPPED: dict[str, tuple[Callable[[State], Any], str]] = {
    "averaged_model": (lambda s: named(s, "module.") | {"n_averaged": torch.tensor(5)}, "top"),
    "lightning_with_a_loss": (lightning, "state_dict.model"),
    "lightning_net": (lambda s: {"state_dict": named(s, "net._orig_mod.")}, "state_dict.net"),
    "lightning_backbone": (lambda s: {"state_dict": named(s, "module.backbone.")}, "state_dict.backbone"),
    "lightning_own_name": (lambda s: {"state_dict": named(s, "my_student.")}, "state_dict.my_student"),
    "compiled_in_parallel": (lambda s: named(s, "_orig_mod.module."), "top"),
    "parallel_compiled": (lambda s: {"model": named(s, "module._orig_mod.")}, "model"),
    "fsdp": (lambda s: {"model": named(s, "_fsdp_wrapped_module.")}, "model"),
    "timm_ema": (lambda s: {"state_dict": other(s), "state_dict_ema": s}, "state_dict_ema"),
    "ema": (lambda s: {"model": other(s), "ema": named(s, "module.")}, "ema"),
    "ema_state_dict": (lambda s: {"ema_state_dict": s, "state_dict": other(s)}, "ema_state_dict"),
    "shadow": (lambda s: {"model": other(s), "ema": {"decay": 0.99, "shadow": s}}, "ema.shadow"),
    "ema_inside": (
        lambda s: {"state_dict": named(other(s), "model.") | named(s, "ema_model.module.")},
        "state_dict.ema_model",
    ),
    "swa": (
        lambda s: {"net": other(s), "swa_model": named(s, "module.") | {"n_averaged": torch.ones(())}},
        "swa_model",
    ),
    "optimizer_beside": (
        lambda s: {
            "model": s,
            "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}},
            "epoch": np.float64(3),
        },
        "model",
    ),
    "namespace": (lambda s: {"state_dict": s, "args": argparse.Namespace(lr=0.1, model="x")}, "state_dict"),
    "halved": (lambda s: {k: v.half() if v.is_floating_point() else v for k, v in s.items()}, "top"),
}


@pytest.mark.parametrize("kind", ["timm", "custom"])
@pytest.mark.parametrize("wrapping", WRAPPED)
def test_weights_are_found_whatever_training_wrapped_around_them(
    wrapping: str, kind: str, networks: dict[str, torch.nn.Module], tmp_path: Path
) -> None:
    wrap, entry = WRAPPED[wrapping]
    state = {name: value.clone() for name, value in networks[kind].state_dict().items()}
    torch.save(wrap(state), tmp_path / "x.pth")
    model = loaded(kind, tmp_path / "x.pth")
    found = model.network().state_dict()
    tolerance = 1e-3 if wrapping == "halved" else 0
    for name, value in state.items():
        torch.testing.assert_close(found[name], value, atol=tolerance, rtol=tolerance)
    assert model.provenance()["entry"] == entry


@pytest.mark.parametrize("kind", ["torchvision", "open_clip"])
@pytest.mark.parametrize("wrapping", ["lightning_with_a_loss", "averaged_model", "ema", "namespace"])
def test_every_adapter_reads_wrapped_weights_the_same_way(
    wrapping: str, kind: str, networks: dict[str, torch.nn.Module], tmp_path: Path
) -> None:
    wrap, entry = WRAPPED[wrapping]
    state = networks[kind].state_dict()
    torch.save(wrap(state), tmp_path / "x.pth")
    model = loaded(kind, tmp_path / "x.pth")
    found = model.network().state_dict()
    assert all(torch.equal(found[name], value) for name, value in state.items())
    assert model.provenance()["entry"] == entry


def test_the_raw_weights_are_read_when_they_are_asked_for_and_the_key_says_so(
    networks: dict[str, torch.nn.Module], tmp_path: Path
) -> None:
    state = networks["timm"].state_dict()
    torch.save({"state_dict": other(state), "state_dict_ema": state}, tmp_path / "x.pth")
    model = loaded("timm", tmp_path / "x.pth", checkpoint_entry="state_dict")
    assert torch.equal(model.network().state_dict()["fc.weight"], state["fc.weight"] + 0.01)
    assert model.provenance()["entry"] == "state_dict"
    assert model.provenance()["other_entries"] == ["state_dict_ema"]
    assert model.identity(CATEGORIES)["checkpoint_entry"] == "state_dict"
    assert "checkpoint_entry" not in timm_model(tmp_path / "x.pth").identity(CATEGORIES)
    message = told("timm", tmp_path / "x.pth", checkpoint_entry="state_dict_em")
    assert "it has them under state_dict, state_dict_ema. Did you mean state_dict_ema?" in message


def test_averaged_weights_that_cannot_be_read_are_never_passed_over(
    networks: dict[str, torch.nn.Module], tmp_path: Path
) -> None:
    state = networks["timm"].state_dict()
    torch.save({"model": state, "ema": {"shadow_params": list(state.values())}}, tmp_path / "x.pth")
    message = told("timm", tmp_path / "x.pth")
    assert "averaged weights (ema.shadow_params) that do not fit" in message
    assert "checkpoint_entry=model" in message
    assert loaded("timm", tmp_path / "x.pth", checkpoint_entry="model").provenance()["entry"] == "model"


def test_two_networks_that_both_fit_are_not_chosen_between_by_luck(
    networks: dict[str, torch.nn.Module], tmp_path: Path
) -> None:
    state = networks["timm"].state_dict()
    both = named(state, "student.") | named(other(state), "teacher.")
    torch.save({"state_dict": both}, tmp_path / "x.pth")
    message = told("timm", tmp_path / "x.pth")
    assert "several weights that fit: state_dict.student, state_dict.teacher" in message
    asked = loaded("timm", tmp_path / "x.pth", checkpoint_entry="state_dict.teacher")
    assert torch.equal(asked.network().state_dict()["fc.bias"], state["fc.bias"] + 0.01)


def test_a_refusal_names_the_prefixes_and_the_first_keys_that_do_not_fit(
    networks: dict[str, torch.nn.Module], tmp_path: Path
) -> None:
    state = dict(networks["timm"].state_dict())
    del state["layer1.0.conv1.weight"]
    torch.save({"state_dict": named(state, "trunk.") | {"head.scale": torch.ones(3)}}, tmp_path / "x.pth")
    message = told("timm", tmp_path / "x.pth")
    assert "the file lacks" in message and "also has" in message
    assert "its names begin with trunk, head" in message


def test_a_missing_weight_is_never_left_random(networks: dict[str, torch.nn.Module], tmp_path: Path) -> None:
    for kind in MODELS:
        state = dict(networks[kind].state_dict())
        name = [name for name in state if name.endswith("weight")][-1]
        del state[name]
        (tmp_path / kind).mkdir()
        save_file(state, tmp_path / kind / "model.safetensors")
        assert f"lacks {name}" in told(kind, tmp_path / kind / "model.safetensors").replace('"', ""), kind


def test_a_head_of_1001_classes_is_refused_until_its_background_is_stated(tmp_path: Path) -> None:
    import timm

    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=1001).eval()
    torch.save(network.state_dict(), tmp_path / "x.pth")
    assert (
        "holds 1001. If a background class comes first, as in TensorFlow's networks, set label_offset=1"
        in told("timm", tmp_path / "x.pth", classes="imagenet")
    )
    model = loaded("timm", tmp_path / "x.pth", classes="imagenet", label_offset=1)
    image = torch.rand(1, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(model.logits(image), network(image)[:, 1:])
    assert model.provenance()["label_offset"] == 1
    assert model.identity(CATEGORIES)["label_offset"] == 1


# ---- files that are no checkpoint


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "x")


def _tar(path: Path) -> None:
    (path.parent / "a.txt").write_text("x")
    with tarfile.open(path, "w") as archive:
        archive.add(path.parent / "a.txt", "a.txt")


def _cut(path: Path) -> None:
    torch.save({"fc.weight": torch.ones(100, 100)}, path)
    path.write_bytes(path.read_bytes()[:20000])


def _scripted(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data.pkl", "code/__torch__.py", "constants.pkl"):
            archive.writestr(f"net/{name}", "x")


def _npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, weight=np.ones(3))


def _pickle(path: Path) -> None:
    import pickle

    path.write_bytes(pickle.dumps({"a": 1}))


NO_WEIGHTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "pointer": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
        "it is a Git LFS pointer: run `git lfs pull`",
    ),
    "page": (lambda path: path.write_text("\n<!DOCTYPE html><html>404"), "it is a web page"),
    "empty": (lambda path: path.write_bytes(b""), "it is empty"),
    "text": (lambda path: path.write_text("not found"), "it is text"),
    "cut_zip": (_cut, "a zip that is cut off or damaged"),
    "cut_safetensors": (
        lambda path: path.write_bytes(save({"a": torch.ones(99)})[:200]),
        "cannot be read as weights: it is cut off",
    ),
    "zip": (_zip, "it is a zip of readme.txt"),
    "tar": (_tar, "it is a tar archive"),
    "gzip": (lambda path: path.write_bytes(b"\x1f\x8b\x08\0\0"), "it is a gzip archive"),
    "npz": (_npz, "it is a NumPy archive"),
    "pickle": (_pickle, "a pickle that torch did not write"),
    "script": (_scripted, "it is a TorchScript archive, which holds code"),
    "noise": (lambda path: path.write_bytes(bytes(range(200, 256)) * 9), "of no known format"),
}


@pytest.mark.parametrize("suffix", [".pth", ".bin", ".safetensors"])
@pytest.mark.parametrize("case", NO_WEIGHTS)
def test_a_file_that_is_no_checkpoint_is_called_what_it_is(case: str, suffix: str, tmp_path: Path) -> None:
    write, message = NO_WEIGHTS[case]
    write(tmp_path / f"x{suffix}")
    assert message in told("custom", tmp_path / f"x{suffix}")


@pytest.mark.parametrize("kind", MODELS)
def test_every_adapter_calls_a_pointer_a_pointer(kind: str, tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    assert "a Git LFS pointer" in told(kind, tmp_path / "x.pth")


def test_safetensors_are_read_under_any_name(networks: dict[str, torch.nn.Module], tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(save(dict(networks["custom"].state_dict())))
    loaded("custom", tmp_path / "pytorch_model.bin")


# ---- weights that make no sense


def _set(state: State, name: str, value: float) -> State:
    return state | {name: torch.full_like(state[name], value)}


NONSENSE: dict[str, tuple[Callable[[State], State], str]] = {
    "integer": (
        lambda s: s | {"head.weight": torch.ones(2, 3, dtype=torch.int8)},
        "holds whole numbers (int8)",
    ),
    "boolean": (lambda s: s | {"head.weight": torch.ones(2, 3) > 0}, "holds whole numbers (bool)"),
    "complex": (lambda s: s | {"head.weight": s["head.weight"] + 1j}, "holds complex numbers"),
    "eight_bits": (
        lambda s: s | {"head.weight": s["head.weight"].to(torch.float8_e4m3fn)},
        "whose scale is not known",
    ),
    "sparse": (lambda s: s | {"head.weight": s["head.weight"].to_sparse()}, "a sparse tensor"),
    "quantised": (
        lambda s: s | {"head.weight": torch.quantize_per_tensor(s["head.weight"], 0.1, 0, torch.qint8)},
        "is quantised",
    ),
    "meta": (lambda s: s | {"head.weight": s["head.weight"].to("meta")}, "has a shape but no numbers"),
    "nan": (lambda s: _set(s, "head.bias", float("nan")), "head.bias holds NaN"),
    "infinite": (lambda s: _set(s, "head.bias", float("inf")), "head.bias holds infinite numbers"),
    "zero": (lambda s: {name: torch.zeros_like(value) for name, value in s.items()}, "all weights are zero"),
    "constant": (lambda s: _set(_set(s, "head.weight", 0.5), "head.bias", 1.0), "its head is constant"),
    "same_answer": (
        lambda s: s | {"head.weight": torch.full((2, 3), 0.5)},
        "the network answers the same to different images",
    ),
}


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
@pytest.mark.parametrize("case", NONSENSE)
def test_weights_that_make_no_sense_are_refused(
    case: str, networks: dict[str, torch.nn.Module], tmp_path: Path
) -> None:
    change, message = NONSENSE[case]
    torch.save(change(dict(networks["custom"].state_dict())), tmp_path / "x.pth")
    assert message in told("custom", tmp_path / "x.pth")


@pytest.mark.parametrize("kind", MODELS)
def test_every_adapter_refuses_zero_and_whole_numbers(
    kind: str, networks: dict[str, torch.nn.Module], tmp_path: Path
) -> None:
    state = networks[kind].state_dict()
    zeros = {name: torch.zeros_like(value) for name, value in state.items()}
    torch.save(zeros, tmp_path / "x.pth")
    assert "all weights are zero" in told(kind, tmp_path / "x.pth")
    torch.save({name: (9 * value).to(torch.int8) for name, value in state.items()}, tmp_path / "x.pth")
    assert "holds whole numbers (int8)" in told(kind, tmp_path / "x.pth")


def test_rounded_indices_of_a_network_are_refused() -> None:
    from imagenetd.store.tensors import check_kinds

    own = {"index": torch.arange(300), "bn.num_batches_tracked": torch.tensor(0)}
    fine = {"index": torch.arange(300).half(), "bn.num_batches_tracked": torch.tensor(1e6)}
    check_kinds(fine, own, place="x")
    with pytest.raises(
        ModelError, match="index holds rounded numbers .bfloat16. where the network has int64"
    ):
        check_kinds({"index": torch.arange(300).bfloat16()}, own, place="x")


def test_averages_that_fit_nothing_within_the_same_mapping_are_not_passed_over(
    networks: dict[str, torch.nn.Module], tmp_path: Path
) -> None:
    state = networks["timm"].state_dict()
    averaged = {f"model_ema.{name.replace('.', '')}": value for name, value in other(state).items()}
    torch.save({"state_dict": named(state, "model.") | averaged}, tmp_path / "x.pth")
    assert "averaged weights (state_dict.model_ema) that do not fit" in told("timm", tmp_path / "x.pth")
    kept = loaded("timm", tmp_path / "x.pth", checkpoint_entry="state_dict.model")
    assert kept.provenance()["entry"] == "state_dict.model"


def test_a_pipe_in_place_of_weights_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.pth")
    assert "is no file and no folder" in told("timm", tmp_path / "x.pth")
