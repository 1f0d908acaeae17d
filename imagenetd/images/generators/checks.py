"""The values of a diffusers generator that no pipeline takes, told before anything is read."""

from typing import Any

from imagenetd.errors import ConfigError
from imagenetd.images.generators.loading import COMPILES, OFFLOADS
from imagenetd.images.generators.safety import POLICIES
from imagenetd.store.numerals import significant

DTYPES = ("float32", "float16", "bfloat16")
PIXELS_PER_LATENT = 8


def refuse_bad_values(options: Any) -> None:
    """Raise ConfigError for a value that no pipeline takes, or that would be ignored in silence.

    Args:
        options: Has the arguments of DiffusersGenerator as attributes.
    """
    for name, choices in (
        ("dtype", DTYPES),
        ("nsfw_policy", POLICIES),
        ("offload", OFFLOADS),
        ("compile", COMPILES),
    ):
        if getattr(options, name) not in choices:
            raise ConfigError(f"generator.{name}={getattr(options, name)} is none of {', '.join(choices)}.")
    for name in ("num_inference_steps", "unit_size", "max_sequence_length", "images_per_s"):
        value = getattr(options, name)
        if value is not None and (value <= 0 if name == "images_per_s" else value < 1):
            raise ConfigError(
                f"generator.{name}={value} must be {'above 0' if name == 'images_per_s' else '1 or more'}."
            )
    for name in ("height_px", "width_px"):
        value = getattr(options, name)
        if value < 1 or value % PIXELS_PER_LATENT:
            raise ConfigError(f"generator.{name}={value} is not a multiple of {PIXELS_PER_LATENT}.")
    if options.negative_prompt and options.guidance_scale <= 1:
        raise ConfigError(
            f"generator.negative_prompt={options.negative_prompt!r} has no effect with guidance_scale="
            f"{significant(options.guidance_scale, 6)}. Raise the guidance above 1, or set the negative prompt to ''."
        )
    if options.nsfw_policy != "keep" and options.safety_checker is None:
        raise ConfigError(
            f"generator.nsfw_policy={options.nsfw_policy} has no effect without a checker. Set "
            "generator.safety_checker to bundled or to a folder, or the policy to keep."
        )
