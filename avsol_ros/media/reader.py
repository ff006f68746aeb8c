"""
Media files in and out: frames upright with their times, sound as it was recorded.

A reader and a writer on PyAV (FFmpeg). Times are integer nanoseconds on the media's own clock,
zero being the start of whichever of the two streams starts first.
"""

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from heapq import merge
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError

# FFmpeg takes nearly any text file for a terminal recording, and a picture for a film.
_NOT_MEDIA_FORMATS = ('tty', 'bin', 'txd', 'image2')
_CONTAINERS = {'.mp4': 'mp4', '.m4v': 'mp4', '.mov': 'mov', '.mkv': 'matroska'}
H264_ENCODERS = ('libx264', 'libopenh264', 'mpeg4')
# Divides the frame times of 24, 25, 30, 50, 60 and of 30000/1001 fps without remainder.
_VIDEO_CLOCK = 90_000
# What AAC can carry; anything else is resampled to the last of them.
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 88200, 96000, 48000)
# Audio stamps wander by the rounding of their clocks (1 ms in Matroska); sound moves only beyond.
_AUDIO_TOLERANCE = Fraction(20, 1000)
_ENCODED_FRAMES = (b'\xff\xd8', b'\x89P')  # JPEG, PNG
_ENCODED_HELD = 64  # more than threads of a decoder
# A stream that ends this much before the length it declares, and lacks packets, was cut off.
_CUT_TOLERANCE = Fraction(1, 10)
# Matroska declares one length, rounded up generously, for all streams together.
_CUT_TOLERANCE_MATROSKA = Fraction(1, 2)
# Types of samples by FFmpeg's names of the formats.
_SAMPLES = {'u8': 'u1', 's16': 'i2', 's32': 'i4', 's64': 'i8', 'flt': 'f4', 'dbl': 'f8'}
_MAX_PLANES = 8


@dataclass(frozen=True)
class MediaInfo:
    """
    What is in a media file, as it will be read.

    :param duration_ns: length in nanoseconds, as the file declares it; of a file that does not
        (one that was streamed), to the end of its last packet.
    :param width: of the upright picture, in pixels; 0 without video.
    :param height: of the upright picture, in pixels; 0 without video.
    :param frame_rate: mean frames per second; 0 without video.
    :param sample_rate: samples per second; 0 without sound.
    :param channels: of the sound; 0 without sound.
    """

    path: Path
    duration_ns: int
    width: int
    height: int
    frame_rate: float
    sample_rate: int
    channels: int


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


