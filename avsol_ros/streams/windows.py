"""
Two time-stamped streams, frames and samples, cut into one-second windows.

All times are integer nanoseconds and all intervals are half-open, so that a sample or a frame on
a border belongs to exactly one side. Windows start at whole multiples of the hop, counted from
stamp 0; nobody's moment of joining shifts them.

Sound lives on a grid of slots: slot ``k`` is the interval ``[k, k + 1) * 62500 ns``, the time
of one sample at 16 kHz. Sample ``n`` of a contiguous run that began at stamp ``s`` has the
time ``s + n * 62500`` and therefore the slot ``s // 62500 + n``. A window of one second is 16000
consecutive slots, each holding the sample whose time lies in it, or a zero when none came.
"""

from bisect import bisect_left
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

import numpy as np

from avsol_ros.checks import describe_array, integer_ns
from avsol_ros.config import NANOSECONDS, WindowConfig
from avsol_ros.errors import AvsolError
from avsol_ros.streams.time_jumps import MEMORY_NS

SAMPLE_RATE = 16_000  # Hz; what VGGish was made for
SAMPLE_NS = NANOSECONDS // SAMPLE_RATE  # 62500 ns, without remainder


@dataclass(frozen=True, eq=False)
class AudioVisualWindow:
    """
    What was seen and heard in ``[start_ns, end_ns)``.

    :param start_ns: first nanosecond of the window, a multiple of the hop.
    :param end_ns: first nanosecond after the window.
    :param frames: ``WindowConfig.frames`` images (H, W, 3), uint8, RGB, in time order, at the
        camera's size. A camera slower than that gives the same image more than once.
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

    :param windows_cut: windows handed out.
    :param windows_skipped: windows passed over because no frame or no sample of theirs came, or
        because the memory ran out before they were complete.
    :param frames_late: frames that came after the last window that wanted them.
    :param frames_dropped: frames thrown away unused because the memory was full.
    :param frames_duplicate: frames with a stamp that another one already had; the first stays.
    :param audio_gaps: holes in the sound.
    :param audio_gap_samples: samples missing in those holes.
    :param audio_overlap_samples: samples dropped because their time was already taken.
    :param audio_dropped_samples: samples thrown away unused because the memory was full.
    :param restarts: jumps in time after which the streams began anew.
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


class _SlotBuffer:
    """
    The newest samples by slot, with holes, in a bounded piece of memory.

    The memory is twice the capacity; when the end is reached, the newer half moves to the front,
    so that writing a sample costs the same however the samples are chunked.
    """

    def __init__(self, capacity: int):
        self._capacity = capacity
        self._memory = np.zeros(2 * capacity, np.float32)
        self.clear()

    def clear(self) -> None:
        self._base = 0  # slot at memory[0]
        self.stop = None  # slot after the newest sample; None while nothing has come
        self._runs = []  # [first slot, slot after the last], in order, never empty ones

    @property
    def first(self) -> int | None:
        """Slot of the oldest sample held, None when there is none."""
        return self._runs[0][0] if self._runs else None

    def write(self, slot: int, samples: np.ndarray) -> None:
        """
        Write samples from a slot on; the slot is at least ``stop``.

        Slots from ``stop`` to ``slot`` become a hole. Of a longer chunk only the last
        ``capacity`` samples are written; what was held before those is the caller's to ``forget``.
        """
        end = slot + len(samples)
        oldest = end - self._capacity
        if slot < oldest:
            samples, slot = samples[oldest - slot :], oldest
        if self.stop is None or not self._runs or self._runs[-1][1] != slot:
            self._runs.append([slot, end])
        else:
            self._runs[-1][1] = end
        if self.stop is None or self.stop < oldest:
            self._base = slot
        elif end - self._base > len(self._memory):
            keep = self._memory[oldest - self._base : self.stop - self._base]
            self._base = oldest
            self._memory[: len(keep)] = keep
        self._memory[slot - self._base : end - self._base] = samples
        self.stop = end

    def forget(self, slot: int) -> int:
        """
        Forget what lies before a slot.

        :return: how many samples that were.
        """
        forgotten = 0
        while self._runs and self._runs[0][0] < slot:
            run = self._runs[0]
            forgotten += min(run[1], slot) - run[0]
            if run[1] > slot:
                run[0] = slot
                break
            del self._runs[0]
        return forgotten

    def read(self, slot: int, count: int) -> tuple[np.ndarray, int]:
        """
        Copy ``count`` slots, holes as zeros.

        :return: samples (count,) float32, and how many of them are holes.
        """
        samples = np.zeros(count, np.float32)
        held = 0
        for first, stop in self._runs:
            first, stop = max(first, slot), min(stop, slot + count)
            if first < stop:
                samples[first - slot : stop - slot] = self._memory[
                    first - self._base : stop - self._base
                ]
                held += stop - first
        return samples, count - held


class WindowCutter:
    """
    Cut windows from frames and samples that come in any chunking.

    Add what comes, and after each ``add`` take what is ``ready``. The first window is the first
    on the grid that starts when both streams have begun: no window is cut from half the data.

    Sound. Within a run the sample count is the clock: chunk stamps may be off by the tolerance
    from the time that the count gives. A later stamp leaves a gap (zeros) and an earlier one
    an overlap (dropped up to the time already taken); both are counted and start a run with a
    clock of its own.

    Jumps. A stamp further than the capacity from its own stream's newest, forwards or backwards
    (a looped bag), or an overlap longer than a window (a short loop), starts the streams anew;
    a stream already near the new time is kept.

    Memory. Of either stream at most ``capacity_ns`` is held. When one stream stalls the oldest
    of the other is dropped and counted, and windows that lost data are skipped, never cut from
    the rest.

    A cutter has no lock. Whoever calls it from several threads brings one.

    :param config: length, hop and frames of the windows. Length and hop are whole numbers of
        samples (62500 ns), which every whole number of milliseconds is.
    :param capacity_ns: how much of each stream is held, at least two windows.
    :param audio_tolerance_ns: how far a chunk's stamp may be from the time that the sample count
        gives. A sample by default, for ``AudioStream`` gives exact stamps.
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
        self._audio = _SlotBuffer(self._capacity)
        self._clear_audio()
        self._clear_frames()
        self._clear_grid()

    def _clear_audio(self) -> None:
        self._audio.clear()
        self._run_ns = None  # stamp of the first sample of the run
        self._run_count = 0  # samples of the run so far
        self._overlapping = 0  # samples dropped as overlap since one was kept
        self._audio_from_ns = None  # the sound is all here from this time on

    def _clear_frames(self) -> None:
        self._stamps = []  # sorted
        self._images = []  # in the order of _stamps
        self._newest_frame_ns = None
        self._frames_from_ns = None  # no frame at or after this time was dropped; None: none was

    def _clear_grid(self) -> None:
        self._first_ns = None  # start of the first window since the last restart
        self._next_ns = None  # start of the next window to be cut

    @property
    def newest_frame_ns(self) -> int | None:
        """Stamp of the newest frame, None before the first."""
        return self._newest_frame_ns

    @property
    def newest_audio_ns(self) -> int | None:
        """Time just after the newest sample, None before the first."""
        if self._run_ns is None:
            return None
        return self._run_ns + self._run_count * SAMPLE_NS

    def add_frame(self, stamp_ns: int, image: np.ndarray) -> None:
        """
        Add a frame; frames may come out of order.

        :param stamp_ns: when it was taken.
        :param image: (H, W, 3) uint8, RGB. Kept as it is, not copied: do not write into it.
        """
        stamp_ns = integer_ns(stamp_ns, 'frame stamp')
        if getattr(image, 'dtype', None) != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise AvsolError(f'frame is {describe_array(image)}; expected (H, W, 3) uint8, RGB')
        newest = self._newest_frame_ns
        if newest is not None and abs(stamp_ns - newest) > self._capacity_ns:
            self._restart(stamp_ns)
        if self._next_ns is not None and stamp_ns < self._next_ns:
            self._newest_frame_ns = max(self._newest_frame_ns, stamp_ns)
            self.stats.frames_late += self._was_wanted(stamp_ns)
            return
        place = bisect_left(self._stamps, stamp_ns)
        if place < len(self._stamps) and self._stamps[place] == stamp_ns:
            self.stats.frames_duplicate += 1
            return
        self._stamps.insert(place, stamp_ns)
        self._images.insert(place, image)
        if self._newest_frame_ns is None or stamp_ns > self._newest_frame_ns:
            self._newest_frame_ns = stamp_ns
        too_old = bisect_left(self._stamps, self._newest_frame_ns - self._capacity_ns)
        if too_old:
            self.stats.frames_dropped += too_old
            self._frames_from_ns = self._stamps[too_old - 1] + 1
            self._drop_frames(too_old)

    def add_audio(self, stamp_ns: int, samples: np.ndarray) -> None:
        """
        Add a chunk of sound; chunks come in order.

        :param stamp_ns: time of the first sample.
        :param samples: (n,) float32, mono, 16 kHz, full scale [-1, 1]. Copied. Chunks longer
            than the capacity less a window lose their beginning.
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
        if expected is None or abs(stamp_ns - expected) > self._tolerance_ns:
            self._run_ns, self._run_count = stamp_ns, 0
        slot = self._run_ns // SAMPLE_NS + self._run_count
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
                self._begin_anew(stamp_ns, samples)
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
            self._audio_from_ns = max(self._audio_from_ns, oldest * SAMPLE_NS)

    def ready(self) -> Iterator[AudioVisualWindow]:
        """
        Take, in order, every window that can no longer change.

        That is when its sound is complete and a frame at or after its last target has come. A
        window counts as taken when the iterator hands it out.
        """
        return self._cut(at_end=False)

    def flush(self) -> Iterator[AudioVisualWindow]:
        """
        Take what is left at the end of the stream, then forget everything but the counts.

        Those are all windows with their sound complete and at least one frame.
        """
        yield from self._cut(at_end=True)
        self._clear_audio()
        self._clear_frames()
        self._clear_grid()

    def twin(self) -> 'WindowCutter':
        """Make another one that holds the same and goes its own way; the images are shared."""
        return deepcopy(self, {id(image): image for image in self._images})

    def _cut(self, at_end: bool) -> Iterator[AudioVisualWindow]:
        length_ns, hop_ns, count = self.config.length_ns, self.config.hop_ns, self.config.frames
        samples = length_ns // SAMPLE_NS
        while self._find_start():
            start_ns, end_ns = self._next_ns, self._next_ns + length_ns
            if self._audio.stop * SAMPLE_NS < end_ns:
                return
            seen = (self._newest_frame_ns - start_ns) * 2 * count >= (2 * count - 1) * length_ns
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

    def _find_start(self) -> bool:
        """Find the start of the next window, or say that it cannot be known yet."""
        hop_ns = self.config.hop_ns
        if self._next_ns is None:
            if self._audio_from_ns is None or not self._stamps:
                return False
            begun_ns = max(self._audio_from_ns, self._stamps[0])
            if self._frames_from_ns is not None:
                begun_ns = max(begun_ns, self._frames_from_ns)
            self._first_ns = -(-begun_ns // hop_ns) * hop_ns
            self._advance(self._first_ns)
            return True
        intact_ns = self._audio_from_ns
        if self._frames_from_ns is not None:
            intact_ns = max(intact_ns, self._frames_from_ns)
        if self._next_ns < intact_ns:
            skipped = -(-(intact_ns - self._next_ns) // hop_ns)
            self.stats.windows_skipped += skipped
            self._advance(self._next_ns + skipped * hop_ns)
        return True

    def _advance(self, next_ns: int) -> None:
        """Make this the start of the next window and forget what only earlier ones needed."""
        self._next_ns = next_ns
        self._audio_from_ns = max(self._audio_from_ns, next_ns)
        self._audio.forget(next_ns // SAMPLE_NS)
        self._drop_frames(bisect_left(self._stamps, next_ns))

    def _was_wanted(self, stamp_ns: int) -> bool:
        """Say whether a window already passed could have chosen a frame with this stamp."""
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
        """Begin anew at a stamp, keeping of the two streams the one already near it."""
        self.stats.restarts += 1
        audio_ns, frame_ns = self.newest_audio_ns, self._newest_frame_ns
        if audio_ns is not None and abs(stamp_ns - audio_ns) > self._capacity_ns:
            self._clear_audio()
        if frame_ns is not None and abs(stamp_ns - frame_ns) > self._capacity_ns:
            self._clear_frames()
        self._clear_grid()

    def _begin_anew(self, stamp_ns: int, samples: np.ndarray) -> None:
        """Forget both streams and begin with this chunk."""
        self.stats.restarts += 1
        self._clear_audio()
        self._clear_frames()
        self._clear_grid()
        self.add_audio(stamp_ns, samples)


def _nearest(stamps: list, start_ns: int, length_ns: int, numerator: int, denominator: int) -> int:
    """
    Find the stamp nearest to ``start + length * numerator / denominator``, the earlier on a tie.

    :return: its index in ``stamps``, which are sorted and at least one.
    """
    # Everything is multiplied by the denominator, so that a target between two nanoseconds
    # stays exact.
    target = start_ns * denominator + length_ns * numerator
    after = bisect_left(stamps, -(-target // denominator))
    if after == len(stamps):
        return after - 1
    if after and target - stamps[after - 1] * denominator <= stamps[after] * denominator - target:
        return after - 1
    return after
