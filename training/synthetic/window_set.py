"""
Sets of one-second windows rendered from synthetic scenes, held in memory.

A set is named by its split and seed: scene ``i`` of split ``s`` with seed ``n`` is drawn from
``numpy.random.default_rng([n, s, i])``, so splits never share a scene and two machines get the
same pixels. The scenes of a preset other than ``clean`` have its number behind ``i``. Real scenes
take only pictures and recordings of the split.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from avsol_ros.errors import AvsolError
from avsol_ros.progress import OnCount, count_nothing
from avsol_ros.streams.windows import SAMPLE_RATE
from avsol_ros.training.annotations.model import ObjectTruth
from avsol_ros.training.annotations.window_truth import FILLING, window_facts
from avsol_ros.training.synthetic.ambience import draw_room, render_ambience, reverberate
from avsol_ros.training.synthetic.clean_scenes import SceneConfig
from avsol_ros.training.synthetic.hard_scenes import HardConfig
from avsol_ros.training.synthetic.material_lists import SPLITS as MATERIAL_SPLITS
from avsol_ros.training.synthetic.material_lists import find_material
from avsol_ros.training.synthetic.objects import CATEGORIES
from avsol_ros.training.synthetic.preset_names import PRESET_NAMES, REAL
from avsol_ros.training.synthetic.real_scenes import RealConfig
from avsol_ros.training.synthetic.rhythm import draw_onsets, render_beat
from avsol_ros.training.synthetic.sounds import noise, render_voice
from avsol_ros.training.synthetic.stage import Scene
from avsol_ros.workers import Failed, run_jobs

SPLITS = {'train': 0, 'val': 1, 'test': 2, 'demo': 3, 'visual': 4, 'audio': 5}
TRUTH_RATE = 10  # Hz, as AVSOL-E is annotated (section 3.2)
_CHUNK = 16  # scenes that a process takes at a time: fewer are not worth starting one
_CHUNK_S = 3600.0  # far more than they take
#: Presets whose scenes are drawn, from nothing but a seed.
PRESETS = {'clean': SceneConfig(), 'hard': HardConfig()}
Config = SceneConfig | HardConfig | RealConfig


def preset_config(name: str, material: str | Path | None = None) -> Config:
    """
    What scenes of a preset are made of.

    :param material: folder of real pictures and recordings; None: that of ``$AVSOL_MATERIAL``.
    """
    if name == REAL:
        return RealConfig(str(find_material(material)))
    if name not in PRESETS:
        raise AvsolError(f'there is no preset {name!r}; expected one of {", ".join(PRESET_NAMES)}')
    return PRESETS[name]


def split_config(config: Config, split: str) -> Config:
    """
    Settings for the scenes of a split: real ones are made of its own files.

    :param split: one of SPLITS. Those that a folder has not take its files for testing.
    """
    if not isinstance(config, RealConfig):
        return config
    config = replace(config, split=split if split in MATERIAL_SPLITS else 'test')
    config.material.check_split(config.split)
    return config


@dataclass(frozen=True, eq=False)
class WindowSet:
    """
    :param frames: (n, T, size, size, 3) uint8 RGB.
    :param audio: (n, SAMPLE_RATE) int16 mono.
    :param labels: (n, C) uint8: category audible and visible in that second (weak label). Of
        hard scenes only the clip's main category, as AVE has it.
    :param scene: (n,) int64: which scene a window is from.
    :param truth: for each window, TRUTH_RATE lists of ``ObjectTruth`` in pixels of ``size``.
    :param facts: arrays (n, ...) by which results can be split, see :func:`window_facts`, and
        ``filling`` (bool): something in view sounds in a box of more than FILLING of the picture.
    """

    frames: np.ndarray
    audio: np.ndarray
    labels: np.ndarray
    scene: np.ndarray
    truth: list[list[list[ObjectTruth]]]
    facts: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.audio)


def _drawn_size(scene: Scene, size: int) -> tuple[int, int]:
    """Width and height, in the shape of the scene's camera, of the picture to squeeze."""
    width, height = np.round(size * 2 * np.sqrt([scene.aspect, 1 / scene.aspect])).astype(int)
    return int(width), int(height)


