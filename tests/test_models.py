import json
import sys
from pathlib import Path
from subprocess import run
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from imagenetd.errors import ConfigError, ModelError
from imagenetd.models.open_clip import OpenClipClassifier
from imagenetd.models.timm import TimmClassifier
from imagenetd.store import hub
from imagenetd.words.vocabulary import Category, choose_categories

CPU = torch.device("cpu")
NAMES = ["banana", "chair", "mug"]
CATEGORIES = choose_categories(NAMES)
TOKENIZER = "package:assets/tiny/tokenizer"
TEXT = {"context_length": 16, "vocab_size": 1000, "width": 32, "heads": 2, "layers": 1}
MODEL_CFG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 64, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": TEXT | {"hf_tokenizer_name": "x", "pool_type": "eos", "eos_id": 1, "pad_id": 1},
}


@pytest.fixture(scope="module")
def timm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random test_resnet over three categories, in half precision, as timm saves it."""
    import timm

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("timm")
    network = timm.create_model("test_resnet", num_classes=3)
    weights = {
        key: value.half() if value.is_floating_point() else value
        for key, value in network.state_dict().items()
    }
    save_file(weights, folder / "model.safetensors")
    cfg = {
        "input_size": [3, 64, 64],
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "interpolation": "bicubic",
        "crop_pct": 1.0,
    }
    config = {"architecture": "test_resnet", "num_classes": 3, "label_names": NAMES, "pretrained_cfg": cfg}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random dual encoder in half precision, as open_clip saves it."""
    import open_clip

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("clip")
    network = open_clip.CLIP(**MODEL_CFG)
    save_file(
        {key: value.half() for key, value in network.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    config = {"model_cfg": MODEL_CFG, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


def timm_model(folder: Path | str, **options: Any) -> TimmClassifier:
    return TimmClassifier(
        **{"architecture": "test_resnet", "checkpoint": str(folder), "classes": "own"} | options
    )


def clip_model(folder: Path | str, **options: Any) -> OpenClipClassifier:
    return OpenClipClassifier(
        **{"architecture": None, "checkpoint": str(folder), "tokenizer": TOKENIZER} | options
    )


def pictures(count: int) -> list[Image.Image]:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)
    return [Image.fromarray(array) for array in pixels]


def test_building_a_classifier_imports_no_heavy_library() -> None:
    code = (
        "import sys; from imagenetd.models.timm import TimmClassifier as T;"
        "from imagenetd.models.open_clip import OpenClipClassifier as O;"
        "T(architecture='resnet50'); O(architecture='RN50', weights='openai');"
        "print([name for name in ('torch', 'timm', 'open_clip', 'transformers') if name in sys.modules])"
    )
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_timm_logits_of_a_batch_equal_those_of_single_images(timm_folder: Path) -> None:
    model = timm_model(timm_folder)
    model.load(CATEGORIES, CPU)
    batch = torch.stack([model.transform(picture) for picture in pictures(5)])
    assert batch.shape == (5, 3, 64, 64)
    singles = torch.cat([model.logits(image[None]) for image in batch])
    assert singles.shape == (5, 3) and singles.dtype == torch.float32
    torch.testing.assert_close(model.logits(batch), singles, atol=1e-4, rtol=0)


def test_clip_logits_of_a_batch_equal_those_of_single_images(clip_folder: Path) -> None:
    model = clip_model(clip_folder)
    model.load(CATEGORIES, CPU)
    batch = torch.stack([model.transform(picture) for picture in pictures(5)])
    singles = torch.cat([model.logits(image[None]) for image in batch])
    assert singles.shape == (5, 3) and singles.dtype == torch.float32
    torch.testing.assert_close(model.logits(batch), singles, atol=1e-4, rtol=0)


def test_clip_logits_are_a_hundred_times_the_cosine_to_the_mean_of_the_templates(clip_folder: Path) -> None:
    from open_clip.tokenizer import HFTokenizer
    from torch.nn.functional import normalize

    model = clip_model(clip_folder, templates=["a photo of a {category}", "a {category}"])
    model.load(CATEGORIES, CPU)
    words = HFTokenizer(str(Path(hub.__file__).parents[1] / "assets/tiny/tokenizer"), context_length=16)
    batch = torch.stack([model.transform(picture) for picture in pictures(2)])
    with torch.inference_mode():
        first, second = (
            normalize(model._model.encode_text(words([text.format(name) for name in NAMES])), dim=-1)
            for text in ("a photo of a {}", "a {}")
        )
        image = normalize(model._model.encode_image(batch), dim=-1)
    expected = 100 * image @ normalize((first + second) / 2, dim=-1).T
    torch.testing.assert_close(model.logits(batch), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        ("binder_closed", "A photo of a binder (closed)"),
        ("coffee_or_french_press", "A photo of a coffee or french press"),
        ("t_shirt", "A photo of a t shirt"),
        ("alarm_clock", "A photo of a alarm clock"),
    ],
)
def test_clip_prompts_are_those_of_the_reference(name: str, prompt: str) -> None:
    (category,) = choose_categories([name])
    assert OpenClipClassifier(architecture="RN50", weights="openai").prompts(category) == [prompt]


def test_bare_name_leaves_the_template_out() -> None:
    model = OpenClipClassifier(architecture="RN50", weights="openai", bare_name=True)
    assert model.prompts(CATEGORIES[2]) == ["mug"]


def test_a_prompt_that_would_be_cut_off_is_refused(clip_folder: Path) -> None:
    with pytest.raises(ModelError, match="reads 16 tokens, but 'A photo of a drying rack for plates' has"):
        clip_model(clip_folder).load(choose_categories(["mug", "drying_rack_for_plates"]), CPU)


def test_a_template_without_the_category_is_refused() -> None:
    with pytest.raises(ConfigError, match="no {category}"):
        OpenClipClassifier(architecture="RN50", weights="openai", templates=["A photo"])


@pytest.mark.parametrize("kind", ["timm", "clip"])
def test_a_half_precision_file_runs_in_float32(kind: str, timm_folder: Path, clip_folder: Path) -> None:
    folder = {"timm": timm_folder, "clip": clip_folder}[kind]
    model: Any = {"timm": timm_model, "clip": clip_model}[kind](folder)
    model.load(CATEGORIES, CPU)
    assert {weight.dtype for weight in model._model.parameters()} == {torch.float32}


def test_the_weights_in_the_network_are_those_of_the_file(timm_folder: Path) -> None:
    model = timm_model(timm_folder)
    model.load(CATEGORIES, CPU)
    held, found = load_file(timm_folder / "model.safetensors"), model._model.state_dict()
    assert held.keys() == found.keys()
    assert all(torch.equal(held[key].float(), found[key].float()) for key in held)


def test_any_imagenet_id_of_a_category_is_right() -> None:
    space = TimmClassifier(architecture="resnet50").label_space(
        [Category("chair", "chair", (423, 559, 765)), CATEGORIES[2]]
    )
    assert (space.regime, space.num_classes) == ("any-of-ids", 1000)
    assert space.accepted == {"chair": (423, 559, 765), "mug": (504,)}


def test_zero_shot_classes_are_the_chosen_categories_in_their_order() -> None:
    space = OpenClipClassifier(architecture="RN50", weights="openai").label_space(
        choose_categories(["mug", "banana"])
    )
    assert (space.regime, space.num_classes) == ("zero-shot", 2)
    assert space.accepted == {"mug": (0,), "banana": (1,)}


def test_a_closed_set_keeps_the_order_of_the_model(timm_folder: Path) -> None:
    space = timm_model(timm_folder).label_space(choose_categories(["mug", "banana"]))
    assert (space.regime, space.num_classes) == ("closed-set", 3)
    assert space.accepted == {"mug": (2,), "banana": (0,)}


def test_a_category_that_a_closed_set_lacks_is_named(timm_folder: Path) -> None:
    with pytest.raises(ModelError, match="does not know teapot"):
        timm_model(timm_folder).load(choose_categories(["mug", "teapot"]), CPU)


@pytest.mark.parametrize(
    "model",
    [
        TimmClassifier(architecture="resnet50", pretrained=False),
        OpenClipClassifier(architecture="RN50", weights=None),
    ],
)
def test_a_model_without_weights_is_refused(model: TimmClassifier | OpenClipClassifier) -> None:
    for ask in (
        lambda: model.missing_files("target"),
        lambda: model.identity(CATEGORIES),
        lambda: model.load(CATEGORIES, CPU),
    ):
        with pytest.raises(ModelError, match="the network would be random"):
            ask()


def test_weights_without_a_classifier_head_are_refused() -> None:
    model = TimmClassifier(architecture="vit_small_patch14_dinov2.lvd142m")
    with pytest.raises(ModelError, match="no classifier head"):
        model.identity(CATEGORIES)


def test_weights_with_another_head_are_refused() -> None:
    model = TimmClassifier(architecture="vit_base_patch16_224.augreg_in21k")
    with pytest.raises(ModelError, match="21843 classes, but classes=imagenet needs 1000"):
        model.identity(CATEGORIES)


@pytest.mark.parametrize("folder_has_config", [True, False])
def test_another_number_of_classes_is_told_in_one_line(
    timm_folder: Path, tmp_path: Path, folder_has_config: bool
) -> None:
    place = timm_folder if folder_has_config else timm_folder / "model.safetensors"
    with pytest.raises(ModelError) as caught:
        timm_model(place, classes="imagenet").load(CATEGORIES, CPU)
    message = str(caught.value)
    assert "3" in message and "1000" in message and "\n" not in message


def test_another_architecture_is_told_in_one_line(timm_folder: Path) -> None:
    with pytest.raises(ModelError, match="says test_resnet"):
        timm_model(timm_folder, architecture="test_vit").load(CATEGORIES, CPU)
    file = timm_folder / "model.safetensors"
    with pytest.raises(ModelError, match="does not hold weights of test_convnext: the file lacks") as caught:
        timm_model(file, architecture="test_convnext", classes=NAMES).load(CATEGORIES, CPU)
    assert "\n" not in str(caught.value)


def test_another_dual_encoder_is_told_in_one_line(clip_folder: Path) -> None:
    file = clip_folder / "open_clip_model.safetensors"
    with pytest.raises(ModelError, match="weights of ViT-S-32-alt") as caught:
        clip_model(file, architecture="ViT-S-32-alt").load(CATEGORIES, CPU)
    assert "\n" not in str(caught.value)


def test_a_pickle_that_could_run_code_is_not_opened(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(3, 2), "note": Path("x")}, tmp_path / "model.pth")
    with pytest.raises(ModelError, match="could run code") as caught:
        timm_model(tmp_path / "model.pth", classes=NAMES).load(CATEGORIES, CPU)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_told_in_one_line(clip_folder: Path, tmp_path: Path) -> None:
    config = (clip_folder / "open_clip_config.json").read_text()
    (tmp_path / "open_clip_config.json").write_text(config)
    whole = (clip_folder / "open_clip_model.safetensors").read_bytes()
    (tmp_path / "open_clip_model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="cannot be read as weights") as caught:
        clip_model(tmp_path).load(CATEGORIES, CPU)
    assert "\n" not in str(caught.value)


def test_a_state_dict_saved_by_torch_loads(timm_folder: Path, tmp_path: Path) -> None:
    torch.save(load_file(timm_folder / "model.safetensors"), tmp_path / "model.pth")
    model = timm_model(tmp_path / "model.pth", classes=NAMES)
    model.load(CATEGORIES, CPU)
    assert model.label_space(CATEGORIES).class_names == tuple(NAMES)


def test_a_checkpoint_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        timm_model("nowhere.safetensors").missing_files("target")
    with pytest.raises(ModelError, match="does not exist"):
        clip_model(tmp_path / "nowhere").missing_files("target")


def test_misspelt_names_get_a_suggestion() -> None:
    with pytest.raises(ModelError, match="did you mean resnet50"):
        TimmClassifier(architecture="resnett50").missing_files("target")
    with pytest.raises(ModelError, match="has no weights=openia for RN50"):
        OpenClipClassifier(architecture="RN50", weights="openia").missing_files("target")
    with pytest.raises(ModelError, match="did you mean ViT-B-32"):
        OpenClipClassifier(architecture="ViT-B-3", weights="openai").missing_files("target")


def test_identity_follows_weights_and_prompts_but_not_the_batch_size(clip_folder: Path) -> None:
    identity = clip_model(clip_folder).identity(CATEGORIES)
    json.dumps(identity)
    assert clip_model(clip_folder, batch_size=7, name="x").identity(CATEGORIES) == identity
    assert clip_model(clip_folder, bare_name=True).identity(CATEGORIES) != identity
    assert clip_model(clip_folder).identity(CATEGORIES[:2]) != identity


def test_identity_is_the_same_wherever_a_checkpoint_lies(timm_folder: Path, tmp_path: Path) -> None:
    identity = timm_model(timm_folder).identity(CATEGORIES)
    json.dumps(identity)
    for file in timm_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert timm_model(tmp_path).identity(CATEGORIES) == identity
    assert timm_model(tmp_path, input_size_px=32).identity(CATEGORIES) != identity


def test_preprocessing_can_be_overridden(timm_folder: Path) -> None:
    model = timm_model(timm_folder, input_size_px=32, mean=[0.0] * 3, std=[1.0] * 3)
    model.load(CATEGORIES, CPU)
    white = model.transform(Image.new("RGB", (64, 64), "white"))
    assert white.shape == (3, 32, 32)
    torch.testing.assert_close(white, torch.ones(3, 32, 32))


def test_provenance_holds_hash_and_preprocessing_of_what_was_loaded(clip_folder: Path) -> None:
    model = clip_model(clip_folder)
    model.load(CATEGORIES, CPU)
    provenance = model.provenance()
    assert len(provenance["sha256"]) == 64
    assert provenance["preprocessing"]["size"] in (64, (64, 64))
    assert tuple(provenance["preprocessing"]["mean"]) == (0.5, 0.5, 0.5)
