"""
Truth of clips: annotations, and the lists by which AVE's layout tells what happens when.

A clip has its ten seconds of the bag's truth. Its lines in ``Annotations.txt`` are the runs of
seconds in which a category sounds in view for at least ``LABELLED`` of the second, which is what
windows of synthetic scenes are labelled by. A clip of which all is known, and in which nothing in
view sounds, has one line whose event lasts no second, so that it is there to be scored.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.files import write_text
from avsol_ros.training.annotations.files import read_annotations, write_annotations
from avsol_ros.training.annotations.model import Annotation, FrameTruth, share_categories
from avsol_ros.training.annotations.problems import find_problems
from avsol_ros.training.convert.from_bag import LABELS_KEY
from avsol_ros.training.convert.records import clip_record, read_record
from avsol_ros.training.datasets.ave import ANNOTATIONS, CATEGORY_LIST, HEADER, SECONDS, SPLITS
from avsol_ros.training.synthetic.stage import LABELLED

BOXES = 'annotations.json'
_GRID = 10.0  # frames per second of truth whose own times are no grid


def annotate_clips(
    folder: Path, clips: list[str], truth: list[tuple[int, FrameTruth]], about: dict
) -> tuple[list[Annotation], list[str], bool]:
    """
    Cut the truth of a bag into that of its clips.

    :param truth: stamps in nanoseconds, rising, and frames.
    :param about: what is known of the annotation: any of rate, categories, width and height.
    :returns: annotations, what is wrong, and whether the frames are the truth's own. Others are
        its nearest ones on a grid of 10 per second.
    """
    if not truth:
        return [], [], True
    stamps = np.array([stamp for stamp, _ in truth])
    rate = float(about.get('rate') or _rate(stamps))
    categories = tuple(
        about.get('categories')
        or sorted({o.category for _, frame in truth for o in frame.objects if o.category})
    )
    found, problems, own = [], [], True
    for clip in clips:
        record = read_record(clip_record(folder, clip))
        if not record['frames']:
            continue
        start = record['start_ns']
        first, end = np.searchsorted(stamps, [start, start + SECONDS * NANOSECONDS])
        if first == end:
            problems.append(f'{clip}: the ground truth has nothing in it')
            continue
        width, height = (
            about.get('width') or record['size'][0],
            about.get('height') or record['size'][1],
        )
        annotation = Annotation(
            f'{clip}.mp4',
            rate,
            width,
            height,
            record['duration'],
            categories,
            tuple(
                replace(frame, time=(stamp - start) / NANOSECONDS)
                for stamp, frame in truth[first:end]
                if stamp - start < record['duration'] * NANOSECONDS
            ),
        )
        found.append(annotation)
    wrong = find_problems(found)
    if wrong and any('time ' in line or 'last frame' in line for line in wrong):
        regular = [
            _on_grid(
                a, truth, stamps, read_record(clip_record(folder, Path(a.video).stem))['start_ns']
            )
            for a in found
        ]
        if any(a is not None for a in regular):
            own = False
            found = [a if a is not None else b for a, b in zip(regular, found)]
            found = [replace(a, rate=_GRID) for a in found]
            wrong = find_problems(found)
    bad = {line.split(':')[0].split(' frame ')[0] for line in wrong}
    problems += [
        line
        for index, line in enumerate(wrong)
        if line.split(':')[0].split(' frame ')[0]
        not in {w.split(':')[0].split(' frame ')[0] for w in wrong[:index]}
    ]
    return [a for a in found if a.video not in bad], problems, own


def _rate(stamps: np.ndarray) -> float:
    if len(stamps) < 2:
        return _GRID
    rate = NANOSECONDS / float(np.median(np.diff(stamps)))
    return round(rate) if abs(rate / max(round(rate), 1) - 1) < 0.01 else rate


def _on_grid(annotation: Annotation, truth, stamps: np.ndarray, start_ns: int):
    """Take the nearest frame for each moment of a grid; None where one has none near."""
    step_ns = NANOSECONDS / _GRID
    near_ns = max(step_ns / 2, 0.75 * float(np.median(np.diff(stamps))) if len(stamps) > 1 else 0)
    frames = []
    for index in range(int(np.ceil(annotation.duration * _GRID - 1e-6))):
        moment = start_ns + index * step_ns
        after = int(np.searchsorted(stamps, moment))
        near = min(
            range(max(after - 1, 0), min(after + 1, len(stamps))),
            key=lambda k: abs(stamps[k] - moment),
        )
        if abs(stamps[near] - moment) > near_ns:
            return None
        frames.append(replace(truth[near][1], time=index / _GRID))
    return replace(annotation, frames=tuple(frames))


def events(annotation: Annotation) -> list[tuple[str, int, int]]:
    """Give runs of seconds in which a category sounds in view: category, start, end."""
    found = []
    sounding = [[] for _ in range(SECONDS)]
    for frame in annotation.frames:
        second = frame.time_ns // NANOSECONDS
        if second < SECONDS:
            sounding[second].append({o.category for o in frame.sounding})
    for category in annotation.categories:
        on = [
            bool(heard) and sum(category in here for here in heard) >= LABELLED * len(heard)
            for heard in sounding
        ]
        start = None
        for second, active in enumerate([*on, False]):
            if active and start is None:
                start = second
            elif not active and start is not None:
                found.append((category, start, second))
                start = None
    return found


def write_lists(folder: Path, sources: dict[str, dict]) -> tuple[list[str], int]:
    """
    Write the text files and boxes of a dataset from what there is of each of its bags.

    :param sources: the manifest's entries.
    :returns: what is wrong, and how many lines there are.
    """
    problems, lines = [], {split: [] for split in SPLITS}
    annotations, names = [], {}
    for name in sorted(sources):
        entry = sources[name]
        boxes = boxes_of(folder, name)
        here = read_annotations(boxes) if boxes.exists() else []
        annotations += here
        names.update(dict.fromkeys(here[0].categories if here else ()))
        told = custom_labels(entry)
        if not here:
            names.update(dict.fromkeys(told.get('categories', ())))
        if entry.get('category'):
            names[entry['category']] = None
    order = tuple(names)
    if wrong := [
        name for name in order if '&' in name or name != name.strip() or not name.isprintable()
    ]:
        problems.append(
            f'the category {wrong[0]!r} cannot be in {ANNOTATIONS}; its lines are left out'
        )
    by_clip = {Path(a.video).stem: a for a in annotations}
    for name in sorted(sources):
        entry = sources[name]
        for clip in entry['clips']:
            record = read_record(clip_record(folder, clip))
            if record is None or not record['frames']:
                continue
            seconds = min(int(record['duration'] + 0.1), SECONDS)
            if not seconds:
                continue
            if clip in by_clip:
                found = events(by_clip[clip]) or [(order[0], 0, 0)] if order else []
            elif entry.get('category'):
                found = [(entry['category'], 0, seconds)]
            else:
                found = _events_of_film(entry, record)
            lines[entry['split']] += [
                f'{category}&{clip}&good&{start}&{min(end, seconds)}'
                for category, start, end in found
                if category not in wrong and start <= seconds
            ]
    _write_all(folder, lines, [name for name in order if name not in wrong])
    problems += _write_boxes(folder, annotations)
    return problems, sum(map(len, lines.values()))


def custom_labels(entry: dict) -> dict:
    """Labels that a bag keeps of the film that it was made of: categories, events and split."""
    try:
        found = json.loads(entry['custom'].get(LABELS_KEY, '{}'))
        return {
            'categories': [str(name) for name in found['categories']],
            'events': [(str(name), int(start), int(end)) for name, start, end in found['events']],
            'split': found['split'] if found['split'] in SPLITS else SPLITS[-1],
        }
    except (ValueError, KeyError, TypeError):
        return {}


def _events_of_film(entry: dict, record: dict) -> list[tuple[str, int, int]]:
    """Those of the film that are in a clip."""
    first = (record['start_ns'] - entry['origin_ns']) // NANOSECONDS
    cut = [
        (name, max(start - first, 0), min(end - first, SECONDS))
        for name, start, end in custom_labels(entry).get('events', ())
    ]
    return [event for event in cut if event[1] < event[2] or first == 0 == event[1] == event[2]]


def boxes_of(folder: Path, name: str) -> Path:
    return folder / 'annotations' / f'{name}.json'


def _write_all(folder: Path, lines: dict[str, list[str]], categories: Iterable[str]) -> None:
    def text(some):
        return ''.join(f'{line}\n' for line in some)

    for split in SPLITS:
        write_text(folder / f'{split}Set.txt', text(lines[split]), keep_same=True)
    every = [line for split in SPLITS for line in lines[split]]
    write_text(folder / ANNOTATIONS, text([HEADER, *every]), keep_same=True)
    if categories:
        write_text(folder / CATEGORY_LIST, text(categories), keep_same=True)
    else:
        (folder / CATEGORY_LIST).unlink(missing_ok=True)


def _write_boxes(folder: Path, annotations: list[Annotation]) -> list[str]:
    path = folder / BOXES
    rates = sorted({a.rate for a in annotations})
    if len(rates) > 1:
        path.unlink(missing_ok=True)
        many = ', '.join(f'{rate:g}' for rate in rates)
        return [
            f'there is no {BOXES}: bags are annotated at {many} frames per second; give the '
            f'folder {folder / "annotations"} in its place'
        ]
    if not annotations:
        path.unlink(missing_ok=True)
        return []
    write_annotations(path, share_categories(annotations))
    return []
