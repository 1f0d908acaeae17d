"""Any text-to-image pipeline of the diffusers library."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from imagenetd.config.groups import takes_options
from imagenetd.errors import ModelError
from imagenetd.images.generators import pipeline_loading
from imagenetd.images.generators.generator import Generator, Picture, refuse_words
from imagenetd.images.generators.options import Additions, Machine, Safety, Sampling, Source
from imagenetd.images.generators.safety import SafetyChecker, load_safety_checker
from imagenetd.images.generators.text import TextEncoder
from imagenetd.records import Identity, MissingFile, Prompt


class DiffusersGenerator(Generator):
    """Loads a pipeline with `AutoPipelineForText2Image` and calls it with one CPU generator for each image.

    A yaml states the fields of the groups by their own names: `model`, `num_inference_steps`, ...
    """

    @takes_options
    def __init__(
        self, *, source: Source, sampling: Sampling, additions: Additions, safety: Safety, machine: Machine
    ) -> None:
        self.source, self.sampling, self.additions = source, sampling, additions
        self.safety, self.machine = safety, machine
        self.unit_size, self.images_per_s = machine.unit_size, machine.images_per_s
        self.height_px, self.width_px = sampling.height_px, sampling.width_px
        self._pipeline: Any = None
        self._text: TextEncoder | None = None
        self._checker: SafetyChecker | None = None

    def refuse_unknown(self, rows: Sequence[Prompt]) -> None:
        """Raise ConfigError for a word outside known_words."""
        if self.source.known_words is not None:
            refuse_words(rows, set(self.source.known_words), generator=self.source.model)

    def missing_files(self, option: str) -> list[MissingFile]:
        """Return the weights and additions that are neither here nor within reach."""
        return self.additions.missing_files(option) + self.source.missing_files(option)

    def identity(self) -> Identity:
        """Return weights and sampler.

        What fits the machine is left out. Options that are off are left out too, so that a pool keeps its key when an
        option is added to the program.
        """
        source, sampling = self.source, self.sampling
        extras = {
            "scheduler_options": dict(sampling.scheduler_options),
            "max_sequence_length": sampling.max_sequence_length,
            "without": sorted(source.without),
            **self.additions.identity(),
            "blanked_by": self.safety.blanked_by,
        }
        return {
            "generator": "diffusers",
            "weights": source.identity(),
            "variant": source.variant,
            "num_inference_steps": sampling.num_inference_steps,
            "guidance_scale": float(sampling.guidance_scale),
            "negative_prompt": sampling.negative_prompt,
            "scheduler": sampling.scheduler,
            "height_px": sampling.height_px,
            "width_px": sampling.width_px,
            "dtype": source.dtype,
            **{name: value for name, value in extras.items() if value},
        }

    def load(self, device: str) -> None:
        """Read the pipeline, safetensors only, without remote code, and fit it to the device."""
        pipeline_loading.quieten_libraries()
        pipeline = pipeline_loading.read_pipeline(self.source, self.safety)
        pipeline_loading.set_scheduler(pipeline, self.sampling.scheduler, self.sampling.scheduler_options)
        pipeline_loading.add_inversions(pipeline, self.additions.textual_inversions)
        pipeline_loading.add_loras(pipeline, self.additions.loras)
        self._checker = load_safety_checker(self.safety, pipeline, dtype=self.source.dtype, device=device)
        self._pipeline = pipeline_loading.fit(pipeline, self.machine, device)
        self._text = TextEncoder(
            pipeline,
            negative_prompt=self.sampling.negative_prompt,
            is_guided=self.sampling.is_guided,
            max_sequence_length=self.sampling.max_sequence_length,
        )

    def close(self) -> None:
        """Let go of the pipeline."""
        import torch

        self._pipeline = self._text = self._checker = None
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()

    def generate(self, rows: Sequence[Prompt], noise_seeds: Sequence[int]) -> list[Picture]:
        """Run the pipeline once over the rows."""
        import torch

        assert self._text is not None
        texts = [row.text for row in rows]
        try:
            images = self._pipeline(
                **self._text.arguments(texts),
                generator=[torch.Generator("cpu").manual_seed(seed) for seed in noise_seeds],
                num_inference_steps=self.sampling.num_inference_steps,
                guidance_scale=float(self.sampling.guidance_scale),
                height=self.height_px,
                width=self.width_px,
                output_type="np",
            ).images
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"The memory of the GPU does not hold {len(rows)} images of {self.height_px} px at once. Set "
                "generator.unit_size to less, generator.vae_slicing=true, or generator.offload=model."
            ) from error
        if not np.isfinite(images).all():
            raise ModelError(
                f"generator.model={self.source.model} gave pixels that are not finite, e.g. for {rows[0].text!r}. "
                "With float16 try generator.dtype=bfloat16 or float32."
            )
        pixels = list((np.asarray(images) * 255).round().astype(np.uint8))
        if self._checker is None:
            return [Picture(image) for image in pixels]
        return self._checker.pictures(pixels, texts)
