"""
Messages to arrays, whatever made the messages: classes of ROS, or those decoded from a bag.

Only attributes are looked at, so that no ROS is needed; byte fields may be bytes, arrays or numpy
arrays. Times are integer nanoseconds, images (H, W, 3) uint8 RGB.
"""

import math
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.localization import UNNAMED, Box, WindowResult

IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
# The best first: ros-drivers' with and without a stamp, and that of mgonzs13's package, which has
# the same name and cannot be installed beside the other.
AUDIO_TYPES = (
    'audio_common_msgs/msg/AudioDataStamped',
    'audio_common_msgs/msg/AudioStamped',
    'audio_common_msgs/msg/AudioData',
)

# coding_format of AudioInfo for samples that are not compressed.
_UNCOMPRESSED = ('wave', 'wav', 'raw', 'pcm')

# What mgonzs13's capturer sends, by GStreamer's names: PortAudio's number of the sample format
# (portaudio.h), the field of its AudioData in which the samples are, their type. Of 24 bits
# (number 4) it says that it cannot send them.
PORTAUDIO = {
    'F32LE': (1, 'float32_data', '<f4'),
    'S32LE': (2, 'int32_data', '<i4'),
    'S16LE': (8, 'int16_data', '<i2'),
    'S8': (16, 'int8_data', 'i1'),
    'U8': (32, 'uint8_data', 'u1'),
}
_PORTAUDIO_NAMES = {number: name for name, (number, *_) in PORTAUDIO.items()}

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


def stamp_to_ns(stamp) -> int:
    """Exact nanoseconds of a time stamp."""
    return stamp.sec * NANOSECONDS + stamp.nanosec


def image_to_rgb(msg) -> np.ndarray:
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
            raise AvsolError(
                f'image of {msg.width}x{msg.height} cannot be {msg.encoding}; '
                'expected an even width and height for this encoding'
            ) from error
    if dtype is np.uint16:
        pixels = cv2.convertScaleAbs(pixels, alpha=1 / 257)
    return pixels


def _stored_pixels(msg, encoding: str, channels: int, dtype: np.dtype) -> np.ndarray:
    """View of a message's pixels without row padding, in native byte order."""
    rows = msg.height * 3 // 2 if encoding in ('nv12', 'nv21') else msg.height
    row_bytes = msg.width * channels * dtype.itemsize
    data = np.frombuffer(msg.data, dtype=np.uint8)
    if msg.step < row_bytes or data.size < msg.step * (rows - 1) + row_bytes:
        raise AvsolError(
            f'image says {msg.width}x{msg.height} {msg.encoding} with {msg.step} bytes a row and '
            f'holds {data.size} bytes; expected at least {row_bytes} a row and '
            f'{rows * max(msg.step, row_bytes)} in all'
        )
    pixels = np.lib.stride_tricks.as_strided(
        data, (rows, row_bytes), (msg.step, 1), writeable=False
    )
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


def _decode_elsewhere(msg) -> np.ndarray:
    bridge = _cv_bridge()
    if bridge is not None:
        try:
            return np.asarray(bridge.imgmsg_to_cv2(msg, desired_encoding='rgb8'))
        except Exception as error:
            raise AvsolError(
                f'image has encoding {msg.encoding!r}, which cv_bridge cannot turn '
                f'into rgb8: {error}'
            ) from error
    raise AvsolError(
        f'image has encoding {msg.encoding!r}; expected one of {", ".join(_ENCODINGS)}'
    )


def compressed_image_to_rgb(msg) -> np.ndarray:
    """
    Decode a JPEG or PNG image message.

    :returns: (H, W, 3) uint8 RGB as the camera's pixels lie (no turning by EXIF).
    """
    data = bytes(msg.data)
    end = _END_MARKS.get(data[:2])
    if end is None:
        raise AvsolError(
            f'compressed image has format {msg.format!r} and {len(data)} bytes that '
            'are neither JPEG nor PNG; expected one of these'
        )
    pixels = None
    if end in data:
        with suppress(cv2.error):  # raised for a damaged size: more pixels than it takes
            pixels = cv2.imdecode(
                np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
            )
    if pixels is None:
        raise AvsolError(
            f'compressed image ({msg.format!r}, {len(data)} bytes) is cut off or '
            'damaged; expected a whole JPEG or PNG'
        )
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def decode_image(msg) -> np.ndarray:
    """Pixels (H, W, 3) uint8 RGB of an Image or a CompressedImage message."""
    if hasattr(msg, 'encoding'):
        return image_to_rgb(msg)
    if hasattr(msg, 'format'):
        return compressed_image_to_rgb(msg)
    raise AvsolError(
        f'message is {type(msg).__name__}; expected an image: {" or ".join(IMAGE_TYPES)}'
    )


