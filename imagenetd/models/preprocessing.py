"""An image's way into a network: what the config says of it, in the place of what the weights say."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from imagenetd.config.groups import Options
from imagenetd.config.ranges import Channels, OneOf, Pixels, Range
from imagenetd.records import Identity

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos")

REFERENCE = {
    "input_size": [3, 224, 224],
    "crop_pct": 0.875,
    "interpolation": "bilinear",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}
"""What torchvision's first weights of ImageNet-1k were trained and tested with, under timm's names."""


@dataclass(frozen=True, kw_only=True)
class Preprocessing(Options):
    """What a config says about an image's way into the network; null: as the weights say themselves."""

    input_size_px: Pixels | None = None
    """Side of the square that the network sees."""
    crop_pct: Annotated[float, Range(0, 2, open_low=True)] | None = None
    """Part of the resized image that is kept: the shorter side is resized to input_size_px / crop_pct."""
    interpolation: Annotated[str | None, OneOf((*INTERPOLATIONS, None))] = None
    """`bilinear`, `bicubic`, ..., with antialiasing as Pillow does it."""
    mean: Annotated[list[Annotated[float, Range(-1000, 1000)]] | None, Channels()] = None
    """Subtracted from each channel, in 0..1."""
    std: Annotated[list[Annotated[float, Range(0, 1000, open_low=True)]] | None, Channels()] = None
    """Divides each channel."""

    def over(self, known: Mapping[str, Any]) -> Identity:
        """Return what is known of the weights, and in its place what the config says; timm's names and plain values."""
        size = None if self.input_size_px is None else [3, self.input_size_px, self.input_size_px]
        asked = {
            "input_size": size,
            "crop_pct": self.crop_pct,
            "interpolation": self.interpolation,
            "mean": self.mean and list(self.mean),
            "std": self.std and list(self.std),
        }
        found = {**known, **{key: value for key, value in asked.items() if value is not None}}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in found.items()}


def steps(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `resized_and_cropped` for what `over` gave."""
    size = options["input_size"][-1]
    return {
        "input_size_px": size,
        "resize_px": int(size / options["crop_pct"]),
        **{key: options[key] for key in ("interpolation", "mean", "std")},
    }


def resized_and_cropped(
    *, input_size_px: int, resize_px: int, interpolation: str, mean: list[float], std: list[float]
) -> Any:
    """Return the function that resizes the shorter side, crops the centre and normalises, as torchvision does it."""
    from torchvision import transforms

    return transforms.Compose(
        [
            transforms.Resize(resize_px, transforms.InterpolationMode(interpolation), antialias=True),
            transforms.CenterCrop(input_size_px),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )
