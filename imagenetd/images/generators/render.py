"""The tiny world's procedural renderer as a generator: exact, fast, and not a diffusion model."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np

from imagenetd.config.groups import takes_options
from imagenetd.config.ranges import Batch, Range
from imagenetd.images.generators.generator import Generator, Picture, refuse_words
from imagenetd.records import Identity, Kind, Prompt

RENDERER_VERSION = 1
"""Part of every image's id; raise it when the renderer draws anything differently."""


class RenderGenerator(Generator):
    """Draws exactly what the row says; what the row leaves open follows the category's habits.

    Args:
        size_px: Height and width of the images.
        unit_size: Images of one unit of work.
    """

    needs_torch = False

    @takes_options
    def __init__(self, *, size_px: Annotated[int, Range(16, 4096)], unit_size: Batch) -> None:
        self.size_px, self.unit_size = size_px, unit_size
        self.height_px = self.width_px = size_px

    def identity(self) -> Identity:
        """Return the renderer's version and the image size."""
        return {"generator": "render", "version": RENDERER_VERSION, "size_px": self.size_px}

    def load(self, device: str) -> None:
        """Nothing to load."""

    def shown_category(self, rows: Sequence[Prompt]) -> list[str] | None:
        """Return the rows' own categories: a render shows what it is asked for."""
        return [row.category for row in rows]

    def refuse_unknown(self, rows: Sequence[Prompt]) -> None:
        """Raise ConfigError for a word that the renderer has no shape or surface for."""
        from imagenetd.images.tiny_world import APPEARANCES, BACKGROUNDS, CATEGORIES

        refuse_words(rows, {*CATEGORIES, *BACKGROUNDS, *APPEARANCES}, generator="render")

    def generate(self, rows: Sequence[Prompt], noise_seeds: Sequence[int]) -> list[Picture]:
        """Render each row from its own random numbers."""
        return [Picture(self._render(row, seed)) for row, seed in zip(rows, noise_seeds, strict=True)]

    def _render(self, row: Prompt, seed: int) -> np.ndarray:
        from imagenetd.images.tiny_world import (
            APPEARANCES,
            BACKGROUNDS,
            CATEGORIES,
            TYPICAL_BACKGROUNDS,
            render,
        )

        rng = np.random.default_rng(seed)
        typical = TYPICAL_BACKGROUNDS[row.category]
        background = row.nuisance if row.kind == Kind.BACKGROUND else typical[rng.integers(len(typical))]
        appearance = row.nuisance if row.kind in (Kind.TEXTURE, Kind.MATERIAL) else "natural"
        return render(
            np.array([CATEGORIES.index(row.category)]),
            np.array([BACKGROUNDS.index(background)]),
            np.array([APPEARANCES.index(appearance)]),
            rng=rng,
            size_px=self.size_px,
        )[0]
