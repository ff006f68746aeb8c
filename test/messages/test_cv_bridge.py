"""
Pixels are those of cv_bridge, and why it is not called.

Runs where some Python has cv_bridge: that of ROS 2, or Debian's and Ubuntu's python3-cv-bridge
(of ROS 1, from the same sources). It gets the bytes of images and gives its pixels over files,
since it may be no module of this Python, nor fit this NumPy.
"""

import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from avsol_ros.errors import AvsolError
from avsol_ros.messages.images import image_to_rgb

CONVERT = """
import sys
from types import SimpleNamespace

import numpy as np
from cv_bridge import CvBridge

given, found = np.load(sys.argv[1]), {}
for name in given.files:
    encoding, height, width, step, is_bigendian, _ = name.split('/')
    msg = SimpleNamespace(
        encoding=encoding,
        height=int(height),
        width=int(width),
        step=int(step),
        is_bigendian=int(is_bigendian),
        data=given[name].tobytes(),
    )
    try:
        found[name] = np.asarray(CvBridge().imgmsg_to_cv2(msg, desired_encoding='rgb8'))
    except Exception as error:
        found[name] = np.array(str(error))
np.savez(sys.argv[2], **found)
"""

BYTES = {
    **{f'{order}8': size for order, size in (('rgb', 3), ('bgr', 3), ('rgba', 4), ('bgra', 4))},
    **{f'{order}16': size for order, size in (('rgb', 6), ('bgr', 6), ('rgba', 8), ('bgra', 8))},
    **{'mono8': 1, 'mono16': 2, 'yuv422': 2, 'yuv422_yuy2': 2},
    **{f'bayer_{first}8': 1 for first in ('rggb', 'bggr', 'gbrg', 'grbg')},
    **{f'bayer_{first}16': 2 for first in ('rggb', 'bggr', 'gbrg', 'grbg')},
}
SIZES = [(6, 8), (7, 8), (6, 9), (7, 9), (1, 1), (1, 2), (2, 2), (48, 64)]  # height, width
# What else sensor_msgs has names for, with enough bytes a pixel.
OTHERS = 'uyvy yuyv nv21 nv24 8UC1 8UC2 8UC3 8UC4 8SC1 16UC1 16UC3 16SC1 32SC1 32FC1 32FC3 64FC1'


@pytest.fixture(scope='module')
def python():
    """Command of a Python that has cv_bridge, and its version of Python."""
    known = dict.fromkeys([sys.executable, '/usr/bin/python3', shutil.which('python3')])
    probe = 'import cv_bridge, sys; print(*sys.version_info[:2], sep=".")'
    for command in filter(None, known):
        if os.path.exists(command):
            done = subprocess.run(
                [command, '-c', probe], capture_output=True, text=True, env=environment()
            )
            if done.returncode == 0 and not done.stderr:
                return command, done.stdout.strip()
    pytest.skip('no Python here has cv_bridge; apt install python3-cv-bridge')


def environment(path=None):
    kept = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    return {**kept, 'PYTHONPATH': str(path)} if path else kept


def image(encoding, height, width, pixel, padding=0, is_bigendian=0):
    """Image of noise, and its name for the other Python."""
    step = width * pixel + padding
    name = f'{encoding}/{height}/{width}/{step}/{is_bigendian}/{padding}'
    data = np.random.default_rng(len(name)).integers(0, 256, (height, step), np.uint8)
    return name, SimpleNamespace(
        encoding=encoding,
        height=height,
        width=width,
        step=step,
        is_bigendian=is_bigendian,
        data=data.tobytes(),
    )


def by_cv_bridge(python, folder, images):
    """Pixels of each image, or a text where cv_bridge refused."""
    np.savez(
        folder / 'given.npz',
        **{name: np.frombuffer(msg.data, np.uint8) for name, msg in images.items()},
    )
    subprocess.run(
        [python[0], '-c', CONVERT, folder / 'given.npz', folder / 'found.npz'],
        check=True,
        env=environment(),
    )
    with np.load(folder / 'found.npz') as found:
        return {
            name: str(value) if value.dtype.kind == 'U' else value for name, value in found.items()
        }


def test_pixels_are_the_same(python, tmp_path):
    images = dict(
        image(encoding, *size, pixel, is_bigendian=is_bigendian)
        for encoding, pixel in BYTES.items()
        for size in SIZES
        for is_bigendian in (0, 1)
    )
    compared = set()
    for name, theirs in by_cv_bridge(python, tmp_path, images).items():
        msg = images[name]
        if msg.encoding.startswith('yuv') and msg.width % 2:
            with pytest.raises(AvsolError, match='even width'):
                image_to_rgb(msg)
        elif isinstance(theirs, str):
            # That of ROS 1 does not know it; that of ROS 2 swaps bytes as only NumPy 1 can.
            assert msg.encoding == 'yuv422_yuy2' or 'newbyteorder' in theirs, (name, theirs)
        else:
            np.testing.assert_array_equal(image_to_rgb(msg), theirs, err_msg=name)
            compared.add(msg.encoding)
    assert compared >= BYTES.keys() - {'yuv422_yuy2'}


def test_it_converts_nothing_that_is_not_converted_here(python, tmp_path):
    images = dict(image(encoding, 6, 8, 24) for encoding in OTHERS.split())
    for name, theirs in by_cv_bridge(python, tmp_path, images).items():
        if not isinstance(theirs, str):
            assert image_to_rgb(images[name]).shape == (6, 8, 3)


def test_it_misreads_rows_with_padding(python, tmp_path):
    name, padded = image('rgb8', 6, 8, 3, padding=1)
    rows = np.frombuffer(padded.data, np.uint8).reshape(6, 25)
    right = rows[:, :24].reshape(6, 8, 3)
    np.testing.assert_array_equal(image_to_rgb(padded), right)
    theirs = by_cv_bridge(python, tmp_path, {name: padded})[name]
    assert isinstance(theirs, str) or not np.array_equal(theirs, right)


def test_beside_another_numpy_it_ends_the_process(python, tmp_path):
    command, version = python
    if command == sys.executable or version != '.'.join(map(str, sys.version_info[:2])):
        pytest.skip('its Python cannot import the NumPy of this one')
    theirs = subprocess.run(
        [command, '-c', 'import numpy; print(numpy.__version__)'],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    ).stdout
    if theirs.split('.')[0] == np.__version__.split('.')[0]:
        pytest.skip('it was built for the NumPy of this Python')
    site, ours = os.path.dirname(os.path.dirname(np.__file__)), tmp_path / 'ours'
    ours.mkdir()
    for package in ('numpy', 'numpy.libs', 'cv2', 'opencv_python_headless.libs'):
        if os.path.exists(os.path.join(site, package)):
            os.symlink(os.path.join(site, package), ours / package)
    name, msg = image('bgr8', 2, 2, 3)
    np.savez(tmp_path / 'given.npz', **{name: np.frombuffer(msg.data, np.uint8)})
    done = subprocess.run(
        [command, '-c', CONVERT, tmp_path / 'given.npz', tmp_path / 'found.npz'],
        capture_output=True,
        env=environment(ours),
        cwd=tmp_path,  # where a core would be dumped
    )
    assert done.returncode < 0, done.stderr  # by a signal: a segmentation fault
    assert not (tmp_path / 'found.npz').exists()
