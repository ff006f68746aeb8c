"""
Annotations as JSON: one file for a data set, or a folder with a file for each video.

The form is that of config/annotations.schema.json. What is checked here is the same, but told
with the video and frame where it is wrong. Version 1 was the truth of one synthetic film and is
still read.
"""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from avsol_ros.errors import AvsolError
from avsol_ros.files import write_text
from avsol_ros.share import share_folder
from avsol_ros.training.annotations.model import Annotation, FrameTruth, ObjectTruth
from avsol_ros.training.annotations.problems import find_problems

VERSION = 2


def schema_path() -> Path:
    """JSON Schema of the files, for editors and other programs."""
    return share_folder() / 'config' / 'annotations.schema.json'


def read_annotations(*paths: str | Path) -> list[Annotation]:
    """
    Read files, or folders of files, in which nothing is wrong.

    :raises AvsolError: naming the first problem and how to see the others.
    """
    annotations, problems = examine(*paths)
    if problems:
        more = f' (and {len(problems) - 1} more: see avsol annotations check)'
        raise AvsolError(problems[0] + (more if len(problems) > 1 else ''))
    return annotations


def examine(*paths: str | Path) -> tuple[list[Annotation], list[str]]:
    """
    Read what can be read, and say all that is wrong.

    :returns: annotations, without the objects of wrong form, and problems. A frame of wrong form
        keeps its place, so that those after it keep their numbers.
    """
    annotations, problems = [], []
    for path in _files(paths):
        reader = _Reader(str(path))
        try:
            annotations += reader.read(_load(path))
        except AvsolError as error:
            problems.append(str(error))
        problems += reader.problems
    return annotations, problems + find_problems(annotations)


def write_annotations(path: str | Path, annotations: Iterable[Annotation]) -> Path:
    """
    Write one file, a line for each frame, so that versions can be compared line by line.

    A file that holds the same already is left alone.

    :param annotations: of one rate and one list of categories, with nothing wrong.
    """
    path, annotations = Path(path), list(annotations)
    shared = {(a.rate, a.categories) for a in annotations}
    if len(shared) != 1:
        raise AvsolError(
            f'{path} is to hold annotations of {len(shared)} different rates or '
            'lists of categories; expected one of each: write several files'
        )
    problems = find_problems(annotations)
    if problems:
        raise AvsolError(
            f'{path} was not written: {problems[0]}'
            + (f' (and {len(problems) - 1} more)' if len(problems) > 1 else '')
        )
    return write_text(path, ''.join(_lines(annotations)), keep_same=True)


def _lines(annotations: Sequence[Annotation]):
    rate, categories = annotations[0].rate, list(annotations[0].categories)
    yield (
        f'{{"version": {VERSION}, "rate": {_number(rate)}, "categories": '
        f'{json.dumps(categories)}, "videos": [\n'
    )
    for a in annotations:
        yield (
            f'{{"video": {json.dumps(a.video)}, "width": {a.width}, "height": {a.height}, '
            f'"duration": {_number(a.duration)}, "frames": [\n'
        )
        for frame in a.frames:
            objects = json.dumps([_object_values(o) for o in frame.objects], allow_nan=False)
            end = '' if frame is a.frames[-1] else ','
            yield f'{{"time": {_number(frame.time)}, "objects": {objects}}}{end}\n'
        yield ']}\n' if a is annotations[-1] else ']},\n'
    yield ']}\n'


def _object_values(item: ObjectTruth) -> dict:
    values = {
        'track': item.track,
        'category': item.category,
        'box': None if item.box is None else [_number(v) for v in item.box],
        'sounding': item.sounding,
    }
    return {**values, 'out_of_view': True} if item.out_of_view else values


def _number(value: float) -> float | int:
    return int(value) if value == int(value) else value


def _files(paths: Iterable[str | Path]) -> list[Path]:
    found = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(path.glob('*.json'))
            if not inside:
                raise AvsolError(f'there is no .json file in the folder {path}')
            found += inside
        else:
            found.append(path)
    return found


