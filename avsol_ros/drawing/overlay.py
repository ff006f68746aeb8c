"""
Pictures that show a localization: where it sounds, what it is, how sure, and the sound itself.

Everything is drawn with OpenCV's own shapes and letters and scales with the picture. Images are
(H, W, 3) uint8 RGB.
"""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from avsol_ros.drawing.heat_colours import draw_heatmap
from avsol_ros.drawing.palette import (
    FOUND,
    GREY,
    TRUTH_OUT_OF_VIEW,
    TRUTH_SILENT,
    TRUTH_SOUNDING,
    WAVE,
    WHITE,
)
from avsol_ros.drawing.shapes import draw_box, draw_frame, draw_label, shade
from avsol_ros.drawing.text import letter_size, put_text, text_width
from avsol_ros.drawing.waveform import draw_waveform, strip_height
from avsol_ros.localization import UNNAMED, Box, Localization, WindowResult, visible_heat

# Pixels a side to which a model's map is stretched before it is smoothed to the image.
_ALIGNED = 64


def draw_localization(
    image: np.ndarray,
    localization: Localization | WindowResult | None,
    boxes: Sequence[Box],
    audio: np.ndarray | None = None,
    truth: Sequence[Mapping] = (),
    *,
    audio_start_ns: int | None = None,
    sample_rate: int = 16_000,
    time_ns: int | None = None,
    zero_ns: int = 0,
) -> np.ndarray:
    """
    Draw what was found into a copy of the image.

    Heat lies over what sounds, and boxes with class and class score around it. A caption along the
    upper edge says it in words, and shows the AVC probability or that the model has none. With
    sound, a strip below the picture shows the waveform with the window marked.

    The class score is that of the window, not of the box alone. Messages carry the same, so that
    live and recorded pictures agree. It is not the strength of the box on the map, ``Box.score``.

    :param image: (H, W, 3) uint8 RGB.
    :param localization: of the window; None while none is known.
    :param boxes: the boxes found in it; empty means that nothing in view sounds. Boxes without a
        class are labelled 'sounding object'.
    :param audio: (n,) float32 mono [-1, 1] for the strip; None draws no strip.
    :param truth: annotated objects: mappings with ``box`` (x0, y0, x1, y1 in pixels, or None),
        ``sounding``, ``out_of_view`` and ``category``. Green is sounding, magenta in view but
        silent, a red frame sounds out of view.
    :param audio_start_ns: time of the first sample; by default ``audio`` is the window itself.
    :param sample_rate: of ``audio``, in Hz.
    :param time_ns: time of the image; draws a line there in the strip.
    :param zero_ns: time from which the strip counts its seconds.
    :return: (H, W, 3) uint8 RGB, or (H + strip_height(H, W), W, 3) with sound.
    """
    height, width = image.shape[:2]
    unit = letter_size(height, width)
    caption_height = round(2.2 * unit)
    picture = _draw_heat(image, localization)
    annotated = _in_view(truth)
    for item, color in annotated:
        draw_box(picture, tuple(item['box']), color, max(2, round(unit / 7)))
    for box in boxes[::-1]:
        draw_box(picture, box, FOUND, max(2, round(unit / 6)))
    # Labels come after all boxes, so that no line crosses them.
    for item, color in annotated:
        if item.get('category'):
            draw_label(
                picture, str(item['category']), tuple(item['box']), color, 0.5 * unit, below=True
            )
    for box in boxes[::-1]:
        label = f'{box.class_name or UNNAMED} {class_score(localization, box):.2f}'
        draw_label(picture, label, box, FOUND, 0.66 * unit, top=caption_height)
    _draw_caption(picture, localization, boxes, unit, caption_height)
    if any(item.get('out_of_view') and item.get('sounding') for item in truth):
        draw_frame(
            picture, (0, 0, width - 1, height - 1), TRUTH_OUT_OF_VIEW, max(3, round(unit / 3.5))
        )
    if audio is None:
        return picture
    window = None
    if localization is not None:
        window = (localization.start_ns - zero_ns, localization.end_ns - zero_ns)
    if audio_start_ns is not None:
        strip_start_ns = audio_start_ns - zero_ns
    else:
        strip_start_ns = window[0] if window else 0
    strip = draw_waveform(
        audio,
        strip_height(height, width),
        width,
        strip_start_ns,
        sample_rate,
        window,
        None if time_ns is None else time_ns - zero_ns,
    )
    return np.vstack([picture, strip])


