"""Renders of the tiny world: an object of one category, in one place, with one appearance.

Signed-distance parts are painted in order, raised like pillows, and lit by one lamp above; a soft shadow ties
the object to its place. The same factors and the same generator state give the same bytes.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, UInt8

from imagenetd.images.tiny_world.backgrounds import PLACES
from imagenetd.images.tiny_world.canvas import Canvas, Field, Picture, mix
from imagenetd.images.tiny_world.objects import SHAPES
from imagenetd.images.tiny_world.shapes import Role
from imagenetd.images.tiny_world.surfaces import (
    NATURAL_COLOURS,
    SUBSTANCES,
    Place,
    Surface,
    natural,
    textured,
)
from imagenetd.images.tiny_world.vocabulary import (
    APPEARANCES,
    BACKGROUNDS,
    CATEGORIES,
    TEXTURES,
    TYPICAL_BACKGROUNDS,
)

Index = Int[np.ndarray, " images"]

FREELY_TURNED = ("banana", "hammer", "frying_pan", "umbrella", "wine_bottle")
"""Categories drawn up to 25 degrees off upright; the others up to 12."""


@dataclass(frozen=True, slots=True)
class Relief:
    """The objects of a batch before they are coloured."""

    cover: Field
    height: Field
    rim: Field
    """0 on the very edge of a part, 1 inside it."""
    role: Field
    u: Field
    v: Field

    @classmethod
    def blank(cls, num_images: int, size_px: int) -> "Relief":
        """Room for a batch of objects."""
        return cls(*np.zeros((6, num_images, size_px, size_px), np.float32))

    def rows(self, chosen: Index) -> "Relief":
        """The relief of the chosen images."""
        return Relief(*(getattr(self, name)[chosen] for name in self.__slots__))


def posed(category: str, canvas: Canvas) -> Relief:
    """Objects of one category with a random small turn, size, place, mirror image and proportions."""
    limit = np.deg2rad(25 if category in FREELY_TURNED else 12)
    turn, scale = canvas.uniform(-limit, limit), canvas.uniform(0.9, 1.05)
    x = (canvas.x - canvas.uniform(-0.08, 0.08)) / scale
    y = (canvas.y - canvas.uniform(-0.08, 0.08)) / scale
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    mirror = np.where(canvas.uniform(-1.0, 1.0) < 0, np.float32(-1), np.float32(1))
    jitter = canvas.rng.uniform(-1, 1, (3, canvas.num_images, 1, 1)).astype(np.float32)
    relief = Relief.blank(canvas.num_images, canvas.size_px)
    relief.u[:], relief.v[:] = u, v
    pixel = 2 / canvas.size_px
    for distance, role in SHAPES[category](u * mirror, v, jitter):
        relief.cover[:] = np.maximum(relief.cover, np.clip(0.5 - distance * scale / pixel, 0, 1))
        slope = np.clip(-distance / 0.2, 0, 1)
        height = np.sqrt(1 - (1 - slope) ** 2 + 1e-6) * (0.3 if role is Role.HOLLOW else 1)
        is_part = distance < 0
        np.copyto(relief.height, height, where=is_part, casting="same_kind")
        np.copyto(relief.rim, np.clip(-distance / 0.07, 0, 1), where=is_part, casting="same_kind")
        np.copyto(relief.role, np.float32(role), where=is_part)
    return relief


def lighting(relief: Relief, lamp: Field) -> tuple[Field, Field]:
    """Diffuse light and gloss of the relief under a lamp whose sideways place is `lamp`."""
    across, along = np.zeros_like(relief.height), np.zeros_like(relief.height)
    across[:, :, 1:-1] = relief.height[:, :, 2:] - relief.height[:, :, :-2]
    along[:, 1:-1] = relief.height[:, :-2] - relief.height[:, 2:]
    up = 1 / np.sqrt(1 + (0.9 * across) ** 2 + (0.9 * along) ** 2)
    right, back = -0.9 * across * up, -0.9 * along * up
    diffuse = (right * lamp + back * 0.707 + up * 0.894) / np.sqrt(lamp * lamp + 1.3)
    gloss = (right * lamp * 0.6 + back * 0.55 + up * 0.75) / 0.98
    return np.clip(diffuse, 0, 1), np.clip(gloss, 0, 1) ** 16


def surface_of(appearance: str, category: Index, canvas: Canvas, relief: Relief) -> Surface:
    """The surface of objects that share one appearance."""
    if appearance == "natural":
        colours = np.asarray([NATURAL_COLOURS[name] for name in CATEGORIES], np.float32)
        return natural(colours[category], canvas, (relief.role == Role.TRIM).astype(np.float32))
    place = Place(relief.u, relief.v)
    return (
        textured(appearance, canvas, place)
        if appearance in TEXTURES
        else SUBSTANCES[appearance](canvas, place)
    )


def lit(surface: Surface, behind: Picture, relief: Relief, lamp: Field) -> Picture:
    """The coloured, shaded objects; parts keep darker rims and trims so that they stay apart."""
    diffuse, gloss = lighting(relief, lamp)
    albedo = surface.albedo
    if surface.clearness:
        see_through = surface.clearness * np.clip(relief.height * 1.2, 0, 1)
        albedo = mix(albedo, behind * 0.92 + 0.08, see_through)
    shade = 0.36 + 0.7 * diffuse
    shade = surface.glow + (1 - surface.glow) * shade
    shade = shade * (0.62 + 0.38 * relief.rim) * np.where(relief.role == Role.TRIM, 0.9, 1)
    picture = albedo * shade[..., None] + (0.5 * surface.shine * gloss * relief.rim**2)[..., None]
    return np.where((relief.role == Role.HOLLOW)[..., None], picture * 0.35, picture)


def flames(behind: Picture, relief: Relief) -> Picture:
    """Tongues of fire that leave the upper edges, and a warm halo."""
    reach, halo = relief.cover, relief.cover
    for step in range(1, 7):
        raised = np.roll(relief.cover, -step, axis=1)
        raised[:, -step:] = 0
        wide = np.clip(np.sin(relief.u * 14) + 1.25 - 0.36 * step, 0, 1)
        reach = np.maximum(reach, raised * wide)
        halo = np.maximum(halo, raised * (1 - step / 7))
    warm = mix(behind, np.array([[[(1.0, 0.45, 0.08)]]], np.float32), 0.4 * halo)
    return mix(warm, np.array([[[(1.0, 0.42, 0.04)]]], np.float32), 0.95 * reach)


def draw_backgrounds(background: Index, canvas: Canvas) -> Picture:
    """The empty places."""
    picture = np.empty((canvas.num_images, canvas.size_px, canvas.size_px, 3), np.float32)
    for index in np.unique(background):
        chosen = np.flatnonzero(background == index)
        picture[chosen] = PLACES[BACKGROUNDS[index]](Canvas(canvas.rng, len(chosen), canvas.size_px))
    return picture


def draw_reliefs(category: Index, canvas: Canvas) -> Relief:
    """The posed objects."""
    relief = Relief.blank(canvas.num_images, canvas.size_px)
    for index in np.unique(category):
        chosen = np.flatnonzero(category == index)
        part = posed(CATEGORIES[index], Canvas(canvas.rng, len(chosen), canvas.size_px))
        for name in Relief.__slots__:
            getattr(relief, name)[chosen] = getattr(part, name)
    return relief


def render(
    category: Index, background: Index, appearance: Index, *, rng: np.random.Generator, size_px: int = 64
) -> UInt8[np.ndarray, "images size size 3"]:
    """Pictures of the given factors, each an index into CATEGORIES, BACKGROUNDS and APPEARANCES."""
    category, background, appearance = (
        np.asarray(each, np.int64) for each in (category, background, appearance)
    )
    canvas = Canvas(rng, len(category), size_px)
    picture = draw_backgrounds(background, canvas)
    relief = draw_reliefs(category, canvas)
    lamp = canvas.uniform(-0.6, 0.6)
    shadow = np.roll(relief.cover, (2, 2), (1, 2)) * (1 - relief.cover)
    picture *= (1 - 0.3 * shadow)[..., None]
    for index in np.unique(appearance):
        chosen = np.flatnonzero(appearance == index)
        rows, behind = relief.rows(chosen), picture[chosen]
        if APPEARANCES[index] == "fire":
            behind = flames(behind, rows)
        part = Canvas(rng, len(chosen), size_px)
        surface = surface_of(APPEARANCES[index], category[chosen], part, rows)
        picture[chosen] = mix(behind, lit(surface, behind, rows, lamp[chosen]), rows.cover)
    exposure = rng.uniform(0.93, 1.06, (len(category), 1, 1, 1)).astype(np.float32)
    grain = rng.standard_normal(picture.shape, np.float32) * 0.008
    return (np.clip(picture * exposure + grain, 0, 1) * 255).astype(np.uint8)


def sample_factors(
    rng: np.random.Generator, num_images: int, *, rho_background: float, rho_appearance: float
) -> tuple[Index, Index, Index]:
    """Random (category, background, appearance): habitual with probability rho, else uniform."""
    category = rng.integers(0, len(CATEGORIES), num_images)
    habits = np.array(
        [[BACKGROUNDS.index(word) for word in TYPICAL_BACKGROUNDS[name]] for name in CATEGORIES]
    )
    usual = habits[category, (rng.random(num_images) < 0.3).astype(np.int64)]
    anywhere = rng.integers(0, len(BACKGROUNDS), num_images)
    background = np.where(rng.random(num_images) < rho_background, usual, anywhere)
    changed = rng.integers(1, len(APPEARANCES), num_images)
    appearance = np.where(rng.random(num_images) < rho_appearance, 0, changed)
    return category, background, appearance
