"""A bounded memory of samples by the time at which they were heard."""

import numpy as np


class SlotBuffer:
    """
    The newest samples, each in its slot, with holes between them.

    The memory is twice the capacity. When its end is reached, the newer half is moved to the
    front. So writing a sample costs the same, however the samples are chunked.

    :param capacity: most samples that are held.
    :ivar stop: slot after the newest sample; None while nothing was written.
    """

    def __init__(self, capacity: int):
        self._capacity = capacity
        self._memory = np.zeros(2 * capacity, np.float32)
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._base = 0  # slot at memory[0]
        self.stop: int | None = None
        # [first slot, slot after the last] of samples without a hole, in order, never empty.
        self._runs: list[list[int]] = []

    @property
    def first(self) -> int | None:
        """Slot of the oldest sample that is held; None if none is."""
        return self._runs[0][0] if self._runs else None

    def write(self, slot: int, samples: np.ndarray) -> None:
        """
        Write samples from a slot on.

        Slots from ``stop`` to ``slot`` become a hole. Of a chunk longer than the capacity only
        the last samples are written; the caller has to ``forget`` what was held before those.

        :param slot: of the first sample, at least ``stop``.
        :param samples: (n,) float32.
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
        Forget the samples before a slot.

        :return: how many were forgotten.
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
        Copy slots; holes become zeros.

        :param slot: first slot to copy.
        :param count: how many slots.
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
