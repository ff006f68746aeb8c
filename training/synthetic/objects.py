"""
Things that can be seen in a synthetic scene: what a category looks like.

Shape and texture depend on the category; colour does not: both colours of an object are drawn at
random. Sound and time have no part in this module.
"""

from dataclasses import dataclass

import cv2
import numpy as np


def _ellipse(rx: float, ry: float, n: int = 48) -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.stack([rx * np.cos(t), ry * np.sin(t)], 1)


def _polygon(n: int, phase: float = 0.0) -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, n, endpoint=False) + phase
    return np.stack([np.cos(t), np.sin(t)], 1)


def _star(points: int, inner: float) -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 2 * points, endpoint=False) - np.pi / 2
    r = np.where(np.arange(2 * points) % 2, inner, 1.0)
    return np.stack([r * np.cos(t), r * np.sin(t)], 1)


def _bell() -> np.ndarray:
    y = np.linspace(-0.85, 0.75, 24)
    x = 0.32 + 0.55 * ((y + 0.85) / 1.6) ** 2.2
    right = np.stack([x, y], 1)
    top = np.array([[0.16, -1.0], [-0.16, -1.0]])
    left = right * [-1, 1]
    base = np.array([[0.95, 0.95], [-0.95, 0.95]])
    return np.concatenate([top[::-1], right, base, left[::-1]])


def _guitar() -> np.ndarray:
    y = np.linspace(-1, 1, 40)
    x = np.where(
        y < -0.45, 0.16, 0.34 + 0.28 * np.abs(np.sin((y + 0.45) / 1.45 * 2 * np.pi * 0.98))
    )
    x[-1] = 0.2
    right = np.stack([x, y], 1)
    return np.concatenate([right, (right * [-1, 1])[::-1]])


def _drop() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return np.stack([0.75 * np.sin(t) * np.sin(t / 2) ** 1.2, -np.cos(t)], 1)


def _bird() -> np.ndarray:
    t = np.linspace(0, np.pi, 24)
    lower = np.stack([np.cos(t), 0.75 * np.sin(t)], 1)
    wing = np.array([[-0.35, -0.1], [-0.55, -0.95], [0.0, -0.35], [0.55, -0.95], [0.35, -0.1]])
    return np.concatenate([lower, wing])


def _cross() -> np.ndarray:
    a = 0.36
    return np.array(
        [
            [-a, -1],
            [a, -1],
            [a, -a],
            [1, -a],
            [1, a],
            [a, a],
            [a, 1],
            [-a, 1],
            [-a, a],
            [-1, a],
            [-1, -a],
            [-a, -a],
        ],
        float,
    )


def _stripes(x, frequency):
    return np.sin(2 * np.pi * frequency * x) > 0


# Each category: outline in [-1, 1]^2 (y down) and a two-tone texture over the same square.
LOOKS = {
    'bell': (_bell(), lambda u, v: _stripes(v, 1.6)),
    'guitar': (_guitar(), lambda u, v: (np.abs(u) % 0.16 < 0.06) | (np.hypot(u, v - 0.1) < 0.2)),
    'engine': (
        np.array([[-1, -0.8], [1, -0.8], [1, 0.8], [-1, 0.8]], float),
        lambda u, v: _stripes(u, 2.2) & (np.abs(v) < 0.6),
    ),
    'bird': (_bird(), lambda u, v: np.hypot((u * 2.2) % 1 - 0.5, (v * 2.2) % 1 - 0.5) < 0.3),
    'drum': (_ellipse(1.0, 0.72), lambda u, v: (_stripes(u + v, 1.5)) ^ (_stripes(u - v, 1.5))),
    'siren': (_polygon(4), lambda u, v: _stripes(np.abs(u) + np.abs(v), 2.4)),
    'flute': (_ellipse(1.0, 0.26), lambda u, v: _stripes(u, 2.6)),
    'transformer': (_polygon(6), lambda u, v: _stripes(np.hypot(u, v), 2.4)),
    'rattle': (_star(5, 0.5), lambda u, v: np.hypot(u, v) < 0.34),
    'alarm': (_cross(), lambda u, v: _stripes(u, 1.5) ^ _stripes(v, 1.5)),
    'clock': (_ellipse(1.0, 1.0), lambda u, v: np.sin(6 * np.arctan2(v, u)) > 0),
    'spray': (_drop(), lambda u, v: _stripes(v + 0.16 * np.sin(5 * u), 2.4)),
}
CATEGORIES = tuple(LOOKS)

# Things of no category: they may move, and never sound.
STRANGERS = {
    'triangle': (_polygon(3, -np.pi / 2), lambda u, v: _stripes(v, 2.0)),
    'arrow': (
        np.array(
            [[-1, -0.3], [0.1, -0.3], [0.1, -0.8], [1, 0], [0.1, 0.8], [0.1, 0.3], [-1, 0.3]],
            float,
        ),
        lambda u, v: _stripes(u + v, 1.8),
    ),
    'corner': (
        np.array([[-0.8, -1], [-0.1, -1], [-0.1, 0.3], [0.8, 0.3], [0.8, 1], [-0.8, 1]], float),
        lambda u, v: np.hypot(u, v) < 0.7,
    ),
    'gear': (_star(9, 0.78), lambda u, v: _stripes(np.abs(u), 1.4)),
    'slab': (
        np.array([[-0.6, -1], [1, -1], [0.6, 1], [-1, 1]], float),
        lambda u, v: (np.abs(u) < 0.3) | (np.abs(v) < 0.3),
    ),
}


