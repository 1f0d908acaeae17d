"""The eight places an object can stand in."""

from collections.abc import Callable

import numpy as np

from imagenetd.images.tiny_world.canvas import Canvas, Picture, inside, mix


def beach(canvas: Canvas) -> Picture:
    """Sky, sea, a line of surf and sand."""
    x, y, grain, phase = canvas.x, canvas.y, canvas.noise(24), canvas.uniform(-1.0, 1.0)
    horizon = canvas.uniform(0.15, 0.4)
    picture = mix(canvas.colour((0.75, 0.88, 0.97)), canvas.colour((0.40, 0.68, 0.95)), y * 0.5 + 0.5 + 0 * x)
    picture = mix(
        picture, canvas.colour((0.10, 0.45, 0.65)) + 0.05 * grain[..., None], inside(y - horizon + 0 * x)
    )
    shore = horizon - canvas.uniform(0.3, 0.45) + 0.05 * np.sin(4 * x + 6 * phase)
    picture = mix(picture, canvas.colour((0.97, 0.97, 0.97), jitter=0.02), inside(y - shore - 0.06))
    return mix(picture, canvas.colour((0.92, 0.82, 0.58)) + 0.04 * grain[..., None], inside(y - shore))


def forest(canvas: Canvas) -> Picture:
    """Green leaves, trunks and undergrowth."""
    x, y, soft, grain = canvas.x, canvas.y, canvas.noise(9), canvas.noise(24)
    picture = canvas.colour((0.14, 0.36, 0.14)) + 0.13 * soft[..., None] + 0.08 * grain[..., None]
    for side in (-0.75, -0.2, 0.3, 0.8):
        trunk = np.abs(x - side - canvas.uniform(-0.15, 0.15) - 0.04 * soft) - canvas.uniform(0.06, 0.11)
        picture = mix(picture, canvas.colour((0.27, 0.18, 0.10)), inside(trunk))
    return mix(
        picture, canvas.colour((0.24, 0.32, 0.10)) + 0.08 * grain[..., None], inside(y + 0.65 + 0.08 * soft)
    )


def street(canvas: Canvas) -> Picture:
    """Three houses with windows and a road with a dashed line."""
    x, y, grain, phase = canvas.x, canvas.y, canvas.noise(24), canvas.uniform(-1.0, 1.0)
    picture = canvas.colour((0.68, 0.75, 0.83)) + 0.02 * grain[..., None]
    for house in range(3):
        left, roof = -0.7 + 0.7 * house + 0.1 * phase, canvas.uniform(0.4, 0.95)
        lit = (np.floor((x - left) * 7) % 2 == 0) & (np.floor(y * 5.5) % 2 == 0)
        wall = canvas.colour((0.52, 0.42, 0.40), jitter=0.07) + 0.25 * lit[..., None]
        picture = mix(picture, wall, inside(np.maximum(np.abs(x - left) - 0.32, y - roof)))
    road = y + 0.25 + 0 * x
    picture = mix(picture, canvas.colour((0.33, 0.33, 0.35)) + 0.03 * grain[..., None], inside(road))
    dash = inside(np.maximum(np.abs(x - 0.15 * phase) - 0.08 * (0.4 - road), road + 0.05))
    return mix(picture, canvas.colour((0.93, 0.88, 0.55)), dash * (np.sin(14 / (np.abs(road) + 0.35)) > 0))


def kitchen(canvas: Canvas) -> Picture:
    """A tiled wall above a wooden worktop."""
    x, y, soft = canvas.x, canvas.y, canvas.noise(9)
    side, phase, top = canvas.uniform(0.34, 0.4), canvas.uniform(-0.5, 0.5), canvas.uniform(-0.5, -0.35)
    joint = np.minimum(np.abs((x + phase) / side % 1 - 0.5), np.abs((y + phase) / side % 1 - 0.5))
    tiles = mix(
        canvas.colour((0.84, 0.90, 0.88)), canvas.colour((0.56, 0.66, 0.68)), inside(joint - 0.06, 0.06)
    )
    grain = 0.06 * np.sin(22 * y + 4 * soft)
    return mix(tiles, canvas.colour((0.62, 0.36, 0.20)) + grain[..., None], inside(y - top + 0 * x))


