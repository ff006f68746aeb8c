"""Samples from synthetic scenes, whose truth is known."""

from pathlib import Path

import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.progress import OnCount, count_nothing
from avsol_ros.streams.windows import AudioVisualWindow
from avsol_ros.training.annotations.model import FrameTruth
from avsol_ros.training.annotations.window_truth import FILLING
from avsol_ros.training.evaluation.samples import RECORDING_GAP_NS, Sample, Source, Truth
from avsol_ros.training.synthetic.preset_names import REAL
from avsol_ros.training.synthetic.window_set import (
    TRUTH_RATE,
    WindowSet,
    preset_config,
    render_windows,
)


class SyntheticSource(Source):
    """
    Windows rendered from scenes, each from a scene of its own.

    Of real scenes those are left out in which what sounds has a box of more than FILLING of the
    picture: whole photographs, and things seen from near. Any map is right there.

    :param preset: see ``preset_names``.
    :param windows: how many are rendered.
    :param material: folder of real scenes; None: that of ``$AVSOL_MATERIAL``.
    """

    recordings = False

    def __init__(
        self,
        preset: str = 'clean',
        split: str = 'test',
        windows: int = 500,
        seed: int = 0,
        material: str | Path | None = None,
    ):
        self._config = preset_config(preset, material)
        self._split, self._windows, self._seed = split, windows, seed
        self._rendered: dict[tuple[int, int], RenderedSamples] = {}
        self.categories = self._config.categories
        self.about = {
            'Data': f'synthetic scenes, preset {preset}',
            'Split': split,
            'Windows': f'{windows}, each from a scene of its own',
            'Seed of the scenes': str(seed),
        }
        if preset == REAL:
            self.about['Data'] = f'scenes of real things, {len(self.categories)} categories'
            self.about['Left out'] = (
                f'windows in which a box of what sounds is over {FILLING:.0%} of the picture'
            )

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
            taken = np.flatnonzero(~windows.facts['filling'])
            self._rendered[key] = RenderedSamples(windows, self._split, taken)
        return self._rendered[key]


class RenderedSamples:
    """
    A rendered set; its windows count as recordings of their own.

    :param taken: indices of those that are taken; None of all.
    """

    def __init__(self, windows: WindowSet, split: str = '', taken: np.ndarray | None = None):
        self._windows, self._split = windows, split
        self._taken = np.arange(len(windows)) if taken is None else taken

    def __len__(self) -> int:
        return len(self._taken)

    def name(self, index: int) -> str:
        return f'{self._split} scene {self._windows.scene[self._taken[index]]}'.strip()

    def sound(self, index: int) -> np.ndarray:
        return self._windows.audio[self._taken[index]] / np.float32(32768)

    def __getitem__(self, index: int) -> Sample:
        pictures = self._windows.frames[self._taken[index]]
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
            for k, objects in enumerate(self._windows.truth[self._taken[index]])
        )
        return Sample(
            window,
            Truth(self.name(index), index, 0.0, truth, (pictures.shape[2], pictures.shape[1])),
        )