def class_score(localization: Localization | WindowResult | None, box: Box) -> float:
    """Score [0, 1] of the box's class in the window; the box's own where that is not known."""
    if localization is None:
        return float(box.class_score)
    if isinstance(localization, WindowResult):
        scores = localization.class_scores
    else:
        scores = dict(zip(localization.class_names, localization.class_scores))
    return float(scores.get(box.class_name, box.class_score))


def _draw_heat(image: np.ndarray, localization: Localization | WindowResult | None) -> np.ndarray:
    """Return a copy of the image with the heat of the localization, if there is one."""
    if localization is None:
        return np.array(image, copy=True)
    heatmap = localization.heatmap
    if isinstance(localization, Localization) and localization.first_centre is not None:
        # The cells of a model's map are not those of the image; a recorded map is aligned already.
        heatmap = localization.heatmap_at(_ALIGNED, _ALIGNED)
    return draw_heatmap(image, visible_heat(heatmap, localization.avc))


def _in_view(truth: Sequence[Mapping]) -> list[tuple[Mapping, tuple]]:
    """Annotated objects in view, with their colours; those that sound come last, so on top."""
    shown = [item for item in truth if item.get('box') is not None and not item.get('out_of_view')]
    return [
        (item, TRUTH_SOUNDING if item.get('sounding') else TRUTH_SILENT)
        for item in sorted(shown, key=lambda item: bool(item.get('sounding')))
    ]


def _draw_caption(
    picture: np.ndarray,
    localization: Localization | WindowResult | None,
    boxes: Sequence[Box],
    unit: float,
    height: int,
) -> None:
    """Say in words what sounds, and show the AVC probability as a bar, along the upper edge."""
    width = picture.shape[1]
    size = 0.7 * unit
    margin = round(0.7 * unit)
    baseline = round(height / 2 + size / 2)
    shade(picture, 0, 0, width, height, 0.62)
    if localization is None:
        put_text(
            picture,
            'waiting for the first window',
            margin,
            baseline,
            size,
            GREY,
            width - 2 * margin,
        )
        return
    room = _draw_avc(picture, localization.avc, bool(boxes), unit, baseline) - 2 * margin
    if boxes:
        dot = round(0.42 * size)
        cv2.circle(picture, (margin + dot, round(height / 2)), dot, FOUND, -1, cv2.LINE_AA)
        indent = margin + round(1.6 * size)
        put_text(
            picture,
            _in_words(localization, boxes),
            indent,
            baseline,
            size,
            WHITE,
            room - indent + margin,
            bold=True,
        )
    else:
        text = 'no place stands out' if localization.avc is None else 'nothing in view sounds'
        put_text(picture, text, margin, baseline, size, GREY, room)


def _draw_avc(
    picture: np.ndarray, avc: float | None, found: bool, unit: float, baseline: int
) -> int:
    """
    Show the AVC probability on the right, or that the model has none.

    :param found: whether something was found, which colours the bar.
    :return: x at which that begins, in pixels.
    """
    width = picture.shape[1]
    size = 0.7 * unit
    right = width - round(0.7 * unit)
    if avc is None:
        x = right - text_width('no AVC', size)
        put_text(picture, 'no AVC', x, baseline, size, GREY, width)
        return x
    avc = min(max(float(avc), 0.0), 1.0)
    bar_width = round(min(0.16 * width, 9 * unit))
    gap = round(0.4 * unit)
    x = right - text_width('0.00', size)
    put_text(picture, f'{avc:.2f}', x, baseline, size, WHITE, width)
    bar_x = x - gap - bar_width
    top = round(baseline - size)
    picture[top:baseline, bar_x : bar_x + bar_width] = WAVE
    picture[top:baseline, bar_x : bar_x + round(avc * bar_width)] = FOUND if found else GREY
    x = bar_x - gap - text_width('AVC', size)
    put_text(picture, 'AVC', x, baseline, size, GREY, width)
    return x


def _in_words(localization: Localization | WindowResult, boxes: Sequence[Box]) -> str:
    """Name the classes of the boxes, each once, with its best score."""
    best: dict[str, float] = {}
    for box in boxes:
        name, score = box.class_name or UNNAMED, class_score(localization, box)
        best[name] = max(best.get(name, 0.0), score)
    what = ', '.join(f'{name} {score:.2f}' for name, score in best.items())
    if localization.avc is None:
        return f'if anything sounds: {what}'
    return f'sounding: {what}' if boxes[0].class_name else what
