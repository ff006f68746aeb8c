"""
Bags to a dataset in AVE's layout, with boxes, and records of everything that films cannot hold.

The folder gets ``AVE/<clip>.mp4``, ``Annotations.txt`` and the three lists, ``categories.txt``,
``annotations.json``, and the records of :mod:`.records`. Bags of earlier runs stay, so that the
bags of each split can be converted by a command of their own.
"""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from avsol_ros.bags import BagReader, is_bag
from avsol_ros.bags.bag_paths import METADATA, storage_files
from avsol_ros.errors import AvsolError
from avsol_ros.files import CannotWrite, is_part, remove_leftovers
from avsol_ros.locks import LOCK_NAME, lock_folder
from avsol_ros.streams.time_jumps import PARTS_APART_NS
from avsol_ros.training.annotations.annotation_files import read_annotations, write_annotations
from avsol_ros.training.annotations.bag_keys import (
    ANNOTATION_KEY,
    CATEGORIES_KEY,
    VIDEO_KEY,
)
from avsol_ros.training.annotations.model import Annotation
from avsol_ros.training.convert.ave_lists import boxes_path, write_lists
from avsol_ros.training.convert.clip_films import film_path
from avsol_ros.training.convert.clip_truth import annotate_clips
from avsol_ros.training.convert.film_labels import labels_of_bag
from avsol_ros.training.convert.from_bag import BagOptions, Converted, convert_bag
from avsol_ros.training.convert.records import (
    MANIFEST,
    clip_record,
    fingerprint,
    read_manifest,
    read_record,
    write_manifest,
    write_record,
)
from avsol_ros.training.datasets.ave import SPLITS


@dataclass(frozen=True)
class Labels:
    """
    What is known of bags without a ground truth of their own.

    :param annotations: file or folder; its seconds count from the bag's origin. Used instead of
        the truth in the bag.
    :param category: of what sounds in view all the time, where there are no annotations.
    """

    annotations: Path | None = None
    category: str = ''


DEFAULTS, UNLABELLED = BagOptions(), Labels()


@dataclass(eq=False)
class Outcome:
    """
    The result for each bag.

    :param clips: how many there are of each bag of this run, by name.
    :param reused: names of bags of which nothing had to be done.
    :param failed: names of bags that could not be converted, and why.
    :param problems: one line each, beginning with the bag's name.
    :param lines: of Annotations.txt.
    """

    clips: dict[str, int] = field(default_factory=dict)
    reused: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    lines: int = 0


def convert_bags(
    bags: list[Path],
    folder: Path,
    options: BagOptions = DEFAULTS,
    labels: Labels = UNLABELLED,
    splits: dict[str, float] | None = None,
    seed: int = 0,
    report: Callable[[str, float], None] = lambda name, share: None,
) -> Outcome:
    """
    Convert what is not converted yet.

    A bag is converted again when its files or the options have changed.

    :param splits: shares of the bags in each split. None: bags of earlier runs keep their split;
        new ones get the split of the film that they are from, else test. A bag is always in one
        split only.
    :param report: called with a bag's name and the share of it that is done.
    """
    _check_destination(folder)
    given = [] if labels.annotations is None else read_annotations(labels.annotations)
    with lock_folder(folder):
        sources = read_manifest(folder)
        write_manifest(folder, sources)
        for place in ('.', 'AVE', 'conversion', 'annotations'):
            remove_leftovers(folder / place, locked=True)
        outcome = Outcome()
        names = _names(bags, sources)
        split_of = _distribute(list(names), splits, seed) if splits else {}
        for name, path in names.items():
            try:
                entry = _convert_one(
                    path,
                    folder,
                    name,
                    options,
                    sources.get(name),
                    given,
                    len(bags) == 1,
                    labels,
                    outcome,
                    report,
                )
            except CannotWrite:
                raise
            except AvsolError as error:
                outcome.failed[name] = str(error)
                continue
            old = sources.get(name, {})
            told = labels_of_bag(entry['custom']).split
            entry |= {
                'split': split_of.get(name) or old.get('split', told),
                'category': labels.category or old.get('category', ''),
            }
            sources[name] = entry
            outcome.clips[name] = len(entry['clips'])
            write_manifest(folder, sources)
        problems, outcome.lines = write_lists(folder, sources)
        outcome.problems += problems
    return outcome


