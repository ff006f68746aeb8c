"""
Read media files: frames upright with their times, sound as it was recorded.

Times are integer nanoseconds on the file's own clock, zero being the start of whichever of the two
streams starts first.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from heapq import merge
from pathlib import Path

import av

from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.media.decoder import AudioChunk, AudioDecoder, VideoChunk, VideoDecoder, to_ns
from avsol_ros.media.open_media import not_media, open_media

__all__ = ['AudioChunk', 'BreaksOff', 'MediaInfo', 'MediaReader', 'VideoChunk']

# Seconds. Matroska declares one length for all streams together, and rounds it up generously.
_CUT_TOLERANCE_MATROSKA = Fraction(1, 2)


class BreaksOff(AvsolError):
    """A media file ends before the length it declares. What was read of it is good."""


@dataclass(frozen=True)
class MediaInfo:
    """
    What is in a media file, as it will be read.

    :param duration_ns: length as the file declares it, in nanoseconds. A file that was streamed
        declares none: there, up to the end of its last packet.
    :param width: of the upright picture, in pixels; 0 without video.
    :param height: of the upright picture, in pixels; 0 without video.
    :param frame_rate: mean frames per second; 0 without video.
    :param sample_rate: samples per second; 0 without sound.
    :param channels: of the sound; 0 without sound.
    :param audio_codec: FFmpeg's name of the sound's decoder; empty without sound.
    :param first_frame_ns: time of the first frame, later than 0 where the sound begins before it;
        0 without video.
    """

    path: Path
    duration_ns: int
    width: int = 0
    height: int = 0
    frame_rate: float = 0.0
    sample_rate: int = 0
    channels: int = 0
    audio_codec: str = ''
    first_frame_ns: int = 0


class MediaReader:
    """
    Reads a media file as one sequence of frames and sound chunks in the order of their times.

    Each stream is read and decoded on its own, only as far as it is asked for. So memory stays
    bounded, however the file mixes the two. Rotation and mirroring in the metadata (phones),
    pixels that are not square, edit lists, start offsets and variable frame rates are honoured.

    A file that breaks off is read until there; then iterating raises BreaksOff, which says at
    what time.

    :param path: media file.
    :param need_video: refuse a file without video.
    :param need_audio: refuse a file without sound.
    :param native_sound: leave samples in the decoder's type instead of making them int16.
    :param encoded: give frames that are JPEG or PNG in the file as these, too.
    :ivar info: what is in the file.
    :raises AvsolError: for a file that cannot be read, or lacks what is needed.
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
        self._open_decoders: list[VideoDecoder | AudioDecoder] = []
        try:
            self._video, self._audio = self._select_streams(need_video, need_audio)
            self.info = self._examine()
        finally:
            self.close()

    def __enter__(self) -> 'MediaReader':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. A later iteration opens it anew."""
        while self._open_decoders:
            self._open_decoders.pop().close()

    def check(self) -> None:
        """Read the whole file without decoding it; raise BreaksOff if it ends before its time."""
        decoders = self._open()
        try:
            for decoder in decoders:
                decoder.read_packets()
        finally:
            self.close()
        self._check_complete(decoders)

    def __iter__(self) -> Iterator[VideoChunk | AudioChunk]:
        decoders = self._open()
        try:
            chunks: list[Iterator[VideoChunk | AudioChunk]] = [
                decoder.chunks(self._origin) for decoder in decoders
            ]
            yield from merge(*chunks, key=_time_of)
        finally:
            for decoder in decoders:
                decoder.close()
        self._check_complete(decoders)

    def _select_streams(self, need_video: bool, need_audio: bool) -> tuple[int | None, int | None]:
        """Indices of the video and the audio stream to read."""
        with open_media(self._path) as container:
            streams = [container.streams.best(kind) for kind in ('video', 'audio')]
            video, audio = (
                None if s is None or _is_cover_picture(s) else s.index for s in streams
            )
            self._is_matroska = 'matroska' in container.format.name
            self._container_start = container.start_time
            self._container_duration = container.duration
        if video is None and audio is None:
            raise not_media(self._path, 'it has neither video nor sound')
        if video is None and need_video:
            raise AvsolError(f'{self._path} has no video, only sound; give a file with both')
        if audio is None and need_audio:
            raise AvsolError(f'{self._path} has no sound, only video; give a file with both')
        return video, audio

    def _open(self) -> list[VideoDecoder | AudioDecoder]:
        """Open the file once for each stream."""
        decoders: list[VideoDecoder | AudioDecoder] = []
        if self._video is not None:
            decoders.append(VideoDecoder(self._path, self._video, self._encoded))
        if self._audio is not None:
            decoders.append(AudioDecoder(self._path, self._audio, self._native_sound))
        self._open_decoders.extend(decoders)
        return decoders

    def _examine(self) -> MediaInfo:
        """Decode the first frame of each stream: only that shows what will really be read."""
        decoders = self._open()
        times, lacking = [], []
        for decoder in decoders:
            first = decoder.first()
            if first is None:
                lacking.append(decoder.content)
            else:
                times.append(first[0])
        if lacking:
            raise AvsolError(
                f'{self._path} holds no {" and no ".join(lacking)} that can be decoded: it is '
                'truncated or damaged; copy it again or give another file'
            )
        self._origin = min(times)
        info = MediaInfo(self._path, 0)
        for decoder, time in zip(decoders, times, strict=True):
            if isinstance(decoder, AudioDecoder):
                info = replace(
                    info,
                    sample_rate=decoder.sample_rate,
                    channels=decoder.channels,
                    audio_codec=decoder.codec,
                )
            elif decoder.size is not None:
                info = replace(
                    info,
                    width=decoder.size[0],
                    height=decoder.size[1],
                    frame_rate=decoder.frame_rate,
                    first_frame_ns=to_ns(time - self._origin),
                )
        if self._container_duration is not None:
            start = Fraction(self._container_start or 0, av.time_base)
            end = start + Fraction(self._container_duration, av.time_base)
        else:
            ends = [decoder.declared_end for decoder in decoders]
            end = max((end for end in ends if end is not None), default=self._origin)
            if None in ends:
                # A file that was streamed declares no length.
                for decoder in self._open():
                    decoder.read_packets()
                    end = max(end, decoder.end)
                    if isinstance(decoder, VideoDecoder):
                        info = replace(info, frame_rate=decoder.mean_rate)
        return replace(info, duration_ns=max(to_ns(end - self._origin), 0))

    def _check_complete(self, decoders: list[VideoDecoder | AudioDecoder]) -> None:
        """Raise BreaksOff if a stream that has been read ended before its time."""
        ends = [decoder.end for decoder in decoders if decoder.broke_off]
        if not ends and self._is_matroska:
            end = max(decoder.end for decoder in decoders)
            if to_ns(end - self._origin + _CUT_TOLERANCE_MATROSKA) < self.info.duration_ns:
                ends = [end]
        if ends:
            at = float(min(ends) - self._origin)
            raise BreaksOff(
                f'{self._path} breaks off at {at:.2f} s of '
                f'{self.info.duration_ns / NANOSECONDS:.2f} s: it is truncated or '
                'damaged; copy it again or give another file'
            )


def _is_cover_picture(stream: av.stream.Stream) -> bool:
    """Whether a video stream is only the picture on the sleeve (music files)."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _time_of(chunk: VideoChunk | AudioChunk) -> int:
    return chunk.time_ns
