"""
Import from COCO: ``images``, ``annotations`` and ``categories`` as object detectors use them.

COCO itself has neither videos nor tracks. The keys that tools have added are understood:
``video_id`` with ``videos``, ``frame_index`` or ``frame_id`` of an image, ``track_id`` or
``instance_id`` of an annotation. Where they are missing, the file name counts: ``clip/000012.jpg``
is picture 12 of ``clip``. The tags are keys of an annotation or of its ``attributes``.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from pathlib import Path, PurePosixPath

from avsol_ros.errors import AvsolError
from avsol_ros.training.annotations.importing import (
    ImportSettings,
    collect_tags,
    plain_name,
    read_flag,
)
from avsol_ros.training.annotations.json_file import read_json
from avsol_ros.training.annotations.model import Annotation, FrameTruth, ObjectTruth


def import_coco(
    path: str | Path, settings: ImportSettings, first_picture: int = 0
) -> list[Annotation]:
    """
    Read a COCO file.

    Every picture needs an image, also where it shows nothing. An annotation without a track
    number becomes a track of its own.

    :param first_picture: number that the first picture of a video has.
    :returns: one annotation for each video, in the order of their first images.
    """
    path = Path(path)
    document = _load(path)
    names = {c['id']: c['name'] for c in _entries(document, 'categories', ('id', 'name'), path)}
    categories = tuple(
        n for n in dict.fromkeys(map(str, names.values())) if plain_name(n) != 'out_of_view'
    )
    videos = _pictures(document, path, settings.video, first_picture)
    boxes = defaultdict(list)
    for entry in _entries(document, 'annotations', ('image_id',), path):
        boxes[entry['image_id']].append(entry)
    known = {image['id'] for pictures in videos.values() for image in pictures.values()}
    for image_id in boxes:
        if image_id not in known:
            raise AvsolError(
                f'{path}: an annotation is of image {image_id}, which is not in "images"'
            )
    return [
        _annotation(video, pictures, boxes, names, categories, settings, first_picture)
        for video, pictures in videos.items()
    ]


def _load(path: Path) -> dict:
    document = read_json(path)
    if not isinstance(document, dict) or 'images' not in document:
        raise AvsolError(
            f'{path} is no COCO file: it has no "images"; expected images, '
            'annotations and categories'
        )
    return document


def _entries(document: dict, key: str, required: tuple, path: Path) -> list[dict]:
    entries = document.get(key)
    if not isinstance(entries, list):
        raise AvsolError(
            f'{path} has no list "{key}"; expected images, annotations and categories'
        )
    for index, entry in enumerate(entries):
        for name in required:
            if not isinstance(entry, dict) or not isinstance(entry.get(name), (int, str)):
                raise AvsolError(
                    f'{path}: {key}[{index}] has no "{name}" that is a number or a text'
                )
    return entries


def _pictures(document: dict, path: Path, name: str | None, first: int) -> dict[str, dict]:
    """
    Images by video and number, the first having number 0.

    :param name: of the video, where the user gave it.
    """
    titles = _titles(document, path)
    videos: dict[str, dict] = {}
    for image in _entries(document, 'images', ('id',), path):
        where = f'{path}: image {image["id"]}'
        file = PurePosixPath(str(image.get('file_name', '')).replace('\\', '/'))
        video = titles.get(_plain_id(image.get('video_id'))) or name or file.parent.name
        if not video:
            raise AvsolError(
                f'{where} belongs to no video: it has neither a video_id nor a '
                'folder in its file_name; name the video with --video'
            )
        number = _frame_number(image, file, where)
        pictures = videos.setdefault(str(video), {})
        _check_picture(image, number, first, pictures, f'{where} of {video}')
        pictures[number - first] = image
    if not videos:
        raise AvsolError(f'{path} has no images')
    if name and len(videos) > 1:
        raise AvsolError(f'{path} has {len(videos)} videos, and --video names one; leave it out')
    return videos


def _titles(document: dict, path: Path) -> dict:
    """Names of videos by id; those without a name have None."""
    if not document.get('videos'):
        return {}
    return {
        entry['id']: entry.get('name') or entry.get('file_name')
        for entry in _entries(document, 'videos', ('id',), path)
    }


def _plain_id(value):
    """An id as it is, None for what cannot be one."""
    return value if isinstance(value, (int, str)) else None


def _check_picture(image: dict, number: int, first: int, others: dict, where: str) -> None:
    """:param others: pictures of the same video so far, by number from 0."""
    if number < first:
        raise AvsolError(
            f'{where} has number {number}, which is before the first, {first}; choose another '
            '--first'
        )
    if number - first in others:
        raise AvsolError(
            f'{where} has number {number}, as has image {others[number - first]["id"]}; expected '
            'different numbers'
        )
    if not all(type(image.get(side)) is int and image[side] > 0 for side in ('width', 'height')):
        raise AvsolError(f'{where} has no width and height; expected whole numbers of pixels')


def _frame_number(image: dict, file: PurePosixPath, where: str) -> int:
    for key in ('frame_index', 'frame_id'):
        if type(image.get(key)) is int:
            return image[key]
    digits = re.search(r'\d+$', file.stem)
    if not digits:
        raise AvsolError(
            f'{where} has no frame_index and no number at the end of its file_name {file.name!r}'
        )
    return int(digits[0])


def _annotation(
    video: str,
    pictures: dict[int, dict],
    boxes: dict,
    names: dict,
    categories: tuple,
    settings: ImportSettings,
    first: int,
) -> Annotation:
    width, height = _common_size(video, pictures)
    length = max(pictures) + 1
    moments = list(settings.moments(length))
    _check_complete(video, pictures, [number for _, number in moments], settings, first)
    spare = _spare_tracks([entry for image in pictures.values() for entry in boxes[image['id']]])
    frames = []
    for time, number in moments:
        objects = (
            _object(entry, names, f'{video} picture {number + first}', spare)
            for entry in boxes[pictures[number]['id']]
        )
        finished = (settings.finish(item, width, height) for item in objects)
        frames.append(FrameTruth(time, tuple(item for item in finished if item is not None)))
    return Annotation(
        video,
        float(settings.rate),
        width,
        height,
        settings.duration(length),
        categories,
        tuple(frames),
    )


def _common_size(video: str, pictures: dict[int, dict]) -> tuple[int, int]:
    sizes = {(image['width'], image['height']) for image in pictures.values()}
    if len(sizes) > 1:
        raise AvsolError(f'{video} has pictures of {len(sizes)} sizes; expected one size')
    return sizes.pop()


def _check_complete(
    video: str, pictures: dict, needed: list[int], settings: ImportSettings, first: int
) -> None:
    missing = [number for number in needed if number not in pictures]
    if missing:
        raise AvsolError(
            f'{video}: of {len(needed)} pictures {len(missing)} are missing, first '
            f'number {missing[0] + first}; expected an image for every '
            f'1/{float(settings.rate):g} s, at --fps {float(settings.fps):g}'
        )


def _spare_tracks(entries: list[dict]) -> Iterator[int]:
    """Numbers that no track has, for annotations that are a track of their own."""
    used = [track for track in map(_track, entries) if track is not None]
    return count(max(used, default=-1) + 1)


def _attributes(entry: dict) -> dict:
    attributes = entry.get('attributes')
    return {**(attributes if isinstance(attributes, dict) else {}), **entry}


def _track(entry: dict) -> int | None:
    values = _attributes(entry)
    for key in ('track_id', 'instance_id'):
        if type(values.get(key)) is int:
            return values[key]
    return None


def _object(entry: dict, names: dict, picture: str, spare: Iterator[int]) -> ObjectTruth:
    where = f'{picture}: annotation {entry.get("id", "without id")}'
    tags = collect_tags(_attributes(entry).items())
    track = _track(entry)
    track = next(spare) if track is None else track
    if track < 0:
        raise AvsolError(f'{where}: its track has the number {track}; expected 0 or more')
    category = names.get(_plain_id(entry.get('category_id')))
    if category is None:
        raise AvsolError(
            f'{where}: category_id is {entry.get("category_id")!r}; expected one of "categories"'
        )
    unseen_label = plain_name(str(category)) == 'out_of_view'
    if unseen_label or read_flag(tags.get('out_of_view', False), f'{where}: out_of_view'):
        return ObjectTruth(track, None if unseen_label else str(category), None, True, True)
    if 'sounding' not in tags:
        raise AvsolError(
            f'{where} has no "sounding"; expected it beside "bbox" or in '
            '"attributes", true or false'
        )
    return ObjectTruth(
        track,
        str(category),
        _corners(entry.get('bbox'), where),
        read_flag(tags['sounding'], f'{where}: sounding'),
        False,
    )


def _corners(box, where: str) -> tuple[float, float, float, float]:
    """:param box: x, y, width and height, if it is right."""
    if not (isinstance(box, list) and len(box) == 4 and all(type(v) in (int, float) for v in box)):
        raise AvsolError(f'{where}: bbox is {json.dumps(box)}; expected x, y, width, height')
    x, y, width, height = map(float, box)
    return x, y, x + width, y + height
