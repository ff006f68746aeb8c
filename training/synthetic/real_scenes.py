"""
Real scenes: photographs as background, cut-outs of real things that move, real recordings.

They are made to have what films with sound have: things of 3 to 90 % of the picture, often near
its middle, several sizes side by side; what sounds mostly moves, and often as loud as it sounds;
people more often than anything else; a hand-held camera; silent things that look alike, sounds of
things out of view, silence, ambience and echo.

A window may also show a whole photograph of one thing, under pan and zoom. Nothing tells where in
it the thing is, so its box is the whole picture; such boxes teach a category, and no place.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import cv2
import numpy as np

from avsol_ros.errors import AvsolError
from avsol_ros.streams.windows import SAMPLE_RATE
from avsol_ros.training.synthetic.ambience import draw_room, reverberate
from avsol_ros.training.synthetic.category_names import display_name
from avsol_ros.training.synthetic.material import Material, make_cutout, open_material
from avsol_ros.training.synthetic.rhythm import draw_onsets, stroke_drive
from avsol_ros.training.synthetic.sounds import DRIVE_RATE, noise
from avsol_ros.training.synthetic.stage import Camera, Event, Scene, SceneObject

# How often a category is drawn, if it has that many pictures; 1 of others.
_WEIGHTS = {display_name('person'): 5.0}
_MANY_PHOTOS = 50  # with fewer, whole photographs are rarer: each would be seen too often
_SHORTEST_S, _LONGEST_S = 2, 4  # of a stretch of time, in clips that are longer than that
_QUIETEST = 0.01  # RMS below which a recording is not made louder


@dataclass(frozen=True)
class RealConfig:
    """
    What real scenes are made of.

    :param folder: with pictures and recordings, see ``material_lists``.
    :param split: train, val or test: files of no other are used.
    :param extra: whether files that the manifest marks ``extra`` are used too.
    :param seconds: length of a clip.
    :param things: chances of 0, 1, 2 ... cut-outs in view.
    :param area: smallest and largest box of a cut-out, as a share of the picture.
    :param p_photo: chance of a whole photograph of one thing in place of a background, where there
        are many of them.
    :param p_alike: chance that a further thing is of the category of the first.
    :param p_sounding: chance that something in view sounds in a stretch of time.
    :param p_unseen: chance that only something unseen does; silence and ambience have the rest.
    :param p_second: chance that a second thing in view sounds too.
    :param p_unseen_too: chance that something unseen sounds beside what is in view.
    :param p_moves: chance that what sounds moves.
    :param p_restless: chance that a thing moves while it is silent.
    :param p_cut: chance that a thing reaches over the border of the picture.
    :param p_ambience: chance of recorded ambience; there is always some noise.
    :param p_room: chance of echo.
    :param aspects: smallest and largest width / height of the camera.
    :param backdrop: width of the background picture in pixels.
    """

    key: ClassVar[tuple[int, ...]] = (2,)
    single_label: ClassVar[bool] = False
    degraded: ClassVar[bool] = True

    folder: str
    split: str = 'train'
    extra: bool = False
    seconds: int = 2
    things: tuple[float, ...] = field(default=(0.06, 0.44, 0.3, 0.14, 0.06))
    area: tuple[float, float] = (0.03, 0.9)
    p_photo: float = 0.12
    p_alike: float = 0.1
    p_sounding: float = 0.74
    p_unseen: float = 0.14
    p_second: float = 0.15
    p_unseen_too: float = 0.08
    p_moves: float = 0.85
    p_restless: float = 0.35
    p_cut: float = 0.15
    p_ambience: float = 0.6
    p_room: float = 0.4
    aspects: tuple[float, float] = (0.75, 1.78)
    backdrop: int = 480

    def __post_init__(self):
        if not np.isclose(sum(self.things), 1) or min(self.things) < 0:
            raise AvsolError(f'things is {self.things}; expected chances whose sum is 1')
        if not 0.01 <= self.area[0] <= self.area[1] <= 1:
            raise AvsolError(f'area is {self.area}; expected shares from 0.01 to 1')
        if self.p_sounding + self.p_unseen > 1:
            total = self.p_sounding + self.p_unseen
            raise AvsolError(f'p_sounding + p_unseen is {total:g}; expected at most 1')

    @property
    def material(self) -> Material:
        return open_material(self.folder, self.extra)

    @property
    def categories(self) -> tuple[str, ...]:
        """Display names of what can be seen and heard, sorted; the same for all splits."""
        return self.material.categories

    def plan(self, rng: np.random.Generator) -> Scene:
        """Draw up a scene."""
        self.material.check_split(self.split)
        return _Planner(rng, self).scene()


class _Planner:
    """Draws up one scene."""

    def __init__(self, rng: np.random.Generator, config: RealConfig):
        self.rng, self.config, self.material = rng, config, config.material
        self.both = self.material.having(config.split, 'cutout', 'sound')
        self.seen = self.material.having(config.split, 'cutout')
        self.photos = {
            name: self.material.files(config.split, 'photo', name)
            for name in self.material.having(config.split, 'photo', 'sound')
        }
        self.heard = self.material.heard(config.split)

    def scene(self) -> Scene:
        rng, config = self.rng, self.config
        aspect = float(np.exp(rng.uniform(*np.log(config.aspects))))
        photos = sum(map(len, self.photos.values()))
        whole = rng.random() < config.p_photo * min(1, photos / _MANY_PHOTOS)
        objects = self._objects(aspect, whole)
        # What was drawn first is what the camera was turned to.
        main = 0 if objects else None
        order = self._order(objects, whole)
        objects = [objects[i] for i in order]
        events = self._events(objects, None if main is None else order.index(main))
        return Scene(
            objects,
            events,
            config.seconds,
            aspect,
            self._backdrop(aspect),
            self._drift(),
            self._background(),
            self._camera(steady=whole),
        )

    def _objects(self, aspect: float, whole: bool) -> list[SceneObject]:
        rng, config = self.rng, self.config
        count = int(rng.choice(len(config.things), p=config.things))
        objects = []
        if whole:
            objects.append(self._photo(self._photo_category(), aspect))
            count = min(count, 1) if rng.random() < 0.3 else 0
        for index in range(count):
            name = self._category(self.both if rng.random() < 0.85 else self.seen)
            if objects and not whole and rng.random() < config.p_alike:
                name = objects[0].category
            objects.append(self._cutout(name, aspect, index == 0 and not whole, count))
        return objects

    @staticmethod
    def _order(objects: list[SceneObject], whole: bool) -> list[int]:
        """Nearer things are larger and lie before the others; a photograph is behind all."""
        areas = [np.prod(thing.size) for thing in objects]
        if whole:
            areas[0] = np.inf
        return [int(i) for i in np.argsort([-area for area in areas], kind='stable')]

    def _category(self, names: list[str]) -> str:
        weights = np.array(
            [
                min(
                    _WEIGHTS.get(name, 1.0),
                    len(self.material.files(self.config.split, 'cutout', name)),
                )
                for name in names
            ]
        )
        return names[int(self.rng.choice(len(names), p=weights / weights.sum()))]

    def _draw(self, kind: str, category: str | None = None) -> str:
        return self.material.draw(self.rng, self.config.split, kind, category)

    def _backdrop(self, aspect: float) -> np.ndarray:
        """A part of a background in the shape of the camera: float32 RGB."""
        rng = self.rng
        picture = self.material.picture(self._draw('background'))[..., :3]
        height, width = picture.shape[:2]
        w = min(width, height * aspect) * rng.uniform(0.55, 1)
        h = w / aspect
        x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
        part = picture[int(y) : int(np.ceil(y + h)), int(x) : int(np.ceil(x + w))]
        if rng.random() < 0.5:
            part = part[:, ::-1]
        size = self.config.backdrop, max(2, round(self.config.backdrop / aspect))
        out = cv2.resize(part, size, interpolation=cv2.INTER_LINEAR)
        if rng.random() < 0.3:
            out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.5, 4))  # out of focus
        return np.clip(
            out.astype(np.float32) * rng.uniform(0.6, 1.2) + rng.uniform(-20, 20), 0, 255
        )

    def _drift(self) -> np.ndarray:
        """How the camera pans over the background, see ``Scene``."""
        rng = self.rng
        pan = rng.choice([0.0, 0.3, 1.0], p=[0.5, 0.3, 0.2])
        return np.concatenate([pan * rng.uniform(0.2, 1.2, 2), rng.uniform(0, 2 * np.pi, 2)])

    def _camera(self, steady: bool) -> Camera:
        """A camera, in most scenes in a hand. :param steady: it must not show a picture's rim."""
        rng = self.rng
        shake = float(rng.choice([0.0, 0.004, 0.012], p=[0.4, 0.35, 0.25]))
        speeds = [*rng.uniform(1, 8, 4), rng.uniform(0.3, 2.5)]
        waves = np.stack([speeds, rng.uniform(0, 2 * np.pi, 5)], 1)
        return Camera(0.0 if steady else shake, float(rng.choice([0, 0.03])), waves)

    def _picture(self, kind: str, category: str) -> np.ndarray:
        """A picture in other light, some mirrored: (h, w, 4) float32, colour 0-255, alpha 0-1."""
        rng = self.rng
        picture = self.material.picture(self._draw(kind, category))
        if rng.random() < 0.5:
            picture = picture[:, ::-1]
        rgba = picture.astype(np.float32)
        rgba[..., 3] /= 255
        gain = (rng.uniform(0.7, 1.2, 3) ** 0.5 * rng.uniform(0.7, 1.25)).astype(np.float32)
        light = np.float32(rng.uniform(-15, 15))
        rgba[..., :3] = np.clip(rgba[..., :3] * gain + light, 0, 255)
        return rgba

    def _photo_category(self) -> str:
        """Draw a category by how many photographs there are of it: one alone is soon known."""
        counts = np.array([len(files) for files in self.photos.values()])
        return list(self.photos)[int(self.rng.choice(len(counts), p=counts / counts.sum()))]

    def _photo(self, category: str, aspect: float) -> SceneObject:
        """A whole photograph, larger than the picture, under pan and zoom."""
        rng = self.rng
        sprite = make_cutout(self._picture('photo', category))
        ratio = sprite.extent[0] / sprite.extent[1] / aspect
        size = np.array([ratio, 1.0] if ratio > 1 else [1.0, 1 / ratio]) * rng.uniform(1.05, 1.4)
        centre = 0.5 + rng.uniform(-0.5, 0.5, 2) * (size - 1)
        pan = rng.normal(0, 0.04, 2) if rng.random() < 0.5 else np.zeros(2)
        zoom = rng.uniform(0.02, 0.15) if rng.random() < 0.5 else 0.0
        motion = {'stretch_x': zoom, 'stretch_y': zoom}
        return SceneObject(category, sprite, tuple(size), tuple(centre), tuple(pan), 0.0, motion)

    def _cutout(self, category: str, aspect: float, first: bool, many: int) -> SceneObject:
        """
        A thing that is cut out.

        :param first: what the camera was turned to: often large and near the middle.
        :param many: how many things there are.
        """
        rng, config = self.rng, self.config
        rgba = self._picture('cutout', category)
        if rng.random() < 0.7:
            softened = cv2.GaussianBlur(rgba[..., 3], (0, 0), rng.uniform(0.5, 2))
            if softened.max() > 0.8:  # threads would vanish
                rgba[..., 3] = softened
        if rng.random() < 0.25:
            rgba[..., :3] = cv2.GaussianBlur(rgba[..., :3], (0, 0), rng.uniform(0.5, 2))
        sprite = make_cutout(rgba)
        low, high = config.area
        if not first or many > 2:
            high = max(low, min(high, 0.3))
        area = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        ratio = sprite.extent[0] / sprite.extent[1] * np.exp(rng.uniform(-0.1, 0.1)) / aspect
        size = np.sqrt([area * ratio, area / ratio])
        size = size * min(1, 0.98 / size.max())
        spread = 0.14 if first and rng.random() < 0.7 else 0.28
        centre = np.clip(rng.normal(0.5, spread, 2), 0.08, 0.92)
        inside = rng.random() >= config.p_cut
        if _is_bust(rgba) and rng.random() < 0.8:
            # Its lower border is one of the picture, as people who speak are mostly filmed.
            centre = np.array(
                [np.clip(centre[0], size[0] / 2, 1 - size[0] / 2), 1 - 0.45 * size[1]]
            )
            inside = False
        if inside:
            centre = np.clip(centre, size / 2, 1 - size / 2)
        drifts = inside and rng.random() < 0.4
        return SceneObject(
            category,
            sprite,
            tuple(size),
            tuple(centre),
            tuple(rng.normal(0, 0.03, 2) if drifts else (0.0, 0.0)),
            float(rng.normal(0, 0.08)),
            self._motion(),
            bounces=inside,
        )

    def _motion(self) -> dict[str, float]:
        rng = self.rng
        a = float(rng.uniform(0.02, 0.12) * rng.choice([-1, 1]))
        kinds = (
            {'shift_x': a},
            {'shift_y': a},
            {'turn': a * 2},
            {'stretch_x': a, 'stretch_y': -a},
            {'shift_x': a, 'turn': a},
        )
        return kinds[rng.integers(len(kinds))]

    def _background(self) -> np.ndarray:
        """Noise and, in most scenes, ambience: (n,) float32."""
        rng, config = self.rng, self.config
        n = config.seconds * SAMPLE_RATE
        out = noise(rng, n) * np.float32(10 ** (rng.uniform(-70, -45) / 20))
        if self.material.files(config.split, 'ambience') and rng.random() < config.p_ambience:
            wave = _cut(rng, self.material.sound(self._draw('ambience')), n)
            out = out + _levelled(wave, 10 ** (rng.uniform(-45, -22) / 20))
        return out.astype(np.float32)

    def _sound(self, category: str, seconds: int) -> np.ndarray:
        rng = self.rng
        n = seconds * SAMPLE_RATE
        wave = _cut(rng, self.material.sound(self._draw('sound', category)), n)
        wave = _levelled(wave, 10 ** (rng.uniform(-26, -10) / 20))
        if rng.random() < self.config.p_room:
            wave = reverberate(wave, draw_room(rng))[:n]
        return np.clip(wave, -1, 1)

    def _events(self, objects: list[SceneObject], main: int | None) -> list[Event]:
        """What sounds or moves when. :param main: index of what the camera was turned to."""
        events: list[Event] = []
        start = 0
        while start < self.config.seconds:
            left = self.config.seconds - start
            length = left
            if left > _LONGEST_S:
                length = int(self.rng.integers(_SHORTEST_S, _LONGEST_S + 1))
            events += self._stretch(objects, main, start, start + length)
            start += length
        return events

    def _stretch(self, objects, main: int | None, start: int, end: int) -> list[Event]:
        """Events of a stretch of time in which nothing begins or ends to sound."""
        rng, config = self.rng, self.config
        sounding, unseen = self._choose_sounding(objects, main)
        events = []
        for index, thing in enumerate(objects):
            whole = min(thing.size) >= 1
            if index in sounding:
                wave = self._sound(thing.category, end - start)
                drive = _loudness(wave) if rng.random() < 0.6 else self._sway(end - start)
                if rng.random() >= config.p_moves:
                    drive = 0 * drive
            elif whole or rng.random() < config.p_restless:
                wave, drive = np.zeros(0, np.float32), self._sway(end - start)
            else:
                continue
            if whole:
                drive = np.linspace(0, 1, len(drive), dtype=np.float32)
            heard = index in sounding
            events.append(
                Event(start, end, index, thing.category if heard else '', heard, wave, drive)
            )
        in_view = {thing.category for thing in objects}
        others = [name for name in self.heard if name not in in_view]
        if unseen and others:
            name = others[int(rng.integers(len(others)))]
            wave = self._sound(name, end - start) * np.float32(0.5 if sounding else 1)
            events.append(Event(start, end, None, name, True, wave, np.zeros(1, np.float32)))
        return events

    def _choose_sounding(self, objects, main: int | None) -> tuple[set[int], bool]:
        """Which things in view sound, and whether something unseen does."""
        rng, config = self.rng, self.config
        able = [i for i, thing in enumerate(objects) if thing.category in self.heard]
        draw = rng.random()
        if not able or draw >= config.p_sounding:
            return set(), draw < config.p_sounding + config.p_unseen
        first = main if main in able and rng.random() < 0.7 else int(rng.choice(able))
        sounding = {first}
        if len(able) > 1 and rng.random() < config.p_second:
            sounding.add(int(rng.choice([i for i in able if i != first])))
        return sounding, rng.random() < config.p_unseen_too

    def _sway(self, seconds: int) -> np.ndarray:
        """A movement that no sound tells of: strokes, or to and fro."""
        rng = self.rng
        if rng.random() < 0.5:
            period = float(np.exp(rng.uniform(*np.log([0.4, 1.2]))))
            return stroke_drive(draw_onsets(rng, seconds, period, period), seconds)
        t = np.arange(seconds * DRIVE_RATE) / DRIVE_RATE
        return np.sin(rng.uniform(2, 14) * t + rng.uniform(0, 6)).astype(np.float32)


