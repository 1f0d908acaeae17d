"""The other objects: containers, clothes and what is carried; `SHAPES` lists all twelve."""

from collections.abc import Callable

import numpy as np

from imagenetd.images.tiny_world.canvas import Field
from imagenetd.images.tiny_world.shapes import (
    Jitter,
    Part,
    Role,
    banana,
    bar,
    box,
    chair,
    desk_lamp,
    disc,
    ellipse,
    frying_pan,
    hammer,
    ring,
    taper,
)


def mug(x: Field, y: Field, q: Jitter) -> list[Part]:
    """A cylinder with an ear and an open top."""
    width = 0.52 + 0.03 * q[0]
    return [
        Part(ring(x, y, (0.52, -0.04), (0.3, 0.1)), Role.TRIM),
        Part(box(x + 0.16, y + 0.06, (width, 0.66), corner=0.14), Role.BODY),
        Part(ellipse(x + 0.16, y, (0.0, 0.56), (width, 0.2)), Role.BODY),
        Part(ellipse(x + 0.16, y, (0.0, 0.57), (width - 0.09, 0.12)), Role.HOLLOW),
    ]


def padlock(x: Field, y: Field, q: Jitter) -> list[Part]:
    """A block, a shackle and a keyhole."""
    arch = np.maximum(ring(x, y, (0.0, 0.36), (0.34 + 0.02 * q[0], 0.11)), 0.34 - y)
    stems = np.abs(np.abs(x) - 0.34 - 0.02 * q[0]) - 0.11
    stems = np.maximum(stems, np.abs(y - 0.2) - 0.18)
    return [
        Part(np.minimum(arch, stems), Role.TRIM),
        Part(box(x, y + 0.36, (0.64 + 0.03 * q[1], 0.5), corner=0.1), Role.BODY),
        Part(disc(x, y, (0.0, -0.26), 0.12), Role.HOLLOW),
        Part(box(x, y + 0.46, (0.06, 0.18), corner=0.02), Role.HOLLOW),
    ]


def sock(x: Field, y: Field, q: Jitter) -> list[Part]:
    """A leg, a foot and a cuff."""
    leg = box(x + 0.26, y - 0.12, (0.3 + 0.015 * q[0], 0.66), corner=0.08)
    foot = bar(x, y, (-0.24, -0.5), (0.46 + 0.0, -0.56), radius=0.3)
    return [
        Part(np.minimum(leg, foot), Role.BODY),
        Part(disc(x, y, (0.56, -0.57), 0.25), Role.TRIM),
        Part(box(x + 0.26, y - 0.72, (0.35, 0.15), corner=0.07), Role.TRIM),
    ]


def t_shirt(x: Field, y: Field, q: Jitter) -> list[Part]:
    """A trunk, two sleeves and a neck cut."""
    mirrored = np.abs(x)
    sleeve = bar(mirrored, y, (0.4, 0.5), (0.72, 0.16), radius=0.21)
    trunk = box(x, y + 0.06, (0.5 + 0.02 * q[0], 0.76), corner=0.08)
    neck = ellipse(x, y, (0.0, 0.72), (0.26, 0.2))
    return [
        Part(sleeve, Role.TRIM),
        Part(np.maximum(trunk, -neck), Role.BODY),
        Part(np.maximum(np.maximum(neck - 0.09, -neck), y - 0.7), Role.TRIM),
    ]


def teapot(x: Field, y: Field, q: Jitter) -> list[Part]:
    """A round pot with spout, ear, lid and knob."""
    width = 0.56 + 0.02 * q[0]
    return [
        Part(bar(x, y, (0.4, -0.32), (0.82, 0.24), radius=0.12), Role.TRIM),
        Part(ring(x, y, (-0.58, -0.1), (0.27, 0.09)), Role.TRIM),
        Part(ellipse(x, y, (0.0, -0.17), (width, 0.53)), Role.BODY),
        Part(ellipse(x, y, (0.0, 0.33), (0.36, 0.13)), Role.TRIM),
        Part(disc(x, y, (0.0, 0.53), 0.13), Role.TRIM),
    ]


def umbrella(x: Field, y: Field, q: Jitter) -> list[Part]:
    """A scalloped canopy of three panels over a thick crook."""
    radius = 0.86 + 0.02 * q[0]
    dome = np.maximum(disc(x, y, (0.0, -0.06), radius), -0.02 - y)
    scallop = radius / 3
    for centre in (-2 * scallop, 0.0 * scallop, 2 * scallop):
        dome = np.maximum(dome, -(np.hypot((x - centre) / scallop, (y + 0.04) / 0.15) - 1) * 0.15)
    middle = np.maximum(dome, np.hypot(x / 0.36, (y + 0.06) / radius) * 0.36 - 0.36)
    crook = np.maximum(ring(x, y, (0.17, -0.62), (0.17, 0.085)), y + 0.62)
    return [
        Part(np.minimum(bar(x, y, (0.0, 0.2), (0.0, -0.62), radius=0.085), crook), Role.TRIM),
        Part(bar(x, y, (0.0, 0.75), (0.0, 0.86), radius=0.07), Role.TRIM),
        Part(dome, Role.BODY),
        Part(middle, Role.BODY),
    ]


def wine_bottle(x: Field, y: Field, q: Jitter) -> list[Part]:
    """A broad body, shoulders, a neck with a cap, and a label."""
    width = 0.42 + 0.02 * q[0]
    shoulders = taper(x, y - 0.2, 0.16, (width, 0.17))
    body = box(x, y + 0.39, (width, 0.52), corner=0.08)
    neck = box(x, y - 0.5, (0.17, 0.28), corner=0.02)
    return [
        Part(np.minimum(np.minimum(body, shoulders), neck), Role.BODY),
        Part(box(x, y - 0.78, (0.21, 0.15), corner=0.04), Role.TRIM),
        Part(box(x, y + 0.42, (width - 0.02, 0.23), corner=0.02), Role.TRIM),
    ]


SHAPES: dict[str, Callable[[Field, Field, Jitter], list[Part]]] = {
    "banana": banana,
    "chair": chair,
    "desk_lamp": desk_lamp,
    "frying_pan": frying_pan,
    "hammer": hammer,
    "mug": mug,
    "padlock": padlock,
    "sock": sock,
    "t_shirt": t_shirt,
    "teapot": teapot,
    "umbrella": umbrella,
    "wine_bottle": wine_bottle,
}
"""How to draw each category, from object coordinates and three numbers in -1..1 per image."""
