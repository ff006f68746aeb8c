"""Samples of decoded frames: those that went in, in every format, and none from other memory."""

from types import SimpleNamespace

import av
import numpy as np
import pytest

from avsol_ros.streams.decoded_audio import frame_samples, to_float32, to_int16

FORMATS = {'u8': 'u1', 's16': 'i2', 's32': 'i4', 'flt': 'f4', 'dbl': 'f8'}
LAYOUTS = {1: 'mono', 2: 'stereo', 6: '5.1', 8: '7.1'}


@pytest.mark.parametrize('channels', LAYOUTS)
@pytest.mark.parametrize('planar', [False, True])
@pytest.mark.parametrize('name', FORMATS)
def test_samples_of_a_frame_are_those_that_went_in(name, planar, channels):
    expected = np.arange(64 * channels).reshape(64, channels).astype(FORMATS[name])
    frame = av.AudioFrame(f'{name}p' if planar else name, LAYOUTS[channels], 64)
    planes = expected.T if planar else expected.reshape(1, -1)
    for plane, samples in zip(frame.planes, planes):
        content = bytearray(plane.buffer_size)  # FFmpeg rounds it up
        content[: samples.nbytes] = samples.tobytes()
        plane.update(bytes(content))
    samples = frame_samples(frame)
    assert samples.dtype == expected.dtype and np.array_equal(samples, expected)


def test_a_frame_that_claims_44_channels_in_planes_is_left_out():
    class Claims:
        format = av.AudioFormat('fltp')
        layout = SimpleNamespace(nb_channels=44)
        samples = 1024

        @property
        def planes(self):
            pytest.fail('reading these ends the process')

    assert frame_samples(Claims()) is None


@pytest.mark.parametrize('kind, full', [('i2', 2**15), ('i4', 2**31), ('f4', 1), ('f8', 1)])
def test_every_type_has_the_same_full_scale(kind, full):
    values = np.array([[-1, -0.5], [0, 0.25]])
    samples = (values * full).astype(kind)
    assert np.array_equal(to_float32(samples), values)
    assert np.array_equal(to_int16(samples), values * 2**15)


def test_floats_beyond_the_full_scale_are_clipped():
    samples = np.array([-3, 3], np.float32)
    assert to_float32(samples).tolist() == [-1, 1]
    assert to_int16(samples).tolist() == [-(2**15), 2**15 - 1]
