"""
Import from COCO: ``images``, ``annotations`` and ``categories`` as object detectors use them.

COCO itself knows neither videos nor tracks. The keys that tools have added are understood:
``video_id`` with ``videos``, ``frame_index`` or ``frame_id`` of an image, ``track_id`` or
``instance_id`` of an annotation. Where they are missing, the file name tells: ``clip/000012.jpg``
is picture 12 of ``clip``. The tags are keys of an annotation or of its ``attributes``.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from avsol_ros.errors import AvsolError
from avsol_ros.training.annotations.importing import (
    ImportSettings,
    collect_tags,
    plain_name,
    read_flag,
)
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
    try:
        document = json.loads(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise AvsolError(f'cannot read {path}: {error.strerror}') from None
    except (ValueError, RecursionError) as error:
        raise AvsolError(f'{path} is no JSON: {error}') from None
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
    """Images by video and number, the first having number 0."""
    titles = {}
    if document.get('videos'):
        for entry in _entries(document, 'videos', ('id',), path):
            titles[entry['id']] = entry.get('name') or entry.get('file_name')
    videos: dict[str, dict] = {}
    for image in _entries(document, 'images', ('id',), path):
        where = f'{path}: image {image["id"]}'
        file = PurePosixPath(str(image.get('file_name', '')).replace('\\', '/'))
        owner = image.get('video_id')
        titled = titles.get(owner) if isinstance(owner, (int, str)) else None
        video = titled or name or file.parent.name
        if not video:
            raise AvsolError(
                f'{where} belongs to no video: it has neither a video_id nor a '
                'folder in its file_name; name the video with --video'
            )
        number = _frame_number(image, file, where) - first
        pictures = videos.setdefault(str(video), {})
        if number < 0:
            raise AvsolError(
                f'{where} of {video} has number {number + first}, which is before '
                f'the first, {first}; choose another --first'
            )
        if number in pictures:
            raise AvsolError(
                f'{where} and image {pictures[number]["id"]} are both picture '
                f'{number + first} of {video}'
            )
        if not all(
            type(image.get(side)) is int and image[side] > 0 for side in ('width', 'height')
        ):
            raise AvsolError(
                f'{where} of {video} has no width and height; expected whole numbers of pixels'
            )
        pictures[number] = image
    if not videos:
        raise AvsolError(f'{path} has no images')
    if name and len(videos) > 1:
        raise AvsolError(f'{path} has {len(videos)} videos, and --video names one; leave it out')
    return videos


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
    count = max(pictures) + 1
    size = {(image['width'], image['height']) for image in pictures.values()}
    if len(size) > 1:
        raise AvsolError(f'{video} has pictures of {len(size)} sizes; expected one size')
    width, height = size.pop()
    moments = [(time, number) for time, number in settings.moments(count)]
    missing = [number for _, number in moments if number not in pictures]
    if missing:
        raise AvsolError(
            f'{video}: of {len(moments)} pictures {len(missing)} are missing, first '
            f'number {missing[0] + first}; expected an image for every '
            f'1/{float(settings.rate):g} s, at --fps {float(settings.fps):g}'
        )
    taken = [_track(entry) for image in pictures.values() for entry in boxes[image['id']]]
    spare = iter(range(max((t for t in taken if t is not None), default=-1) + 1, 1 << 62))
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
        settings.duration(count),
        categories,
        tuple(frames),
    )


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
    number = entry.get('category_id')
    category = names.get(number) if isinstance(number, (int, str)) else None
    if category is None:
        raise AvsolError(f'{where}: category_id is {number!r}; expected one of "categories"')
    unseen_label = plain_name(str(category)) == 'out_of_view'
    if unseen_label or read_flag(tags.get('out_of_view', False), f'{where}: out_of_view'):
        return ObjectTruth(track, None if unseen_label else str(category), None, True, True)
    if 'sounding' not in tags:
        raise AvsolError(
            f'{where} has no "sounding"; expected it beside "bbox" or in '
            '"attributes", true or false'
        )
    box = entry.get('bbox')
    if not (isinstance(box, list) and len(box) == 4 and all(type(v) in (int, float) for v in box)):
        raise AvsolError(f'{where}: bbox is {json.dumps(box)}; expected x, y, width, height')
    x, y, width, height = map(float, box)
    return ObjectTruth(
        track,
        str(category),
        (x, y, x + width, y + height),
        read_flag(tags['sounding'], f'{where}: sounding'),
        False,
    )
