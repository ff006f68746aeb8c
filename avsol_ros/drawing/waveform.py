"""Draw sound as a strip: its waveform, the window that was localized, the seconds."""

import math
from collections.abc import Callable

import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.drawing.palette import FOUND, GREY, PANEL, PANEL_WINDOW, WAVE, WHITE
from avsol_ros.drawing.text import put_text, text_width

# The strip shows at least this peak, so that noise does not look like an event.
_WAVE_FULL_SCALE = 0.1


def draw_waveform(
    audio: np.ndarray,
    height: int,
    width: int,
    start_ns: int = 0,
    sample_rate: int = 16_000,
    window: tuple[int, int] | None = None,
    time_ns: int | None = None,
) -> np.ndarray:
    """
    Draw sound as a strip with the window marked and the seconds below.

    :param audio: (n,) float [-1, 1].
    :param height: of the strip in pixels.
    :param width: of the strip in pixels.
    :param start_ns: time of the first sample.
    :param sample_rate: in Hz.
    :param window: its start and end, in nanoseconds.
    :param time_ns: time of the picture above, where a line is drawn.
    :return: (height, width, 3) uint8 RGB.
    """
    strip = np.empty((height, width, 3), np.uint8)
    strip[:] = PANEL
    duration = max(len(audio), 1) * NANOSECONDS / sample_rate

    def column(time: float) -> int:
        return round((time - start_ns) / duration * width)

    inside = np.zeros(width, bool)
    if window is not None:
        left, right = (min(max(column(t), 0), width) for t in window)
        inside[left:right] = True
        strip[:, left:right] = PANEL_WINDOW
    text_height = min(max(9.0, height * 0.16), 24.0)
    wave_height = height - round(1.7 * text_height)
    low, high = _envelope(audio, width)
    scale = 0.46 * wave_height / max(_WAVE_FULL_SCALE, np.abs(low).max(), np.abs(high).max())
    middle = wave_height / 2
    tops = np.floor(middle - high * scale).astype(int)
    bottoms = np.maximum(np.ceil(middle - low * scale).astype(int), tops + 1)
    rows = np.arange(height)[:, None]
    wave = (rows >= tops) & (rows < bottoms)
    strip[wave & ~inside] = WAVE
    strip[wave & inside] = FOUND
    _draw_seconds(strip, start_ns, duration, text_height, column)
    line = max(1, height // 50)
    if window is not None and right > left:
        for edge in (left, right - line):
            if 0 <= edge < width:
                strip[:, edge : edge + line] = FOUND
        strip[:line, left:right] = FOUND
    if time_ns is not None and 0 <= column(time_ns) < width:
        now = column(time_ns)
        strip[:wave_height, now : now + line] = WHITE
    return strip


def strip_height(height: int, width: int) -> int:
    """Height in pixels of the waveform strip below an image of that size; even."""
    return 2 * round(max(44.0, 0.145 * min(height, width)) / 2)


def _envelope(audio: np.ndarray, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest sample of each column; zeros where there is no sound."""
    audio = np.asarray(audio, np.float32)
    if len(audio) == 0:
        return np.zeros(columns), np.zeros(columns)
    edges = np.arange(columns + 1) * len(audio) // columns
    starts = np.minimum(edges[:-1], len(audio) - 1)
    return np.minimum.reduceat(audio, starts), np.maximum.reduceat(audio, starts)


def _draw_seconds(
    strip: np.ndarray,
    start_ns: int,
    duration: float,
    size: float,
    column: Callable[[float], int],
) -> None:
    """
    Write the time below the waveform, as often as there is room.

    :param duration: of the strip, in nanoseconds.
    :param size: height of the letters, in pixels.
    :param column: gives the column of a time.
    """
    height, width = strip.shape[:2]
    baseline = round(height - 0.45 * size)
    room = 6.5 * size / width * duration / NANOSECONDS
    step = next((s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60) if s >= room), 120)
    first = math.ceil(start_ns / NANOSECONDS / step - 1e-9)
    last = math.floor((start_ns + duration) / NANOSECONDS / step + 1e-9)
    for index in range(first, last + 1):
        x = column(index * step * NANOSECONDS)
        text = f'{index * step:g} s'
        label_width = text_width(text, 0.75 * size)
        left = min(max(x - label_width // 2, 2), width - label_width - 2)
        put_text(strip, text, left, baseline, 0.75 * size, GREY, width)
        strip[height - round(1.7 * size) : height - round(1.45 * size), max(x - 1, 0) : x + 1] = (
            GREY
        )