def _load(path: Path) -> dict:
    try:
        document = json.loads(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise AvsolError(f'cannot read {path}: {error.strerror}') from None
    except (ValueError, RecursionError) as error:
        raise AvsolError(f'{path} is no JSON: {error}') from None
    version = document.get('version') if isinstance(document, dict) else None
    if type(version) is not int or version < 1 or version == 1 and 'video' not in document:
        raise AvsolError(
            f'{path} is no annotation: it lacks "version" or "videos"; convert other '
            'formats with avsol annotations import-cvat or import-coco'
        )
    if version > VERSION:
        raise AvsolError(
            f'{path} is of version {version}, and this avsol knows versions up to '
            f'{VERSION}; install a newer one'
        )
    return _from_version_1(document) if version == 1 else document


def _from_version_1(document: dict) -> dict:
    shared = {name: document[name] for name in ('rate', 'categories') if name in document}
    video = {name: value for name, value in document.items() if name not in ('version', *shared)}
    return {'version': VERSION, **shared, 'videos': [video]}


def _is_number(value) -> bool:
    # An integer may have more digits than a float can hold.
    return type(value) is float or type(value) is int and abs(value) < 1e15


def _is_positive(value) -> bool:
    return _is_number(value) and 0 < value < math.inf


def _is_time(value) -> bool:
    return _is_number(value) and 0 <= value < math.inf


def _is_whole(value) -> bool:
    return _is_number(value) and (type(value) is int or value.is_integer())


def _is_name(value) -> bool:
    return isinstance(value, str) and value != ''


# What a key holds: whether it must be there, a test, and the test in words.
_FLAG = (lambda v: isinstance(v, bool), 'true or false')
_LIST = (lambda v: isinstance(v, list), 'a list')
_SIZE = (lambda v: _is_whole(v) and v > 0, 'a whole number of pixels')
_OBJECT = {
    'track': (True, lambda v: _is_whole(v) and v >= 0, 'a whole number, 0 or more'),
    'category': (True, lambda v: v is None or _is_name(v), 'a name, or null'),
    'box': (
        True,
        lambda v: v is None or isinstance(v, list) and len(v) == 4 and all(map(_is_number, v)),
        'four numbers x0, y0, x1, y1, or null',
    ),
    'sounding': (True, *_FLAG),
    'out_of_view': (False, *_FLAG),
}
_FRAME = {
    'time': (True, _is_time, 'seconds, 0 or more'),
    'objects': (True, *_LIST),
}
_VIDEO = {
    'video': (True, _is_name, 'the name of a file'),
    'width': (True, *_SIZE),
    'height': (True, *_SIZE),
    'duration': (True, _is_positive, 'seconds, more than 0'),
    'frames': (True, *_LIST),
}
_FILE = {
    'version': (True, lambda v: v == VERSION, str(VERSION)),
    'rate': (True, _is_positive, 'frames per second, more than 0'),
    'categories': (
        True,
        lambda v: isinstance(v, list) and all(map(_is_name, v)) and len(set(v)) == len(v),
        'a list of names, each once',
    ),
    'videos': (True, *_LIST),
}


class _Reader:
    """Makes annotations from plain values and keeps ``problems`` of form."""

    def __init__(self, path: str):
        self._path = path
        self.problems: list[str] = []

    def read(self, document: dict) -> list[Annotation]:
        if not self._fits(document, _FILE, self._path):
            return []
        found = []
        for index, values in enumerate(document['videos']):
            name = values.get('video') if isinstance(values, dict) else None
            where = name if _is_name(name) else f'{self._path}: videos[{index}]'
            if self._fits(values, _VIDEO, where):
                found.append(
                    Annotation(
                        name,
                        float(document['rate']),
                        int(values['width']),
                        int(values['height']),
                        float(values['duration']),
                        tuple(document['categories']),
                        tuple(self._frames(values, 1 / document['rate'])),
                    )
                )
        return found

    def _frames(self, video: dict, step: float):
        whole = [0, 0, video['width'], video['height']]
        time = -step
        for index, values in enumerate(video['frames']):
            where = f'{video["video"]} frame {index}'
            fits = self._fits(values, _FRAME, where)
            # Without a time of its own it is taken to be where it should: that is no other fault.
            known = fits or isinstance(values, dict) and _is_time(values.get('time'))
            time = float(values['time']) if known else time + step
            objects = []
            for position, item in enumerate(values['objects'] if fits else ()):
                if not self._fits(item, _OBJECT, f'{where}: object {position}'):
                    continue
                box, out_of_view = item['box'], item.get('out_of_view', False)
                if out_of_view and box == whole:
                    box = None  # the paper's dummy box
                objects.append(
                    ObjectTruth(
                        int(item['track']),
                        item['category'],
                        box and tuple(map(float, box)),
                        item['sounding'],
                        out_of_view,
                    )
                )
            yield FrameTruth(time, tuple(objects))

    def _fits(self, values, table: dict, where: str) -> bool:
        if not isinstance(values, dict):
            self.problems.append(f'{where}: expected an object with {", ".join(table)}')
            return False
        before = len(self.problems)
        for name, (required, test, words) in table.items():
            if name in values:
                if not test(values[name]):
                    self.problems.append(
                        f'{where}: {name} is {_shortened(values[name])}; expected {words}'
                    )
            elif required:
                self.problems.append(f'{where}: {name} is missing; expected {words}')
        if not values.keys() <= table.keys():
            self.problems += [
                f'{where}: there is no key {name!r}; there are {", ".join(table)}'
                for name in values
                if name not in table
            ]
        return len(self.problems) == before


def _shortened(value) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f'{text[:57]}...'
