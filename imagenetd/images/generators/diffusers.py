"""Any text-to-image pipeline of the diffusers library."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from imagenetd.config.ranges import Batch, MayBeEmpty, Megabytes, Pixels, Range
from imagenetd.errors import ModelError
from imagenetd.images.generators import loading
from imagenetd.images.generators.checks import refuse_bad_values
from imagenetd.images.generators.generator import Generator, Picture, refuse_words
from imagenetd.images.generators.safety import BUNDLED, SafetyChecker, load_safety_checker
from imagenetd.images.generators.text import TextEncoder
from imagenetd.records import MissingFile, Prompt
from imagenetd.store.folders import file_sha256, folder_sha256
from imagenetd.store.hub import missing_pipeline_files, resolve_local

_HASHED = (".safetensors", ".json", ".txt", ".model")


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
        height_px: Height of the images, a multiple of 8.
        width_px: Width of the images, a multiple of 8.
        dtype: `float32`, `float16` or `bfloat16`.
        unit_size: Images of one unit of work.
        known_words: Raw names of the only categories and nuisances that the model learned; null: no limit.
        files_mb: File -> size in MB, of what has to be downloaded, for the message that lists it.
        scheduler_options: Options of the scheduler that differ from the model's.
        max_sequence_length: Tokens of a T5 text encoder; null: the pipeline's own limit.
        without: Components that are not loaded, e.g. `[text_encoder_3, tokenizer_3]`.
        textual_inversions: Token -> safetensors file: new words for prompts.
        loras: Safetensors file -> weight.
        safety_checker: `bundled`, a folder or an id on the hub; null: none, nothing is flagged.
        nsfw_policy: What a flagged image becomes: `keep`, `blank` or `stop`. It is recorded as `is_flagged`.
        offload: `none`, `model` or `sequential`: parts wait in main memory until they are needed.
        attention_slicing: Attention head by head: slower, less memory.
        vae_slicing: Decode image by image: less memory.
        vae_tiling: Decode tile by tile: least memory, faint seams.
        channels_last: Memory order that suits tensor cores.
        compile: `none`, `blocks` or `whole`: compile the network that runs at every step.
        images_per_s: Measured speed of one process, for the estimate of the cost; null: unknown.
    """

    def __init__(
        self,
        model: str,
        revision: str | None,
        variant: str | None,
        num_inference_steps: Annotated[int, Range(1, 10_000)],
        guidance_scale: Annotated[float, Range(0, 1000)],
        negative_prompt: Annotated[str, MayBeEmpty()],
        scheduler: str | None,
        height_px: Pixels,
        width_px: Pixels,
        dtype: str,
        unit_size: Batch,
        known_words: list[str] | None,
        files_mb: dict[str, Megabytes],
        scheduler_options: dict[str, Any],
        max_sequence_length: Annotated[int, Range(1, 100_000)] | None,
        without: list[str],
        textual_inversions: dict[str, str],
        loras: dict[str, Annotated[float, Range(-100, 100)]],
        safety_checker: str | None,
        nsfw_policy: str,
        offload: str,
        attention_slicing: bool,
        vae_slicing: bool,
        vae_tiling: bool,
        channels_last: bool,
        compile: str,
        images_per_s: Annotated[float, Range(0, 1_000_000, open_low=True)] | None,
    ) -> None:
        self.model, self.revision, self.variant = model, revision, variant
        self.num_inference_steps, self.guidance_scale = num_inference_steps, float(guidance_scale)
        self.negative_prompt, self.scheduler = negative_prompt, scheduler
        self.scheduler_options, self.max_sequence_length = dict(scheduler_options), max_sequence_length
        self.height_px, self.width_px, self.dtype = height_px, width_px, dtype
        self.unit_size, self.files_mb, self.known_words = unit_size, dict(files_mb), known_words
        self.without, self.textual_inversions, self.loras = (
            list(without),
            dict(textual_inversions),
            dict(loras),
        )
        self.safety_checker, self.nsfw_policy = safety_checker, nsfw_policy
        self.offload, self.channels_last, self.compile = offload, channels_last, compile
        self.attention_slicing, self.vae_slicing, self.vae_tiling = attention_slicing, vae_slicing, vae_tiling
        self.images_per_s = images_per_s
        refuse_bad_values(self)
        self._pipeline: Any = None
        self._text: TextEncoder | None = None
        self._checker: SafetyChecker | None = None

    def refuse_unknown(self, rows: Sequence[Prompt]) -> None:
        """Raise ConfigError for a word outside known_words."""
        if self.known_words is not None:
            refuse_words(rows, set(self.known_words), generator=self.model)

    def missing_files(self, option: str) -> list[MissingFile]:
        """Return the weights that are neither in a local folder nor in the hub's cache nor to be downloaded."""
        given = {"textual_inversions": self.textual_inversions.values(), "loras": self.loras}
        missing = [
            MissingFile(file, None, f"{option}.{name}", "a file of yours")
            for name, files in given.items()
            for file in files
            if not Path(file).expanduser().is_file()
        ]
        if resolve_local(self.model) is not None:
            return missing
        return missing + missing_pipeline_files(
            self.model, revision=self.revision, files_mb=self.files_mb, option=f"{option}.model=FOLDER"
        )

    def identity(self) -> dict[str, Any]:
        """Return weights and sampler.

        The unit of work, slicing, offloading and compiling are left out: they change no more than rounding. Options
        that are off are left out too, so that a pool keeps its key when an option is added to the program.
        """
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
            **{name: value for name, value in self._extras().items() if value},
        }

    def _extras(self) -> dict[str, Any]:
        blanks = self.safety_checker is not None and self.nsfw_policy == "blank"
        return {
            "scheduler_options": self.scheduler_options,
            "max_sequence_length": self.max_sequence_length,
            "without": sorted(self.without),
            "textual_inversions": {
                token: file_sha256(Path(file).expanduser()) for token, file in self.textual_inversions.items()
            },
            "loras": [[file_sha256(Path(file).expanduser()), scale] for file, scale in self.loras.items()],
            "blanked_by": self.safety_checker if blanks else None,
        }

    def load(self, device: str) -> None:
        """Read the pipeline, safetensors only, without remote code, and fit it to the device."""
        import torch

        loading.quieten_libraries()
        folder = resolve_local(self.model)
        pipeline = loading.read_pipeline(
            str(folder or self.model),
            shown=self.model,
            dtype=self.dtype,
            variant=self.variant,
            revision=None if folder else self.revision,
            without=[*self.without, *([] if self.safety_checker == BUNDLED else ["safety_checker"])],
        )
        loading.set_scheduler(pipeline, self.scheduler, self.scheduler_options)
        loading.add_inversions(pipeline, self.textual_inversions)
        loading.add_loras(pipeline, self.loras)
        if self.safety_checker:
            self._checker = load_safety_checker(
                self.safety_checker,
                pipeline,
                policy=self.nsfw_policy,
                device=device,
                options={"dtype": getattr(torch, self.dtype)},
            )
        loading.save_memory(
            pipeline,
            attention_slicing=self.attention_slicing,
            vae_slicing=self.vae_slicing,
            vae_tiling=self.vae_tiling,
        )
        self._pipeline = loading.place(
            pipeline, device, offload=self.offload, channels_last=self.channels_last
        )
        loading.compile_denoiser(pipeline, self.compile)
        self._text = TextEncoder(
            pipeline,
            negative_prompt=self.negative_prompt,
            is_guided=self.guidance_scale > 1,
            max_sequence_length=self.max_sequence_length,
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
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in noise_seeds]
        texts = [row.text for row in rows]
        try:
            images = self._pipeline(
                **self._text.arguments(texts),
                generator=generators,
                num_inference_steps=self.num_inference_steps,
                guidance_scale=self.guidance_scale,
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
                f"generator.model={self.model} gave pixels that are not finite, e.g. for {rows[0].text!r}. "
                "With float16 try generator.dtype=bfloat16 or float32."
            )
        pixels = list((np.asarray(images) * 255).round().astype(np.uint8))
        if self._checker is None:
            return [Picture(image) for image in pixels]
        return self._checker.pictures(pixels, texts)
