"""Scenes written as films with sound, and their truth beside them as JSON."""

import itertools
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from avsol_ros.errors import AvsolError
from avsol_ros.media.film_writer import MediaWriter
from avsol_ros.stopping import on_interrupt
from avsol_ros.streams.windows import SAMPLE_RATE
from avsol_ros.training.annotations.annotation_files import write_annotations
from avsol_ros.training.annotations.model import Annotation, FrameTruth, ObjectTruth
from avsol_ros.training.synthetic.clean_scenes import plan_scene
from avsol_ros.training.synthetic.objects import CATEGORIES
from avsol_ros.training.synthetic.stage import Scene
from avsol_ros.training.synthetic.window_set import (
    SPLITS,
    TRUTH_RATE,
    preset_config,
    split_config,
)

# First one object sounds, then none, then another, then one that is not in view.
DEMO_SCHEDULE = [[0]] * 3 + [[]] * 2 + [[1]] * 3 + [[None]] * 2


def film_config(
    width: int,
    height: int,
    preset: str = 'clean',
    material: str | Path | None = None,
    **changes,
):
    """
    Scene settings for a film of that size: a camera's shape, finer pictures.

    :param material: of real scenes; see ``preset_config``. Films take its files for testing.
    """
    aspect = width / height
    config = split_config(preset_config(preset, material), 'demo')
    finer = {'aspects': (aspect, aspect), 'sprite': 240, 'backdrop': round(1.5 * width)}
    known = {one.name for one in fields(config)}
    return replace(
        config, **{name: value for name, value in finer.items() if name in known}, **changes
    )


def scene_annotation(
    scene: Scene,
    video: str,
    width: int,
    height: int,
    categories: tuple[str, ...] = CATEGORIES,
) -> Annotation:
    """
    Tell what can be seen and heard, TRUTH_RATE times a second.

    Unseen sounds of nothing that the list of categories names have no category.

    :param categories: of the scene's preset.
    """
    times = [index / TRUTH_RATE for index in range(scene.seconds * TRUTH_RATE)]
    frames = tuple(
        FrameTruth(
            time,
            tuple(_as_annotated(one, categories) for one in scene.truth(time, width, height)),
        )
        for time in times
    )
    return Annotation(
        video, float(TRUTH_RATE), width, height, float(scene.seconds), categories, frames
    )


def _as_annotated(thing: ObjectTruth, categories: tuple[str, ...]) -> ObjectTruth:
    """Return an object as annotations have it: to 0.01 pixels, of a category that is listed."""
    return replace(
        thing,
        box=thing.box and tuple(round(v, 2) for v in thing.box),
        category=thing.category if thing.category in categories else None,
    )


def write_film(
    scene: Scene,
    path: str | Path,
    width: int = 640,
    height: int = 480,
    frame_rate: float = 25,
    report=None,
    categories: tuple[str, ...] = CATEGORIES,
) -> Path:
    """
    Write a scene as a film with sound and, beside it, its truth as ``.json``: both or neither.

    :param categories: of the scene's preset.
    :param report: called with the share that is done, 0 to 1, after each frame.
    """
    path = Path(path)
    if path.suffix.lower() != '.mp4':
        raise AvsolError(f'the film is {path.name!r}; expected a name that ends in .mp4')
    truth = path.with_suffix('.json')
    # First, because it fails sooner and a film without its truth would be taken for a whole one.
    write_annotations(truth, [scene_annotation(scene, path.name, width, height, categories)])
    try:
        _write_pictures_and_sound(scene, path, width, height, frame_rate, report)
    except BaseException:
        truth.unlink(missing_ok=True)
        raise
    return path


def _write_pictures_and_sound(scene, path, width, height, frame_rate, report) -> None:
    audio = scene.audio()
    count = round(scene.seconds * frame_rate)
    with MediaWriter(path, width, height, frame_rate, SAMPLE_RATE, 1) as writer:
        for index in range(count):
            writer.add_frame(scene.draw(index / frame_rate, width, height))
            start, end = (round(k / frame_rate * SAMPLE_RATE) for k in (index, index + 1))
            writer.add_audio(audio[start:end, None])
            if report:
                report((index + 1) / count)


def render_demo_clip(
    path: str | Path,
    seed: int = 0,
    width: int = 640,
    height: int = 480,
    frame_rate: float = 25,
    report=None,
) -> Path:
    """
    The demonstration: 10 s of a scene that no model was trained on.

    One object sounds for 3 s, then none for 2 s, then another for 3 s, then an unseen one for
    2 s. The truth lies beside the film as ``.json``.
    """
    config = film_config(width, height, objects=(3, 3), area=(0.06, 0.12))
    for attempt in itertools.count():
        scene = plan_scene(
            np.random.default_rng([seed, SPLITS['demo'], 0, attempt]), config, DEMO_SCHEDULE
        )
        if _apart(scene):
            return write_film(scene, path, width, height, frame_rate, report)


def _apart(scene: Scene) -> bool:
    """Whether no box ever covers another, so that a viewer never doubts which one is meant."""
    for time in np.arange(0, scene.seconds, 0.25):
        boxes = [o.box for o in scene.truth(time, scene.aspect, 1) if o.box]
        for one, other in itertools.combinations(boxes, 2):
            if min(one[2], other[2]) > max(one[0], other[0]) and min(one[3], other[3]) > max(
                one[1], other[1]
            ):
                return False
    return True


def render_films(
    folder: str | Path,
    count: int,
    seed: int = 0,
    seconds: int = 10,
    width: int = 640,
    height: int = 480,
    frame_rate: float = 25,
    report=None,
    preset: str = 'clean',
    material: str | Path | None = None,
) -> list[Path]:
    """
    Write ``count`` scenes as ``scene_0000.mp4`` … with their truth into a folder.

    :param material: of real scenes; see ``preset_config``.
    """
    config = film_config(width, height, preset, material, seconds=seconds)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    with on_interrupt(
        lambda: (
            f'interrupted; {len(paths)} of {count} films are written, and the same command '
            'begins again'
        )
    ):
        for index in range(count):
            rng = np.random.default_rng([seed, SPLITS['demo'], 1 + index, *config.key])
            paths.append(
                write_film(
                    config.plan(rng),
                    folder / f'scene_{index:04d}.mp4',
                    width,
                    height,
                    frame_rate,
                    report and (lambda share, index=index: report((index + share) / count)),
                    config.categories,
                )
            )
    return paths