def _colours(rng: np.random.Generator) -> np.ndarray:
    """Two RGB colours, (2, 3), 0..255, whose luminances differ enough to show a texture."""
    while True:
        pair = rng.uniform(15, 245, (2, 3))
        if abs((pair[0] - pair[1]) @ [0.299, 0.587, 0.114]) > 70:
            return pair


@dataclass(frozen=True, eq=False)
class Sprite:
    """
    One object's picture.

    :param rgba: (size, size, 4) float32, colour 0..255 and alpha 0..1.
    :param outline: (n, 2) float64 contour in [-1, 1]^2, x right and y down, centred on its box.
    """

    rgba: np.ndarray
    outline: np.ndarray

    @property
    def extent(self) -> tuple[float, float]:
        """Width and height of the outline's box, in the sprite's own units."""
        return tuple(np.ptp(self.outline, axis=0))


def make_sprite(category: str, rng: np.random.Generator, size: int = 160) -> Sprite:
    """Draw one object of ``category`` with random colours and shading, ``size`` pixels wide."""
    outline, texture = LOOKS[category] if category in LOOKS else STRANGERS[category]
    outline = outline - (outline.max(0) + outline.min(0)) / 2
    big = 2 * size
    # A margin of 5 % keeps antialiased edges inside the sprite.
    pixels = (outline * 0.95 + 1) / 2 * big
    mask = np.zeros((big, big), np.uint8)
    cv2.fillPoly(mask, [np.round(pixels * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    axis = np.float32(((np.arange(big) + 0.5) / big * 2 - 1) / 0.95)
    u, v = np.meshgrid(axis, axis)
    tone = texture(u, v)[..., None].astype(np.float32)
    a, b = _colours(rng).astype(np.float32)
    colour = a * tone + b * (1 - tone)
    light = rng.uniform(-0.25, 0.25, 2).astype(np.float32)
    colour = colour * (1 + light[0] * u + light[1] * v)[..., None]
    edge = np.zeros_like(mask)
    cv2.polylines(
        edge,
        [np.round(pixels * 16).astype(np.int32)],
        True,
        255,
        max(2, big // 40),
        cv2.LINE_AA,
        shift=4,
    )
    edge = edge[..., None] * np.float32(0.8 / 255)
    colour = colour * (1 - edge) + rng.uniform(0, 255) * edge
    rgba = np.concatenate([np.clip(colour, 0, 255), mask[..., None] / 255.0], 2)
    rgba = cv2.resize(rgba.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    return Sprite(rgba, outline)


def paste(
    picture: np.ndarray, sprite: Sprite, centre, half_size, angle: float, gain: float = 1.0
) -> None:
    """
    Blend a sprite into a picture, in place.

    :param picture: (H, W, 3) float32, 0..255.
    :param centre: x, y in pixels.
    :param half_size: half width and half height, in pixels, of the sprite's unit square.
    :param angle: radians, clockwise on screen.
    :param gain: brightness factor of the object.
    """
    height, width = picture.shape[:2]
    reach = 1.05 * float(np.hypot(*half_size)) + 2
    x0, y0 = (max(0, int(np.floor(c - reach))) for c in centre)
    x1 = min(width, int(np.ceil(centre[0] + reach)))
    y1 = min(height, int(np.ceil(centre[1] + reach)))
    if x0 >= x1 or y0 >= y1:
        return
    # Shrink first: warping alone would alias the texture of a small object.
    small = [max(4, round(2 * h / 0.95)) for h in half_size]
    image = sprite.rgba
    if max(small) < len(image):
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    rows, columns = image.shape[:2]
    cos, sin = np.cos(angle), np.sin(angle)
    scale = np.array([2 * half_size[0] / 0.95 / columns, 2 * half_size[1] / 0.95 / rows])
    matrix = np.array([[cos * scale[0], -sin * scale[1]], [sin * scale[0], cos * scale[1]]])
    offset = np.array(centre) - (x0, y0) - matrix @ [columns / 2, rows / 2]
    # Pixel centres: warpAffine maps index to index, so shift by half a pixel on both sides.
    offset = offset + matrix @ [0.5, 0.5] - 0.5
    warped = cv2.warpAffine(
        image,
        np.column_stack([matrix, offset]),
        (x1 - x0, y1 - y0),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
    )
    alpha = warped[..., 3:]
    region = picture[y0:y1, x0:x1]
    region += alpha * (np.clip(warped[..., :3] * gain, 0, 255) - region)


def outline_box(sprite: Sprite, centre, half_size, angle: float) -> np.ndarray:
    """
    Tight box of a pasted sprite.

    :returns: (4,) float64 x0, y0, x1, y1 in pixels, half-open, not clipped to the picture.
    """
    cos, sin = np.cos(angle), np.sin(angle)
    points = sprite.outline * half_size
    points = points @ np.array([[cos, sin], [-sin, cos]]) + centre
    return np.concatenate([points.min(0), points.max(0)])
