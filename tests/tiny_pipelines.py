"""Pipelines of the real architectures with few random weights, saved as local diffusers folders."""

import string
import warnings
from pathlib import Path
from typing import Any

import torch

_SENTENCE = "a photo of the in made banana mug sock beach street striped wood ugly painted material grid"
WORDS = _SENTENCE.split()


def clip_tokenizer() -> Any:
    """Return a CLIP tokenizer that spells every word letter by letter."""
    from transformers import CLIPTokenizer

    letters = [*string.ascii_lowercase, *string.digits, *"-<>,().'"]
    alphabet = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={word: number for number, word in enumerate(alphabet)}, merges=[])
    tokenizer.model_max_length = 77
    return tokenizer


def t5_tokenizer() -> Any:
    """Return a T5 tokenizer of a few words and all letters."""
    from transformers import T5TokenizerFast

    pieces = [*(f"\u2581{word}" for word in WORDS), "\u2581", *string.ascii_lowercase, *"-,."]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -2.0), *((piece, -3.0) for piece in pieces)]
    return T5TokenizerFast(vocab=vocabulary, extra_ids=0, model_max_length=32)


def clip_config(tokenizer: Any, **changes: Any) -> Any:
    from transformers import CLIPTextConfig

    end = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    start = tokenizer.convert_tokens_to_ids("<|startoftext|>")
    options = {"hidden_size": 32, "intermediate_size": 37, "num_attention_heads": 4, "num_hidden_layers": 2}
    options |= {"vocab_size": len(tokenizer), "projection_dim": 32, "hidden_act": "gelu"}
    return CLIPTextConfig(
        **options | {"bos_token_id": start, "eos_token_id": end, "pad_token_id": end} | changes
    )


def vae(latent_channels: int = 4, **changes: Any) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=latent_channels,
        norm_num_groups=4,
        sample_size=32,
        **changes,
    )


def unet(**changes: Any) -> Any:
    from diffusers import UNet2DConditionModel

    options: dict[str, Any] = {
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "sample_size": 16,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": 32,
        "attention_head_dim": 4,
        "norm_num_groups": 4,
    }
    return UNet2DConditionModel(**options | changes)


def _flow() -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler()


def _t5(tokenizer: Any) -> Any:
    from transformers import T5Config, T5EncoderModel

    size = {"d_model": 32, "d_ff": 37, "d_kv": 8, "num_layers": 2, "num_heads": 4}
    return T5EncoderModel(T5Config(vocab_size=len(tokenizer), **size))


def sd(*, with_checker: bool = False, lcm: bool = False) -> Any:
    from diffusers import (
        DDIMScheduler,
        LatentConsistencyModelPipeline,
        LCMScheduler,
        StableDiffusionPipeline,
    )
    from transformers import CLIPImageProcessor, CLIPTextModel

    tokenizer = clip_tokenizer()
    kind = LatentConsistencyModelPipeline if lcm else StableDiffusionPipeline
    scheduler = LCMScheduler() if lcm else DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False)
    return kind(
        vae=vae(),
        text_encoder=CLIPTextModel(clip_config(tokenizer)),
        tokenizer=tokenizer,
        unet=unet(time_cond_proj_dim=32) if lcm else unet(),
        scheduler=scheduler,
        safety_checker=checker() if with_checker else None,
        feature_extractor=CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32)
        if with_checker
        else None,
        requires_safety_checker=False,
    )


def checker() -> Any:
    """Return a safety checker that objects to about every image: all of its thresholds are below zero."""
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
    from transformers import CLIPConfig

    vision = {"hidden_size": 32, "intermediate_size": 37, "num_attention_heads": 4, "num_hidden_layers": 2}
    vision |= {"image_size": 32, "patch_size": 16}
    network = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=32))
    network.concept_embeds_weights.data.fill_(-1.0)
    return network


def sdxl() -> Any:
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    tokenizer = clip_tokenizer()
    return StableDiffusionXLPipeline(
        vae=vae(),
        text_encoder=CLIPTextModel(clip_config(tokenizer)),
        text_encoder_2=CLIPTextModelWithProjection(clip_config(tokenizer)),
        tokenizer=tokenizer,
        tokenizer_2=clip_tokenizer(),
        unet=unet(
            attention_head_dim=(2, 4),
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            transformer_layers_per_block=(1, 2),
            projection_class_embeddings_input_dim=80,  # 6 * 8 + 32
            cross_attention_dim=64,
        ),
        scheduler=EulerDiscreteScheduler(beta_schedule="scaled_linear"),
        add_watermarker=False,
    )


def sd3() -> Any:
    from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline
    from transformers import CLIPTextModelWithProjection

    tokenizer, words = clip_tokenizer(), t5_tokenizer()
    return StableDiffusion3Pipeline(
        transformer=SD3Transformer2DModel(
            sample_size=16,
            patch_size=1,
            in_channels=4,
            num_layers=1,
            attention_head_dim=8,
            num_attention_heads=4,
            joint_attention_dim=32,
            caption_projection_dim=32,
            pooled_projection_dim=64,
            out_channels=4,
        ),
        scheduler=_flow(),
        vae=vae(shift_factor=0.0609, scaling_factor=1.5035, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=CLIPTextModelWithProjection(clip_config(tokenizer)),
        tokenizer=tokenizer,
        text_encoder_2=CLIPTextModelWithProjection(clip_config(tokenizer)),
        tokenizer_2=clip_tokenizer(),
        text_encoder_3=_t5(words),
        tokenizer_3=words,
    )


def flux() -> Any:
    from diffusers import FluxPipeline, FluxTransformer2DModel
    from transformers import CLIPTextModel

    tokenizer, words = clip_tokenizer(), t5_tokenizer()
    return FluxPipeline(
        transformer=FluxTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            axes_dims_rope=(4, 4, 8),
        ),
        scheduler=_flow(),
        vae=vae(shift_factor=0.0609, scaling_factor=1.5035, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=CLIPTextModel(clip_config(tokenizer)),
        tokenizer=tokenizer,
        text_encoder_2=_t5(words),
        tokenizer_2=words,
    )


def pixart() -> Any:
    from diffusers import DDIMScheduler, PixArtSigmaPipeline, PixArtTransformer2DModel

    words = t5_tokenizer()
    return PixArtSigmaPipeline(
        transformer=PixArtTransformer2DModel(
            sample_size=16,
            num_layers=2,
            patch_size=2,
            attention_head_dim=8,
            num_attention_heads=3,
            caption_channels=32,
            in_channels=4,
            cross_attention_dim=24,
            out_channels=8,
            use_additional_conditions=False,
        ),
        scheduler=DDIMScheduler(),
        vae=vae(),
        text_encoder=_t5(words),
        tokenizer=words,
    )


FAMILIES: dict[str, Any] = {
    "sd": sd,
    "lcm": lambda: sd(lcm=True),
    "sdxl": sdxl,
    "sd3": sd3,
    "flux": flux,
    "pixart": pixart,
}


def save(name: str, folder: Path, **options: Any) -> Path:
    """Make a pipeline of a family with weights that depend on nothing but its name, and save it."""
    torch.manual_seed(len(name))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the libraries' own
        pipeline = FAMILIES[name](**options)
        for part in pipeline.components.values():
            if isinstance(part, torch.nn.Module):
                part.eval()
        pipeline.save_pretrained(folder, safe_serialization=True)
    return folder
