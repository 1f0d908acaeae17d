"""The twelve objects as painted lists of signed-distance parts."""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from imagenetd.images.tiny_world.canvas import Field

Jitter = Float32[np.ndarray, "params images 1 1"]


class Role(IntEnum):
    """What a part is to the object: decides its natural colour and its shade."""

    BODY = 0
    TRIM = 1
    HOLLOW = 2


class Part(NamedTuple):
    """One part: signed distance in object units (negative inside) and its role."""

    distance: Field
    role: Role


def disc(x: Field, y: Field, centre: tuple[float, float], radius: Field | float) -> Field:
    """Distance to a disc."""
    return np.hypot(x - centre[0], y - centre[1]) - radius


def ellipse(
    x: Field, y: Field, centre: tuple[float, float], radii: tuple[Field | float, Field | float]
) -> Field:
    """Approximate distance to an upright ellipse."""
    return (np.hypot((x - centre[0]) / radii[0], (y - centre[1]) / radii[1]) - 1) * np.minimum(*radii)


def box(x: Field, y: Field, half: tuple[Field | float, Field | float], *, corner: float = 0.03) -> Field:
    """Distance to a rounded box around the origin."""
    across, along = np.abs(x) - half[0] + corner, np.abs(y) - half[1] + corner
    outside = np.hypot(np.maximum(across, 0), np.maximum(along, 0))
    return outside + np.minimum(np.maximum(across, along), 0) - corner


def bar(x: Field, y: Field, start: tuple[float, float], end: tuple[float, float], *, radius: float) -> Field:
    """Distance to a thick line with round ends."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    along = np.clip(((x - start[0]) * dx + (y - start[1]) * dy) / (dx * dx + dy * dy), 0, 1)
    return np.hypot(x - start[0] - along * dx, y - start[1] - along * dy) - radius


def ring(x: Field, y: Field, centre: tuple[float, float], radii: tuple[Field | float, float]) -> Field:
    """Distance to a ring of (radius, half thickness)."""
    return np.abs(np.hypot(x - centre[0], y - centre[1]) - radii[0]) - radii[1]


def taper(x: Field, y: Field, half_height: float, half_widths: tuple[Field | float, Field | float]) -> Field:
    """Distance to a trapezoid around the origin with (bottom, top) half widths."""
    height = np.clip((y + half_height) / (2 * half_height), 0, 1)
    width = half_widths[0] + (half_widths[1] - half_widths[0]) * height
    return np.maximum(np.abs(x) - width, np.abs(y) - half_height)


def banana(x: Field, y: Field, q: Jitter) -> list[Part]:
    """A thick crescent with a stalk."""
    low = y + 0.62
    angle, reach = np.arctan2(low, x) - np.pi / 2, np.hypot(x, low)
    half_length = 1.02 + 0.08 * q[1]
    thick = (0.31 + 0.02 * q[2]) * np.sqrt(np.clip(1 - (angle / half_length) ** 2, 0.03, 1))
    body = np.maximum(np.abs(reach - 0.86) - thick, (np.abs(angle) - half_length) * 0.86)
    return [
        Part(body, Role.BODY),
        Part(bar(x, y, (-0.73, -0.17), (-0.87, -0.38), radius=0.085), Role.TRIM),
        Part(bar(x, y, (0.74, -0.2), (0.76, -0.24), radius=0.075), Role.TRIM),
    ]


def chair(x: Field, y: Field, q: Jitter) -> list[Part]:
    """A back, a seat and four thick legs."""
    width = 0.42 + 0.03 * q[0]
    legs = [
        Part(bar(x, y, (-0.2, -0.15), (-0.18, -0.62), radius=0.085), Role.TRIM),
        Part(bar(x, y, (0.5, -0.15), (0.62, -0.62), radius=0.085), Role.TRIM),
        Part(bar(x, y, (-0.42, -0.15), (-0.44, -0.8), radius=0.1), Role.TRIM),
        Part(bar(x, y, (0.36, -0.15), (0.38, -0.8), radius=0.1), Role.TRIM),
    ]
    back = box(x + 0.03, y - 0.42, (width, 0.44 + 0.03 * q[1]), corner=0.1)
    seat = box(x - 0.06, y + 0.13, (width + 0.16, 0.15), corner=0.06)
    return [*legs, Part(back, Role.BODY), Part(seat, Role.BODY)]


def desk_lamp(x: Field, y: Field, q: Jitter) -> list[Part]:
    """A base, a bent arm and a leaning cone."""
    lean = 0.62
    u = (x - 0.3) * np.cos(lean) + (y - 0.4) * np.sin(lean)
    v = -(x - 0.3) * np.sin(lean) + (y - 0.4) * np.cos(lean)
    return [
        Part(bar(x, y, (-0.1, -0.75), (-0.52, -0.08), radius=0.095), Role.TRIM),
        Part(bar(x, y, (-0.52, -0.08), (0.0, 0.6), radius=0.095), Role.TRIM),
        Part(disc(x, y, (-0.52, -0.08), 0.14), Role.TRIM),
        Part(box(x + 0.1, y + 0.76, (0.52 + 0.03 * q[0], 0.14), corner=0.12), Role.BODY),
        Part(ellipse(u, v, (0.0, -0.4), (0.24, 0.13)), Role.HOLLOW),
        Part(taper(u, v, 0.36, (0.56 + 0.03 * q[1], 0.2)), Role.BODY),
    ]


def frying_pan(x: Field, y: Field, q: Jitter) -> list[Part]:
    """A disc with a rim and a long handle, seen from above."""
    radius = 0.56 + 0.02 * q[0]
    return [
        Part(bar(x, y, (0.2, 0.2), (0.8, 0.8), radius=0.115), Role.TRIM),
        Part(disc(x, y, (-0.22, -0.22), radius), Role.TRIM),
        Part(ring(x, y, (-0.22, -0.22), (radius - 0.11, 0.05)), Role.HOLLOW),
        Part(disc(x, y, (-0.22, -0.22), radius - 0.14), Role.BODY),
    ]


def hammer(x: Field, y: Field, q: Jitter) -> list[Part]:
    """A thick handle, a block head and a claw."""
    return [
        Part(box(x - 0.02, y + 0.25, (0.16 + 0.01 * q[0], 0.66), corner=0.1), Role.TRIM),
        Part(bar(x, y, (0.25, 0.56), (0.74, 0.32), radius=0.12), Role.BODY),
        Part(box(x, y - 0.55, (0.42, 0.23 + 0.02 * q[1]), corner=0.06), Role.BODY),
        Part(box(x + 0.55, y - 0.55, (0.2, 0.31), corner=0.08), Role.BODY),
    ]
