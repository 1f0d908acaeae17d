"""The options of a diffusers generator, in groups: what is read, how it is sampled, what is added, how it runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from imagenetd.config.groups import Options
from imagenetd.config.ranges import Batch, MayBeEmpty, Megabytes, OneOf, Pixels, Range
from imagenetd.errors import ConfigError
from imagenetd.records import Identity, MissingFile
from imagenetd.store.folders import file_sha256, folder_sha256
from imagenetd.store.hub import missing_pipeline_files, resolve_local
from imagenetd.store.numerals import significant

PIXELS_PER_LATENT = 8
BUNDLED = "bundled"
"""The checker that the pipeline itself brings."""
_HASHED = (".safetensors", ".json", ".txt", ".model")


class _OfGenerator(Options):
    prefix = "generator."


@dataclass(frozen=True, kw_only=True)
class Source(_OfGenerator):
    """Which pipeline is read, and how."""

    model: str
    """Id on the Hugging Face hub, a local diffusers folder, or `package:...` for shipped weights."""
    revision: str | None
    """Branch, tag or commit on the hub; null for local folders."""
    variant: str | None
    """Suffix of the weight files, e.g. `fp16`; null for none."""
    dtype: Annotated[str, OneOf(("float32", "float16", "bfloat16"))]
    without: Annotated[list[str], MayBeEmpty()]
    """Components that are not loaded, e.g. `[text_encoder_3, tokenizer_3]`."""
    known_words: list[str] | None
    """Raw names of the only categories and nuisances that the model learned; null: no limit."""
    files_mb: dict[str, Megabytes]
    """File -> size in MB, of what has to be downloaded, for the message that lists it."""

    def folder(self) -> Path | None:
        """Return the local folder, None for a repository on the hub."""
        return resolve_local(self.model)

    def identity(self) -> str:
        """Return the weights in one word: the hash of a folder, else repository and revision."""
        folder = self.folder()
        return folder_sha256(folder, suffixes=_HASHED) if folder else f"{self.model}@{self.revision}"

    def missing_files(self, option: str) -> list[MissingFile]:
        """Return the weights that are neither in a local folder nor in the hub's cache nor to be downloaded."""
        if self.folder() is not None:
            return []
        return missing_pipeline_files(
            self.model, revision=self.revision, files_mb=self.files_mb, option=f"{option}.model=FOLDER"
        )


@dataclass(frozen=True, kw_only=True)
class Sampling(_OfGenerator):
    """How noise becomes an image."""

    num_inference_steps: Annotated[int, Range(1, 10_000)]
    """Denoising steps."""
    guidance_scale: Annotated[float, Range(0, 1000)]
    """Weight of classifier-free guidance; 1 switches it off."""
    negative_prompt: Annotated[str, MayBeEmpty()]
    """What should not be seen; empty for none."""
    scheduler: str | None
    """Class of diffusers that replaces the model's own scheduler; null keeps it."""
    scheduler_options: dict[str, Any]
    """Options of the scheduler that differ from the model's."""
    max_sequence_length: Annotated[int, Range(1, 100_000)] | None
    """Tokens of a T5 text encoder; null: the pipeline's own limit."""
    height_px: Pixels
    """Of the images, a multiple of 8."""
    width_px: Pixels
    """Of the images, a multiple of 8."""

    def __post_init__(self) -> None:
        """Raise ConfigError for a value that no pipeline takes, or that would be ignored in silence."""
        super().__post_init__()
        for name, value in (("height_px", self.height_px), ("width_px", self.width_px)):
            if value % PIXELS_PER_LATENT:
                raise ConfigError(f"generator.{name}={value} is not a multiple of {PIXELS_PER_LATENT}.")
        if self.negative_prompt and not self.is_guided:
            raise ConfigError(
                f"generator.negative_prompt={self.negative_prompt!r} has no effect with guidance_scale="
                f"{significant(self.guidance_scale, 6)}. Raise the guidance above 1, or set the negative prompt to ''."
            )

    @property
    def is_guided(self) -> bool:
        """True when each step also looks at no text, or the negative one."""
        return self.guidance_scale > 1


@dataclass(frozen=True, kw_only=True)
class Additions(_OfGenerator):
    """What is added to a model's weights, from files of the user's own."""

    textual_inversions: dict[str, str]
    """Token -> safetensors file: new words for prompts."""
    loras: dict[str, Annotated[float, Range(-100, 100)]]
    """Safetensors file -> weight."""

    def missing_files(self, option: str) -> list[MissingFile]:
        """Return the files that are not there."""
        given = {"textual_inversions": self.textual_inversions.values(), "loras": self.loras}
        return [
            MissingFile(file, None, f"{option}.{name}", "a file of yours")
            for name, files in given.items()
            for file in files
            if not Path(file).expanduser().is_file()
        ]

    def identity(self) -> Identity:
        """Return the hashes of the files, and their weights."""
        inversions = self.textual_inversions.items()
        return {
            "textual_inversions": {token: file_sha256(Path(file).expanduser()) for token, file in inversions},
            "loras": [[file_sha256(Path(file).expanduser()), scale] for file, scale in self.loras.items()],
        }


@dataclass(frozen=True, kw_only=True)
class Safety(_OfGenerator):
    """Who looks at the images, and what becomes of those that are flagged."""

    safety_checker: str | None
    """`bundled`, a folder or an id on the hub; null: none, nothing is flagged."""
    nsfw_policy: Annotated[str, OneOf(("keep", "blank", "stop"))]
    """What becomes of a flagged image, which is recorded as `is_flagged`: stored as it is, stored black, or a stop."""

    def __post_init__(self) -> None:
        """Raise ConfigError for a policy without anybody who flags."""
        super().__post_init__()
        if self.nsfw_policy != "keep" and self.safety_checker is None:
            raise ConfigError(
                f"generator.nsfw_policy={self.nsfw_policy} has no effect without a checker. Set "
                "generator.safety_checker to bundled or to a folder, or the policy to keep."
            )

    @property
    def blanked_by(self) -> str | None:
        """The checker whose flags change pixels."""
        return self.safety_checker if self.nsfw_policy == "blank" else None


@dataclass(frozen=True, kw_only=True)
class Machine(_OfGenerator):
    """How a pipeline fits the machine; nothing here changes an image by more than rounding."""

    unit_size: Batch
    """Images of one unit of work."""
    offload: Annotated[str, OneOf(("none", "model", "sequential"))]
    """Parts wait in main memory until they are needed."""
    attention_slicing: bool
    """Attention head by head: slower, less memory."""
    vae_slicing: bool
    """Decode image by image: less memory."""
    vae_tiling: bool
    """Decode tile by tile: least memory, faint seams."""
    channels_last: bool
    """Memory order that suits tensor cores."""
    compile: Annotated[str, OneOf(("none", "blocks", "whole"))]
    """Compile the network that runs at every step: its repeated blocks (quick to compile) or the whole."""
    images_per_s: Annotated[float, Range(0, 1_000_000, open_low=True)] | None
    """Measured speed of one process, for the estimate of the cost; null: unknown."""
