"""
What can be wrong with annotations: each problem has a fault, a place and a sentence.

:func:`find_problems` checks what annotations mean; a JSON Schema cannot see this.
:mod:`.document` checks the form of files and reports it in the same way. Reading, checking,
importing and converting all use these two.
"""

import difflib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from avsol_ros.training.annotations.film_windows import WINDOW_S, FilmWindows
from avsol_ros.training.annotations.model import Annotation, FrameTruth, ObjectTruth

# Seconds by which the time of a frame may be off: times are often written with three decimals.
TIME_TOLERANCE = 0.001


class Fault(Enum):
    """What is wrong; the value is its sentence, filled in from the problem's details."""

    # A file that is no annotation at all.
    UNREADABLE = '{reason}'
    # The form of a file.
    NO_OBJECT = '{place}: expected an object with {keys}'
    MISSING_KEY = '{place}: {key} is missing; expected {expected}'
    UNKNOWN_KEY = '{place}: there is no key {key!r}; there are {keys}'
    WRONG_VALUE = '{place}: {key} is {value}; expected {expected}'
    # A video.
    ANNOTATED_TWICE = '{place}: is annotated {count} times'
    NO_FRAMES = '{place}: has no frames'
    ENDS_EARLY = (
        '{place}: the last frame is at {time:.6g} s of {duration:.6g} s; '
        'expected frames up to the end'
    )
    # The time of a frame.
    BEHIND_THE_END = (
        '{place}: time {time:.6g} s is not before the end of the video at {duration:.6g} s'
    )
    LATE_START = (
        '{place}: time {time:.6g} s; expected the first frame within the first {period:.6g} s '
        '({rate:.6g} frames/s)'
    )
    NOT_RISING = '{place}: time {time:.6g} s does not come after {before:.6g} s, the frame before'
    OFF_THE_GRID = '{place}: time {time:.6g} s; expected {expected:.6g} s ({rate:.6g} frames/s)'
    # The windows of a sparse annotation.
    NO_WINDOWS = '{place}: has no windows'
    WINDOW_TWICE = '{place}: starts at {start:.6g} s, as window {other} does'
    WINDOW_BEHIND_THE_END = (
        '{place}: starts at {start:.6g} s and lasts {length:g} s; expected it to end within the '
        "film's {duration:.6g} s"
    )
    # An object.
    TRACK_TWICE = '{place}: track {track} is there {count} times'
    SILENT_OUT_OF_VIEW = (
        '{place}: is out of view and not sounding; what is out of view is there for its sound'
    )
    BOX_OUT_OF_VIEW = (
        '{place}: is out of view, but has the box {box}; expected none, or the whole picture'
    )
    NO_CATEGORY = '{place}: has no category; only a sound out of view may lack one'
    UNKNOWN_CATEGORY = '{place}: the category {category!r} is not in the list of categories{hint}'
    OTHER_CATEGORY = (
        '{place}: is {category}, but {before} in frame {since}; give it another track number'
    )
    NO_BOX = '{place}: has no box; only a sound out of view has none'
    BOX_NOT_FINITE = '{place}: the box {box} has a coordinate that is no finite number'
    BOX_EMPTY = '{place}: the box {box} is empty or inverted; expected x0 < x1 and y0 < y1'
    BOX_TOO_LARGE = (
        '{place}: the box {box} reaches out of the picture of {width}x{height}; '
        'import with --clip to cut boxes off'
    )
    # Truth of a recording, cut into clips.
    NO_TRUTH = '{place}: the ground truth has nothing in it'


#: Frames that are not one period apart, or do not cover the video.
TIME_FAULTS = frozenset(
    {
        Fault.ENDS_EARLY,
        Fault.BEHIND_THE_END,
        Fault.LATE_START,
        Fault.NOT_RISING,
        Fault.OFF_THE_GRID,
    }
)


@dataclass(frozen=True)
class Place:
    """
    Where a problem is.

    :param video: name of the video; of one without a name, its place in the file.
    :param frame: number of the frame or window; None for the video as a whole.
    :param part: what in the frame, e.g. ``track 3``; empty for the frame as a whole.
    :param unit: what ``frame`` counts: frames, or the windows of a sparse annotation.
    """

    video: str
    frame: int | None = None
    part: str = ''
    unit: str = 'frame'

    def __str__(self) -> str:
        where = self.video if self.frame is None else f'{self.video} {self.unit} {self.frame}'
        return f'{where}: {self.part}' if self.part else where


@dataclass(frozen=True)
class Problem:
    """
    One thing that is wrong; ``str`` gives its sentence.

    :param details: what the sentence of the fault names, by name.
    """

    fault: Fault
    place: Place
    details: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.fault.value.format(place=self.place, **self.details)


def sum_up(problems: Sequence[Problem], hint: str = '') -> str:
    """
    The first problem, and how many more there are, in one line.

    :param hint: how to see the others.
    """
    more = f' (and {len(problems) - 1} more{hint})' if len(problems) > 1 else ''
    return f'{problems[0]}{more}'


def find_problems(annotations: Iterable[Annotation]) -> list[Problem]:
    """Find everything that is wrong, video by video; an empty list means nothing is."""
    annotations = list(annotations)
    problems = _repeated_videos(a.video for a in annotations)
    for annotation in annotations:
        problems += _video_problems(annotation)
        problems += _time_problems(annotation)
        problems += _frame_problems(annotation)
    return problems


