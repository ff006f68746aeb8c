"""
What is wrong with an annotation, in words that name the video and the frame.

These are mistakes of meaning, which no JSON Schema can see; :mod:`files` finds those of form.
"""

import difflib
import math
from collections import Counter
from collections.abc import Iterable, Iterator

from avsol_ros.training.annotations.model import Annotation, FrameTruth, ObjectTruth

# Seconds by which a frame may miss its place: times are often written with three decimals.
TIME_TOLERANCE = 0.001


def find_problems(annotations: Iterable[Annotation]) -> list[str]:
    """Say everything that is wrong, video by video; an empty list means nothing is."""
    annotations = list(annotations)
    problems = [
        f'{video}: is annotated {count} times'
        for video, count in Counter(a.video for a in annotations).items()
        if count > 1
    ]
    for annotation in annotations:
        problems += _problems(annotation)
    return problems


def _problems(annotation: Annotation) -> Iterator[str]:
    yield from (f'{annotation.video}: {problem}' for problem in _extent_problems(annotation))
    yield from (
        f'{annotation.video} frame {index}: {problem}'
        for index, problem in _time_problems(annotation)
    )
    first_seen: dict[int, tuple[int, str | None]] = {}  # track: frame, category
    picture = (0.0, 0.0, float(annotation.width), float(annotation.height))
    for index, frame in enumerate(annotation.frames):
        where = f'{annotation.video} frame {index}'
        yield from (f'{where}: {problem}' for problem in _repeated_tracks(frame))
        for item in frame.objects:
            for problem in _object_problems(item, picture, annotation.categories):
                yield f'{where}: track {item.track}: {problem}'
            since, category = first_seen.setdefault(item.track, (index, item.category))
            if category != item.category:
                yield (
                    f'{where}: track {item.track}: is {_named(item.category)}, but '
                    f'{_named(category)} in frame {since}; give it another track number'
                )
                first_seen[item.track] = (index, item.category)  # each change is told once


def _extent_problems(annotation: Annotation) -> Iterator[str]:
    if not annotation.frames:
        yield 'has no frames'
        return
    step = 1 / annotation.rate
    last = annotation.frames[-1].time
    # The last frame may be the last that fits, or the one before: durations that containers tell
    # are often a little longer than the pictures.
    if annotation.duration - last > 2 * step + TIME_TOLERANCE:
        yield (
            f'the last frame is at {last:.6g} s of {annotation.duration:.6g} s; '
            'expected frames up to the end'
        )


def _time_problems(annotation: Annotation) -> Iterator[tuple[int, str]]:
    step = 1 / annotation.rate
    rate = f'{annotation.rate:.6g} frames/s'
    anchor_index, anchor = 0, 0.0
    for index, frame in enumerate(annotation.frames):
        time = frame.time
        if not time < annotation.duration:
            yield (
                index,
                (
                    f'time {time:.6g} s is not before the end of the video at '
                    f'{annotation.duration:.6g} s'
                ),
            )
        if index == 0:
            anchor = time
            if not -TIME_TOLERANCE <= time < step - TIME_TOLERANCE / 2:
                yield (
                    index,
                    (
                        f'time {time:.6g} s; expected the first frame within the first '
                        f'{step:.6g} s ({rate})'
                    ),
                )
            continue
        before = annotation.frames[index - 1].time
        expected = anchor + (index - anchor_index) * step
        if abs(time - expected) <= TIME_TOLERANCE:
            continue
        if not time > before:
            yield index, f'time {time:.6g} s does not come after {before:.6g} s, the frame before'
        else:
            yield index, f'time {time:.6g} s; expected {expected:.6g} s ({rate})'
        # Each slip is told once, not for all frames that follow it.
        anchor_index, anchor = index, time


def _repeated_tracks(frame: FrameTruth) -> Iterator[str]:
    tracks = [item.track for item in frame.objects]
    if len(set(tracks)) < len(tracks):
        for track, count in Counter(tracks).items():
            if count > 1:
                yield f'track {track} is there {count} times'


def _object_problems(item: ObjectTruth, picture: tuple, categories: tuple) -> Iterator[str]:
    if item.out_of_view:
        if not item.sounding:
            yield 'is out of view and not sounding; what is out of view is there for its sound'
        if item.box is not None:
            yield (
                f'is out of view, but has the box {_numbers(item.box)}; expected none, or the '
                'whole picture'
            )
    if item.category is None:
        if not item.out_of_view:
            yield 'has no category; only a sound out of view may lack one'
    elif item.category not in categories:
        close = difflib.get_close_matches(item.category, categories, n=1)
        yield f'the category {item.category!r} is not in the list of categories' + (
            f'; did you mean {close[0]!r}?' if close else ''
        )
    if item.box is not None and not item.out_of_view:
        yield from _box_problems(item.box, picture)
    elif item.box is None and not item.out_of_view:
        yield 'has no box; only a sound out of view has none'


def _box_problems(box: tuple, picture: tuple) -> Iterator[str]:
    x0, y0, x1, y1 = box
    if picture[0] <= x0 < x1 <= picture[2] and picture[1] <= y0 < y1 <= picture[3]:
        return
    if not all(map(math.isfinite, box)):
        yield f'the box {_numbers(box)} has a coordinate that is no finite number'
    elif x1 <= x0 or y1 <= y0:
        yield f'the box {_numbers(box)} is empty or inverted; expected x0 < x1 and y0 < y1'
    else:
        yield (
            f'the box {_numbers(box)} reaches out of the picture of {picture[2]:.0f}x'
            f'{picture[3]:.0f}; import with --clip to cut boxes off'
        )


def _named(category: str | None) -> str:
    return 'without category' if category is None else repr(category)


def _numbers(box: tuple) -> str:
    return ' '.join(f'{v:.6g}' for v in box)
