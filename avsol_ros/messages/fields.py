"""
The fields of messages that are read here, for type checkers and readers.

Messages of ROS classes and messages decoded from a bag both have them, so neither needs ROS.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

#: Anything that shows its bytes; also an ``array.array``.
Bytes = bytes | bytearray | memoryview | np.ndarray


class Stamp(Protocol):
    """``builtin_interfaces/msg/Time``."""

    sec: int
    nanosec: int


class Header(Protocol):
    """``std_msgs/msg/Header``."""

    stamp: Stamp
    frame_id: str


class ImageMessage(Protocol):
    """``sensor_msgs/msg/Image``."""

    header: Header
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: Bytes


class CompressedImageMessage(Protocol):
    """``sensor_msgs/msg/CompressedImage``."""

    header: Header
    format: str
    data: Bytes


class AudioInfoMessage(Protocol):
    """``audio_common_msgs/msg/AudioInfo`` of ros-drivers."""

    channels: int
    sample_rate: int
    sample_format: str
    coding_format: str


class SoundingObjectsMessage(Protocol):
    """``avsol_ros/msg/SoundingObjects``; its detections are ``vision_msgs/msg/Detection2D``."""

    header: Header
    window_start: Stamp
    window_end: Stamp
    avc_probability: float
    class_names: Sequence[str]
    class_scores: Sequence[float]
    detections: Sequence[Any]
