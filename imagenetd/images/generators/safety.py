"""The safety checker of Stable Diffusion, asked beside the pipeline, so that no image turns black unseen."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from imagenetd.errors import ModelError
from imagenetd.images.generators.generator import Picture
from imagenetd.images.generators.options import BUNDLED, Safety
from imagenetd.store.hub import resolve_local


class SafetyChecker:
    """Flags images; what then happens is the policy's to say.

    Args:
        network: `StableDiffusionSafetyChecker`.
        processor: Its image processor.
        policy: `keep`, `blank` or `stop`, see `Safety.nsfw_policy`.
    """

    def __init__(self, network: Any, processor: Any, policy: str) -> None:
        self.network, self.processor, self.policy = network, processor, policy

    def pictures(self, pixels: Sequence[np.ndarray], texts: Sequence[str]) -> list[Picture]:
        """Return the images with their flags, the flagged ones as the policy says."""
        import torch
        from PIL import Image

        inputs = self.processor(
            [Image.fromarray(image) for image in pixels], return_tensors="pt"
        ).pixel_values
        first = next(self.network.parameters())
        with torch.inference_mode():
            _, flags = self.network(
                clip_input=inputs.to(first.device, first.dtype), images=[image.copy() for image in pixels]
            )
        if self.policy == "stop" and any(flags):
            raise ModelError(
                f"The safety checker flagged an image of {texts[list(flags).index(True)]!r}, and "
                "generator.nsfw_policy=stop. Change the words, or set generator.nsfw_policy to keep or blank."
            )
        return [
            Picture(np.zeros_like(image) if flag and self.policy == "blank" else image, bool(flag))
            for image, flag in zip(pixels, flags, strict=True)
        ]


def load_safety_checker(safety: Safety, pipeline: Any, *, dtype: str, device: str) -> SafetyChecker | None:
    """Return the pipeline's own checker for `bundled`, else the one in a folder or repository; None for none.

    Args:
        safety: Which one, and what becomes of a flagged image.
        pipeline: Its own checker is taken out: it would replace images by black ones and keep that to itself.
        dtype: Of the network, where it is not the pipeline's.
        device: Where it runs.
    """
    spec, policy = safety.safety_checker, safety.nsfw_policy
    if not spec:
        return None
    if spec == BUNDLED:
        network, processor = (
            getattr(pipeline, "safety_checker", None),
            getattr(pipeline, "feature_extractor", None),
        )
        if network is None or processor is None:
            raise ModelError(
                f"generator.safety_checker=bundled, but this {type(pipeline).__name__} brings none. Set it to null, or "
                "to a folder or id such as CompVis/stable-diffusion-safety-checker."
            )
        pipeline.safety_checker = None
        return SafetyChecker(network.to(device), processor, policy)
    import torch
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
    from transformers import CLIPImageProcessor

    source = str(resolve_local(spec) or spec)
    try:
        network = StableDiffusionSafetyChecker.from_pretrained(
            source, use_safetensors=True, dtype=getattr(torch, dtype)
        )
        processor = CLIPImageProcessor.from_pretrained(source)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"generator.safety_checker={spec} cannot be loaded: {reason} Name a local folder, or null for none."
        ) from error
    return SafetyChecker(network.eval().to(device), processor, policy)