@dataclass(frozen=True)
class AudioFormat:
    """
    Format of a sound; 0 and '' stand for unknown.

    :param sample_rate: samples per second and channel.
    :param sample_format: name of a raw format as GStreamer spells it, such as S16LE.
    :param coding: 'pcm' for raw samples, else the codec's name, such as mp3.
    """

    sample_rate: int = 0
    channels: int = 0
    sample_format: str = ''
    coding: str = ''

    @property
    def coded(self) -> bool:
        """Whether a decoder has to make samples of it."""
        return self.coding not in ('', 'pcm')

    @property
    def known(self) -> bool:
        """Whether it tells enough: coded sound says the rest itself."""
        return self.coded or bool(self.sample_rate and self.channels and self.sample_format)

    def completed(self, other: 'AudioFormat') -> 'AudioFormat':
        """Return this format with what is unknown of it taken from another."""
        return AudioFormat(
            self.sample_rate or other.sample_rate,
            self.channels or other.channels,
            self.sample_format or other.sample_format,
            self.coding or other.coding,
        )


UNKNOWN = AudioFormat()


@dataclass(frozen=True, eq=False)
class AudioPacket:
    """
    What an audio message carries.

    :param stamp_ns: its stamp; None of a message that has none.
    :param data: bytes, or anything that shows its bytes: interleaved samples, or coded sound.
    :param format: its format; None where another topic tells it.
    """

    stamp_ns: int | None
    data: object
    format: AudioFormat | None = None
    frame_id: str = ''


def audio_packet(msg) -> AudioPacket:
    """What an AudioDataStamped, AudioStamped or AudioData message carries."""
    audio = getattr(msg, 'audio', None)
    if audio is not None and hasattr(msg, 'header'):
        stamp_ns, frame_id = stamp_to_ns(msg.header.stamp), msg.header.frame_id
        if hasattr(audio, 'audio_data'):
            return AudioPacket(stamp_ns, *_portaudio_samples(audio), frame_id)
        return AudioPacket(stamp_ns, audio.data, None, frame_id)
    if hasattr(msg, 'data'):
        return AudioPacket(None, msg.data)
    raise AvsolError(f'message is {type(msg).__name__}; expected sound: {", ".join(AUDIO_TYPES)}')


def _portaudio_samples(audio) -> tuple[np.ndarray, AudioFormat]:
    """Bytes (n,) uint8 of the samples in mgonzs13's Audio, and their format."""
    info = audio.info
    if info.format not in _PORTAUDIO_NAMES:
        known = ', '.join(f'{number} ({name})' for number, name in _PORTAUDIO_NAMES.items())
        raise AvsolError(f'audio has PortAudio format {info.format}; expected one of {known}')
    if info.rate < 1 or info.channels < 1:
        raise AvsolError(
            f'audio says {info.channels} channel(s) at {info.rate} Hz; expected at least 1 of each'
        )
    name = _PORTAUDIO_NAMES[info.format]
    _, field, dtype = PORTAUDIO[name]
    samples = np.ascontiguousarray(getattr(audio.audio_data, field), dtype)
    return samples.view(np.uint8), AudioFormat(int(info.rate), int(info.channels), name, 'pcm')


def audio_format(info) -> AudioFormat:
    """Format that ros-drivers' AudioInfo tells; an empty coding_format tells none."""
    coding = info.coding_format.lower()
    return AudioFormat(
        int(info.sample_rate),
        int(info.channels),
        info.sample_format,
        'pcm' if coding in _UNCOMPRESSED else coding,
    )


def named_format(name: str, sample_rate: int = 0, channels: int = 0) -> AudioFormat:
    """
    Format that a user names.

    :param name: a raw format as GStreamer spells it, such as S16LE; a codec, such as mp3; or ''.
        Upper and lower case are the same.
    """
    if not name:
        return AudioFormat(sample_rate, channels)
    if name.lower() in _UNCOMPRESSED:
        raise AvsolError(
            f'the audio format is {name!r}, which does not tell how samples are '
            'stored; expected their format, such as S16LE, or a coding, such as mp3'
        )
    if name[0] in 'SUFsuf' and name[1:2].isdigit():
        return AudioFormat(sample_rate, channels, name.upper(), 'pcm')
    return AudioFormat(sample_rate, channels, '', name.lower())


def message_to_result(msg, heatmap: np.ndarray, image_size: tuple[int, int]) -> WindowResult:
    """
    Result of a message and its heatmap (h, w) float32 [0, 1].

    The one score of a detection is its box's; the score of a box's class is that of the window,
    or the box's own where the model knows no classes. An AVC probability of NaN is None. A
    detection without a hypothesis, which no localizer of ours sends, is left out.
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