def _is_bust(rgba: np.ndarray) -> bool:
    """Whether a thing is cut off below: solid over half of the width of its lowest rows."""
    return bool((rgba[-3:, :, 3] > 0.5).mean() > 0.5)


def _cut(rng: np.random.Generator, wave: np.ndarray, n: int) -> np.ndarray:
    """A stretch of n samples; shorter recordings are repeated, some after a pause."""
    if len(wave) < n:
        gap = np.zeros(int(rng.uniform(0, 0.3) * SAMPLE_RATE), np.float32)
        unit = np.concatenate([wave, gap])
        wave = np.tile(unit, -(-2 * n // len(unit)))
    start = int(rng.integers(0, len(wave) - n + 1))
    return wave[start : start + n].astype(np.float32)


def _levelled(wave: np.ndarray, level: float) -> np.ndarray:
    """A sound of the RMS asked for; what is nearly silent stays quiet."""
    rms = float(np.sqrt(np.mean(wave.astype(np.float64) ** 2)))
    return wave * np.float32(level / max(rms, _QUIETEST))


def _loudness(wave: np.ndarray) -> np.ndarray:
    """How loud a sound is, 0 to 1 of its loudest, DRIVE_RATE times a second."""
    step = SAMPLE_RATE // DRIVE_RATE
    n = len(wave) // step
    level = np.sqrt((wave[: n * step].reshape(n, step) ** 2).mean(1))
    level = np.convolve(level, np.ones(3) / 3, 'same')
    return (level / max(1e-6, float(level.max()))).astype(np.float32)
