"""
What a player can play, a media file or a bag, as messages with their times.

Both kinds of source have the same face:

- ``kinds``: topic and message class of the roles 'image', 'audio' and, where the installed audio
  messages need one, 'audio_info';
- ``begin(now_ns)``: to be called once, before playing;
- ``origin_ns``: what the clock shows at media time 0;
- ``audio_info``: the first message of that role, None without one;
- ``items(loop)``: all :class:`Item` in the order of their media times;
- ``length_ns``: media time of the end, once the items have come;
- ``problems``: what could not be read, one line each; ``close()``.
"""

import re
import struct
from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple

import cv2
from sensor_msgs.msg import CompressedImage, Image

from avsol_ros.bags import BagReader, find_streams
from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.media.film_reader import MediaReader, VideoChunk
from avsol_ros.messages.audio import parse_audio_format
from avsol_ros.messages.to_ros import (
    AUDIO_INFO,
    AUDIO_MESSAGE,
    NO_AUDIO_PACKAGE,
    audio_format_message,
    rgb_to_compressed,
    rgb_to_image,
    samples_to_audio,
)
from avsol_ros.nodes.audio_conversion import AudioConverter
from avsol_ros.nodes.installed_types import message_class, same_type

# Parameters that say what a film's messages look like. Those of a bag are as they were recorded.
OF_FILMS = ('loop', 'start_time', 'frame_id', 'image_size', 'jpeg_quality')

# The audio message that has no stamp.
UNSTAMPED = 'audio_common_msgs/msg/AudioData'


class Item(NamedTuple):
    """
    A message to send.

    :param role: 'image', 'audio' or 'audio_info'.
    :param media_ns: when, counted from the beginning.
    :param stamp_ns: the message's own time; None where it has none.
    :param message: a ROS message, or its CDR bytes.
    """

    role: str
    media_ns: int
    stamp_ns: int | None
    message: Any


class Film:
    """
    A media file: frames and sound, stamped with the media's own times from ``start_time`` on.

    :param values: of the parameters in ``parameters.PLAY``.
    """

    def __init__(self, values: dict):
        if AUDIO_MESSAGE is None:
            raise AvsolError(NO_AUDIO_PACKAGE)
        self._values = values
        self._reader = MediaReader(values['file'])
        self._size = parse_size(values['image_size'])
        parse_start_time(values['start_time'], 0)
        image = ('image/compressed', CompressedImage) if values['compressed'] else ('image', Image)
        self.kinds = {'image': image, 'audio': ('audio', AUDIO_MESSAGE)}
        self.audio_info = None
        if AUDIO_INFO is not None:
            self.kinds['audio_info'] = ('audio_info', AUDIO_INFO)
            info = self._reader.info
            self.audio_info = audio_format_message(info.sample_rate, info.channels)
        self.problems: list[str] = []
        self.origin_ns = self.length_ns = 0

    def begin(self, now_ns: int) -> None:
        self.origin_ns = parse_start_time(self._values['start_time'], now_ns)

    def items(self, loop: bool) -> Iterator[Item]:
        """Frames and sound of the file, again and again in a loop, with rising times."""
        duration_ns = self._reader.info.duration_ns
        for turn in count() if loop else range(1):
            offset_ns = turn * duration_ns
            self.length_ns = offset_ns + duration_ns
            for chunk in self._reader:
                media_ns = offset_ns + chunk.time_ns
                stamp_ns = self.origin_ns + media_ns
                yield Item(
                    'image' if isinstance(chunk, VideoChunk) else 'audio',
                    media_ns,
                    stamp_ns,
                    self._message(chunk, stamp_ns),
                )

    def close(self) -> None:
        self._reader.close()

    def _message(self, chunk, stamp_ns: int):
        frame_id = self._values['frame_id']
        if not isinstance(chunk, VideoChunk):
            return samples_to_audio(
                chunk.samples, stamp_ns, frame_id, self._reader.info.sample_rate
            )
        pixels = chunk.image
        if self._size is not None:
            pixels = cv2.resize(pixels, self._size, interpolation=cv2.INTER_AREA)
        if self._values['compressed']:
            return rgb_to_compressed(pixels, stamp_ns, frame_id, self._values['jpeg_quality'])
        return rgb_to_image(pixels, stamp_ns, frame_id)


