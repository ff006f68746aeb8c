"""
Contact sheets: pictures in rows, each with its caption.

:class:`LocalizationSheet` makes one of localized frames; :func:`contact_sheet` of any pictures.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from avsol_ros.drawing.overlay import class_score, draw_localization
from avsol_ros.drawing.palette import (
    DARK,
    FOUND,
    GREY,
    PANEL,
    TRUTH_OUT_OF_VIEW,
    TRUTH_SILENT,
    TRUTH_SOUNDING,
    WHITE,
)
from avsol_ros.drawing.shapes import draw_frame
from avsol_ros.drawing.text import put_text, text_width
from avsol_ros.localization import UNNAMED, Box, Localization, WindowResult

# A sheet with more pictures is no overview any more.
MOST_TILES = 40
_LANDSCAPE_WIDTH, _LANDSCAPE_COLUMNS = 400, 5
_PORTRAIT_WIDTH, _PORTRAIT_COLUMNS = 300, 7
_FOUND_LEGEND = ((FOUND, 'found: class, class score'),)
_TRUTH_LEGEND = (
    (TRUTH_SOUNDING, 'truth: sounding'),
    (TRUTH_SILENT, 'truth: in view, silent'),
    (TRUTH_OUT_OF_VIEW, 'truth: sounds out of view'),
)


@dataclass(frozen=True, eq=False)
class _Tile:
    picture: np.ndarray
    caption: str
    mark: tuple | None


class LocalizationSheet:
    """
    Localized frames as tiles of a contact sheet, each under what was found in it.

    Frames are drawn at the size of a tile, so that the letters can be read, and only tiles are
    kept in memory. Where more frames come than a sheet shows, tiles are chosen evenly: every
    second frame, every third, and so on.

    :param expected: frames that will come, roughly; 0 when that is not known. When at least twice
        ``most`` tiles are there, every second of them is dropped.
    :param most: tiles that a sheet shows, of the expected frames.
    """

    def __init__(self, expected: int = 0, most: int = MOST_TILES):
        self._step = max(1, math.ceil(expected / most))
        self._most = most
        self._frames = 0
        self._tiles: list[_Tile] = []
        self._is_portrait = False
        self._has_truth = False

    def __len__(self) -> int:
        """Count the tiles."""
        return len(self._tiles)

    def add(
        self,
        image: np.ndarray,
        localization: Localization | WindowResult | None,
        boxes: Sequence[Box],
        caption: str,
        truth: Sequence[Mapping] | None = None,
        mark: tuple | None = None,
        source_width: int | None = None,
        **sound: Any,
    ) -> None:
        """
        Take the next frame; draw it if it is one of those that the sheet shows.

        :param image: (H, W, 3) uint8 RGB, of any size.
        :param localization: as ``draw_localization`` takes it, or None.
        :param boxes: those found in the frame, in pixels of the image.
        :param caption: text below the tile, such as that of ``tile_caption``.
        :param truth: annotated objects, as ``draw_localization`` takes them, in pixels of the
            image; empty where nothing is in view, None where no annotation is known.
        :param mark: RGB colour of a bar beside the caption, such as ``palette.HIT``.
        :param source_width: width of the frame in whose pixels boxes and truth are, where
            ``image`` is that frame made smaller.
        :param sound: ``audio`` and what ``draw_localization`` takes with it, for a strip.
        """
        self._frames += 1
        if (self._frames - 1) % self._step:
            return
        height, width = image.shape[:2]
        if not self._tiles:
            self._is_portrait = is_portrait(height, width)
        size = tile_size(height, width)
        if (height, width) != size:
            image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
        scale = size[1] / (source_width or width)
        self._has_truth |= truth is not None
        scaled_truth = [
            {**item, 'box': item['box'] and [v * scale for v in item['box']]}
            for item in truth or ()
        ]
        picture = draw_localization(
            image,
            localization,
            [box.scaled(scale) for box in boxes],
            truth=scaled_truth,
            **sound,
        )
        self._tiles.append(_Tile(picture, caption, mark))
        if len(self._tiles) >= 2 * self._most:
            del self._tiles[1::2]
            self._step *= 2

    def draw(self, title: str) -> np.ndarray:
        """
        Set the tiles in rows.

        :param title: a line above.
        :return: (H, W, 3) uint8 RGB.
        :raises ValueError: when no frame came.
        """
        return contact_sheet(
            [tile.picture for tile in self._tiles],
            [tile.caption for tile in self._tiles],
            _PORTRAIT_COLUMNS if self._is_portrait else _LANDSCAPE_COLUMNS,
            title,
            [tile.mark for tile in self._tiles],
            _FOUND_LEGEND + (_TRUTH_LEGEND if self._has_truth else ()),
            _PORTRAIT_WIDTH if self._is_portrait else _LANDSCAPE_WIDTH,
        )


def tile_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of the tile for an image of that size, in pixels."""
    tile_width = _PORTRAIT_WIDTH if is_portrait(height, width) else _LANDSCAPE_WIDTH
    return max(1, round(tile_width / width * height)), tile_width


