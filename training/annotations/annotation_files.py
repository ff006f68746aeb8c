"""
Annotations as JSON: one file for a data set, or a folder with a file for each video.

Version 1 was the truth of one synthetic film and is still read. Version 3 is the sparse annotation
of films, see ``sparse_files``.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from avsol_ros.errors import AvsolError
from avsol_ros.files import write_text
from avsol_ros.share import share_folder
from avsol_ros.training.annotations.document import SPARSE_VERSION, VERSION, read_document
from avsol_ros.training.annotations.json_file import read_json
from avsol_ros.training.annotations.model import Annotation, ObjectTruth
from avsol_ros.training.annotations.problems import Fault, Place, Problem, find_problems, sum_up


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
        raise AvsolError(sum_up(problems, ': see avsol annotations check'))
    return annotations


def examine(*paths: str | Path) -> tuple[list[Annotation], list[Problem]]:
    """
    Read what can be read, and find everything that is wrong.

    :returns: annotations, without the objects of wrong form, and problems. A frame of wrong form
        keeps its place, so that those after it keep their numbers.
    """
    annotations, problems = [], []
    for path in annotation_paths(paths):
        try:
            found, wrong = read_document(_load(path), str(path))
        except AvsolError as error:
            problems.append(Problem(Fault.UNREADABLE, Place(str(path)), {'reason': str(error)}))
            continue
        annotations += found
        problems += wrong
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
        raise AvsolError(f'{path} was not written: {sum_up(problems)}')
    return write_text(path, ''.join(_lines(annotations)), keep_same=True)


def document_version(document) -> int | None:
    """Version that the plain values of a file say; None of what is no annotation."""
    version = document.get('version') if isinstance(document, dict) else None
    known = type(version) is int and version > 0 and not (version == 1 and 'video' not in document)
    return version if known else None


def not_read(path: Path, version: int | None) -> AvsolError:
    """Why a file of a version that nobody here reads cannot be read."""
    if version is None:
        return AvsolError(
            f'{path} is no annotation: it lacks "version" or "videos"; convert other '
            'formats with avsol annotations import-cvat, import-coco or import-windows'
        )
    return AvsolError(
        f'{path} is of version {version}, and this avsol knows versions up to '
        f'{SPARSE_VERSION}; install a newer one'
    )


def _lines(annotations: Sequence[Annotation]):
    rate, categories = annotations[0].rate, list(annotations[0].categories)
    yield (
        f'{{"version": {VERSION}, "rate": {plain_number(rate)}, "categories": '
        f'{json.dumps(categories)}, "videos": [\n'
    )
    for a in annotations:
        yield (
            f'{{"video": {json.dumps(a.video)}, "width": {a.width}, "height": {a.height}, '
            f'"duration": {plain_number(a.duration)}, "frames": [\n'
        )
        for frame in a.frames:
            objects = json.dumps([object_values(o) for o in frame.objects], allow_nan=False)
            end = '' if frame is a.frames[-1] else ','
            yield f'{{"time": {plain_number(frame.time)}, "objects": {objects}}}{end}\n'
        yield ']}\n' if a is annotations[-1] else ']},\n'
    yield ']}\n'


def object_values(item: ObjectTruth) -> dict:
    """Plain values of an object, as files have it."""
    values = {
        'track': item.track,
        'category': item.category,
        'box': None if item.box is None else [plain_number(v) for v in item.box],
        'sounding': item.sounding,
    }
    return {**values, 'out_of_view': True} if item.out_of_view else values


def plain_number(value: float) -> float | int:
    """A number as files have it: without a fraction where there is none."""
    return int(value) if value == int(value) else value


def annotation_paths(paths: Iterable[str | Path]) -> list[Path]:
    """Files, and those inside of folders."""
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
    document = read_json(path)
    version = document_version(document)
    if version == SPARSE_VERSION:
        raise AvsolError(
            f'{path} annotates single windows of films (version {version}); expected boxes at a '
            'fixed rate; score models on such windows with avsol evaluate --data'
        )
    if version is None or version > VERSION:
        raise not_read(path, version)
    return _from_version_1(document) if version == 1 else document


def _from_version_1(document: dict) -> dict:
    shared = {name: document[name] for name in ('rate', 'categories') if name in document}
    video = {name: value for name, value in document.items() if name not in ('version', *shared)}
    return {'version': VERSION, **shared, 'videos': [video]}
