"""
Decode one stream of a media file: its frames or its sound, with their times.

Times here are exact fractions of seconds, as the file counts them. The reader makes nanoseconds
of them.
"""

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Generic, TypeVar

import av
import cv2
import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.media.image_files import encoded_kind
from avsol_ros.media.open_media import open_media
from avsol_ros.media.upright import display_matrix, square_pixels, turn_upright
from avsol_ros.streams.decoded_audio import frame_samples, to_int16

# Encoded frames kept until their decoded frame comes: more than a decoder may be behind.
_ENCODED_KEPT = 64
# A stream that ends this many seconds before its declared length, and lacks packets, was cut off.
_CUT_TOLERANCE = Fraction(1, 10)


Content = TypeVar('Content')  # what a decoder makes of a frame


@dataclass(frozen=True, eq=False)
class VideoChunk:
    """
    One upright frame.

    :param time_ns: from the start of the file.
    :param image: (H, W, 3) uint8 RGB.
    :param encoded: the JPEG or PNG file that the frame was in the film. Only a reader with
        ``encoded`` gives it, and only of frames that need not be turned or stretched.
    """

    time_ns: int
    image: np.ndarray
    encoded: bytes | None = None


@dataclass(frozen=True, eq=False)
class AudioChunk:
    """
    Some sound.

    :param time_ns: of the first sample, from the start of the file.
    :param samples: (n, channels) int16. A reader with ``native_sound`` gives the decoder's type:
        uint8, int16, int32, int64, float32 or float64.
    :param sample_rate: samples per second.
    """

    time_ns: int
    samples: np.ndarray
    sample_rate: int


class StreamDecoder(Generic[Content]):
    """
    One stream of a file, decoded only as far as it is asked for.

    :param path: media file.
    :param index: of the stream in it.
    :ivar end: end of what has been read; rises while the stream is read.
    """

    #: What the stream holds, for messages.
    content = ''

    def __init__(self, path: Path, index: int):
        self._container = open_media(path)
        self._stream = self._container.streams[index]
        for other in self._container.streams:
            # Older PyAV cannot tell the demuxer to pass over the others; it only reads more.
            if other.index != index and hasattr(other, 'discard'):
                other.discard = av.stream.Discard.all
        self._packets = 0
        self._decoded_first: deque[tuple[Fraction, Content]] = deque()
        self._items = self._decode()
        self._has_failed = False
        # The demuxer changes these while it reads.
        self._declared_end = self.declared_end
        self._declared_packets = self._stream.frames
        self._start: Fraction | None = None
        self._period = Fraction(0)
        self.end = Fraction(0)

    def close(self) -> None:
        """Close the file."""
        self._items.close()
        self._container.close()

    @property
    def declared_end(self) -> Fraction | None:
        """Where the stream ends, as the file declares it; None where it does not."""
        stream = self._stream
        if stream.duration is None or stream.time_base is None:
            return None
        return Fraction(stream.time_base) * ((stream.start_time or 0) + stream.duration)

    @property
    def broke_off(self) -> bool:
        """Whether the stream ended before its time; known once it has been read."""
        if self._has_failed:
            return True
        declared = self._declared_end
        if declared is None or self.end >= declared - _CUT_TOLERANCE:
            return False
        # The last picture may stand for a long time. Then the file lacks no packet.
        return self._packets < self._declared_packets - 1

    def read_packets(self) -> None:
        """Read all packets without decoding them, which tells the end and whether it broke off."""
        try:
            for packet in self._container.demux(self._stream):
                self._packets += packet.size > 0
                if packet.pts is not None and packet.size > 0:
                    start = packet.pts * Fraction(packet.time_base)
                    duration = (packet.duration or 0) * Fraction(packet.time_base)
                    self._start = start if self._start is None else min(self._start, start)
                    self.end = max(self.end, start + (duration or self._period))
        except (av.error.FFmpegError, OSError):
            self._has_failed = True

    def first(self) -> tuple[Fraction, Content] | None:
        """Time and content of the first frame, which is still delivered afterwards."""
        if not self._decoded_first:
            item = next(self._items, None)
            if item is None:
                return None
            self._decoded_first.append(item)
        return self._decoded_first[0]

    def _all_items(self) -> Iterator[tuple[Fraction, Content]]:
        """Time and content of each frame, from the first on."""
        while self._decoded_first:
            yield self._decoded_first.popleft()
        yield from self._items

    def _decode(self) -> Generator[tuple[Fraction, Content], None, None]:
        try:
            for packet in self._container.demux(self._stream):
                self._packets += packet.size > 0
                self._inspect(packet)
                try:
                    frames = packet.decode()
                except av.error.InvalidDataError:
                    # A damaged packet costs its own frames; players go on there, too.
                    continue
                for frame in frames:
                    item = self._convert(frame)
                    if item is not None:
                        yield item
        except (av.error.FFmpegError, OSError):
            # What was decoded is good; the reader says at the end that there should be more.
            self._has_failed = True

    def _inspect(self, packet: av.Packet) -> None:
        """Look at a packet before it is decoded."""

    def _convert(self, frame: Any) -> tuple[Fraction, Content] | None:
        """Time and content of a decoded frame; None to leave it out."""
        raise NotImplementedError

    def _time(self, frame: av.VideoFrame | av.AudioFrame, expected: Fraction) -> Fraction:
        if frame.pts is None or frame.time_base is None:
            return expected
        return frame.pts * Fraction(frame.time_base)


