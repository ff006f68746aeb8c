"""Write text into pictures, in OpenCV's own letters."""

import unicodedata

import cv2
import numpy as np

_FONT = cv2.FONT_HERSHEY_SIMPLEX
# OpenCV 4 has no other letters than those of ASCII.
_HAS_ALL_LETTERS = int(cv2.__version__.partition('.')[0]) >= 5
# Height in pixels of a capital letter at font scale 1.
_CAP_HEIGHT = cv2.getTextSize('H', _FONT, 1.0, 1)[0][1]


def letter_size(height: int, width: int) -> float:
    """Return the size of letters for an image of that size, in pixels."""
    return min(max(13.0, 0.034 * min(height, width)), 64.0)


def text_width(text: str, size: float, bold: bool = False) -> int:
    """Return the width of a text with capitals of ``size`` pixels, in pixels."""
    text = drawable(text)
    return cv2.getTextSize(text, _FONT, size / _CAP_HEIGHT, _stroke(size, bold))[0][0]


def drawable(text: str, all_letters: bool = _HAS_ALL_LETTERS) -> str:
    """
    Return the text in letters that OpenCV has.

    :param all_letters: false for ASCII only, as OpenCV 4 has it: an accent is left out, and any
        other letter beyond ASCII becomes a question mark.
    """
    if all_letters:  # file names of macOS have accents as signs of their own
        return unicodedata.normalize('NFC', text).encode('utf-8', 'replace').decode()
    letters = (
        sign for sign in unicodedata.normalize('NFD', text) if not unicodedata.combining(sign)
    )
    return ''.join(letters).encode('ascii', 'replace').decode()


def _stroke(size: float, bold: bool) -> int:
    return max(1, round(size / (8.0 if bold else 9.5)))


def put_text(
    picture: np.ndarray,
    text: str,
    x: float,
    baseline: float,
    size: float,
    color: tuple,
    width: int,
    bold: bool = False,
) -> None:
    """
    Write a line of text.

    :param picture: (H, W, 3) uint8 RGB, changed in place.
    :param text: OpenCV 4 writes letters beyond ASCII as :func:`drawable` tells.
    :param x: where it begins, in pixels.
    :param baseline: row on which the letters stand.
    :param size: height of the capitals, in pixels; smaller where the text would exceed ``width``.
    :param color: RGB.
    :param width: room that there is, in pixels.
    """
    text = drawable(text)
    needed = text_width(text, size, bold)
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