def draw_square(scene: Scene, time: float, size: int) -> np.ndarray:
    """
    Draw a scene squeezed into a square, as the model sees any camera.

    :returns: (size, size, 3) uint8 RGB.
    """
    picture = scene.draw(time, *_drawn_size(scene, size))
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)


def square_truth(scene: Scene, time: float, size: int) -> list[ObjectTruth]:
    """
    Tell what is in the picture that :func:`draw_square` draws.

    The boxes are taken in the picture before it is squeezed: a turned object that is squeezed is
    not a squeezed object that is turned.

    :returns: boxes in pixels of the square.
    """
    width, height = _drawn_size(scene, size)
    scale = np.array([size / width, size / height] * 2)
    return [
        replace(thing, box=thing.box and tuple(map(float, thing.box * scale)))
        for thing in scene.truth(time, width, height)
    ]


def _is_filled(scene: Scene, time: float) -> bool:
    """Whether something in view sounds in a box of more than FILLING of the picture."""
    width, height = _drawn_size(scene, 112)  # of any size, and always of the same
    boxes = [thing.box for thing in scene.truth(time, width, height) if thing.sounding]
    shares = [(b[2] - b[0]) * (b[3] - b[1]) / (width * height) for b in boxes if b]
    return max(shares, default=0.0) > FILLING


def _scene_windows(job) -> tuple:
    seed, split, index, seconds, config, size, frames = job
    cv2.setNumThreads(1)
    scene = config.plan(np.random.default_rng([seed, SPLITS[split], index, *config.key]))
    audio = np.round(scene.audio() * 32767).astype(np.int16).reshape(-1, SAMPLE_RATE)[seconds]
    targets = (np.arange(frames) + 0.5) / frames  # as WindowCutter chooses them
    pictures = np.stack(
        [[draw_square(scene, second + t, size) for t in targets] for second in seconds]
    )
    if config.degraded:
        # One lens, sensor and codec for all frames of a scene.
        way = [seed, SPLITS[split], index, *config.key, 1]
        pictures = np.stack(
            [[degrade(one, np.random.default_rng(way)) for one in row] for row in pictures]
        )
    categories = config.categories
    everything = np.array(
        [[c in scene.labels(second) for c in categories] for second in seconds], np.uint8
    )
    labels = everything
    if config.single_label:
        main = scene.main_category()
        labels = everything * np.array([c == main for c in categories], np.uint8)
    truth = [
        [square_truth(scene, second + (k + 0.5) / TRUTH_RATE, size) for k in range(TRUTH_RATE)]
        for second in seconds
    ]
    facts = [
        {
            'labels': full,
            'ambient_snr': np.float32(scene.ambient_snr(second)),
            'filling': _is_filled(scene, second + 0.5),
            **window_facts(frames),
        }
        for second, full, frames in zip(seconds, everything, truth)
    ]
    return pictures, audio, labels, truth, facts


