"""Animated pictures, taken apart by hand and by OpenCV."""

import struct

import av
import cv2
import numpy as np
import pytest
from films import picture

from avsol_ros.errors import AvsolError
from avsol_ros.media.animation import animate_film, write_animation
from avsol_ros.media.film_writer import MediaWriter

RNG = np.random.default_rng(0)


def inspect(path):
    """Width, height, times a film is shown (0: for ever) and milliseconds of each frame."""
    data = path.read_bytes()
    assert data[:4] == b'RIFF' and data[8:12] == b'WEBP'
    assert struct.unpack('<I', data[4:8])[0] == len(data) - 8
    durations, at = [], 12
    while at < len(data):
        name, size = data[at : at + 4], struct.unpack('<I', data[at + 4 : at + 8])[0]
        content = data[at + 8 : at + 8 + size]
        if name == b'VP8X':
            width, height = (1 + int.from_bytes(content[i : i + 3], 'little') for i in (4, 7))
        elif name == b'ANIM':
            (loops,) = struct.unpack('<H', content[4:6])
        elif name == b'ANMF':
            durations.append(int.from_bytes(content[12:15], 'little'))
        at += 8 + size + size % 2
    return width, height, loops, durations


def test_frames_come_back_in_their_order_and_time(tmp_path):
    frames = [picture(index, 160, 120) for index in range(12)]
    path = write_animation(tmp_path / 'made' / 'a.webp', iter(frames), 6)
    width, height, loops, durations = inspect(path)
    assert (width, height, loops) == (160, 120, 0)
    assert len(durations) == 12 and sum(durations) == pytest.approx(2000, abs=2)
    assert [entry.name for entry in path.parent.iterdir()] == ['a.webp']
    if not hasattr(cv2, 'imreadanimation'):
        pytest.skip('this OpenCV reads no animations')
    found = cv2.imreadanimation(str(path))[1].frames
    for frame, image in zip(found, frames):
        assert np.abs(frame[..., 2::-1].astype(int) - image).mean() < 6


def test_a_size_limit_costs_quality_and_then_pixels(tmp_path):
    frames = [RNG.integers(0, 256, (120, 160, 3), np.uint8) for _ in range(4)]
    sizes = []
    for limit in (None, 70_000, 10_000):
        path = write_animation(tmp_path / 'a.webp', frames, 6, limit)
        assert limit is None or path.stat().st_size <= limit
        sizes.append(inspect(path)[:2])
    assert sizes[0] == sizes[1] == (160, 120) and sizes[2][0] < 160
    with pytest.raises(AvsolError, match='4 frames do not fit into 100 bytes'):
        write_animation(tmp_path / 'b.webp', frames, 6, 100)
    assert not (tmp_path / 'b.webp').exists()


def test_what_cannot_be_written_is_told_in_one_line(tmp_path, monkeypatch):
    (tmp_path / 'file').touch()
    with pytest.raises(AvsolError, match='cannot write .*a.webp'):
        write_animation(tmp_path / 'file' / 'a.webp', [picture(0)], 6)
    with pytest.raises(AvsolError, match='needs one frame'):
        write_animation(tmp_path / 'a.webp', [], 6)
    monkeypatch.setattr(av, 'codecs_available', {'libx264'})
    with pytest.raises(AvsolError, match='has no encoder libwebp_anim; install the av package'):
        write_animation(tmp_path / 'a.webp', [picture(0)], 6)


@pytest.mark.parametrize('size, shown', [((640, 480), (480, 360)), ((90, 160), (90, 160))])
def test_the_beginning_of_a_film_becomes_an_animation(tmp_path, size, shown):
    film, levels = tmp_path / 'a.mp4', []
    with MediaWriter(film, *size, 25) as writer:
        for index in range(50):
            writer.add_frame(np.full((*size[::-1], 3), 4 * index, np.uint8))
    path = animate_film(film, tmp_path / 'a.webp', seconds=1.5, frame_rate=5)
    width, height, _, durations = inspect(path)
    assert (width, height) == shown and durations == [200] * 8
    if hasattr(cv2, 'imreadanimation'):
        levels = [frame[..., :3].mean() for frame in cv2.imreadanimation(str(path))[1].frames]
        assert levels == pytest.approx([20 * index for index in range(8)], abs=3)


def test_a_pause_of_the_camera_shows_the_frame_before_it(tmp_path):
    film = tmp_path / 'a.mp4'
    with MediaWriter(film, 64, 48, 25) as writer:
        for time_ns, level in ((0, 50), (1_000_000_000, 150), (1_400_000_000, 250)):
            writer.add_frame(np.full((48, 64, 3), level, np.uint8), time_ns)
    path = animate_film(film, tmp_path / 'a.webp', seconds=1.4, frame_rate=5)
    _, _, _, durations = inspect(path)
    # Equal frames are one in the file.
    assert sum(durations) == 1400
    if hasattr(cv2, 'imreadanimation'):
        animation = cv2.imreadanimation(str(path))[1]
        levels = [round(frame[..., :3].mean(), -1) for frame in animation.frames]
        assert levels[0] == 50 and levels[-1] == 150
