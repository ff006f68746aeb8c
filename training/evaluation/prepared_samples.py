"""Samples from prepared clips: the seconds for which there are annotations."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.progress import OnCount, count_nothing
from avsol_ros.training.annotations.annotation_files import read_annotations
from avsol_ros.training.annotations.model import Annotation, FrameTruth, share_categories
from avsol_ros.training.datasets.prepared import PreparedAve
from avsol_ros.training.datasets.prepared_clip import Clip
from avsol_ros.training.evaluation.samples import RECORDING_GAP_NS, Sample, Samples, Source, Truth
from avsol_ros.training.evaluation.wording import counted

_OPEN_CLIPS = 512  # AVE's test split has 402; a clip is about 1 MB once it is cut
_ASPECT_ERROR = 0.05


class PreparedSource(Source):
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
        annotated = _annotated_seconds(self._data, shared)
        if not annotated:
            raise AvsolError(
                f'{annotations} annotates {counted(len(shared), "video")}, and none of them is '
                f'among the {len(self._data.entries)} of the split {split} of {folder}; expected '
                f'names as {self._data.entries[0].annotation.video}.mp4'
            )
        self._places, chosen = annotated, ''
        if windows is not None and windows < len(annotated):
            self._places = _draw(annotated, windows, np.random.default_rng(seed))
            chosen = f' of {len(annotated)}, clips drawn with seed {seed}'
        films = {entry.annotation.video for entry in self._data.entries}
        clips = len({place.video for place in self._places})
        self.about = {
            'Data': Path(folder).name,
            'Annotations': Path(annotations).name,
            'Split': split,
            'Windows': f'{len(self._places)}{chosen}, from {counted(clips, "clip")}',
            'Clips without annotations': str(len(films - {place.video for place in annotated})),
            'Lines without a usable film': str(sum(self._data.left_out.values())),
        }

    def samples(self, frames: int, size: int, progress: OnCount = count_nothing) -> Samples:
        return _PreparedSamples(self._data, self._places, frames)


@dataclass(frozen=True, eq=False)
class _Place:
    """An annotated second of a clip; ``recording`` counts the clips."""

    segment: int
    second: int
    video: str
    recording: int
    annotation: Annotation
    frames: tuple[FrameTruth, ...]


def _annotated_seconds(data: PreparedAve, annotations: Sequence[Annotation]) -> list[_Place]:
    """The seconds of prepared clips in which an annotation has a frame."""
    by_video = {Path(a.video).stem: a for a in annotations} | {a.video: a for a in annotations}
    places, videos = [], {}
    for segment, (entry, second) in enumerate(data.segments.tolist()):
        video = data.entries[entry].annotation.video
        annotation = by_video.get(f'{video}.mp4') or by_video.get(video)
        if annotation is None:
            continue
        frames = annotation.between(second * NANOSECONDS, (second + 1) * NANOSECONDS)
        if frames:
            recording = videos.setdefault(video, len(videos))
            places.append(_Place(segment, second, video, recording, annotation, frames))
    return places


def _draw(places: list[_Place], count: int, rng: np.random.Generator) -> list[_Place]:
    """Whole clips, drawn at random, until there are enough windows; in their old order."""
    by_recording = {}
    for place in places:
        by_recording.setdefault(place.recording, []).append(place)
    clips = list(by_recording.values())
    drawn = [place for index in rng.permutation(len(clips)) for place in clips[index]][:count]
    return sorted(drawn, key=lambda place: (place.recording, place.second))


class _PreparedSamples:
    """Windows cut from prepared clips, at given places."""

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
        shift = place.recording * RECORDING_GAP_NS
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
