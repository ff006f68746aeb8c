"""The truth of clips: the annotation of a whole recording, cut into one for each clip."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.training.annotations.model import Annotation, FrameTruth
from avsol_ros.training.annotations.problems import (
    TIME_FAULTS,
    Fault,
    Place,
    Problem,
    find_problems,
)
from avsol_ros.training.convert.records import clip_record, read_record
from avsol_ros.training.datasets.ave import SECONDS

_GRID = 10.0  # frames per second, where the times of the truth are not regular


@dataclass(frozen=True)
class ClipTruth:
    """
    The truth of the clips of a recording.

    :param annotations: in which nothing is wrong.
    :param problems: of the other clips, the first of each.
    :param own_times: whether the frames are those of the recording. Otherwise each is the nearest
        of them to a moment of a grid of 10 per second.
    """

    annotations: list[Annotation] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    own_times: bool = True


class _Timeline:
    """The truth of a recording: its frames, found by their stamps."""

    def __init__(self, truth: Sequence[tuple[int, FrameTruth]]):
        self.stamps = np.array([stamp for stamp, _ in truth])
        self.frames = [frame for _, frame in truth]

    @cached_property
    def rate(self) -> float:
        """Frames per second; a whole number where it is close to one."""
        if len(self.stamps) < 2:
            return _GRID
        rate = NANOSECONDS / float(np.median(np.diff(self.stamps)))
        return round(rate) if abs(rate / max(round(rate), 1) - 1) < 0.01 else rate

    @cached_property
    def categories(self) -> list[str]:
        """All that occur."""
        return sorted({o.category for frame in self.frames for o in frame.objects if o.category})

    def between(self, start_ns: int, end_ns: int) -> tuple[FrameTruth, ...]:
        """Frames in ``[start_ns, end_ns)``; their times count from ``start_ns``."""
        first, end = np.searchsorted(self.stamps, [start_ns, end_ns])
        return tuple(
            replace(self.frames[k], time=int(self.stamps[k] - start_ns) / NANOSECONDS)
            for k in range(first, end)
        )

    def on_grid(self, start_ns: int, duration: float) -> tuple[FrameTruth, ...] | None:
        """
        The nearest frame for each moment of a regular grid.

        :param duration: seconds.
        :returns: None where a moment has no frame near it.
        """
        period_ns = NANOSECONDS / _GRID
        gaps = np.diff(self.stamps)
        near_ns = max(period_ns / 2, 0.75 * float(np.median(gaps)) if len(gaps) else 0)
        frames = []
        for index in range(int(np.ceil(duration * _GRID - 1e-6))):
            moment = start_ns + index * period_ns
            after = int(np.searchsorted(self.stamps, moment))
            nearest = min(
                range(max(after - 1, 0), min(after + 1, len(self.stamps))),
                key=lambda k: abs(self.stamps[k] - moment),
            )
            if abs(self.stamps[nearest] - moment) > near_ns:
                return None
            frames.append(replace(self.frames[nearest], time=index / _GRID))
        return tuple(frames)


def annotate_clips(
    folder: Path, clips: Sequence[str], truth: Sequence[tuple[int, FrameTruth]], about: Mapping
) -> ClipTruth:
    """
    Cut the truth of a recording into that of its clips.

    :param folder: of the dataset.
    :param truth: stamps in nanoseconds, rising, and frames.
    :param about: what is known of the annotation: any of rate, categories, width and height.
    """
    if not truth:
        return ClipTruth()
    timeline = _Timeline(truth)
    starts, annotations, problems = {}, [], []
    for clip in clips:
        record = read_record(clip_record(folder, clip))
        if not record['frames']:
            continue
        annotation = _annotate_clip(clip, record, timeline, about)
        if annotation is None:
            problems.append(Problem(Fault.NO_TRUTH, Place(clip)))
        else:
            starts[annotation.video] = record['start_ns']
            annotations.append(annotation)
    own_times, wrong = True, find_problems(annotations)
    if any(problem.fault in TIME_FAULTS for problem in wrong):
        regular = _regular(annotations, starts, timeline)
        if regular is not None:
            own_times, annotations, wrong = False, regular, find_problems(regular)
    bad = _first_of_each_video(wrong)
    good = [annotation for annotation in annotations if annotation.video not in bad]
    return ClipTruth(good, problems + list(bad.values()), own_times)


def _first_of_each_video(problems: Sequence[Problem]) -> dict[str, Problem]:
    first: dict[str, Problem] = {}
    for problem in problems:
        first.setdefault(problem.place.video, problem)
    return first


def _annotate_clip(
    clip: str, record: Mapping, timeline: _Timeline, about: Mapping
) -> Annotation | None:
    """:returns: None where the truth has no frame in the clip's ten seconds."""
    start_ns, duration = record['start_ns'], record['duration']
    frames = timeline.between(start_ns, start_ns + SECONDS * NANOSECONDS)
    if not frames:
        return None
    width, height = record['size']
    return Annotation(
        f'{clip}.mp4',
        float(about.get('rate') or timeline.rate),
        about.get('width') or width,
        about.get('height') or height,
        duration,
        tuple(about.get('categories') or timeline.categories),
        tuple(frame for frame in frames if frame.time_ns < duration * NANOSECONDS),
    )


def _regular(
    annotations: Sequence[Annotation], starts: Mapping[str, int], timeline: _Timeline
) -> list[Annotation] | None:
    """
    The annotations with frames on a regular grid.

    One whose truth has gaps keeps its frames, so that the check names what is wrong with them.

    :param starts: stamp of each clip's time 0, by video.
    :returns: None where none can be put on the grid.
    """
    frames = [timeline.on_grid(starts[a.video], a.duration) for a in annotations]
    if all(some is None for some in frames):
        return None
    return [
        replace(a, rate=_GRID, frames=a.frames if some is None else some)
        for a, some in zip(annotations, frames)
    ]
