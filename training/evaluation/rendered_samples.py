"""Samples from synthetic scenes, whose truth is known."""

import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.progress import OnCount, count_nothing
from avsol_ros.streams.windows import AudioVisualWindow
from avsol_ros.training.annotations.model import FrameTruth
from avsol_ros.training.evaluation.samples import RECORDING_GAP_NS, Sample, Source, Truth
from avsol_ros.training.synthetic.objects import CATEGORIES
from avsol_ros.training.synthetic.window_set import (
    TRUTH_RATE,
    WindowSet,
    preset_config,
    render_windows,
)


class SyntheticSource(Source):
    """
    Windows rendered from scenes, each from a scene of its own.

    :param preset: of ``window_set.PRESETS``.
    """

    recordings = False

    def __init__(
        self, preset: str = 'clean', split: str = 'test', windows: int = 500, seed: int = 0
    ):
        self._config = preset_config(preset)
        self._split, self._windows, self._seed = split, windows, seed
        self._rendered: dict[tuple[int, int], RenderedSamples] = {}
        self.categories = CATEGORIES
        self.about = {
            'Data': f'synthetic scenes, preset {preset}',
            'Split': split,
            'Windows': f'{windows}, each from a scene of its own',
            'Seed of the scenes': str(seed),
        }

    def samples(
        self, frames: int, size: int, progress: OnCount = count_nothing
    ) -> 'RenderedSamples':
        key = frames, size
        if key not in self._rendered:
            windows = render_windows(
                self._split,
                self._windows,
                self._seed,
                self._config,
                size=size,
                frames=frames,
                apart=True,
                progress=progress,
            )
            self._rendered[key] = RenderedSamples(windows, self._split)
        return self._rendered[key]


class RenderedSamples:
    """A rendered set; its windows count as recordings of their own."""

    def __init__(self, windows: WindowSet, split: str = ''):
        self._windows, self._split = windows, split

    def __len__(self) -> int:
        return len(self._windows)

    def name(self, index: int) -> str:
        return f'{self._split} scene {self._windows.scene[index]}'.strip()

    def sound(self, index: int) -> np.ndarray:
        return self._windows.audio[index] / np.float32(32768)

    def __getitem__(self, index: int) -> Sample:
        pictures = self._windows.frames[index]
        step = NANOSECONDS // len(pictures)
        start = index * RECORDING_GAP_NS
        window = AudioVisualWindow(
            start,
            start + NANOSECONDS,
            tuple(pictures),
            tuple(range(start + step // 2, start + NANOSECONDS, step))[: len(pictures)],
            self.sound(index),
            0,
        )
        truth = tuple(
            FrameTruth((k + 0.5) / TRUTH_RATE, tuple(objects))
            for k, objects in enumerate(self._windows.truth[index])
        )
        return Sample(
            window,
            Truth(self.name(index), index, 0.0, truth, (pictures.shape[2], pictures.shape[1])),
        )
