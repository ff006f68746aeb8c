"""
What models are scored on: windows with the truth of their frames, synthetic or real.

Both kinds look the same to whoever scores: a source has categories and gives, for the frames and
the size that a model takes, a sequence of ``Sample``. Windows come recording by recording and in
the order of time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.streams.windows import AudioVisualWindow
from avsol_ros.training.annotations.files import read_annotations
from avsol_ros.training.annotations.model import Annotation, FrameTruth, share_categories
from avsol_ros.training.datasets.prepared import PreparedAve
from avsol_ros.training.datasets.prepared_clip import Clip
from avsol_ros.training.synthetic.objects import CATEGORIES
from avsol_ros.training.synthetic.window_set import (
    LABELLED,
    PRESETS,
    TRUTH_RATE,
    WindowSet,
    preset_config,
    render_windows,
    window_facts,
)

_GAP_NS = 3600 * NANOSECONDS  # between two recordings: no model's context reaches over it
_OPEN_CLIPS = 512  # AVE's test split has 402; a clip is about 1 MB once it is cut
_ASPECT_ERROR = 0.05


@dataclass(frozen=True, eq=False)
class Truth:
    """
    What is known of a window.

    :param name: of the window, for people.
    :param recording: number of the scene or clip that it is from.
    :param start: seconds in the recording at which it begins.
    :param frames: truth of its moments, their times those in the recording.
    :param size: width and height of the picture in which the boxes are given.
    :ivar labels: categories that sound in view for at least ``LABELLED`` of the window.
    :ivar facts: see ``window_facts``.
    """

    name: str
    recording: int
    start: float
    frames: tuple[FrameTruth, ...]
    size: tuple[float, float]
    labels: frozenset[str] = field(init=False)
    facts: dict = field(init=False)

    def __post_init__(self):
        heard = [{o.category for o in frame.sounding} for frame in self.frames]
        object.__setattr__(
            self,
            'labels',
            frozenset(
                name
                for name in set().union(*heard)
                if sum(name in here for here in heard) >= LABELLED * len(heard)
            ),
        )
        object.__setattr__(self, 'facts', window_facts([frame.objects for frame in self.frames]))


@dataclass(frozen=True, eq=False)
class Sample:
    """
    A window and its truth.

    :param window: its times are later than in the recording by an hour for each recording
        before, so that models with context see only their own past.
    """

    window: AudioVisualWindow
    truth: Truth


class Samples(Protocol):
    """Windows as one model takes them, in a fixed order; reading one may fail."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def name(self, index: int) -> str:
        """Name of a sample, without reading it."""

    def sound(self, index: int) -> np.ndarray:
        """Sound of a sample: (16000,) float32."""


class Source(Protocol):
    """
    Something to score on.

    :ivar about: what it is, for people: heading -> text.
    :ivar recordings: whether windows follow each other in time.
    """

    categories: tuple[str, ...]
    about: dict[str, str]
    recordings: bool

    def samples(self, frames: int, size: int) -> Samples: ...


