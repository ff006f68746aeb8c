"""
Charts of the report, drawn as SVG: lines, histograms, and sound.

They stand in the page itself, so its style sheet gives them their colours, light or dark:
``s0`` to ``s5`` are the colours of the models.
"""

from collections.abc import Sequence
from html import escape

import numpy as np

COLOURS = 6  # that can be told apart
_WIDTH, _HEIGHT = 400, 290
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 14, 10, 40


def line_chart(
    title: str,
    series: Sequence[tuple[int, np.ndarray, np.ndarray]],
    across: str,
    up: str,
    chance: bool = False,
) -> str:
    """
    Lines in the unit square.

    :param title: for those who cannot see the chart.
    :param series: number of the colour, x and y, each (n,) from 0 to 1.
    :param chance: draw the diagonal.
    """
    parts = [_axes(across, up, 1.0)]
    if chance:
        parts.append(
            f'<path class="chance" d="M{_x(0):.1f} {_y(0):.1f}L{_x(1):.1f} {_y(1):.1f}"/>'
        )
    for number, x, y in series:
        points = ' '.join(f'{_x(a):.1f},{_y(b):.1f}' for a, b in zip(x, y))
        parts.append(f'<polyline class="line s{number % COLOURS}" points="{points}"/>')
    return _svg(title, parts)


def histogram(
    title: str, series: Sequence[tuple[str, np.ndarray]], across: str, bins: int = 20
) -> str:
    """
    Shares of values, for each series of its own total.

    :param series: class of the style sheet, and (n,) values from 0 to 1.
    """
    shares = [
        (style, np.histogram(values, bins, (0, 1))[0] / max(1, len(values)))
        for style, values in series
    ]
    highest = max(float(share.max()) for _, share in shares)
    top = next(end for end in (0.1, 0.2, 0.5, 1.0) if highest <= end)  # fifths are round numbers
    parts = [_axes(across, 'share of frames', top)]
    for style, share in shares:
        for k, value in enumerate(share):
            if value > 0:
                left, right = _x(k / bins), _x((k + 1) / bins)
                high = _y(value / top)
                parts.append(
                    f'<rect class="bar {style}" x="{left:.1f}" y="{high:.1f}" '
                    f'width="{right - left:.1f}" height="{_y(0) - high:.1f}"/>'
                )
    return _svg(title, parts)


def _x(value: float) -> float:
    return _LEFT + value * (_WIDTH - _LEFT - _RIGHT)


def _y(value: float) -> float:
    return _HEIGHT - _BOTTOM - value * (_HEIGHT - _TOP - _BOTTOM)


def _axes(across: str, up: str, top: float) -> str:
    """:param top: value at the upper end of the axis that goes up."""
    out = []
    for k in range(6):
        place = k / 5
        out.append(
            f'<path class="grid" d="M{_x(place):.1f} {_y(0):.1f}V{_y(1):.1f}'
            f'M{_x(0):.1f} {_y(place):.1f}H{_x(1):.1f}"/>'
        )
        out.append(
            f'<text x="{_x(place):.1f}" y="{_y(0) + 16:.1f}" text-anchor="middle">'
            f'{place:.1f}</text>'
        )
        out.append(
            f'<text x="{_x(0) - 6:.1f}" y="{_y(place) + 4:.1f}" text-anchor="end">'
            f'{place * top:.{1 if top >= 1 else 2}f}</text>'
        )
    middle = (_y(0) + _y(1)) / 2
    out.append(
        f'<text x="{_x(0.5):.1f}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(across)}</text>'
    )
    out.append(
        f'<text transform="translate(12 {middle:.1f}) rotate(-90)" '
        f'text-anchor="middle">{escape(up)}</text>'
    )
    return ''.join(out)


def _svg(title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(title)}"><title>{escape(title)}</title>{"".join(parts)}</svg>'
    )


def waveform(
    title: str,
    audio: np.ndarray,
    seconds: float,
    spans: Sequence[tuple[str, float, float]],
    start: float = 0,
    columns: int = 160,
) -> str:
    """
    Sound over time, and below it when something sounds.

    :param audio: (n,) float, -1 to 1, all of ``seconds``.
    :param spans: class of the style sheet (``sounding``, ``unseen``), start and end in seconds
        from the first sample.
    :param start: what the axis calls the first sample.
    """
    edges = np.linspace(0, len(audio), columns + 1).astype(int)
    high = np.array([np.abs(audio[a:b]).max(initial=0) for a, b in zip(edges, edges[1:])])
    high = high / max(0.1, float(high.max(initial=0)))  # noise stays small
    width, wave, lane = 4 * columns, 60, 10
    bars = ''.join(
        f'M{4 * k + 2} {wave / 2 - max(1, h * wave / 2):.1f}V{wave / 2 + max(1, h * wave / 2):.1f}'
        for k, h in enumerate(high)
    )
    out = [f'<path class="wave" d="{bars}"/>']
    for style, first, last in spans:
        y = wave + 4 + (lane + 2) * (style == 'unseen')
        out.append(
            f'<rect class="{style}" x="{first / seconds * width:.1f}" y="{y}" '
            f'width="{(last - first) / seconds * width:.1f}" height="{lane}"/>'
        )
    ticks = range(1, round(seconds)) if seconds >= 2 else ()
    for tick in ticks:
        out.append(f'<path class="grid" d="M{tick / seconds * width:.1f} 0V{wave}"/>')
    height = wave + 2 * (lane + 2) + 4
    return (
        f'<svg class="sound" viewBox="0 0 {width} {height}" preserveAspectRatio="none" '
        f'role="img" aria-label="{escape(title)}"><title>{escape(title)}</title>'
        f'{"".join(out)}</svg>'
    )


def precision_at_recall(heat: np.ndarray, masks: np.ndarray, recalls: np.ndarray) -> np.ndarray:
    """
    Precision where each recall is first reached, of frames that share a map (eq. 1, 2).

    Equal values are one threshold.

    :param heat: (H, W).
    :param masks: (K, H, W) bool, none of them empty.
    :param recalls: (R,) rising, in (0, 1].
    :returns: (K, R) float64.
    """
    order = np.argsort(heat, axis=None, kind='stable')[::-1]  # radix sort of 16-bit levels
    values = heat.ravel()[order]
    last = np.append(np.flatnonzero(np.diff(values)), len(values) - 1)
    out = np.empty((len(masks), len(recalls)))
    for row, mask in zip(out, masks):
        hits = mask.ravel()[order].cumsum()[last]
        first = np.searchsorted(hits, np.ceil(recalls * hits[-1] - 1e-9))
        row[:] = hits[first] / (last[first] + 1)
    return out


def roc(positive: np.ndarray, negative: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """
    How well a level tells two kinds apart, over all thresholds.

    :param positive: (n,) levels of what should be high.
    :param negative: (m,) levels of the others.
    :returns: false and true positive rates from 0 to 1, and the area under them.
    """
    levels = np.unique(np.concatenate([positive, negative]))[::-1]
    rates = [
        np.concatenate([[0.0], 1 - np.searchsorted(np.sort(side), levels) / len(side)])
        for side in (negative, positive)
    ]
    wrong, right = rates
    return wrong, right, float(np.sum(np.diff(wrong) * (right[1:] + right[:-1]) / 2))