def find_film_problems(films: Iterable[FilmWindows]) -> list[Problem]:
    """Find everything that is wrong with sparse annotations, film by film."""
    films = list(films)
    problems = _repeated_videos(film.video for film in films)
    for film in films:
        if not film.windows:
            problems.append(Problem(Fault.NO_WINDOWS, Place(film.video)))
        starts: dict[int, int] = {}
        for index, window in enumerate(film.windows):
            place = Place(film.video, index, unit='window')
            details = {'start': window.start}
            other = starts.setdefault(window.start_ns, index)
            if other != index:
                problems.append(Problem(Fault.WINDOW_TWICE, place, {**details, 'other': other}))
            if window.start + WINDOW_S > film.duration + TIME_TOLERANCE:
                details |= {'length': WINDOW_S, 'duration': film.duration}
                problems.append(Problem(Fault.WINDOW_BEHIND_THE_END, place, details))
            for item in window.objects:
                here = replace(place, part=f'object {item.track}')
                problems += _object_problems(item, film, here)
    return problems


def _repeated_videos(videos: Iterable[str]) -> list[Problem]:
    return [
        Problem(Fault.ANNOTATED_TWICE, Place(video), {'count': count})
        for video, count in Counter(videos).items()
        if count > 1
    ]


def _video_problems(annotation: Annotation) -> Iterator[Problem]:
    place = Place(annotation.video)
    if not annotation.frames:
        yield Problem(Fault.NO_FRAMES, place)
        return
    last = annotation.frames[-1].time
    # The last frame may be the last that fits, or the one before: the duration that a container
    # states is often a little longer than the pictures.
    if annotation.duration - last > 2 / annotation.rate + TIME_TOLERANCE:
        yield Problem(Fault.ENDS_EARLY, place, {'time': last, 'duration': annotation.duration})


def _time_problems(annotation: Annotation) -> Iterator[Problem]:
    period = 1 / annotation.rate
    anchor_index, anchor = 0, 0.0
    for index, frame in enumerate(annotation.frames):
        time, place = frame.time, Place(annotation.video, index)
        details = {'time': time, 'rate': annotation.rate}
        if not time < annotation.duration:
            yield Problem(
                Fault.BEHIND_THE_END, place, {**details, 'duration': annotation.duration}
            )
        if index == 0:
            anchor = time
            if not -TIME_TOLERANCE <= time < period - TIME_TOLERANCE / 2:
                yield Problem(Fault.LATE_START, place, {**details, 'period': period})
            continue
        before = annotation.frames[index - 1].time
        expected = anchor + (index - anchor_index) * period
        if abs(time - expected) <= TIME_TOLERANCE:
            continue
        if not time > before:
            yield Problem(Fault.NOT_RISING, place, {**details, 'before': before})
        else:
            yield Problem(Fault.OFF_THE_GRID, place, {**details, 'expected': expected})
        # Each slip is reported once, not for all frames that follow it.
        anchor_index, anchor = index, time


def _frame_problems(annotation: Annotation) -> Iterator[Problem]:
    first_seen: dict[int, tuple[int, str | None]] = {}  # track: frame, category
    for index, frame in enumerate(annotation.frames):
        place = Place(annotation.video, index)
        yield from _repeated_tracks(frame, place)
        for item in frame.objects:
            here = replace(place, part=f'track {item.track}')
            yield from _object_problems(item, annotation, here)
            since, category = first_seen.setdefault(item.track, (index, item.category))
            if category != item.category:
                yield Problem(
                    Fault.OTHER_CATEGORY,
                    here,
                    {
                        'category': _named(item.category),
                        'before': _named(category),
                        'since': since,
                    },
                )
                first_seen[item.track] = (index, item.category)  # each change is reported once


def _repeated_tracks(frame: FrameTruth, place: Place) -> Iterator[Problem]:
    tracks = [item.track for item in frame.objects]
    if len(set(tracks)) < len(tracks):
        for track, count in Counter(tracks).items():
            if count > 1:
                yield Problem(Fault.TRACK_TWICE, place, {'track': track, 'count': count})


def _object_problems(
    item: ObjectTruth, annotation: Annotation | FilmWindows, place: Place
) -> Iterator[Problem]:
    if item.out_of_view and not item.sounding:
        yield Problem(Fault.SILENT_OUT_OF_VIEW, place)
    if item.out_of_view and item.box is not None:
        yield Problem(Fault.BOX_OUT_OF_VIEW, place, {'box': _numbers(item.box)})
    yield from _category_problems(item, annotation.categories, place)
    if not item.out_of_view:
        yield from _box_problems(item.box, annotation, place)


def _category_problems(
    item: ObjectTruth, categories: Sequence[str], place: Place
) -> Iterator[Problem]:
    if item.category is None:
        if not item.out_of_view:
            yield Problem(Fault.NO_CATEGORY, place)
    elif item.category not in categories:
        close = difflib.get_close_matches(item.category, categories, n=1)
        hint = f'; did you mean {close[0]!r}?' if close else ''
        yield Problem(Fault.UNKNOWN_CATEGORY, place, {'category': item.category, 'hint': hint})


def _box_problems(
    box: tuple | None, annotation: Annotation | FilmWindows, place: Place
) -> Iterator[Problem]:
    if box is None:
        yield Problem(Fault.NO_BOX, place)
        return
    x0, y0, x1, y1 = box
    width, height = annotation.width, annotation.height
    if 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height:
        return
    details = {'box': _numbers(box), 'width': width, 'height': height}
    if not all(map(math.isfinite, box)):
        yield Problem(Fault.BOX_NOT_FINITE, place, details)
    elif x1 <= x0 or y1 <= y0:
        yield Problem(Fault.BOX_EMPTY, place, details)
    else:
        yield Problem(Fault.BOX_TOO_LARGE, place, details)


def _named(category: str | None) -> str:
    return 'without category' if category is None else repr(category)


def _numbers(box: tuple) -> str:
    return ' '.join(f'{v:.6g}' for v in box)
