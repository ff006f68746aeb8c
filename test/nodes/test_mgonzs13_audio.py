"""The nodes where the audio_common_msgs of mgonzs13 is installed, in place of ros-drivers'."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy')

import other_driver
from films import clicks
from processes import AVSOL, finish, start_process

from avsol_ros.media.film_reader import MediaReader
from avsol_ros.media.film_writer import MediaWriter
from avsol_ros.nodes.dds_settings import environment

pytestmark = [pytest.mark.ros, pytest.mark.slow]  # building a message package takes long


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """Environment of processes that have mgonzs13's package."""
    return {
        **other_driver.build(tmp_path_factory.mktemp('overlay')),
        **environment(),
        'OMP_NUM_THREADS': '1',
    }


@pytest.fixture
def start(installed):
    """Start processes, which end with the test."""
    processes = []

    def start(*arguments):
        processes.append(start_process(*arguments, env=installed))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize('sample_format', ['S16LE', 'F32LE', 'U8'])
def test_the_capture_node_is_localized(start, sample_format):
    localizer = start(*AVSOL, 'localizer', '--device', 'cpu')
    driver = start(Path(other_driver.__file__).with_name('send_audio.py'), sample_format, 6)
    results = [json.loads(line) for line in finish(driver).splitlines()]
    assert len(results) == 6
    assert all(result['late'] > 0 for result in results), results
    assert [result['missing'] for result in results] == pytest.approx([0] * 6, abs=0.03)
    said = finish(localizer, signal.SIGINT)
    assert 'ERROR' not in said and 'incompatible' not in said, said


def test_a_film_is_played_localized_and_recorded(start, tmp_path):
    clip, film = tmp_path / 'clip.mp4', tmp_path / 'film.mp4'
    with MediaWriter(clip, 64, 48, 25, 16_000, 1) as writer:
        for _ in range(75):
            writer.add_frame(np.full((48, 64, 3), 90, np.uint8))
        writer.add_audio(clicks(3, 16_000, 1))
    localizer = start(
        *AVSOL, 'localizer', '--device', 'cpu', '--reliability', 'reliable', '--queue-size', 100
    )
    recorder = start(*AVSOL, 'recorder', '--output', film)
    said = finish(start(*AVSOL, 'play', clip, '--wait-for-subscribers', 2))
    assert '75 frames' in said, said
    recorded = finish(recorder, signal.SIGINT)
    assert 'wrote' in recorded and 'ERROR' not in recorded, recorded
    assert 'ERROR' not in finish(localizer, signal.SIGINT)
    with MediaReader(film) as reader:
        assert reader.info.sample_rate == 16_000
    assert len(json.loads(film.with_suffix('.json').read_text())['windows']) >= 7


def test_what_the_package_lacks_is_told_in_one_line(start):
    process = start(*AVSOL, 'localizer', '--device', 'cpu', '--audio-type', 'AudioData')
    said = finish(process, status=1)
    assert (
        'AudioData, which the installed audio_common_msgs lacks; expected auto, or one of '
        'AudioStamped' in said
    )
    assert len(said.strip().splitlines()) == 1, said
