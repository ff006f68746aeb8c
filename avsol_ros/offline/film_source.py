"""
A film as a source of messages for a run: the messages that ``avsol play`` publishes of it.

They are made without ROS, with the attributes that the intake reads and nothing else.
"""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.media.film_reader import BreaksOff, MediaInfo, MediaReader, VideoChunk
from avsol_ros.offline.localization_run import TimedMessage


class FilmSource:
    """
    A film with pictures and sound.

    Stamps are the film's own times, moved later by less than a hop, so that the first frame lies
    on the grid of windows: ``avsol play --start-time`` gives the same stamps for ``shift_ns``.

    :param path: media file.
    :param hop_ns: from the start of one window to that of the next.
    :param phase_ns: windows begin so much after the first frame, and whole hops before and after.
    :param fill_ns: a sound that begins after the first frame by at most so much gets silence
        before it, so that there is a window from the first frame on.
    :ivar info: what is in the file.
    :ivar shift_ns: by how much stamps are later than the film's own times.
    :ivar origin_ns: stamp of the first frame, from which results count their times.
    :ivar problems: what could not be read, one line each; known once the messages have come.
    :raises AvsolError: for a file that is missing, cannot be decoded, or lacks video or sound.
    """

    def __init__(self, path: str | Path, hop_ns: int, phase_ns: int = 0, fill_ns: int = 0):
        self._reader = MediaReader(path, need_audio=False)
        self.info: MediaInfo = self._reader.info
        if not self.info.sample_rate:
            raise AvsolError(
                f'{path} has no sound, so there is nothing to localize; give a film with sound'
            )
        self._fill_ns = fill_ns
        self.shift_ns = -(self.info.first_frame_ns + phase_ns) % hop_ns
        self.origin_ns = self.info.first_frame_ns + self.shift_ns
        self.problems: list[str] = []

    def messages(self) -> Iterator[TimedMessage]:
        """
        AudioInfo, then images and sound in the order of their times.

        A film that breaks off gives what there is and then ends; ``problems`` tells it.
        """
        info = self.info
        yield (
            'audio_info',
            0,
            SimpleNamespace(
                sample_rate=info.sample_rate,
                channels=info.channels,
                sample_format='S16LE',
                coding_format='wave',
            ),
        )
        sound_began = False
        with self._reader:
            try:
                for chunk in self._reader:
                    stamp_ns = chunk.time_ns + self.shift_ns
                    if isinstance(chunk, VideoChunk):
                        yield 'image', stamp_ns, _image(stamp_ns, chunk.image)
                        continue
                    samples = chunk.samples
                    if not sound_began:
                        missing = self._missing_before(stamp_ns)
                        stamp_ns -= missing * NANOSECONDS // info.sample_rate
                        silence = np.zeros((missing, info.channels), np.int16)
                        samples = np.concatenate([silence, samples])
                        sound_began = True
                    yield 'audio', stamp_ns, _sound(stamp_ns, samples)
            except BreaksOff as error:
                self.problems.append(str(error))

    def _missing_before(self, stamp_ns: int) -> int:
        """Samples of silence before a sound, which begins at a stamp, from the first frame on."""
        gap_ns = stamp_ns - self.origin_ns
        if not 0 < gap_ns <= self._fill_ns:
            return 0
        return -(-gap_ns * self.info.sample_rate // NANOSECONDS)  # also its broken last sample


def _header(stamp_ns: int) -> SimpleNamespace:
    seconds, nanoseconds = divmod(stamp_ns, NANOSECONDS)
    return SimpleNamespace(stamp=SimpleNamespace(sec=seconds, nanosec=nanoseconds), frame_id='')


def _image(stamp_ns: int, pixels: np.ndarray) -> SimpleNamespace:
    """Image (rgb8) of (H, W, 3) uint8 pixels."""
    height, width, channels = pixels.shape
    return SimpleNamespace(
        header=_header(stamp_ns),
        height=height,
        width=width,
        encoding='rgb8',
        is_bigendian=0,
        step=channels * width,
        data=pixels,
    )


def _sound(stamp_ns: int, samples: np.ndarray) -> SimpleNamespace:
    """AudioDataStamped (S16LE) of (n, channels) int16 samples."""
    data = np.ascontiguousarray(samples, '<i2')
    return SimpleNamespace(header=_header(stamp_ns), audio=SimpleNamespace(data=data))
