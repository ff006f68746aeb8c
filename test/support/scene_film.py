"""A short film of a rendered scene, in which things sound that the shipped model knows."""

from pathlib import Path

import numpy as np
from films import write_film

from avsol_ros.training.synthetic.clean_scenes import plan_scene
from avsol_ros.training.synthetic.scene_films import film_config

SECONDS, WIDTH, HEIGHT, FRAME_RATE = 3, 160, 120, 25
#: What sounds in each second: one object, another, both.
SCHEDULE = [[0], [1], [0, 1]]


def make_scene(schedule=SCHEDULE, seed=0):
    """Plan a scene; the same one for equal values."""
    config = film_config(WIDTH, HEIGHT, seconds=len(schedule), objects=(2, 2), area=(0.06, 0.12))
    return plan_scene(np.random.default_rng([seed, 5]), config, schedule)


def write_scene_film(
    path: Path, *, frame_times=None, rotation=None, rate=16_000, channels=1, scene=None, **options
) -> Path:
    """
    Write the film.

    :param frame_times: seconds of each frame, in place of 25 a second.
    :param rotation: 90, to store the frames turned, as phones do.
    :param options: those of ``films.write_film``.
    """
    scene = scene or make_scene()

    def draw(index, width, height):
        time = float(frame_times[index]) if frame_times else index / FRAME_RATE
        time = min(time, scene.seconds - 0.001)
        if rotation:
            return np.rot90(scene.draw(time, height, width), 1)
        return scene.draw(time, width, height)

    def sound(seconds, rate, channels):
        audio = scene.audio()
        at = np.arange(round(seconds * rate)) * len(audio) / seconds / rate
        mono = np.rint(np.interp(at, np.arange(len(audio)), audio) * 32767).astype(np.int16)
        return np.repeat(mono[:, None], channels, axis=1)

    return write_film(
        path,
        seconds=scene.seconds,
        width=WIDTH,
        height=HEIGHT,
        frame_rate=FRAME_RATE,
        frame_times=frame_times,
        rotation=rotation,
        rate=rate,
        channels=channels,
        draw=draw,
        sound=sound,
        **options,
    )
