"""
Write films: H.264 video and, if wanted, AAC sound.

Times are integer nanoseconds from the start of the film.
"""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.media.film_file import FilmFile, audio_frame
from avsol_ros.media.h264 import H264Track
from avsol_ros.streams.decoded_audio import to_int16
from avsol_ros.streams.time_jumps import SOUND_TOLERANCE_NS

_CONTAINERS = {'.mp4': 'mp4', '.m4v': 'mp4', '.mov': 'mov', '.mkv': 'matroska'}
# Divides the frame times of 24, 25, 30, 50, 60 and of 30000/1001 fps without remainder.
_VIDEO_CLOCK = 90_000
# Sample rates that AAC can carry; any other is resampled to the last of them.
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 88200, 96000, 48000)
_AUDIO_TOLERANCE = Fraction(SOUND_TOLERANCE_NS, NANOSECONDS)


def require_film_name(path: Path) -> None:
    """Raise AvsolError where the suffix is of no film that can be written."""
    if path.suffix.lower() not in _CONTAINERS:
        raise AvsolError(
            f'cannot write {str(path)!r}: expected a name that ends in one of '
            f'{", ".join(sorted(_CONTAINERS))}'
        )


class MediaWriter:
    """
    Writes an MP4 (or MOV, MKV: by the suffix) with H.264 video and, if wanted, AAC sound.

    The file is whole and in its place after ``close``; leaving the ``with`` block by an exception
    discards it. Frames of odd size get their last row or column twice.

    :param path: file to write; its folder is made.
    :param width: of the frames, in pixels.
    :param height: of the frames, in pixels.
    :param frame_rate: of frames that come without their time, in frames per second.
    :param sample_rate: of the sound in Hz; None for a silent film.
    :param channels: of the sound; more than two become one.
    :param quality: x264's constant rate factor: lower is better and bigger, 18 to 28 is usual.
    :raises AvsolError: for sizes, rates and names that no film can have.
    :raises CannotWrite: here and in all methods, for a file that cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        width: int,
        height: int,
        frame_rate: float,
        sample_rate: int | None = None,
        channels: int = 1,
        quality: int = 20,
    ):
        self.path = Path(path)
        require_film_name(self.path)
        if width < 1 or height < 1 or not frame_rate > 0:
            raise AvsolError(
                f'cannot write {self.path} with {width} x {height} pixels at '
                f'{frame_rate} frames per second; expected more than zero'
            )
        self.width, self.height = width, height
        self._frame_rate = Fraction(frame_rate).limit_denominator(1001)
        self._frames = 0
        self._last_pts = -1
        self._channels = channels
        self._samples = 0
        self._audio: av.AudioStream | None = None
        self._resampler: av.AudioResampler | None = None
        kind = _CONTAINERS[self.path.suffix.lower()]
        options = {'movflags': '+faststart'} if kind != 'matroska' else {}
        self._file: FilmFile | None = FilmFile(self.path, kind, options)
        with self._file.adding_streams():
            self._video = H264Track(
                self._file.container, width, height, self._frame_rate, _VIDEO_CLOCK, quality
            )
            if sample_rate is not None:
                self._add_audio_stream(self._file, sample_rate)

    @property
    def has_sound(self) -> bool:
        """Whether the film was opened with sound."""
        return self._audio is not None

    def __enter__(self) -> 'MediaWriter':
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def add_frame(self, image: np.ndarray, time_ns: int | None = None) -> None:
        """
        Add a frame.

        :param image: (height, width, 3) uint8 RGB.
        :param time_ns: its time from the start of the file, later than the frame before; by
            default the next at the frame rate.
        """
        if image.shape != (self.height, self.width, 3) or image.dtype != np.uint8:
            raise AvsolError(
                f'{self.path} takes frames of shape ({self.height}, {self.width}, 3) '
                f'and type uint8; got {image.shape} {image.dtype}'
            )
        seconds = (
            self._frames / self._frame_rate if time_ns is None else Fraction(time_ns, NANOSECONDS)
        )
        pts = round(seconds * _VIDEO_CLOCK)
        if pts <= self._last_pts:
            raise AvsolError(
                f'{self.path} takes frames in the order of their times, from 0 on; '
                f'got one at {float(seconds):.6f} s after one at '
                f'{self._last_pts / _VIDEO_CLOCK:.6f} s'
            )
        file = self._get_file()
        with file.writing():
            file.mux(self._video.encode(image, pts))
        self._frames += 1
        self._last_pts = pts

    def add_audio(self, samples: np.ndarray, time_ns: int | None = None) -> None:
        """
        Add sound.

        :param samples: (n, channels) or, for one channel, (n,); int16, or float in [-1, 1].
        :param time_ns: time of the first sample from the start of the file; silence fills a gap
            before it, and what overlaps the sound already written is left out. By default the
            sound follows on.
        """
        if self._audio is None:
            raise AvsolError(f'{self.path} was opened without sound; give it a sample_rate')
        samples = samples[:, None] if samples.ndim == 1 else samples
        if samples.shape[1] != self._channels:
            raise AvsolError(
                f'{self.path} takes sound with {self._channels} channel(s); got {samples.shape[1]}'
            )
        samples = to_int16(samples)
        silence = 0
        if time_ns is not None:
            offset = Fraction(time_ns, NANOSECONDS) - Fraction(self._samples, self._rate)
            if offset > _AUDIO_TOLERANCE:
                silence = round(offset * self._rate)
            elif offset < -_AUDIO_TOLERANCE:
                samples = samples[round(-offset * self._rate) :]
        file = self._get_file()
        with file.writing():
            self._encode_silence(file, silence)
            self._encode_audio(file, samples)

    def close(self) -> None:
        """Finish the file and put it in its place."""
        file = self._file
        if file is None:
            return
        try:
            with file.writing():
                file.mux(self._video.flush())
                if self._resampler is not None:
                    self._mux_audio(file, self._resampler.resample(None))
                if self._audio is not None:
                    file.mux(self._audio.encode(None))
            file.close()
        finally:
            self.discard()

    def discard(self) -> None:
        """Leave nothing behind, unless the file was closed."""
        if self._file is not None:
            self._file.discard()
            self._file = None

    def _get_file(self) -> FilmFile:
        if self._file is None:
            raise AvsolError(f'{self.path} is closed; nothing more can be added')
        return self._file

    def _add_audio_stream(self, file: FilmFile, sample_rate: int) -> None:
        if sample_rate < 1 or self._channels < 1:
            raise AvsolError(
                f'cannot write {self.path} with {self._channels} channel(s) at '
                f'{sample_rate} Hz; expected more than zero'
            )
        self._rate = sample_rate
        layout = 'stereo' if self._channels == 2 else 'mono'
        rate = sample_rate if sample_rate in _AAC_RATES else _AAC_RATES[-1]
        stream = file.container.add_stream('aac', rate=rate)
        stream.layout = layout
        stream.bit_rate = 160_000 if layout == 'stereo' else 96_000
        stream.time_base = Fraction(1, rate)
        self._audio = stream
        if rate != sample_rate:
            self._resampler = av.AudioResampler(format='fltp', layout=layout, rate=rate)

    def _encode_silence(self, file: FilmFile, count: int) -> None:
        second = np.zeros((self._rate, self._channels), np.int16)
        while count > 0:
            self._encode_audio(file, second[:count])
            count -= len(second)

    def _encode_audio(self, file: FilmFile, samples: np.ndarray) -> None:
        if len(samples) == 0:
            return
        if self._channels > 2:
            mixed = np.rint(samples.mean(axis=1, keepdims=True)).astype(np.int16)
        else:
            mixed = samples
        layout = 'stereo' if self._channels == 2 else 'mono'
        frame = audio_frame(mixed, 's16', layout, self._rate, self._samples)
        self._samples += len(samples)
        self._mux_audio(
            file, [frame] if self._resampler is None else self._resampler.resample(frame)
        )

    def _mux_audio(self, file: FilmFile, frames: list[av.AudioFrame]) -> None:
        assert self._audio is not None  # add_audio has looked
        for frame in frames:
            file.mux(self._audio.encode(frame))
