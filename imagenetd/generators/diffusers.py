"""Any text-to-image pipeline of the diffusers library."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from imagenetd.errors import ConfigError, ModelError
from imagenetd.generators.generator import Generator, Picture, refuse_words
from imagenetd.models.hub import missing_pipeline_files, resolve_local
from imagenetd.records import MissingFile, Prompt
from imagenetd.store import folder_sha256

if TYPE_CHECKING:
    pass

_HASHED = (".safetensors", ".json", ".txt", ".model")
_DTYPES = ("float32", "float16", "bfloat16")


class DiffusersGenerator(Generator):
    """Loads a pipeline with `AutoPipelineForText2Image` and calls it with one CPU generator for each image.

    Args:
        model: Id on the Hugging Face hub, a local diffusers folder, or `package:...` for shipped weights.
        revision: Branch, tag or commit on the hub; null for local folders.
        variant: Suffix of the weight files, e.g. `fp16`; null for none.
        num_inference_steps: Denoising steps.
        guidance_scale: Weight of classifier-free guidance; 1 switches it off.
        negative_prompt: What should not be seen; empty for none.
        scheduler: Class of diffusers that replaces the model's own scheduler; null keeps it.
        height_px: Height of the images.
        width_px: Width of the images.
        dtype: `float32`, `float16` or `bfloat16`.
        unit_size: Images of one unit of work.
        known_words: Raw names of the only categories and nuisances that the model learned; null: no limit.
        files_mb: File -> size in MB, of what has to be downloaded, for the message that lists it.
    """

    def __init__(
        self,
        model: str,
        revision: str | None,
        variant: str | None,
        num_inference_steps: int,
        guidance_scale: float,
        negative_prompt: str,
        scheduler: str | None,
        height_px: int,
        width_px: int,
        dtype: str,
        unit_size: int,
        known_words: list[str] | None,
        files_mb: dict[str, float],
    ) -> None:
        if dtype not in _DTYPES:
            raise ConfigError(f"generator.dtype={dtype} is none of {', '.join(_DTYPES)}.")
        for name, value in (("num_inference_steps", num_inference_steps), ("unit_size", unit_size)):
            if value < 1:
                raise ConfigError(f"generator.{name}={value} must be 1 or more.")
        self.model, self.revision, self.variant = model, revision, variant
        self.num_inference_steps, self.guidance_scale = num_inference_steps, float(guidance_scale)
        self.negative_prompt, self.scheduler = negative_prompt, scheduler
        self.height_px, self.width_px, self.dtype = height_px, width_px, dtype
        self.unit_size, self.files_mb = unit_size, dict(files_mb)
        self.known_words = known_words
        self._pipeline: Any = None

    def refuse_unknown(self, rows: Sequence[Prompt]) -> None:
        """Raise ConfigError for a word outside known_words."""
        if self.known_words is not None:
            refuse_words(rows, set(self.known_words), generator=self.model)

    def missing_files(self, option: str) -> list[MissingFile]:
        """Return the weights that are neither in a local folder nor in the hub's cache nor to be downloaded."""
        if resolve_local(self.model) is not None:
            return []
        return missing_pipeline_files(
            self.model, revision=self.revision, files_mb=self.files_mb, option=f"{option}.model=FOLDER"
        )

    def identity(self) -> dict[str, Any]:
        """Return weights and sampler; the unit of work is left out because it changes no more than rounding."""
        folder = resolve_local(self.model)
        weights = folder_sha256(folder, suffixes=_HASHED) if folder else f"{self.model}@{self.revision}"
        return {
            "generator": "diffusers",
            "weights": weights,
            "variant": self.variant,
            "num_inference_steps": self.num_inference_steps,
            "guidance_scale": self.guidance_scale,
            "negative_prompt": self.negative_prompt,
            "scheduler": self.scheduler,
            "height_px": self.height_px,
            "width_px": self.width_px,
            "dtype": self.dtype,
        }

    def load(self, device: str) -> None:
        """Read the pipeline, safetensors only, without remote code and without a progress bar of its own."""
        import diffusers
        import torch
        from diffusers.utils import logging as diffusers_logging
        from transformers.utils import logging as transformers_logging

        diffusers_logging.set_verbosity_error()
        diffusers_logging.disable_progress_bar()
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        folder = resolve_local(self.model)
        options: dict[str, Any] = {"torch_dtype": getattr(torch, self.dtype), "use_safetensors": True}
        if self.variant:
            options["variant"] = self.variant
        if folder is None and self.revision:
            options["revision"] = self.revision
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                pipeline = diffusers.AutoPipelineForText2Image.from_pretrained(
                    str(folder or self.model), **options
                )
        except (OSError, ValueError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise ModelError(f"generator.model={self.model} cannot be loaded: {reason}") from error
        if self.scheduler:
            pipeline.scheduler = self._scheduler(diffusers).from_config(pipeline.scheduler.config)
        pipeline.set_progress_bar_config(disable=True)
        self._pipeline = pipeline.to(device)

    def _scheduler(self, diffusers: Any) -> Any:
        found = getattr(diffusers, str(self.scheduler), None)
        if found is None or not hasattr(found, "from_config"):
            raise ConfigError(f"generator.scheduler={self.scheduler} is not a scheduler of diffusers.")
        return found

    def generate(self, rows: Sequence[Prompt], noise_seeds: Sequence[int]) -> list[Picture]:
        """Run the pipeline once over the rows."""
        import torch

        generators: list[torch.Generator] = [torch.Generator("cpu").manual_seed(seed) for seed in noise_seeds]
        options: dict[str, Any] = {}
        if self.negative_prompt and self.guidance_scale > 1:
            options["negative_prompt"] = [self.negative_prompt] * len(rows)
        images = self._pipeline(
            prompt=[row.text for row in rows],
            generator=generators,
            num_inference_steps=self.num_inference_steps,
            guidance_scale=self.guidance_scale,
            height=self.height_px,
            width=self.width_px,
            output_type="np",
            **options,
        ).images
        if not np.isfinite(images).all():
            raise ModelError(
                f"generator.model={self.model} gave pixels that are not finite, e.g. for {rows[0].text!r}. "
                "With float16 try generator.dtype=bfloat16 or float32."
            )
        return [Picture(pixels) for pixels in (np.asarray(images) * 255).round().astype(np.uint8)]
