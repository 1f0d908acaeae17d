"""Test sets of hard diffusion images: generate, mine shared failures, control quality, score unseen models."""

__version__ = "0.1.0"
