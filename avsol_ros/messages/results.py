"""
Result messages to :class:`~avsol_ros.localization.WindowResult`.

Only the attributes of a message are read. So messages of ROS classes and messages decoded from a
bag both work, and no ROS is needed.
"""

import math

import numpy as np

from avsol_ros.localization import UNNAMED, Box, WindowResult
from avsol_ros.messages.fields import SoundingObjectsMessage
from avsol_ros.messages.stamps import stamp_to_ns


def message_to_result(
    msg: SoundingObjectsMessage, heatmap: np.ndarray, image_size: tuple[int, int]
) -> WindowResult:
    """
    Turn a SoundingObjects message and its heatmap into a result.

    The score of a detection becomes the score of the box. The score of its class is that of the
    class in the window, or again the score of the box if the model has no classes. An AVC
    probability of NaN becomes None. A detection without a hypothesis is left out; the localizer
    sends none.

    :param msg: avsol_ros/SoundingObjects.
    :param heatmap: (h, w) float32 [0, 1], as it was published with the message.
    :param image_size: height and width of the camera's frames, in pixels.
    """
    scores = dict(zip(msg.class_names, map(float, msg.class_scores)))
    boxes = []
    for detection in msg.detections:
        if not detection.results:
            continue
        centre, hypothesis = detection.bbox.center.position, detection.results[0].hypothesis
        half_width, half_height = detection.bbox.size_x / 2, detection.bbox.size_y / 2
        name = hypothesis.class_id if scores or hypothesis.class_id != UNNAMED else ''
        boxes.append(
            Box(
                centre.x - half_width,
                centre.y - half_height,
                centre.x + half_width,
                centre.y + half_height,
                hypothesis.score,
                name,
                scores.get(name, hypothesis.score),
            )
        )
    avc = None if math.isnan(msg.avc_probability) else msg.avc_probability
    return WindowResult(
        stamp_to_ns(msg.window_start),
        stamp_to_ns(msg.window_end),
        avc,
        heatmap,
        tuple(boxes),
        scores,
        image_size,
    )
