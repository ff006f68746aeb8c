"""Films of any origin as messages: stamps count from a start time, sound in chunks of 20 ms."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from avsol_ros.bags import make_message
from avsol_ros.config import NANOSECONDS
from avsol_ros.media.film_reader import AudioChunk, BreaksOff, MediaReader
from avsol_ros.streams.time_jumps import SOUND_TOLERANCE_NS
from avsol_ros.training.convert.exact_sound import sample_name
from avsol_ros.training.convert.media_messages import (
    AUDIO,
    TOPICS,
    MediaOptions,
    Written,
    film_image,
)

_CHUNK = Fraction(20, 1000)  # seconds
_LOSSLESS = ('flac', 'alac', 'pcm', 'wavpack')


def film_messages(path: Path, options: MediaOptions, problems: list[str]) -> Iterator[Written]:
    """
    Yield the messages of a film, in order of time.

    :param problems: gets what is wrong with a film that can be read in part.
    """
    origin = options.start_ns
    with MediaReader(path, need_audio=False) as reader:
        is_lossless = reader.info.audio_codec.startswith(_LOSSLESS)
    chunks = None
    try:
        with MediaReader(
            path, need_audio=False, native_sound=is_lossless, encoded=options.image != 'raw'
        ) as reader:
            for item in reader:
                if not isinstance(item, AudioChunk):
                    kind, fields = film_image(item.image, item.encoded, options)
                    stamp = origin + item.time_ns
                    yield (
                        stamp,
                        TOPICS[kind],
                        kind,
                        make_message(
                            kind, header={'stamp': stamp, 'frame_id': 'camera'}, **fields
                        ),
                    )
                    continue
                if chunks is None:
                    chunks = _Chunks(item.sample_rate)
                    yield origin, TOPICS['audio_info'], AUDIO + 'AudioInfo', _info(item)
                yield from _sound(origin, chunks.add(item))
    except BreaksOff as error:
        problems.append(str(error))
    if chunks is not None:
        yield from _sound(origin, chunks.rest())


def _info(item: AudioChunk):
    return make_message(
        AUDIO + 'AudioInfo',
        channels=item.samples.shape[1],
        sample_rate=item.sample_rate,
        sample_format=sample_name(item.samples),
        coding_format='wave',
    )


def _sound(origin: int, pieces) -> Iterator[Written]:
    kind = AUDIO + 'AudioDataStamped'
    for time_ns, samples in pieces:
        stamp = origin + time_ns
        yield (
            stamp,
            TOPICS['audio'],
            kind,
            make_message(
                kind,
                header={'stamp': stamp, 'frame_id': 'microphone'},
                audio={'data': np.ascontiguousarray(samples).tobytes()},
            ),
        )


class _Chunks:
    """Cuts sound into chunks of 20 ms."""

    def __init__(self, rate: int):
        self._rate = rate
        self._size = max(1, round(rate * _CHUNK))
        self._held = None
        self._begin_ns, self._count = 0, 0

    def add(self, item: AudioChunk) -> Iterator[tuple[int, np.ndarray]]:
        held = 0 if self._held is None else len(self._held)
        expected = self._begin_ns + (self._count + held) * NANOSECONDS // self._rate
        if self._held is None or abs(item.time_ns - expected) > SOUND_TOLERANCE_NS:
            yield from self.rest()
            self._begin_ns, self._count = item.time_ns, 0
            self._held = item.samples
        else:
            self._held = np.concatenate([self._held, item.samples])
        while len(self._held) >= self._size:
            yield self._cut(self._size)

    def rest(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield what is left, a shorter chunk."""
        if self._held is not None and len(self._held):
            yield self._cut(len(self._held))

    def _cut(self, count: int) -> tuple[int, np.ndarray]:
        samples, self._held = self._held[:count], self._held[count:]
        time_ns = self._begin_ns + self._count * NANOSECONDS // self._rate
        self._count += count
        return time_ns, samples
