"""
Clips of ten seconds, cut from a stream: films, each with a record of what it was made from.

Pictures come in the order of their times, and so does the sound, but one may be ahead of the
other. So the clip that ends and the one that begins are both open for a while. A clip that an
earlier run has finished ignores what is added.
"""

import base64
import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.files import CannotWrite
from avsol_ros.media.image_files import encode_png, encoded_kind
from avsol_ros.messages.images import compressed_image_to_rgb, image_to_rgb
from avsol_ros.training.convert.exact_film import ExactFilmWriter, Sound
from avsol_ros.training.convert.findings import without_numbers
from avsol_ros.training.convert.pixels import stored_pixels
from avsol_ros.training.convert.records import clip_record, read_record, write_record
from avsol_ros.training.datasets.ave import SECONDS

CLIP_NS = SECONDS * NANOSECONDS
# A clip waits so long for its other stream, by the time of the stream that goes on.
_WAIT_NS = CLIP_NS
_END_MARKS = {'jpeg': b'\xff\xd9', 'png': b'IEND'}


def film_path(folder: Path, clip: str) -> Path:
    return folder / 'AVE' / f'{clip}.mp4'


class Clip:
    """
    A clip that is being written.

    :param sound: of its film; None without.
    :param key: stands for its source and options; a finished clip with the same key is kept.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        start_ns: int,
        sound: Sound | None,
        key: str,
        lossless: bool,
        quality: int,
    ):
        self.name, self.start_ns, self.sound = name, start_ns, sound
        self._film_path = film_path(folder, name)
        self._record_path = clip_record(folder, name)
        self._key = hashlib.sha256(f'{key} {start_ns}'.encode()).hexdigest()
        self.done = self._is_done()
        self._lossless = lossless
        self._film = ExactFilmWriter(self._film_path, sound, quality)
        self._frames, self._chunks, self._gaps = [], [], []
        self._facts = {}
        self._left_out: dict[str, list] = {}
        self._next_ns = None  # of the sound: time right after its last sample
        self.last_ns = 0

    def _is_done(self) -> bool:
        record = read_record(self._record_path)
        try:
            return (
                record is not None
                and record.get('key') == self._key
                and self._film_path.stat().st_size == record.get('film_bytes')
            )
        except OSError:
            return False

    def add_picture(self, msg, stamp_ns: int, log_ns: int) -> None:
        """Add an Image or CompressedImage message."""
        if self.done:
            return
        try:
            self._write_picture(msg, stamp_ns - self.start_ns)
        except CannotWrite:
            raise
        except AvsolError as error:
            self._leave_out(str(error))
            return
        if not self._frames:
            self._facts['frame_id'] = msg.header.frame_id
        self._frames.append([stamp_ns, log_ns])

    def _write_picture(self, msg, time_ns: int) -> None:
        film = self._film
        encoding = form = ''
        if hasattr(msg, 'encoding'):
            if self._lossless:
                pixels, encoding = stored_pixels(msg)
                kind, data = 'png', encode_png(pixels)
            else:
                pixels, kind, data = image_to_rgb(msg), 'h264', None
                encoding = msg.encoding
        else:
            data, form = bytes(msg.data), msg.format
            kind = encoded_kind(data)
            if kind is None or _END_MARKS[kind] not in data or not film.kind:
                pixels = compressed_image_to_rgb(msg)  # refuses what is no picture
            else:
                pixels = None
        size = film.size if pixels is None else (pixels.shape[1], pixels.shape[0])
        if film.kind and (film.kind, film.size) != (kind, size):
            raise AvsolError(
                f'{kind} of {size[0]}x{size[1]} among {film.kind} of {film.size[0]}x{film.size[1]}'
            )
        if not self._frames:
            self._facts |= {'kind': kind, 'size': list(size), 'encoding': encoding, 'format': form}
        elif encoding != self._facts['encoding']:
            raise AvsolError(f'{encoding} among {self._facts["encoding"]}')
        if data is None:
            film.add_picture(pixels, time_ns)
        else:
            film.add_encoded(data, time_ns, size)

    def add_sound(self, samples: np.ndarray, time_ns: int, follows: bool) -> int | None:
        """
        Add samples to the film.

        :param follows: whether they come right after the samples before.
        :returns: index of the first of them in the film; None where not all of them fit.
        """
        if self.done:
            return 0
        place = (time_ns - self.start_ns) * self.sound.rate // NANOSECONDS
        if follows and self._next_ns is not None:
            place = self._film.samples
        missing = place - self._film.samples
        if missing > 0:
            self._gaps.append([self._film.samples, missing])
            self._film.add_silence(missing)
        kept = samples[max(0, -missing) :]
        self._film.add_sound(kept)
        self._next_ns = time_ns
        # Channels that were mixed down to fit are not the original samples any more.
        whole = len(kept) == len(samples) and self.sound.tracks == samples.shape[1]
        return place if whole else None

    def note_sound(self, **facts) -> bool:
        """Note facts about the sound's messages; return whether they are those noted before."""
        return self._facts.setdefault('audio', facts) == facts

    def add_chunk(
        self, stamp_ns: int | None, log_ns: int, place: int, count: int, skip: int, left: int
    ) -> None:
        """
        Note where in the film the samples of a message are.

        :param skip: how many of the message came before these, in another piece.
        :param left: how many are still to come.
        """
        self._chunks.append([stamp_ns, log_ns, place, count, skip, left])

    def add_bytes(self, stamp_ns: int | None, log_ns: int, data, skip: int, left: int) -> None:
        """Keep bytes that the film cannot hold."""
        self._chunks.append([stamp_ns, log_ns, -1, base64.b64encode(data).decode(), skip, left])

    def _leave_out(self, reason: str) -> None:
        self._left_out.setdefault(without_numbers(reason), [0, reason])[0] += 1

    def close(self, last: bool) -> None:
        """
        Finish film and record.

        :param last: whether the stream ends here; otherwise the sound is filled up to ten seconds.
        """
        if self.done:
            return
        film = self._film
        if self.sound is not None and not last:
            missing = SECONDS * self.sound.rate - film.samples
            if missing > 0:
                # A few missing samples are no gap: the clock of the device was slow.
                if missing > self.sound.rate // 100:
                    self._gaps.append([film.samples, missing])
                film.add_silence(missing)
        self._record_path.unlink(missing_ok=True)
        film.close()
        if not film.samples and not self._frames and not self._chunks:
            return
        write_record(
            self._record_path,
            {
                'key': self._key,
                'start_ns': self.start_ns,
                'film_bytes': self._film_path.stat().st_size if self._film_path.exists() else 0,
                'duration': float(SECONDS) if not last else self._duration(),
                'sound': None if self.sound is None else asdict(self.sound),
                **self._facts,
                'gaps': self._gaps,
                'left_out': self._left_out,
                'frames': self._frames,
                'chunks': self._chunks,
            },
        )

    def _duration(self) -> float:
        ends = [0.0]
        if self.sound is not None:
            ends.append(self._film.samples / self.sound.rate)
        if self._frames:
            stamps = [stamp for stamp, _ in self._frames]
            period = np.median(np.diff(stamps)) if len(stamps) > 1 else NANOSECONDS / 25
            ends.append((stamps[-1] - self.start_ns + float(period)) / NANOSECONDS)
        return min(max(ends), float(SECONDS))

    def discard(self) -> None:
        self._film.discard()


