"""
What films there are, and which bags are to be made of them.

A folder that :mod:`.to_dataset` has made gives a bag for each that it is from; of other films
each becomes a bag of its own. Their truth is one file or folder for all, or lies beside each film.
"""

from dataclasses import dataclass
from pathlib import Path

from avsol_ros.errors import AvsolError
from avsol_ros.training.annotations.files import read_annotations
from avsol_ros.training.annotations.model import Annotation
from avsol_ros.training.convert.clip_truth import BOXES, boxes_of
from avsol_ros.training.convert.records import (
    MANIFEST,
    clip_record,
    read_manifest,
    read_record,
)
from avsol_ros.training.convert.to_dataset import truth_record
from avsol_ros.training.datasets.ave import ANNOTATIONS, SPLITS, read_ave

_FILMS = ('.mp4', '.m4v', '.mov', '.mkv', '.avi', '.webm')


@dataclass(frozen=True, eq=False)
class Film:
    """
    A film, with what is known of it.

    :param record: of a clip that is from a bag; None of other films.
    :param annotation: its truth; None without.
    :param labels: what AVE's lists say of it: categories, events (category, start, end) and
        split; None of films that they do not name.
    """

    path: Path
    record: dict | None = None
    annotation: Annotation | None = None
    labels: dict | None = None


@dataclass(eq=False)
class Job:
    """
    A bag to write.

    :param films: in the order of time, more than one only of one recording.
    :param entry: of the manifest, for clips that are from a bag.
    :param truth: messages of ground truth as they were: stamp, log time, CDR in base64.
    :param whole: whether these are all clips of the bag.
    """

    name: str
    films: list[Film]
    entry: dict | None = None
    truth: list | None = None
    whole: bool = True


def find_jobs(source: Path, annotations: Path | None, join: bool) -> tuple[list[Job], list[str]]:
    """
    Tell which bags are to be made of what.

    :param annotations: file or folder with the truth; by default what lies beside the films.
    :returns: jobs, and what is wrong.
    """
    if not source.is_dir():
        truth, problems = _truth_of([source], annotations, source.parent)
        return [Job(source.stem, [Film(source, None, truth.get(source))])], problems
    folder = next(
        (
            f
            for f in (source, source / 'AVE_Dataset')
            if (f / ANNOTATIONS).exists() or (f / MANIFEST).exists() or (f / 'AVE').is_dir()
        ),
        source,
    )
    inside = folder / 'AVE' if (folder / 'AVE').is_dir() else folder
    films = sorted(
        p for p in inside.iterdir() if p.suffix.lower() in _FILMS and not p.name.startswith('.')
    )
    if not films:
        raise AvsolError(
            f'{source} has neither bags nor films; expected a bag, a film '
            f'({", ".join(_FILMS)}), a folder of either, or a dataset with the films '
            'in AVE/'
        )
    truth, problems = _truth_of(films, annotations, folder)
    jobs, known = [], set()
    for name, entry in sorted(read_manifest(folder).items()):
        clips = []
        for clip in entry['clips']:
            path, record = inside / f'{clip}.mp4', read_record(clip_record(folder, clip))
            known.add(path)
            size = path.stat().st_size if path.exists() else 0
            if record is None or size != record['film_bytes']:
                problems.append(
                    f'{clip}: the film or its record is gone or was changed; '
                    + ('it is taken as any other film' if size else 'left out')
                )
                if size:
                    known.discard(path)
                continue
            clips.append(Film(path, record, truth.get(path)))
        jobs += _jobs_of_bag(folder, name, entry, clips, join)
    others = [path for path in films if path not in known]
    labels = _labels_of(folder, problems) if others else {}
    jobs += [
        Job(path.stem, [Film(path, None, truth.get(path), labels.get(path.stem))])
        for path in others
    ]
    return jobs, problems


def _labels_of(folder: Path, problems: list[str]) -> dict[str, dict]:
    """Labels by film, of a folder in AVE's layout."""
    if not (folder / ANNOTATIONS).exists():
        return {}
    try:
        ave = read_ave(folder)
    except AvsolError as error:
        problems.append(f'the bags get no labels: {error}')
        return {}
    split_of = {line.video: split for split in SPLITS for line in ave.lines[split]}
    labels = {}
    for line in ave.annotations:
        found = labels.setdefault(
            line.video,
            {
                'categories': list(ave.categories),
                'events': [],
                'split': split_of.get(line.video, SPLITS[0]),
            },
        )
        found['events'].append([line.category, line.start, line.end])
    return labels


def _jobs_of_bag(folder: Path, name: str, entry: dict, clips: list[Film], join: bool) -> list[Job]:
    clips.sort(key=lambda film: film.record['start_ns'])
    messages = (read_record(truth_record(folder, name)) or {}).get('messages')
    if messages is not None:
        # Who has corrected the boxes wants those.
        before = (
            read_annotations(boxes_of(folder, name)) if boxes_of(folder, name).exists() else []
        )
        now = {a.video: a.frames for a in (f.annotation for f in clips) if a is not None}
        if now != {a.video: a.frames for a in before}:
            messages = None
    if join:
        return [Job(name, clips, entry, messages)] if clips else []
    jobs = []
    for number, film in enumerate(clips):
        start = film.record['start_ns'] if number else -1
        end = clips[number + 1].record['start_ns'] if number + 1 < len(clips) else 1 << 63
        mine = None if messages is None else [m for m in messages if start <= m[0] < end]
        jobs.append(Job(film.path.stem, [film], entry, mine, len(clips) == 1))
    return jobs


def _truth_of(
    films: list[Path], given: Path | None, folder: Path
) -> tuple[dict[Path, Annotation], list[str]]:
    problems, found = [], []
    if given is not None:
        found = read_annotations(given)
    else:
        for path in (
            [folder / BOXES]
            if (folder / BOXES).exists()
            else [folder / 'annotations']
            if (folder / 'annotations').is_dir()
            else [p.with_suffix('.json') for p in films if p.with_suffix('.json').exists()]
        ):
            try:
                found += read_annotations(path)
            except AvsolError as error:
                problems.append(f'no truth from {path}: {error}')
    by_name = {a.video: a for a in found}
    by_stem = {Path(a.video).stem: a for a in found}
    truth = {}
    for path in films:
        annotation = by_name.get(path.name) or by_stem.get(path.stem)
        if annotation is None and given is not None and len(films) == len(found) == 1:
            annotation = found[0]
        if annotation is not None:
            truth[path] = annotation
        elif given is not None:
            problems.append(f'{path.name}: {given} has no annotation of it')
    return truth, problems
