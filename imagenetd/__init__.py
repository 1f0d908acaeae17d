"""Test sets of hard diffusion images: generate, mine shared failures, control quality, score unseen models."""

from pathlib import Path

__version__ = "0.1.0"

ASSETS_DIR = Path(__file__).parent / "assets"
"""Files that ship with the package: vocabularies, label maps, templates, small weights."""
