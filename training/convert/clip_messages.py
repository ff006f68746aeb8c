"""Clips of a bag as messages again, equal to those that were recorded."""

import base64
import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from avsol_ros.bags import make_message
from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.media.film_reader import AudioChunk, MediaReader
from avsol_ros.media.tracks import decoded_samples, encoded_pictures
from avsol_ros.training.convert.exact_sound import Packing
from avsol_ros.training.convert.jobs import Film, Job
from avsol_ros.training.convert.media_messages import (
    AUDIO,
    TOPICS,
    MediaOptions,
    Written,
    audio_message,
    recorded_image,
)


@dataclass(frozen=True)
class _Begun:
    """
    An audio message of which the rest is in the next clip.

    :param samples: how many of it there are so far.
    :param audio: of the clip's record.
    """

    stamp: int | None
    log: int
    samples: int
    data: bytes
    audio: dict


class Recorded:
    """
    Makes the messages of a job's clips.

    :param job: of clips with records; for other films it only gives the names of topics.
    """

    def __init__(self, job: Job, options: MediaOptions):
        self._entry, self._options = job.entry or {}, options
        self._whole, self._joined = job.whole, len(job.films) > 1
        self._begun: list[_Begun] = []
        # Whether the sound's format has been told, or is among what is told at its time.
        self._informed = job.whole and bool(self._entry.get('audio_infos'))

    def topic(self, what: str) -> str:
        """Name of the topic of audio, audio_info or truth."""
        return self._entry.get('topics', {}).get(what, {}).get('name') or TOPICS[what]

    def infos(self) -> Iterator[Written]:
        """Yield the messages of AudioInfo as they were recorded."""
        fields = {}
        if self._whole:
            for log, changed in self._entry.get('audio_infos', ()):
                fields = changed or fields
                yield (
                    log,
                    self.topic('audio_info'),
                    AUDIO + 'AudioInfo',
                    make_message(AUDIO + 'AudioInfo', **fields),
                )

    def messages(self, film: Film) -> Iterator[Written]:
        """Yield the messages of a clip by log time; call it for clips in the order of time."""
        record = film.record
        if self._info_needed(record):
            yield self._info(record)
        yield from heapq.merge(self._pictures(film), self._sound(film), key=lambda item: item[0])

    def _pictures(self, film: Film) -> Iterator[Written]:
        record = film.record
        frames, known = record['frames'], self._entry.get('topics', {}).get('image', {})
        if not frames:
            return
        count = 0
        for (stamp, log), picture in zip(frames, self._film_pictures(film)):
            count += 1
            kind, fields = recorded_image(record, picture, self._options)
            topic = known.get('name') if known.get('type') == kind else None
            if topic is None:
                topic = TOPICS[kind]
            header = {'stamp': stamp, 'frame_id': record['frame_id']}
            yield log, topic, kind, make_message(kind, header=header, **fields)
        if count < len(frames):
            raise AvsolError(
                f'{film.path} gives {count} of {len(frames)} pictures; copy it '
                'again, or convert the bag again'
            )

    def _film_pictures(self, film: Film) -> Iterator[bytes | np.ndarray]:
        if film.record['kind'] != 'h264':
            yield from encoded_pictures(film.path)
            return
        width, height = film.record['size']
        with MediaReader(film.path, need_audio=False) as reader:
            for chunk in reader:
                if not isinstance(chunk, AudioChunk):
                    yield chunk.image[:height, :width]

    def _sound(self, film: Film) -> Iterator[Written]:
        record = film.record
        if not record['chunks']:
            return
        audio = record['audio']
        for stamp, log, data, count, skip, left in _pieces(film):
            begun = self._finish_begun(stamp, log, skip)
            if begun is not None:
                data = begun.data + data
            elif skip and stamp is not None:
                stamp += skip * NANOSECONDS // audio['sample_rate']
            if left:
                self._begun.append(_Begun(stamp, log, skip + count, data, audio))
            else:
                yield self._sound_message(stamp, log, data, audio)
        if not self._joined:
            yield from self.last_sound()

    def _finish_begun(self, stamp: int | None, log: int, skip: int) -> _Begun | None:
        """The message that a piece continues, if the clip before has begun it."""
        for begun in self._begun:
            if skip and (begun.stamp, begun.log, begun.samples) == (stamp, log, skip):
                self._begun.remove(begun)
                return begun
        return None

    def last_sound(self) -> Iterator[Written]:
        """Yield messages that were begun, when no next clip continues them."""
        begun, self._begun = self._begun, []
        for one in begun:
            yield self._sound_message(one.stamp, one.log, one.data, one.audio)

    def _sound_message(self, stamp, log: int, data: bytes, audio: dict) -> Written:
        return log, self.topic('audio'), audio['type'], audio_message(stamp, data, audio)

    def _info_needed(self, record: dict) -> bool:
        return (
            not self._informed
            and bool(record['chunks'])
            and record['audio']['type'] != AUDIO + 'AudioStamped'
        )

    def _info(self, record: dict) -> Written:
        self._informed = True
        audio = record['audio']
        fields = self._entry.get('audio_info') or {
            'channels': audio['channels'],
            'sample_rate': audio['sample_rate'],
            'sample_format': audio['sample_format'],
            'coding_format': 'wave' if audio['coding'] in ('', 'pcm') else audio['coding'],
        }
        log = min(log for _, log, *_ in record['frames'][:1] + record['chunks'][:1])
        return (
            log,
            self.topic('audio_info'),
            AUDIO + 'AudioInfo',
            make_message(AUDIO + 'AudioInfo', **fields),
        )


def _pieces(film: Film) -> Iterator[tuple[int | None, int, bytes, int, int, int]]:
    """
    The bytes of a clip's audio messages, from the film or from its record.

    A message at the border of two clips is two pieces.

    :returns: stamp, log time, bytes, number of samples, how many of the message come before these
        and how many after.
    """
    record = film.record
    audio, chunks = record['audio'], record['chunks']
    samples = packing = None
    if audio['coding'] in ('', 'pcm'):
        packing = Packing(audio['sample_format'], audio['channels'])
    if any(place >= 0 for _, _, place, *_ in chunks):
        samples = np.concatenate(list(decoded_samples(film.path)))
    for stamp, log, place, content, skip, left in chunks:
        if place < 0:  # kept in the record
            data = base64.b64decode(content)
            yield stamp, log, data, len(packing.samples(data)) if left else 0, skip, left
            continue
        if place + content > len(samples):
            raise AvsolError(
                f'{film.path} has {len(samples)} samples, and its record '
                'tells of more; copy it again'
            )
        yield stamp, log, packing.data(samples[place : place + content]), content, skip, left
