"""
Charts of the report as coordinates; ``templates/parts.html`` draws them as SVG.

No plotting library is used: the page must stay one file that loads nothing and runs no script,
and its style sheet gives the charts their colours, light or dark. plotly and altair draw with
JavaScript, and an SVG of matplotlib has fixed colours. Styles are classes of the style sheet:
``s0`` to ``s5`` are the colours of the models.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

COLOURS = 6  # that can be told apart
_TICKS = 5  # steps between the ends of an axis


@dataclass(frozen=True)
class Bar:
    """A bar of a histogram: its style and its rectangle in pixels."""

    style: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Chart:
    """
    A chart with two axes, all in pixels of its view box.

    :param title: text for those who cannot see the chart.
    :param across: title of the horizontal axis.
    :param up: title of the vertical axis.
    :param top: value at the upper end of the vertical axis; the horizontal one ends at 1.
    :param lines: style, and the points as SVG writes them.
    :param diagonal: whether to draw the line from corner to corner: guessing.
    """

    WIDTH: ClassVar[int] = 400
    HEIGHT: ClassVar[int] = 290
    LEFT: ClassVar[int] = 54  # borders of the plot area
    RIGHT: ClassVar[int] = 386
    TOP: ClassVar[int] = 10
    BOTTOM: ClassVar[int] = 250

    title: str
    across: str
    up: str
    top: float = 1.0
    lines: tuple[tuple[str, str], ...] = ()
    bars: tuple[Bar, ...] = ()
    diagonal: bool = False

    @property
    def ticks_across(self) -> list[tuple[float, str]]:
        """Position in pixels and label of each tick."""
        return [(_x(k / _TICKS), f'{k / _TICKS:.1f}') for k in range(_TICKS + 1)]

    @property
    def ticks_up(self) -> list[tuple[float, str]]:
        """Position in pixels and label of each tick."""
        decimals = 1 if self.top >= 1 else 2
        return [
            (_y(k / _TICKS), f'{k / _TICKS * self.top:.{decimals}f}') for k in range(_TICKS + 1)
        ]


def _x(value: float) -> float:
    return round(Chart.LEFT + value * (Chart.RIGHT - Chart.LEFT), 1)


def _y(value: float) -> float:
    return round(Chart.BOTTOM - value * (Chart.BOTTOM - Chart.TOP), 1)


def line_chart(
    title: str,
    series: Sequence[tuple[int, np.ndarray, np.ndarray]],
    across: str,
    up: str,
    diagonal: bool = False,
) -> Chart:
    """
    Lines in the unit square.

    :param series: number of the colour, x and y, each (n,) from 0 to 1.
    """
    lines = tuple(
        (f's{number % COLOURS}', ' '.join(f'{_x(a)},{_y(b)}' for a, b in zip(x, y)))
        for number, x, y in series
    )
    return Chart(title, across, up, lines=lines, diagonal=diagonal)


def histogram(
    title: str, series: Sequence[tuple[str, np.ndarray]], across: str, bins: int = 20
) -> Chart:
    """
    Histograms of several series in one chart, each as shares of its own total.

    :param series: style, and (n,) values from 0 to 1.
    """
    shares = [
        (style, np.histogram(values, bins, (0, 1))[0] / max(1, len(values)))
        for style, values in series
    ]
    highest = max(float(share.max()) for _, share in shares)
    top = next(end for end in (0.1, 0.2, 0.5, 1.0) if highest <= end)  # fifths are round numbers
    bars = []
    for style, share in shares:
        for k in np.flatnonzero(share):
            left, right, high = _x(k / bins), _x((k + 1) / bins), _y(share[k] / top)
            bars.append(
                Bar(style, left, high, round(right - left, 1), round(Chart.BOTTOM - high, 1))
            )
    return Chart(title, across, 'share of frames', top, bars=tuple(bars))


@dataclass(frozen=True)
class Waveform:
    """
    Sound over time, and bars below it where something sounds; in pixels of its view box.

    :param title: text for those who cannot see it.
    :param path: of the wave, as SVG writes paths.
    :param bars: where something sounds: in view (``sounding``) or out of view (``unseen``).
    :param seconds: positions of whole seconds between the ends.
    """

    WIDTH: ClassVar[int] = 640
    HEIGHT: ClassVar[int] = 88
    WAVE: ClassVar[int] = 60  # height of the wave itself

    title: str
    path: str
    bars: tuple[Bar, ...]
    seconds: tuple[float, ...]


_COLUMNS = 160  # of a waveform, each a line
_BAR, _BAR_STEP = 10, 12  # height of the bars below a wave, and from one row of them to the next
_QUIET = 0.1  # amplitude below which a wave is not stretched to full height: noise stays small


def waveform(
    title: str, audio: np.ndarray, seconds: float, spans: Sequence[tuple[str, float, float]]
) -> Waveform:
    """
    Draw a sound.

    :param audio: (n,) float, -1 to 1, all of ``seconds``.
    :param spans: ``sounding`` or ``unseen``, start and end in seconds from the first sample.
    """
    edges = np.linspace(0, len(audio), _COLUMNS + 1).astype(int)
    levels = np.array([np.abs(audio[a:b]).max(initial=0) for a, b in zip(edges, edges[1:])])
    levels = levels / max(_QUIET, float(levels.max(initial=0)))
    middle, step = Waveform.WAVE / 2, Waveform.WIDTH / _COLUMNS
    path = ''.join(
        f'M{step * (k + 0.5):.0f} {middle - high:.1f}V{middle + high:.1f}'
        for k, high in enumerate(np.maximum(1, levels * middle))
    )
    scale = Waveform.WIDTH / seconds
    bars = tuple(
        Bar(
            style,
            round(first * scale, 1),
            Waveform.WAVE + 4 + _BAR_STEP * (style == 'unseen'),
            round((last - first) * scale, 1),
            _BAR,
        )
        for style, first, last in spans
    )
    ticks = tuple(round(second * scale, 1) for second in range(1, round(seconds)))
    return Waveform(title, path, bars, ticks)
