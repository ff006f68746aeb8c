"""Decode one stream of a media file: its frames or its sound, with their times."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.media.image_files import encoded_kind
from avsol_ros.media.open_media import open_media
from avsol_ros.media.upright import display_matrix, square_pixels, turn_upright
from avsol_ros.streams.decoded_audio import frame_samples, to_int16

_ENCODED_HELD = 64  # more than threads of a decoder
# A stream that ends this much before the length it declares, and lacks packets, was cut off.
_CUT_TOLERANCE = Fraction(1, 10)


@dataclass(frozen=True, eq=False)
class VideoChunk:
    """
    One upright frame: ``image`` is (H, W, 3) uint8 RGB.

    A reader with ``encoded`` gives, of films whose frames are whole JPEGs or PNGs that need no
    turning, these files as well.
    """

    time_ns: int
    image: np.ndarray
    encoded: bytes | None = None


@dataclass(frozen=True, eq=False)
class AudioChunk:
    """
    Some sound: ``samples`` is (n, channels) int16; ``time_ns`` belongs to the first of them.

    A reader with ``native_sound`` gives samples as the decoder does: uint8, int16, int32, float32
    or float64.
    """

    time_ns: int
    samples: np.ndarray
    sample_rate: int


class StreamDecoder:
    """One stream of a file, decoded lazily; times are exact fractions of seconds."""

    keep_encoded = False

    def __init__(self, path: Path, index: int):
        self._container = open_media(path)
        self._stream = self._container.streams[index]
        for other in self._container.streams:
            # Older PyAV cannot tell the demuxer to pass over the others; it only reads more.
            if other.index != index and hasattr(other, 'discard'):
                other.discard = av.stream.Discard.all
        self._packets = 0
        self._pending = deque()
        self._frames = self._decode()
        self._failed = False
        self._declared_end = self.declared_end
        self._declared_packets = self._stream.frames
        self._start = None
        self._period = Fraction(0)
        self.end = Fraction(0)

    def close(self) -> None:
        self._frames.close()
        self._container.close()

    @property
    def declared_end(self) -> Fraction | None:
        stream = self._stream
        if stream.duration is None or stream.time_base is None:
            return None
        return Fraction(stream.time_base) * ((stream.start_time or 0) + stream.duration)

    @property
    def broke_off(self) -> bool:
        """Whether the stream ended before its time; known once it has been read."""
        if self._failed:
            return True
        declared = self._declared_end
        if declared is None or self.end >= declared - _CUT_TOLERANCE:
            return False
        # A last picture that stands for long is no defect: then every packet was there.
        return self._packets < self._declared_packets - 1

    def skip(self) -> None:
        """Read all packets without decoding them."""
        try:
            for packet in self._container.demux(self._stream):
                self._packets += packet.size > 0
                if packet.pts is not None and packet.size > 0:
                    start = packet.pts * Fraction(packet.time_base)
                    duration = (packet.duration or 0) * Fraction(packet.time_base)
                    self._start = start if self._start is None else min(self._start, start)
                    self.end = max(self.end, start + (duration or self._period))
        except (av.error.FFmpegError, OSError):
            self._failed = True

    def first(self) -> tuple[Fraction, Any] | None:
        """Time and content of the first frame, which is still delivered afterwards."""
        if not self._pending:
            item = next(self._frames, None)
            if item is None:
                return None
            self._pending.append(item)
        return self._pending[0]

    def _items(self) -> Iterator[tuple[Fraction, Any]]:
        while self._pending:
            yield self._pending.popleft()
        yield from self._frames

    def _decode(self) -> Iterator[tuple[Fraction, Any]]:
        try:
            for packet in self._container.demux(self._stream):
                self._packets += packet.size > 0
                if self.keep_encoded:
                    self._keep(packet)
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
            self._failed = True

    def _time(self, frame, expected: Fraction) -> Fraction:
        if frame.pts is None or frame.time_base is None:
            return expected
        return frame.pts * Fraction(frame.time_base)


class VideoDecoder(StreamDecoder):
    what = 'picture'

    def __init__(self, path: Path, index: int):
        super().__init__(path, index)
        self._stream.thread_type = 'AUTO'
        rate = self._stream.average_rate or self._stream.guessed_rate
        self._period = 1 / Fraction(rate) if rate else Fraction(1, 25)
        self.frame_rate = float(1 / self._period)
        self._size = None
        self._last = None
        self._encoded = {}  # by time; decoders are some frames behind

    def _keep(self, packet) -> None:
        if packet.pts is not None and encoded_kind(bytes(packet)):
            self._encoded[packet.pts] = bytes(packet)
            while len(self._encoded) > _ENCODED_HELD:
                del self._encoded[next(iter(self._encoded))]

    @property
    def mean_rate(self) -> float:
        """Frames per second; known better once the packets have been read."""
        if self._start is None or self.end <= self._start:
            return self.frame_rate
        return float(self._packets / (self.end - self._start))

    def chunks(self, origin: Fraction) -> Iterator[VideoChunk]:
        for time, (image, encoded) in self._items():
            yield VideoChunk(to_ns(time - origin), image, encoded)

    def _convert(self, frame) -> tuple[Fraction, tuple[np.ndarray, bytes | None]] | None:
        time = self._time(frame, self.end)
        encoded = self._encoded.pop(frame.pts, None)
        if self._last is not None and time <= self._last:
            return None
        self._last = time
        duration = frame.duration * Fraction(frame.time_base or 0) if frame.duration else 0
        self.end = time + (duration or self._period)
        decoded = frame.to_ndarray(format='rgb24')
        image = square_pixels(decoded, self._stream.sample_aspect_ratio)
        image = turn_upright(image, display_matrix(frame))
        if self._size is None:
            self._size = image.shape[1], image.shape[0]
        elif self._size != (image.shape[1], image.shape[0]):
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        if image is not decoded:
            encoded = None
        return time, (np.ascontiguousarray(image), encoded)


class AudioDecoder(StreamDecoder):
    what = 'sound'
    native_sound = False

    def __init__(self, path: Path, index: int):
        super().__init__(path, index)
        self.codec = self._stream.codec_context.name
        # The decoder, not the header, knows the rate (HE-AAC doubles it).
        self.sample_rate = self._stream.codec_context.sample_rate

    def chunks(self, origin: Fraction) -> Iterator[AudioChunk]:
        for time, samples in self._items():
            yield AudioChunk(to_ns(time - origin), samples, self.sample_rate)

    def _convert(self, frame) -> tuple[Fraction, np.ndarray] | None:
        if frame.samples == 0:
            return None
        self.sample_rate = frame.sample_rate
        time = self._time(frame, self.end)
        self.end = time + Fraction(frame.samples, frame.sample_rate)
        samples = frame_samples(frame)
        if samples is None:
            return None
        return time, samples if self.native_sound else to_int16(samples)


def to_ns(seconds: Fraction) -> int:
    return round(seconds * NANOSECONDS)
