"""What an object is covered with or made of: natural colours, six textures, six materials.

Patterns are anchored to the object, keep one orientation and phase, and repeat about every 14 pixels, so
that a small generator can learn them. Textures share one set of two-colour palettes: colour never names one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from imagenetd.images.tiny_world.canvas import Canvas, Field, Picture, Rgb, mix

PALETTES: tuple[tuple[Rgb, Rgb], ...] = (
    ((0.80, 0.10, 0.14), (0.97, 0.95, 0.92)),
    ((0.10, 0.18, 0.55), (0.98, 0.93, 0.72)),
    ((0.06, 0.42, 0.26), (0.95, 0.96, 0.88)),
    ((0.10, 0.09, 0.11), (0.98, 0.80, 0.20)),
    ((0.45, 0.12, 0.50), (0.98, 0.84, 0.88)),
)
"""(dark, light) colours that every texture draws from."""

NATURAL_COLOURS: dict[str, tuple[Rgb, Rgb]] = {
    "banana": ((0.95, 0.82, 0.18), (0.42, 0.30, 0.10)),
    "chair": ((0.60, 0.22, 0.20), (0.42, 0.25, 0.12)),
    "desk_lamp": ((0.16, 0.55, 0.50), (0.70, 0.72, 0.72)),
    "frying_pan": ((0.24, 0.24, 0.27), (0.45, 0.26, 0.14)),
    "hammer": ((0.48, 0.50, 0.55), (0.80, 0.58, 0.28)),
    "mug": ((0.92, 0.90, 0.86), (0.84, 0.82, 0.78)),
    "padlock": ((0.86, 0.68, 0.24), (0.66, 0.68, 0.72)),
    "sock": ((0.62, 0.62, 0.66), (0.85, 0.22, 0.20)),
    "t_shirt": ((0.36, 0.60, 0.90), (0.28, 0.48, 0.78)),
    "teapot": ((0.22, 0.34, 0.72), (0.90, 0.90, 0.94)),
    "umbrella": ((0.85, 0.12, 0.22), (0.22, 0.20, 0.22)),
    "wine_bottle": ((0.10, 0.34, 0.17), (0.90, 0.84, 0.66)),
}
"""(body, trim) colours of each category as it usually looks."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the pixels lie on the object: upright object coordinates, from -1 to 1."""

    u: Field
    v: Field


@dataclass(frozen=True, slots=True)
class Surface:
    """How a surface answers light."""

    albedo: Picture
    shine: float = 0.25
    clearness: float = 0.0
    """Share of the background that shows through."""
    glow: float = 0.0
    """Share of the colour that needs no light."""


def wave(position: Field) -> Field:
    """A triangle wave of period 1 between -1 and 1, with a peak at 0."""
    return 1 - 4 * np.abs((position + 0.5) % 1 - 0.5)


def striped(canvas: Canvas, place: Place, pitch: Field) -> Field:
    """Broad slanted bars."""
    return 2.5 * np.sin(2 * np.pi * (place.v + 0.4 * place.u) * pitch)


def polka_dotted(canvas: Canvas, place: Place, pitch: Field) -> Field:
    """Big dots on a staggered lattice."""
    row = np.floor(place.v * pitch + 0.5)
    across = (place.u * pitch + 0.5 * (row % 2) + 0.5) % 1 - 0.5
    return 9 * (0.33 - np.hypot(across, place.v * pitch - row))


def chequered(canvas: Canvas, place: Place, pitch: Field) -> Field:
    """Big squares."""
    return 5 * np.sin(2 * np.pi * place.u * pitch) * np.sin(2 * np.pi * place.v * pitch)


def zigzagged(canvas: Canvas, place: Place, pitch: Field) -> Field:
    """Thick chevrons."""
    return 2.5 * np.sin(2 * np.pi * (place.v * pitch + 0.3 * wave(place.u * pitch * 0.9)))


def grid(canvas: Canvas, place: Place, pitch: Field) -> Field:
    """Two-pixel lines around plain cells."""
    across = np.abs((place.u * pitch) % 1 - 0.5)
    along = np.abs((place.v * pitch) % 1 - 0.5)
    return 14 * (np.maximum(across, along) - 0.415)


def marbled(canvas: Canvas, place: Place, pitch: Field) -> Field:
    """Soft clouds with veins."""
    drift = canvas.noise(6)
    return 1.6 * np.sin(2 * np.pi * (0.55 * pitch * (place.u * 0.7 + place.v) + 0.55 * drift))


PATTERNS: dict[str, Callable[[Canvas, Place, Field], Field]] = {
    "striped": striped,
    "polka-dotted": polka_dotted,
    "chequered": chequered,
    "zigzagged": zigzagged,
    "marbled": marbled,
    "grid": grid,
}
"""How dark each texture is, from -1 (light colour) to 1 (dark colour), before clipping."""


