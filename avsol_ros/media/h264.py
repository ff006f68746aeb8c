"""Encode pictures as H.264. Every film that this package writes gets its pictures from here."""

from fractions import Fraction

import av
import numpy as np
from av.container import OutputContainer

from avsol_ros.errors import AvsolError

# The better first. Builds of FFmpeg without GPL parts have only the other.
_ENCODERS = ('libx264', 'libopenh264')
# What H.264 needs for pictures such as ours at x264's rate factor 20.
_BITS_PER_PIXEL = 0.15
_LEAST_BIT_RATE = 500_000
_BT709 = 1  # FFmpeg's number of that colour space


class H264Track:
    """
    The picture track of a film that is being written.

    Pictures of odd width or height get their last column or row twice, since H.264 shares one
    colour among four pixels.

    :param container: film that is being written.
    :param width: of the pictures, in pixels.
    :param height: of the pictures, in pixels.
    :param frame_rate: that the file declares, in frames per second; each picture has its own time.
    :param clock: ticks per second in which the times of the pictures count.
    :param quality: x264's constant rate factor: lower is better and bigger, 18 to 28 is usual.
    :param repeatable: equal pictures give equal bytes in every run. This costs some size: the
        encoder makes no pictures that depend on later ones (B-frames).
    :raises AvsolError: when PyAV has no such encoder.
    """

    def __init__(
        self,
        container: OutputContainer,
        width: int,
        height: int,
        frame_rate: Fraction,
        clock: int,
        quality: int,
        repeatable: bool = False,
    ):
        self._padding = (height % 2, width % 2)
        self._time_base = Fraction(1, clock)
        name = _installed_encoder()
        options = {}
        if name == 'libx264':
            options = {'crf': str(quality), 'preset': 'veryfast'}
            if repeatable:
                options['bf'] = '0'
        stream = container.add_stream(name, rate=frame_rate, options=options)
        assert isinstance(stream, av.VideoStream)
        self._stream = stream
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = 'yuv420p'
        context = stream.codec_context
        stream.time_base = context.time_base = self._time_base
        # Players guess colours that are not declared, each in its own way, by the size.
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        if name != 'libx264':
            # It knows no rate factor. Six steps of that halve the bit rate.
            bits = _BITS_PER_PIXEL * 2 ** ((20 - quality) / 6) * width * height * frame_rate
            context.bit_rate = max(_LEAST_BIT_RATE, int(bits))

    def encode(self, image: np.ndarray, ticks: int) -> list[av.Packet]:
        """
        Encode a picture; return the packets that are complete now.

        :param image: (height, width, 3) uint8 RGB.
        :param ticks: its time, later than that of the picture before.
        """
        if any(self._padding):
            bottom, right = self._padding
            image = np.pad(image, ((0, bottom), (0, right), (0, 0)), mode='edge')
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format='rgb24')
        frame = frame.reformat(format='yuv420p', dst_colorspace='ITU709')
        frame.pts = ticks
        frame.time_base = self._time_base
        return self._stream.encode(frame)

    def flush(self) -> list[av.Packet]:
        """Return the last packets; no picture may follow."""
        return self._stream.encode(None)


def _installed_encoder() -> str:
    for name in _ENCODERS:
        if name in av.codecs_available:
            return name
    raise AvsolError(
        f'PyAV has neither of the encoders {" and ".join(_ENCODERS)}, so no film can be written; '
        'install the av package from PyPI'
    )
