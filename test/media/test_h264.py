"""The picture track of films, also where PyAV lacks an encoder."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from films import picture

from avsol_ros.errors import AvsolError
from avsol_ros.media.h264 import H264Track


def film(frames=10, width=160, height=120, **options):
    data = io.BytesIO()
    with av.open(data, 'w', format='mp4') as container:
        track = H264Track(container, width, height, Fraction(25), 90_000, 20, **options)
        for index in range(frames):
            container.mux(track.encode(picture(index, width, height), index * 3600))
        container.mux(track.flush())
    return data.getvalue()


def test_equal_pictures_give_equal_bytes_where_that_is_asked_for():
    assert len({film(50, repeatable=True) for _ in range(3)}) == 1


def test_odd_sizes_get_their_last_column_and_row_twice():
    with av.open(io.BytesIO(film(width=161, height=121))) as container:
        frames = [frame.to_ndarray(format='rgb24') for frame in container.decode(video=0)]
    assert len(frames) == 10 and frames[0].shape == (122, 162, 3)
    assert np.abs(frames[7][:121, :161].astype(int) - picture(7, 161, 121)).mean() < 6


def test_without_any_encoder_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(av, 'codecs_available', {'aac'})
    with pytest.raises(AvsolError, match='has neither .* install the av package'):
        film()
