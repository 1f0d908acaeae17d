"""The drawing surface that backgrounds and surfaces share: coordinates, smooth noise and jittered colours."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Float32

Field = Float[np.ndarray, "#images #height #width"]
"""One number per pixel; an axis of length 1 stands for all its places, as everywhere in numpy."""
Picture = Float[np.ndarray, "#images #height #width 3"]
Rgb = tuple[float, float, float]


@cache
def interpolation(size_px: int, num_cells: int) -> Float32[np.ndarray, "size cells"]:
    """Weights that stretch `num_cells` random values smoothly over `size_px` pixels."""
    position = (np.arange(size_px) + 0.5) / size_px * (num_cells - 1)
    left = np.minimum(position.astype(int), num_cells - 2)
    fraction = position - left
    fraction = fraction * fraction * (3 - 2 * fraction)
    weights = np.zeros((size_px, num_cells), np.float32)
    weights[np.arange(size_px), left] = 1 - fraction
    weights[np.arange(size_px), left + 1] = fraction
    return weights


@dataclass(frozen=True, slots=True)
class Canvas:
    """A batch of images being drawn; x grows to the right, y upwards, both from -1 to 1."""

    rng: np.random.Generator
    num_images: int
    size_px: int

    @property
    def x(self) -> Field:
        """Horizontal place of every pixel, one row for the whole batch."""
        return self._axis()[None, None, :]

    @property
    def y(self) -> Field:
        """Vertical place of every pixel, one column for the whole batch."""
        return -self._axis()[None, :, None]

    def _axis(self) -> Float32[np.ndarray, " size"]:
        return ((np.arange(self.size_px) + 0.5) / self.size_px * 2 - 1).astype(np.float32)

    def uniform(self, low: float, high: float) -> Field:
        """One random number per image, ready to combine with pixels."""
        return self.rng.uniform(low, high, (self.num_images, 1, 1)).astype(np.float32)

    def noise(self, num_cells: int) -> Field:
        """Smooth noise in -1..1 with `num_cells` cells across the image."""
        weights = interpolation(self.size_px, num_cells)
        cells = self.rng.uniform(-1, 1, (self.num_images, num_cells, num_cells)).astype(np.float32)
        return weights @ cells @ weights.T

    def specks(self, share: float) -> Field:
        """Ones on a random `share` of the pixels, zeros elsewhere."""
        chosen = self.rng.random((self.num_images, self.size_px, self.size_px), np.float32) < share
        return chosen.astype(np.float32)

    def colour(self, rgb: Rgb, *, jitter: float = 0.04) -> Picture:
        """One colour per image, near `rgb`."""
        shift = self.rng.uniform(-jitter, jitter, (self.num_images, 1, 1, 3))
        light = self.rng.uniform(-jitter, jitter, (self.num_images, 1, 1, 1))
        return (np.asarray(rgb) + shift + light).astype(np.float32)


def mix(below: Picture, above: Picture, share: Field) -> Picture:
    """`above` over `below`, where `share` is the opacity in 0..1."""
    return below + (above - below) * share[..., None]


def inside(distance: Field, softness: float = 0.035) -> Field:
    """Opacity of a region from its signed distance (negative inside)."""
    return np.clip(0.5 - distance / softness, 0, 1)
