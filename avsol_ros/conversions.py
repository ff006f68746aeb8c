"""ROS messages to arrays and back. Times are integer nanoseconds, images (H, W, 3) uint8 RGB."""

import math
from array import array
from functools import lru_cache

import cv2
import numpy as np
from audio_common_msgs.msg import AudioDataStamped, AudioInfo
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from avsol_ros.config import NANOSECONDS
from avsol_ros.drawing import UNNAMED
from avsol_ros.errors import AvsolError
from avsol_ros.msg import SoundingObjects

# encoding: (channels as stored, dtype as stored, OpenCV conversion to RGB or None).
# Bayer names tell the colours of the first 2x2 pixels by row, as ROS does.
_ENCODINGS = {
    'rgb8': (3, np.uint8, None),
    'bgr8': (3, np.uint8, cv2.COLOR_BGR2RGB),
    '8uc3': (3, np.uint8, cv2.COLOR_BGR2RGB),
    'rgba8': (4, np.uint8, cv2.COLOR_RGBA2RGB),
    'bgra8': (4, np.uint8, cv2.COLOR_BGRA2RGB),
    '8uc4': (4, np.uint8, cv2.COLOR_BGRA2RGB),
    'mono8': (1, np.uint8, cv2.COLOR_GRAY2RGB),
    '8uc1': (1, np.uint8, cv2.COLOR_GRAY2RGB),
    'rgb16': (3, np.uint16, None),
    'bgr16': (3, np.uint16, cv2.COLOR_BGR2RGB),
    'rgba16': (4, np.uint16, cv2.COLOR_RGBA2RGB),
    'bgra16': (4, np.uint16, cv2.COLOR_BGRA2RGB),
    'mono16': (1, np.uint16, cv2.COLOR_GRAY2RGB),
    'yuv422': (2, np.uint8, cv2.COLOR_YUV2RGB_UYVY),
    'uyvy': (2, np.uint8, cv2.COLOR_YUV2RGB_UYVY),
    'yuv422_yuy2': (2, np.uint8, cv2.COLOR_YUV2RGB_YUY2),
    'yuyv': (2, np.uint8, cv2.COLOR_YUV2RGB_YUY2),
    'nv12': (1, np.uint8, cv2.COLOR_YUV2RGB_NV12),
    'nv21': (1, np.uint8, cv2.COLOR_YUV2RGB_NV21),
    'bayer_rggb8': (1, np.uint8, cv2.COLOR_BayerRGGB2RGB),
    'bayer_bggr8': (1, np.uint8, cv2.COLOR_BayerBGGR2RGB),
    'bayer_gbrg8': (1, np.uint8, cv2.COLOR_BayerGBRG2RGB),
    'bayer_grbg8': (1, np.uint8, cv2.COLOR_BayerGRBG2RGB),
    'bayer_rggb16': (1, np.uint16, cv2.COLOR_BayerRGGB2RGB),
    'bayer_bggr16': (1, np.uint16, cv2.COLOR_BayerBGGR2RGB),
    'bayer_gbrg16': (1, np.uint16, cv2.COLOR_BayerGBRG2RGB),
    'bayer_grbg16': (1, np.uint16, cv2.COLOR_BayerGRBG2RGB),
}

# What the last bytes of a whole file hold; decoders fill a cut-off picture with grey instead.
_END_MARKS = {b'\xff\xd8': b'\xff\xd9', b'\x89P': b'IEND'}


def stamp_to_ns(stamp: Time) -> int:
    """Exact nanoseconds of a time stamp."""
    return stamp.sec * NANOSECONDS + stamp.nanosec


def ns_to_stamp(nanoseconds: int) -> Time:
    """Time stamp of integer nanoseconds, exact."""
    seconds, rest = divmod(int(nanoseconds), NANOSECONDS)
    if not -2 ** 31 <= seconds < 2 ** 31:
        raise AvsolError(f'time is {nanoseconds} ns; expected one that fits a ROS time stamp, '
                         'at most 2147483647 s')
    return Time(sec=seconds, nanosec=rest)


