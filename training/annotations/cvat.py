"""
Import from CVAT: files of the format 'CVAT for video 1.1', of a task, a job or a project.

Between its boxes a track is filled in as CVAT does it: on a straight line from one box to the
next, also to a box that is outside; there is nothing after a box that is outside; the last box
stays to the end; a tag keeps its value until a box changes it.
"""

import io
import zipfile
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from avsol_ros.errors import AvsolError
from avsol_ros.training.annotations.importing import (
    ImportSettings,
    collect_tags,
    plain_name,
    read_flag,
)
from avsol_ros.training.annotations.model import Annotation, FrameTruth, ObjectTruth

# Elements of a track that are no boxes.
_OTHER_SHAPES = ('polygon', 'polyline', 'points', 'ellipse', 'cuboid', 'skeleton', 'mask')


@dataclass(frozen=True)
class _Task:
    """
    A video of the file.

    :param key: its id in a project, to which tracks refer; None where there is one task only.
    :param pictures: of the video, those that a frame step skips included.
    :param offset: number of its first picture. In a project, CVAT numbers the pictures of all
        tasks of a subset one after the other.
    """

    key: str | None
    video: str
    width: int
    height: int
    pictures: int
    offset: int = 0


@dataclass(frozen=True)
class _Box:
    frame: int
    outside: bool
    corners: tuple[float, ...]
    tags: dict


@dataclass(frozen=True)
class _Track:
    number: int
    label: str
    task: str | None
    boxes: list[_Box]


def import_cvat(path: str | Path, settings: ImportSettings) -> list[Annotation]:
    """
    Read an ``.xml`` as CVAT exports it, or the ``.zip`` around it.

    :returns: one annotation for each task in the file.
    """
    path = Path(path)
    root = _parse(path)
    tasks = _tasks(root, path, settings)
    defaults = _labels(root)
    tracks = [_track(element, path, defaults) for element in root.iter('track')]
    categories = _categories(defaults, tracks)
    return [
        Annotation(
            task.video,
            float(settings.rate),
            task.width,
            task.height,
            settings.duration(task.pictures),
            categories,
            tuple(_frames(task, [t for t in tracks if t.task in (None, task.key)], settings)),
        )
        for task in tasks
    ]


def _parse(path: Path) -> ElementTree.Element:
    try:
        content = path.read_bytes()
        if zipfile.is_zipfile(io.BytesIO(content)):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                names = [name for name in archive.namelist() if name.endswith('.xml')]
                if len(names) != 1:
                    raise AvsolError(
                        f'{path} holds {len(names)} .xml files; expected the one '
                        "of a CVAT export as 'CVAT for video 1.1'"
                    )
                content = archive.read(names[0])
        root = ElementTree.fromstring(content)
    except OSError as error:
        raise AvsolError(f'cannot read {path}: {error.strerror}') from None
    except (ElementTree.ParseError, zipfile.BadZipFile) as error:
        raise AvsolError(f'{path} is no XML: {error}') from None
    if root.tag != 'annotations':
        raise AvsolError(
            f'{path} begins with <{root.tag}>; expected <annotations>, as CVAT '
            "exports 'CVAT for video 1.1'"
        )
    if root.find('image') is not None:
        raise AvsolError(
            f"{path} is in the format 'CVAT for images'; export it as 'CVAT for "
            "video 1.1', which knows tracks"
        )
    return root


def _tasks(root, path: Path, settings: ImportSettings) -> list[_Task]:
    project = root.find('meta/project')
    if project is None:
        elements = [*root.findall('meta/task'), *root.findall('meta/job')]
    else:
        elements = project.findall('tasks/task')
    if not elements:
        raise AvsolError(f'{path} has no <meta> with a task; export it from CVAT with the task')
    if settings.video and len(elements) > 1:
        raise AvsolError(f'{path} has {len(elements)} tasks, and --video names one; leave it out')
    tasks, subset, offset = [], None, 0
    for element in elements:
        if element.findtext('subset') != subset:
            subset, offset = element.findtext('subset'), 0
        key = None if project is None else element.findtext('id')
        tasks.append(_task(element, path, settings, key, offset))
        offset += tasks[-1].pictures
    return tasks


def _task(element, path: Path, settings: ImportSettings, key: str | None, offset: int) -> _Task:
    video = settings.video or (element.findtext('source') or '').strip()
    if not video:
        raise AvsolError(f'{path} does not say of which video it is; name it with --video')
    where = f'{path}: {video}'
    width, height = settings.size or _picture_size(element, where)
    return _Task(key, video, width, height, _picture_count(element, where), offset)


def _picture_size(element, where: str) -> tuple[int, int]:
    try:
        width, height = (
            int(element.findtext(f'original_size/{side}') or '') for side in ('width', 'height')
        )
    except ValueError:
        raise AvsolError(
            f'{where} has no <original_size>, as tasks made of single '
            'pictures have none; give --size WIDTHxHEIGHT'
        ) from None
    return width, height


