"""Training sets of the tiny world, drawn from a seed: renders, their factors and one caption per image."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from experiments.tiny_world.tokenizer import caption
from imagenetd.images.tiny_world import (
    APPEARANCES,
    BACKGROUNDS,
    CATEGORIES,
    NUISANCES,
    render,
    sample_factors,
)

NUM_CAPTIONS = 1 + len(NUISANCES)
"""Captions of one category: the neutral one, then one for each nuisance."""

SHARE_OF_BACKGROUND_CAPTIONS = 0.6
"""How often the caption of an object in its natural colours names the place."""


@dataclass(frozen=True, slots=True)
class Renders:
    """Images with what they show, each factor an index into its vocabulary."""

    image: UInt8[Tensor, "images 3 height width"]
    category: Int[Tensor, " images"]
    background: Int[Tensor, " images"]
    appearance: Int[Tensor, " images"]


@dataclass(frozen=True, slots=True)
class Habits:
    """How strongly a training set is tied to habit: probability of the usual place and of natural colours."""

    background: float
    appearance: float


UNCORRELATED = Habits(background=0.0, appearance=1 / len(APPEARANCES))
"""Every background and every appearance equally often with every category."""


def draw_renders(seed: int, num_images: int, habits: Habits) -> Renders:
    """A training set: the same seed, size and habits give the same bytes."""
    rng = np.random.default_rng(seed)
    factors = sample_factors(
        rng, num_images, rho_background=habits.background, rho_appearance=habits.appearance
    )
    return render_all(*factors, rng=rng)


def render_all(
    category: np.ndarray, background: np.ndarray, appearance: np.ndarray, *, rng: np.random.Generator
) -> Renders:
    """Renders of the given factors, made in blocks of 256 to bound the memory."""
    blocks = []
    for start in range(0, len(category), 256):
        rows = slice(start, start + 256)
        blocks.append(render(category[rows], background[rows], appearance[rows], rng=rng))
    image = torch.from_numpy(np.concatenate(blocks)).permute(0, 3, 1, 2).contiguous()
    return Renders(
        image, *(torch.from_numpy(np.asarray(each)) for each in (category, background, appearance))
    )


def draw_pool(seed: int, num_repeats: int) -> tuple[Renders, np.ndarray]:
    """The benchmark's cells as renders, and the nuisance index of each image.

    A background cell shows natural colours; a texture or material cell stands in a habitual place half of the
    time and anywhere otherwise, which is what a generator makes of a prompt that names no place.
    """
    rng = np.random.default_rng(seed)
    cells = np.tile(np.arange(len(CATEGORIES) * len(NUISANCES)), num_repeats)
    category, nuisance = np.divmod(cells, len(NUISANCES))
    _, usual, _ = _usual_places(rng, category)
    is_background = nuisance < len(BACKGROUNDS)
    background = np.where(is_background, nuisance, usual)
    appearance = np.where(is_background, 0, nuisance - len(BACKGROUNDS) + 1)
    return render_all(category, background, appearance, rng=rng), nuisance


def _usual_places(
    rng: np.random.Generator, category: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Factors with the given categories, in a habitual place half of the time."""
    drawn = sample_factors(rng, 40 * len(category), rho_background=0.5, rho_appearance=0.5)
    rows_of = [np.flatnonzero(drawn[0] == index) for index in range(len(CATEGORIES))]
    chosen = np.array([rng.choice(rows_of[index]) for index in category])
    return drawn[0][chosen], drawn[1][chosen], drawn[2][chosen]


def all_captions() -> list[str]:
    """Every caption, category by category, the neutral one first."""
    return [caption(category, nuisance) for category in CATEGORIES for nuisance in (None, *NUISANCES)]


def caption_index(
    renders: Renders, rows: Int[Tensor, " batch"], rng: np.random.Generator
) -> Int[Tensor, " batch"]:
    """Which of `all_captions` describes each image; the place is named or not if the object is natural."""
    names_place = torch.from_numpy(rng.random(len(rows)) < SHARE_OF_BACKGROUND_CAPTIONS)
    appearance, background = renders.appearance[rows], renders.background[rows]
    natural = torch.where(names_place, 1 + background, 0)
    changed = len(BACKGROUNDS) + appearance
    return renders.category[rows] * NUM_CAPTIONS + torch.where(appearance == 0, natural, changed)
