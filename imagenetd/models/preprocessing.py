"""Checks of the preprocessing that a user gives by hand."""

from collections.abc import Mapping
from typing import Any

from imagenetd.errors import ConfigError

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos")


def check_preprocessing(options: Mapping[str, Any], *, name: str) -> None:
    """Raise ConfigError for a value that no image can be preprocessed with.

    Args:
        options: Some of interpolation, crop_pct, mean, std, input_size ("3 h w").
        name: Of the model, for messages.
    """
    interpolation = options.get("interpolation", "bilinear")
    if interpolation not in INTERPOLATIONS:
        raise ConfigError(f"{name}: interpolation={interpolation} is none of {', '.join(INTERPOLATIONS)}.")
    if not 0 < options.get("crop_pct", 1.0) <= 2:
        raise ConfigError(f"{name}: crop_pct={options['crop_pct']} is no share of an image, e.g. 0.875.")
    for key in ("mean", "std"):
        values = options.get(key, [1.0] * 3)
        if len(values) != 3 or not all(isinstance(value, int | float) for value in values):
            raise ConfigError(f"{name}: {key}={list(values)} must be three numbers, one for each channel.")
    if min(options.get("std", [1.0])) <= 0:
        raise ConfigError(f"{name}: std={list(options['std'])} must be above 0.")
    if min(options.get("input_size", [1])) < 1:
        raise ConfigError(f"{name}: input_size_px={options['input_size'][-1]} must be 1 or more.")
