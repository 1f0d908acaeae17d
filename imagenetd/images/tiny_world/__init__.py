"""A procedural 64-pixel world with known category, background and appearance."""

from imagenetd.images.tiny_world.renderer import render, sample_factors
from imagenetd.images.tiny_world.vocabulary import (
    APPEARANCES,
    BACKGROUNDS,
    CATEGORIES,
    MATERIALS,
    NUISANCES,
    TEXTURES,
    TYPICAL_BACKGROUNDS,
)

__all__ = [
    "APPEARANCES",
    "BACKGROUNDS",
    "CATEGORIES",
    "MATERIALS",
    "NUISANCES",
    "TEXTURES",
    "TYPICAL_BACKGROUNDS",
    "render",
    "sample_factors",
]
