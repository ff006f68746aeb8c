"""What the tracks of a film hold, as it is: whole tracks, without times."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from avsol_ros.media.open_media import reading
from avsol_ros.streams.decoded_audio import frame_samples


def encoded_pictures(path: Path) -> Iterator[bytes]:
    """Give the packets of the picture track: where they are JPEG or PNG, whole image files."""
    with reading(path) as container:
        for packet in container.demux(video=0):
            if packet.size:
                yield bytes(packet)


def decoded_samples(path: Path) -> Iterator[np.ndarray]:
    """Give the samples of the sound track, (n, channels) each, in the decoder's type."""
    with reading(path) as container:
        for frame in container.decode(audio=0):
            samples = frame_samples(frame)
            if samples is not None:
                yield samples