class Clips:
    """
    The clips of one stream, by number.

    :param name: of the stream; clips add their numbers.
    :param sound: format for films that begin from now on; may change.
    :param settings: plain values that stand for the source and the options of the films.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        origin_ns: int,
        sound: Sound | None,
        settings: dict,
        lossless: bool,
        quality: int,
    ):
        self._folder, self._name, self._origin_ns = folder, name, origin_ns
        self.sound = sound
        self._key = json.dumps(settings, sort_keys=True)
        self._options = lossless, quality
        self._open: dict[int, Clip] = {}
        self._closed = 0  # all before
        self._newest = {'picture': 0, 'sound': 0 if sound is not None else None}
        self.names: list[str] = []

    def at(self, number: int) -> Clip | None:
        """Return a clip; None for one that has been closed."""
        if number < self._closed:
            return None
        if number not in self._open:
            sound = self.sound and asdict(self.sound)
            self._open[number] = Clip(
                self._folder,
                f'{self._name}_{number:04}',
                self._origin_ns + number * CLIP_NS,
                self.sound,
                f'{self._key} {sound}',
                *self._options,
            )
        return self._open[number]

    def oldest(self) -> Clip:
        """Return the first clip that has not been closed."""
        return self.at(self._closed)

    def passed(self, stream: str, offset_ns: int) -> None:
        """Note how far a stream ('picture' or 'sound') is; close the clips before that."""
        self._newest[stream] = max(self._newest[stream] or 0, offset_ns)
        known = [time for time in self._newest.values() if time is not None]
        over = max(min(known), max(known) - _WAIT_NS) // CLIP_NS
        for number in sorted(self._open):
            if number < over:
                self._finish(number, last=False)
        self._closed = max(self._closed, over)

    def close(self) -> None:
        """Finish all; the last of them ends where its content does."""
        last = max(self._open, default=-1)
        for number in sorted(self._open):
            self._finish(number, number == last)

    def discard(self) -> None:
        for clip in self._open.values():
            clip.discard()

    def _finish(self, number: int, last: bool) -> None:
        clip = self._open.pop(number)
        clip.close(last)
        if clip_record(self._folder, clip.name).exists():
            self.names.append(clip.name)