def _each(function: Callable, jobs: Sequence, workers: int | None) -> Iterator:
    """
    Call a function with each job, in worker processes where there is enough to do.

    :returns: a generator of the results in the order of the jobs. Closing it ends the workers.
    """
    workers = min(workers or os.cpu_count() or 1, -(-len(jobs) // _CHUNK))
    if workers <= 1:
        yield from map(function, jobs)
        return
    chunks = [
        (function, number, jobs[start : start + _CHUNK])
        for number, start in enumerate(range(0, len(jobs), _CHUNK))
    ]
    early, turn = {}, 0  # results that came before those of an earlier chunk
    with closing(run_jobs(_do_chunk, chunks, workers, _CHUNK_S)) as found:
        for (_, number, _), results in found:
            if isinstance(results, Failed):
                raise AvsolError(f'scenes could not be rendered: {results.reason}')
            early[number] = results
            while turn in early:
                yield from early.pop(turn)
                turn += 1


def _do_chunk(function: Callable, number: int, jobs: Sequence) -> list:
    return list(map(function, jobs))


def _count_each(
    function: Callable,
    jobs: Sequence,
    workers: int | None,
    progress: OnCount,
    name: str,
    unit: str,
) -> list:
    """All results of :func:`_each`."""
    results = []
    with closing(_each(function, jobs, workers)) as each:
        for result in each:
            results.append(result)
            progress(name, len(results), len(jobs), unit)
    return results


def render_windows(
    split: str,
    windows: int,
    seed: int = 0,
    config: Config = SceneConfig(),
    size: int = 112,
    frames: int = 8,
    workers: int | None = None,
    apart: bool = False,
    progress: OnCount = count_nothing,
) -> WindowSet:
    """
    Render the first ``windows`` one-second windows of a split.

    :param config: of a preset, or settings of your own.
    :param apart: take one window from each scene, the first second of the first, the second of
        the next, and so on: independent samples, to measure on. Otherwise all of each scene.
    :param progress: told how many scenes are rendered.
    """
    if apart:
        chosen = [[index % config.seconds] for index in range(windows)]
    else:
        chosen = [list(range(config.seconds))] * -(-windows // config.seconds)
    config = split_config(config, split)
    jobs = [
        (seed, split, index, seconds, config, size, frames) for index, seconds in enumerate(chosen)
    ]
    name = f'rendering {split} scenes'
    pictures, audio, labels, truth, facts = zip(
        *_count_each(_scene_windows, jobs, workers, progress, name, 'scenes')
    )
    scene = np.repeat(np.arange(len(chosen)), [len(seconds) for seconds in chosen])
    return WindowSet(
        np.concatenate(pictures)[:windows],
        np.concatenate(audio)[:windows],
        np.concatenate(labels)[:windows],
        scene[:windows],
        [w for one in truth for w in one][:windows],
        _stacked([w for one in facts for w in one][:windows]),
    )


def render_seconds(
    split: str,
    windows: int,
    seed: int,
    config: Config,
    size: int,
    frames: int,
    first: int = 0,
    workers: int | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, int]]:
    """
    Render what :func:`render_windows` does, window by window: all of them may not fit in memory.

    :param first: window to begin at.
    :returns: a generator of the rows of ``WindowSet.frames``, ``audio``, ``labels`` and
        ``scene``. Closing it ends the worker processes.
    """
    config = split_config(config, split)
    begin, seconds = first // config.seconds, list(range(config.seconds))
    scenes = range(begin, -(-windows // config.seconds))
    jobs = [(seed, split, index, seconds, config, size, frames) for index in scenes]
    window = begin * config.seconds
    with closing(_each(_scene_windows, jobs, workers)) as rendered:
        for scene, (pictures, audio, labels, _, _) in zip(scenes, rendered):
            for row in zip(pictures, audio, labels):
                if first <= window < windows:
                    yield *row, scene
                window += 1


def _stacked(rows: list[dict]) -> dict[str, np.ndarray]:
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]} if rows else {}


def _single_pictures(job) -> tuple:
    seed, index, size, config = job
    cv2.setNumThreads(1)
    rng = np.random.default_rng([seed, SPLITS['visual'], index, *config.key])
    scene = config.plan(rng)
    picture = draw_square(scene, rng.random(), size)
    return degrade(picture, rng), CATEGORIES.index(scene.objects[0].category)


def degrade(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What lenses, sensors and codecs do: blur, noise, gain, JPEG blocks; uint8 in and out."""
    if rng.random() < 0.4:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 0.9))
    out = (picture - 128.0) * rng.uniform(0.6, 1.2) + 128 + rng.uniform(-30, 30)
    out += rng.normal(0, rng.uniform(0, 6), out.shape)
    out = np.clip(out, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = int(rng.integers(40, 95))
        out = cv2.imdecode(
            cv2.imencode('.jpg', out, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR
        )
    return out


_SINGLE = {
    'clean': SceneConfig(seconds=1, objects=(1, 1), area=(0.03, 0.3)),
    'hard': HardConfig(seconds=1, objects=(1, 1), area=(0.03, 0.3), p_empty=0, strangers=(0, 1)),
}


def _check_drawn(preset: str) -> None:
    if preset not in PRESETS:
        raise AvsolError(f'there is no preset {preset!r}; expected one of {", ".join(PRESETS)}')


def render_pictures(
    count: int,
    seed: int = 0,
    size: int = 112,
    workers: int | None = None,
    preset: str = 'clean',
    progress: OnCount = count_nothing,
):
    """
    Pictures of one object each, for pretraining by plain classification.

    :param preset: ``hard`` adds strokes, things of no category, shake and light.
    :param progress: told how many are rendered.
    :returns: (count, size, size, 3) uint8 RGB and (count,) int64 category indices.
    """
    _check_drawn(preset)
    jobs = [(seed, i, size, _SINGLE[preset]) for i in range(count)]
    pictures, labels = zip(
        *_count_each(_single_pictures, jobs, workers, progress, 'rendering pictures', 'pictures')
    )
    return np.stack(pictures), np.array(labels)


def _single_sound(job) -> tuple:
    seed, index, config = job
    rng = np.random.default_rng([seed, SPLITS['audio'], index, *config.key])
    label = int(rng.integers(len(CATEGORIES)))
    wave = (_beat_sound if isinstance(config, HardConfig) else _voice_sound)(rng, label, config)
    return np.round(np.clip(wave, -1, 1) * 32767).astype(np.int16), label


def _voice_sound(rng, label, config) -> np.ndarray:
    voiced = render_voice(CATEGORIES[label], rng.random(), 2.0, rng)
    start = int(rng.integers(0, SAMPLE_RATE // 2)) if rng.random() < 0.5 else 0
    wave = voiced.samples[start : start + SAMPLE_RATE] * 10 ** (rng.uniform(-16, -4) / 20)
    return wave + noise(rng, SAMPLE_RATE) * 10 ** (rng.uniform(-60, -30) / 20)


def _beat_sound(rng, label, config) -> np.ndarray:
    period = float(np.exp(rng.uniform(*np.log(config.period))))
    onsets = draw_onsets(rng, 2.0, period, 0.08)
    wave = render_beat(CATEGORIES[label], rng.random(), onsets, 2.0, rng).samples
    if rng.random() < config.p_room:
        wave = reverberate(wave, draw_room(rng))
    start = int(rng.integers(0, SAMPLE_RATE))
    wave = wave[start : start + SAMPLE_RATE] * 10 ** (rng.uniform(-16, -4) / 20)
    level = 10 ** (rng.uniform(*config.ambient_db) / 20)
    return wave + render_ambience(rng, SAMPLE_RATE) * level


def render_sounds(
    count: int,
    seed: int = 0,
    workers: int | None = None,
    preset: str = 'clean',
    progress: OnCount = count_nothing,
):
    """
    One-second sounds of one category each, for pretraining by plain classification.

    :param preset: ``hard`` has strokes, ambient sound and echo.
    :param progress: told how many are rendered.
    :returns: (count, SAMPLE_RATE) int16 and (count,) int64 category indices.
    """
    _check_drawn(preset)
    jobs = [(seed, i, PRESETS[preset]) for i in range(count)]
    sounds, labels = zip(
        *_count_each(_single_sound, jobs, workers, progress, 'rendering sounds', 'sounds')
    )
    return np.stack(sounds), np.array(labels)
