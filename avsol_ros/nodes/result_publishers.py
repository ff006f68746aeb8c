"""Publishers of what the localizer finds."""

from collections.abc import Callable

from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from avsol_ros.drawing.overlay import draw_localization
from avsol_ros.localization import find_boxes, visible_heat
from avsol_ros.messages.to_ros import (
    boxes_to_detections,
    heatmap_to_32fc1,
    heatmap_to_mono8,
    localization_to_message,
    rgb_to_image,
)
from avsol_ros.msg import SoundingObjects
from avsol_ros.nodes.parameter_values import box_config
from avsol_ros.nodes.qos import result_qos
from avsol_ros.streams.windows import SAMPLE_RATE

TOPICS = {
    'heatmap': Image,
    'heatmap_float': Image,
    'overlay': Image,
    'detections': Detection2DArray,
    'sounding_objects': SoundingObjects,
}


class Results:
    """
    Publishes a window's result on the node's private topics.

    Pictures are made only while somebody subscribes to them. The mono8 heatmap shows heat as the
    overlay does; the 32FC1 one has the model's own values.

    :param values: gives the parameters' present values by name.
    """

    def __init__(self, node: LifecycleNode, values: Callable[[], dict]):
        self._node = node
        self._values = values
        self._publishers = {
            name: node.create_lifecycle_publisher(kind, f'~/{name}', result_qos())
            for name, kind in TOPICS.items()
        }

    def destroy(self) -> None:
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)

    def publish(self, window, localization, frame_id: str) -> None:
        values = self._values()
        boxes = find_boxes(localization, box_config(values))
        stamp = (localization.stamp_ns, frame_id)
        self._publish_pictures(window, localization, boxes, stamp, values)
        self._publishers['detections'].publish(boxes_to_detections(boxes, *stamp))
        self._publishers['sounding_objects'].publish(
            localization_to_message(
                localization, boxes, frame_id, window.audio_missing / SAMPLE_RATE
            )
        )

    def _publish_pictures(self, window, localization, boxes, stamp, values) -> None:
        wanted = {
            name
            for name in ('heatmap', 'heatmap_float', 'overlay')
            if values[f'publish_{name}'] and self._publishers[name].get_subscription_count() > 0
        }
        if wanted & {'heatmap', 'heatmap_float'}:
            height, width = localization.image_size
            heatmap = localization.heatmap_at(
                values['heatmap_height'] or height, values['heatmap_width'] or width
            )
            if 'heatmap' in wanted:
                self._publishers['heatmap'].publish(
                    heatmap_to_mono8(visible_heat(heatmap, localization.avc), *stamp)
                )
            if 'heatmap_float' in wanted:
                self._publishers['heatmap_float'].publish(heatmap_to_32fc1(heatmap, *stamp))
        if 'overlay' in wanted:
            picture = draw_localization(window.frames[-1], localization, boxes)
            self._publishers['overlay'].publish(rgb_to_image(picture, *stamp))
