"""
Pair the frames of a live stream with the results that are nearest to them.

Frames, sound and results come in whatever order a network gives them. Frames wait until the
window whose centre is nearest to them is known, within bounds of time and memory.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.localization import WindowResult
from avsol_ros.streams.time_jumps import TOPICS_APART_NS

# The strip shows this much sound, of which a part lies ahead of the present moment.
_STRIP_NS = 4 * NANOSECONDS
_STRIP_AHEAD_NS = NANOSECONDS
# A result says nothing about a frame that is further from its window's centre.
_REACH_NS = NANOSECONDS


@dataclass(frozen=True, eq=False)
class SoundPiece:
    """Some sound for the film: ``samples`` is (n, channels), int16 or float in [-1, 1]."""

    stamp_ns: int
    samples: np.ndarray


@dataclass(frozen=True, eq=False)
class PairedFrame:
    """
    A frame whose result is decided.

    :param image: (H, W, 3) uint8 RGB.
    :param result: of the window whose centre is nearest; None where none is near.
    :param audio: (n,) float32 mono [-1, 1], the sound around the frame; None of a silent film.
    :param audio_start_ns: time of its first sample.
    """

    stamp_ns: int
    image: np.ndarray
    result: WindowResult | None
    audio: np.ndarray | None
    audio_start_ns: int


class ResultPairing:
    """
    Keeps frames, sound and results until it is decided which result a frame gets.

    :param max_wait_ns: how long, by the stamps, a frame waits for its result and the first frame
        for sound; also how far stamps may jump ahead.
    :param max_bytes: memory for waiting frames; when there is more, the oldest gets the result
        that is known.
    :ivar size: height and width of the first frame; None until it is decided.
    :ivar origin_ns: stamp at which the film begins, once ``size`` is known.
    :ivar sample_rate: of the sound, in Hz; 0 while none came.
    :ivar channels: of the sound; 0 while none came.
    :ivar sound_end_ns: end of the newest sound.
    :ivar newest_window_end_ns: end of the newest window that has a result.
    :ivar frames_late: left out because they came out of order or with a stamp that jumped.
    :ivar frames_dropped: left out because there was no memory for them.
    """

    def __init__(self, max_wait_ns: int, max_bytes: int):
        self._max_wait_ns = max_wait_ns
        self._jump_ns = max(max_wait_ns, TOPICS_APART_NS)
        self._max_bytes = max_bytes
        self._frames: deque[tuple[int, np.ndarray]] = deque()
        self._sound: deque[SoundPiece] = deque()
        self._results: deque[WindowResult] = deque()
        self._heard: deque[tuple[int, np.ndarray]] = deque()
        self._last_frame_ns: int | None = None
        self.size: tuple[int, int] | None = None
        self.origin_ns = 0
        self.sample_rate = self.channels = 0
        self.sound_end_ns: int | None = None
        self.newest_window_end_ns: int | None = None
        self.frames_late = self.frames_dropped = 0

    @property
    def newest_frame_ns(self) -> int | None:
        """Stamp of the newest frame."""
        return self._frames[-1][0] if self._frames else self._last_frame_ns

    def add_frame(self, stamp_ns: int, image: np.ndarray) -> None:
        """
        Store a frame: (H, W, 3) uint8 RGB. Frames that do not come in order are left out.

        A stamp far ahead of both streams is refused, of sound as well: the film would be filled
        up to there.

        :raises AvsolError: for such a stamp.
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
        if not self.sample_rate:
            self.sample_rate, self.channels = sample_rate, samples.shape[1]
        if (sample_rate, samples.shape[1]) != (self.sample_rate, self.channels):
            raise AvsolError(
                f'the sound changed from {self.channels} channel(s) at '
                f'{self.sample_rate} Hz to {samples.shape[1]} at {sample_rate} Hz; '
                'a film has one format: start another recording'
            )
        if len(samples) == 0:
            return
        end_ns = stamp_ns + len(samples) * NANOSECONDS // sample_rate
        if self.sound_end_ns is not None and end_ns < self.sound_end_ns - self._jump_ns:
            return  # the film has it already: a recording that is played again
        self.sound_end_ns = max(end_ns, self.sound_end_ns or end_ns)
        self._sound.append(SoundPiece(stamp_ns, samples))
        mono = samples.mean(axis=1, dtype=np.float32)
        if samples.dtype == np.int16:
            mono /= 32768
        self._heard.append((stamp_ns, mono))
        keep_ns = self._max_wait_ns + 2 * _STRIP_NS
        while self._heard[0][0] < stamp_ns - keep_ns:
            self._heard.popleft()
        while self.size is None and self._sound[0].stamp_ns < stamp_ns - keep_ns:
            self._sound.popleft()

    def add_result(self, result: WindowResult) -> None:
        """Store what was found in a window; windows come in order."""
        self.newest_window_end_ns = result.end_ns
        self._results.append(result)
        oldest_ns = (
            self._frames[0][0] if self._frames else result.centre_ns - self._max_wait_ns
        ) - _REACH_NS
        while self._results[0].centre_ns < oldest_ns and len(self._results) > 1:
            self._results.popleft()

    def take_decided(self, finish: bool = False) -> list[SoundPiece | PairedFrame]:
        """
        Remove and return the sound that waits, and the next frame if its result is decided.

        :param finish: nothing more comes, so everything is decided.
        """
        if self.size is None:
            if not self._frames or not self._is_format_known(finish):
                return []
            self.size = self._frames[0][1].shape[:2]
            self.origin_ns = self._frames[0][0]
            if self._sound:
                self.origin_ns = min(self.origin_ns, self._sound[0].stamp_ns)
        decided: list[SoundPiece | PairedFrame] = [
            self._sound.popleft() for _ in range(len(self._sound))
        ]
        if self._frames and (finish or self._is_decided(self._frames[0][0])):
            stamp_ns, image = self._frames.popleft()
            self._last_frame_ns = stamp_ns
            audio, audio_start_ns = self._sound_around(stamp_ns)
            result = self._nearest_result(stamp_ns)
            decided.append(PairedFrame(stamp_ns, image, result, audio, audio_start_ns))
        return decided

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

    def _is_format_known(self, finish: bool) -> bool:
        """Whether it is known that the film has sound, or that none comes."""
        if finish or self.sample_rate:
            return True
        return self._frames[-1][0] - self._frames[0][0] > self._max_wait_ns

    def _is_decided(self, stamp_ns: int) -> bool:
        """Whether no later result can be nearer to a frame, or it may wait no longer."""
        if self._results and self._results[-1].centre_ns >= stamp_ns:
            return True
        return (
            self._frames[-1][0] - stamp_ns > self._max_wait_ns
            or len(self._frames) * self._frames[0][1].nbytes > self._max_bytes
        )

    def _nearest_result(self, stamp_ns: int) -> WindowResult | None:
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

    def _sound_around(self, stamp_ns: int) -> tuple[np.ndarray | None, int]:
        """Sound around a moment, zeros where there is none (yet), and its start."""
        if not self.sample_rate:
            return None, 0
        rate = self.sample_rate
        start_ns = max(self.origin_ns, stamp_ns + _STRIP_AHEAD_NS - _STRIP_NS)
        strip = np.zeros(_STRIP_NS * rate // NANOSECONDS, np.float32)
        for chunk_ns, samples in self._heard:
            at = round((chunk_ns - start_ns) * rate / NANOSECONDS)
            left, right = max(at, 0), min(at + len(samples), len(strip))
            if left < right:
                strip[left:right] = samples[left - at : right - at]
        return strip, start_ns
