"""Every family of pipelines through one adapter, as small random networks of the real architectures."""

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from imagenetd.errors import ConfigError, ModelError, UserError
from imagenetd.images.generators.diffusers import DiffusersGenerator
from imagenetd.images.generators.generator import noise_seed
from imagenetd.records import Prompt
from tests import tiny_pipelines

# diffusers 0.42 converts some samplers' noise levels in a way that numpy 2.4 warns about
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TEXTS = ("a photo of a striped banana", "a photo of a mug in the beach")
ROWS = [Prompt(i, TEXTS[i // 2], "v1", "banana", "texture", "striped", 0, i) for i in range(4)]
SEEDS = [noise_seed("k", row) for row in ROWS]
SIZE: dict[str, Any] = {"num_inference_steps": 3, "guidance_scale": 4.0, "height_px": 32, "width_px": 32}

Folders = Callable[..., Path]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    made: dict[str, Path] = {}

    def folder(name: str, **options: Any) -> Path:
        key = f"{name}{options}"
        if key not in made:
            made[key] = tiny_pipelines.save(name, tmp_path_factory.mktemp(name), **options)
        return made[key]

    return folder


def generator(root: Path, folder: Path, **changes: Any) -> DiffusersGenerator:
    spec = yaml.safe_load((root / "conf/generator/diffusers.yaml").read_text())
    del spec["_target_"], spec["defaults"]  # the defaults choose the words of prompts
    return DiffusersGenerator(**spec | SIZE | {"model": str(folder)} | changes)


def loaded(root: Path, folder: Path, **changes: Any) -> DiffusersGenerator:
    made = generator(root, folder, **changes)
    made.load("cpu")
    return made


@torch.inference_mode()
def pixels(made: DiffusersGenerator, places: slice = slice(None)) -> np.ndarray:
    return np.stack([picture.pixels for picture in made.generate(ROWS[places], SEEDS[places])])


def share_within_one(first: np.ndarray, second: np.ndarray) -> float:
    return float((np.abs(first.astype(int) - second) <= 1).mean())


@pytest.mark.parametrize("family", tiny_pipelines.FAMILIES)
def test_the_adapter_draws_what_a_plain_call_of_diffusers_draws(
    family: str, root: Path, folders: Folders
) -> None:
    import diffusers

    made = loaded(root, folders(family))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = diffusers.DiffusionPipeline.from_pretrained(str(folders(family)), use_safetensors=True)
    plain.set_progress_bar_config(disable=True)
    options = {"use_resolution_binning": False, "clean_caption": False} if family == "pixart" else {}
    images = plain(
        prompt=[row.text for row in ROWS],
        generator=[torch.Generator().manual_seed(seed) for seed in SEEDS],
        num_inference_steps=3,
        guidance_scale=4.0,
        height=32,
        width=32,
        output_type="np",
        **options,
    ).images
    drawn = pixels(made)
    assert drawn.shape == (4, 32, 32, 3) and drawn.std() > 10
    assert share_within_one(drawn, (images * 255).round()) > 0.999
    assert np.abs(drawn[0].astype(int) - drawn[2]).mean() > 5  # another text and noise, another image


@pytest.mark.parametrize("family", ["sd", "sdxl", "flux"])
def test_each_distinct_text_is_encoded_once(family: str, root: Path, folders: Folders) -> None:
    made = loaded(root, folders(family))
    for _ in range(2):
        pixels(made)
    assert made._text is not None
    assert made._text.num_encoded == (2 if family == "flux" else 3)  # the third is the unconditional half


@pytest.mark.parametrize("family", ["sd", "sdxl", "sd3"])
def test_alone_and_in_a_batch_the_noise_is_the_same_and_pixels_differ_by_rounding_alone(
    family: str, root: Path, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = loaded(root, folders(family))
    kind, noise = type(made._pipeline), []
    prepare = kind.prepare_latents

    def remember(*args: Any, **options: Any) -> torch.Tensor:
        noise.append(prepare(*args, **options))
        return noise[-1]

    monkeypatch.setattr(kind, "prepare_latents", remember)
    together = pixels(made)
    alone = np.concatenate([pixels(made, slice(n, n + 1)) for n in range(4)])
    assert torch.equal(torch.cat(noise[1:]), noise[0])
    assert share_within_one(together, alone) > 0.999


def test_a_negative_prompt_and_the_guidance_change_the_image(root: Path, folders: Folders) -> None:
    folder = folders("sd")
    first, *others = (
        pixels(loaded(root, folder, **changes))
        for changes in ({}, {"negative_prompt": "ugly"}, {"guidance_scale": 1.0})
    )
    for other in others:
        assert np.abs(first.astype(int) - other).mean() > 0.5


@pytest.mark.parametrize("family", ["lcm", "flux"])
def test_a_negative_prompt_that_a_pipeline_does_not_take_is_refused(
    family: str, root: Path, folders: Folders
) -> None:
    with pytest.raises(ConfigError, match=r"negative_prompt='ugly' cannot be used: .* takes none"):
        loaded(root, folders(family), negative_prompt="ugly")


@pytest.mark.parametrize("family", ["sd3", "flux", "pixart"])
def test_the_length_of_a_t5_text_is_an_option(family: str, root: Path, folders: Folders) -> None:
    made = loaded(root, folders(family), max_sequence_length=8)
    assert made._text is not None
    lengths = {value.shape[1] for value in made._text.arguments(TEXTS).values() if hasattr(value, "ndim")}
    assert lengths & {8, 77 + 8}


def test_a_length_without_a_t5_encoder_is_refused(root: Path, folders: Folders) -> None:
    with pytest.raises(ConfigError, match="max_sequence_length=8 cannot be used"):
        loaded(root, folders("sd"), max_sequence_length=8)


def test_a_component_can_be_left_out(root: Path, folders: Folders) -> None:
    made = loaded(root, folders("sd3"), without=["text_encoder_3", "tokenizer_3"])
    assert made._pipeline.text_encoder_3 is None
    assert pixels(made).shape == (4, 32, 32, 3)


@pytest.mark.parametrize(
    "options",
    [{"attention_slicing": True}, {"vae_slicing": True}, {"channels_last": True}],
    ids=lambda options: next(iter(options)),
)
def test_what_saves_memory_or_time_changes_no_more_than_rounding(
    options: dict[str, Any], root: Path, folders: Folders
) -> None:
    plain, saving = generator(root, folders("sd")), generator(root, folders("sd"), **options)
    assert plain.identity() == saving.identity()
    for made in (plain, saving):
        made.load("cpu")
    assert share_within_one(pixels(plain), pixels(saving)) > 0.999


def test_tiles_of_the_decoder_are_an_option(root: Path, folders: Folders) -> None:
    assert loaded(root, folders("sd"), vae_tiling=True)._pipeline.vae.use_tiling


@pytest.mark.parametrize("how", ["blocks", "whole"])
def test_the_denoiser_is_compiled_when_asked(
    how: str, root: Path, folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str] = []

    def remember(module: torch.nn.Module, *args: Any, **options: Any) -> None:
        compiled.append(type(module).__name__)

    monkeypatch.setattr(torch.nn.Module, "compile", remember)
    loaded(root, folders("sd"), compile=how)
    expected = {"blocks": {"BasicTransformerBlock"}, "whole": {"UNet2DConditionModel"}}
    assert set(compiled) == expected[how]


def test_a_scheduler_and_its_options_are_replaced(root: Path, folders: Folders) -> None:
    made = loaded(
        root,
        folders("sd"),
        scheduler="EulerDiscreteScheduler",
        scheduler_options={"use_karras_sigmas": True},
    )
    assert type(made._pipeline.scheduler).__name__ == "EulerDiscreteScheduler"
    assert made._pipeline.scheduler.config.use_karras_sigmas
    assert made._pipeline.scheduler.config.beta_schedule == "scaled_linear"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scheduler": "Eulr"}, "generator.scheduler=Eulr is not a scheduler"),
        (
            {"scheduler_options": {"karras": True}},
            "scheduler_options.karras is not an option of DDIMScheduler",
        ),
        ({"offload": "model"}, "offload=model needs a GPU, but the device is cpu"),
        (
            {"safety_checker": "bundled"},
            "safety_checker=bundled, but this StableDiffusionPipeline brings none",
        ),
        ({"textual_inversions": {"<a>": "a.pt"}}, r"a\.pt is no \.safetensors file"),
        ({"loras": {"a.safetensors": 1.0}}, r"a\.safetensors does not exist"),
    ],
)
def test_what_the_pipeline_cannot_do_is_told_in_one_line(
    root: Path, folders: Folders, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        loaded(root, folders("sd"), **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtype": "int8"}, "dtype=int8 must be one of float32"),
        ({"compile": "fast"}, "compile=fast must be one of none, blocks, whole"),
        ({"offload": "disk"}, "offload=disk must be one of"),
        ({"nsfw_policy": "hide"}, "nsfw_policy=hide must be one of"),
        ({"nsfw_policy": "blank"}, "nsfw_policy=blank has no effect without a checker"),
        ({"num_inference_steps": 0}, "num_inference_steps=0 must be 1 or more"),
        ({"height_px": 100}, "height_px=100 is not a multiple of 8"),
        ({"images_per_s": 0.0}, "images_per_s=0.0 must be above 0"),
        ({"negative_prompt": "ugly", "guidance_scale": 1.0}, "has no effect with guidance_scale=1"),
    ],
)
def test_a_value_that_no_pipeline_takes_is_refused_before_anything_is_read(
    root: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        generator(root, Path("anywhere"), **changes)


def test_pickled_weights_are_never_read(root: Path, folders: Folders, tmp_path: Path) -> None:
    shutil.copytree(folders("sd"), tmp_path / "pickled")
    unet = tmp_path / "pickled" / "unet"
    (unet / "diffusion_pytorch_model.safetensors").rename(unet / "diffusion_pytorch_model.bin")
    with pytest.raises(ModelError, match="Only safetensors are read, never pickles") as caught:
        loaded(root, tmp_path / "pickled")
    assert "\n" not in str(caught.value)


def test_code_in_a_models_folder_is_never_run(root: Path, folders: Folders, tmp_path: Path) -> None:
    shutil.copytree(folders("sd"), tmp_path / "code")
    mark = tmp_path / "was_run"
    (tmp_path / "code" / "unet" / "own.py").write_text(f"open({str(mark)!r}, 'w').close()\nclass Own: ...\n")
    index = json.loads((tmp_path / "code" / "model_index.json").read_text())
    index["unet"] = ["own", "Own"]
    (tmp_path / "code" / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        loaded(root, tmp_path / "code")
    assert "\n" not in str(caught.value) and not mark.exists()


def test_an_incomplete_folder_is_told_in_one_line(root: Path, folders: Folders, tmp_path: Path) -> None:
    shutil.copytree(folders("sd"), tmp_path / "half")
    shutil.rmtree(tmp_path / "half" / "vae")
    with pytest.raises(ModelError, match=r"generator\.model=.*half cannot be loaded") as caught:
        loaded(root, tmp_path / "half")
    assert "\n" not in str(caught.value)


def test_a_flagged_image_is_recorded_and_never_black_unasked(root: Path, folders: Folders) -> None:
    folder = folders("sd", with_checker=True)
    unchecked = pixels(loaded(root, folder))
    kept = loaded(root, folder, safety_checker="bundled").generate(ROWS, SEEDS)
    assert [picture.is_flagged for picture in kept] == [True] * 4
    assert np.array_equal(np.stack([picture.pixels for picture in kept]), unchecked)
    blank = loaded(root, folder, safety_checker="bundled", nsfw_policy="blank").generate(ROWS, SEEDS)
    assert all(picture.is_flagged and not picture.pixels.any() for picture in blank)
    with pytest.raises(ModelError, match=f"flagged an image of '{TEXTS[0]}'"):
        loaded(root, folder, safety_checker="bundled", nsfw_policy="stop").generate(ROWS, SEEDS)


def test_a_checker_is_loaded_only_when_it_is_asked_for_and_may_come_from_elsewhere(
    root: Path, folders: Folders, tmp_path: Path
) -> None:
    folder = folders("sd", with_checker=True)
    assert loaded(root, folder)._pipeline.safety_checker is None
    shutil.copytree(folder / "safety_checker", tmp_path / "checker")
    shutil.copytree(folder / "feature_extractor", tmp_path / "checker", dirs_exist_ok=True)
    made = loaded(root, folders("sdxl"), safety_checker=str(tmp_path / "checker"))
    assert all(picture.is_flagged for picture in made.generate(ROWS, SEEDS))


def test_a_textual_inversion_gives_a_word_its_meaning(root: Path, folders: Folders, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"<mine>": torch.full((2, 32), 3.0)}, tmp_path / "mine.safetensors")
    changes = {"textual_inversions": {"<mine>": str(tmp_path / "mine.safetensors")}}
    row = [Prompt(0, "a photo of a <mine>", "v1", "banana", "texture", "striped", 0, 0)]
    plain, taught = generator(root, folders("sd")), generator(root, folders("sd"), **changes)
    assert plain.identity() != taught.identity()
    drawn = []
    for made in (plain, taught):
        made.load("cpu")
        drawn.append(made.generate(row, [1])[0].pixels.astype(int))
    assert np.abs(drawn[0] - drawn[1]).mean() > 0.5


def test_a_textual_inversion_for_two_encoders_and_one_of_another_width(
    root: Path, folders: Folders, tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    save_file({"clip_l": torch.ones(1, 32), "clip_g": torch.ones(1, 32)}, tmp_path / "two.safetensors")
    made = loaded(root, folders("sdxl"), textual_inversions={"<mine>": str(tmp_path / "two.safetensors")})
    for tokenizer in (made._pipeline.tokenizer, made._pipeline.tokenizer_2):
        assert "<mine>" in tokenizer.get_vocab()
    save_file({"<mine>": torch.ones(1, 16)}, tmp_path / "narrow.safetensors")
    with pytest.raises(ModelError, match=r"narrow\.safetensors does not fit the model"):
        loaded(root, folders("sd"), textual_inversions={"<mine>": str(tmp_path / "narrow.safetensors")})


def test_a_lora_changes_the_image_by_its_weight(root: Path, folders: Folders, tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="the extra `adapters` is not installed")
    from safetensors.torch import save_file

    name = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_v.lora_{}.weight"
    ramp = torch.linspace(-2, 2, 64)  # an embedding's mean is zero, so equal weights would see nothing of it
    save_file(
        {name.format("A"): ramp.view(2, 32), name.format("B"): ramp[:32].view(16, 2).clone()},
        tmp_path / "lora.safetensors",
    )
    plain, *others = (
        pixels(
            loaded(root, folders("sd"), loras={str(tmp_path / "lora.safetensors"): scale} if scale else {})
        )
        for scale in (0.0, 0.5, 1.0)
    )
    assert all(np.abs(plain.astype(int) - other).mean() > 0.1 for other in others)
    assert not np.array_equal(*others)
