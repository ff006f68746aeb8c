"""
Turns arrays into ROS messages. This is the only file of its folder that needs ROS.

The opposite, from messages to arrays, is in ``images``, ``audio`` and ``results``.

Times are integer nanoseconds, images (H, W, 3) uint8 RGB.
"""

import math
import re
from array import array
from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.localization import UNNAMED, Box, Localization
from avsol_ros.messages.audio import PORTAUDIO, AudioFormat
from avsol_ros.messages.fields import Bytes
from avsol_ros.messages.pcm import pcm_to_float
from avsol_ros.messages.stamps import stamp_to_ns
from avsol_ros.msg import SoundingObjects

__all__ = [
    'AUDIO_INFO',
    'AUDIO_MESSAGE',
    'audio_format_message',
    'audio_info_message',
    'audio_message',
    'box_to_detection',
    'boxes_to_detections',
    'header',
    'heatmap_to_32fc1',
    'heatmap_to_mono8',
    'localization_to_message',
    'ns_to_stamp',
    'rgb_to_compressed',
    'rgb_to_image',
    'samples_to_audio',
    'stamp_to_ns',
]

try:
    import audio_common_msgs.msg as _audio
except ImportError:
    _audio = None

#: Stamped audio of the package audio_common_msgs that is installed: AudioDataStamped of
#: ros-drivers' or AudioStamped of mgonzs13's; None without any.
AUDIO_MESSAGE = getattr(_audio, 'AudioDataStamped', None) or getattr(_audio, 'AudioStamped', None)
#: AudioInfo of ros-drivers' package, which tells the format; None of mgonzs13's, whose AudioInfo
#: is a part of its audio messages.
AUDIO_INFO = _audio.AudioInfo if hasattr(_audio, 'AudioDataStamped') else None

NO_AUDIO_PACKAGE = (
    'no package audio_common_msgs is installed; install that of ros-drivers '
    '(apt install ros-$ROS_DISTRO-audio-common-msgs) or that of mgonzs13, and '
    'source its setup file'
)


def ns_to_stamp(nanoseconds: int) -> Time:
    """Return the exact time stamp of integer nanoseconds."""
    seconds, rest = divmod(int(nanoseconds), NANOSECONDS)
    if not -(2**31) <= seconds < 2**31:
        raise AvsolError(
            f'time is {nanoseconds} ns; expected one that fits a ROS time stamp, '
            'at most 2147483647 s'
        )
    return Time(sec=seconds, nanosec=rest)


def header(stamp_ns: int, frame_id: str) -> Header:
    """Return the header of a message."""
    return Header(stamp=ns_to_stamp(stamp_ns), frame_id=frame_id)


def _byte_array(values: np.ndarray) -> array:
    """Bytes of an array, in the type that message fields accept without checking each byte."""
    data = array('B')
    data.frombytes(np.ascontiguousarray(values).data.cast('B'))
    return data


def _to_image(pixels: np.ndarray, encoding: str, stamp_ns: int, frame_id: str) -> Image:
    height, width = pixels.shape[:2]
    return Image(
        header=header(stamp_ns, frame_id),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=pixels.nbytes // height,
        data=_byte_array(pixels),
    )


def rgb_to_image(pixels: np.ndarray, stamp_ns: int, frame_id: str) -> Image:
    """Return an Image (rgb8) of (H, W, 3) uint8 pixels."""
    return _to_image(pixels, 'rgb8', stamp_ns, frame_id)


