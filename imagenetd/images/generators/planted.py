"""A generator for studies of quality control: a known share of its images shows another object than was asked for."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import final

import numpy as np

from imagenetd.config.groups import takes_options
from imagenetd.config.ranges import Seed, Share
from imagenetd.config.schema import build
from imagenetd.errors import ConfigError
from imagenetd.images.generators.generator import Generator, Picture
from imagenetd.records import Identity, MissingFile, Prompt, Spec
from imagenetd.words.prompt_table import PromptTable
from imagenetd.words.vocabulary import load_categories

PLANTING_VERSION = 1


@final
class PlantedGenerator(Generator):
    """Makes the images of another generator, some of them of another category of the run than their row says.

    Which ones depends on the row and the seed alone. The rows keep the asked category: neither models nor people
    are told.

    Args:
        inner: The generator that makes the images: a choice of `generator/`.
        share: Of the images, 0 to 1.
        seed: Of the choice.
        categories: Keys of the objects that are shown instead.
    """

    @takes_options
    def __init__(self, *, inner: Spec, share: Share, seed: Seed, categories: list[str]) -> None:
        if len(set(categories)) < 2:
            raise ConfigError(
                "generator.categories must name two objects or more, so that one can stand for another."
            )
        self.inner: Generator = build(inner, option="generator.inner")
        self.share, self.seed, self.categories = share, seed, list(categories)
        self.unit_size = self.inner.unit_size
        self.height_px, self.width_px = self.inner.height_px, self.inner.width_px
        self.images_per_s, self.needs_torch = self.inner.images_per_s, self.inner.needs_torch

    def close(self) -> None:
        """Give back what the inner generator took."""
        self.inner.close()

    def identity(self) -> Identity:
        """Return the inner generator's identity and how the images are planted."""
        planted = {"share": self.share, "seed": self.seed, "categories": self.categories}
        return {
            "generator": "planted",
            "version": PLANTING_VERSION,
            **planted,
            "inner": self.inner.identity(),
        }

    def load(self, device: str) -> None:
        """Load the inner generator."""
        self.inner.load(device)

    def missing_files(self, option: str) -> list[MissingFile]:
        """Return what the inner generator lacks."""
        return self.inner.missing_files(f"{option}.inner")

    def refuse_unknown(self, rows: Sequence[Prompt]) -> None:
        """Raise ConfigError for what the inner generator cannot make."""
        self.inner.refuse_unknown([self.planted(row) for row in rows])

    def prompts(self) -> PromptTable | None:
        """Return the inner generator's own rows."""
        return self.inner.prompts()

    def generate(self, rows: Sequence[Prompt], noise_seeds: Sequence[int]) -> list[Picture]:
        """Make each row's image, or the one that is planted in its place."""
        return self.inner.generate([self.planted(row) for row in rows], noise_seeds)

    def shown_category(self, rows: Sequence[Prompt]) -> list[str] | None:
        """Return what the inner generator knows to have shown."""
        return self.inner.shown_category([self.planted(row) for row in rows])

    def planted(self, row: Prompt) -> Prompt:
        """Return the row of which the image is made: itself, or one with another category."""
        key = "\x1f".join(
            (str(self.seed), row.category, row.kind, row.nuisance, str(row.seed), str(row.seed_index))
        )
        rng = np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big"))
        others = [name for name in self.categories if name != row.category]
        if rng.random() >= self.share or not others:
            return row
        other = others[rng.integers(len(others))]
        words = load_categories()
        asked, shown = words[row.category].display, words[other].display
        if row.text.count(asked) != 1:
            raise ConfigError(
                f"generator=planted cannot plant {shown!r} in the prompt {row.text!r}: {asked!r} must stand in it "
                "once. Choose other templates or words."
            )
        return dataclasses.replace(row, category=other, text=row.text.replace(asked, shown))
