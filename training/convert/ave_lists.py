"""
The lists of AVE's layout, and the boxes, of a dataset that was converted from bags.

Each run of seconds in which a category sounds in view is a line of the clip in
``Annotations.txt``. A second counts if the category sounds for at least ``LABELLED`` of it, as for
windows of synthetic scenes. An annotated clip in which nothing in view sounds gets one line with
an event of no length, so that the clip is scored as well.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from avsol_ros.config import NANOSECONDS
from avsol_ros.files import write_text
from avsol_ros.training.annotations.annotation_files import read_annotations, write_annotations
from avsol_ros.training.annotations.model import Annotation, share_categories
from avsol_ros.training.annotations.window_truth import lasting_categories
from avsol_ros.training.convert.film_labels import Event, labels_of_bag
from avsol_ros.training.convert.records import clip_record, read_record
from avsol_ros.training.datasets.ave import ANNOTATIONS, CATEGORY_LIST, HEADER, SECONDS, SPLITS

BOXES = 'annotations.json'


def boxes_path(folder: Path, name: str) -> Path:
    """File with the annotations of the clips of one bag."""
    return folder / 'annotations' / f'{name}.json'


def write_lists(folder: Path, sources: Mapping[str, dict]) -> tuple[list[str], int]:
    """
    Write the text files and boxes of a dataset from the records of its bags.

    :param sources: the manifest's entries.
    :returns: what is wrong, and how many lines there are.
    """
    sources = dict(sorted(sources.items()))
    annotations = {name: _read_boxes(folder, name) for name in sources}
    categories = _categories(sources, annotations)
    problems = []
    unwritable = [name for name in categories if not _fits_in_a_line(name)]
    if unwritable:
        problems.append(
            f'the category {unwritable[0]!r} cannot be in {ANNOTATIONS}; its lines are left out'
        )
    lines = {split: [] for split in SPLITS}
    for name, entry in sources.items():
        by_clip = {Path(a.video).stem: a for a in annotations[name]}
        for clip in entry['clips']:
            events = _clip_events(folder, clip, entry, by_clip.get(clip), categories)
            lines[entry['split']] += _clip_lines(clip, events, unwritable)
    _write_texts(folder, lines, [name for name in categories if name not in unwritable])
    problems += _write_boxes(folder, [a for some in annotations.values() for a in some])
    return problems, sum(map(len, lines.values()))


def _clip_lines(clip: str, events: Iterable[Event], unwritable: Iterable[str]) -> list[str]:
    return [
        f'{category}&{clip}&good&{start}&{end}'
        for category, start, end in events
        if category not in unwritable
    ]


def _read_boxes(folder: Path, name: str) -> list[Annotation]:
    path = boxes_path(folder, name)
    return read_annotations(path) if path.exists() else []


def _categories(
    sources: Mapping[str, dict], annotations: Mapping[str, list[Annotation]]
) -> list[str]:
    """All categories, in the order in which the bags name them."""
    names = []
    for name, entry in sources.items():
        here = annotations[name]
        names += here[0].categories if here else labels_of_bag(entry['custom']).categories
        if entry.get('category'):
            names.append(entry['category'])
    return list(dict.fromkeys(names))


def _fits_in_a_line(category: str) -> bool:
    return '&' not in category and category == category.strip() and category.isprintable()


def _clip_events(
    folder: Path,
    clip: str,
    entry: Mapping,
    annotation: Annotation | None,
    categories: list[str],
) -> list[Event]:
    """Events for the lines of a clip; none for a clip shorter than a second."""
    record = read_record(clip_record(folder, clip))
    if record is None or not record['frames']:
        return []
    seconds = min(int(record['duration'] + 0.1), SECONDS)
    if not seconds:
        return []
    if annotation is not None:
        found = find_events(annotation) or [(category, 0, 0) for category in categories[:1]]
    elif entry.get('category'):
        found = [(entry['category'], 0, seconds)]
    else:
        found = _film_events(entry, record)
    return [
        (category, start, min(end, seconds)) for category, start, end in found if start <= seconds
    ]


def find_events(annotation: Annotation) -> list[Event]:
    """Find the runs of seconds in which a category sounds in view."""
    by_second: list[list[set]] = [[] for _ in range(SECONDS)]
    for frame in annotation.frames:
        second = frame.time_ns // NANOSECONDS
        if second < SECONDS:
            by_second[second].append({o.category for o in frame.sounding})
    labels = [lasting_categories(heard) for heard in by_second]
    return [
        (category, start, end)
        for category in annotation.categories
        for start, end in _runs([category in label for label in labels])
    ]


def _runs(flags: list[bool]) -> list[tuple[int, int]]:
    """Half-open index ranges over which flags are set."""
    borders = [k for k, (a, b) in enumerate(zip([False, *flags], [*flags, False])) if a != b]
    return list(zip(borders[::2], borders[1::2]))


def _film_events(entry: Mapping, record: Mapping) -> list[Event]:
    """Events of the film from which the bag was made, as far as they are in a clip of it."""
    first = (record['start_ns'] - entry['origin_ns']) // NANOSECONDS
    cut = [
        (name, max(start - first, 0), min(end - first, SECONDS))
        for name, start, end in labels_of_bag(entry['custom']).events
    ]
    return [event for event in cut if event[1] < event[2] or first == 0 == event[1] == event[2]]


def _write_texts(folder: Path, lines: Mapping[str, list[str]], categories: Iterable[str]) -> None:
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
