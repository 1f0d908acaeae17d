"""Training data of the tiny generator: renders with captions in the prompt form, kept as shards."""

import itertools
import os
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8

from imagenetd.images.tiny_world import BACKGROUNDS, CATEGORIES, NUISANCES, render, sample_factors

NUM_CAPTIONS_PER_CATEGORY = len(NUISANCES) + 1
EMPTY_CAPTION = len(CATEGORIES) * NUM_CAPTIONS_PER_CATEGORY
"""Index of the empty caption, which trains the unconditional half of classifier-free guidance."""
SHARD_IMAGES = 4000
FIRST_SEED = 7_000_000
"""Seeds of the shards start here; the classifiers' seeds are small numbers, so no render is shared."""
_KIND_WEIGHT = {"neutral": 1.0, "background": 1.0, "texture": 1.6, "material": 1.3}
"""How often a caption of the kind is drawn: textures are the hardest to learn, so they come more often."""


def caption_index(category: int, nuisance: int) -> int:
    """Position of a caption in `all_captions()`; nuisance -1 is the neutral one."""
    return category * NUM_CAPTIONS_PER_CATEGORY + nuisance + 1


def draw_captioned(
    num_images: int, rng: np.random.Generator
) -> tuple[UInt8[np.ndarray, "images 64 64 3"], Int[np.ndarray, " images"]]:
    """Renders and the index of each one's caption.

    The stated nuisance is drawn independently of the category. What the caption leaves open follows the category's
    habit: its typical background (in 7 of 10 images), its natural appearance.
    """
    category, background, appearance = sample_factors(rng, num_images, rho_background=0.7, rho_appearance=1.0)
    weight = np.array([_KIND_WEIGHT["neutral"], *(_KIND_WEIGHT[kind] for kind, _ in NUISANCES)])
    nuisance = rng.choice(len(weight), num_images, p=weight / weight.sum()) - 1
    is_place = (nuisance >= 0) & (nuisance < len(BACKGROUNDS))
    background = np.where(is_place, nuisance, background)
    appearance = np.where(nuisance >= len(BACKGROUNDS), nuisance - len(BACKGROUNDS) + 1, appearance)
    images = [
        render(category[part], background[part], appearance[part], rng=rng)
        for part in np.array_split(np.arange(num_images), max(1, num_images // 250))
    ]
    return np.concatenate(images), category * NUM_CAPTIONS_PER_CATEGORY + nuisance + 1


def shard_path(folder: Path, index: int) -> Path:
    """Where shard `index` lies."""
    return folder / f"renders-{index:04d}.npz"


def write_shards(folder: Path, indices: range) -> None:
    """Render the shards that are not there yet; each depends on its index alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in itertools.filterfalse(lambda each: shard_path(folder, each).exists(), indices):
        images, caption = draw_captioned(SHARD_IMAGES, np.random.default_rng(FIRST_SEED + index))
        unfinished = folder / f"unfinished-{index:04d}.npz"
        np.savez(unfinished, images=images, caption=caption.astype(np.int16))
        os.replace(unfinished, shard_path(folder, index))
