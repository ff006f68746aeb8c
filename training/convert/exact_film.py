"""
Write films that keep what they are given: encoded pictures byte for byte, samples bit for bit.

They are MP4s that ordinary players take. Pictures that a camera has encoded as JPEG or PNG go in
as they are. Other pictures become H.264, or PNG where no pixel may change. Sound becomes FLAC, up
to 24 bits, or PCM. Times count in units of 10 ns, because in nanoseconds an MP4 cannot hold a
picture that stands for longer than two seconds.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.media.film_file import FilmFile, audio_frame
from avsol_ros.media.h264 import H264Track
from avsol_ros.media.image_files import encoded_kind
from avsol_ros.training.convert.exact_sound import CODECS, MOST_CHANNELS

CLOCK = 100_000_000  # ticks per second
_TICK_NS = NANOSECONDS // CLOCK
_FRAME_RATE = Fraction(25)  # that the file declares; each picture has its own time
_PICTURE_NS = int(NANOSECONDS / _FRAME_RATE)  # for which a single picture stands
_LAYOUTS = {1: 'mono', 2: 'stereo', 3: '3.0', 4: '4.0', 5: '5.0', 6: '5.1', 7: '6.1', 8: '7.1'}
# Kind of encoded pictures: FFmpeg's names of the codec and of the pixels that the track declares.
_ENCODED_CODECS = {'jpeg': ('mjpeg', 'yuvj420p'), 'png': ('png', 'rgb24')}


@dataclass(frozen=True)
class Sound:
    """
    The sound track of a film.

    :param rate: samples per second.
    :param channels: of the sound that goes in.
    :param kind: type of the samples, a key of ``exact_sound.CODECS``.
    """

    rate: int
    channels: int
    kind: str

    @property
    def tracks(self) -> int:
        """Channels of the film. More channels than a codec can hold become one."""
        return self.channels if self.channels <= MOST_CHANNELS else 1

    @property
    def dtype(self) -> str:
        """NumPy's name of the type that the samples have in memory."""
        return 'int32' if self.kind == 'int24' else self.kind


