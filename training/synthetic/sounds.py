"""
Things that can be heard in a synthetic scene: the voice of each category.

A voice has a sound and a drive: the movement that a camera sees while it sounds. Struck and
plucked things shake with every stroke; a transformer hums and stands still.
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, lfilter, sosfilt

from avsol_ros.streams.windows import SAMPLE_RATE

DRIVE_RATE = 200  # Hz


@dataclass(frozen=True, eq=False)
class Voiced:
    """
    :param samples: (n,) float32 at SAMPLE_RATE, peak about 1.
    :param drive: (m,) float32 at DRIVE_RATE, -1..1; what moves the object.
    """

    samples: np.ndarray
    drive: np.ndarray


def _time(duration: float, rate: int = SAMPLE_RATE) -> np.ndarray:
    return np.arange(round(duration * rate)) / rate


def _onsets(rng, duration: float, rate: float, jitter: float = 0.12) -> np.ndarray:
    """Times of strokes: the first soon after the start, then about ``rate`` a second."""
    steps = (1 + jitter * rng.standard_normal(int(duration * rate * 1.5) + 2)) / rate
    times = rng.uniform(0, 0.08) + np.concatenate([[0], np.cumsum(np.maximum(steps, 0.04))])
    return times[times < duration]


def _strokes(duration, onsets, shot, rate=SAMPLE_RATE) -> np.ndarray:
    """Lay one copy of ``shot(i)`` at each onset; later strokes ring on top of earlier ones."""
    out = np.zeros(round(duration * rate), np.float32)
    for i, onset in enumerate(onsets):
        start = round(onset * rate)
        piece = shot(i)[: len(out) - start]
        out[start : start + len(piece)] += piece
    return out


def _shake(duration, onsets, frequency, decay) -> np.ndarray:
    """Damped oscillation after each stroke, at DRIVE_RATE."""
    t = _time(4 / decay, DRIVE_RATE)
    wave = np.cos(2 * np.pi * frequency * t) * np.exp(-decay * t)
    return np.clip(_strokes(duration, onsets, lambda i: wave, DRIVE_RATE), -1, 1)


def _still(duration) -> np.ndarray:
    return np.zeros(round(duration * DRIVE_RATE), np.float32)


def _band(rng, n, low, high) -> np.ndarray:
    sos = butter(2, [low, high], 'bandpass', fs=SAMPLE_RATE, output='sos')
    return sosfilt(sos, rng.standard_normal(n))


def _bell(rng, p, duration, onsets=None):
    onsets = onsets if onsets is not None else _onsets(rng, duration, 1.2 + 1.2 * p)
    base = 500 * 2 ** (1.2 * p)
    t = _time(1.5)
    ratios, weights = (0.5, 1, 1.19, 1.5, 2, 2.74, 3.76), (0.5, 1, 0.6, 0.4, 0.6, 0.4, 0.25)
    shot = sum(
        w * np.sin(2 * np.pi * base * r * t) * np.exp(-(2 + 1.2 * r) * t)
        for r, w in zip(ratios, weights)
    )
    return _strokes(duration, onsets, lambda i: shot), _shake(duration, onsets, 4, 3)


def _guitar(rng, p, duration, onsets=None):
    onsets = onsets if onsets is not None else _onsets(rng, duration, 2 + 2 * p)
    notes = 110 * 2 ** (p + np.array([0, 3, 5, 7, 10, 12]) / 12)

    def pluck(i):  # Karplus and Strong: a noise burst round a low-pass delay line
        period = round(SAMPLE_RATE / notes[rng.integers(len(notes))])
        burst = np.zeros(SAMPLE_RATE)
        burst[:period] = rng.uniform(-1, 1, period)
        loop = np.zeros(period + 2)
        loop[0], loop[period], loop[period + 1] = 1, -0.4975, -0.4975
        return lfilter([1.0], loop, burst)

    return _strokes(duration, onsets, pluck), _shake(duration, onsets, 12, 7)


def _engine(rng, p, duration):
    t = _time(duration)
    rate = 28 + 40 * p
    phase = 2 * np.pi * np.cumsum(rate * (1 + 0.04 * np.sin(2 * np.pi * 0.7 * t))) / SAMPLE_RATE
    pulses = np.maximum(np.cos(phase), 0) ** 12
    wave = pulses * (1 + 0.6 * rng.standard_normal(len(t)))
    wave = sosfilt(butter(2, 1400, fs=SAMPLE_RATE, output='sos'), wave)
    drive = rng.uniform(-1, 1, round(duration * DRIVE_RATE))
    return wave, drive


def _bird(rng, p, duration, onsets=None):
    onsets = onsets if onsets is not None else _onsets(rng, duration, 3 + 3 * p)
    t = _time(0.11)
    window = np.sin(np.pi * t / t[-1])

    def chirp(i):
        low, high = 2200 + 900 * p, 3600 + 1600 * p
        f = low + (high - low) * (t / t[-1] if rng.random() < 0.7 else 1 - t / t[-1])
        return window * np.sin(2 * np.pi * np.cumsum(f) / SAMPLE_RATE)

    hop = np.sin(np.pi * np.clip(_time(0.16, DRIVE_RATE) / 0.16, 0, 1))
    return (
        _strokes(duration, onsets, chirp),
        np.clip(_strokes(duration, onsets, lambda i: hop, DRIVE_RATE), 0, 1),
    )


def _drum(rng, p, duration, onsets=None):
    onsets = onsets if onsets is not None else _onsets(rng, duration, 2 + 2.5 * p)
    t = _time(0.35)
    tone = np.sin(2 * np.pi * (70 + 80 * p) * (1 + 0.5 * np.exp(-30 * t)) * t) * np.exp(-12 * t)

    def hit(i):
        return tone + 0.5 * rng.standard_normal(len(t)) * np.exp(-45 * t)

    squash = np.exp(-14 * _time(0.3, DRIVE_RATE))
    return (
        _strokes(duration, onsets, hit),
        np.clip(_strokes(duration, onsets, lambda i: squash, DRIVE_RATE), 0, 1),
    )


def _siren(rng, p, duration):
    t, rate, phase = _time(duration), 0.8 + 1.6 * p, rng.uniform(0, 2 * np.pi)
    f = 950 + 420 * np.sin(2 * np.pi * rate * t + phase)
    wave = np.sin(2 * np.pi * np.cumsum(f) / SAMPLE_RATE)
    return wave + 0.3 * wave**3, np.sin(2 * np.pi * rate * _time(duration, DRIVE_RATE) + phase)


def _flute(rng, p, duration):
    t = _time(duration)
    notes = 392 * 2 ** (0.6 * p + np.array([0, 2, 4, 7, 9]) / 12)
    step = np.floor(t * 2.5 + rng.random()).astype(int)
    f = notes[rng.integers(0, len(notes), step.max() + 1)][step]
    f = f * (1 + 0.012 * np.sin(2 * np.pi * 5.5 * t))
    phase = 2 * np.pi * np.cumsum(f) / SAMPLE_RATE
    wave = np.sin(phase) + 0.35 * np.sin(2 * phase) + 0.12 * np.sin(3 * phase)
    wave = wave + 0.05 * _band(rng, len(t), 1000, 5000)
    sway = np.sin(2 * np.pi * 1.25 * _time(duration, DRIVE_RATE) + rng.uniform(0, 6))
    return wave, sway


def _transformer(rng, p, duration):
    t, base = _time(duration), 50 * (1 + round(p)) * 2 ** (0.1 * p)
    wave = sum(np.sin(2 * np.pi * base * k * t + k) / k**0.7 for k in (1, 2, 3, 4, 6, 8))
    return wave, _still(duration)


def _rattle(rng, p, duration, onsets=None):
    onsets = onsets if onsets is not None else _onsets(rng, duration, 7 + 4 * p, 0.05)
    t = _time(0.08)
    noise = _band(rng, round(duration * SAMPLE_RATE) + len(t), 3500, 7600)
    shape = _strokes(duration, onsets, lambda i: np.exp(-40 * t))
    return noise[: len(shape)] * shape, _shake(duration, onsets, 9 + 3 * p, 9)


def _alarm(rng, p, duration):
    t, rate = _time(duration), 2 + 2.5 * p
    on = (t * rate) % 1 < 0.55
    tone = np.sign(np.sin(2 * np.pi * (1100 + 1000 * p) * t))
    wave = sosfilt(butter(2, 6000, fs=SAMPLE_RATE, output='sos'), tone * on)
    return wave, ((_time(duration, DRIVE_RATE) * rate) % 1 < 0.55).astype(float)


def _clock(rng, p, duration, onsets=None):
    onsets = onsets if onsets is not None else _onsets(rng, duration, 2 + 2 * p, 0.01)
    t = _time(0.03)

    def tick(i):
        f = 2600 if i % 2 else 1900
        return np.sin(2 * np.pi * f * (1 + 0.3 * p) * t) * np.exp(-220 * t)

    steps = np.zeros(round(duration * DRIVE_RATE))
    for onset in onsets:  # the drive is an angle here: it stays where each tick has put it
        steps[round(onset * DRIVE_RATE) :] += 1
    return _strokes(duration, onsets, tick), steps


def _spray(rng, p, duration):
    n = round(duration * SAMPLE_RATE)
    swell = 1 + 0.35 * np.sin(2 * np.pi * (0.8 + p) * np.arange(n) / SAMPLE_RATE)
    return _band(rng, n, 700 + 500 * p, 6800) * swell, _still(duration)


VOICES = {
    'bell': _bell,
    'guitar': _guitar,
    'engine': _engine,
    'bird': _bird,
    'drum': _drum,
    'siren': _siren,
    'flute': _flute,
    'transformer': _transformer,
    'rattle': _rattle,
    'alarm': _alarm,
    'clock': _clock,
    'spray': _spray,
}


# Voices that come in strokes and can be told when these are.
STRUCK = ('bell', 'guitar', 'bird', 'drum', 'rattle', 'clock')


def render_voice(category: str, pitch: float, duration: float, rng: np.random.Generator) -> Voiced:
    """
    Sound and movement of one object for a while.

    :param pitch: 0..1, the object's own pitch and pace.
    :param duration: seconds.
    """
    samples, drive = VOICES[category](rng, pitch, duration)
    return Voiced(finish(samples), np.asarray(drive, np.float32))


def finish(samples: np.ndarray) -> np.ndarray:
    """Peak 1, and 10 ms of fade at both ends against clicks; float32."""
    samples = np.asarray(samples, np.float64)
    samples = samples / max(1e-9, np.abs(samples).max())
    fade = min(len(samples) // 2, SAMPLE_RATE // 100)
    if fade:
        ramp = np.linspace(0, 1, fade)
        samples[:fade] *= ramp
        samples[-fade:] *= ramp[::-1]
    return samples.astype(np.float32)


def noise(rng: np.random.Generator, n: int) -> np.ndarray:
    """Background noise between white and brown, (n,) float32 with RMS 1."""
    white = np.fft.rfft(rng.standard_normal(n))
    slope = np.maximum(np.arange(len(white)), 4.0) ** -rng.uniform(0, 1)
    wave = np.fft.irfft(white * slope, n)
    return (wave / max(1e-9, wave.std())).astype(np.float32)