def is_portrait(height: int, width: int) -> bool:
    """Whether an image is so much higher than wide that its tiles are narrower."""
    return height > 1.2 * width


def tile_caption(
    when: str, localization: Localization | WindowResult | None, boxes: Sequence[Box]
) -> str:
    """
    Say what was found, in two lines.

    :param when: time of the window, such as ``3 - 4 s``.
    :param localization: Localization or WindowResult of the window; None if there is none.
    :param boxes: found in it, the strongest first.
    """
    if localization is None:
        return f'{when}\nnot localized'
    found = 'nothing'
    if boxes:
        found = f'{boxes[0].class_name or UNNAMED} {class_score(localization, boxes[0]):.2f}'
    avc = 'no AVC' if localization.avc is None else f'AVC {localization.avc:.2f}'
    return f'{when}\nfound {found}, {avc}'


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

    :param pictures: (H, W, 3) uint8 RGB each, of any sizes.
    :param captions: one text for each picture; a line break starts a second line.
    :param columns: pictures in a row.
    :param title: a line above.
    :param marks: an RGB colour, or None, for each picture: a bar beside its caption.
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
    title_height = round(4.2 * text) if title else 0
    head = title_height + (round(2.6 * text) if legend else 0)
    width = columns * (tile_width + gap) + gap
    sheet = np.empty((head + rows * cell_height + gap, width, 3), np.uint8)
    sheet[:] = DARK
    if title:
        baseline = gap + round(2.85 * text)
        put_text(sheet, title, gap, baseline, 1.5 * text, WHITE, width - 2 * gap, bold=True)
    if legend:
        _draw_legend(sheet, legend, gap, gap + title_height + round(1.3 * text), text)
    for index, tile in enumerate(tiles):
        left = gap + index % columns * (tile_width + gap)
        top = head + gap + index // columns * cell_height
        sheet[top : top + len(tile), left : left + tile_width] = tile
        top += tile_height
        panel = sheet[top : top + caption_height, left : left + tile_width]
        mark = marks[index] if index < len(marks) else None
        _draw_caption(panel, captions[index], mark, gap, text)
    return sheet


def _draw_caption(
    panel: np.ndarray, caption: str, mark: tuple | None, gap: int, size: float
) -> None:
    """Fill the panel below a tile."""
    panel[:] = PANEL
    indent = gap
    if mark is not None:
        bar = round(0.6 * size)
        panel[:, :bar] = mark
        indent += bar
    room = panel.shape[1] - indent - gap
    for row, line in enumerate(caption.split('\n')):
        color = GREY if row else WHITE
        put_text(panel, line, indent, round((1.9 * row + 2.0) * size), size, color, room)


def _draw_legend(
    sheet: np.ndarray, legend: Sequence[tuple[tuple, str]], x: int, baseline: int, size: float
) -> None:
    """Draw a rectangle of each colour, and after it what the colour means."""
    for color, meaning in legend:
        corners = (x, baseline - round(size), x + round(1.6 * size), baseline)
        draw_frame(sheet, corners, color, max(2, round(size / 4)))
        x += round(2.4 * size)
        put_text(sheet, meaning, x, baseline, 0.9 * size, GREY, sheet.shape[1] - x)
        x += text_width(meaning, 0.9 * size) + round(2.2 * size)


def _resize_to_width(picture: np.ndarray, width: int) -> np.ndarray:
    if picture.shape[1] == width:
        return picture
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    shrink = width < picture.shape[1]
    return cv2.resize(
        picture, (width, height), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
    )
