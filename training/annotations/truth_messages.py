"""
Ground truth as messages: the truth of a moment, in the bag beside the camera.

One ``vision_msgs/msg/Detection2DArray`` for each frame of an annotation; its stamp is the moment
that the frame stands for. Each detection is an object:

- ``bbox``: its box in pixels of the camera's image; of a sound out of view all zeros;
- ``id``: its track, the number of the annotation;
- ``results[0].hypothesis.class_id``: its category, empty where nobody can name it;
- ``results[0].hypothesis.score``: 0.5 or more while it sounds, less while it is silent.

No detections: nothing is in view and nothing sounds.
"""

import math
import re
import zlib

from avsol_ros.bags import make_message
from avsol_ros.errors import AvsolError
from avsol_ros.messages.stamps import stamp_to_ns
from avsol_ros.training.annotations.model import NANOSECONDS, FrameTruth, ObjectTruth

TYPE = 'vision_msgs/msg/Detection2DArray'
SOUNDING = 0.5  # score from which an object sounds

# Borders become centre and size and back, with a rounding error of about 1e-11 pixels. Rounded to
# this number of decimals they are what they were.
_DECIMALS = 9
# Tracks whose id is no number, or that have none, get numbers from here on.
_FIRST_NAMED = 1 << 32
_NUMBER = re.compile('0|[1-9][0-9]{0,14}')  # what annotations take


def truth_to_detections(frame: FrameTruth, origin_ns: int, frame_id: str = ''):
    """
    Message of one frame.

    :param origin_ns: stamp of the annotation's time 0.
    :param frame_id: of the camera.
    :returns: a ``Detection2DArray`` as ``make_message`` makes it.
    """
    header = {'stamp': origin_ns + frame.time_ns, 'frame_id': frame_id}
    return make_message(
        TYPE,
        header=header,
        detections=[
            {
                'header': header,
                'id': str(item.track),
                'bbox': _bbox(item.box),
                'results': [
                    {
                        'hypothesis': {
                            'class_id': item.category or '',
                            'score': 1.0 if item.sounding else 0.0,
                        }
                    }
                ],
            }
            for item in frame.objects
        ],
    )


def detections_to_truth(msg, origin_ns: int) -> FrameTruth:
    """
    Read the frame of a message, also of other programs.

    An ``id`` that is not a number becomes a track number, always the same for the same text.
    Without ``id`` each box is a track of its own. An object that is neither in view nor sounds is
    left out.

    :param msg: ``Detection2DArray``.
    :param origin_ns: stamp of the annotation's time 0.
    :raises AvsolError: for a detection that does not follow the convention of this module.
    """
    stamp_ns = stamp_to_ns(msg.header.stamp)
    objects = []
    for position, detection in enumerate(msg.detections):
        where = f'ground truth at {stamp_ns} ns, detection {position}'
        box = _box(detection.bbox, where)
        if not detection.results:
            raise AvsolError(
                f'{where}: has no results; expected one with the category and a '
                f'score of {SOUNDING} or more while it sounds'
            )
        name, score = _hypothesis(detection.results[0])
        if not math.isfinite(score):
            raise AvsolError(
                f'{where}: the score is {score}; expected {SOUNDING} or '
                'more while it sounds, less while it is silent'
            )
        sounding = score >= SOUNDING
        if box is None and not sounding:
            continue
        objects.append(
            ObjectTruth(
                _track(_id(detection) or f'{stamp_ns}/{position}'),
                name or None,
                box,
                sounding,
                out_of_view=box is None,
            )
        )
    return FrameTruth((stamp_ns - origin_ns) / NANOSECONDS, tuple(objects))


def _bbox(box: tuple[float, float, float, float] | None) -> dict:
    if box is None:
        return {}
    x0, y0, x1, y1 = box
    return {
        'center': {'position': {'x': (x0 + x1) / 2, 'y': (y0 + y1) / 2}},
        'size_x': float(x1 - x0),
        'size_y': float(y1 - y0),
    }


def _hypothesis(result) -> tuple[str, float]:
    hypothesis = getattr(result, 'hypothesis', result)  # of Foxy the result itself, with an id
    return getattr(hypothesis, 'class_id', None) or getattr(hypothesis, 'id', ''), hypothesis.score


def _id(detection) -> str:
    return getattr(detection, 'id', '') or getattr(detection, 'tracking_id', '')


def _box(bbox, where: str) -> tuple[float, float, float, float] | None:
    """Borders of a box; None of one without any extent."""
    centre = getattr(bbox.center, 'position', bbox.center)  # Foxy: x, y, theta
    values = centre.x, centre.y, bbox.size_x, bbox.size_y
    if not all(map(math.isfinite, values)):
        raise AvsolError(f'{where}: the box is {values}; expected finite numbers')
    if bbox.size_x == 0 and bbox.size_y == 0:
        return None
    if bbox.size_x <= 0 or bbox.size_y <= 0:
        raise AvsolError(
            f'{where}: the box is {bbox.size_x:g} x {bbox.size_y:g} pixels; expected '
            'both more than 0, or both 0 of a sound out of view'
        )
    if bbox.center.theta:
        raise AvsolError(
            f'{where}: the box is turned by {bbox.center.theta:g}; expected an upright one'
        )
    half_x, half_y = bbox.size_x / 2, bbox.size_y / 2
    return tuple(
        round(v, _DECIMALS) + 0.0
        for v in (  # -0.0 becomes 0.0
            centre.x - half_x,
            centre.y - half_y,
            centre.x + half_x,
            centre.y + half_y,
        )
    )


def _track(name: str) -> int:
    if _NUMBER.fullmatch(name):
        return int(name)
    return _FIRST_NAMED + zlib.crc32(name.encode())
