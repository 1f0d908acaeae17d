"""Stable Diffusion 2.1 and SDXL with random weights: the published sizes, or a hundredth of them to try the script."""

import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

CLIP_TOKENS = 49_408
"""Rows of CLIP's token table; the tokenizer here uses only the first few, which costs the same."""


@dataclass(frozen=True, slots=True)
class Size:
    """What differs between the real networks and the ones of a try-out."""

    is_real: bool

    def of(self, real: Any, small: Any) -> Any:
        """Return one of two values."""
        return real if self.is_real else small


def make_tokenizer() -> Any:
    """Return a CLIP tokenizer that spells letter by letter; prompts are padded to 77 tokens as always."""
    from transformers import CLIPTokenizer

    letters = [*string.ascii_lowercase, *string.digits, *"-,.'"]
    alphabet = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={word: number for number, word in enumerate(alphabet)}, merges=[])
    tokenizer.model_max_length = 77
    return tokenizer


def text_config(size: Size, tokenizer: Any, *, width: int, layers: int, heads: int, activation: str) -> Any:
    """Return the config of a CLIP text encoder."""
    from transformers import CLIPTextConfig

    end = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    real = {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
    }
    return CLIPTextConfig(
        **size.of(real, small),
        vocab_size=size.of(CLIP_TOKENS, len(tokenizer)),
        projection_dim=size.of(width, 32),
        hidden_act=activation,
        bos_token_id=tokenizer.convert_tokens_to_ids("<|startoftext|>"),
        eos_token_id=end,
        pad_token_id=end,
    )


def make_vae(size: Size, *, scaling_factor: float) -> Any:
    """Return the autoencoder that both architectures share."""
    from diffusers import AutoencoderKL

    widths = size.of((128, 256, 512, 512), (8, 8, 16, 16))
    return AutoencoderKL(
        block_out_channels=widths,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=size.of(2, 1),
        norm_num_groups=size.of(32, 4),
        latent_channels=4,
        scaling_factor=scaling_factor,
    )


def make_scheduler(kind: Any, **options: Any) -> Any:
    """Return a scheduler with the noise levels of both architectures; its tables stay on the CPU."""
    with torch.device("cpu"):
        return kind(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, **options
        )


def make_sd21(size: Size) -> Any:
    """Return Stable Diffusion 2.1: 866 M parameters in the U-Net, v-prediction."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel

    tokenizer = make_tokenizer()
    unet = UNet2DConditionModel(
        sample_size=size.of(96, 8),
        block_out_channels=size.of((320, 640, 1280, 1280), (8, 8, 16, 16)),
        layers_per_block=size.of(2, 1),
        attention_head_dim=size.of((5, 10, 20, 20), (2, 2, 4, 4)),
        cross_attention_dim=size.of(1024, 32),
        norm_num_groups=size.of(32, 4),
        use_linear_projection=True,
    )
    text = text_config(size, tokenizer, width=1024, layers=23, heads=16, activation="gelu")
    return StableDiffusionPipeline(
        vae=make_vae(size, scaling_factor=0.18215),
        text_encoder=CLIPTextModel(text),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=make_scheduler(
            DDIMScheduler, prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def make_sdxl(size: Size) -> Any:
    """Return SDXL base: 2,567 M parameters in the U-Net, two text encoders."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    tokenizer = make_tokenizer()
    unet = UNet2DConditionModel(
        sample_size=size.of(128, 8),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=size.of((320, 640, 1280), (8, 8, 16)),
        layers_per_block=size.of(2, 1),
        transformer_layers_per_block=size.of((1, 2, 10), (1, 1, 2)),
        attention_head_dim=size.of((5, 10, 20), (2, 2, 4)),
        cross_attention_dim=size.of(2048, 64),
        norm_num_groups=size.of(32, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=size.of(256, 8),
        projection_class_embeddings_input_dim=size.of(2816, 80),  # 6 * time + width of the pooled text
    )
    first = text_config(size, tokenizer, width=768, layers=12, heads=12, activation="quick_gelu")
    second = text_config(size, tokenizer, width=1280, layers=32, heads=20, activation="gelu")
    return StableDiffusionXLPipeline(
        vae=make_vae(size, scaling_factor=0.13025),
        text_encoder=CLIPTextModel(first),
        text_encoder_2=CLIPTextModelWithProjection(second),
        tokenizer=tokenizer,
        tokenizer_2=make_tokenizer(),
        unet=unet,
        scheduler=make_scheduler(EulerDiscreteScheduler),
        add_watermarker=False,
    )


ARCHITECTURES: dict[str, Callable[[Size], Any]] = {"sd21": make_sd21, "sdxl": make_sdxl}


def save_random(name: str, folder: Path, *, is_real: bool, dtype: torch.dtype, device: str) -> Path:
    """Make an architecture with random weights and save it as a local diffusers folder, unless it is there.

    Args:
        name: Of ARCHITECTURES.
        folder: What it is saved to.
        is_real: The published sizes; a hundredth otherwise.
        dtype: Of the saved weights.
        device: Where the weights are drawn: minutes on a CPU, seconds on a GPU.
    """
    if not (folder / "model_index.json").is_file():
        torch.manual_seed(0)
        with torch.device(device):
            pipeline = ARCHITECTURES[name](Size(is_real))
        pipeline.to(dtype=dtype)
        pipeline.save_pretrained(folder, safe_serialization=True)
    return folder
