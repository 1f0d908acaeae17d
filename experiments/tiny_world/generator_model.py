"""The tiny generator's denoiser and text encoder: stock classes, small."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from jaxtyping import Float
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from experiments.tiny_world.codec import NUM_COMPONENTS, PATCH_PX
from experiments.tiny_world.tokenizer import MAX_TOKENS, load_tokenizer

ASSETS = Path(__file__).resolve().parents[2] / "imagenetd/assets/tiny"
GENERATOR_FOLDER = ASSETS / "generator"
TEXT_WIDTH = 96
IMAGE_PX = 64


def build_text_encoder(num_tokens: int) -> CLIPTextModel:
    """Two layers of 96 channels; it is trained together with the denoiser."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=num_tokens,
            hidden_size=TEXT_WIDTH,
            intermediate_size=2 * TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=3,
            max_position_embeddings=MAX_TOKENS,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
            projection_dim=TEXT_WIDTH,
        )
    )


def build_denoiser() -> UNet2DConditionModel:
    """Two levels (8x8 and 4x4 latents), both with cross-attention; the caption also modulates every block."""
    return UNet2DConditionModel(
        sample_size=IMAGE_PX // PATCH_PX,
        in_channels=NUM_COMPONENTS,
        out_channels=NUM_COMPONENTS,
        layers_per_block=1,
        block_out_channels=(128, 128),
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
        resnet_time_scale_shift="scale_shift",
        time_embedding_dim=256,
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
    )


class SinglePrecisionAttention:
    """Attention whose softmax runs in float32.

    The bfloat16 backward pass of torch's attention takes 15 times as long as the float32 one on a CPU (torch 2.15):
    40% of a training step.
    """

    def __call__(
        self,
        attention: Attention,
        hidden_states: Float[Tensor, "batch places width"],
        encoder_hidden_states: Float[Tensor, "batch words text"] | None = None,
        **_: object,
    ) -> Float[Tensor, "batch places width"]:
        """The attended states; without `encoder_hidden_states` the places attend to each other."""
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        projected = (attention.to_q(hidden_states), attention.to_k(context), attention.to_v(context))
        query, key, value = (
            each.unflatten(-1, (attention.heads, -1)).transpose(1, 2).float() for each in projected
        )
        with torch.autocast(hidden_states.device.type, enabled=False):
            attended = nn.functional.scaled_dot_product_attention(query, key, value)
        return attention.to_out[0](attended.transpose(1, 2).flatten(-2))


def prepare_for_training(denoiser: UNet2DConditionModel) -> None:
    """Keep the parts in float32 that bfloat16 makes slower on a CPU: attention's softmax and the norms."""
    denoiser.set_attn_processor(SinglePrecisionAttention())
    for module in denoiser.modules():
        if isinstance(module, nn.GroupNorm | nn.LayerNorm):
            module.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(), *inputs[1:]))


def parameters_of(*modules: nn.Module) -> list[nn.Parameter]:
    """All parameters in a fixed order."""
    return [parameter for module in modules for parameter in module.parameters()]


@torch.no_grad()
def copy_weights(parameters: Iterable[nn.Parameter], values: Iterable[Tensor]) -> None:
    """Overwrite parameters in order."""
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)


def build_scheduler() -> DPMSolverMultistepScheduler:
    """The sampler as shipped: second-order DPM-Solver++ on flow-matching noise levels."""
    return DPMSolverMultistepScheduler(
        use_flow_sigmas=True,
        prediction_type="flow_prediction",
        flow_shift=1.0,
        algorithm_type="dpmsolver++",
        solver_order=2,
        steps_offset=1,  # without effect here; the pipeline warns about any other value
    )


def export_pipeline(
    denoiser: nn.Module, text_encoder: nn.Module, codec: nn.Module, folder: Path = GENERATOR_FOLDER
) -> None:
    """Write (or refresh) a folder that `StableDiffusionPipeline.from_pretrained` loads, weights in float16.

    Every weight file is replaced in one step, so a reader never meets half a file.
    """
    unfinished = folder.with_name(f".{folder.name}-unfinished")
    pipeline = StableDiffusionPipeline(
        vae=codec,
        text_encoder=text_encoder,
        tokenizer=load_tokenizer(),
        unet=denoiser,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(dtype=torch.float16).save_pretrained(unfinished)
    # transformers loads in the type that the configuration names; diffusers' default is float32, and both must agree.
    text_config = unfinished / "text_encoder/config.json"
    text_config.write_text(text_config.read_text().replace('"float16"', '"float32"'))
    for source in sorted(each for each in unfinished.rglob("*") if each.is_file()):
        goal = folder / source.relative_to(unfinished)
        goal.parent.mkdir(parents=True, exist_ok=True)
        source.chmod(0o644)  # safetensors writes files that only their owner may read
        source.replace(goal)
    shutil.rmtree(unfinished)
