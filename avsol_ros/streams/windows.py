"""
Cuts two time-stamped streams, frames and samples, into windows of one second.

All times are integer nanoseconds and all intervals are half-open, so that a sample or a frame on
a border belongs to exactly one side. Windows start at whole multiples of the hop, counted from
stamp 0, so they do not depend on when somebody starts to listen.

Sound is kept on a grid of slots: slot ``k`` is the interval ``[k, k + 1) * 62500 ns``, the time
of one sample at 16 kHz. Sample ``n`` of a run without a gap that began at stamp ``s`` has the
time ``s + n * 62500`` and therefore the slot ``s // 62500 + n``. A window of one second is 16000
consecutive slots. Each holds the sample whose time lies in it, or a zero if there is none.
"""

from bisect import bisect_left
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

import numpy as np

from avsol_ros.checks import describe_array, integer_ns
from avsol_ros.config import NANOSECONDS, WindowConfig
from avsol_ros.errors import AvsolError
from avsol_ros.streams.slot_buffer import SlotBuffer
from avsol_ros.streams.time_jumps import MEMORY_NS

SAMPLE_RATE = 16_000  # Hz; what VGGish was made for
SAMPLE_NS = NANOSECONDS // SAMPLE_RATE  # 62500 ns, without remainder


@dataclass(frozen=True, eq=False)
class AudioVisualWindow:
    """
    What the camera saw and the microphone heard in ``[start_ns, end_ns)``.

    :param start_ns: first nanosecond of the window, a multiple of the hop.
    :param end_ns: first nanosecond after the window.
    :param frames: ``WindowConfig.frames`` images (H, W, 3), uint8, RGB, in time order, at the
        camera's size. If the camera is slower than that, images are repeated.
    :param frame_stamps_ns: stamp of each of the frames, within the window.
    :param audio: (length * 16000,) float32, mono, 16 kHz, full scale [-1, 1].
    :param audio_missing: how many of the samples never arrived; they are zero in ``audio``.
    """

    start_ns: int
    end_ns: int
    frames: tuple[np.ndarray, ...]
    frame_stamps_ns: tuple[int, ...]
    audio: np.ndarray
    audio_missing: int


@dataclass
class WindowStats:
    """
    What a cutter has done since it was made; the numbers only grow.

    :param windows_cut: windows given to the caller.
    :param windows_skipped: windows left out, because none of their frames or none of their
        samples arrived, or because the memory was full before they were complete.
    :param frames_late: frames that arrived after the last window that could use them.
    :param frames_dropped: frames dropped unused, because the memory was full.
    :param frames_duplicate: frames dropped, because an earlier frame has the same stamp.
    :param audio_gaps: gaps in the sound.
    :param audio_gap_samples: samples missing in those gaps.
    :param audio_overlap_samples: samples dropped, because there was sound at their time already.
    :param audio_dropped_samples: samples dropped unused, because the memory was full.
    :param restarts: jumps in time after which windows were started anew.
    """

    windows_cut: int = 0
    windows_skipped: int = 0
    frames_late: int = 0
    frames_dropped: int = 0
    frames_duplicate: int = 0
    audio_gaps: int = 0
    audio_gap_samples: int = 0
    audio_overlap_samples: int = 0
    audio_dropped_samples: int = 0
    restarts: int = 0