class Bag:
    """
    A bag's camera and microphone, as they were recorded, stamps and all.

    Where the bag's audio messages are those of another package than the installed one, the sound
    is brought into its messages. So is sound without stamps, unless ``stamp_audio`` is off: its
    time is that at which it was recorded, and no longer known once it has travelled.

    :param values: of the parameters in ``parameters.PLAY``.
    :param defaults: of the same parameters, to tell which were given.
    """

    def __init__(self, values: dict, defaults: dict):
        given = [name for name in OF_FILMS if values[name] != defaults[name]]
        if given:
            raise AvsolError(
                f'{", ".join(given)}: only films can be played so; a bag is played once, as it '
                'was recorded (stamps that went back would be another stream)'
            )
        self._reader = BagReader(values['file'])
        try:
            self._find(values)
        except BaseException:
            self._reader.close()
            raise

    def _find(self, values: dict) -> None:
        reader = self._reader
        self._streams = streams = find_streams(
            reader,
            image=values['image_topic'],
            audio=values['audio_topic'],
            audio_info=values['audio_info_topic'],
        )
        self._roles = {streams.image: 'image', streams.audio: 'audio'}
        if streams.audio_info:
            self._roles[streams.audio_info] = 'audio_info'
        image = self._installed(streams.image)
        if image is None:
            raise AvsolError(
                f'{streams.image} is {reader.topics[streams.image].type}, and not '
                'as the installed sensor_msgs have it'
            )
        if values['compressed'] and image is not CompressedImage:
            raise AvsolError(
                f'compressed: {streams.image} has raw images, and a bag is played as '
                'it was recorded; leave it out'
            )
        self.kinds = {
            'image': ('image/compressed' if image is CompressedImage else 'image', image)
        }
        audio = self._installed(streams.audio)
        info = self._installed(streams.audio_info) if streams.audio_info else None
        self._convert = None
        given = parse_audio_format(
            values['audio_format'], values['audio_sample_rate'], values['audio_channels']
        )
        unstamped = (
            reader.topics[streams.audio].type == UNSTAMPED
            and values['stamp_audio']
            and (streams.audio_info or given.known)
        )
        as_it_is = audio is not None and (info is not None or not streams.audio_info)
        if as_it_is and not unstamped:
            self.kinds['audio'] = ('audio', audio)
            if info is not None:
                self.kinds['audio_info'] = ('audio_info', info)
        else:
            self._convert = AudioConverter(given)
            self.kinds |= self._convert.kinds
        self.audio_info = self._first_info()
        self.origin_ns = reader.start_ns
        self.length_ns = reader.end_ns - reader.start_ns

    @property
    def problems(self) -> list[str]:
        found = self._reader.problems
        return found + (self._convert.problems if self._convert else [])

    def begin(self, now_ns: int) -> None:
        pass

    def items(self, loop: bool) -> Iterator[Item]:
        """Messages of the camera, the microphone and its format, by their log times."""
        for message in self._reader.messages(self._roles):
            role = self._roles[message.topic]
            media_ns = message.log_ns - self.origin_ns
            if self._convert is not None and role != 'image':
                for stamp_ns, role_, converted in self._convert(role, message):
                    yield Item(role_, media_ns, stamp_ns, converted)
            else:
                yield Item(role, media_ns, stamp_of(message), bytes(message.raw))

    def close(self) -> None:
        self._reader.close()

    def _installed(self, topic: str) -> type | None:
        """Class as which the messages of a topic may be published as they are."""
        kind = message_class(self._reader.topics[topic].type)
        if kind is None:
            return None
        for message in self._reader.messages([topic]):
            try:
                return (
                    kind
                    if same_type(message.decode(), self._reader.topics[topic].definition, kind)
                    else None
                )
            except AvsolError:
                continue  # the next may be whole
        raise AvsolError(f'{topic}: no message can be decoded: {"; ".join(self._reader.problems)}')

    def _first_info(self):
        """Send the first format before everything else: it may have come late."""
        if not self._streams.audio_info:
            return None
        for message in self._reader.messages([self._streams.audio_info]):
            if self._convert is None:
                return bytes(message.raw)
            return self._convert.tell(message)
        return None


def stamp_of(message) -> int | None:
    """Header stamp in the CDR bytes of a recorded message; None of a type without one."""
    raw = message.raw
    if message.type.endswith(('/AudioData', '/AudioInfo')) or len(raw) < 12:
        return None
    # Four bytes tell the encoding; then comes the header, of which the stamp is the first part.
    seconds, nanoseconds = struct.unpack_from('<iI' if raw[1] & 1 else '>iI', raw, 4)
    return seconds * NANOSECONDS + nanoseconds


def parse_size(text: str) -> tuple[int, int] | None:
    """Width and height in pixels of WIDTHxHEIGHT; None of an empty text."""
    if not text:
        return None
    match = re.fullmatch(r'([1-9]\d{0,4})x([1-9]\d{0,4})', text)
    if match is None:
        raise AvsolError(f'image_size is {text!r}; expected WIDTHxHEIGHT in pixels, as in 640x480')
    return int(match[1]), int(match[2])


def parse_start_time(text: str, now_ns: int) -> int:
    """
    Nanoseconds of a start time.

    :param text: seconds, or 'now'.
    :param now_ns: the current time, of which 'now' is the whole second.
    """
    if text == 'now':
        return now_ns // NANOSECONDS * NANOSECONDS
    match = re.fullmatch(r'(\d{1,10})(?:\.(\d{1,9}))?', text)
    if match is None:
        raise AvsolError(f"start_time is {text!r}; expected 'now' or seconds, as in 0 or 12.5")
    return int(match[1]) * NANOSECONDS + int((match[2] or '').ljust(9, '0'))