def _check_destination(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise AvsolError(f'{folder} is a file; give a folder for the dataset')
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = [
            p.name for p in folder.iterdir() if p.name != LOCK_NAME and not is_part(p, MANIFEST)
        ]
    except OSError as error:
        raise AvsolError(
            f'cannot make the folder {folder} ({error.strerror}); choose another'
        ) from None
    if there and not (folder / MANIFEST).exists():
        raise AvsolError(
            f'{folder} is not empty and no dataset that avsol convert has made '
            f'(it has no {MANIFEST}); choose another folder'
        )


def _names(bags: list[Path], sources: dict[str, dict]) -> dict[str, Path]:
    """Names of bags in the dataset: their own, with a number where two are equal."""
    found = {}
    for path in bags:
        where = str((path.parent if path.name == 'metadata.yaml' else path).resolve())
        plain = Path(where)
        stem = plain.name if plain.is_dir() else plain.name.partition('.')[0]
        stem = re.sub(r'[^\w.+-]+', '_', stem).strip('._') or 'bag'
        name, number = stem, 2
        while name in found or (name in sources and not _is_same(sources[name], where)):
            name, number = f'{stem}-{number}', number + 1
        found[name] = Path(where)
    return found


def _is_same(entry: dict, where: str) -> bool:
    """Whether a bag is the one of an entry; a bag that was moved is known by its files."""
    if entry['path'] == where:
        return True
    # A bag that was removed after its conversion keeps its name.
    return not Path(entry['path']).exists() and entry['fingerprint'] == fingerprint(Path(where))


def _distribute(names: list[str], shares: dict[str, float], seed: int) -> dict[str, str]:
    """Distribute bags over splits, as close to the shares as possible."""
    order = [sorted(names)[i] for i in np.random.default_rng(seed).permutation(len(names))]
    total = sum(shares.values())
    dealt, done = {}, 0.0
    for split in SPLITS:
        done += shares.get(split, 0.0) / total
        for name in order[len(dealt) : round(done * len(order))]:
            dealt[name] = split
    return dealt


def _convert_one(
    path: Path,
    folder: Path,
    name: str,
    options: BagOptions,
    old: dict | None,
    given: list[Annotation],
    only: bool,
    labels: Labels,
    outcome: Outcome,
    report,
) -> dict:
    if old is not None and _is_done(path, folder, name, options, old):
        outcome.reused.append(name)
        entry = dict(old)
    else:
        converted = convert_bag(path, folder, name, options, lambda share: report(name, share))
        entry = _truth_of_topic(folder, name, converted)
        entry['problems'] = converted.problems + entry['problems']
        _remove_old_clips(folder, name, entry['clips'])
    outcome.problems += [f'{name}: {line}' for line in entry['problems']]
    if given:
        problems = _truth_of_file(folder, name, entry, given, only)
        outcome.problems += [f'{name}: {line}' for line in problems]
    return entry


def _is_done(path: Path, folder: Path, name: str, options: BagOptions, entry: dict) -> bool:
    try:
        if entry['fingerprint'] != fingerprint(path) or entry['options'] != asdict(options):
            return False
        for clip in entry['clips']:
            record = read_record(clip_record(folder, clip))
            if record is None:
                return False
            film = film_path(folder, clip)
            if record['film_bytes'] != (film.stat().st_size if film.exists() else 0):
                return False
    except (OSError, KeyError):
        return False
    return entry['truth'] is None or boxes_path(folder, name).exists()


def _remove_old_clips(folder: Path, name: str, clips: list[str]) -> None:
    """Remove clips of an earlier version of the bag."""
    for path in [*folder.glob(f'AVE/{name}_*.mp4'), *folder.glob(f'conversion/{name}_*.json')]:
        if path.stem not in clips and path.stem.removeprefix(f'{name}_').isdecimal():
            path.unlink()


def truth_record(folder: Path, name: str) -> Path:
    return folder / 'conversion' / f'{name}.truth.json'


def _truth_of_topic(folder: Path, name: str, converted: Converted) -> dict:
    """Write the ground truth of a bag's clips; return the manifest entry with it."""
    entry = converted.entry | {
        'truth': None,
        'about': _about(converted.entry['custom']),
        'problems': [],
    }
    messages = converted.truth
    if not messages:
        truth_record(folder, name).unlink(missing_ok=True)
        boxes_path(folder, name).unlink(missing_ok=True)
        return entry
    by_stamp = {}
    for message in messages:
        by_stamp.setdefault(message.stamp_ns, message.frame)
    truth = sorted(by_stamp.items())
    found = annotate_clips(folder, entry['clips'], truth, entry['about'])
    entry['problems'] = [str(problem) for problem in found.problems]
    if not found.own_times:
        entry['problems'].append(
            'the ground truth comes at times that are no multiples of one '
            'period; clips got the nearest at 10 per second'
        )
    write_record(
        truth_record(folder, name),
        {'messages': [[m.stamp_ns, m.log_ns, base64.b64encode(m.raw).decode()] for m in messages]},
    )
    _write_boxes(folder, name, found.annotations)
    entry['truth'] = 'topic' if found.annotations else None
    return entry


def _truth_of_file(
    folder: Path, name: str, entry: dict, given: list[Annotation], only: bool
) -> list[str]:
    called = {
        name,
        Path(entry['path']).name,
        Path(entry['path']).stem,
        entry['custom'].get(VIDEO_KEY),
    }
    fitting = [a for a in given if a.video in called or Path(a.video).stem in called]
    if not fitting and only and len(given) == 1:
        fitting = given
    if len(fitting) != 1:
        return [f'the annotations have {len(fitting)} of it; expected one whose video is {name}']
    annotation = fitting[0]
    truth = [(entry['origin_ns'] + frame.time_ns, frame) for frame in annotation.frames]
    about = annotation.about()
    found = annotate_clips(folder, entry['clips'], truth, about)
    truth_record(folder, name).unlink(missing_ok=True)
    _write_boxes(folder, name, found.annotations)
    entry |= {'truth': 'annotations' if found.annotations else None, 'about': about}
    return [str(problem) for problem in found.problems]


def _about(custom: dict) -> dict:
    """What a bag's custom data says about the annotation that it was made with."""
    found = {}
    for key in (ANNOTATION_KEY, CATEGORIES_KEY):
        try:
            value = json.loads(custom.get(key, 'null'))
        except ValueError:
            continue
        if isinstance(value, dict):
            found |= value
        elif isinstance(value, list) and all(isinstance(name, str) for name in value):
            found['categories'] = value
    return found


def _write_boxes(folder: Path, name: str, annotations: list[Annotation]) -> None:
    if annotations:
        write_annotations(boxes_path(folder, name), annotations)
    else:
        boxes_path(folder, name).unlink(missing_ok=True)


def bags_in(path: Path) -> list[Path]:
    """Return the bags that a path stands for: itself, or those in the folder."""
    if not path.is_dir() or (path / METADATA).exists():
        return [path] if is_bag(path) else []
    return (
        [path]
        if parts_of(path)
        else sorted(p for p in path.iterdir() if not p.name.startswith('.') and is_bag(p))
    )


def parts_of(folder: Path) -> list[Path]:
    """
    Return the files of a folder that are parts of one recording without metadata.yaml.

    The names of parts differ by a number at their end, but so may the names of different
    recordings. Therefore each file must also begin where the one before ends. Taking parts for
    separate recordings only cuts a clip in two; joining separate recordings would be worse, as
    their truth would be wrong.

    :returns: none if the files are not parts of one recording.
    """
    if any(p.is_dir() and is_bag(p) for p in folder.iterdir() if not p.name.startswith('.')):
        return []
    files = storage_files(folder)
    names = [re.fullmatch(r'(.+)_\d+', p.name.partition('.')[0]) for p in files]
    if not all(names) or len({name[1] for name in names}) != 1:
        return []
    if len(files) == 1:
        return files if names[0][1] == folder.resolve().name else []
    return files if _follow_each_other(files) else []


def _follow_each_other(files: list[Path]) -> bool:
    spans = []
    for path in files:
        try:
            with BagReader(path) as reader:
                spans.append((reader.start_ns, reader.end_ns))
        except AvsolError:
            return False
    return all(abs(start - end) <= PARTS_APART_NS for (_, end), (start, _) in pairwise(spans))
