"""
Read media files: frames upright with their times, sound as it was recorded.

Times are integer nanoseconds on the file's own clock, zero being the start of whichever of the two
streams starts first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from heapq import merge
from pathlib import Path

import av

from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.media.decoder import AudioChunk, AudioDecoder, VideoChunk, VideoDecoder, to_ns
from avsol_ros.media.open_media import not_media, open_media

__all__ = ['AudioChunk', 'BreaksOff', 'MediaInfo', 'MediaReader', 'VideoChunk']

# Matroska declares one length, rounded up generously, for all streams together.
_CUT_TOLERANCE_MATROSKA = Fraction(1, 2)


class BreaksOff(AvsolError):
    """A media file ends before its time. What was read before is good."""


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
    :param audio_codec: FFmpeg's name of what decodes the sound; empty without sound.
    :param first_frame_ns: time of the first frame, later than 0 where the sound begins before it;
        0 without video.
    """

    path: Path
    duration_ns: int
    width: int
    height: int
    frame_rate: float
    sample_rate: int
    channels: int
    audio_codec: str = ''
    first_frame_ns: int = 0


class MediaReader:
    """
    Reads a media file as one sequence of frames and sound chunks in the order of their times.

    Each stream is decoded by its own demuxer, only as far as it is asked for, so memory stays
    bounded however the file is frame_samples. Rotation and mirroring in the metadata (phones),
    pixels that are not square, edit lists, start offsets and variable frame rates are honoured.

    A file that breaks off is read until there; then iterating raises BreaksOff, which says at
    what time.

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
        """Raise BreaksOff if the file does; reads it all, but decodes nothing."""
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
        container = open_media(self._path)
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
            raise not_media(self._path, 'it has neither video nor sound')
        if video is None and need_video:
            raise AvsolError(f'{self._path} has no video, only sound; give a file with both')
        if audio is None and need_audio:
            raise AvsolError(f'{self._path} has no sound, only video; give a file with both')
        return video, audio

    def _streams(self) -> list['VideoDecoder | AudioDecoder']:
        streams = []
        for kind, index in ((VideoDecoder, self._video), (AudioDecoder, self._audio)):
            if index is not None:
                streams.append(kind(self._path, index))
                streams[-1].native_sound = self._native_sound
                streams[-1].keep_encoded = self._encoded and kind is VideoDecoder
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
        width = height = sample_rate = channels = first_frame_ns = 0
        audio_codec = ''
        frame_rate = 0.0
        end = self._origin
        for stream, (time, first) in zip(streams, firsts, strict=True):
            end = max(end, stream.declared_end or end)
            if isinstance(stream, VideoDecoder):
                height, width = first[0].shape[:2]
                frame_rate = stream.frame_rate
                first_frame_ns = to_ns(time - self._origin)
            else:
                sample_rate, channels = stream.sample_rate, first.shape[1]
                audio_codec = stream.codec
        if self._container_duration is not None:
            start = Fraction(self._container_start or 0, av.time_base)
            end = start + Fraction(self._container_duration, av.time_base)
        elif any(stream.declared_end is None for stream in streams):
            for stream in self._streams():
                stream.skip()
                end = max(end, stream.end)
                if isinstance(stream, VideoDecoder):
                    frame_rate = stream.mean_rate
        return MediaInfo(
            self._path,
            max(to_ns(end - self._origin), 0),
            width,
            height,
            frame_rate,
            sample_rate,
            channels,
            audio_codec,
            first_frame_ns,
        )

    def _check_complete(self, streams: list) -> None:
        ends = [stream.end for stream in streams if stream.broke_off]
        if not ends and self._is_matroska:
            end = max(stream.end for stream in streams)
            if to_ns(end - self._origin + _CUT_TOLERANCE_MATROSKA) < self.info.duration_ns:
                ends = [end]
        if ends:
            at = float(min(ends) - self._origin)
            raise BreaksOff(
                f'{self._path} breaks off at {at:.2f} s of '
                f'{self.info.duration_ns / NANOSECONDS:.2f} s: it is truncated or '
                'damaged; copy it again or give another file'
            )


def _is_cover_picture(stream) -> bool:
    """Whether a video stream is only the picture on the sleeve (music files)."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _time_of(chunk: VideoChunk | AudioChunk) -> int:
    return chunk.time_ns
