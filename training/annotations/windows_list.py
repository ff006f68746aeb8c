"""
Import of a list of films with annotated windows, as people keep it beside a folder of films.

The file is a JSON list with an entry for each film: ``id``, ``media``, ``width``, ``height``,
``duration``, ``windows`` and, where one wishes, ``doubt``. A window has ``start``, ``boxes`` and
``out_of_view`` (something unseen sounds), a box ``box``, ``category`` and ``sounding``. Other
known keys are for people and are not kept; an unknown one is refused, for it may be a slip.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.media.film_reader import MediaReader
from avsol_ros.training.annotations.document import SPARSE_VERSION, read_sparse_document
from avsol_ros.training.annotations.film_windows import FilmWindows
from avsol_ros.training.annotations.importing import clip_box
from avsol_ros.training.annotations.json_file import read_json
from avsol_ros.training.annotations.problems import sum_up

#: Aspect of a film's picture and of the one that was annotated may differ so much: some programs
#: show pixels as square that are not quite.
ASPECT_ERROR = 0.05
_LATE_S = 0.1  # by which an annotated duration may be longer than the film

# Keys of each level: those that are needed, and those that may be there.
_FILM = (
    ('id', 'media', 'width', 'height', 'duration', 'windows'),
    (
        'category',
        'description',
        'doubt',
        'fps',
        'repository',
        'sha256',
    ),
)
_WINDOW = ('start', 'boxes'), ('out_of_view', 'rms_db')
_BOX = ('box', 'category', 'sounding'), ('ave28',)


def import_windows_list(path: str | Path, clip: bool = False) -> list[FilmWindows]:
    """
    Read a list of films.

    :param clip: cut boxes off at the border of the picture, and drop those beyond it.
    :returns: films, in whose boxes and times there may still be something wrong; see
        ``find_film_problems``.
    :raises AvsolError: naming the first thing of wrong form.
    """
    path = Path(path)
    entries = read_json(path)
    if not isinstance(entries, list) or not entries:
        raise AvsolError(
            f'{path} is no list of films; expected a JSON list with an entry for each'
        )
    ids: set[str] = set()
    videos = []
    for index, entry in enumerate(entries):
        where = f'{path}: entry {index}'
        _check(entry, _FILM, where)
        if not isinstance(entry['id'], str):
            raise AvsolError(f'{where}: id is {entry["id"]!r}; expected a name')
        if entry['id'] in ids:
            raise AvsolError(f'{where}: the id {entry["id"]!r} is there twice; expected one each')
        ids.add(entry['id'])
        videos.append(_video(entry, f'{path}: {entry["id"]}'))
    names = [item['category'] for v in videos for w in v['windows'] for item in w['objects']]
    document = {
        'version': SPARSE_VERSION,
        'categories': sorted({name for name in names if isinstance(name, str)}),
        'videos': videos,
    }
    films, problems = read_sparse_document(document, str(path))
    if problems:
        raise AvsolError(f'{path}: {sum_up(problems)}')
    if clip:
        films = [_clipped(film) for film in films]
    return films


def _clipped(film: FilmWindows) -> FilmWindows:
    windows = []
    for window in film.windows:
        kept = (clip_box(item, film.width, film.height) for item in window.objects)
        windows.append(replace(window, objects=tuple(item for item in kept if item is not None)))
    return replace(film, windows=tuple(windows))


def check_film(film: FilmWindows, folder: str | Path) -> Path:
    """
    Find the film of an annotation.

    :returns: its path.
    :raises AvsolError: if it is not there, cannot be read, or is not as it was annotated.
    """
    path = Path(folder) / film.video
    if not path.is_file():
        raise AvsolError(
            f'there is no film {path}, which is annotated; give the folder of the films'
        )
    info = MediaReader(path).info
    if abs(film.width / film.height * info.height / info.width - 1) > ASPECT_ERROR:
        raise AvsolError(
            f'{path} is {info.width} x {info.height} pixels, and annotated as '
            f'{film.width} x {film.height}; expected boxes in its upright picture'
        )
    length_s = (info.duration_ns - info.first_frame_ns) / NANOSECONDS
    late = [w for w in film.windows if w.start + 1 > length_s + _LATE_S]
    if late:
        raise AvsolError(
            f'{path} lasts {length_s:.2f} s from its first frame, and the window from '
            f'{late[0].start:g} to {late[0].start + 1:g} s is annotated; expected windows in it'
        )
    return path


def _video(entry: Mapping, where: str) -> dict:
    windows = entry['windows']
    if not isinstance(windows, list):
        raise AvsolError(f'{where}: windows is no list')
    found = []
    for index, window in enumerate(windows):
        here = f'{where} window {index}'
        _check(window, _WINDOW, here)
        boxes = window['boxes']
        if not isinstance(boxes, list):
            raise AvsolError(f'{here}: boxes is no list')
        objects = []
        for position, box in enumerate(boxes):
            _check(box, _BOX, f'{here} box {position}')
            objects.append({key: box[key] for key in ('category', 'box', 'sounding')})
        unseen = window.get('out_of_view', False)
        if not isinstance(unseen, bool):
            raise AvsolError(f'{here}: out_of_view is {unseen!r}; expected true or false')
        if unseen:
            unknown = {'category': None, 'box': None, 'sounding': True, 'out_of_view': True}
            objects.append(unknown)
        found.append({'start': window['start'], 'objects': objects})
    shared = {key: entry[key] for key in ('width', 'height', 'duration')}
    return {
        'video': entry['media'],
        **shared,
        **({'doubt': entry['doubt']} if entry.get('doubt') else {}),
        'windows': found,
    }


def _check(values, keys: tuple[tuple[str, ...], tuple[str, ...]], where: str) -> None:
    needed, others = keys
    if not isinstance(values, dict):
        raise AvsolError(f'{where}: expected an object with {", ".join(needed)}')
    for key in needed:
        if key not in values:
            raise AvsolError(f'{where}: {key} is missing; expected {", ".join(needed)}')
    for key in values:
        if key not in needed and key not in others:
            raise AvsolError(
                f'{where}: there is no key {key!r}; there are {", ".join(needed + others)}'
            )
