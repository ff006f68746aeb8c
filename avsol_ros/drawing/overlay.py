"""
Pictures that show a localization: where it sounds, what it is, how sure, and the sound itself.

Everything is drawn with OpenCV's own shapes and letters and scales with the picture. Images are
(H, W, 3) uint8 RGB.
"""

import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.localization import UNNAMED, visible_heat

# Annotations as in figures 4 to 6 of the paper.
TRUTH_SOUNDING = (60, 220, 70)
TRUTH_SILENT = (235, 60, 235)
TRUTH_OUT_OF_VIEW = (235, 45, 45)
# What was found: away from those three and from the colours of the heat.
FOUND = (0, 215, 255)
HIT = (60, 200, 90)
MISS = (235, 70, 60)

_WHITE = (255, 255, 255)
_GREY = (165, 172, 180)
_DARK = (16, 18, 22)
_PANEL = (24, 27, 33)
_PANEL_WINDOW = (44, 54, 66)
_WAVE = (92, 104, 120)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
# Height in pixels of a capital letter at font scale 1.
_CAP_HEIGHT = cv2.getTextSize('H', _FONT, 1.0, 1)[0][1]
# Below this the heat is the map's floor, not an object: the picture keeps its look there.
_HEAT_FLOOR = 0.1
_HEAT_OPACITY = 0.72
# Quieter sound than this peak is drawn small, instead of making noise look like an event.
_WAVE_FULL_SCALE = 0.1
# Pixels a side on which a map of the model is laid before it is smoothed to the image.
_ALIGNED = 64


def draw_localization(
    image: np.ndarray,
    localization,
    boxes: Sequence,
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

    The heat lies over the picture, the boxes with class and score around what sounds, and a
    caption says it in words beside the AVC probability, or that the model has none. With sound, a
    strip below the picture shows its waveform with the window marked.

    Classes are shown with their score in the window, not in the box alone: that is the one which
    also travels in the messages, so that live and recorded pictures agree.

    :param image: (H, W, 3) uint8 RGB.
    :param localization: the window's Localization (or one whose ``class_scores`` map names to
        scores), or None while none is known.
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
    unit = _unit(height, width)
    if localization is not None:
        heatmap = localization.heatmap
        if getattr(localization, 'first_centre', None) is not None:
            # A map of the model; a recorded one already lies over the image.
            heatmap = localization.heatmap_at(_ALIGNED, _ALIGNED)
        picture = draw_heatmap(image, visible_heat(heatmap, localization.avc))
    else:
        picture = np.array(image, copy=True)
    annotated = _in_view(truth)
    for item, color in annotated:
        _draw_box(picture, tuple(item['box']), color, max(2, round(unit / 7)))
    caption_height = round(2.2 * unit)
    for box in boxes[::-1]:
        _draw_box(picture, box, FOUND, max(2, round(unit / 6)))
    for item, color in annotated:
        if item.get('category'):
            _draw_label(
                picture, str(item['category']), tuple(item['box']), color, 0.5 * unit, below=True
            )
    for box in boxes[::-1]:
        label = f'{box.class_name or UNNAMED} {_class_score(localization, box):.2f}'
        _draw_label(picture, label, box, FOUND, 0.66 * unit, top=caption_height)
    _draw_caption(picture, localization, boxes, unit, caption_height)
    if any(item.get('out_of_view') and item.get('sounding') for item in truth):
        _draw_frame(
            picture, (0, 0, width - 1, height - 1), TRUTH_OUT_OF_VIEW, max(3, round(unit / 3.5))
        )
    if audio is None:
        return picture
    window = None
    if localization is not None:
        window = (localization.start_ns, localization.end_ns)
    if audio_start_ns is None:
        audio_start_ns = window[0] if window else zero_ns
    strip = draw_waveform(
        audio,
        strip_height(height, width),
        width,
        audio_start_ns - zero_ns,
        sample_rate,
        window and (window[0] - zero_ns, window[1] - zero_ns),
        None if time_ns is None else time_ns - zero_ns,
    )
    return np.vstack([picture, strip])


