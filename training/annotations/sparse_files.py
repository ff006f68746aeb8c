"""Sparse annotations as JSON: boxes for single windows of films (version 3)."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from avsol_ros.errors import AvsolError
from avsol_ros.files import write_text
from avsol_ros.training.annotations.annotation_files import (
    annotation_paths,
    document_version,
    not_read,
    object_values,
    plain_number,
)
from avsol_ros.training.annotations.document import SPARSE_VERSION, read_sparse_document
from avsol_ros.training.annotations.film_windows import FilmWindows
from avsol_ros.training.annotations.json_file import read_json
from avsol_ros.training.annotations.problems import (
    Fault,
    Place,
    Problem,
    find_film_problems,
    sum_up,
)

#: What ``--data`` of an evaluation may be besides other data.
ALSO_FILMS = ', or a file of annotated windows of films'


def names_films(data: str | Path, annotations: str | Path | None) -> bool:
    """
    Whether ``--data`` and ``--annotations`` of an evaluation are of films with annotated windows.

    :param data: an annotation, or the folder of the films with ``annotations`` beside.
    :raises AvsolError: for a sparse annotation without a folder of films.
    """
    if Path(data).is_file():
        return True
    if annotations is None or not is_sparse(annotations):
        return False
    if not Path(data).is_dir():
        raise AvsolError(
            f'--data is {str(data)!r}, and {annotations} annotates windows of films; expected the '
            'folder of these films'
        )
    return True


def is_sparse(path: str | Path) -> bool:
    """
    Whether a file, or the first in a folder, is a sparse annotation.

    False also of what cannot be read: whoever reads it tells why.
    """
    try:
        first = annotation_paths([path])[0]
        return document_version(read_json(first)) == SPARSE_VERSION
    except AvsolError:
        return False


def sort_kinds(paths: Iterable[str | Path]) -> tuple[list[Path], list[Path]]:
    """Tell apart annotations at a fixed rate and sparse ones: files, those in folders too."""
    files = annotation_paths(paths)
    sparse = [path for path in files if is_sparse(path)]
    return [path for path in files if path not in sparse], sparse


def read_film_windows(*paths: str | Path) -> list[FilmWindows]:
    """
    Read files, or folders of files, in which nothing is wrong.

    :raises AvsolError: naming the first problem and how to see the others.
    """
    films, problems = examine_film_windows(*paths)
    if problems:
        raise AvsolError(sum_up(problems, ': see avsol annotations check'))
    return films


def examine_film_windows(*paths: str | Path) -> tuple[list[FilmWindows], list[Problem]]:
    """
    Read what can be read, and find everything that is wrong.

    :returns: films, without the windows and objects of wrong form, and problems.
    """
    films, problems = [], []
    for path in annotation_paths(paths):
        try:
            found, wrong = read_sparse_document(_load(path), str(path))
        except AvsolError as error:
            problems.append(Problem(Fault.UNREADABLE, Place(str(path)), {'reason': str(error)}))
            continue
        films += found
        problems += wrong
    # Indices of windows that are left would not be those of the file.
    return films, problems or find_film_problems(films)


def write_film_windows(path: str | Path, films: Iterable[FilmWindows]) -> Path:
    """
    Write one file, a line for each window. A file that holds the same already is left alone.

    :param films: of one list of categories, with nothing wrong.
    """
    path, films = Path(path), list(films)
    shared = {film.categories for film in films}
    if len(shared) != 1:
        raise AvsolError(
            f'{path} is to hold films of {len(shared)} different lists of categories; expected '
            'one: write several files'
        )
    problems = find_film_problems(films)
    if problems:
        raise AvsolError(f'{path} was not written: {sum_up(problems)}')
    return write_text(path, ''.join(_lines(films)), keep_same=True)


def _lines(films: Sequence[FilmWindows]) -> Iterator[str]:
    categories = json.dumps(list(films[0].categories))
    yield f'{{"version": {SPARSE_VERSION}, "categories": {categories}, "videos": [\n'
    for film in films:
        doubt = f'"doubt": {json.dumps(film.doubt)}, ' if film.doubt else ''
        yield (
            f'{{"video": {json.dumps(film.video)}, "width": {film.width}, '
            f'"height": {film.height}, "duration": {plain_number(film.duration)}, '
            f'{doubt}"windows": [\n'
        )
        for window in film.windows:
            values = [object_values(item) for item in window.objects]
            for value in values:
                del value['track']
            objects = json.dumps(values, allow_nan=False)
            end = '' if window is film.windows[-1] else ','
            yield f'{{"start": {plain_number(window.start)}, "objects": {objects}}}{end}\n'
        yield ']}\n' if film is films[-1] else ']},\n'
    yield ']}\n'


def _load(path: Path) -> dict:
    document = read_json(path)
    version = document_version(document)
    if version == SPARSE_VERSION:
        return document
    if version is None or version > SPARSE_VERSION:
        raise not_read(path, version)
    raise AvsolError(
        f'{path} annotates frames at a fixed rate (version {version}); expected single windows '
        f'of films (version {SPARSE_VERSION}): see avsol annotations import-windows'
    )
