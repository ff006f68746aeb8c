"""
Real scenes: photographs as background, cut-outs of real things that move, real recordings.

What is known of films with sound is in their statistics: things of 3 to 90 % of the picture, often
near the middle, what sounds usually moves, several sizes side by side; a hand-held camera; sounds
of things out of view, silence, ambience, echo.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import cv2
import numpy as np

from avsol_ros.streams.windows import SAMPLE_RATE
from avsol_ros.training.synthetic.ambience import draw_room, reverberate
from avsol_ros.training.synthetic.material import Material, open_material
from avsol_ros.training.synthetic.rhythm import draw_onsets, stroke_drive
from avsol_ros.training.synthetic.sounds import DRIVE_RATE, noise
from avsol_ros.training.synthetic.stage import Camera, Event, Scene, SceneObject


@dataclass(frozen=True)
class RealConfig:
    key: ClassVar[tuple[int, ...]] = (2,)
    single_label: ClassVar[bool] = False

    folder: str
    split: str = 'train'
    extra: bool = False
    seconds: int = 2
    things: tuple[float, ...] = (0.06, 0.44, 0.3, 0.14, 0.06)
    area: tuple[float, float] = (0.03, 0.9)
    p_photo: float = 0.12
    p_sounding: float = 0.74
    p_second: float = 0.15
    p_unseen: float = 0.14
    p_unseen_too: float = 0.08
    p_moves: float = 0.85
    p_restless: float = 0.35
    p_room: float = 0.4
    aspects: tuple[float, float] = (0.75, 1.78)
    backdrop: int = 480

    def plan(self, rng: np.random.Generator) -> Scene:
        return _Planner(rng, self, open_material(self.folder, self.extra)).scene()


_WEIGHTS = {'person': 5.0}


class _Planner:
    def __init__(self, rng, config: RealConfig, material: Material):
        self.rng, self.config, self.material = rng, config, material

    def _draw(self, kind, category=None) -> str:
        return self.material.draw(self.rng, self.config.split, kind, category)

    def _category(self, names) -> str:
        weights = np.array([_WEIGHTS.get(n, 1.0) for n in names])
        return names[self.rng.choice(len(names), p=weights / weights.sum())]

    def scene(self) -> Scene:
        rng, config, material = self.rng, self.config, self.material
        aspect = float(np.exp(rng.uniform(*np.log(config.aspects))))
        both = material.having(config.split, 'cutout', 'sound')
        silent = material.having(config.split, 'cutout')
        count = int(rng.choice(len(config.things), p=config.things))
        photos = material.having(config.split, 'photo', 'sound')
        whole = bool(photos) and rng.random() < config.p_photo
        objects, names, kinds = [], [], []
        if whole:
            name = self._category(photos)
            objects.append(self._photo(name, aspect))
            names.append(name)
            count = min(count, 1) if rng.random() < 0.3 else 0
        for index in range(count):
            name = self._category(both if rng.random() < 0.85 else silent)
            if names and rng.random() < 0.1:
                name = names[0] if not whole else name
            objects.append(self._cutout(name, aspect, first=index == 0 and not whole, many=count))
            names.append(name)
        # Nearer things are larger and lie before the others.
        start = 1 if whole else 0
        order = [*range(start), *(start + np.argsort([-o.size[0] * o.size[1] for o in objects[start:]]))]
        objects = [objects[i] for i in order]
        names = [names[i] for i in order]
        main = int(np.argmax([i == 0 for i in order])) if order else 0
        events = self._events(names, both, main)
        n = config.seconds * SAMPLE_RATE
        background = noise(rng, n) * np.float32(10 ** (rng.uniform(-70, -45) / 20))
        if rng.random() < 0.6:
            background = background + self._ambience(n) * np.float32(10 ** (rng.uniform(-45, -22) / 20))
        shake = rng.choice([0.0, 0.004, 0.012], p=[0.4, 0.35, 0.25])
        speeds = [*rng.uniform(1, 8, 4), rng.uniform(0.3, 2.5)]
        waves = np.stack([speeds, rng.uniform(0, 2 * np.pi, 5)], 1)
        pan = rng.choice([0.0, 0.3, 1.0], p=[0.5, 0.3, 0.2])
        drift = np.concatenate([pan * rng.uniform(0.2, 1.2, 2), rng.uniform(0, 2 * np.pi, 2)])
        scene = Scene(
            objects, events, config.seconds, aspect, self._backdrop(aspect), drift,
            background.astype(np.float32), Camera(float(shake), float(rng.choice([0, 0.03])), waves),
        )
        scene.whole = whole
        return scene

    def _backdrop(self, aspect) -> np.ndarray:
        rng = self.rng
        picture = self.material.picture(self._draw('background'))[..., :3]
        height, width = picture.shape[:2]
        w = min(width, height * aspect) * rng.uniform(0.55, 1)
        h = w / aspect
        x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
        part = picture[int(y) : int(np.ceil(y + h)), int(x) : int(np.ceil(x + w))]
        if rng.random() < 0.5:
            part = part[:, ::-1]
        out = cv2.resize(part, (self.config.backdrop, max(2, round(self.config.backdrop / aspect))), interpolation=cv2.INTER_LINEAR)
        if rng.random() < 0.3:
            out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.5, 4))
        return np.clip(out.astype(np.float32) * rng.uniform(0.6, 1.2) + rng.uniform(-20, 20), 0, 255)

    def _sprite(self, kind, name):
        rng = self.rng
        sprite = self.material.sprite(self._draw(kind, name), bool(rng.random() < 0.5))
        rgba = sprite.rgba.copy()
        gain = rng.uniform(0.7, 1.2, 3) ** 0.5 * rng.uniform(0.7, 1.25)
        rgba[..., :3] = np.clip(rgba[..., :3] * gain.astype(np.float32) + np.float32(rng.uniform(-15, 15)), 0, 255)
        if kind == 'cutout':
            if rng.random() < 0.7:
                rgba[..., 3] = cv2.GaussianBlur(rgba[..., 3], (0, 0), rng.uniform(0.5, 2))
            if rng.random() < 0.25:
                rgba[..., :3] = cv2.GaussianBlur(rgba[..., :3], (0, 0), rng.uniform(0.5, 2))
        return replace(sprite, rgba=rgba)

    def _motion(self):
        rng = self.rng
        kind = rng.integers(5)
        a = rng.uniform(0.02, 0.12) * rng.choice([-1, 1])
        return [
            {'shift_x': a}, {'shift_y': a}, {'turn': a * 2}, {'stretch_x': a, 'stretch_y': -a},
            {'shift_x': a, 'turn': a},
        ][kind]

    def _photo(self, name, aspect) -> SceneObject:
        rng = self.rng
        sprite = self._sprite('photo', name)
        ratio = sprite.extent[0] / sprite.extent[1] / aspect
        zoom = rng.uniform(1.05, 1.5)
        # Large enough to fill the picture.
        size = np.array([ratio, 1.0]) if ratio > 1 else np.array([1.0, 1 / ratio])
        size = size * zoom
        centre = 0.5 + rng.uniform(-0.5, 0.5, 2) * (size - 1)
        return SceneObject(name, sprite, tuple(size), tuple(centre), (0.0, 0.0), 0.0, self._motion() if rng.random() < 0.3 else {}, True)

    def _cutout(self, name, aspect, first, many) -> SceneObject:
        rng, config = self.rng, self.config
        sprite = self._sprite('cutout', name)
        low, high = np.log(config.area)
        if not first or many > 2:
            high = np.log(0.3)
        area = float(np.exp(rng.uniform(low, high)))
        ratio = sprite.extent[0] / sprite.extent[1] * np.exp(rng.uniform(-0.1, 0.1)) / aspect
        size = np.sqrt([area * ratio, area / ratio])
        size = size * min(1, 1.15 / size.max())
        spread = 0.14 if first and rng.random() < 0.7 else 0.28
        centre = np.clip(rng.normal(0.5, spread, 2), 0.08, 0.92)
        if rng.random() < 0.7:  # in view as a whole
            centre = np.clip(centre, np.minimum(size / 2, 0.5), np.maximum(1 - size / 2, 0.5))
        return SceneObject(
            name, sprite, tuple(size), tuple(centre),
            tuple(rng.normal(0, 0.03, 2) if rng.random() < 0.4 else (0.0, 0.0)),
            float(rng.normal(0, 0.08)), self._motion(), True,
        )

    def _ambience(self, n) -> np.ndarray:
        wave = self.material.sound(self._draw('ambience'))
        wave = _cut(self.rng, wave, n)
        return wave / max(1e-6, float(np.sqrt(np.mean(wave**2))))

    def _sound(self, category, n) -> np.ndarray:
        rng = self.rng
        wave = _cut(rng, self.material.sound(self._draw('sound', category)), n)
        level = 10 ** (rng.uniform(-26, -10) / 20)
        rms = float(np.sqrt(np.mean(wave**2)))
        wave = wave * np.float32(level / max(rms, 0.01))
        if rng.random() < self.config.p_room:
            wave = reverberate(wave, draw_room(rng))[:n]
        return np.clip(wave, -1, 1)

    def _events(self, names, both, main) -> list[Event]:
        rng, config = self.rng, self.config
        n, events = config.seconds * SAMPLE_RATE, []
        able = [i for i, c in enumerate(names) if c in both or (c in self.material.having(config.split, 'sound'))]
        draw = rng.random()
        sounding, unseen = set(), False
        if able and draw < config.p_sounding:
            first = main if main in able and rng.random() < 0.7 else int(rng.choice(able))
            sounding.add(first)
            if len(able) > 1 and rng.random() < config.p_second:
                sounding.add(int(rng.choice([i for i in able if i != first])))
            unseen = rng.random() < config.p_unseen_too
        elif draw < config.p_sounding + config.p_unseen or (draw < config.p_sounding and not able):
            unseen = True
        for i, name in enumerate(names):
            if i in sounding:
                wave = self._sound(name, n)
                moves = rng.random() < config.p_moves
                drive = _envelope(wave) if rng.random() < 0.6 else self._sway()
                events.append(Event(0, config.seconds, i, name, True, wave, drive if moves else 0 * drive))
            elif rng.random() < config.p_restless:
                events.append(Event(0, config.seconds, i, '', False, np.zeros(0, np.float32), self._sway()))
        if unseen:
            others = [c for c in self.material.having(config.split, 'sound') if c not in names]
            category = others[int(rng.integers(len(others)))]
            wave = self._sound(category, n) * np.float32(0.5 if sounding else 1)
            events.append(Event(0, config.seconds, None, category, True, wave, np.zeros(1, np.float32)))
        return events

    def _sway(self) -> np.ndarray:
        rng, length = self.rng, self.config.seconds
        if rng.random() < 0.5:
            period = float(np.exp(rng.uniform(*np.log([0.4, 1.2]))))
            return stroke_drive(draw_onsets(rng, length, period, period), length)
        t = np.arange(length * DRIVE_RATE) / DRIVE_RATE
        return np.sin(rng.uniform(2, 14) * t + rng.uniform(0, 6)).astype(np.float32)


def _cut(rng, wave, n) -> np.ndarray:
    """A stretch of n samples; shorter recordings are repeated after a pause or from the start."""
    if len(wave) < n:
        gap = np.zeros(int(rng.uniform(0, 0.3) * SAMPLE_RATE), np.float32)
        unit = np.concatenate([wave, gap])
        wave = np.tile(unit, -(-2 * n // len(unit)))
    start = int(rng.integers(0, len(wave) - n + 1))
    return wave[start : start + n].astype(np.float32)


def _envelope(wave) -> np.ndarray:
    """Loudness of a sound, 0 to 1, at DRIVE_RATE."""
    step = SAMPLE_RATE // DRIVE_RATE
    n = len(wave) // step
    level = np.sqrt((wave[: n * step].reshape(n, step) ** 2).mean(1))
    level = np.convolve(level, np.ones(3) / 3, 'same')
    return (level / max(1e-6, level.max())).astype(np.float32)
