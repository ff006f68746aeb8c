"""
Sound that belongs to no object: wind, hum, crowd and rain, and the echo of a room.

The paper leaves ambient sounds out of what is to be localized (section 1); here they are what
the sounds of objects have to be heard through.
"""

import numpy as np
from scipy.signal import butter, fftconvolve, sosfilt

from avsol_ros.streams.windows import SAMPLE_RATE
from avsol_ros.training.synthetic.sounds import noise


def _slow(rng, n: int, rate: float) -> np.ndarray:
    """A random level between 0 and 1 that changes about ``rate`` times a second."""
    knots = rng.random(max(2, round(n / SAMPLE_RATE * rate) + 2))
    return np.interp(np.arange(n), np.linspace(0, n, len(knots)), knots)


def _wind(rng, n):
    low = sosfilt(
        butter(2, rng.uniform(200, 700), fs=SAMPLE_RATE, output='sos'), rng.standard_normal(n)
    )
    return low * (0.2 + _slow(rng, n, 1.5) ** 2)


def _hum(rng, n):
    t, base = np.arange(n) / SAMPLE_RATE, rng.uniform(85, 140)
    tones = sum(np.sin(2 * np.pi * base * k * t + rng.uniform(0, 6)) / k for k in (1, 2, 3, 5))
    return tones + 0.3 * noise(rng, n)


def _crowd(rng, n):
    """Many voices at once: bands of speech, each rising and falling at the pace of syllables."""
    white, out = rng.standard_normal(n), 0
    for low in (250, 500, 900, 1600, 2600):
        band = butter(2, [low, 1.7 * low], 'bandpass', fs=SAMPLE_RATE, output='sos')
        out = out + sosfilt(band, white) * (0.15 + _slow(rng, n, 6) ** 2) * (400 / low) ** 0.5
    return out


def _rain(rng, n):
    drops = rng.standard_normal(n) * (rng.random(n) < 0.02)
    return sosfilt(
        butter(1, [1500, 7000], 'bandpass', fs=SAMPLE_RATE, output='sos'),
        drops + 0.05 * rng.standard_normal(n),
    )


AMBIENCES = {'wind': _wind, 'hum': _hum, 'crowd': _crowd, 'rain': _rain}


def render_ambience(rng: np.random.Generator, n: int) -> np.ndarray:
    """One kind of ambient sound, drawn at random: (n,) float32 with RMS 1."""
    wave = AMBIENCES[list(AMBIENCES)[rng.integers(len(AMBIENCES))]](rng, n)
    return (wave / max(1e-9, np.sqrt(np.mean(wave**2)))).astype(np.float32)


def draw_room(rng: np.random.Generator) -> np.ndarray:
    """
    Impulse response of a room, the direct sound first; (m,) float32.

    Echo decays by 60 dB in 0.15 to 0.6 s and holds 5 to 14 dB less energy than the direct sound.
    """
    decay = rng.uniform(0.15, 0.6)
    t = np.arange(round(decay * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(t)) * 10 ** (-3 * t / decay)
    tail[: round(rng.uniform(0.003, 0.02) * SAMPLE_RATE)] = 0
    tail *= 10 ** (rng.uniform(-14, -5) / 20) / np.sqrt((tail**2).sum())
    tail[0] = 1
    return tail.astype(np.float32)


def reverberate(samples: np.ndarray, room: np.ndarray) -> np.ndarray:
    """The samples heard in a room; as much longer as the room rings."""
    return fftconvolve(samples, room).astype(np.float32)
