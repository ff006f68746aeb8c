"""What was found, as a bag with the topics that the live localizer publishes."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from avsol_ros.bags import BagReader, BagWriter, is_bag, make_message
from avsol_ros.errors import AvsolError
from avsol_ros.localization import UNNAMED, Box, Localization
from avsol_ros.offline.bag_source import ORIGIN_KEY
from avsol_ros.offline.localization_run import Finding

#: What the bag of results keeps beside its messages.
CENTRE_KEY, SIZE_KEY, MODEL_KEY, SOURCE_KEY = (
    'avsol_first_centre',
    'avsol_image_size',
    'avsol_model',
    'avsol_source',
)
#: Names of topics, as the localizer has them when it runs live.
SPACE = '/avsol_localizer'

_TYPES = {
    'sounding_objects': 'avsol_ros/msg/SoundingObjects',
    'detections': 'vision_msgs/msg/Detection2DArray',
    'heatmap_float': 'sensor_msgs/msg/Image',
}


class ResultsBag:
    """
    The localizer's topics as a bag: SoundingObjects, detections, and maps of the model's values.

    :param heatmap_size: width and height of the maps; (0, 0) for the size of the camera's images,
        None for the model's own maps, which take a few hundred bytes each. How those lie over the
        image is in the bag's custom data: ``avsol_first_centre`` (see ``Localization``) and
        ``avsol_image_size``.
    :param about: custom data to write into the bag.
    """

    def __init__(self, path: Path, heatmap_size: tuple[int, int] | None, about: dict[str, str]):
        self._writer = BagWriter(path)
        self._size = heatmap_size
        self._about = about
        self._size_is_written = False

    def __enter__(self) -> 'ResultsBag':
        self._writer.__enter__()
        for name, kind in _TYPES.items():
            self._writer.add_topic(f'{SPACE}/{name}', kind)
        for key, text in self._about.items():
            self._writer.set_custom(key, text)
        return self

    def __exit__(self, *error: Any) -> None:
        self._writer.__exit__(*error)

    def add(self, localization: Localization, finding: Finding, frame_id: str) -> None:
        """Write the messages of a window."""
        header = {'stamp': finding.stamp_ns, 'frame_id': frame_id}
        height, width = localization.image_size
        if not self._size_is_written:
            self._size_is_written = True
            self._writer.set_custom(SIZE_KEY, f'{width}x{height}')
            if self._size is None and localization.first_centre is not None:
                self._writer.set_custom(CENTRE_KEY, repr(float(localization.first_centre)))
        heat = (
            localization.heatmap
            if self._size is None
            else localization.heatmap_at(self._size[1] or height, self._size[0] or width)
        )
        detections = [_detection(box, header) for box in finding.result.boxes]
        avc = localization.avc
        messages = {
            'heatmap_float': {
                'height': heat.shape[0],
                'width': heat.shape[1],
                'encoding': '32FC1',
                'step': 4 * heat.shape[1],
                'data': np.ascontiguousarray(heat, '<f4').tobytes(),
            },
            'detections': {'detections': detections},
            'sounding_objects': {
                'window_start': localization.start_ns,
                'window_end': localization.end_ns,
                'audio_missing': finding.audio_missing_s or 0.0,
                'avc_probability': math.nan if avc is None else float(avc),
                'class_names': list(localization.class_names),
                'class_scores': np.asarray(localization.class_scores, np.float32),
                'detections': detections,
            },
        }
        for name, fields in messages.items():
            self._writer.write(
                f'{SPACE}/{name}',
                finding.log_ns,
                make_message(_TYPES[name], header=header, **fields),
            )


def _detection(box: Box, header: dict) -> dict:
    return {
        'header': header,
        'results': [
            {'hypothesis': {'class_id': box.class_name or UNNAMED, 'score': float(box.score)}}
        ],
        'bbox': {
            'center': {'position': {'x': (box.x0 + box.x1) / 2, 'y': (box.y0 + box.y1) / 2}},
            'size_x': float(box.x1 - box.x0),
            'size_y': float(box.y1 - box.y0),
        },
    }


def refuse_foreign(place: Path) -> None:
    """Raise AvsolError for a folder of other files where a bag of results would go."""
    try:
        foreign = (
            []
            if not place.is_dir()
            else [
                path.name
                for path in sorted(place.iterdir())
                if path.name not in ('metadata.yaml', f'{place.name}.mcap')
            ]
        )
        if not foreign and is_bag(place):
            with BagReader(place) as reader:
                foreign = [] if MODEL_KEY in reader.custom else ['a recording']
    except (OSError, AvsolError) as error:
        raise AvsolError(
            f'cannot read {place}, where results would go ({error}); choose '
            'another folder with --out'
        ) from None
    if foreign:
        raise AvsolError(
            f'{place}, where results would go, holds what no evaluation wrote '
            f'({foreign[0]}); choose another folder with --out'
        )


def results_about(model: str, source: str, origin_ns: int) -> dict[str, str]:
    """Custom data of a bag of results."""
    return {MODEL_KEY: model, SOURCE_KEY: source, ORIGIN_KEY: str(origin_ns)}
