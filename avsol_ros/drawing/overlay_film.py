"""
A localized stream as a film: each frame under what was found nearest to its time, with the sound.

Frames, sound and results come in whatever order a network gives them; frames wait until the
window whose centre is nearest to them is known, within bounds of time and memory.
"""

import json
import os
from collections import deque
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.drawing.overlay import draw_localization
from avsol_ros.drawing.waveform import strip_height
from avsol_ros.errors import AvsolError
from avsol_ros.localization import WindowResult, kept_heatmap
from avsol_ros.media.writer import MediaWriter

# The strip shows this much sound, of which a part lies ahead of the present moment.
_STRIP_NS = 4 * NANOSECONDS
_STRIP_AHEAD_NS = NANOSECONDS
# Stamps may come this far ahead of both streams, at least, before their clock counts as wrong.
_LEAST_JUMP_NS = 2 * NANOSECONDS
# A result says nothing about a frame that is further from its window's centre.
_REACH_NS = NANOSECONDS


class OverlayRecording:
    """
    Writes the film and, beside it, the record of all windows as JSON.

    Nothing happens on its own: ``add_*`` store, ``advance`` draws and writes what is decided.
    One thread may store while another advances if they take turns by a lock around ``add_*`` and
    ``take``; ``write`` needs none.

    :param path: film to write; the record gets the same name with ``.json``.
    :param max_wait_ns: how long, by the stamps, a frame waits for its result and the first frame
        for sound; also how far stamps may jump ahead.
    :param max_bytes: memory for waiting frames; when there is more, the oldest is written with
        the result that is known.
    :param keep_record: whether to write the record, which is held until the end.
    """

    def __init__(
        self,
        path: str | Path,
        max_wait_ns: int = 6 * NANOSECONDS,
        max_bytes: int = 512 << 20,
        frame_rate: float = 30.0,
        keep_record: bool = True,
    ):
        self._keep_record = keep_record
        self.windows = 0
        self.path = Path(path)
        self._max_wait_ns = max_wait_ns
        self._jump_ns = max(max_wait_ns, _LEAST_JUMP_NS)
        self._max_bytes = max_bytes
        self._frame_rate = frame_rate
        self._frames: deque[tuple[int, np.ndarray]] = deque()
        self._sound: deque[tuple[int, np.ndarray]] = deque()
        self._results: deque[WindowResult] = deque()
        self._heard: deque[tuple[int, np.ndarray]] = deque()
        self._record: list[dict] = []
        self._newest_window_end_ns: int | None = None
        self._writer: MediaWriter | None = None
        self._size = None
        self._sample_rate = self._channels = 0
        self._origin_ns = 0
        self._last_frame_ns: int | None = None
        self.sound_end_ns: int | None = None
        #: Frames left out because they came out of order or with a stamp that jumped.
        self.frames_late = 0
        self.frames_written = self.frames_unknown = self.frames_dropped = 0

    @property
    def newest_frame_ns(self) -> int | None:
        return self._frames[-1][0] if self._frames else self._last_frame_ns

    @property
    def newest_window_end_ns(self) -> int | None:
        return self._newest_window_end_ns

    def add_frame(self, stamp_ns: int, image: np.ndarray) -> None:
        """
        Store a frame: (H, W, 3) uint8 RGB. Frames that do not come in order are left out.

        A stamp far ahead of both streams is refused, of sound as well: the film would be filled
        up to there.
        """
        newest = self.newest_frame_ns
        if newest is not None and stamp_ns <= newest:
            self.frames_late += 1
            return
        try:
            self._refuse_jump('images', stamp_ns, newest, self.sound_end_ns)
        except AvsolError:
            self.frames_late += 1
            raise
        self._frames.append((stamp_ns, image))
        # Twice the bound means that writing is too slow for what comes.
        while len(self._frames) * image.nbytes > 2 * self._max_bytes:
            self._frames.popleft()
            self.frames_dropped += 1

    def add_audio(self, stamp_ns: int, samples: np.ndarray, sample_rate: int) -> None:
        """Store sound: (n, channels) int16 or float in [-1, 1]; its format may not change."""
        if sample_rate < 1:
            raise AvsolError(f'sound has {sample_rate} samples per second; expected more than 0')
        self._refuse_jump('sound', stamp_ns, self.sound_end_ns, self.newest_frame_ns)
        if not self._sample_rate:
            self._sample_rate, self._channels = sample_rate, samples.shape[1]
        if (sample_rate, samples.shape[1]) != (self._sample_rate, self._channels):
            raise AvsolError(
                f'the sound changed from {self._channels} channel(s) at '
                f'{self._sample_rate} Hz to {samples.shape[1]} at {sample_rate} Hz; '
                'a film has one format: start another recording'
            )
        if len(samples) == 0:
            return
        end_ns = stamp_ns + len(samples) * NANOSECONDS // sample_rate
        if self.sound_end_ns is not None and end_ns < self.sound_end_ns - self._jump_ns:
            return  # has been heard: a film that is played again
        self.sound_end_ns = max(end_ns, self.sound_end_ns or end_ns)
        self._sound.append((stamp_ns, samples))
        mono = samples.mean(axis=1, dtype=np.float32)
        if samples.dtype == np.int16:
            mono /= 32768
        self._heard.append((stamp_ns, mono))
        keep_ns = self._max_wait_ns + 2 * _STRIP_NS
        while self._heard[0][0] < stamp_ns - keep_ns:
            self._heard.popleft()
        while self._writer is None and self._sound[0][0] < stamp_ns - keep_ns:
            self._sound.popleft()

    def add_result(self, result: WindowResult) -> None:
        """Store what was found in a window; windows come in order."""
        result = replace(result, heatmap=kept_heatmap(result.heatmap))
        self.windows += 1
        if self._keep_record:
            # As it will be written: of each heatmap a picture of few bytes.
            self._record.append(result.as_dict(0))
        self._newest_window_end_ns = result.end_ns
        self._results.append(result)
        oldest_ns = (
            self._frames[0][0] if self._frames else result.centre_ns - self._max_wait_ns
        ) - _REACH_NS
        while self._results[0].centre_ns < oldest_ns and len(self._results) > 1:
            self._results.popleft()

    def take(self, finish: bool = False) -> list[tuple]:
        """
        Take a piece of work for ``write``: sound, and the next frame if its result is decided.

        :param finish: nothing more comes, so everything is decided.
        """
        if self._size is None:
            if not self._frames or not self._may_begin(finish):
                return []
            self._size = self._frames[0][1].shape[:2]
            self._origin_ns = self._frames[0][0]
            if self._sound:
                self._origin_ns = min(self._origin_ns, self._sound[0][0])
        work = [('sound', *self._sound.popleft()) for _ in range(len(self._sound))]
        if self._frames and (finish or self._is_decided(self._frames[0][0])):
            stamp_ns, image = self._frames.popleft()
            self._last_frame_ns = stamp_ns
            work.append(
                ('frame', stamp_ns, image, self._nearest(stamp_ns), *self._strip(stamp_ns))
            )
        return work

    def write(self, work: list[tuple]) -> None:
        """Draw and encode what ``take`` gave."""
        if self._writer is None and work:
            height, width = self._size
            rate = self._sample_rate or None
            self._writer = MediaWriter(
                self.path,
                width,
                height + (strip_height(height, width) if rate else 0),
                self._frame_rate,
                rate,
                max(self._channels, 1),
            )
        for kind, stamp_ns, content, *rest in work:
            if kind == 'sound':
                # Sound that came too late for a film without any is left out.
                if self._writer.has_sound:
                    self._writer.add_audio(content, stamp_ns - self._origin_ns)
                continue
            result, audio, audio_start_ns = rest
            if content.shape[:2] != self._size:
                content = cv2.resize(content, self._size[::-1], interpolation=cv2.INTER_AREA)
            if not self._writer.has_sound:
                audio = None
            picture = draw_localization(
                content,
                result,
                result.boxes if result else (),
                audio,
                audio_start_ns=audio_start_ns,
                sample_rate=self._sample_rate or 1,
                time_ns=stamp_ns,
                zero_ns=self._origin_ns,
            )
            self._writer.add_frame(picture, stamp_ns - self._origin_ns)
            self.frames_written += 1
            self.frames_unknown += result is None

    def advance(self, finish: bool = False) -> int:
        """Take and write all that is decided; the number of frames written."""
        before = self.frames_written
        while True:
            work = self.take(finish)
            self.write(work)
            if not any(item[0] == 'frame' for item in work):
                return self.frames_written - before

    def close(self) -> Path | None:
        """Write what is left and put film and record in their places; None without a frame."""
        self.advance(finish=True)
        if self._writer is None:
            return None
        self._writer.close()
        if not self._keep_record:
            return self.path
        height, width = self._size
        for window in self._record:
            for name in ('start', 'end'):
                window[name] = (window[f'{name}_ns'] - self._origin_ns) / NANOSECONDS
        document = {
            'version': 1,
            'video': self.path.name,
            'width': width,
            'height': height,
            'origin_ns': self._origin_ns,
            'frames': self.frames_written,
            'frames_dropped': self.frames_dropped,
            'frames_late': self.frames_late,
            'frames_without_result': self.frames_unknown,
            'windows': self._record,
        }
        write_text(self.path.with_suffix('.json'), json.dumps(document) + '\n')
        return self.path

    def discard(self) -> None:
        """Leave nothing behind."""
        if self._writer is not None:
            self._writer.discard()

    def _refuse_jump(
        self, what: str, stamp_ns: int, newest_ns: int | None, other_ns: int | None
    ) -> None:
        """Raise AvsolError for a stamp far from the other stream and ahead of its own."""
        if other_ns is None or abs(stamp_ns - other_ns) <= self._jump_ns:
            return
        if newest_ns is not None and stamp_ns - newest_ns <= self._jump_ns:
            return
        if newest_ns is None:
            how = f'begin {abs(stamp_ns - other_ns) / NANOSECONDS:.1f} s'
        else:
            how = f'jump {(stamp_ns - newest_ns) / NANOSECONDS:.1f} s ahead,'
        raise AvsolError(
            f'the stamps of the {what} {how} away from the other stream, so what has '
            'them is left out; give both streams the same clock, and start another '
            'recording after it was set'
        )

    def _may_begin(self, finish: bool) -> bool:
        """Whether the form of the film is known: its sound, or that none comes."""
        if finish or self._sample_rate:
            return True
        return self._frames[-1][0] - self._frames[0][0] > self._max_wait_ns

    def _is_decided(self, stamp_ns: int) -> bool:
        if self._results and self._results[-1].centre_ns >= stamp_ns:
            return True
        return (
            self._frames[-1][0] - stamp_ns > self._max_wait_ns
            or len(self._frames) * self._frames[0][1].nbytes > self._max_bytes
        )

    def _nearest(self, stamp_ns: int) -> WindowResult | None:
        """Return the result whose window's centre is nearest; drop those that are past."""
        while len(self._results) > 1 and self._results[1].centre_ns <= stamp_ns:
            self._results.popleft()
        best = min(
            list(self._results)[:2],
            default=None,
            key=lambda result: abs(result.centre_ns - stamp_ns),
        )
        if best is None or abs(best.centre_ns - stamp_ns) > _REACH_NS:
            return None
        return best

    def _strip(self, stamp_ns: int) -> tuple[np.ndarray | None, int]:
        """Sound around a moment, zeros where there is none (yet), and its start."""
        if not self._sample_rate:
            return None, 0
        rate = self._sample_rate
        start_ns = max(self._origin_ns, stamp_ns + _STRIP_AHEAD_NS - _STRIP_NS)
        strip = np.zeros(_STRIP_NS * rate // NANOSECONDS, np.float32)
        for chunk_ns, samples in self._heard:
            at = round((chunk_ns - start_ns) * rate / NANOSECONDS)
            left, right = max(at, 0), min(at + len(samples), len(strip))
            if left < right:
                strip[left:right] = samples[left - at : right - at]
        return strip, start_ns


def write_text(path: Path, text: str) -> Path:
    """Write a file beside and rename it."""
    part = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise AvsolError(f'cannot write {path}: {error.strerror}') from None
    return path