def draw_heatmap(image: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """
    Lay heat over an image; what is cold keeps its look exactly.

    :param image: (H, W, 3) uint8 RGB.
    :param heatmap: (h, w) float [0, 1], of any size.
    :return: (H, W, 3) uint8 RGB, a new array.
    """
    height, width = image.shape[:2]
    levels = np.rint(np.clip(np.nan_to_num(heatmap), 0, 1) * 255).astype(np.uint8)
    # Cubic: the cells of a coarse map would show as stars and creases otherwise.
    levels = cv2.resize(levels, (width, height), interpolation=cv2.INTER_CUBIC)
    opacity = cv2.LUT(levels, _OPACITY)
    return cv2.blendLinear(np.ascontiguousarray(image), _COLORS[levels], 1 - opacity, opacity)


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
    :param time_ns: where to draw the line of the present moment.
    :return: (height, width, 3) uint8 RGB.
    """
    strip = np.empty((height, width, 3), np.uint8)
    strip[:] = _PANEL
    duration = max(len(audio), 1) * NANOSECONDS / sample_rate

    def column(time: float) -> int:
        return round((time - start_ns) / duration * width)

    inside = np.zeros(width, bool)
    if window is not None:
        left, right = (min(max(column(t), 0), width) for t in window)
        inside[left:right] = True
        strip[:, left:right] = _PANEL_WINDOW
    text_height = min(max(9.0, height * 0.16), 24.0)
    wave_height = height - round(1.7 * text_height)
    low, high = _envelope(audio, width)
    scale = 0.46 * wave_height / max(_WAVE_FULL_SCALE, np.abs(low).max(), np.abs(high).max())
    middle = wave_height / 2
    tops = np.floor(middle - high * scale).astype(int)
    bottoms = np.maximum(np.ceil(middle - low * scale).astype(int), tops + 1)
    rows = np.arange(height)[:, None]
    wave = (rows >= tops) & (rows < bottoms)
    strip[wave & ~inside] = _WAVE
    strip[wave & inside] = FOUND
    _draw_seconds(strip, start_ns, duration, text_height, column)
    line = max(1, height // 50)
    if window is not None:
        for edge in (left, right - line):
            if 0 <= edge < width and right > left:
                strip[:, edge : edge + line] = FOUND
        strip[:line, left:right] = FOUND
    if time_ns is not None and 0 <= column(time_ns) < width:
        now = column(time_ns)
        strip[:wave_height, now : now + line] = _WHITE
    return strip


def strip_height(height: int, width: int) -> int:
    """Height in pixels of the waveform strip below an image of that size; even."""
    return 2 * round(max(44.0, 0.145 * min(height, width)) / 2)


def contact_sheet(
    pictures: Sequence[np.ndarray],
    captions: Sequence[str],
    columns: int = 5,
    title: str = '',
    marks: Sequence[tuple | None] = (),
    legend: Sequence[tuple[tuple, str]] = (),
    tile_width: int = 400,
) -> np.ndarray:
    """
    Set pictures in rows, each with its caption below.

    :param pictures: (H, W, 3) uint8 RGB each.
    :param captions: one text for each picture; a line break starts a second line.
    :param columns: pictures in a row.
    :param title: a line above.
    :param marks: one RGB colour, or None, for each picture: drawn beside the caption.
    :param legend: pairs of RGB colour and meaning, shown below the title.
    :param tile_width: width of a picture on the sheet, in pixels.
    :return: (rows, columns, 3) uint8 RGB.
    """
    if len(pictures) != len(captions) or not pictures:
        raise ValueError(f'{len(pictures)} pictures with {len(captions)} captions')
    columns = max(1, min(columns, len(pictures)))
    gap = max(6, tile_width // 36)
    text = max(8.5, tile_width / 34)
    tiles = [_resize_to_width(picture, tile_width) for picture in pictures]
    tile_height = max(len(tile) for tile in tiles)
    lines = max(caption.count('\n') + 1 for caption in captions)
    caption_height = round((1.9 * lines + 1.1) * text)
    cell_height = tile_height + caption_height + gap
    rows = math.ceil(len(tiles) / columns)
    width = columns * (tile_width + gap) + gap
    head_text = 1.5 * text
    head = (round(2.8 * head_text) if title else 0) + (round(2.6 * text) if legend else 0)
    sheet = np.empty((head + rows * cell_height + gap, width, 3), np.uint8)
    sheet[:] = _DARK
    y = gap
    if title:
        _put_text(
            sheet,
            title,
            gap,
            y + round(1.9 * head_text),
            head_text,
            _WHITE,
            width - 2 * gap,
            bold=True,
        )
        y += round(2.8 * head_text)
    if legend:
        _draw_legend(sheet, legend, gap, y + round(1.3 * text), text)
    for index, tile in enumerate(tiles):
        x = gap + index % columns * (tile_width + gap)
        y = head + gap + index // columns * cell_height
        sheet[y : y + len(tile), x : x + tile_width] = tile
        y += tile_height
        sheet[y : y + caption_height, x : x + tile_width] = _PANEL
        mark = marks[index] if index < len(marks) else None
        indent = 0
        if mark is not None:
            indent = round(0.6 * text)
            sheet[y : y + caption_height, x : x + indent] = mark
        for row, line in enumerate(captions[index].split('\n')):
            _put_text(
                sheet,
                line,
                x + indent + gap,
                y + round((1.9 * row + 2.0) * text),
                text,
                _GREY if row else _WHITE,
                tile_width - indent - 2 * gap,
            )
    return sheet


def _heat_tables() -> tuple[np.ndarray, np.ndarray]:
    """RGB colour (256, 3) uint8 and opacity (256,) float32 of each heat level."""
    levels = np.arange(256, dtype=np.uint8)
    # The lowest part of inferno is black, which would read as shadow: begin at violet.
    ramp = np.rint(70 + levels * (185 / 255)).astype(np.uint8)
    colors = cv2.applyColorMap(ramp[:, None], cv2.COLORMAP_INFERNO)[:, 0, ::-1]
    above = np.clip((levels / 255 - _HEAT_FLOOR) / (0.8 - _HEAT_FLOOR), 0, 1)
    opacity = _HEAT_OPACITY * above * above * (3 - 2 * above)
    return np.ascontiguousarray(colors), opacity.astype(np.float32)


_COLORS, _OPACITY = _heat_tables()


def _unit(height: int, width: int) -> float:
    """Size of letters in pixels for an image of that size."""
    return min(max(13.0, 0.034 * min(height, width)), 64.0)


def _text_width(text: str, size: float, bold: bool = False) -> int:
    return cv2.getTextSize(text, _FONT, size / _CAP_HEIGHT, _stroke(size, bold))[0][0]


def _stroke(size: float, bold: bool) -> int:
    return max(1, round(size / (8.0 if bold else 9.5)))


def _put_text(
    picture: np.ndarray,
    text: str,
    x: int,
    baseline: int,
    size: float,
    color: tuple,
    width: int,
    bold: bool = False,
) -> None:
    """Write text with capitals of ``size`` pixels, smaller where it would exceed ``width``."""
    text = text.encode('ascii', 'replace').decode()
    needed = _text_width(text, size, bold)
    if needed > width:
        size *= max(width, 1) / needed
    cv2.putText(
        picture,
        text,
        (round(x), round(baseline)),
        _FONT,
        size / _CAP_HEIGHT,
        color,
        _stroke(size, bold),
        cv2.LINE_AA,
    )


def _shade(picture: np.ndarray, x0: int, y0: int, x1: int, y1: int, opacity: float) -> None:
    """Darken a part of the picture, so that letters can be read on it."""
    part = picture[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
    if part.size:
        dark = np.empty_like(part)
        dark[:] = _DARK
        part[:] = cv2.addWeighted(part, 1 - opacity, dark, opacity, 0)


def _corners(picture: np.ndarray, box) -> tuple[int, int, int, int]:
    """First and last pixel of a half-open box, inside the picture."""
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = box if isinstance(box, (tuple, list)) else (box.x0, box.y0, box.x1, box.y1)
    left, top = min(max(math.floor(x0), 0), width - 1), min(max(math.floor(y0), 0), height - 1)
    return (
        left,
        top,
        max(left, min(math.ceil(x1), width) - 1),
        max(top, min(math.ceil(y1), height) - 1),
    )


def _draw_frame(
    picture: np.ndarray, corners: tuple[int, int, int, int], color: tuple, thickness: int
) -> None:
    """Draw a rectangle whose line lies inside its corners."""
    x0, y0, x1, y1 = corners
    t = max(1, min(thickness, (x1 - x0 + 1) // 2, (y1 - y0 + 1) // 2))
    picture[y0 : y0 + t, x0 : x1 + 1] = color
    picture[y1 - t + 1 : y1 + 1, x0 : x1 + 1] = color
    picture[y0 : y1 + 1, x0 : x0 + t] = color
    picture[y0 : y1 + 1, x1 - t + 1 : x1 + 1] = color


def _draw_box(picture: np.ndarray, box, color: tuple, thickness: int) -> None:
    """Draw a box with a dark line inside, so that it shows on any ground."""
    x0, y0, x1, y1 = _corners(picture, box)
    if min(x1 - x0, y1 - y0) > 4 * thickness:
        inner = (x0 + thickness, y0 + thickness, x1 - thickness, y1 - thickness)
        _draw_frame(picture, inner, _DARK, max(1, thickness // 3))
    _draw_frame(picture, (x0, y0, x1, y1), color, thickness)


def _draw_label(
    picture: np.ndarray,
    text: str,
    box,
    color: tuple,
    size: float,
    top: int = 0,
    below: bool = False,
) -> None:
    """Write on a coloured tag above the box, or inside where there is no room; or below it."""
    height, width = picture.shape[:2]
    x0, y0, _, y1 = _corners(picture, box)
    tag_height = round(2.0 * size)
    tag_width = min(_text_width(text, size) + round(1.2 * size), width)
    x0 = min(x0, width - tag_width)
    if below:
        y = y1 + 1 if y1 + 1 + tag_height <= height else y1 + 1 - tag_height
    else:
        y = y0 - tag_height if y0 - tag_height >= top else max(y0, top)
    y = min(max(y, 0), height - tag_height)
    picture[max(y, 0) : y + tag_height, x0 : x0 + tag_width] = color
    _put_text(
        picture,
        text,
        x0 + 0.6 * size,
        y + round(1.5 * size),
        size,
        _DARK,
        tag_width - round(1.2 * size),
    )


def _in_view(truth: Sequence[Mapping]) -> list[tuple[Mapping, tuple]]:
    """Annotated objects that have a place, and their colours; sounding ones last, so on top."""
    shown = [item for item in truth if item.get('box') is not None and not item.get('out_of_view')]
    return [
        (item, TRUTH_SOUNDING if item.get('sounding') else TRUTH_SILENT)
        for item in sorted(shown, key=lambda item: bool(item.get('sounding')))
    ]


def _draw_caption(
    picture: np.ndarray, localization, boxes: Sequence, unit: float, height: int
) -> None:
    """Say in words what sounds, and show the AVC probability as a bar, along the upper edge."""
    width = picture.shape[1]
    size = 0.7 * unit
    margin = round(0.7 * unit)
    baseline = round(height / 2 + size / 2)
    _shade(picture, 0, 0, width, height, 0.62)
    if localization is None:
        _put_text(
            picture,
            'waiting for the first window',
            margin,
            baseline,
            size,
            _GREY,
            width - 2 * margin,
        )
        return
    room = _draw_avc(picture, localization.avc, bool(boxes), unit, baseline) - 2 * margin
    if boxes:
        dot = round(0.42 * size)
        cv2.circle(picture, (margin + dot, round(height / 2)), dot, FOUND, -1, cv2.LINE_AA)
        indent = margin + round(1.6 * size)
        _put_text(
            picture,
            _in_words(localization, boxes),
            indent,
            baseline,
            size,
            _WHITE,
            room - indent + margin,
            bold=True,
        )
    else:
        text = 'no place stands out' if localization.avc is None else 'nothing in view sounds'
        _put_text(picture, text, margin, baseline, size, _GREY, room)


def _draw_avc(
    picture: np.ndarray, avc: float | None, found: bool, unit: float, baseline: int
) -> int:
    """Show the AVC probability, or that there is none, on the right; where that begins."""
    width = picture.shape[1]
    size = 0.7 * unit
    right = width - round(0.7 * unit)
    if avc is None:
        x = right - _text_width('no AVC', size)
        _put_text(picture, 'no AVC', x, baseline, size, _GREY, width)
        return x
    avc = min(max(float(avc), 0.0), 1.0)
    bar_width = round(min(0.16 * width, 9 * unit))
    gap = round(0.4 * unit)
    x = right - _text_width('0.00', size)
    _put_text(picture, f'{avc:.2f}', x, baseline, size, _WHITE, width)
    bar_x = x - gap - bar_width
    top = round(baseline - size)
    picture[top:baseline, bar_x : bar_x + bar_width] = _WAVE
    picture[top:baseline, bar_x : bar_x + round(avc * bar_width)] = FOUND if found else _GREY
    x = bar_x - gap - _text_width('AVC', size)
    _put_text(picture, 'AVC', x, baseline, size, _GREY, width)
    return x


def _class_score(localization, box) -> float:
    """Score [0, 1] of the box's class in the window; the box's own where that is not known."""
    scores = getattr(localization, 'class_scores', {})
    if not isinstance(scores, Mapping):
        scores = dict(zip(localization.class_names, scores))
    return float(scores.get(box.class_name, box.class_score))


def _in_words(localization, boxes: Sequence) -> str:
    """Say what sounds: classes of the boxes, each once, with its best score."""
    best = {}
    for box in boxes:
        name, score = box.class_name or UNNAMED, _class_score(localization, box)
        best[name] = max(best.get(name, 0.0), score)
    what = ', '.join(f'{name} {score:.2f}' for name, score in best.items())
    if localization.avc is None:
        return f'if anything sounds: {what}'
    return f'sounding: {what}' if boxes[0].class_name else what


def _draw_seconds(strip: np.ndarray, start_ns: int, duration: float, size: float, column) -> None:
    """Write the time below the waveform, as densely as there is room."""
    height, width = strip.shape[:2]
    baseline = round(height - 0.45 * size)
    room = 6.5 * size / width * duration / NANOSECONDS
    step = next((s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60) if s >= room), 120)
    first = math.ceil(start_ns / NANOSECONDS / step - 1e-9)
    last = math.floor((start_ns + duration) / NANOSECONDS / step + 1e-9)
    for index in range(first, last + 1):
        x = column(index * step * NANOSECONDS)
        text = f'{index * step:g} s'
        text_width = _text_width(text, 0.75 * size)
        left = min(max(x - text_width // 2, 2), width - text_width - 2)
        _put_text(strip, text, left, baseline, 0.75 * size, _GREY, width)
        strip[height - round(1.7 * size) : height - round(1.45 * size), max(x - 1, 0) : x + 1] = (
            _GREY
        )


def _draw_legend(
    sheet: np.ndarray, legend: Sequence[tuple[tuple, str]], x: int, baseline: int, size: float
) -> None:
    for color, meaning in legend:
        side = round(size)
        _draw_frame(
            sheet,
            (x, baseline - side, x + round(1.6 * size), baseline),
            color,
            max(2, round(size / 4)),
        )
        x += round(2.4 * size)
        _put_text(sheet, meaning, x, baseline, 0.9 * size, _GREY, sheet.shape[1] - x)
        x += _text_width(meaning, 0.9 * size) + round(2.2 * size)


def _envelope(audio: np.ndarray, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest sample of each column; zeros where there is no sound."""
    audio = np.asarray(audio, np.float32)
    if len(audio) == 0:
        return np.zeros(columns), np.zeros(columns)
    edges = np.arange(columns + 1) * len(audio) // columns
    starts = np.minimum(edges[:-1], len(audio) - 1)
    return np.minimum.reduceat(audio, starts), np.maximum.reduceat(audio, starts)


def _resize_to_width(picture: np.ndarray, width: int) -> np.ndarray:
    if picture.shape[1] == width:
        return picture
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    shrink = width < picture.shape[1]
    return cv2.resize(
        picture, (width, height), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
    )
