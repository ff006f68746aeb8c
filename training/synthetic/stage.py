"""
A scene: which things are where and sound when; it is drawn to pictures and mixed to sound.

A scene is planned once from a seed and can then be drawn at any time and any size, so the same
scene serves as small training frames and as a film. Truth follows the paper's AVSOL-E
annotation (section 3.2): a box for each potential sounding object, a ``sounding`` tag while it
sounds, and ``out-of-view`` for a sound whose object cannot be seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from avsol_ros.streams.windows import SAMPLE_RATE
from avsol_ros.training.annotations.model import ObjectTruth
from avsol_ros.training.annotations.window_truth import LABELLED
from avsol_ros.training.synthetic.objects import Sprite, make_sprite, outline_box, paste
from avsol_ros.training.synthetic.sounds import DRIVE_RATE


@dataclass(frozen=True, eq=False)
class SceneObject:
    """
    One thing in view.

    :param size: width and height of its box at rest, as shares of the picture.
    :param start: x, y of its centre at time 0, as shares of the picture.
    :param velocity: shares of the picture per second; it bounces off the borders.
    :param motion: how the drive of its voice moves it; None for that of its category.
    :param annotated: False for a thing of no category, which is in no truth.
    :param bounces: False for a thing that may reach over the border.
    """

    category: str
    sprite: Sprite
    size: tuple[float, float]
    start: tuple[float, float]
    velocity: tuple[float, float]
    angle: float
    motion: Mapping[str, float] | None = None
    annotated: bool = True
    bounces: bool = True


@dataclass(frozen=True, eq=False)
class Camera:
    """
    A hand-held camera: it shakes, and the light changes.

    :param shake: how far the view moves, as a share of its size.
    :param light: how far brightness rises and falls, as a share.
    :param waves: (5, 2) radians per second and phases: two for x, two for y, one for light.
    """

    shake: float
    light: float
    waves: np.ndarray

    def _swing(self, time: float) -> np.ndarray:
        return np.sin(self.waves[:, 0] * time + self.waves[:, 1])

    def offset(self, time: float) -> np.ndarray:
        """How far everything is moved in the picture: x, y as shares of it."""
        return self.shake * self._swing(time)[:4].reshape(2, 2).mean(1)

    def gain(self, time: float) -> float:
        """Factor of brightness."""
        return 1 + self.light * float(self._swing(time)[4])


@dataclass(frozen=True, eq=False)
class Event:
    """
    Something sounds, or moves silently, for a while.

    :param start: seconds, as ``end``.
    :param source: index of the object in view, or None for an unseen one.
    :param audible: False for an object that only moves.
    :param samples: its sound; may ring on beyond ``end``.
    """

    start: float
    end: float
    source: int | None
    category: str
    audible: bool
    samples: np.ndarray
    drive: np.ndarray


# How the drive of a sounding object moves it: turns (radians), shifts and stretches (shares of
# its own size), brightness. A transformer and a spray stand still.
_MOTIONS = {
    'bell': {'turn': 0.35},
    'guitar': {'shift_x': 0.07},
    'engine': {'shift_x': 0.05},
    'bird': {'shift_y': -0.22},
    'drum': {'stretch_x': 0.10, 'stretch_y': -0.18},
    'siren': {'stretch_x': 0.10, 'stretch_y': 0.10},
    'flute': {'turn': 0.12},
    'rattle': {'turn': 0.40},
    'alarm': {'gain': 0.35},
    'clock': {'turn': np.pi / 6},
}


class Scene:
    """A planned scene; drawing it twice gives the same pixels."""

    def __init__(
        self,
        objects: list[SceneObject],
        events: list[Event],
        seconds: int,
        aspect: float,
        backdrop: np.ndarray,
        drift: np.ndarray,
        background: np.ndarray,
        camera: Camera | None = None,
    ):
        self.objects = objects
        self.events = events
        self.seconds = seconds
        self.aspect = aspect
        self._backdrop = backdrop
        self._drift = drift
        self._background = background
        self._camera = camera

    def heard(self, time: float) -> list[Event]:
        """Events that can be heard at a time."""
        return [e for e in self.events if e.audible and e.start <= time < e.end]

    def sounding(self, second: int) -> list[Event]:
        """Events that can be heard for at least ``LABELLED`` of ``[second, second + 1)``."""
        return [
            e
            for e in self.events
            if e.audible and min(e.end, second + 1) - max(e.start, second) >= LABELLED
        ]

    def labels(self, second: int) -> list[str]:
        """Categories both audible and visible in that second: the weak label of AVE."""
        return sorted({e.category for e in self.sounding(second) if e.source is not None})

    def main_category(self) -> str | None:
        """
        The event of the clip: the category in the labels of most seconds.

        AVE names one event per clip, though others may occur in it (section 3.2 of the paper).
        Of categories with equally many seconds the louder is taken; None where no second has a
        label.
        """
        seconds = [label for second in range(self.seconds) for label in self.labels(second)]
        power = {
            name: sum(
                float((e.samples**2).sum())
                for e in self.events
                if e.audible and e.category == name
            )
            for name in set(seconds)
        }
        return max(power, key=lambda name: (seconds.count(name), power[name]), default=None)

    def _drive(self, index: int, time: float) -> float:
        for event in self.events:
            if event.source == index and event.start <= time < event.end:
                position = min(int((time - event.start) * DRIVE_RATE), len(event.drive) - 1)
                return float(event.drive[position])
        return 0.0

    def _pose(self, index: int, time: float, width: int, height: int):
        """Centre and half size in pixels of the sprite's unit square, angle, brightness."""
        thing = self.objects[index]
        motion, drive = thing.motion, self._drive(index, time)
        if motion is None:
            motion = _MOTIONS.get(thing.category, {})
        canvas, size = np.array([width, height], float), np.array(thing.size)
        phase = np.array(thing.start) - size / 2 + np.array(thing.velocity) * time
        if thing.bounces:
            # A triangle wave: moves straight and bounces between the borders. What is larger than
            # the picture bounces where its own borders would be seen.
            room = 1 - size
            phase = np.abs((phase / room + 1) % 2 - 1) * room
        centre = phase + size / 2
        shift = np.array([motion.get('shift_x', 0), motion.get('shift_y', 0)])
        centre = centre + shift * size * drive
        if self._camera:
            centre = centre + self._camera.offset(time)
        stretch = 1 + drive * np.array([motion.get('stretch_x', 0), motion.get('stretch_y', 0)])
        half = size * canvas * stretch / np.array(thing.sprite.extent)
        angle = thing.angle + motion.get('turn', 0) * drive
        return centre * canvas, half, angle, 1 + motion.get('gain', 0) * drive

    def draw(self, time: float, width: int, height: int) -> np.ndarray:
        """
        The picture at a time.

        :returns: (height, width, 3) uint8 RGB.
        """
        picture = self._draw_backdrop(time, width, height)
        for index, thing in enumerate(self.objects):
            centre, half, angle, gain = self._pose(index, time, width, height)
            paste(picture, thing.sprite, centre, half, angle, gain)
        if self._camera:
            picture *= np.float32(self._camera.gain(time))
        return np.clip(picture + 0.5, 0, 255).astype(np.uint8)

    def _draw_backdrop(self, time, width, height) -> np.ndarray:
        rows, columns = self._backdrop.shape[:2]
        # The backdrop is 1.5 times the view; the view swings about its middle.
        swing = 0.22 * np.sin(self._drift[:2] * time + self._drift[2:])
        scale = np.array([columns / 1.5 / width, rows / 1.5 / height])
        origin = np.array([columns, rows]) * (1 / 6 * (1 + swing))
        if self._camera:
            origin = origin - self._camera.offset(time) * [columns / 1.5, rows / 1.5]
        matrix = np.array([[scale[0], 0, origin[0]], [0, scale[1], origin[1]]])
        return cv2.warpAffine(
            self._backdrop,
            matrix,
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT,
        )

    def audio(self) -> np.ndarray:
        """The whole sound: (seconds * SAMPLE_RATE,) float32 in [-1, 1]."""
        out = self._background.copy()
        for event in self.events:
            if event.audible:
                start = round(event.start * SAMPLE_RATE)
                part = out[start : start + len(event.samples)]
                part += event.samples[: len(part)]
        return np.clip(out, -1, 1)

    def ambient_snr(self, second: int) -> float:
        """Power of all sounds relative to the background, dB; -inf where nothing sounds."""
        cut = slice(second * SAMPLE_RATE, (second + 1) * SAMPLE_RATE)
        background = self._background[cut]
        objects = self.audio()[cut] - background
        power = [float((part.astype(np.float64) ** 2).mean()) for part in (objects, background)]
        return 10 * float(np.log10(power[0] / power[1])) if power[0] > 1e-12 else -np.inf

    def truth(self, time: float, width: int, height: int) -> list[ObjectTruth]:
        """
        Tell what is in view, or sounds unseen, at a time.

        :returns: boxes in pixels of the picture that :meth:`draw` makes of the same width and
            height, clipped to it.
        """
        heard = self.heard(time)
        lines = []
        for index, thing in enumerate(self.objects):
            if not thing.annotated:
                continue
            box = outline_box(thing.sprite, *self._pose(index, time, width, height)[:3])
            box = np.clip(box, 0, [width, height, width, height])
            lines.append(
                ObjectTruth(
                    index,
                    thing.category,
                    tuple(float(b) for b in box),
                    any(e.source == index for e in heard),
                )
            )
        track = len(self.objects)
        for event in heard:
            if event.source is None:
                lines.append(ObjectTruth(track, event.category, None, True, True))
                track += 1
        return lines


