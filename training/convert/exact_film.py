"""
Films that keep what they are given: encoded pictures byte for byte, samples bit for bit.

They are MP4s that ordinary players take. Pictures that a camera has encoded as JPEG or PNG are put
in as they are; others become H.264, or PNG where no pixel may change. Sound becomes FLAC, up to 24
bits, or PCM. Times count in units of 10 ns: in nanoseconds an MP4 cannot hold a picture that
stands for longer than two seconds.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.files import AtomicPath
from avsol_ros.media.h264 import H264Track
from avsol_ros.media.image_files import encoded_kind
from avsol_ros.training.convert.exact_sound import CODECS, MOST_CHANNELS

CLOCK = 100_000_000
_TICK_NS = NANOSECONDS // CLOCK
_FRAME_RATE = Fraction(25)  # that the file declares; each picture has its own time
_PICTURE_NS = int(NANOSECONDS / _FRAME_RATE)  # for which a single picture stands
_LAYOUTS = {1: 'mono', 2: 'stereo', 3: '3.0', 4: '4.0', 5: '5.0', 6: '5.1', 7: '6.1', 8: '7.1'}
# Kind of encoded pictures: FFmpeg's names of the codec and of the pixels that the track declares.
_ENCODED_CODECS = {'jpeg': ('mjpeg', 'yuvj420p'), 'png': ('png', 'rgb24')}


@dataclass(frozen=True)
class Sound:
    """
    Track of sound.

    :param kind: of the samples, a key of ``sound.CODECS``.
    """

    rate: int
    channels: int
    kind: str

    @property
    def tracks(self) -> int:
        """Channels of the film: those that there is no codec for become one."""
        return self.channels if self.channels <= MOST_CHANNELS else 1

    @property
    def dtype(self) -> str:
        return 'int32' if self.kind == 'int24' else self.kind


class FilmWriter:
    """
    Writes an MP4, which is whole and in its place after ``close``.

    Pictures begin the film: its picture track has the kind and the size of the first. Sound that
    comes before is kept until then.

    :param quality: x264's constant rate factor.
    """

    def __init__(self, path: Path, sound: Sound | None, quality: int = 16):
        self.path = path
        self.sound = sound
        self._quality = quality
        self._output = AtomicPath(path, errors=(OSError, av.error.FFmpegError))
        self._container = None
        self._video = self._audio = None
        self._early: list[np.ndarray] = []
        self._waiting: tuple[int, bytes] | None = None
        self._duration = _PICTURE_NS // _TICK_NS
        self._last = -1
        self.kind = ''
        self.size = (0, 0)
        self.samples = 0

    def __enter__(self) -> 'FilmWriter':
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def add_encoded(self, data: bytes, time_ns: int, size: tuple[int, int]) -> None:
        """
        Add a JPEG or a PNG as it is.

        :param size: width and height in pixels.
        """
        if self._container is None:
            self._open(encoded_kind(data), size)
        ticks = self._ticks(time_ns)
        self._put_waiting(ticks)
        self._waiting = ticks, data

    def add_picture(self, image: np.ndarray, time_ns: int) -> None:
        """
        Add a picture that becomes H.264.

        :param image: (H, W, 3) uint8 RGB, of the size of the first.
        """
        height, width = image.shape[:2]
        if self._container is None:
            self._open('h264', (width, height))
        ticks = self._ticks(time_ns)
        with self._output.writing():
            self._container.mux(self._video.encode(image, ticks))

    def add_sound(self, samples: np.ndarray) -> None:
        """Add samples (n, channels) of the track's kind; they follow on."""
        if self.sound.tracks < samples.shape[1]:
            samples = samples.mean(axis=1, keepdims=True).astype(samples.dtype)
        self.samples += len(samples)
        if self._container is None:
            self._early.append(samples)
        else:
            self._encode_sound(samples)

    def add_silence(self, count: int) -> None:
        while count > 0:
            part = min(count, self.sound.rate)
            self.add_sound(np.zeros((part, self.sound.tracks), self.sound.dtype))
            count -= part

    def close(self) -> None:
        """Finish the file and put it in its place; without any content there is none."""
        try:
            if self._container is None and self._early:
                self._open('', (0, 0))
            if self._container is None:
                return
            with self._output.writing():
                self._put_waiting(None)
                if self.kind == 'h264':
                    self._container.mux(self._video.flush())
                if self._audio is not None:
                    self._container.mux(self._audio.encode(None))
                container, self._container = self._container, None
                container.close()
            self._output.commit()
        finally:
            self.discard()

    def discard(self) -> None:
        """Leave nothing behind, unless the file was closed."""
        container, self._container = self._container, None
        self._early = []
        if container is not None:
            try:
                container.close()
            except (av.error.FFmpegError, OSError):
                pass  # broken already; the file goes away in any case
        self._output.discard()

    def _open(self, kind: str, size: tuple[int, int]) -> None:
        self.kind, self.size = kind, size
        with self._output.writing():
            # Beginnings are in units of the movie's clock.
            self._container = av.open(
                str(self._output.begin()),
                'w',
                format='mp4',
                options={'movflags': '+faststart', 'movie_timescale': str(CLOCK)},
            )
            if kind:
                self._video = self._add_video(kind, size)
            if self.sound is not None:
                codec, form = CODECS[self.sound.kind]
                self._audio = self._container.add_stream(codec, rate=self.sound.rate)
                self._audio.layout = _LAYOUTS[self.sound.tracks]
                self._audio.format = form
                self._audio.time_base = Fraction(1, self.sound.rate)
            self._container.start_encoding()
        self._put = 0
        for samples in self._early:
            self._encode_sound(samples)
        self._early = []

    def _add_video(self, kind: str, size: tuple[int, int]):
        if kind == 'h264':
            return H264Track(
                self._container, *size, _FRAME_RATE, CLOCK, self._quality, repeatable=True
            )
        codec, pixels = _ENCODED_CODECS[kind]
        stream = self._container.add_stream(codec, rate=_FRAME_RATE)
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        stream.time_base = stream.codec_context.time_base = Fraction(1, CLOCK)
        return stream

    def _ticks(self, time_ns: int) -> int:
        # Rounded down, so that no picture moves over the border of a window.
        self._last = max(time_ns // _TICK_NS, self._last + 1)
        return self._last

    def _put_waiting(self, following: int | None) -> None:
        if self._waiting is None:
            return
        (ticks, data), self._waiting = self._waiting, None
        if following is not None:
            self._duration = following - ticks
        packet = av.Packet(data)
        packet.stream = self._video
        packet.pts = packet.dts = ticks
        packet.duration = min(self._duration, CLOCK)
        packet.time_base = Fraction(1, CLOCK)
        packet.is_keyframe = True
        with self._output.writing():
            self._container.mux(packet)

    def _encode_sound(self, samples: np.ndarray) -> None:
        if not len(samples):
            return
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples).reshape(1, -1),
            format=CODECS[self.sound.kind][1],
            layout=_LAYOUTS[self.sound.tracks],
        )
        frame.sample_rate = self.sound.rate
        frame.pts = self._put
        frame.time_base = Fraction(1, self.sound.rate)
        self._put += len(samples)
        with self._output.writing():
            self._container.mux(self._audio.encode(frame))
