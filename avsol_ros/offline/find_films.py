"""Which films are meant, and where the files of each go."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from avsol_ros.bags.bag_paths import is_bag
from avsol_ros.errors import AvsolError
from avsol_ros.media.film_names import FILM_SUFFIXES, is_film_name
from avsol_ros.offline.file_names import LINES

#: Where results go if nothing else is said: below it, a folder with the name of the film.
DEFAULT_OUT = Path('out/localize')

#: The page of all films, in the folder of the results.
INDEX = 'index.html'

_NAMED = 5  # of what was skipped in a folder


@dataclass(frozen=True)
class FilmJob:
    """A film to localize, and the folder for its files."""

    film: Path
    folder: Path


@dataclass
class FilmPlan:
    """
    What is to be done.

    :param jobs: one for each film, in the order in which they were named.
    :param index_folder: where a page of all films goes; None for a single film.
    :param skipped: what was left out of folders, one line each.
    :param refused: what cannot be used, one line each.
    :param renamed: folders that are not named as their films, since they would replace results of
        others, one line each.
    """

    jobs: list[FilmJob]
    index_folder: Path | None
    skipped: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    renamed: list[str] = field(default_factory=list)


def plan_films(sources: Iterable[str | Path], out: str | Path | None = None) -> FilmPlan:
    """
    Find the films and give each a folder for its files.

    A single film has ``out``, or ``out/localize/NAME``, for itself. Of several films, or of a
    folder, each has a folder of its name below; where names collide, the later ones get a number.
    So do those whose folder holds results of another film; they are never replaced. Results of
    the same film are.

    :param sources: films and folders; of a folder all films in it are taken, but not those in
        folders in it.
    :param out: where results go. By default ``out/localize``; of one source that is a folder,
        ``out/localize/NAME``.
    :raises AvsolError: where ``out``, for a single film, holds results of another.
    """
    paths = [_path(source) for source in sources]
    skipped: list[str] = []
    refused: list[str] = []
    found: dict[Path, Path] = {}  # by what a film really is: one named twice is localized once
    for path in paths:
        try:
            for film in _films_of(path, skipped):
                found.setdefault(film.resolve(), film)
        except AvsolError as error:
            refused.append(str(error))
    films = list(found.values())
    if len(paths) == 1 and not paths[0].is_dir():
        plan = FilmPlan([], None, skipped, refused)
        if out is None:
            _give_folders(plan, films, DEFAULT_OUT)
        else:
            plan.jobs = [FilmJob(film, Path(out)) for film in films]
            for job in plan.jobs:
                refuse_other_results(job.folder, job.film)
        return plan
    root = Path(out) if out is not None else DEFAULT_OUT
    if out is None and len(paths) == 1:
        root /= paths[0].resolve().name or 'films'
    plan = FilmPlan([], root, skipped, refused)
    _give_folders(plan, films, root)
    return plan


def _path(source: str | Path) -> Path:
    if not str(source):
        raise AvsolError('the name of a film is empty; expected a film or a folder with films')
    return Path(source)


def _give_folders(plan: FilmPlan, films: Iterable[Path], root: Path) -> None:
    """Give each film a folder below the root that neither an earlier one nor others have."""
    given = {INDEX}
    for film in films:
        others: dict[str, str] = {}

        def is_taken(name: str, film: Path = film, others: dict[str, str] = others) -> bool:
            if name in given:
                return True
            if other := _other_results(root / name, film):
                others[name] = other
            return name in others

        name = _numbered(folder_name(film), is_taken)
        given.add(name)
        plan.jobs.append(FilmJob(film, root / name))
        for taken, other in others.items():
            plan.renamed.append(
                f'{root / taken} holds the results of {other}; those of {film} go to {root / name}'
            )


def _other_results(folder: Path, film: Path) -> str:
    """Name what a folder holds results of, where that is not the film; '' without any."""
    try:
        with open(folder / LINES, encoding='utf-8') as lines:
            first = json.loads(lines.readline())
    except OSError:
        return ''
    except ValueError:
        first = None
    other = first.get('film') if isinstance(first, dict) else None
    if not isinstance(other, str):
        return 'something that is no film'
    return '' if Path(other).resolve() == film.resolve() else other


def refuse_other_results(folder: Path, film: Path) -> None:
    """Raise AvsolError where a folder holds results that are not of the film."""
    if other := _other_results(folder, film):
        raise AvsolError(
            f'{folder} holds the results of {other}; choose another folder with --out'
        )


def folder_name(film: Path) -> str:
    """The name of a film without its suffix, where that names no other folder, as '..' does."""
    return film.name if film.stem in ('', '.', '..') else film.stem


def unique_names(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """
    Names in their order; those that were there before get a number: clip, clip-2, clip-3.

    :param taken: names that are not to be given.
    """
    given: list[str] = []
    unique = set(taken)
    for name in names:
        given.append(_numbered(name, unique.__contains__))
        unique.add(given[-1])
    return given


def _numbered(name: str, is_taken: Callable[[str], bool]) -> str:
    candidate, number = name, 2
    while is_taken(candidate):
        candidate, number = f'{name}-{number}', number + 1
    return candidate


def refuse_missing(plan: FilmPlan) -> None:
    """Move the films that are not there from what is to be done to what is refused."""
    lost = [job for job in plan.jobs if not job.film.exists()]
    plan.refused += [
        f'{job.film} does not exist; expected a film, or a folder with films' for job in lost
    ]
    plan.jobs = [job for job in plan.jobs if job not in lost]


def refuse_overwriting(jobs: Iterable[FilmJob], written: Iterable[str]) -> None:
    """
    Raise AvsolError where a file that is to be written would replace a film that is to be read.

    :param written: names of files in the folder of each job.
    """
    jobs, written = list(jobs), list(written)
    films = {job.film.resolve() for job in jobs}
    for job in jobs:
        for name in written:
            if (job.folder / name).resolve() in films:
                raise AvsolError(
                    f'{job.folder / name} is a film that is to be localized, and would be '
                    'replaced by a result; choose another folder with --out'
                )


def _films_of(source: Path, skipped: list[str]) -> list[Path]:
    """
    The film, or the films in a folder by their names.

    :param skipped: gets a line about what else is in the folder and is not hidden.
    """
    if not source.is_dir():
        if is_bag(source):
            raise AvsolError(f'{source} is a bag, not a film; give it to avsol evaluate')
        return [source]
    try:
        inside = sorted(path for path in source.iterdir() if not path.name.startswith('.'))
    except OSError as error:
        raise AvsolError(f'cannot read the folder {source} ({error.strerror})') from None
    films = [path for path in inside if is_film_name(path) and not path.is_dir()]
    if not films and is_bag(source):
        raise AvsolError(f'{source} is a bag, not a film; give it to avsol evaluate')
    if not films:
        raise AvsolError(
            f'{source} has no films; expected files whose names end in {", ".join(FILM_SUFFIXES)}'
        )
    taken = set(films)
    others = [path.name + '/' * path.is_dir() for path in inside if path not in taken]
    if others:
        more = len(others) - _NAMED
        skipped.append(
            f'{source}: skipped what does not have the name of a film: '
            + ', '.join(others[:_NAMED])
            + (f' and {more} more' if more > 0 else '')
        )
    return films
