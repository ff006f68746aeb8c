"""
Maps made from a part of the truth: they show how hard a benchmark is, and what makes it hard.

Each rule gives one heatmap per window. A model that uses no more than the rule cannot be better.
"""

import cv2
import numpy as np

from avsol_ros.streams.windows import SAMPLE_RATE
from avsol_ros.training.annotations.window_truth import LABELLED, lasting_categories
from avsol_ros.training.synthetic.rhythm import stroke_drive
from avsol_ros.training.synthetic.sounds import DRIVE_RATE
from avsol_ros.training.synthetic.window_set import WindowSet

_HOP = SAMPLE_RATE // 100
_CROP = 24  # pixels; side of the square to which objects are brought


def onset_cue(audio: np.ndarray, frames: int) -> np.ndarray:
    """
    What movement would go with a sound, by its onsets alone.

    :param audio: (SAMPLE_RATE,) int16.
    :returns: (frames,) float64 at the times of the frames of a window.
    """
    wave = np.pad(audio / 32768, (_HOP, 2 * _HOP))
    cut = np.lib.stride_tricks.sliding_window_view(wave, 3 * _HOP)[::_HOP]
    level = np.abs(np.fft.rfft(cut * np.hanning(3 * _HOP), axis=1))
    # 16 bands, the higher the wider; of noise a band has less by chance than a single line.
    edges = np.unique(np.round(np.geomspace(4, level.shape[1], 17)).astype(int))
    level = np.sqrt(np.add.reduceat(level, edges[:-1], axis=1))
    rise = np.maximum(0, level[2:] - level[:-2]).sum(1)
    rise = np.pad(rise, 1)
    # One stroke, from 0.05 s before its onset on, laid at every rise of the sound.
    stroke = stroke_drive(np.array([0.05]), 0.5)[:: DRIVE_RATE // 100]
    cue = np.convolve(rise - np.median(rise), stroke)[5:]
    return np.interp((np.arange(frames) + 0.5) / frames, np.arange(len(cue)) / 100, cue)


def movement(frames: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """
    How far an object is from its usual look, frame by frame, measured on pixels.

    :param frames: (T, S, S, 3) uint8.
    :param boxes: (K, 4) the object's boxes, at equal steps over the window, in pixels. Only
        their sizes and their straight path are used, so that they give no stroke away.
    :returns: (T,) float64.
    """
    times = (np.arange(len(boxes)) + 0.5) / len(boxes)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = 0.65 * np.median(boxes[:, 2:] - boxes[:, :2], axis=0)
    slope, start = np.polyfit(times, centres, 1)
    crops = []
    for k, frame in enumerate(frames):
        centre = start + slope * (k + 0.5) / len(frames)
        scale = 2 * half / _CROP
        matrix = np.array([[scale[0], 0, centre[0] - half[0]], [0, scale[1], centre[1] - half[1]]])
        crops.append(
            cv2.warpAffine(
                frame,
                matrix,
                (_CROP, _CROP),
                borderMode=cv2.BORDER_REPLICATE,
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            )
        )
    crops = np.stack(crops).astype(np.float64)
    crops *= 128 / crops.mean((1, 2, 3), keepdims=True).clip(1)
    # A stroke is over in less than half of the time between two, so the median shows the rest.
    return np.abs(crops - np.median(crops, axis=0)).mean((1, 2, 3))


def agreement(frames: np.ndarray, audio: np.ndarray, truth) -> dict[int, float]:
    """Correlation, -1 to 1, of each object's movement with the onsets heard, by its track."""
    cue = onset_cue(audio, len(frames))
    return {
        track: _correlation(movement(frames, boxes), cue) for track, boxes in _paths(truth).items()
    }


def _paths(truth) -> dict[int, np.ndarray]:
    tracks = {}
    for objects in truth:
        for thing in objects:
            if thing.box:
                tracks.setdefault(thing.track, []).append(thing.box)
    return {track: np.array(boxes) for track, boxes in tracks.items()}


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(), b - b.mean()
    norm = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norm) if norm > 1e-9 else 0.0


def _painted(truth, size: int, heat: dict[int, float]) -> np.ndarray:
    """The objects' boxes in the middle of the window, filled with their heat, more inside."""
    out = np.zeros((size, size), np.float32)
    for thing in truth[len(truth) // 2]:
        if thing.box and heat.get(thing.track, 0) > 0:
            x0, y0, x1, y1 = np.round(thing.box).astype(int)
            part = out[y0:y1, x0:x1]
            rows, columns = (np.abs(np.linspace(-1, 1, n)) for n in part.shape)
            # Flat but for 1 %, so that the peak is in the middle.
            fill = heat[thing.track] * (1 - 0.01 * np.maximum(rows[:, None], columns))
            np.maximum(part, fill, out=part)
    return out


def _heard(truth) -> frozenset[str]:
    """Categories that sound, seen or unseen, for a good part of a window."""
    return lasting_categories([{o.category for o in objects if o.sounding} for objects in truth])


def _right_category(frames, audio, truth) -> np.ndarray:
    heard = _heard(truth)
    heat = {o.track: 1.0 for o in truth[0] if o.category in heard}
    return _painted(truth, frames.shape[1], heat)


def _in_time(frames, audio, truth) -> np.ndarray:
    heat = {track: max(0.0, value) for track, value in agreement(frames, audio, truth).items()}
    return _painted(truth, frames.shape[1], heat)


def _both(frames, audio, truth) -> np.ndarray:
    heard = _heard(truth)
    found = agreement(frames, audio, truth)
    heat = {
        o.track: 0.1 + max(0.0, found.get(o.track, 0)) for o in truth[0] if o.category in heard
    }
    return _painted(truth, frames.shape[1], heat)


def _moves_most(frames, audio, truth) -> np.ndarray:
    change = np.abs(np.diff(frames.astype(np.float32), axis=0)).mean((0, 3))
    return cv2.GaussianBlur(change, (0, 0), frames.shape[1] / 20) / 255


def _truth(frames, audio, truth) -> np.ndarray:
    counts = {}
    for objects in truth:
        for thing in objects:
            counts[thing.track] = counts.get(thing.track, 0) + thing.sounding / len(truth)
    return _painted(truth, frames.shape[1], counts)


def _anything(frames, audio, truth) -> np.ndarray:
    return _painted(truth, frames.shape[1], {o.track: 1.0 for o in truth[0]})


ORACLES = {
    'moves most': _moves_most,
    'any object': _anything,
    'right category': _right_category,
    'in time with the sound': _in_time,
    'right category, in time': _both,
    'truth of the window': _truth,
}


def oracle_maps(name: str, windows: WindowSet) -> np.ndarray:
    """
    Maps of one of :data:`ORACLES`.

    :returns: (n, size, size) float32, 0 to about 1.
    """
    rule = ORACLES[name]
    return np.stack([rule(*parts) for parts in zip(windows.frames, windows.audio, windows.truth)])


def twins_told_apart(windows: WindowSet) -> np.ndarray:
    """
    Whether synchrony tells who sounds, for each window with a look-alike.

    :returns: (m,) bool: the movement of an object that sounds agrees better with the sound than
        that of each silent one of its category.
    """
    told = []
    for i in np.flatnonzero(windows.facts['lookalike']):
        truth = windows.truth[i]
        found = agreement(windows.frames[i], windows.audio[i], truth)
        categories = {o.track: o.category for o in truth[0]}
        for category in set(categories.values()):
            tracks = [track for track in found if categories[track] == category]
            shares = {track: _sounding_share(track, truth) for track in tracks}
            loud = [found[track] for track in tracks if shares[track] >= LABELLED]
            quiet = [found[track] for track in tracks if shares[track] == 0]
            if loud and quiet:
                told.append(max(loud) > max(quiet))
    return np.array(told, bool)


def _sounding_share(track: int, truth) -> float:
    """In how many of the frames it sounds."""
    return sum(o.sounding for objects in truth for o in objects if o.track == track) / len(truth)
