"""The embedded text-to-image model loads as a stock pipeline, repeats itself, and stays small."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).parent.parent / "imagenetd/assets/tiny/generator"


def sampled(pipeline: Any, prompts: str | list[str], **options: Any) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own, about numpy 2
        called = pipeline(prompts, num_inference_steps=3, guidance_scale=3.0, output_type="np", **options)
    return torch.from_numpy(called.images)


def pictures(pipeline: Any, prompts: list[str], seed: int) -> torch.Tensor:
    generators = [torch.Generator().manual_seed(seed + place) for place in range(len(prompts))]
    return sampled(pipeline, prompts, generator=generators)


@pytest.fixture(scope="module")
def pipeline() -> Any:
    from diffusers import StableDiffusionPipeline

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library announces its own coming changes
        loaded = StableDiffusionPipeline.from_pretrained(FOLDER, use_safetensors=True)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def test_two_prompts_give_two_different_pictures_of_64_pixels(pipeline: Any) -> None:
    made = pictures(pipeline, ["a photo of a mug", "a photo of a chair in the beach"], seed=0)
    assert made.shape == (2, 64, 64, 3)
    assert made.isfinite().all()
    assert (made[0] - made[1]).abs().mean() > 0.05


def test_the_same_seed_gives_the_same_pixels_and_another_seed_others(pipeline: Any) -> None:
    prompts = ["a photo of a striped sock", "a photo of a teapot made of brick"]
    first, again, other = (pictures(pipeline, prompts, seed) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_prompt_decides_the_picture(pipeline: Any) -> None:
    start = torch.zeros(1, pipeline.unet.config.in_channels, 8, 8)
    beach, cavern = (
        sampled(pipeline, f"a photo of a banana in the {place}", latents=start)
        for place in ("beach", "indoor cavern")
    )
    assert (beach - cavern).abs().mean() > 0.05


def test_the_codec_encodes_linearly(pipeline: Any) -> None:
    codec, generator = pipeline.vae, torch.Generator().manual_seed(0)
    first, second = (torch.rand(2, 3, 64, 64, generator=generator) * 2 - 1 for _ in range(2))
    with torch.no_grad():
        apart = codec.encode(0.25 * first + 0.75 * second).latents
        together = 0.25 * codec.encode(first).latents + 0.75 * codec.encode(second).latents
    assert torch.allclose(apart, together, atol=1e-4)


def test_the_codec_decodes_close_to_what_it_encoded(pipeline: Any) -> None:
    import numpy as np

    from imagenetd.images.tiny_world import render

    images = render([0, 5, 9], [1, 3, 6], [0, 2, 8], rng=np.random.default_rng(11))
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        decoded = pipeline.vae.decode(pipeline.vae.encode(pixels).latents).sample
    decibel = 10 * torch.log10(4 / (decoded.clamp(-1, 1) - pixels).square().mean())
    assert decibel > 24


def test_the_weights_are_safetensors_of_at_most_16_megabytes() -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    weights = [path for path in files if path.stat().st_size > 100_000]
    assert {path.suffix for path in weights} == {".safetensors"}
    assert max(path.stat().st_size for path in weights) <= 16_000_000


def test_the_sampler_is_part_of_the_folder(pipeline: Any) -> None:
    assert pipeline.scheduler.config.use_flow_sigmas
    assert pipeline.scheduler.config.prediction_type == "flow_prediction"
