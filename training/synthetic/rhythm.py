"""
Rhythm: sounds and movements that share their strokes.

In the scenes of `hard` every object has a rhythm of its own, whatever its category, and each
stroke that is heard also moves it. So which of two objects of equal look sounds can be found, but
only by comparing movement with sound over time.
"""

import numpy as np
from scipy.signal import butter, sosfilt

from avsol_ros.streams.windows import SAMPLE_RATE
from avsol_ros.training.synthetic.sounds import DRIVE_RATE, STRUCK, VOICES, Voiced, finish

RISE = 0.04  # seconds before a stroke at which the movement towards it starts
HOLD = 0.06  # seconds for which the pose of a stroke stands; half a frame at 8 per second
FALL = 0.10  # seconds in which it then falls to 1 / e


def draw_onsets(
    rng: np.random.Generator, duration: float, period: float, first: float, jitter: float = 0.15
) -> np.ndarray:
    """
    Times of strokes, in seconds.

    :param period: mean seconds between two strokes.
    :param first: the first stroke comes before this time.
    :param jitter: standard deviation of the intervals, as a share of the period.
    """
    steps = period * np.maximum(
        0.5, 1 + jitter * rng.standard_normal(int(2 * duration / period) + 2)
    )
    times = rng.uniform(0, first) + np.concatenate([[0], np.cumsum(steps)])
    return times[times < max(duration - 0.06, first)]


def stroke_drive(onsets: np.ndarray, duration: float) -> np.ndarray:
    """
    The movement that belongs to strokes: up before each, a short stand, and back.

    :returns: (m,) float32 at DRIVE_RATE, 0 to 1.
    """
    t = np.arange(round(duration * DRIVE_RATE)) / DRIVE_RATE
    since = t[:, None] - np.atleast_1d(onsets)
    rise = np.clip(1 + since / RISE, 0, 1)
    fall = np.exp(-np.maximum(0, since - HOLD) / FALL)
    return (rise * fall).max(1, initial=0).astype(np.float32)


def _bursts(onsets: np.ndarray, n: int) -> np.ndarray:
    """Loudness of a voice that has no strokes of its own, at SAMPLE_RATE, 0 to 1."""
    length = round(0.7 * SAMPLE_RATE)
    t = np.arange(length) / SAMPLE_RATE
    shape = np.minimum(1, t / 0.008) * np.exp(-np.maximum(0, t - 0.08) / 0.07)
    out = np.full(n, 0.02)
    for onset in onsets:
        start = round(onset * SAMPLE_RATE)
        part = out[start : start + length]
        np.maximum(part, shape[: len(part)], out=part)
    return out


def render_beat(
    category: str, pitch: float, onsets: np.ndarray, duration: float, rng: np.random.Generator
) -> Voiced:
    """
    A voice of a category, or of :data:`UNKNOWN_VOICES`, that sounds at the strokes given.

    :param pitch: 0..1, the object's own pitch.
    :param onsets: seconds, ascending.
    """
    n = round(duration * SAMPLE_RATE)
    if category in STRUCK:
        samples = VOICES[category](rng, pitch, duration, onsets)[0]
    else:
        steady = (
            UNKNOWN_VOICES[category](rng, pitch, n)
            if category in UNKNOWN_VOICES
            else VOICES[category](rng, pitch, duration)[0]
        )
        samples = steady * _bursts(onsets, n)
    return Voiced(finish(samples), stroke_drive(onsets, duration))


def _filtered(rng, n, low, high):
    sos = butter(2, [low, high], 'bandpass', fs=SAMPLE_RATE, output='sos')
    return sosfilt(sos, rng.standard_normal(n))


def _speech(rng, p, n):
    t = np.arange(n) / SAMPLE_RATE
    pitch = (95 + 110 * p) * (1 + 0.08 * np.sin(2 * np.pi * 1.3 * t + rng.uniform(0, 6)))
    pulses = np.maximum(0, np.cos(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE)) ** 20
    formants = [(500, 800), (1100, 1600), (2300, 2900)]
    return sum(
        sosfilt(butter(2, band, 'bandpass', fs=SAMPLE_RATE, output='sos'), pulses) / k
        for k, band in enumerate(formants, 1)
    )


def _whistle(rng, p, n):
    t = np.arange(n) / SAMPLE_RATE
    tone = 1300 + 900 * p + 25 * np.sin(2 * np.pi * 6 * t)
    return np.sin(2 * np.pi * np.cumsum(tone) / SAMPLE_RATE)


def _knock(rng, p, n):
    return _filtered(rng, n, 180 + 150 * p, 500 + 300 * p)


def _crackle(rng, p, n):
    return _filtered(rng, n, 900, 5000) * (rng.random(n) < 0.004 + 0.01 * p)


# Voices of things that are never in view and of no category.
UNKNOWN_VOICES = {'speech': _speech, 'whistle': _whistle, 'knock': _knock, 'crackle': _crackle}
