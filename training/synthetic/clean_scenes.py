"""
Plans of clean scenes: one to three objects, of which one mostly sounds, for whole seconds.

Those of ``hard`` are planned in ``hard_scenes.py``; both are drawn and heard by ``stage.py``.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from avsol_ros.errors import AvsolError
from avsol_ros.streams.windows import SAMPLE_RATE
from avsol_ros.training.synthetic.objects import CATEGORIES
from avsol_ros.training.synthetic.sounds import noise, render_voice
from avsol_ros.training.synthetic.stage import (
    Event,
    Scene,
    SceneObject,
    draw_backdrop,
    make_object,
    place,
)


@dataclass(frozen=True)
class SceneConfig:
    """
    What scenes are made of.

    :param seconds: length; what sounds changes only at whole seconds, as AVE labels them.
    :param objects: fewest and most objects in view.
    :param area: smallest and largest box of an object, as a share of the picture.
    :param p_sounding: chance that something in view sounds in a second.
    :param p_out_of_view: chance that something unseen sounds instead; silence has the rest.
    :param p_second: chance that a second object in view sounds too, when there is one.
    :param p_mute_motion: chance that a silent object moves as if it sounded.
    :param noise_db: levels of background noise, dB relative to full scale.
    :param aspects: smallest and largest width / height of the camera.
    :param backdrop: width of the background picture in pixels; a film wants more than this.
    :param sprite: width of an object's own picture in pixels, likewise.
    """

    # Added to the key of a scene's random numbers; see window_set.
    key: ClassVar[tuple[int, ...]] = ()
    single_label: ClassVar[bool] = False
    degraded: ClassVar[bool] = False
    categories: ClassVar[tuple[str, ...]] = CATEGORIES

    seconds: int = 4
    objects: tuple[int, int] = (1, 3)
    area: tuple[float, float] = (0.04, 0.18)
    p_sounding: float = 0.6
    p_out_of_view: float = 0.22
    p_second: float = 0.15
    p_mute_motion: float = 0.25
    noise_db: tuple[float, ...] = (-60, -46, -38, -32)
    aspects: tuple[float, float] = (0.75, 1.78)
    backdrop: int = 240
    sprite: int = 96

    def __post_init__(self):
        if not 1 <= self.objects[0] <= self.objects[1] < len(CATEGORIES):
            raise AvsolError(
                f'objects is {self.objects}; expected 1 <= fewest <= most < {len(CATEGORIES)}'
            )
        if not 0.01 <= self.area[0] <= self.area[1] <= 0.3:
            raise AvsolError(f'area is {self.area}; expected shares from 0.01 to 0.3')
        if self.p_sounding + self.p_out_of_view > 1:
            total = self.p_sounding + self.p_out_of_view
            raise AvsolError(f'p_sounding + p_out_of_view is {total:g}; expected at most 1')

    def plan(self, rng: np.random.Generator) -> 'Scene':
        """Draw up a scene; see :func:`plan_scene`."""
        return plan_scene(rng, self)


def _voice(rng, category, pitch, start, end, source, audible=True) -> Event:
    voiced = render_voice(category, pitch, end - start, rng)
    gain = 10 ** (rng.uniform(-14, -5) / 20)
    return Event(start, end, source, category, audible, voiced.samples * gain, voiced.drive)


def plan_scene(
    rng: np.random.Generator, config: SceneConfig = SceneConfig(), schedule: list | None = None
) -> Scene:
    """
    Draw up a scene.

    :param schedule: for each second what sounds: a list of indices of objects in view and None
        for an unseen one; drawn at random when not given.
    """
    aspect = float(np.exp(rng.uniform(*np.log(config.aspects))))
    centres = None
    while centres is None:
        count = int(rng.integers(config.objects[0], config.objects[1] + 1))
        order = [CATEGORIES[i] for i in rng.permutation(len(CATEGORIES))]
        seen, unseen = order[:count], order[count:]
        areas = np.exp(rng.uniform(*np.log(config.area), count))
        made = [make_object(rng, c, a, aspect, config.sprite) for c, a in zip(seen, areas)]
        centres = place(rng, [size for _, size in made])
    objects = [
        SceneObject(
            c,
            sprite,
            tuple(size),
            tuple(centre),
            tuple(rng.normal(0, 0.045, 2)),
            float(rng.normal(0, 0.12)),
        )
        for c, (sprite, size), centre in zip(seen, made, centres)
    ]
    if schedule is None:
        schedule = _random_schedule(rng, config, count)
    events = _draw_events(rng, config, seen, unseen[0], schedule)
    seconds = len(schedule)
    level = 10 ** (rng.choice(config.noise_db) / 20)
    background = noise(rng, seconds * SAMPLE_RATE) * np.float32(level)
    drift = np.concatenate([rng.uniform(0.2, 1.2, 2), rng.uniform(0, 2 * np.pi, 2)])
    backdrop = draw_backdrop(rng, aspect, config.backdrop)
    return Scene(objects, events, seconds, aspect, backdrop, drift, background)


def _draw_events(rng, config, seen, unseen, schedule) -> list[Event]:
    """
    What sounds or moves when.

    :param seen: categories in view.
    :param unseen: category of what sounds out of view.
    """
    pitches, events = [*rng.random(len(seen)), rng.random()], []
    for source, category, pitch in zip([*range(len(seen)), None], [*seen, unseen], pitches):
        for start, end in _runs([source in sources for sources in schedule]):
            events.append(_voice(rng, category, pitch, start, end, source))
        if source is None:
            continue
        for start, end in _runs([source not in sources for sources in schedule]):
            for second in range(start, end):
                if rng.random() < config.p_mute_motion:
                    events.append(
                        _voice(rng, category, pitch, second, second + 1, source, audible=False)
                    )
    return events


def _random_schedule(rng, config, count) -> list[list]:
    schedule = []
    while len(schedule) < config.seconds:
        draw = rng.random()
        if draw < config.p_sounding:
            now = [int(rng.integers(count))]
            if count > 1 and rng.random() < config.p_second:
                now.append(int((now[0] + rng.integers(1, count)) % count))
        elif draw < config.p_sounding + config.p_out_of_view:
            now = [None]
        else:
            now = []
        schedule += [now] * int(rng.integers(1, 4))
    return schedule[: config.seconds]


def _runs(flags: list[bool]) -> list[tuple[int, int]]:
    """Half-open index ranges over which flags are set."""
    edges = np.flatnonzero(np.diff([0, *map(int, flags), 0]))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
