"""What a user's own package may hold: modules, functions, and mistakes."""

import types
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn


class Linear(nn.Module):
    """Mean colour to logits."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.head = nn.Linear(3, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images.mean(dim=(2, 3)))


def colour_function() -> Any:
    """Return a plain function: the three mean colours are the logits."""
    return lambda images: images.mean(dim=(2, 3))


def wrapped() -> Any:
    """Return a function whose output has its logits in an attribute, as transformers does."""
    return lambda images: types.SimpleNamespace(logits=images.mean(dim=(2, 3)))


def counting() -> Any:
    """Return a function that always answers class 7 of 1,000."""
    return lambda images: torch.eye(1000)[7].expand(len(images), -1)


def broken() -> Any:
    """Return a function that fails on every image."""
    return lambda images: images @ torch.zeros(5, 5)


def wide() -> Any:
    """Return a function that gives an image instead of logits."""
    return lambda images: images


def plain_colours(image: Image.Image) -> Tensor:
    """Return a tiny tensor without any normalisation."""
    return torch.tensor(image.resize((1, 1)).getpixel((0, 0))).float().reshape(3, 1, 1) / 255


class Twins(nn.Module):
    """Two pairs of classes that always have the same logit."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images.mean(dim=(2, 3)))).repeat_interleave(2, dim=1)


def twins() -> nn.Module:
    """Return a network of fixed weights whose best class always has a twin."""
    torch.manual_seed(0)
    return Twins()
