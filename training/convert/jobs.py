"""
Which bags are to be made of which films.

Of a dataset that :mod:`.to_dataset` made, the clips of one bag become one bag again; every other
film becomes a bag of its own. Their truth is one file or folder for all, or lies beside each
film.
"""

from dataclasses import dataclass
from pathlib import Path

from avsol_ros.errors import AvsolError
from avsol_ros.media.film_names import FILM_SUFFIXES, is_film_name
from avsol_ros.training.annotations.annotation_files import read_annotations
from avsol_ros.training.annotations.model import Annotation
from avsol_ros.training.convert.ave_lists import BOXES, boxes_path
from avsol_ros.training.convert.film_labels import FilmLabels, labels_of_dataset
from avsol_ros.training.convert.records import (
    MANIFEST,
    clip_record,
    read_manifest,
    read_record,
)
from avsol_ros.training.convert.to_dataset import truth_record
from avsol_ros.training.datasets.ave import ANNOTATIONS


@dataclass(frozen=True, eq=False)
class Film:
    """
    A film, with what is known about it.

    :param record: of a clip that is from a bag; None for other films.
    :param annotation: its truth; None without.
    :param labels: from AVE's lists; None for films that they do not name.
    """

    path: Path
    record: dict | None = None
    annotation: Annotation | None = None
    labels: FilmLabels | None = None


@dataclass(eq=False)
class Job:
    """
    A bag to write.

    :param films: in the order of time; more than one only if they are from one recording.
    :param entry: of the manifest, for clips that are from a bag.
    :param truth: messages of ground truth as recorded: stamp, log time, CDR in base64.
    :param whole: whether these are all clips of the bag.
    """

    name: str
    films: list[Film]
    entry: dict | None = None
    truth: list | None = None
    whole: bool = True


def find_jobs(source: Path, annotations: Path | None, join: bool) -> tuple[list[Job], list[str]]:
    """
    Find out which bags are to be made of which films.

    :param source: a film, a folder of films, or a dataset.
    :param annotations: file or folder with the truth; by default what lies beside the films.
    :param join: make one bag of the clips that are from one.
    :returns: jobs, and what is wrong.
    """
    if not source.is_dir():
        truth, problems = _find_truth([source], annotations, source.parent)
        return [Job(source.stem, [Film(source, None, truth.get(source))])], problems
    folder, inside = _dataset_folders(source)
    films = _films_in(inside, source)
    truth, problems = _find_truth(films, annotations, folder)
    jobs, others = [], dict.fromkeys(films)
    for name, entry in sorted(read_manifest(folder).items()):
        clips = []
        for clip in entry['clips']:
            path = inside / f'{clip}.mp4'
            film, problem = _find_clip(path, clip_record(folder, clip), truth.get(path))
            if problem:
                problems.append(f'{clip}: {problem}')
            if film is not None:
                clips.append(film)
            if film is not None or not _size(path):
                others.pop(path, None)
        jobs += _jobs_of_bag(folder, name, entry, clips, join)
    labels, more = _find_labels(folder) if others else ({}, [])
    jobs += [
        Job(path.stem, [Film(path, None, truth.get(path), labels.get(path.stem))])
        for path in others
    ]
    return jobs, problems + more


def _dataset_folders(source: Path) -> tuple[Path, Path]:
    """The folder that holds lists or records, and the one that holds the films."""
    for folder in (source, source / 'AVE_Dataset'):
        if (folder / 'AVE').is_dir():
            return folder, folder / 'AVE'
        if (folder / ANNOTATIONS).exists() or (folder / MANIFEST).exists():
            return folder, folder
    return source, source


def _films_in(folder: Path, source: Path) -> list[Path]:
    """:param source: what the user gave, for the error."""
    films = sorted(filter(is_film_name, folder.iterdir()))
    if not films:
        raise AvsolError(
            f'{source} has neither bags nor films; expected a bag, a film '
            f'({", ".join(FILM_SUFFIXES)}), a folder of either, or a dataset with the films '
            'in AVE/'
        )
    return films


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _find_clip(
    path: Path, record_path: Path, annotation: Annotation | None
) -> tuple[Film | None, str]:
    """
    A clip of a bag with its record.

    :returns: None and why, where the film is not the one of the record.
    """
    record, size = read_record(record_path), _size(path)
    if record is not None and size == record['film_bytes']:
        return Film(path, record, annotation), ''
    return None, 'the film or its record is gone or was changed; ' + (
        'it is taken as any other film' if size else 'left out'
    )


def _find_labels(folder: Path) -> tuple[dict[str, FilmLabels], list[str]]:
    """Labels by name of the film, of a folder in AVE's layout, and what is wrong."""
    if not (folder / ANNOTATIONS).exists():
        return {}, []
    try:
        return labels_of_dataset(folder), []
    except AvsolError as error:
        return {}, [f'the bags get no labels: {error}']


def _jobs_of_bag(folder: Path, name: str, entry: dict, clips: list[Film], join: bool) -> list[Job]:
    clips = sorted(clips, key=lambda film: film.record['start_ns'])
    messages = _truth_messages(folder, name, clips)
    if join:
        return [Job(name, clips, entry, messages)] if clips else []
    starts = [film.record['start_ns'] for film in clips]
    # The messages before the first clip belong to the first, those after the last to the last.
    borders = [-1, *starts[1:], 1 << 63]
    jobs = []
    for film, start, end in zip(clips, borders, borders[1:]):
        mine = None if messages is None else [m for m in messages if start <= m[0] < end]
        jobs.append(Job(film.path.stem, [film], entry, mine, len(clips) == 1))
    return jobs


def _truth_messages(folder: Path, name: str, clips: list[Film]) -> list | None:
    """The bag's own messages of ground truth; None if the annotations were changed since."""
    messages = (read_record(truth_record(folder, name)) or {}).get('messages')
    boxes = boxes_path(folder, name)
    before = read_annotations(boxes) if messages is not None and boxes.exists() else []
    now = {a.video: a.frames for a in (film.annotation for film in clips) if a is not None}
    return messages if now == {a.video: a.frames for a in before} else None


def _find_truth(
    films: list[Path], given: Path | None, folder: Path
) -> tuple[dict[Path, Annotation], list[str]]:
    """
    Annotations of films, and what is wrong.

    :param given: file or folder that the user gave; None: what lies beside the films.
    """
    if given is None:
        found, problems = _read_beside(films, folder)
    else:
        found, problems = read_annotations(given), []
    by_name = {a.video: a for a in found}
    by_stem = {Path(a.video).stem: a for a in found}
    truth = {}
    for path in films:
        annotation = by_name.get(path.name) or by_stem.get(path.stem)
        if annotation is None and given is not None and len(films) == len(found) == 1:
            annotation = found[0]  # it can be meant for this film only
        if annotation is not None:
            truth[path] = annotation
        elif given is not None:
            problems.append(f'{path.name}: {given} has no annotation of it')
    return truth, problems


def _read_beside(films: list[Path], folder: Path) -> tuple[list[Annotation], list[str]]:
    """Read the annotations of a dataset, or the file beside each film."""
    if (folder / BOXES).exists():
        paths = [folder / BOXES]
    elif (folder / 'annotations').is_dir():
        paths = [folder / 'annotations']
    else:
        beside = (film.with_suffix('.json') for film in films)
        paths = [path for path in beside if path.exists()]
    found, problems = [], []
    for path in paths:
        try:
            found += read_annotations(path)
        except AvsolError as error:
            problems.append(f'no truth from {path}: {error}')
    return found, problems