class MediaReader:
    """
    Reads a media file as one sequence of frames and sound chunks in the order of their times.

    Each stream is decoded by its own demuxer, only as far as it is asked for, so memory stays
    bounded however the file is interleaved. Rotation and mirroring in the metadata (phones),
    pixels that are not square, edit lists, start offsets and variable frame rates are honoured.

    A file that breaks off is read until there; then iterating raises one AvsolError that says
    at what time.

    :param path: media file.
    :param need_video: refuse a file without video.
    :param need_audio: refuse a file without sound.
    :param native_sound: leave samples in the decoder's type instead of making them int16.
    :param encoded: give frames that are JPEG or PNG in the file as these, too.
    """

    def __init__(
        self,
        path: str | Path,
        need_video: bool = True,
        need_audio: bool = True,
        native_sound: bool = False,
        encoded: bool = False,
    ):
        self._path = Path(path)
        self._native_sound, self._encoded = native_sound, encoded
        self._open_streams = []
        try:
            self._video, self._audio = self._select_streams(need_video, need_audio)
            self.info = self._examine()
        finally:
            self.close()

    def __enter__(self) -> 'MediaReader':
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. A later iteration opens it anew."""
        while self._open_streams:
            self._open_streams.pop().close()

    def check(self) -> None:
        """Raise AvsolError if the file breaks off; reads it all, but decodes nothing."""
        streams = self._streams()
        try:
            for stream in streams:
                stream.skip()
        finally:
            self.close()
        self._check_complete(streams)

    def __iter__(self) -> Iterator[VideoChunk | AudioChunk]:
        streams = self._streams()
        try:
            yield from merge(*(s.chunks(self._origin) for s in streams), key=_time_of)
        finally:
            for stream in streams:
                stream.close()
        self._check_complete(streams)

    def _select_streams(self, need_video: bool, need_audio: bool) -> tuple[int | None, int | None]:
        """Indices of the video and the audio stream to read."""
        container = _open(self._path)
        try:
            streams = [container.streams.best(kind) for kind in ('video', 'audio')]
            video, audio = (
                None if s is None or _is_cover_picture(s) else s.index for s in streams
            )
            self._is_matroska = 'matroska' in container.format.name
            self._container_start = container.start_time
            self._container_duration = container.duration
        finally:
            container.close()
        if video is None and audio is None:
            raise _not_media(self._path, 'it has neither video nor sound')
        if video is None and need_video:
            raise AvsolError(f'{self._path} has no video, only sound; give a file with both')
        if audio is None and need_audio:
            raise AvsolError(f'{self._path} has no sound, only video; give a file with both')
        return video, audio

    def _streams(self) -> list['_VideoStream | _AudioStream']:
        streams = []
        for kind, index in ((_VideoStream, self._video), (_AudioStream, self._audio)):
            if index is not None:
                streams.append(kind(self._path, index))
                streams[-1].native_sound = self._native_sound
                streams[-1].keep_encoded = self._encoded and kind is _VideoStream
        self._open_streams.extend(streams)
        return streams

    def _examine(self) -> MediaInfo:
        """Decode the first frame of each stream: only that shows what will really be read."""
        streams = self._streams()
        firsts = [stream.first() for stream in streams]
        self._origin = min((f[0] for f in firsts if f is not None), default=None)
        if self._origin is None:
            raise AvsolError(
                f'{self._path} holds no frame that can be decoded: it is truncated '
                'or damaged; copy it again or give another file'
            )
        for stream, first in zip(streams, firsts, strict=True):
            if first is None:
                raise AvsolError(
                    f'{self._path} holds no {stream.what} that can be decoded: it '
                    'is truncated or damaged; copy it again or give another file'
                )
        width = height = sample_rate = channels = 0
        frame_rate = 0.0
        end = self._origin
        for stream, (_, first) in zip(streams, firsts, strict=True):
            end = max(end, stream.declared_end or end)
            if isinstance(stream, _VideoStream):
                height, width = first[0].shape[:2]
                frame_rate = stream.frame_rate
            else:
                sample_rate, channels = stream.sample_rate, first.shape[1]
        if self._container_duration is not None:
            start = Fraction(self._container_start or 0, av.time_base)
            end = start + Fraction(self._container_duration, av.time_base)
        elif any(stream.declared_end is None for stream in streams):
            for stream in self._streams():
                stream.skip()
                end = max(end, stream.end)
                if isinstance(stream, _VideoStream):
                    frame_rate = stream.mean_rate
        return MediaInfo(
            self._path,
            max(_to_ns(end - self._origin), 0),
            width,
            height,
            frame_rate,
            sample_rate,
            channels,
        )

    def _check_complete(self, streams: list) -> None:
        ends = [stream.end for stream in streams if stream.broke_off]
        if not ends and self._is_matroska:
            end = max(stream.end for stream in streams)
            if _to_ns(end - self._origin + _CUT_TOLERANCE_MATROSKA) < self.info.duration_ns:
                ends = [end]
        if ends:
            at = float(min(ends) - self._origin)
            raise AvsolError(
                f'{self._path} breaks off at {at:.2f} s of '
                f'{self.info.duration_ns / NANOSECONDS:.2f} s: it is truncated or '
                'damaged; copy it again or give another file'
            )


class _Stream:
    """One stream of a file, decoded lazily; times are exact fractions of seconds."""

    keep_encoded = False

    def __init__(self, path: Path, index: int):
        self._container = _open(path)
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


class _VideoStream(_Stream):
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
        if packet.pts is not None and bytes(packet)[:2] in _ENCODED_FRAMES:
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
            yield VideoChunk(_to_ns(time - origin), image, encoded)

    def _convert(self, frame) -> tuple[Fraction, tuple[np.ndarray, bytes | None]] | None:
        time = self._time(frame, self.end)
        encoded = self._encoded.pop(frame.pts, None)
        if self._last is not None and time <= self._last:
            return None
        self._last = time
        duration = frame.duration * Fraction(frame.time_base or 0) if frame.duration else 0
        self.end = time + (duration or self._period)
        decoded = frame.to_ndarray(format='rgb24')
        image = _squared(decoded, self._stream.sample_aspect_ratio)
        image = _upright(image, _display_matrix(frame))
        if self._size is None:
            self._size = image.shape[1], image.shape[0]
        elif self._size != (image.shape[1], image.shape[0]):
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        if image is not decoded:
            encoded = None
        return time, (np.ascontiguousarray(image), encoded)


class _AudioStream(_Stream):
    what = 'sound'
    native_sound = False

    def __init__(self, path: Path, index: int):
        super().__init__(path, index)
        # The decoder, not the header, knows the rate (HE-AAC doubles it).
        self.sample_rate = self._stream.codec_context.sample_rate

    def chunks(self, origin: Fraction) -> Iterator[AudioChunk]:
        for time, samples in self._items():
            yield AudioChunk(_to_ns(time - origin), samples, self.sample_rate)

    def _convert(self, frame) -> tuple[Fraction, np.ndarray] | None:
        if frame.samples == 0:
            return None
        self.sample_rate = frame.sample_rate
        time = self._time(frame, self.end)
        self.end = time + Fraction(frame.samples, frame.sample_rate)
        samples = interleaved(frame)
        if samples is None:
            return None
        return time, samples if self.native_sound else _to_int16(samples)


class MediaWriter:
    """
    Writes an MP4 (or MOV, MKV: by the suffix) with H.264 video and, if wanted, AAC sound.

    The file is written beside ``path`` and takes its place on ``close``; leaving the ``with``
    block by an exception discards it. Frames of odd size get their last row or column twice.

    :param path: file to write; its folder is made.
    :param width: of the frames, in pixels.
    :param height: of the frames, in pixels.
    :param frame_rate: of frames that come without their time, in frames per second.
    :param sample_rate: of the sound in Hz; None for a silent film.
    :param channels: of the sound; more than two become one.
    :param quality: x264's constant rate factor: lower is better and bigger, 18 to 28 is usual.
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
        if self.path.suffix.lower() not in _CONTAINERS:
            raise AvsolError(
                f'cannot write {self.path}: expected a name that ends in one of '
                f'{", ".join(sorted(_CONTAINERS))}'
            )
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
        self._audio = self._resampler = None
        self._part = self.path.with_name(f'.{self.path.name}.{os.getpid()}.part')
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            kind = _CONTAINERS[self.path.suffix.lower()]
            options = {'movflags': '+faststart'} if kind != 'matroska' else {}
            self._container = av.open(str(self._part), 'w', format=kind, options=options)
        except OSError as error:
            raise AvsolError(
                f'cannot write {self.path}: {_reason(error)}; choose a folder that can be written'
            ) from None
        try:
            self._video = self._add_video_stream(quality)
            if sample_rate is not None:
                self._add_audio_stream(sample_rate)
            self._container.start_encoding()
        except BaseException:
            self.discard()
            raise

    @property
    def has_sound(self) -> bool:
        return self._audio is not None

    def __enter__(self) -> 'MediaWriter':
        return self

    def __exit__(self, kind, *_) -> None:
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
        pad = (self.height % 2, self.width % 2)
        if any(pad):
            image = np.pad(image, ((0, pad[0]), (0, pad[1]), (0, 0)), mode='edge')
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format='rgb24')
        frame = frame.reformat(format='yuv420p', dst_colorspace='ITU709')
        frame.pts = pts
        frame.time_base = Fraction(1, _VIDEO_CLOCK)
        with self._writing():
            self._container.mux(self._video.encode(frame))
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
        samples = _to_int16(samples)
        silence = 0
        if time_ns is not None:
            offset = Fraction(time_ns, NANOSECONDS) - Fraction(self._samples, self._rate)
            if offset > _AUDIO_TOLERANCE:
                silence = round(offset * self._rate)
            elif offset < -_AUDIO_TOLERANCE:
                samples = samples[round(-offset * self._rate) :]
        with self._writing():
            self._encode_silence(silence)
            self._encode_audio(samples)

    def close(self) -> None:
        """Finish the file and put it in its place."""
        if self._container is None:
            return
        try:
            with self._writing():
                self._container.mux(self._video.encode(None))
                if self._audio is not None:
                    if self._resampler is not None:
                        self._mux_audio(self._resampler.resample(None))
                    self._container.mux(self._audio.encode(None))
                self._container.close()
                os.replace(self._part, self.path)
        finally:
            self.discard()

    def discard(self) -> None:
        """Leave nothing behind, unless the file was closed."""
        container, self._container = self._container, None
        if container is not None:
            try:
                container.close()
            except (av.error.FFmpegError, OSError):
                # Broken already (a full disk); the file goes away in any case.
                pass
            self._part.unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Say in one line that it cannot be written (a full disk)."""
        try:
            yield
        except (av.error.FFmpegError, OSError) as error:
            raise AvsolError(
                f'cannot write {self.path}: {_reason(error)}; make room or choose another folder'
            ) from None

    def _add_video_stream(self, quality: int):
        name = next((n for n in H264_ENCODERS if n in av.codecs_available), None)
        if name is None:
            raise AvsolError(
                'PyAV has none of the encoders '
                f'{", ".join(H264_ENCODERS)}; install the av package from PyPI'
            )
        rate = self._frame_rate
        options = {'crf': str(quality), 'preset': 'veryfast'} if name == 'libx264' else {}
        stream = self._container.add_stream(name, rate=rate, options=options)
        stream.width = self.width + self.width % 2
        stream.height = self.height + self.height % 2
        stream.pix_fmt = 'yuv420p'
        stream.time_base = Fraction(1, _VIDEO_CLOCK)
        context = stream.codec_context
        context.time_base = Fraction(1, _VIDEO_CLOCK)
        # Untagged colours are guessed by size, differently by each player: say BT.709.
        context.colorspace = context.color_primaries = context.color_trc = 1
        if name != 'libx264':
            # Without a rate factor: about what x264 needs for such pictures.
            context.bit_rate = max(500_000, int(0.15 * self.width * self.height * float(rate)))
        return stream

    def _add_audio_stream(self, sample_rate: int) -> None:
        if sample_rate < 1 or self._channels < 1:
            raise AvsolError(
                f'cannot write {self.path} with {self._channels} channel(s) at '
                f'{sample_rate} Hz; expected more than zero'
            )
        self._rate = sample_rate
        layout = 'stereo' if self._channels == 2 else 'mono'
        rate = sample_rate if sample_rate in _AAC_RATES else _AAC_RATES[-1]
        self._audio = self._container.add_stream('aac', rate=rate)
        self._audio.layout = layout
        self._audio.bit_rate = 160_000 if layout == 'stereo' else 96_000
        self._audio.time_base = Fraction(1, rate)
        if rate != sample_rate:
            self._resampler = av.AudioResampler(format='fltp', layout=layout, rate=rate)

    def _encode_silence(self, count: int) -> None:
        second = np.zeros((self._rate, self._channels), np.int16)
        while count > 0:
            self._encode_audio(second[:count])
            count -= len(second)

    def _encode_audio(self, samples: np.ndarray) -> None:
        if len(samples) == 0:
            return
        if self._channels > 2:
            mixed = np.rint(samples.mean(axis=1, keepdims=True)).astype(np.int16)
        else:
            mixed = samples
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(mixed.reshape(1, -1)),
            format='s16',
            layout=self._audio.layout.name,
        )
        frame.sample_rate = self._rate
        frame.pts = self._samples
        frame.time_base = Fraction(1, self._rate)
        self._samples += len(samples)
        self._mux_audio([frame] if self._resampler is None else self._resampler.resample(frame))

    def _mux_audio(self, frames: list) -> None:
        for frame in frames:
            self._container.mux(self._audio.encode(frame))


def _open(path: Path):
    if not path.exists():
        raise AvsolError(f'{path} does not exist; give a media file')
    if path.is_dir():
        raise AvsolError(f'{path} is a folder; give a media file')
    if path.stat().st_size == 0:
        raise AvsolError(f'{path} is empty; give a media file with video and sound')
    try:
        container = av.open(str(path))
    except PermissionError:
        raise AvsolError(f'{path} may not be read; change its permissions') from None
    except (av.error.FFmpegError, OSError) as error:
        raise _not_media(path, _reason(error)) from None
    name = container.format.name
    if name in _NOT_MEDIA_FORMATS or name.endswith('_pipe'):
        container.close()
        raise _not_media(path, 'it is text or a picture')
    return container


def _not_media(path: Path, why: str) -> AvsolError:
    return AvsolError(
        f'{path} is no media file, or is truncated ({why}); give a whole file with '
        'video and sound, such as an MP4'
    )


def _reason(error: BaseException) -> str:
    return getattr(error, 'strerror', None) or str(error) or type(error).__name__


def _is_cover_picture(stream) -> bool:
    """Whether a video stream is only the picture on the sleeve (music files)."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _time_of(chunk: VideoChunk | AudioChunk) -> int:
    return chunk.time_ns