class VideoDecoder(StreamDecoder[tuple[np.ndarray, bytes | None]]):
    """
    The frames of a file, upright and with square pixels.

    :param keep_encoded: give frames that are JPEG or PNG in the file as these, too.
    :ivar frame_rate: frames per second, as the file declares it.
    :ivar size: width and height of the first frame, which all frames get; None before it.
    """

    content = 'picture'
    _stream: av.VideoStream

    def __init__(self, path: Path, index: int, keep_encoded: bool = False):
        super().__init__(path, index)
        self._stream.thread_type = 'AUTO'
        rate = self._stream.average_rate or self._stream.guessed_rate
        self._period = 1 / Fraction(rate) if rate else Fraction(1, 25)
        self.frame_rate = float(1 / self._period)
        self._keep_encoded = keep_encoded
        # By time, since a decoder gives frames later than it takes packets.
        self._encoded: dict[int | None, bytes] = {}
        self.size: tuple[int, int] | None = None
        self._last_time: Fraction | None = None

    @property
    def mean_rate(self) -> float:
        """Frames per second; known better once the packets have been read."""
        if self._start is None or self.end <= self._start:
            return self.frame_rate
        return float(self._packets / (self.end - self._start))

    def chunks(self, origin: Fraction) -> Iterator[VideoChunk]:
        """Give all frames, with times that count from ``origin``."""
        for time, (image, encoded) in self._all_items():
            yield VideoChunk(to_ns(time - origin), image, encoded)

    def _inspect(self, packet: av.Packet) -> None:
        if not self._keep_encoded or packet.pts is None:
            return
        data = bytes(packet)
        if encoded_kind(data):
            self._encoded[packet.pts] = data
            while len(self._encoded) > _ENCODED_KEPT:
                del self._encoded[next(iter(self._encoded))]

    def _convert(
        self, frame: av.VideoFrame
    ) -> tuple[Fraction, tuple[np.ndarray, bytes | None]] | None:
        time = self._time(frame, self.end)
        encoded = self._encoded.pop(frame.pts, None)
        if self._last_time is not None and time <= self._last_time:
            return None
        self._last_time = time
        duration = frame.duration * Fraction(frame.time_base or 0) if frame.duration else 0
        self.end = time + (duration or self._period)
        decoded = frame.to_ndarray(format='rgb24')
        image = square_pixels(decoded, self._stream.sample_aspect_ratio)
        image = turn_upright(image, display_matrix(frame))
        if self.size is None:
            self.size = image.shape[1], image.shape[0]
        elif self.size != (image.shape[1], image.shape[0]):
            image = cv2.resize(image, self.size, interpolation=cv2.INTER_AREA)
        if image is not decoded:
            encoded = None
        return time, (np.ascontiguousarray(image), encoded)


class AudioDecoder(StreamDecoder[np.ndarray]):
    """
    The sound of a file.

    :param native_sound: leave samples in the decoder's type instead of making them int16.
    :ivar codec: FFmpeg's name of the decoder.
    :ivar sample_rate: samples per second, of what was decoded last.
    :ivar channels: of what was decoded last; 0 before.
    """

    content = 'sound'
    _stream: av.AudioStream

    def __init__(self, path: Path, index: int, native_sound: bool = False):
        super().__init__(path, index)
        self._native_sound = native_sound
        self.codec = self._stream.codec_context.name
        # The decoder, not the header, knows the rate (HE-AAC doubles it).
        self.sample_rate = self._stream.codec_context.sample_rate
        self.channels = 0

    def chunks(self, origin: Fraction) -> Iterator[AudioChunk]:
        """Give all sound, with times that count from ``origin``."""
        for time, samples in self._all_items():
            yield AudioChunk(to_ns(time - origin), samples, self.sample_rate)

    def _convert(self, frame: av.AudioFrame) -> tuple[Fraction, np.ndarray] | None:
        if frame.samples == 0:
            return None
        self.sample_rate = frame.sample_rate
        time = self._time(frame, self.end)
        self.end = time + Fraction(frame.samples, frame.sample_rate)
        samples = frame_samples(frame)
        if samples is None:
            return None
        self.channels = samples.shape[1]
        return time, samples if self._native_sound else to_int16(samples)


def to_ns(seconds: Fraction) -> int:
    """Round to whole nanoseconds."""
    return round(seconds * NANOSECONDS)
