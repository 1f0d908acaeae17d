"""The referee: an independent network that tells what a tiny-world image shows.

It measures the generator and is the truth of simulated quality control. It sees category, background and
appearance, shares no weights, data or architecture with the gate, and never takes part in the benchmark.
"""

import json
from pathlib import Path

import torch
from jaxtyping import Float32, Int, UInt8
from safetensors.torch import load_file
from torch import Tensor, nn

from imagenetd import ASSETS_DIR
from imagenetd.images.tiny_world.vocabulary import APPEARANCES, BACKGROUNDS, CATEGORIES

REFEREE_FOLDER = ASSETS_DIR / "tiny/judge"
HEADS = {"category": len(CATEGORIES), "background": len(BACKGROUNDS), "appearance": len(APPEARANCES)}


def stage(num_in: int, num_out: int) -> nn.Sequential:
    """Halve the size with one convolution, then look again with another."""
    return nn.Sequential(
        nn.Conv2d(num_in, num_out, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(num_out),
        nn.ReLU(),
        nn.Conv2d(num_out, num_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(num_out),
        nn.ReLU(),
    )


class Referee(nn.Module):
    """A plain convolutional network with one linear head per factor."""

    def __init__(self, widths: tuple[int, ...] = (24, 48, 96, 128)) -> None:
        super().__init__()
        stem = [
            nn.Conv2d(3, widths[0], 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        ]
        stages = [stage(low, high) for low, high in zip(widths, widths[1:], strict=False)]
        self.features = nn.Sequential(*stem, *stages)
        self.heads = nn.ModuleDict({name: nn.Linear(widths[-1], size) for name, size in HEADS.items()})

    def forward(
        self, image: Float32[Tensor, "images 3 height width"]
    ) -> dict[str, Float32[Tensor, "images _"]]:
        """Logits of every head, from pixels in -1..1."""
        pooled = self.features(image).float().mean(dim=(2, 3))
        return {name: head(pooled) for name, head in self.heads.items()}

    @torch.no_grad()
    def judge(self, image: UInt8[Tensor, "images 3 height width"]) -> dict[str, Int[Tensor, " images"]]:
        """The most likely category, background and appearance of each image."""
        self.eval()
        parts = [self(block.float() / 127.5 - 1) for block in image.split(256)]
        return {name: torch.cat([part[name] for part in parts]).argmax(dim=1) for name in HEADS}


def load_referee(folder: Path = REFEREE_FOLDER) -> Referee:
    """The trained referee."""
    widths = json.loads((folder / "config.json").read_text())["widths"]
    referee = Referee(tuple(widths))
    weights = load_file(folder / "model.safetensors")
    referee.load_state_dict(
        {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}
    )
    return referee.eval()