def _to_ns(seconds: Fraction) -> int:
    return round(seconds * NANOSECONDS)


def _display_matrix(frame) -> tuple[int, int, int, int]:
    """Return a, b, c, d of the display matrix: x' = a x + c y, y' = b x + d y, y downwards."""
    data = frame.side_data.get('DISPLAYMATRIX')
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
    return a, b, c, d


def _upright(image: np.ndarray, matrix: tuple[int, int, int, int]) -> np.ndarray:
    """Turn and mirror by the nearest of the eight right-angled display matrices."""
    a, b, c, d = matrix
    if abs(b) > abs(a):
        image = cv2.transpose(image)
        flip_x, flip_y = c < 0, b < 0
    else:
        flip_x, flip_y = a < 0, d < 0
    if flip_x and flip_y:
        return cv2.flip(image, -1)
    if flip_x:
        return cv2.flip(image, 1)
    if flip_y:
        return cv2.flip(image, 0)
    return image


def _squared(image: np.ndarray, aspect: Fraction | None) -> np.ndarray:
    """Stretch to square pixels."""
    if not aspect or aspect == 1:
        return image
    height, width = image.shape[:2]
    return cv2.resize(image, (max(1, round(width * aspect)), height))


def interleaved(frame: av.AudioFrame) -> np.ndarray | None:
    """
    Return the samples of an audio frame as (n, channels), in the decoder's type.

    None of one with more than eight channels in planes of their own: damaged AAC may claim any
    number.
    """
    # Not by to_ndarray, which takes all pointers up to a zero for planes; after eight is none.
    kind = np.dtype(_SAMPLES[frame.format.name.removesuffix('p')])
    channels, count = frame.layout.nb_channels, frame.samples
    if not frame.format.is_planar:
        samples = np.frombuffer(frame.planes[0], kind, count * channels)
        return samples.reshape(count, channels).copy()
    if channels > _MAX_PLANES:
        return None
    planes = frame.planes
    return np.stack([np.frombuffer(planes[n], kind, count) for n in range(channels)], axis=1)


def _to_int16(samples: np.ndarray) -> np.ndarray:
    """
    Convert PCM to 16 bits.

    :param samples: any shape; uint8, int16, int32, int64, or float in [-1, 1] (beyond is
        clipped).
    :return: the same shape, int16.
    """
    if samples.dtype == np.int16:
        return samples if samples.flags.c_contiguous else np.ascontiguousarray(samples)
    if samples.dtype == np.uint8:
        return (samples.astype(np.int16) - 128) << 8
    if samples.dtype == np.int32:
        return (samples >> 16).astype(np.int16)
    if samples.dtype == np.int64:
        return (samples >> 48).astype(np.int16)
    if not np.issubdtype(samples.dtype, np.floating):
        raise AvsolError(f'sound has type {samples.dtype}; expected an integer PCM type or float')
    scaled = np.rint(samples * 32768.0)
    return np.clip(np.nan_to_num(scaled), -32768, 32767).astype(np.int16)
