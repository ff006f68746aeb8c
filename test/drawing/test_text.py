"""Text in pictures: names of films may hold any letters."""

import numpy as np
import pytest

from avsol_ros.drawing.text import drawable, put_text


@pytest.mark.parametrize(
    ('text', 'ascii_only'),
    [('Böse Füße', 'Bose Fu?e'), ('Bo\u0308se', 'Bose'), ('日本 1', '?? 1'), ('\udcff', '?')],
)
def test_letters_that_opencv_4_lacks_lose_their_accents_or_become_question_marks(text, ascii_only):
    assert drawable(text, all_letters=False) == ascii_only


def test_accents_join_their_letters_where_opencv_has_all():
    assert drawable('Bo\u0308se \u65e5', all_letters=True) == 'Böse 日'
    assert drawable('a\udcff', all_letters=True) == 'a?'


def test_any_text_can_be_written():
    picture = np.zeros((40, 300, 3), np.uint8)
    put_text(picture, 'Bo\u0308se 日本 \udcff', 5, 30, 15.0, (255, 255, 255), 290)
    assert picture.any()
