"""A film file while it is written with PyAV: beside its place, until it is whole."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from avsol_ros.files import AtomicPath

_ERRORS = (OSError, av.error.FFmpegError)


class FilmFile:
    """
    A film file that is being written.

    Call :meth:`close` when all is in it, or :meth:`discard`.

    :param path: file to write; its folder is made.
    :param container_format: FFmpeg's name of it.
    :param options: of FFmpeg's muxer.
    :ivar container: PyAV's container, to add streams to.
    :raises CannotWrite: here and in the blocks, for a file that cannot be written.
    """

    def __init__(self, path: Path, container_format: str, options: dict[str, str]):
        self._output = AtomicPath(path, errors=_ERRORS)
        part = self._output.begin()
        with self.writing():
            self.container = av.open(str(part), 'w', format=container_format, options=options)
        self._is_open = True

    @contextmanager
    def adding_streams(self) -> Iterator[None]:
        """Add the streams in this block; then the file begins. An error discards the file."""
        try:
            with self.writing():
                yield
                self.container.start_encoding()
        except BaseException:
            self.discard()
            raise

    def writing(self) -> AbstractContextManager:
        """Encode and write in this block: it makes CannotWrite of FFmpeg's errors."""
        return self._output.writing()

    def mux(self, packets: Sequence[av.Packet]) -> None:
        """Write encoded packets; call it in a block of :meth:`writing`."""
        self.container.mux(packets)

    def close(self) -> None:
        """Finish the file and put it in its place; whatever goes wrong, nothing else is left."""
        try:
            with self.writing():
                self.container.close()
            self._is_open = False
            self._output.commit()
        finally:
            self.discard()

    def discard(self) -> None:
        """Leave nothing behind, unless the file was closed."""
        if self._is_open:
            self._is_open = False
            try:
                self.container.close()
            except _ERRORS:
                pass  # the disk is full, for example; the file goes away in any case
        self._output.discard()


def audio_frame(
    samples: np.ndarray, sample_format: str, layout: str, sample_rate: int, position: int
) -> av.AudioFrame:
    """
    Return sound as a frame to encode.

    :param samples: (n, channels), of the type of the format.
    :param sample_format: FFmpeg's name of a format that interleaves the channels.
    :param layout: FFmpeg's name of the channels.
    :param sample_rate: in Hz.
    :param position: of the first sample in the film, in samples.
    """
    interleaved = np.ascontiguousarray(samples).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(interleaved, format=sample_format, layout=layout)
    frame.sample_rate = sample_rate
    frame.pts = position
    frame.time_base = Fraction(1, sample_rate)
    return frame
