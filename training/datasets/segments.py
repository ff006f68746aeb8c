"""
Where seconds to learn from come from: rendered scenes, or films that ``avsol prepare`` has read.

Both give the same: segments of one second, each with frames, sound, the weak labels of section
5.1 and the clip that it is from. Segments of one clip follow each other in time.
"""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from avsol_ros.inference.square_frames import square_frames
from avsol_ros.progress import OnCount, count_nothing
from avsol_ros.training.datasets.augment import augment, augmentation_rng
from avsol_ros.training.datasets.ave import SECONDS
from avsol_ros.training.datasets.named_data import MANIFEST, check_data
from avsol_ros.training.datasets.prepared import PreparedAve
from avsol_ros.training.synthetic import (
    ambience,
    category_names,
    clean_scenes,
    hard_scenes,
    material,
    material_lists,
    objects,
    real_scenes,
    rhythm,
    sounds,
    stage,
    window_set,
)
from avsol_ros.training.synthetic.preset_names import PRESET_NAMES, REAL
from avsol_ros.training.synthetic.real_scenes import RealConfig
from avsol_ros.training.synthetic.window_set import (
    WindowSet,
    preset_config,
    render_seconds,
    render_windows,
)

_DRAWING = (ambience, clean_scenes, hard_scenes, objects, rhythm, sounds, stage, window_set)
_COMPOSING = (category_names, material, material_lists, real_scenes)


def drawing_code() -> bytes:
    """Source of all that draws scenes and their sounds: what it made is kept while it is alike."""
    return _code(_DRAWING)


def _code(modules: tuple) -> bytes:
    return b''.join(Path(module.__file__).read_bytes() for module in modules)


@dataclass(frozen=True, eq=False)
class Segment:
    """
    One segment as encoders take it.

    :param frames: (T, S, S, 3) uint8 RGB; None where nobody asked.
    :param audio: (16000,) float32, -1 to 1.
    :param labels: (C,) uint8.
    :param clip: that it is from.
    """

    frames: np.ndarray | None
    audio: np.ndarray
    labels: np.ndarray
    clip: int


@dataclass(frozen=True, eq=False)
class Sample:
    """
    One segment as people look at it.

    :param frames: (T, S, S, 3) uint8 RGB.
    :param audio: (16000,) float32, -1 to 1.
    :param truth: annotated objects in the middle frame, as ``draw_localization`` takes them.
    """

    frames: np.ndarray
    audio: np.ndarray
    truth: list[dict]


