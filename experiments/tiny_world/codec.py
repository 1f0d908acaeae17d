"""The tiny generator's codec: a stock AutoencoderTiny whose encoder is set, not trained, and whose decoder is trained.

Without residual blocks the stock encoder is a chain of convolutions, a linear map. Its weights are set so that it
computes the leading principal components of 8x8 pixel patches: each stride-2 convolution stacks 2x2 neighbours,
the last one projects on the components. The latents are therefore fixed before any training.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from jaxtyping import Float, UInt8
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

PATCH_PX = 8
NUM_COMPONENTS = 40
"""Of 192 in a patch of 8x8 RGB pixels; 40 keep 28.7 dB."""
WHITENING = 0.6
"""0 leaves the components' scales, 1 makes all alike. Between: coarse to fine, but the fine ones still count."""
SCALING_FACTOR = 2.0
"""The decoder squashes its input beyond about 3; halved latents stay in its linear range."""
_ENCODER_WIDTH = 48
"""Channels of every encoder stage: a 4x4 patch of RGB has 48 values."""


@dataclass(frozen=True, slots=True)
class PatchBasis:
    """Principal components of 8x8 patches of images in [-1, 1], and the scale of each latent channel."""

    mean: Float[Tensor, " values"]
    components: Float[Tensor, "values components"]
    scale: Float[Tensor, " components"]

    def encode(self, images: UInt8[Tensor, "images 64 64 3"]) -> Float[Tensor, "images components 8 8"]:
        """Latents as the denoiser sees them."""
        pixels = images.permute(0, 3, 1, 2).float() / 127.5 - 1
        patches = functional.pixel_unshuffle(pixels, PATCH_PX).permute(0, 2, 3, 1) - self.mean
        return ((patches @ self.components) / self.scale).permute(0, 3, 1, 2).contiguous()

    def decode(self, latents: Float[Tensor, "images components 8 8"]) -> Float[Tensor, "images 3 64 64"]:
        """The linear reconstruction in [-1, 1], the yardstick of the trained decoder."""
        patches = (latents.permute(0, 2, 3, 1) * self.scale) @ self.components.T + self.mean
        return functional.pixel_shuffle(patches.permute(0, 3, 1, 2), PATCH_PX)

    def save(self, path: Path) -> None:
        """Write the basis as safetensors."""
        save_file({"mean": self.mean, "components": self.components, "scale": self.scale}, path)


def load_basis(path: Path) -> PatchBasis:
    """Read a basis that `PatchBasis.save` wrote."""
    return PatchBasis(**load_file(path))


def fit_basis(images: UInt8[Tensor, "images 64 64 3"]) -> PatchBasis:
    """Fit the components on renders; the latents' mean square is 1 over all channels."""
    pixels = images.permute(0, 3, 1, 2).float() / 127.5 - 1
    patches = functional.pixel_unshuffle(pixels, PATCH_PX).permute(0, 2, 3, 1).flatten(0, 2).double()
    mean = patches.mean(0)
    variance, vectors = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
    order = variance.argsort(descending=True)[:NUM_COMPONENTS]
    deviation = variance[order].sqrt()
    scale = deviation**WHITENING
    scale = scale * ((deviation / scale) ** 2).mean().sqrt()
    return PatchBasis(mean.float(), vectors[:, order].float().contiguous(), scale.float())


def build_codec(decoder_width: int = 48) -> AutoencoderTiny:
    """A stock AutoencoderTiny with a linear encoder, untrained."""
    return AutoencoderTiny(
        latent_channels=NUM_COMPONENTS,
        encoder_block_out_channels=(_ENCODER_WIDTH,) * 4,
        num_encoder_blocks=(0, 0, 0, 0),
        decoder_block_out_channels=(decoder_width,) * 4,
        num_decoder_blocks=(3, 2, 2, 1),
        scaling_factor=SCALING_FACTOR,
    )


@torch.no_grad()
def set_linear_encoder(codec: AutoencoderTiny, basis: PatchBasis) -> None:
    """Set the encoder so that `encode(x).latents * scaling_factor` equals `basis.encode`."""
    first, *halvings, last = codec.encoder.layers
    for layer in (first, *halvings, last):
        layer.weight.zero_()
    first.bias.zero_()
    for colour in range(3):
        first.weight[colour, colour, 1, 1] = 2  # the stock encoder maps [-1, 1] to [0, 1] first
    first.bias[:3] = -1
    _stack_neighbours(halvings[0], 3)
    _stack_neighbours(halvings[1], 12)
    # The last halving sees 4 stacks of 48 values: together the patch, in the order row bits, column bits, colour.
    projection = (basis.components / basis.scale / SCALING_FACTOR).T
    columns = _patch_order().view(2, 2, 48)
    for row in range(2):
        for column in range(2):
            halvings[2].weight[:NUM_COMPONENTS, :, 1 + row, 1 + column] = projection[:, columns[row, column]]
    for channel in range(NUM_COMPONENTS):
        last.weight[channel, channel, 1, 1] = 1
    last.bias.copy_(-(projection @ basis.mean))


def _stack_neighbours(layer: torch.nn.Conv2d, channels: int) -> None:
    """Make a stride-2 convolution stack each 2x2 block of `channels` channels into 4 times as many."""
    for row in range(2):
        for column in range(2):
            for channel in range(channels):
                layer.weight[(2 * row + column) * channels + channel, channel, 1 + row, 1 + column] = 1


def _patch_order() -> Tensor:
    """Index into pixel_unshuffle's patch of each value in the order in which the halvings stack them."""
    index = torch.arange(3 * PATCH_PX**2).view(1, 3, PATCH_PX, PATCH_PX).float()
    for _ in range(2):
        index = torch.cat([index[:, :, row::2, column::2] for row in range(2) for column in range(2)], dim=1)
    return torch.stack([index[0, :, row, column] for row in range(2) for column in range(2)]).long()
