"""
Audio messages to bytes and their format.

Only the attributes of a message are read. So messages of ROS classes and messages decoded from a
bag both work, and no ROS is needed. What the bytes of raw samples mean is in
:mod:`avsol_ros.messages.pcm`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from avsol_ros.errors import AvsolError
from avsol_ros.messages.fields import AudioInfoMessage, Bytes
from avsol_ros.messages.stamps import stamp_to_ns

# In order of preference. AudioDataStamped and AudioData belong to ros-drivers' audio_common_msgs;
# AudioStamped to the package of mgonzs13, which has the same name, so only one of them can be
# installed.
AUDIO_TYPES = (
    'audio_common_msgs/msg/AudioDataStamped',
    'audio_common_msgs/msg/AudioStamped',
    'audio_common_msgs/msg/AudioData',
)

# What coding_format of AudioInfo may say of samples that are not compressed.
_UNCOMPRESSED = ('wave', 'wav', 'raw', 'pcm')

# What mgonzs13's capturer sends. For each format, named as GStreamer does: its number in PortAudio
# (portaudio.h), the field of AudioData that holds the samples, and their type. The capturer says
# that it cannot send 24 bits (number 4).
PORTAUDIO = {
    'F32LE': (1, 'float32_data', '<f4'),
    'S32LE': (2, 'int32_data', '<i4'),
    'S16LE': (8, 'int16_data', '<i2'),
    'S8': (16, 'int8_data', 'i1'),
    'U8': (32, 'uint8_data', 'u1'),
}
_PORTAUDIO_NAMES = {number: name for name, (number, *_) in PORTAUDIO.items()}


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
        """Whether the sound is compressed, so that it needs a decoder."""
        return self.coding not in ('', 'pcm')

    @property
    def known(self) -> bool:
        """Whether it is complete enough to read the sound; coded sound tells its rate itself."""
        return self.coded or bool(self.sample_rate and self.channels and self.sample_format)

    def completed(self, other: 'AudioFormat') -> 'AudioFormat':
        """Return this format, with what is unknown in it taken from another."""
        return AudioFormat(
            self.sample_rate or other.sample_rate,
            self.channels or other.channels,
            self.sample_format or other.sample_format,
            self.coding or other.coding,
        )


UNKNOWN_FORMAT = AudioFormat()


@dataclass(frozen=True, eq=False)
class AudioPacket:
    """
    The content of an audio message.

    :param stamp_ns: its stamp; None if the message has none.
    :param data: bytes, or anything that shows its bytes: interleaved samples, or coded sound.
    :param format: its format; None if another topic tells it.
    """

    stamp_ns: int | None
    data: Bytes
    format: AudioFormat | None = None
    frame_id: str = ''


def audio_packet(msg: Any) -> AudioPacket:
    """Return the content of an AudioDataStamped, AudioStamped or AudioData message."""
    audio = getattr(msg, 'audio', None)
    if audio is not None and hasattr(msg, 'header'):
        stamp_ns, frame_id = stamp_to_ns(msg.header.stamp), msg.header.frame_id
        if hasattr(audio, 'audio_data'):
            return AudioPacket(stamp_ns, *_portaudio_samples(audio), frame_id)
        return AudioPacket(stamp_ns, audio.data, None, frame_id)
    if hasattr(msg, 'data'):
        return AudioPacket(None, msg.data)
    raise AvsolError(f'message is {type(msg).__name__}; expected sound: {", ".join(AUDIO_TYPES)}')


def _portaudio_samples(audio: Any) -> tuple[np.ndarray, AudioFormat]:
    """Return the bytes (n,) uint8 of the samples in mgonzs13's Audio, and their format."""
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


def audio_info_to_format(info: AudioInfoMessage) -> AudioFormat:
    """Return the format that ros-drivers' AudioInfo tells; an empty coding_format is unknown."""
    coding = info.coding_format.lower()
    return AudioFormat(
        int(info.sample_rate),
        int(info.channels),
        info.sample_format,
        'pcm' if coding in _UNCOMPRESSED else coding,
    )


def parse_audio_format(name: str, sample_rate: int = 0, channels: int = 0) -> AudioFormat:
    """
    Return the format that a user names.

    :param name: a raw format as GStreamer spells it, such as S16LE; a codec, such as mp3; or ''
        if it is unknown. Upper and lower case are the same.
    :raises AvsolError: for a name such as 'wave', which does not tell how samples are stored.
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
