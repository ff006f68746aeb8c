"""
The form of an annotation file: its keys and their values, read from what a JSON parser returns.

It is that of config/annotations.schema.json. The check here is the same, but its problems name
the video and the frame.
"""

import json
import math
from collections.abc import Iterator

from avsol_ros.training.annotations.film_windows import FilmWindows, WindowTruth
from avsol_ros.training.annotations.model import Annotation, FrameTruth, ObjectTruth
from avsol_ros.training.annotations.problems import Fault, Place, Problem

VERSION = 2
#: Version of files of sparse annotations.
SPARSE_VERSION = 3


def read_document(document: dict, name: str) -> tuple[list[Annotation], list[Problem]]:
    """
    Make annotations from the plain values of a file.

    :param document: of version ``VERSION``.
    :param name: of the file, for problems.
    :returns: annotations, without what has a wrong form, and all problems of form. A frame of
        wrong form keeps its place, so that those after it keep their numbers.
    """
    problems: list[Problem] = []
    if not _fits(document, _FILE, Place(name), problems):
        return [], problems
    annotations = []
    for index, values in enumerate(document['videos']):
        video = values.get('video') if isinstance(values, dict) else None
        place = Place(video if _is_name(video) else f'{name}: videos[{index}]')
        if _fits(values, _VIDEO, place, problems):
            annotations.append(
                Annotation(
                    video,
                    float(document['rate']),
                    int(values['width']),
                    int(values['height']),
                    float(values['duration']),
                    tuple(document['categories']),
                    tuple(_frames(values, 1 / document['rate'], problems)),
                )
            )
    return annotations, problems


def read_sparse_document(document: dict, name: str) -> tuple[list[FilmWindows], list[Problem]]:
    """
    Make sparse annotations from the plain values of a file.

    :param document: of version ``SPARSE_VERSION``.
    :param name: of the file, for problems.
    :returns: films, without what has a wrong form, and all problems of form.
    """
    problems: list[Problem] = []
    if not _fits(document, _SPARSE_FILE, Place(name), problems):
        return [], problems
    films = []
    for index, values in enumerate(document['videos']):
        video = values.get('video') if isinstance(values, dict) else None
        place = Place(video if _is_name(video) else f'{name}: videos[{index}]')
        if _fits(values, _FILM, place, problems):
            films.append(
                FilmWindows(
                    video,
                    int(values['width']),
                    int(values['height']),
                    float(values['duration']),
                    tuple(document['categories']),
                    tuple(_windows(values, problems)),
                    values.get('doubt', ''),
                )
            )
    return films, problems


def _windows(video: dict, problems: list[Problem]) -> Iterator[WindowTruth]:
    whole_picture = [0, 0, video['width'], video['height']]
    for index, values in enumerate(video['windows']):
        place = Place(video['video'], index, unit='window')
        if not _fits(values, _WINDOW, place, problems):
            continue
        objects = []
        for position, item in enumerate(values['objects']):
            here = Place(video['video'], index, f'object {position}', 'window')
            if _fits(item, _WINDOW_OBJECT, here, problems):
                objects.append(_object({'track': position, **item}, whole_picture))
        yield WindowTruth(float(values['start']), tuple(objects))


def _frames(video: dict, period: float, problems: list[Problem]) -> Iterator[FrameTruth]:
    whole_picture = [0, 0, video['width'], video['height']]
    time = -period
    for index, values in enumerate(video['frames']):
        place = Place(video['video'], index)
        fits = _fits(values, _FRAME, place, problems)
        # A frame without a time is assumed to be at the expected one: its only fault is its form.
        known = fits or isinstance(values, dict) and _is_time(values.get('time'))
        time = float(values['time']) if known else time + period
        objects = []
        for position, item in enumerate(values['objects'] if fits else ()):
            here = Place(video['video'], index, f'object {position}')
            if _fits(item, _OBJECT, here, problems):
                objects.append(_object(item, whole_picture))
        yield FrameTruth(time, tuple(objects))


def _object(values: dict, whole_picture: list) -> ObjectTruth:
    box, out_of_view = values['box'], values.get('out_of_view', False)
    if out_of_view and box == whole_picture:
        box = None  # the paper's dummy box
    return ObjectTruth(
        int(values['track']),
        values['category'],
        box and tuple(map(float, box)),
        values['sounding'],
        out_of_view,
    )


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
# Objects of a window are of that window alone, so they have no tracks.
_WINDOW_OBJECT = {key: value for key, value in _OBJECT.items() if key != 'track'}
_WINDOW = {
    'start': (True, _is_time, 'seconds, 0 or more'),
    'objects': (True, *_LIST),
}
_FILM = {
    **{key: value for key, value in _VIDEO.items() if key != 'frames'},
    'doubt': (False, lambda v: isinstance(v, str), 'a text'),
    'windows': (True, *_LIST),
}
_SPARSE_FILE = {
    **{key: value for key, value in _FILE.items() if key != 'rate'},
    'version': (True, lambda v: v == SPARSE_VERSION, str(SPARSE_VERSION)),
}


def _fits(values, table: dict, place: Place, problems: list[Problem]) -> bool:
    """Check an object against a table of its keys, and note what is wrong."""
    keys = ', '.join(table)
    if not isinstance(values, dict):
        problems.append(Problem(Fault.NO_OBJECT, place, {'keys': keys}))
        return False
    found = []
    for key, (required, test, expected) in table.items():
        details = {'key': key, 'expected': expected}
        if key in values:
            if not test(values[key]):
                details['value'] = _shortened(values[key])
                found.append(Problem(Fault.WRONG_VALUE, place, details))
        elif required:
            found.append(Problem(Fault.MISSING_KEY, place, details))
    if not values.keys() <= table.keys():
        found += [
            Problem(Fault.UNKNOWN_KEY, place, {'key': key, 'keys': keys})
            for key in values
            if key not in table
        ]
    problems += found
    return not found


def _shortened(value) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f'{text[:57]}...'
