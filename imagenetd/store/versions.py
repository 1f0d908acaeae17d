"""The versions that stand beside every result."""

import importlib.metadata

PACKAGES = (
    "torch",
    "torchvision",
    "lightning",
    "diffusers",
    "transformers",
    "timm",
    "open_clip_torch",
    "hydra-core",
    "numpy",
    "pillow",
)
"""Libraries that make or judge images: their versions stand beside every result."""


def library_versions() -> dict[str, str]:
    """Return the versions of imagenetd and of the libraries that make or judge images."""
    return {name: importlib.metadata.version(name) for name in ("imagenetd", *PACKAGES)}