def _picture_count(element, where: str) -> int:
    """Pictures of the video, those that a frame step skips included."""
    start, stop, size = (
        _whole_number(element, name, where) for name in ('start_frame', 'stop_frame', 'size')
    )
    if start:
        raise AvsolError(
            f'{where} starts at frame {start}; expected a task over the whole video, from frame 0'
        )
    if size is not None:
        step = (element.findtext('frame_filter') or '').strip().removeprefix('step=')
        return size * (int(step) if step.isdecimal() else 1)
    if stop is not None:
        return stop + 1
    raise AvsolError(
        f'{where} has no <size>, so its length is not known; export it from CVAT again'
    )


def _whole_number(element, name: str, where: str) -> int | None:
    """The number in an element; None where there is no such element, or an empty one."""
    text = (element.findtext(name) or '').strip()
    if text and not text.isdecimal():
        raise AvsolError(f'{where}: {name} is {text!r}; expected a whole number')
    return int(text) if text else None


def _labels(root) -> dict[str, dict]:
    """Labels in the order of the file, each with the default values of its tags."""
    labels = {}
    for label in root.iterfind('meta//labels/label'):
        values = [
            (a.findtext('name') or '', a.findtext('default_value') or '')
            for a in label.iterfind('attributes/attribute')
        ]
        labels.setdefault(
            label.findtext('name') or '', collect_tags((n, v) for n, v in values if v)
        )
    return labels


def _categories(labels: dict, tracks: list[_Track]) -> tuple[str, ...]:
    names = [
        *labels,
        *(t.label for t in tracks),
        *(b.tags.get('category') for t in tracks for b in t.boxes),
    ]
    return tuple(dict.fromkeys(n for n in names if n and plain_name(n) != 'out_of_view'))


def _track(element, path: Path, defaults: dict[str, dict]) -> _Track:
    label = element.get('label') or ''
    where = f'{path}: track {element.get("id")} ({label})'
    if not (element.get('id') or '').isdecimal():
        raise AvsolError(f'{where}: expected a whole number as its id')
    for shape in _OTHER_SHAPES:
        if element.find(shape) is not None:
            raise AvsolError(f'{where} is a {shape}; expected boxes (rectangles)')
    boxes = []
    tags = {**defaults.get(label, {}), **_tags(element)}
    for box in sorted(element.iterfind('box'), key=lambda box: _number(box, 'frame', int, where)):
        frame = _number(box, 'frame', int, where)
        if boxes and boxes[-1].frame == frame:
            raise AvsolError(f'{where} has two boxes in frame {frame}; expected one')
        if _number(box, 'rotation', float, where, 0.0) != 0:
            raise AvsolError(f'{where} is rotated in frame {frame}; expected an upright box')
        tags = {**tags, **_tags(box)}
        corners = tuple(_number(box, name, float, where) for name in ('xtl', 'ytl', 'xbr', 'ybr'))
        boxes.append(_Box(frame, box.get('outside', '0') == '1', corners, tags))
    return _Track(int(element.get('id')), label, element.get('task_id'), boxes)


def _tags(element) -> dict:
    return collect_tags((a.get('name') or '', a.text or '') for a in element.iterfind('attribute'))


def _number(element, name: str, kind, where: str, default=None):
    text = element.get(name)
    if text is None and default is not None:
        return default
    try:
        return kind(text)
    except (TypeError, ValueError):
        raise AvsolError(f'{where}: {name} of a box is {text!r}; expected a number') from None


def _frames(task: _Task, tracks: list[_Track], settings: ImportSettings):
    starts = [[box.frame for box in track.boxes] for track in tracks]
    for time, picture in settings.moments(task.pictures):
        objects = []
        for track, frames in zip(tracks, starts):
            position = bisect_right(frames, picture + task.offset) - 1
            if position < 0 or track.boxes[position].outside:
                continue
            item = settings.finish(
                _object(track, position, picture, task), task.width, task.height
            )
            if item is not None:
                objects.append(item)
        yield FrameTruth(time, tuple(objects))


def _object(track: _Track, position: int, picture: int, task: _Task) -> ObjectTruth:
    box = track.boxes[position]
    where = f'{task.video} frame {picture} of CVAT: track {track.number} ({track.label})'
    unseen_label = plain_name(track.label) == 'out_of_view'
    unseen = unseen_label or read_flag(
        box.tags.get('out_of_view') or 'false', f'{where}: out-of-view'
    )
    if unseen:
        category = box.tags.get('category') or None if unseen_label else track.label
        return ObjectTruth(track.number, category, None, True, True)
    if 'sounding' not in box.tags:
        raise AvsolError(
            f"{where} has no attribute 'sounding'; add it to the label in CVAT, as "
            'a checkbox that may change from frame to frame'
        )
    sounding = read_flag(box.tags['sounding'], f'{where}: sounding')
    corners = box.corners
    if position + 1 < len(track.boxes):
        following = track.boxes[position + 1]
        share = (picture + task.offset - box.frame) / (following.frame - box.frame)
        corners = tuple(a + (b - a) * share for a, b in zip(corners, following.corners))
    return ObjectTruth(track.number, track.label, corners, sounding, False)
