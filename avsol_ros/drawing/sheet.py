"""Contact sheets: pictures in rows, each with its caption."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from avsol_ros.drawing.palette import DARK, GREY, PANEL, WHITE
from avsol_ros.drawing.shapes import draw_frame
from avsol_ros.drawing.text import put_text, text_width


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
    sheet[:] = DARK
    y = gap
    if title:
        put_text(
            sheet,
            title,
            gap,
            y + round(1.9 * head_text),
            head_text,
            WHITE,
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
        sheet[y : y + caption_height, x : x + tile_width] = PANEL
        mark = marks[index] if index < len(marks) else None
        indent = 0
        if mark is not None:
            indent = round(0.6 * text)
            sheet[y : y + caption_height, x : x + indent] = mark
        for row, line in enumerate(captions[index].split('\n')):
            put_text(
                sheet,
                line,
                x + indent + gap,
                y + round((1.9 * row + 2.0) * text),
                text,
                GREY if row else WHITE,
                tile_width - indent - 2 * gap,
            )
    return sheet


def _draw_legend(
    sheet: np.ndarray, legend: Sequence[tuple[tuple, str]], x: int, baseline: int, size: float
) -> None:
    for color, meaning in legend:
        side = round(size)
        draw_frame(
            sheet,
            (x, baseline - side, x + round(1.6 * size), baseline),
            color,
            max(2, round(size / 4)),
        )
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
