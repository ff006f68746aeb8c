"""Animated pictures (WebP), for pages that show no films."""

import io
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.files import write_bytes
from avsol_ros.media.film_reader import MediaReader, VideoChunk

_ENCODER = 'libwebp_anim'
# Qualities that are tried, 0 to 100, until the file is small enough; then frames are made smaller.
_QUALITIES = (90, 75, 60, 45)
_SMALLER = 0.75
_LEAST_SIDE = 32
# From 0 to 6. More takes several times as long and saves 1 % of the bytes.
_EFFORT = 3


def animate_film(
    film: Path,
    path: Path,
    *,
    seconds: float = 10.0,
    frame_rate: float = 6.0,
    side: int = 480,
    max_bytes: int = 3_000_000,
) -> Path:
    """
    Write the beginning of a film as an animated WebP.

    :param film: to read; needs no sound.
    :param path: file to write.
    :param seconds: of the film that are shown.
    :param frame_rate: of the animation, in frames per second.
    :param side: pixels that the longer side of the picture has at most.
    :param max_bytes: size that the file has at most.
    :returns: ``path``.
    """
    return write_animation(path, _excerpt(film, seconds, frame_rate, side), frame_rate, max_bytes)


def write_animation(
    path: Path, frames: Iterable[np.ndarray], frame_rate: float, max_bytes: int | None = None
) -> Path:
    """
    Write frames as an animated WebP that repeats for ever.

    :param path: file to write.
    :param frames: (H, W, 3) uint8 RGB, all of one size.
    :param frame_rate: in frames per second.
    :param max_bytes: size that the file has at most: the quality and then the size of the frames
        go down until it fits. None for the best quality.
    :returns: ``path``.
    :raises AvsolError: where the file cannot be written, PyAV has no WebP, there is no frame, or
        the frames fit into ``max_bytes`` at no size.
    """
    frames = list(frames)
    if not frames:
        raise AvsolError(f'cannot write {path}: an animation needs one frame at least, got none')
    if _ENCODER not in av.codecs_available:
        raise AvsolError(
            f'cannot write {path}: PyAV has no encoder {_ENCODER}; '
            'install the av package from PyPI'
        )
    while True:
        for quality in _QUALITIES:
            data = _encode(frames, frame_rate, quality)
            if max_bytes is None or len(data) <= max_bytes:
                return write_bytes(path, data)
        height, width = (round(side * _SMALLER) for side in frames[0].shape[:2])
        if min(height, width) < _LEAST_SIDE:
            raise AvsolError(
                f'cannot write {path}: {len(frames)} frames do not fit into {max_bytes} bytes; '
                'give fewer frames or allow more bytes'
            )
        frames = [
            cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in frames
        ]


def _excerpt(film: Path, seconds: float, frame_rate: float, side: int) -> Iterator[np.ndarray]:
    """Give what the film shows at evenly spaced moments from its start on."""
    with MediaReader(film, need_audio=False) as reader:
        shown_s = min(seconds, reader.info.duration_ns / NANOSECONDS)
        moments = [index / frame_rate for index in range(max(1, round(shown_s * frame_rate)))]
        scale = min(1.0, side / max(reader.info.width, reader.info.height))
        width, height = (max(1, round(scale * n)) for n in (reader.info.width, reader.info.height))
        given = 0
        current: np.ndarray | None = None
        for chunk in reader:
            if not isinstance(chunk, VideoChunk):
                continue
            if current is None:
                current = chunk.image
            while given < len(moments) and moments[given] * NANOSECONDS < chunk.time_ns:
                yield cv2.resize(current, (width, height), interpolation=cv2.INTER_AREA)
                given += 1
            if given == len(moments):
                return
            current = chunk.image
        assert current is not None  # the reader has found a frame
        for _ in range(len(moments) - given):
            yield cv2.resize(current, (width, height), interpolation=cv2.INTER_AREA)


def _encode(frames: list[np.ndarray], frame_rate: float, quality: int) -> bytes:
    rate = Fraction(frame_rate).limit_denominator(1000)
    data = io.BytesIO()
    with av.open(data, 'w', format='webp', options={'loop': '0'}) as container:
        options = {'quality': str(quality), 'compression_level': str(_EFFORT)}
        stream = container.add_stream(_ENCODER, rate=rate, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = 'bgra'
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format='rgb24')
            frame = frame.reformat(format='bgra')
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return data.getvalue()
