"""The messages of a bag that is made from films, and their topics."""

from dataclasses import dataclass

import numpy as np

from avsol_ros.bags import make_message
from avsol_ros.config import NANOSECONDS
from avsol_ros.media.image_files import decode_png, encode_jpeg, encode_png, encoded_kind
from avsol_ros.messages.audio import PORTAUDIO
from avsol_ros.messages.images import compressed_image_to_rgb
from avsol_ros.training.convert.pixels import image_fields

RAW, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
AUDIO = 'audio_common_msgs/msg/'
# Names of topics, where the records of a bag do not name them.
TOPICS = {
    RAW: '/camera/image_raw',
    COMPRESSED: '/camera/image_raw/compressed',
    'audio': '/audio_stamped',
    'audio_info': '/audio_info',
    'truth': '/ground_truth',
}
# Encodings in which raw images that were stored as H.264 are written again; others as rgb8.
_FILMED = ('bgr8', 'mono8', '8uc1', '8uc3')

# Log time, topic, type, message.
Written = tuple[int, str, str, object]


@dataclass(frozen=True)
class MediaOptions:
    """
    How bags are written.

    :param image: raw, jpeg or png. auto: as in the bag that a clip is from; for other films what
        the film holds, if that is JPEG or PNG, else jpeg.
    :param start_ns: stamp of the time 0 of films that do not state it.
    :param join: make one bag of the clips that are from one.
    """

    image: str = 'auto'
    quality: int = 95
    storage: str = 'mcap'
    compression: str = 'none'
    start_ns: int = 1_700_000_000 * NANOSECONDS
    join: bool = True


def recorded_image(
    record: dict, picture: bytes | np.ndarray, options: MediaOptions
) -> tuple[str, dict]:
    """
    Return type and fields of the message with a picture of a clip.

    :param record: of the clip.
    :param picture: an encoded one, or (H, W, 3) uint8 RGB.
    """
    wanted = options.image
    encoded = isinstance(picture, bytes)
    encoding = record.get('encoding') or ''
    if wanted == 'auto':
        wanted = 'raw' if encoding else record['kind']
    if encoded and not encoding and wanted == encoded_kind(picture):
        return COMPRESSED, {'format': record['format'], 'data': picture}
    if wanted == 'raw' and encoded and encoding:
        return RAW, image_fields(decode_png(picture), encoding)
    pixels = _decoded(picture) if encoded else picture
    if wanted == 'raw':
        return RAW, image_fields(pixels, encoding if encoding.lower() in _FILMED else 'rgb8')
    return COMPRESSED, _compressed(pixels, wanted, options.quality)


def film_image(
    image: np.ndarray, encoded: bytes | None, options: MediaOptions
) -> tuple[str, dict]:
    """
    Return type and fields of the message with a picture of any film.

    :param encoded: the picture as JPEG or PNG, where the film holds it like this.
    """
    wanted = options.image
    if encoded is not None and wanted in ('auto', encoded_kind(encoded)):
        return COMPRESSED, {'format': _format(encoded_kind(encoded)), 'data': encoded}
    if wanted == 'raw':
        return RAW, image_fields(image, 'rgb8')
    return COMPRESSED, _compressed(image, 'jpeg' if wanted == 'auto' else wanted, options.quality)


def _compressed(pixels: np.ndarray, kind: str, quality: int) -> dict:
    data = encode_jpeg(pixels, quality) if kind == 'jpeg' else encode_png(pixels)
    return {'format': _format(kind), 'data': data}


def _format(kind: str) -> str:
    return f'rgb8; {kind} compressed bgr8'


def audio_message(stamp: int | None, data: bytes, audio: dict):
    """
    Make an audio message of the type that it had.

    :param audio: of a clip's record: type, frame_id and format.
    """
    kind = audio['type']
    header = {'stamp': stamp or 0, 'frame_id': audio['frame_id']}
    if kind == AUDIO + 'AudioDataStamped':
        return make_message(kind, header=header, audio={'data': data})
    if kind == AUDIO + 'AudioData':
        return make_message(kind, data=data)
    number, name, dtype = PORTAUDIO[audio['sample_format']]
    samples = np.frombuffer(data, dtype)
    return make_message(
        kind,
        header=header,
        audio={
            'audio_data': {name: samples.astype(np.dtype(dtype).newbyteorder('='))},
            'info': {
                'format': number,
                'channels': audio['channels'],
                'rate': audio['sample_rate'],
                'chunk': len(samples) // max(audio['channels'], 1),
            },
        },
    )


def _decoded(picture: bytes) -> np.ndarray:
    """Return (H, W, 3) uint8 RGB."""

    class _Message:
        data, format = picture, ''

    return compressed_image_to_rgb(_Message)