def header(stamp_ns: int, frame_id: str) -> Header:
    return Header(stamp=ns_to_stamp(stamp_ns), frame_id=frame_id)


def image_to_rgb(msg: Image) -> np.ndarray:
    """
    Pixels of an image message.

    The encodings below are decoded alike on every machine; any other one is left to cv_bridge
    where it is installed.

    :returns: (H, W, 3) uint8 RGB. Of an unpadded rgb8 image it is a read-only view.
    """
    encoding = msg.encoding.lower()
    if msg.height < 1 or msg.width < 1:
        raise AvsolError(f'image is {msg.width}x{msg.height}; expected at least 1x1 pixels')
    if encoding not in _ENCODINGS:
        return _decode_elsewhere(msg)
    channels, dtype, conversion = _ENCODINGS[encoding]
    pixels = _stored_pixels(msg, encoding, channels, np.dtype(dtype))
    if conversion is not None:
        try:
            pixels = cv2.cvtColor(pixels, conversion)
        except cv2.error as error:
            raise AvsolError(f'image of {msg.width}x{msg.height} cannot be {msg.encoding}; '
                             'expected an even width and height for this encoding') from error
    if dtype is np.uint16:
        pixels = cv2.convertScaleAbs(pixels, alpha=1 / 257)
    return pixels


def _stored_pixels(msg: Image, encoding: str, channels: int, dtype: np.dtype) -> np.ndarray:
    """View of a message's pixels without row padding, in native byte order."""
    rows = msg.height * 3 // 2 if encoding in ('nv12', 'nv21') else msg.height
    row_bytes = msg.width * channels * dtype.itemsize
    data = np.frombuffer(msg.data, dtype=np.uint8)
    if msg.step < row_bytes or data.size < msg.step * (rows - 1) + row_bytes:
        raise AvsolError(
            f'image says {msg.width}x{msg.height} {msg.encoding} with {msg.step} bytes a row and '
            f'holds {data.size} bytes; expected at least {row_bytes} a row and '
            f'{rows * max(msg.step, row_bytes)} in all')
    pixels = np.lib.stride_tricks.as_strided(
        data, (rows, row_bytes), (msg.step, 1), writeable=False)
    if msg.step != row_bytes:
        pixels = np.ascontiguousarray(pixels)
    if dtype.itemsize > 1:
        pixels = pixels.view(dtype.newbyteorder('>' if msg.is_bigendian else '<')).astype(dtype)
    shape = (rows, msg.width) if channels == 1 else (rows, msg.width, channels)
    return pixels.reshape(shape)


@lru_cache(maxsize=1)
def _cv_bridge():
    try:
        from cv_bridge import CvBridge
        return CvBridge()
    except Exception:  # a cv_bridge built against another NumPy fails in ways of its own
        return None


def _decode_elsewhere(msg: Image) -> np.ndarray:
    bridge = _cv_bridge()
    if bridge is not None:
        try:
            return np.asarray(bridge.imgmsg_to_cv2(msg, desired_encoding='rgb8'))
        except Exception as error:
            raise AvsolError(f'image has encoding {msg.encoding!r}, which cv_bridge cannot turn '
                             f'into rgb8: {error}') from error
    raise AvsolError(f'image has encoding {msg.encoding!r}; expected one of '
                     f'{", ".join(_ENCODINGS)}')


def compressed_image_to_rgb(msg: CompressedImage) -> np.ndarray:
    """
    Decode a JPEG or PNG image message.

    :returns: (H, W, 3) uint8 RGB as the camera's pixels lie (no turning by EXIF).
    """
    data = bytes(msg.data)
    end = _END_MARKS.get(data[:2])
    if end is None:
        raise AvsolError(f'compressed image has format {msg.format!r} and {len(data)} bytes that '
                         'are neither JPEG nor PNG; expected one of these')
    pixels = None
    if end in data:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8),
                              cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        raise AvsolError(f'compressed image ({msg.format!r}, {len(data)} bytes) is cut off or '
                         'damaged; expected a whole JPEG or PNG')
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _byte_array(values: np.ndarray) -> array:
    """Bytes of an array in the type which message fields take over without a look at each."""
    data = array('B')
    data.frombytes(np.ascontiguousarray(values).data.cast('B'))
    return data