def textured(name: str, canvas: Canvas, place: Place) -> Surface:
    """The texture `name` in one of the shared palettes; marble keeps its pale stone."""
    darkness = np.clip(0.5 + 0.5 * PATTERNS[name](canvas, place, 2.35 * canvas.uniform(0.93, 1.07)), 0, 1)
    if name == "marbled":
        veins = np.exp(-((darkness - 0.5) ** 2) / 0.012)
        stone = mix(canvas.colour((0.95, 0.94, 0.92)), canvas.colour((0.60, 0.61, 0.65)), darkness)
        return Surface(mix(stone, canvas.colour((0.36, 0.36, 0.40)), 0.7 * veins), shine=0.5)
    dark, light = np.asarray(PALETTES, np.float32)[
        canvas.rng.integers(0, len(PALETTES), canvas.num_images)
    ].swapaxes(0, 1)
    dark = dark[:, None, None] + canvas.colour((0.0, 0.0, 0.0), jitter=0.03)
    light = light[:, None, None] + canvas.colour((0.0, 0.0, 0.0), jitter=0.02)
    return Surface(mix(light, dark, darkness), shine=0.1)


def natural(colours: Float32[np.ndarray, "images 2 3"], canvas: Canvas, is_trim: Field) -> Surface:
    """The usual (body, trim) colours of the objects."""
    body = colours[:, 0, None, None] + canvas.colour((0.0, 0.0, 0.0), jitter=0.04)
    trim = colours[:, 1, None, None] + canvas.colour((0.0, 0.0, 0.0), jitter=0.04)
    return Surface(mix(body, trim, is_trim) + 0.02 * canvas.noise(24)[..., None])


def wood(canvas: Canvas, place: Place) -> Surface:
    """Planks with wavy grain along the object."""
    warp = canvas.noise(7)
    grain = np.sin(2 * np.pi * (3.2 * place.u + 0.22 * np.sin(3 * place.v) + 0.22 * warp))
    plank = mix(
        canvas.colour((0.74, 0.50, 0.27)),
        canvas.colour((0.42, 0.23, 0.10)),
        np.clip(0.45 + 0.55 * grain, 0, 1),
    )
    return Surface(plank, shine=0.1)


def metal(canvas: Canvas, place: Place) -> Surface:
    """Polished steel with slanted bright and dark reflections."""
    band = np.sin(2 * np.pi * (1.05 * place.u + 0.55 * place.v + 0.08 * canvas.noise(6)) + 0.6)
    steel = canvas.colour((0.60, 0.64, 0.70), jitter=0.02) + 0.34 * (np.clip(1.5 * band, -1, 1))[..., None]
    return Surface(steel, shine=1.0)


def glass(canvas: Canvas, place: Place) -> Surface:
    """Pale clear glass."""
    tint = canvas.colour((0.72, 0.92, 0.98), jitter=0.02) + 0 * (place.u + place.v)[..., None]
    return Surface(tint, shine=1.3, clearness=0.6)


def brick(canvas: Canvas, place: Place) -> Surface:
    """Courses of red bricks in pale mortar."""
    height = place.v * 3.8
    row = np.floor(height)
    across = np.abs((place.u * 1.9 + 0.5 * (row % 2)) % 1 - 0.5)
    joint = np.maximum((across - 0.435) * 2, np.abs(height - row - 0.5) - 0.37)
    shade = (
        0.05 * canvas.noise(9)[..., None]
        + 0.05 * np.sin(7 * row + 3 * np.floor(place.u * 1.9 + 0.5 * (row % 2)))[..., None]
    )
    bricks = canvas.colour((0.68, 0.24, 0.16)) + shade
    return Surface(mix(bricks, canvas.colour((0.86, 0.82, 0.76)), np.clip(0.5 + 9 * joint, 0, 1)), shine=0.0)


def foliage(canvas: Canvas, place: Place) -> Surface:
    """Overlapping leaves with pale midribs and dark gaps."""
    row = np.floor(place.v * 3.4)
    across = (place.u * 2.9 + 0.5 * (row % 2)) % 1 - 0.5
    along = place.v * 3.4 - row - 0.5
    side = np.where(row % 2 == 0, 0.6, -0.6)
    long, wide = across * 0.8 + along * side, along * 0.8 - across * side
    leaf = np.clip(4 * (1 - np.hypot(long / 0.56, wide / 0.34)), 0, 1)
    rib = np.clip(1 - np.abs(wide) / 0.08, 0, 1) * leaf
    blade = canvas.colour((0.30, 0.62, 0.16)) + 0.08 * canvas.noise(12)[..., None]
    leaves = mix(canvas.colour((0.07, 0.26, 0.07), jitter=0.02), blade, leaf)
    return Surface(mix(leaves, canvas.colour((0.64, 0.84, 0.36)), 0.7 * rib), shine=0.0)


def fire(canvas: Canvas, place: Place) -> Surface:
    """Glowing tongues, pale yellow below and deep red above."""
    tongue = wave(place.u * 2.2 + 0.12 * canvas.noise(6))
    heat = np.clip(0.52 - 0.42 * place.v + 0.26 * tongue + 0.06 * canvas.noise(9), 0, 1)
    stops = np.array([0.0, 0.3, 0.6, 0.95], np.float32)
    colours = np.array(
        [(0.62, 0.05, 0.02), (0.95, 0.28, 0.02), (1.0, 0.66, 0.08), (1.0, 0.96, 0.62)], np.float32
    )
    flame = np.stack([np.interp(heat, stops, colours[:, channel]) for channel in range(3)], axis=-1)
    return Surface(flame.astype(np.float32), shine=0.0, glow=0.85)


SUBSTANCES: dict[str, Callable[[Canvas, Place], Surface]] = {
    "wood": wood,
    "metal": metal,
    "glass": glass,
    "brick": brick,
    "foliage": foliage,
    "fire": fire,
}
"""How to draw each material."""