def snowfield(canvas: Canvas) -> Picture:
    """A pale sky, a fir tree, a white slope and falling snow."""
    x, y, soft, phase = canvas.x, canvas.y, canvas.noise(9), canvas.uniform(-1.0, 1.0)
    picture = mix(canvas.colour((0.72, 0.82, 0.92)), canvas.colour((0.54, 0.67, 0.84)), y * 0.5 + 0.5 + 0 * x)
    for low, high in ((-0.9, -0.5), (0.5, 0.9)):
        fir = np.maximum(np.abs(x - canvas.uniform(low, high)) - 0.32 * (0.85 - y), y - 0.85)
        picture = mix(picture, canvas.colour((0.15, 0.32, 0.28)), inside(fir))
    slope = y - canvas.uniform(-0.15, 0.05) - 0.1 * np.sin(2.5 * x + 6 * phase)
    picture = mix(
        picture, canvas.colour((0.94, 0.96, 0.99), jitter=0.02) + 0.03 * soft[..., None], inside(slope)
    )
    return mix(picture, canvas.colour((1.0, 1.0, 1.0), jitter=0.0), canvas.specks(0.012))


def desert(canvas: Canvas) -> Picture:
    """An orange sky, a far dune and rippled sand."""
    x, y, soft, phase = canvas.x, canvas.y, canvas.noise(9), canvas.uniform(-1.0, 1.0)
    picture = mix(canvas.colour((0.98, 0.88, 0.66)), canvas.colour((0.96, 0.70, 0.45)), y * 0.5 + 0.5 + 0 * x)
    far = y - canvas.uniform(0.05, 0.3) - 0.15 * np.sin(2.5 * x + 6 * phase)
    picture = mix(picture, canvas.colour((0.86, 0.58, 0.28)), inside(far))
    near = y - canvas.uniform(-0.35, -0.15) - 0.12 * np.sin(3 * x + 9 * phase)
    ripples = 0.05 * np.sin(16 * y + 5 * soft)
    return mix(picture, canvas.colour((0.76, 0.47, 0.20)) + ripples[..., None], inside(near))


def cavern(canvas: Canvas) -> Picture:
    """Dark brown rock with stalactites and a lighter opening."""
    x, y, soft, grain = canvas.x, canvas.y, canvas.noise(9), canvas.noise(24)
    rock = canvas.colour((0.24, 0.17, 0.13), jitter=0.03) + 0.05 * soft[..., None] + 0.03 * grain[..., None]
    mouth = np.hypot((x - canvas.uniform(-0.5, 0.5)) / 0.6, (y - 0.1) / 0.62) - 1 + 0.12 * soft
    picture = mix(rock, canvas.colour((0.66, 0.54, 0.38)), inside(mouth, 0.5))
    tooth = np.abs(((x + canvas.uniform(-0.2, 0.2)) / 0.4) % 1 - 0.5) * 2
    teeth = y - 0.35 - 0.55 * (1 - tooth) + 0.15 * soft
    picture = mix(picture, canvas.colour((0.16, 0.10, 0.08), jitter=0.02), inside(-teeth))
    floor = y + 0.68 + 0.12 * soft
    return mix(
        picture, canvas.colour((0.13, 0.09, 0.07), jitter=0.02) + 0.03 * grain[..., None], inside(floor)
    )


def swimming_pool(canvas: Canvas) -> Picture:
    """Cyan water with ripples, a lane rope and a tiled deck."""
    x, y, soft, phase = canvas.x, canvas.y, canvas.noise(9), canvas.uniform(-1.0, 1.0)
    ripples = np.abs(np.sin(5 * x + 9 * y + 3 * soft + 6 * phase)) ** 4
    picture = canvas.colour((0.10, 0.64, 0.80)) + 0.16 * ripples[..., None]
    rope = y + canvas.uniform(0.35, 0.55) - 0.12 * x
    floats = canvas.colour((0.90, 0.20, 0.16)) + 0.75 * (np.sin(20 * x + 6 * phase) > 0)[..., None]
    picture = mix(picture, floats, inside(np.abs(rope) - 0.05))
    edge = y - canvas.uniform(0.45, 0.6)
    joint = np.minimum(np.abs(x / 0.4 % 1 - 0.5), np.abs((y - 0.1) / 0.3 % 1 - 0.5))
    deck = mix(
        canvas.colour((0.86, 0.80, 0.70)), canvas.colour((0.62, 0.54, 0.46)), inside(joint - 0.06, 0.06)
    )
    picture = mix(picture, canvas.colour((0.95, 0.95, 0.93), jitter=0.02), inside(-edge - 0.07 + 0 * x))
    return mix(picture, deck, inside(-edge + 0 * x))


PLACES: dict[str, Callable[[Canvas], Picture]] = {
    "beach-s": beach,
    "forest-broadleaf-s": forest,
    "street-s": street,
    "kitchen-s": kitchen,
    "snowfield-s": snowfield,
    "desert-sand-s": desert,
    "cavern-indoor-s": cavern,
    "swimming_pool-outdoor-s": swimming_pool,
}
"""How to draw each background."""