def _to_image(pixels: np.ndarray, encoding: str, stamp_ns: int, frame_id: str) -> Image:
    height, width = pixels.shape[:2]
    return Image(header=header(stamp_ns, frame_id), height=height, width=width,
                 encoding=encoding, is_bigendian=0, step=pixels.nbytes // height,
                 data=_byte_array(pixels))


def rgb_to_image(pixels: np.ndarray, stamp_ns: int, frame_id: str) -> Image:
    """Image message (rgb8) of (H, W, 3) uint8 pixels."""
    return _to_image(pixels, 'rgb8', stamp_ns, frame_id)


def rgb_to_compressed(pixels: np.ndarray, stamp_ns: int, frame_id: str,
                      quality: int = 90) -> CompressedImage:
    """
    JPEG message of (H, W, 3) uint8 RGB pixels.

    :param quality: 1 to 100.
    """
    done, data = cv2.imencode('.jpg', cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR),
                              [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise AvsolError(f'image of shape {pixels.shape} cannot be written as JPEG; '
                         'expected at most 65535x65535 pixels')
    return CompressedImage(header=header(stamp_ns, frame_id),
                           format='rgb8; jpeg compressed bgr8', data=_byte_array(data))


def heatmap_to_mono8(heatmap: np.ndarray, stamp_ns: int, frame_id: str) -> Image:
    """Image message of an (H, W) float32 heatmap in [0, 1]: 0 is 0, 1 is 255."""
    scaled = np.rint(np.clip(heatmap, 0, 1) * 255).astype(np.uint8)
    return _to_image(scaled, 'mono8', stamp_ns, frame_id)


def heatmap_to_32fc1(heatmap: np.ndarray, stamp_ns: int, frame_id: str) -> Image:
    """Image message of an (H, W) float32 heatmap, its values untouched."""
    return _to_image(np.asarray(heatmap, '<f4'), '32FC1', stamp_ns, frame_id)


def box_to_detection(box, stamp_ns: int, frame_id: str) -> Detection2D:
    """
    Detection of a box in pixels; its one hypothesis is the box's class with the score.

    A box without a class is a 'sounding object'.
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


def boxes_to_detections(boxes, stamp_ns: int, frame_id: str) -> Detection2DArray:
    """Detections in the order of the boxes; empty without boxes."""
    return Detection2DArray(
        header=header(stamp_ns, frame_id),
        detections=[box_to_detection(box, stamp_ns, frame_id) for box in boxes])


def localization_to_message(localization, boxes, frame_id: str) -> SoundingObjects:
    """All of a window's result but the pictures; NaN stands for an AVC that is not known."""
    detections = boxes_to_detections(boxes, localization.stamp_ns, frame_id)
    return SoundingObjects(
        header=detections.header,
        window_start=ns_to_stamp(localization.start_ns),
        window_end=ns_to_stamp(localization.end_ns),
        avc_probability=math.nan if localization.avc is None else float(localization.avc),
        class_names=list(localization.class_names),
        class_scores=array('f', np.asarray(localization.class_scores, '<f4').tobytes()),
        detections=detections.detections)


def samples_to_audio(samples: np.ndarray, stamp_ns: int, frame_id: str) -> AudioDataStamped:
    """Audio message (S16LE) of (n, channels) int16 samples; the stamp is the first one's time."""
    msg = AudioDataStamped(header=header(stamp_ns, frame_id))
    msg.audio.data = _byte_array(np.asarray(samples, '<i2'))
    return msg


def audio_format_message(sample_rate: int, channels: int) -> AudioInfo:
    """Format of the messages which :func:`samples_to_audio` makes."""
    return AudioInfo(channels=channels, sample_rate=sample_rate, sample_format='S16LE',
                     bitrate=sample_rate * channels * 16, coding_format='wave')
