"""
Sets of one-second windows rendered from synthetic scenes, held in memory.

A set is named by its split and seed: scene ``i`` of split ``s`` with seed ``n`` is drawn from
``numpy.random.default_rng([n, s, i])``, so splits never share a scene and two machines get the
same pixels.
"""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from avsol_ros.audio import SAMPLE_RATE
from avsol_ros.training.objects import CATEGORIES
from avsol_ros.training.scenes import Scene, SceneConfig, TruthObject, plan_scene
from avsol_ros.training.sounds import noise, render_voice

SPLITS = {'train': 0, 'val': 1, 'test': 2, 'demo': 3, 'visual': 4, 'audio': 5}
TRUTH_RATE = 10  # Hz, as AVSOL-E is annotated (section 3.2)


@dataclass(frozen=True, eq=False)
class WindowSet:
    """
    :param frames: (n, T, size, size, 3) uint8 RGB.
    :param audio: (n, SAMPLE_RATE) int16 mono.
    :param labels: (n, C) uint8: category audible and visible in that second (weak label).
    :param scene: (n,) int64: which scene a window is from.
    :param truth: for each window, TRUTH_RATE lists of ``TruthObject`` in pixels of ``size``.
    """

    frames: np.ndarray
    audio: np.ndarray
    labels: np.ndarray
    scene: np.ndarray
    truth: list[list[list[TruthObject]]]

    def __len__(self) -> int:
        return len(self.audio)


def draw_square(scene: Scene, time: float, size: int) -> np.ndarray:
    """
    A scene's picture squeezed into a square, as the model sees any camera.

    :returns: (size, size, 3) uint8 RGB.
    """
    width, height = np.round(size * 2 * np.sqrt([scene.aspect, 1 / scene.aspect])).astype(int)
    return cv2.resize(scene.draw(time, int(width), int(height)), (size, size),
                      interpolation=cv2.INTER_AREA)


def _scene_windows(job) -> tuple:
    seed, split, index, seconds, config, size, frames = job
    cv2.setNumThreads(1)
    scene = plan_scene(np.random.default_rng([seed, SPLITS[split], index]), config)
    audio = np.round(scene.audio() * 32767).astype(np.int16).reshape(-1, SAMPLE_RATE)[seconds]
    targets = (np.arange(frames) + 0.5) / frames  # as WindowCutter chooses them
    pictures = np.stack([[draw_square(scene, second + t, size) for t in targets]
                         for second in seconds])
    labels = np.array([[c in scene.labels(second) for c in CATEGORIES]
                       for second in seconds], np.uint8)
    truth = [[scene.truth(second + (k + 0.5) / TRUTH_RATE, size, size)
              for k in range(TRUTH_RATE)] for second in seconds]
    return pictures, audio, labels, truth


def _map(function, jobs, workers):
    workers = min(workers or os.cpu_count() or 1, len(jobs))
    if workers <= 1:
        return list(map(function, jobs))
    # Not fork: torch and OpenCV may already run threads in this process.
    with ProcessPoolExecutor(workers, multiprocessing.get_context('forkserver')) as pool:
        return list(pool.map(function, jobs, chunksize=16))


def render_windows(split: str, windows: int, seed: int = 0, config: SceneConfig = SceneConfig(),
                   size: int = 112, frames: int = 8, workers: int | None = None,
                   apart: bool = False) -> WindowSet:
    """
    Render the first ``windows`` one-second windows of a split.

    :param apart: take one window from each scene, the first second of the first, the second of
        the next, and so on: independent samples, to measure on. Otherwise all of each scene.
    """
    if apart:
        chosen = [[index % config.seconds] for index in range(windows)]
    else:
        chosen = [list(range(config.seconds))] * -(-windows // config.seconds)
    jobs = [(seed, split, index, seconds, config, size, frames)
            for index, seconds in enumerate(chosen)]
    pictures, audio, labels, truth = zip(*_map(_scene_windows, jobs, workers))
    scene = np.repeat(np.arange(len(chosen)), [len(seconds) for seconds in chosen])
    return WindowSet(np.concatenate(pictures)[:windows], np.concatenate(audio)[:windows],
                     np.concatenate(labels)[:windows], scene[:windows],
                     [w for one in truth for w in one][:windows])


def _single_pictures(job) -> tuple:
    seed, index, size = job
    cv2.setNumThreads(1)
    rng = np.random.default_rng([seed, SPLITS['visual'], index])
    scene = plan_scene(rng, SceneConfig(seconds=1, objects=(1, 1), area=(0.03, 0.3)))
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
        out = cv2.imdecode(cv2.imencode('.jpg', out, [cv2.IMWRITE_JPEG_QUALITY, quality])[1],
                           cv2.IMREAD_COLOR)
    return out


def render_pictures(count: int, seed: int = 0, size: int = 112, workers: int | None = None):
    """
    Pictures of one object each, for pretraining by plain classification.

    :returns: (count, size, size, 3) uint8 RGB and (count,) int64 category indices.
    """
    pictures, labels = zip(*_map(_single_pictures, [(seed, i, size) for i in range(count)],
                                 workers))
    return np.stack(pictures), np.array(labels)


def _single_sound(job) -> tuple:
    seed, index = job
    rng = np.random.default_rng([seed, SPLITS['audio'], index])
    label = int(rng.integers(len(CATEGORIES)))
    voiced = render_voice(CATEGORIES[label], rng.random(), 2.0, rng)
    start = int(rng.integers(0, SAMPLE_RATE // 2)) if rng.random() < 0.5 else 0
    wave = voiced.samples[start:start + SAMPLE_RATE] * 10 ** (rng.uniform(-16, -4) / 20)
    wave = wave + noise(rng, SAMPLE_RATE) * 10 ** (rng.uniform(-60, -30) / 20)
    return np.round(np.clip(wave, -1, 1) * 32767).astype(np.int16), label


def render_sounds(count: int, seed: int = 0, workers: int | None = None):
    """
    One-second sounds of one category each, for pretraining by plain classification.

    :returns: (count, SAMPLE_RATE) int16 and (count,) int64 category indices.
    """
    sounds, labels = zip(*_map(_single_sound, [(seed, i) for i in range(count)], workers))
    return np.stack(sounds), np.array(labels)
