"""
Average precision of one map against many masks: exact, from one sort.

Only the order of the values counts, so each becomes an integer of the same order; the labels of
all masks go into the bits below it. One plain sort of integers, which numpy does with wide
vector instructions, then replaces an indirect sort per mask. scikit-learn sorts by index and
gathers for every frame.
"""

import numpy as np

LABELS = 32  # masks that are sorted together at most


def average_precisions(heat: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """
    Area under precision over recall as a step function, one threshold for each distinct value.

    :param heat: (n,) float32 or float64, finite.
    :param masks: (K, n) bool.
    :returns: (K,) float64, 0 to 1; NaN where a mask is empty.
    """
    together = min(len(masks), LABELS)
    keys, bits = _ordered(heat, together)
    if bits + together > 64:
        # Ranks need no more bits than there are pixels.
        keys = np.unique(keys, return_inverse=True)[1].reshape(-1)
        bits = int(keys.max()).bit_length()
    word = np.uint32 if bits + together <= 32 else np.uint64
    areas = [
        _share_one_sort(keys, masks[first : first + LABELS], word)
        for first in range(0, len(masks), LABELS)
    ]
    return np.concatenate(areas) if areas else np.empty(0)


def _ordered(heat: np.ndarray, labels: int) -> tuple[np.ndarray, int]:
    """Return unsigned integers in the order of floats, and how many bits they use."""
    ends = np.array([heat.min(), heat.max()])
    if ends[0] <= 0:
        heat, ends = heat + 0, ends + 0  # -0 becomes 0: they are one threshold
    nearest = np.abs(heat).min() if ends[0] < 0 else None
    keys = _monotone(heat, nearest)
    low, high = map(int, _monotone(ends, nearest))
    if high.bit_length() + labels > 32:
        keys, high = keys - keys.dtype.type(low), high - low
    return keys, high.bit_length()


def _monotone(values: np.ndarray, nearest: np.floating | None) -> np.ndarray:
    """
    Return the bits of floats, where some are negative so changed that they keep the order.

    :param nearest: None where none is negative, else the smallest magnitude of all values. Half
        of all floats lie below 1e-19 in magnitude, so without this gap keys of both signs would
        hardly ever leave room for a label in 32 bits.
    """
    bits = values.view(f'u{values.itemsize}')
    if nearest is None:
        return bits
    # Larger bits mean smaller negative numbers: flip all of them, and of others the sign.
    sign = (values.view(f'i{values.itemsize}') >> (8 * values.itemsize - 1)).view(bits.dtype)
    keys = bits ^ (sign | bits.dtype.type(1 << (8 * values.itemsize - 1)))
    gap = nearest.view(bits.dtype)
    keys += sign & bits.dtype.type(2 * int(gap))
    keys -= gap
    return keys


def _share_one_sort(keys: np.ndarray, masks: np.ndarray, word: type) -> np.ndarray:
    count = len(masks)
    narrow = next(f'u{size}' for size in (1, 2, 4) if count <= 8 * size)
    labels = masks[0].astype(narrow)
    for k in range(1, count):
        labels |= masks[k].astype(narrow) << np.array(k, narrow)
    packed = keys.astype(word)
    packed <<= word(count)
    packed |= labels
    packed.sort()
    labels = packed.astype(narrow)
    packed >>= word(count)
    tied = np.empty(len(packed), bool)  # has the value of the one before
    tied[0] = False
    np.equal(packed[1:], packed[:-1], out=tied[1:])
    return np.array(
        [_area((labels & np.array(1 << k, narrow)) != 0, tied, packed) for k in range(count)]
    )


def _area(truth: np.ndarray, tied: np.ndarray, values: np.ndarray) -> float:
    """
    Average precision of one mask: the mean precision at its pixels.

    A threshold takes everything from the first pixel of its value on.

    :param truth: (n,) bool, the mask in ascending order of heat.
    :param tied: (n,) bool: has the value of the one before.
    :param values: (n,) in ascending order.
    """
    places = np.flatnonzero(truth)
    if not len(places):
        return float('nan')
    late = np.flatnonzero(tied[places])
    if len(late) > len(truth) // 16:
        starts = np.flatnonzero(~tied)
        before = np.cumsum(truth, dtype=np.int32)[starts] - truth[starts]
        hits = len(places) - before
        gained = np.diff(before, append=len(places))
        return float(gained @ (hits / (len(truth) - starts)) / len(places))
    # Few ties, as in live maps: only their pixels need a search, which is ten times faster.
    start, before = places.copy(), np.arange(len(places))
    if len(late):
        start[late] = np.searchsorted(values, values[places[late]])
        before[late] = np.searchsorted(places, start[late])
    return float(((len(places) - before) / (len(truth) - start)).mean())