class SyntheticSegments:
    """
    The first windows of a split of synthetic scenes, rendered when first needed.

    :param preset: ``clean``, ``hard`` or ``real``.
    :param size: side of the frames, pixels; ``frames`` per segment.
    :param material: folder of real scenes; None: that of ``$AVSOL_MATERIAL``.
    """

    augmented = False  # more scenes can be had where crops would serve

    def __init__(
        self,
        preset: str,
        split: str,
        windows: int,
        seed: int,
        size: int,
        frames: int,
        material: str | Path | None = None,
    ):
        self.config = preset_config(preset, material)
        self.classes = self.config.categories
        self.seconds = self.config.seconds
        self.split, self.windows, self.seed = split, windows, seed
        self.size, self.count = size, frames
        kind = 'scenes of real things' if preset == REAL else f'{preset} synthetic scenes'
        self.about = f'{windows} windows of {kind}, split {split}, seed {seed}'

    def __len__(self) -> int:
        return self.windows

    @property
    def key(self) -> str:
        """Text that differs wherever pixels or samples would, drawing code included."""
        code = drawing_code()
        if isinstance(self.config, RealConfig):
            folder = Path(self.config.folder)
            lists = (material_lists.MANIFEST, material_lists.SPLIT)
            code += _code(_COMPOSING) + b''.join((folder / one).read_bytes() for one in lists)
        return (
            f'{self.about} {self.config} {self.size} {self.count} '
            f'{hashlib.sha256(code).hexdigest()}'
        )

    @cached_property
    def rendered(self) -> WindowSet:
        return self._render(self.windows)

    def _render(self, windows: int, progress: OnCount = count_nothing) -> WindowSet:
        shape = self.config, self.size, self.count
        return render_windows(self.split, windows, self.seed, *shape, progress=progress)

    def make(self, progress: OnCount = count_nothing) -> None:
        """Render all now, where that is not done yet. :param progress: told how many scenes."""
        if 'rendered' not in self.__dict__:
            self.__dict__['rendered'] = self._render(self.windows, progress)

    def stream(self, first: int = 0, frames: bool = True) -> Iterator[Segment]:
        """
        All segments in their order, without keeping them in memory.

        :param first: index to begin at.
        :param frames: whether pictures are wanted. Without, all is rendered and kept: they will
            be wanted later.
        """
        if not frames or 'rendered' in self.__dict__:
            for index in range(first, self.windows):
                pictures, audio = self.read(index)
                labels, clip = self.labels[index], int(self.clips[index])
                yield Segment(pictures if frames else None, audio, labels, clip)
            return
        shape = self.config, self.size, self.count
        with closing(
            render_seconds(self.split, self.windows, self.seed, *shape, first)
        ) as rendered:
            for pictures, sound, labels, clip in rendered:
                yield Segment(pictures, sound / np.float32(32768), labels, clip)

    def forget(self) -> None:
        """Free what was rendered."""
        self.__dict__.pop('rendered', None)

    @property
    def labels(self) -> np.ndarray:
        """(n, C) uint8."""
        return self.rendered.labels

    @property
    def clips(self) -> np.ndarray:
        """(n,) int64."""
        return self.rendered.scene

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Frames (T, S, S, 3) uint8 and sound (16000,) float32."""
        return self.rendered.frames[index], self.rendered.audio[index] / np.float32(32768)

    def sound(self, index: int) -> np.ndarray:
        return self.read(index)[1]

    def augmented_frames(self, index: int, seed: int, epoch: int) -> np.ndarray:
        """Frames (T, S, S, 3) uint8, flipped and cropped by chance."""
        return augment(self.read(index)[0], self.size, augmentation_rng(seed, epoch, index))

    def samples(self, indices: list[int]) -> list[Sample]:
        """Only the scenes up to the last index are rendered for it."""
        if not indices:
            return []
        shown = self.__dict__.get('rendered') or self._render(max(indices) + 1)
        return [
            Sample(
                shown.frames[i],
                shown.audio[i] / np.float32(32768),
                [asdict(thing) for thing in shown.truth[i][len(shown.truth[i]) // 2]],
            )
            for i in indices
        ]


class AveSegments:
    """A split of a prepared AVE folder."""

    augmented = True  # section 5.1
    seconds = SECONDS

    def __init__(self, folder: str | Path, split: str, size: int, frames: int):
        self.ave = PreparedAve(folder, split)
        self.classes = self.ave.categories
        self.size, self.count = size, frames
        self.about = f'{len(self)} seconds of the AVE dataset, split {split}'

    def __len__(self) -> int:
        return len(self.ave.segments)

    @property
    def key(self) -> str:
        """Text that differs wherever pixels, samples or labels would."""
        digest = hashlib.sha256((self.ave.folder / MANIFEST).read_bytes())
        # The lists may be corrected while the films stay as they are.
        digest.update(repr([entry.annotation.video for entry in self.ave.entries]).encode())
        digest.update(self.labels.tobytes())
        return f'{self.about} {self.size} {self.count} {digest.hexdigest()}'

    @property
    def labels(self) -> np.ndarray:
        return self.ave.segment_labels

    @property
    def clips(self) -> np.ndarray:
        return self.ave.segments[:, 0]

    def make(self, progress: OnCount = count_nothing) -> None:
        """Films are read when asked for; there is nothing to render."""

    def stream(self, first: int = 0, frames: bool = True) -> Iterator[Segment]:
        """All segments in their order. :param first: index to begin at."""
        for index in range(first, len(self)):
            pictures, audio = self.read(index) if frames else (None, self.sound(index))
            yield Segment(pictures, audio, self.labels[index], int(self.clips[index]))

    def forget(self) -> None:
        """Films are read when asked for; there is nothing to free."""

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        window = self.ave.window(index, self.count)
        squares = square_frames(window.frames, self.size)
        frames = squares.mul(255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
        return frames, window.audio

    def sound(self, index: int) -> np.ndarray:
        return self.ave.window(index, 1).audio

    def augmented_frames(self, index: int, seed: int, epoch: int) -> np.ndarray:
        return augment(
            self.ave.window(index, self.count).frames,
            self.size,
            augmentation_rng(seed, epoch, index),
        )

    def samples(self, indices: list[int]) -> list[Sample]:
        return [Sample(*self.read(i), []) for i in indices]


def open_segments(
    data: str,
    size: int,
    frames: int,
    windows: int,
    validation: int,
    seed: int = 0,
    material: str | Path | None = None,
):
    """
    Data to train on, and to choose the best model by (section 5.2).

    :param data: a preset of synthetic scenes, or a folder that ``avsol prepare`` has written.
    :param windows: training windows to render; ``validation`` likewise. AVE is taken whole.
    :param material: folder of real scenes; None: that of ``$AVSOL_MATERIAL``.
    :returns: segments of the splits train and val.
    """
    if data in PRESET_NAMES:
        return (
            SyntheticSegments(data, 'train', windows, seed, size, frames, material),
            SyntheticSegments(data, 'val', validation, seed, size, frames, material),
        )
    check_data(data)
    return (AveSegments(data, 'train', size, frames), AveSegments(data, 'val', size, frames))