class WindowCutter:
    """
    Cuts windows from frames and chunks of samples, whatever the size of the chunks.

    Add frames and chunks, and after each ``add_*`` take the windows that are ``ready``. The first
    window is the first on the grid that starts after both streams have begun, so no window is cut
    from half of its data.

    Sound. Within a run time is the count of samples; the stamp of a chunk may be off the count
    by the tolerance. A later stamp leaves a gap (zeros). An earlier one overlaps: samples are
    dropped up to the time at which there is sound already. Both are counted, and both start a
    run with a count of its own.

    Jumps. Windows start anew after a stamp that is further than the capacity from the newest one
    of its stream, forwards or backwards (a bag that loops), and after an overlap longer than a
    window (a short loop). A stream that is near the new time already is kept. docs/time.md has
    the policy for all parts.

    Memory. Of each stream at most ``capacity_ns`` is held. When one stream stalls, the oldest
    data of the other is dropped and counted. Windows that lost data are skipped; none is cut
    from what is left.

    A cutter has no lock. Callers in several threads need one.

    :param config: length, hop and frames of the windows. Length and hop must be whole numbers of
        samples (62500 ns), as every whole number of milliseconds is.
    :param capacity_ns: how much of each stream is held, at least two windows.
    :param audio_tolerance_ns: how far the stamp of a chunk may be off the count. One sample by
        default, because ``AudioStream`` gives exact stamps.
    :ivar stats: what became of frames and samples so far.
    """

    def __init__(
        self,
        config: WindowConfig,
        capacity_ns: int = MEMORY_NS,
        audio_tolerance_ns: int = SAMPLE_NS,
    ):
        for name, value in (('hop_ns', config.hop_ns), ('length_ns', config.length_ns)):
            if value % SAMPLE_NS:
                nearest = max(round(value / SAMPLE_NS), 1) * SAMPLE_NS
                raise AvsolError(
                    f'{name} is {value}; expected a whole number of samples at 16 kHz, '
                    f'{SAMPLE_NS} ns each; the nearest is {nearest}'
                )
        if capacity_ns < 2 * config.length_ns:
            raise AvsolError(
                f'capacity_ns is {capacity_ns}; expected at least two windows, '
                f'{2 * config.length_ns}'
            )
        if audio_tolerance_ns < 0:
            raise AvsolError(f'audio_tolerance_ns is {audio_tolerance_ns}; expected 0 or more')
        self.config = config
        self.stats = WindowStats()
        self._capacity_ns = capacity_ns
        self._capacity = capacity_ns // SAMPLE_NS
        self._tolerance_ns = audio_tolerance_ns
        self._audio = SlotBuffer(self._capacity)
        self._clear_audio()
        self._clear_frames()
        self._clear_grid()

    def _clear_audio(self) -> None:
        self._audio.clear()
        self._run_ns: int | None = None  # stamp of the first sample of the run
        self._run_count = 0  # samples of the run so far
        self._overlapping = 0  # samples dropped as overlap since one was kept
        self._audio_from_ns: int | None = None  # no sound at or after this time was dropped

    def _clear_frames(self) -> None:
        self._stamps: list[int] = []  # sorted
        self._images: list[np.ndarray] = []  # in the order of _stamps
        self._newest_frame_ns: int | None = None
        # No frame at or after this time was dropped; None: no frame was.
        self._frames_from_ns: int | None = None

    def _clear_grid(self) -> None:
        self._first_ns: int | None = None  # start of the first window since the last restart
        self._next_ns: int | None = None  # start of the next window to be cut

    @property
    def newest_frame_ns(self) -> int | None:
        """Stamp of the newest frame; None before the first."""
        return self._newest_frame_ns

    @property
    def newest_audio_ns(self) -> int | None:
        """Time just after the newest sample; None before the first."""
        if self._run_ns is None:
            return None
        return self._run_ns + self._run_count * SAMPLE_NS

    def add_frame(self, stamp_ns: int, image: np.ndarray) -> None:
        """
        Add a frame; frames may be added out of order.

        :param stamp_ns: when it was taken.
        :param image: (H, W, 3) uint8, RGB. It is kept, not copied: do not write into it.
        """
        stamp_ns = integer_ns(stamp_ns, 'frame stamp')
        if getattr(image, 'dtype', None) != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise AvsolError(f'frame is {describe_array(image)}; expected (H, W, 3) uint8, RGB')
        newest = self._newest_frame_ns
        if newest is not None and abs(stamp_ns - newest) > self._capacity_ns:
            self._restart(stamp_ns)
        if self._next_ns is not None and stamp_ns < self._next_ns:
            self._newest_frame_ns = _latest(newest, stamp_ns)
            self.stats.frames_late += self._was_wanted(stamp_ns)
            return
        place = bisect_left(self._stamps, stamp_ns)
        if place < len(self._stamps) and self._stamps[place] == stamp_ns:
            self.stats.frames_duplicate += 1
            return
        self._stamps.insert(place, stamp_ns)
        self._images.insert(place, image)
        self._newest_frame_ns = newest = _latest(self._newest_frame_ns, stamp_ns)
        too_old = bisect_left(self._stamps, newest - self._capacity_ns)
        if too_old:
            self.stats.frames_dropped += too_old
            self._frames_from_ns = self._stamps[too_old - 1] + 1
            self._drop_frames(too_old)

    def add_audio(self, stamp_ns: int, samples: np.ndarray) -> None:
        """
        Add a chunk of sound; chunks must be added in order.

        :param stamp_ns: time of the first sample.
        :param samples: (n,) float32, mono, 16 kHz, full scale [-1, 1]. They are copied. A chunk
            longer than the capacity less one window loses its beginning.
        """
        stamp_ns = integer_ns(stamp_ns, 'audio stamp')
        if getattr(samples, 'dtype', None) != np.float32 or samples.ndim != 1:
            raise AvsolError(
                f'audio is {describe_array(samples)}; expected (n,) float32, mono, 16 kHz'
            )
        if not len(samples):
            return
        expected = self.newest_audio_ns
        if expected is not None and abs(stamp_ns - expected) > self._capacity_ns:
            self._restart(stamp_ns)
            expected = self.newest_audio_ns
        run_ns = self._run_ns
        if run_ns is None or expected is None or abs(stamp_ns - expected) > self._tolerance_ns:
            self._run_ns = run_ns = stamp_ns
            self._run_count = 0
        slot = run_ns // SAMPLE_NS + self._run_count
        self._run_count += len(samples)

        stop = self._audio.stop
        if stop is None:
            self._audio_from_ns = stamp_ns
        elif slot > stop:
            self.stats.audio_gaps += 1
            self.stats.audio_gap_samples += slot - stop
        elif slot < stop:
            overlap = min(stop - slot, len(samples))
            self._overlapping += overlap
            if self._overlapping * SAMPLE_NS > self.config.length_ns:
                self._restart_with(stamp_ns, samples)
                return
            self.stats.audio_overlap_samples += overlap
            slot, samples = slot + overlap, samples[overlap:]
            if not len(samples):
                return
        self._overlapping = 0
        oldest = slot + len(samples) - self._capacity
        lost = self._audio.forget(oldest) + max(oldest - slot, 0)
        self._audio.write(slot, samples)
        if lost:
            self.stats.audio_dropped_samples += lost
            self._audio_from_ns = _latest(self._audio_from_ns, oldest * SAMPLE_NS)

    def ready(self) -> Iterator[AudioVisualWindow]:
        """
        Yield, in order, the windows that can no longer change.

        That is so when the sound of a window is complete and there is a frame at or after the
        last moment for which the window wants one. A window is cut when the iterator yields it.
        """
        return self._cut(at_end=False)

    def flush(self) -> Iterator[AudioVisualWindow]:
        """
        Yield the last windows at the end of the stream, then forget everything but the counts.

        Those are the windows whose sound is complete and that have at least one frame.
        """
        yield from self._cut(at_end=True)
        self._clear_audio()
        self._clear_frames()
        self._clear_grid()

    def twin(self) -> 'WindowCutter':
        """Return an independent copy; only the images are shared."""
        return deepcopy(self, {id(image): image for image in self._images})

    def _cut(self, at_end: bool) -> Iterator[AudioVisualWindow]:
        length_ns, hop_ns, count = self.config.length_ns, self.config.hop_ns, self.config.frames
        samples = length_ns // SAMPLE_NS
        while (start_ns := self._find_start()) is not None:
            end_ns = start_ns + length_ns
            stop, newest_ns = self._audio.stop, self._newest_frame_ns
            if stop is None or stop * SAMPLE_NS < end_ns or newest_ns is None:
                return
            seen = (newest_ns - start_ns) * 2 * count >= (2 * count - 1) * length_ns
            if not seen and not at_end:
                return
            audio, missing = self._audio.read(start_ns // SAMPLE_NS, samples)
            inside = self._stamps[: bisect_left(self._stamps, end_ns)]
            window = None
            if inside and missing < samples:
                chosen = [
                    _nearest(inside, start_ns, length_ns, 2 * i + 1, 2 * count)
                    for i in range(count)
                ]
                window = AudioVisualWindow(
                    start_ns,
                    end_ns,
                    tuple(self._images[i] for i in chosen),
                    tuple(inside[i] for i in chosen),
                    audio,
                    missing,
                )
                self.stats.windows_cut += 1
            else:
                self.stats.windows_skipped += 1
            self._advance(start_ns + hop_ns)
            if window is not None:
                yield window

    def _find_start(self) -> int | None:
        """Go to the next window of which nothing was dropped; None if it is not known yet."""
        hop_ns, next_ns = self.config.hop_ns, self._next_ns
        if self._audio_from_ns is None:
            return None
        if next_ns is None:
            if not self._stamps:
                return None
            begun_ns = _latest(self._audio_from_ns, self._stamps[0], self._frames_from_ns)
            self._first_ns = next_ns = -(-begun_ns // hop_ns) * hop_ns
            self._advance(next_ns)
        intact_ns = _latest(self._audio_from_ns, self._frames_from_ns)
        if next_ns < intact_ns:
            skipped = -(-(intact_ns - next_ns) // hop_ns)
            self.stats.windows_skipped += skipped
            next_ns += skipped * hop_ns
            self._advance(next_ns)
        return next_ns

    def _advance(self, next_ns: int) -> None:
        """Go to the next window and forget what only earlier windows needed."""
        self._next_ns = next_ns
        self._audio_from_ns = _latest(self._audio_from_ns, next_ns)
        self._audio.forget(next_ns // SAMPLE_NS)
        self._drop_frames(bisect_left(self._stamps, next_ns))

    def _was_wanted(self, stamp_ns: int) -> bool:
        """Whether a window that was cut already could have chosen a frame with this stamp."""
        if self._first_ns is None or self._next_ns is None:
            return False
        last_start_ns = self._next_ns - self.config.hop_ns
        parts = 2 * self.config.frames
        return (
            self._first_ns <= stamp_ns
            and (stamp_ns - last_start_ns) * parts < (parts - 1) * self.config.length_ns
        )

    def _drop_frames(self, count: int) -> None:
        del self._stamps[:count]
        del self._images[:count]

    def _restart(self, stamp_ns: int) -> None:
        """Start windows anew at a stamp. A stream that is near the stamp already is kept."""
        self.stats.restarts += 1
        audio_ns, frame_ns = self.newest_audio_ns, self._newest_frame_ns
        if audio_ns is not None and abs(stamp_ns - audio_ns) > self._capacity_ns:
            self._clear_audio()
        if frame_ns is not None and abs(stamp_ns - frame_ns) > self._capacity_ns:
            self._clear_frames()
        self._clear_grid()

    def _restart_with(self, stamp_ns: int, samples: np.ndarray) -> None:
        """Forget both streams and start windows anew with this chunk."""
        self.stats.restarts += 1
        self._clear_audio()
        self._clear_frames()
        self._clear_grid()
        self.add_audio(stamp_ns, samples)


def _latest(*times_ns: int | None) -> int:
    """Return the latest of some times, of which one at least is not None."""
    return max(time_ns for time_ns in times_ns if time_ns is not None)


def _nearest(
    stamps: list[int], start_ns: int, length_ns: int, numerator: int, denominator: int
) -> int:
    """
    Find the stamp nearest to ``start + length * numerator / denominator``, the earlier on a tie.

    :return: its index in ``stamps``, which are sorted and at least one.
    """
    # All times are multiplied by the denominator, so that a target between two nanoseconds is
    # exact.
    target = start_ns * denominator + length_ns * numerator
    after = bisect_left(stamps, -(-target // denominator))
    if after == len(stamps):
        return after - 1
    if after and target - stamps[after - 1] * denominator <= stamps[after] * denominator - target:
        return after - 1
    return after
