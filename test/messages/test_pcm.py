"""Raw PCM bytes of every format become floats."""

import array
import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avsol_ros.errors import AvsolError
from avsol_ros.messages.pcm import pcm_to_float

INTEGERS = {
    '8': (8, 1),
    '16': (16, 2),
    '18': (18, 3),
    '20': (20, 3),
    '24': (24, 3),
    '20_32': (20, 4),
    '24_32': (24, 4),
    '32': (32, 4),
}


def pack(values, kind, bits, size, order):
    """Write integers, given as signed ones, byte by byte."""
    if kind == 'U':
        values = [value + 2 ** (bits - 1) for value in values]
    return b''.join(value.to_bytes(size, order, signed=kind == 'S') for value in values)


@pytest.mark.parametrize('order', ['LE', 'BE'])
@pytest.mark.parametrize('layout', list(INTEGERS))
@pytest.mark.parametrize('kind', ['S', 'U'])
@given(data=st.data(), channels=st.integers(1, 6))
@settings(max_examples=15, deadline=None)
def test_integers_come_back(kind, layout, order, data, channels):
    bits, size = INTEGERS[layout]
    name = f'{kind}{layout}' + ('' if size == 1 else order)
    full = 2 ** (bits - 1)
    frames = data.draw(
        st.lists(
            st.lists(st.integers(-full, full - 1), min_size=channels, max_size=channels),
            max_size=9,
        )
    )
    values = [value for frame in frames for value in frame]
    raw = pack(values, kind, bits, size, 'little' if order == 'LE' else 'big')
    got = pcm_to_float(raw, name, channels)
    assert got.dtype == np.float32 and got.shape == (len(frames), channels)
    want = np.array(values, np.float64).reshape(-1, channels) / full
    if bits <= 24:
        assert np.array_equal(got, want)  # a float32 holds them all
    else:
        assert np.abs(got - want).max(initial=0) <= 2**-25
    assert np.abs(got).max(initial=0) <= 1


@pytest.mark.parametrize(
    'name, code', [('F32LE', '<f'), ('F32BE', '>f'), ('F64LE', '<d'), ('F64BE', '>d')]
)
@given(values=st.lists(st.floats(-1, 1, width=32), max_size=12))
@settings(max_examples=30, deadline=None)
def test_floats_come_back(name, code, values):
    raw = b''.join(struct.pack(code, value) for value in values)
    got = pcm_to_float(raw, name, 1)
    assert got.dtype == np.float32
    assert np.array_equal(got[:, 0], np.array(values, np.float32))


@pytest.mark.parametrize('name, code', [('F32LE', '<f'), ('F64BE', '>d')])
def test_floats_are_limited_and_never_nan(name, code):
    largest = 1e300 if code == '>d' else 1e30
    values = [1.5, -7.0, math.nan, math.inf, -math.inf, largest, 0.25]
    raw = b''.join(struct.pack(code, value) for value in values)
    assert pcm_to_float(raw, name, 1)[:, 0].tolist() == [1, -1, 0, 1, -1, 1, 0.25]


def test_what_lies_above_24_bits_in_32_does_not_count():
    assert pcm_to_float(b'\x00\x00\x40\xff', 'S24_32LE', 1)[0, 0] == 0.5
    assert pcm_to_float(b'\x7f\xc0\x00\x00', 'S24_32BE', 1)[0, 0] == -0.5
    assert pcm_to_float(b'\x00\x00\x34\x12', 'S20_32LE', 1)[0, 0] == 0.5


@pytest.mark.parametrize(
    'wrap',
    [
        bytes,
        bytearray,
        memoryview,
        lambda raw: array.array('B', raw),
        lambda raw: array.array('h', raw),
        lambda raw: np.frombuffer(raw, np.uint8),
    ],
)
def test_every_kind_of_buffer_is_taken(wrap):
    raw = struct.pack('<4h', 16384, -16384, 32767, -32768)
    assert pcm_to_float(wrap(raw), 'S16LE', 2).tolist() == [[0.5, -0.5], [32767 / 32768, -1]]


def test_unknown_format_lists_what_is_taken():
    with pytest.raises(AvsolError) as caught:
        pcm_to_float(b'', 'MP3', 1)
    text = str(caught.value)
    assert "'MP3'" in text and '\n' not in text
    for name in ('S8', 'U8', 'S16LE', 'U16BE', 'S24LE', 'S24_32BE', 'U20_32LE', 'F32LE', 'F64BE'):
        assert name in text


@pytest.mark.parametrize(
    'size, name, channels, unit',
    [(3, 'S16LE', 1, 2), (6, 'S16LE', 2, 4), (8, 'S24LE', 1, 3), (7, 'F64LE', 1, 8)],
)
def test_half_a_sample_frame_is_refused(size, name, channels, unit):
    with pytest.raises(AvsolError, match=f'is {size} bytes; expected a multiple of {unit} '):
        pcm_to_float(bytes(size), name, channels)


@pytest.mark.parametrize('channels', [0, -1, 1.5, None])
def test_channels_are_a_positive_integer(channels):
    with pytest.raises(AvsolError, match='channels'):
        pcm_to_float(b'', 'S16LE', channels)