class SyntheticSource:
    """
    Windows rendered from scenes, each from a scene of its own.

    :param preset: of ``windowset.PRESETS``.
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

    def samples(self, frames: int, size: int) -> 'Samples':
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
        start = index * _GAP_NS
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


class PreparedSource:
    """
    The annotated seconds of a prepared folder.

    :param folder: what ``avsol prepare`` wrote.
    :param annotations: file or folder of boxes; videos and seconds without are left out.
    :param split: train, val or test.
    :param windows: how many at most, of clips drawn by ``seed``; None for all.
    """

    recordings = True

    def __init__(
        self,
        folder: str | Path,
        annotations: str | Path,
        split: str = 'test',
        windows: int | None = None,
        seed: int = 0,
    ):
        self._data = PreparedAve(folder, split)
        shared = share_categories(read_annotations(annotations))
        self.categories = shared[0].categories if shared else ()
        by_video = {Path(a.video).stem: a for a in shared} | {a.video: a for a in shared}
        places, videos = [], {}
        for segment, (entry, second) in enumerate(self._data.segments.tolist()):
            video = self._data.entries[entry].annotation.video
            annotation = by_video.get(f'{video}.mp4') or by_video.get(video)
            frames = annotation and annotation.between(
                second * NANOSECONDS, (second + 1) * NANOSECONDS
            )
            if frames:
                recording = videos.setdefault(video, len(videos))
                places.append(_Place(segment, second, video, recording, annotation, frames))
        if not places:
            raise AvsolError(
                f'{annotations} annotates {len(shared)} video(s), and none of them is among the '
                f'{len(self._data.entries)} of the split {split} of {folder}; expected names as '
                f'{self._data.entries[0].annotation.video}.mp4'
            )
        total = len(places)
        if windows is not None and windows < total:
            places = _draw(places, windows, np.random.default_rng(seed))
        self._places = places
        films = {entry.annotation.video for entry in self._data.entries}
        chosen = '' if len(places) == total else f' of {total}, clips drawn with seed {seed}'
        self.about = {
            'Data': Path(folder).name,
            'Annotations': Path(annotations).name,
            'Split': split,
            'Windows': f'{len(places)}{chosen}, from {len({p.video for p in places})} clips',
            'Clips without annotations': str(len(films) - len(videos)),
            'Lines without a usable film': str(sum(self._data.left_out.values())),
        }

    def samples(self, frames: int, size: int) -> 'Samples':
        return _Cut(self._data, self._places, frames)


@dataclass(frozen=True, eq=False)
class _Place:
    segment: int
    second: int
    video: str
    recording: int
    annotation: Annotation
    frames: tuple[FrameTruth, ...]


def _draw(places: list[_Place], count: int, rng: np.random.Generator) -> list[_Place]:
    """Whole clips, drawn at random, until there are enough windows; in their old order."""
    by_recording = {}
    for place in places:
        by_recording.setdefault(place.recording, []).append(place)
    clips = list(by_recording.values())
    drawn = [place for index in rng.permutation(len(clips)) for place in clips[index]][:count]
    return sorted(drawn, key=lambda place: (place.recording, place.second))


class _Cut:
    def __init__(self, data: PreparedAve, places: Sequence[_Place], frames: int):
        self._data, self._places, self._frames = data, places, frames
        self._clip = lru_cache(_OPEN_CLIPS)(Clip.open)

    def __len__(self) -> int:
        return len(self._places)

    def name(self, index: int) -> str:
        place = self._places[index]
        return f'{place.video}, {place.second} to {place.second + 1} s'

    def _open(self, index: int) -> Clip:
        return self._clip(
            self._data.entries[self._data.segments[self._places[index].segment, 0]].path
        )

    def sound(self, index: int) -> np.ndarray:
        # With one frame: of that the others are not decoded.
        window = self._open(index).window(self._places[index].second, 1)
        if window is None:
            raise AvsolError(f'{self.name(index)} has no sound; run avsol prepare again')
        return window.audio

    def __getitem__(self, index: int) -> Sample:
        place = self._places[index]
        clip = self._open(index)
        size = place.annotation.width, place.annotation.height
        if abs(size[0] / size[1] * clip.size[1] / clip.size[0] - 1) > _ASPECT_ERROR:
            raise AvsolError(
                f'{place.video} is {clip.size[0]} x {clip.size[1]} pixels, and '
                f'annotated as {size[0]} x {size[1]}; expected boxes in its upright '
                'picture'
            )
        window = clip.window(place.second, self._frames)
        if window is None:
            raise AvsolError(
                f'{clip.path} has no window at {place.second} s, unlike its manifest '
                'says; run avsol prepare again'
            )
        shift = place.recording * _GAP_NS
        window = replace(
            window,
            start_ns=window.start_ns + shift,
            end_ns=window.end_ns + shift,
            frame_stamps_ns=tuple(t + shift for t in window.frame_stamps_ns),
        )
        return Sample(
            window,
            Truth(self.name(index), place.recording, float(place.second), place.frames, size),
        )


def open_source(
    data: str = 'clean',
    annotations: str | Path | None = None,
    split: str = 'test',
    windows: int | None = None,
    seed: int = 0,
) -> Source:
    """
    What ``avsol evaluate`` calls data.

    :param data: a preset of synthetic scenes, or a prepared folder.
    :param windows: None: 500 synthetic ones, all of a folder.
    """
    if data in PRESETS:
        if annotations is not None:
            raise AvsolError(
                f'--annotations goes with --data FOLDER; {data!r} are synthetic '
                'scenes, whose truth is known'
            )
        return SyntheticSource(data, split, windows or 500, seed)
    if not Path(data).is_dir():
        raise AvsolError(
            f'--data is {str(data)!r}; expected {", ".join(PRESETS)} or a folder '
            'that avsol prepare has written'
        )
    if annotations is None:
        raise AvsolError(
            f'{data} needs --annotations: AVE itself has no boxes; give a file or '
            'folder that avsol annotations check accepts'
        )
    return PreparedSource(data, annotations, split, windows, seed)