def rgb_to_compressed(
    pixels: np.ndarray, stamp_ns: int, frame_id: str, quality: int = 90
) -> CompressedImage:
    """
    Return a CompressedImage (JPEG) of (H, W, 3) uint8 RGB pixels.

    :param quality: 1 to 100.
    """
    done, data = cv2.imencode(
        '.jpg', cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    if not done:
        raise AvsolError(
            f'image of shape {pixels.shape} cannot be written as JPEG; '
            'expected at most 65535x65535 pixels'
        )
    return CompressedImage(
        header=header(stamp_ns, frame_id),
        format='rgb8; jpeg compressed bgr8',
        data=_byte_array(data),
    )


def heatmap_to_mono8(heatmap: np.ndarray, stamp_ns: int, frame_id: str) -> Image:
    """Return an Image (mono8) of an (H, W) float32 heatmap [0, 1]: 0 becomes 0, 1 becomes 255."""
    scaled = np.rint(np.clip(heatmap, 0, 1) * 255).astype(np.uint8)
    return _to_image(scaled, 'mono8', stamp_ns, frame_id)


def heatmap_to_32fc1(heatmap: np.ndarray, stamp_ns: int, frame_id: str) -> Image:
    """Return an Image (32FC1) of an (H, W) float32 heatmap, with unchanged values."""
    return _to_image(np.asarray(heatmap, '<f4'), '32FC1', stamp_ns, frame_id)


def box_to_detection(box: Box, stamp_ns: int, frame_id: str) -> Detection2D:
    """
    Return the detection of a box in pixels. Its one hypothesis is the class with the score.

    The class of a box without one is 'sounding object'.
    """
    hypothesis = ObjectHypothesisWithPose()
    hypothesis.hypothesis.class_id = box.class_name or UNNAMED
    hypothesis.hypothesis.score = float(box.score)
    detection = Detection2D(header=header(stamp_ns, frame_id), results=[hypothesis])
    detection.bbox.center.position.x = (box.x0 + box.x1) / 2
    detection.bbox.center.position.y = (box.y0 + box.y1) / 2
    detection.bbox.size_x = float(box.x1 - box.x0)
    detection.bbox.size_y = float(box.y1 - box.y0)
    return detection


def boxes_to_detections(boxes: Iterable[Box], stamp_ns: int, frame_id: str) -> Detection2DArray:
    """Return the detections of boxes, in the same order; empty without boxes."""
    return Detection2DArray(
        header=header(stamp_ns, frame_id),
        detections=[box_to_detection(box, stamp_ns, frame_id) for box in boxes],
    )


def localization_to_message(
    localization: Localization,
    boxes: Iterable[Box],
    frame_id: str,
    audio_missing_s: float = 0.0,
) -> SoundingObjects:
    """
    Return the result of a window, except for its pictures, as one message.

    An AVC probability that the model does not give becomes NaN.

    :param audio_missing_s: seconds of the window's sound that never arrived.
    """
    detections = boxes_to_detections(boxes, localization.stamp_ns, frame_id)
    return SoundingObjects(
        header=detections.header,
        window_start=ns_to_stamp(localization.start_ns),
        window_end=ns_to_stamp(localization.end_ns),
        audio_missing=float(audio_missing_s),
        avc_probability=math.nan if localization.avc is None else float(localization.avc),
        class_names=list(localization.class_names),
        class_scores=array('f', np.asarray(localization.class_scores, '<f4').tobytes()),
        detections=detections.detections,
    )


def samples_to_audio(
    samples: np.ndarray, stamp_ns: int, frame_id: str, sample_rate: int = 0
) -> Any:
    """
    Return an audio message (S16LE) of (n, channels) int16 samples.

    :param stamp_ns: time of the first sample.
    :param sample_rate: samples per second; ros-drivers' messages do not carry it.
    """
    wanted = AudioFormat(sample_rate, samples.shape[1], 'S16LE', 'pcm')
    return audio_message(stamp_ns, frame_id, np.ascontiguousarray(samples, '<i2'), wanted)


def audio_message(stamp_ns: int, frame_id: str, data: Bytes, wanted: AudioFormat) -> Any:
    """
    Return an audio message of the installed package, an :data:`AUDIO_MESSAGE`.

    mgonzs13's has fewer sample formats; others are converted into 32-bit floats.

    :param data: bytes, or anything that shows its bytes.
    :param wanted: the format of ``data``.
    """
    stored = np.frombuffer(data, np.uint8)
    if AUDIO_MESSAGE is None:
        raise AvsolError(NO_AUDIO_PACKAGE)
    msg = AUDIO_MESSAGE(header=header(stamp_ns, frame_id))
    if AUDIO_INFO is not None:
        msg.audio.data = _byte_array(stored)
        return msg
    if wanted.coded or not wanted.known:
        raise AvsolError(
            f'audio is {wanted}; expected raw samples of a known format for '
            'audio_common_msgs/msg/AudioStamped'
        )
    name = wanted.sample_format
    if name not in PORTAUDIO:
        stored = pcm_to_float(stored, name, wanted.channels)
        name = 'F32LE'
    number, field, dtype = PORTAUDIO[name]
    values = array(np.dtype(dtype).char, stored.tobytes())
    setattr(msg.audio.audio_data, field, values)
    msg.audio.info.format = number
    msg.audio.info.channels = wanted.channels
    msg.audio.info.rate = wanted.sample_rate
    msg.audio.info.chunk = len(values) // wanted.channels
    return msg


def audio_info_message(wanted: AudioFormat) -> Any:
    """Return the format of audio messages as ros-drivers' AudioInfo."""
    if AUDIO_INFO is None:
        raise AvsolError(
            'AudioInfo belongs to the audio_common_msgs of ros-drivers, which is not '
            'installed; the messages of the installed one carry their format'
        )
    coding = 'wave' if wanted.coding in ('', 'pcm') else wanted.coding
    found = re.search(r'\d+(?:_(\d+))?', wanted.sample_format)
    bits = int(found[1] or found[0]) if found and coding == 'wave' else 0
    bits += -bits % 8  # 18 and 20 bits take three bytes
    return AUDIO_INFO(
        channels=wanted.channels,
        sample_rate=wanted.sample_rate,
        sample_format=wanted.sample_format,
        coding_format=coding,
        bitrate=wanted.sample_rate * wanted.channels * bits,
    )


def audio_format_message(sample_rate: int, channels: int) -> Any:
    """Return the format of messages of :func:`samples_to_audio` as ros-drivers' AudioInfo."""
    return audio_info_message(AudioFormat(sample_rate, channels, 'S16LE', 'pcm'))