def draw_backdrop(rng: np.random.Generator, aspect: float, width: int) -> np.ndarray:
    """Draw a textured background with clutter that looks like no category, float32 RGB."""
    height = max(2, round(width / aspect))
    out = np.zeros((height, width, 3), np.float32)
    weight = 1.0
    for cells in (3, 6, 12, 24, 48, 96):
        layer = rng.standard_normal((cells, cells, 3)).astype(np.float32)
        grey = rng.random()
        layer = layer * (1 - grey) + layer.mean(2, keepdims=True) * grey
        out += np.float32(weight) * cv2.resize(
            layer, (width, height), interpolation=cv2.INTER_CUBIC
        )
        weight *= rng.uniform(0.45, 0.85)
    out *= np.float32(rng.uniform(12, 42) / out.std())
    out += rng.uniform(60, 190, 3).astype(np.float32)
    for _ in range(rng.integers(0, 9)):
        # Irregular blobs of plain colour: things that never sound.
        n = rng.integers(3, 9)
        angles = np.sort(rng.uniform(0, 2 * np.pi, n))
        radii = rng.uniform(0.3, 1, n) * rng.uniform(0.02, 0.13) * width
        points = np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None]
        points += rng.uniform(0, 1, 2) * [width, height]
        layer = out.copy()
        cv2.fillPoly(
            layer,
            [np.round(points).astype(np.int32)],
            [float(c) for c in rng.uniform(10, 245, 3)],
            cv2.LINE_AA,
        )
        opacity = rng.uniform(0.4, 1)
        out = cv2.addWeighted(layer, opacity, out, 1 - opacity, 0)
    return np.clip(out, 0, 255).astype(np.float32)


def place(rng, sizes, tries=200):
    """Draw centres, as shares, so that boxes hardly overlap; None if no try succeeds."""
    for _ in range(tries):
        centres = [s / 2 + rng.random(2) * (1 - s) for s in sizes]
        if all(
            np.any(np.abs(a - b) > 0.46 * (s + t))
            for i, (a, s) in enumerate(zip(centres, sizes))
            for b, t in list(zip(centres, sizes))[:i]
        ):
            return centres
    return None


def make_object(
    rng: np.random.Generator, category: str, area: float, aspect: float, pixels: int
) -> tuple[Sprite, np.ndarray]:
    """Draw a sprite, and its box size as shares of the picture, for a box of the given area."""
    sprite = make_sprite(category, rng, pixels)
    ratio = sprite.extent[0] / sprite.extent[1] * np.exp(rng.uniform(-0.2, 0.2)) / aspect
    size = np.sqrt([area * ratio, area / ratio])
    return sprite, np.minimum(size, 0.8)