class ExactFilmWriter:
    """
    Writes an MP4, which is whole and in its place after ``close``.

    The first picture decides the kind and the size of the picture track. Sound that comes before
    it is kept until then.

    :param path: file to write; its folder is made.
    :param sound: the sound track; None for a silent film.
    :param quality: x264's constant rate factor, for pictures that become H.264.
    :ivar kind: of the picture track: ``jpeg``, ``png``, ``h264``, or empty while there is none.
    :ivar size: width and height of the pictures, in pixels.
    :ivar samples: of the sound, that have come.
    :raises CannotWrite: in all methods, for a file that cannot be written.
    """

    def __init__(self, path: Path, sound: Sound | None, quality: int = 16):
        self.path = path
        self.sound = sound
        self._quality = quality
        self._file: FilmFile | None = None
        self._video = self._audio = None
        self._early_sound: list[np.ndarray] = []
        self._samples_encoded = 0
        self._waiting_picture: tuple[int, bytes] | None = None
        self._picture_ticks = _PICTURE_NS // _TICK_NS
        self._last_tick = -1
        self.kind = ''
        self.size = (0, 0)
        self.samples = 0

    def __enter__(self) -> 'ExactFilmWriter':
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def add_encoded(self, data: bytes, time_ns: int, size: tuple[int, int]) -> None:
        """
        Add a JPEG or a PNG as it is.

        :param data: the image file.
        :param time_ns: from the start of the film.
        :param size: width and height in pixels.
        """
        if self._file is None:
            self._open(encoded_kind(data), size)
        tick = self._next_tick(time_ns)
        self._mux_waiting_picture(tick)
        self._waiting_picture = tick, data

    def add_picture(self, image: np.ndarray, time_ns: int) -> None:
        """
        Add a picture that becomes H.264.

        :param image: (H, W, 3) uint8 RGB, of the size of the first.
        :param time_ns: from the start of the film.
        """
        if self._file is None:
            height, width = image.shape[:2]
            self._open('h264', (width, height))
        tick = self._next_tick(time_ns)
        with self._file.writing():
            self._file.mux(self._video.encode(image, tick))

    def add_sound(self, samples: np.ndarray) -> None:
        """Add samples (n, channels) of the track's type, right after those before."""
        if self.sound.tracks < samples.shape[1]:
            samples = samples.mean(axis=1, keepdims=True).astype(samples.dtype)
        self.samples += len(samples)
        if self._file is None:
            self._early_sound.append(samples)
        else:
            self._encode_sound(samples)

    def add_silence(self, count: int) -> None:
        """Add that many samples of silence."""
        while count > 0:
            part = min(count, self.sound.rate)
            self.add_sound(np.zeros((part, self.sound.tracks), self.sound.dtype))
            count -= part

    def close(self) -> None:
        """Finish the file and put it in its place; without any content there is none."""
        try:
            if self._file is None and self._early_sound:
                self._open('', (0, 0))
            if self._file is None:
                return
            self._mux_waiting_picture(None)
            with self._file.writing():
                if self.kind == 'h264':
                    self._file.mux(self._video.flush())
                if self._audio is not None:
                    self._file.mux(self._audio.encode(None))
            self._file.close()
        finally:
            self.discard()

    def discard(self) -> None:
        """Leave nothing behind, unless the file was closed."""
        self._early_sound = []
        if self._file is not None:
            self._file.discard()
            self._file = None

    def _open(self, kind: str, size: tuple[int, int]) -> None:
        self.kind, self.size = kind, size
        # An MP4 counts the times at which its tracks begin in units of the movie's clock.
        options = {'movflags': '+faststart', 'movie_timescale': str(CLOCK)}
        self._file = FilmFile(self.path, 'mp4', options)
        with self._file.adding_streams():
            if kind == 'h264':
                self._video = H264Track(
                    self._file.container, *size, _FRAME_RATE, CLOCK, self._quality, repeatable=True
                )
            elif kind:
                self._video = self._add_image_stream(kind, size)
            if self.sound is not None:
                self._audio = self._add_audio_stream(self.sound)
        for samples in self._early_sound:
            self._encode_sound(samples)
        self._early_sound = []

    def _add_image_stream(self, kind: str, size: tuple[int, int]):
        codec, pixels = _ENCODED_CODECS[kind]
        stream = self._file.container.add_stream(codec, rate=_FRAME_RATE)
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        stream.time_base = stream.codec_context.time_base = Fraction(1, CLOCK)
        return stream

    def _add_audio_stream(self, sound: Sound):
        codec, sample_format = CODECS[sound.kind]
        stream = self._file.container.add_stream(codec, rate=sound.rate)
        stream.layout = _LAYOUTS[sound.tracks]
        stream.format = sample_format
        stream.time_base = Fraction(1, sound.rate)
        return stream

    def _next_tick(self, time_ns: int) -> int:
        """Time of the next picture in ticks, later than that of the one before."""
        # Rounded down, so that no picture moves over the border of a window.
        self._last_tick = max(time_ns // _TICK_NS, self._last_tick + 1)
        return self._last_tick

    def _mux_waiting_picture(self, next_tick: int | None) -> None:
        """Write the picture that waits, which stands until the next one; None at the end."""
        if self._waiting_picture is None:
            return
        (tick, data), self._waiting_picture = self._waiting_picture, None
        if next_tick is not None:
            self._picture_ticks = next_tick - tick
        packet = av.Packet(data)
        packet.stream = self._video
        packet.pts = packet.dts = tick
        packet.duration = min(self._picture_ticks, CLOCK)
        packet.time_base = Fraction(1, CLOCK)
        packet.is_keyframe = True
        with self._file.writing():
            self._file.mux(packet)

    def _encode_sound(self, samples: np.ndarray) -> None:
        if not len(samples):
            return
        sample_format, layout = CODECS[self.sound.kind][1], _LAYOUTS[self.sound.tracks]
        frame = audio_frame(samples, sample_format, layout, self.sound.rate, self._samples_encoded)
        self._samples_encoded += len(samples)
        with self._file.writing():
            self._file.mux(self._audio.encode(frame))
