"""Ctrl-C at any moment: results are written, shared memory is freed, a second one ends at once."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('rclpy')

from diagnostic_msgs.msg import KeyValue
from films import write_film
from processes import left_in_shared_memory, start_process
from ros_harness import SUPPORT, Peer, spinning
from waiting import PATIENCE_S

from avsol_ros.bags import BagReader
from avsol_ros.exit_status import ExitStatus

NOTHING_CAME = {
    'record': 'avsol record: error: nothing came, so there is no bag',
    'recorder': 'avsol recorder: error: no image came, so there is nothing to record',
}


pytestmark = pytest.mark.usefixtures('ros')


@pytest.fixture
def shared_before():
    """What is in shared memory before a test."""
    return set(Path('/dev/shm').iterdir())


def start(moment, *arguments):
    return start_process(SUPPORT / 'interrupted_verb.py', moment, *arguments)


def end(process, held, before):
    """Wait for the end; give the exit status and what was said."""
    try:
        output, _ = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert left_in_shared_memory(held, before) == set()
    assert 'Traceback' not in output and 'terminate called' not in output, output
    return process.returncode, output


def wait_for_line(process, beginning):
    while line := process.stdout.readline():
        if line.startswith(beginning):
            return line
    raise AssertionError('it ended before its moment')


def held_by(process):
    """What it says that it holds, which it does at its moment."""
    return json.loads(wait_for_line(process, 'holds').removeprefix('holds'))


def interrupt(process):
    """Send Ctrl-C, and wait until it is seen: two at once would be one to the kernel."""
    process.send_signal(signal.SIGINT)
    wait_for_line(process, 'told')


def output_of(verb, folder):
    return [folder / 'bag'] if verb == 'record' else ['--output', folder / 'film.mp4']


@pytest.mark.parametrize('verb', ['record', 'recorder'])
@pytest.mark.parametrize(
    'moment', ['before ROS', 'after ROS', 'within the node', 'at the first look']
)
def test_a_recorder_of_nothing_says_so_whenever_it_is_told(verb, moment, tmp_path, shared_before):
    process = start(moment, verb, *output_of(verb, tmp_path))
    status, output = end(process, held_by(process), shared_before)
    assert status == ExitStatus.FAILED, output
    assert NOTHING_CAME[verb] in output.splitlines()[-1], output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('moment', ['at the end', 'after the node'])
def test_a_recorder_that_has_ended_may_be_told(moment, tmp_path, shared_before):
    process = start(moment, 'record', tmp_path / 'bag', '--until', 1)  # which is long ago
    status, output = end(process, held_by(process), shared_before)
    assert status == ExitStatus.FAILED and NOTHING_CAME['record'] in output, output


@pytest.mark.parametrize('moment', ['before ROS', 'within the node', 'at the first look'])
def test_a_localizer_ends_whenever_it_is_told(moment, shared_before):
    process = start(moment, 'localizer', '--device', 'cpu')
    status, output = end(process, held_by(process), shared_before)
    assert status == ExitStatus.OK, output


@pytest.mark.parametrize('moment', ['before ROS', 'within the node', 'after the node'])
def test_a_player_ends_whenever_it_is_told(moment, tmp_path, shared_before):
    film = write_film(tmp_path / 'film.mp4', seconds=1)
    process = start(moment, 'play', film, '--wait-for-subscribers', 0)
    status, output = end(process, held_by(process), shared_before)
    assert status == ExitStatus.OK, output


def publish(peer):
    """Publish until the subscriber has it."""
    publisher = peer.publisher('words', KeyValue)
    publisher.publish(KeyValue(key='a', value='b'))
    assert publisher.wait_for_all_acked()


def test_what_came_before_ctrl_c_is_in_the_bag(tmp_path, shared_before):
    bag = tmp_path / 'bag'
    with spinning(Peer()) as peer:
        process = start('never', 'record', bag, 'words')
        publish(peer)
        interrupt(process)
        status, output = end(process, held_by(process), shared_before)
    assert status == ExitStatus.OK, output
    with BagReader(bag) as reader:
        assert [message.topic for message in reader.messages()] == ['/words']
    assert list(tmp_path.iterdir()) == [bag]


def test_a_second_ctrl_c_drops_a_bag_that_takes_long(tmp_path, shared_before):
    with spinning(Peer()) as peer:
        process = start('hanging while a bag is written', 'record', tmp_path / 'bag', 'words')
        publish(peer)
        interrupt(process)
        held = held_by(process)  # it writes now
        interrupt(process)
        status, output = end(process, held, shared_before)
    assert status == ExitStatus.INTERRUPTED, output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    'moment, verb', [('hanging in the executor', 'recorder'), ('hanging in the node', 'record')]
)
def test_a_second_ctrl_c_ends_what_hangs(moment, verb, tmp_path, shared_before):
    process = start(moment, verb, *output_of(verb, tmp_path))
    held = held_by(process)
    interrupt(process)
    interrupt(process)
    status, output = end(process, held, shared_before)
    assert status == ExitStatus.INTERRUPTED, output
    assert list(tmp_path.iterdir()) == []


def test_a_second_ctrl_c_does_not_wait_for_the_model(shared_before):
    process = start('hanging in the worker', 'localizer', '--device', 'cpu')
    held = held_by(process)
    interrupt(process)
    interrupt(process)
    status, output = end(process, held, shared_before)
    assert status == ExitStatus.INTERRUPTED, output


HALF_MADE = """
from rclpy.task import Task
from avsol_ros.nodes.process import ros_process
def interrupted():
    task = object.__new__(Task)
    raise KeyboardInterrupt
with ros_process('x', []):
    interrupted()
"""


def test_what_rclpy_was_making_at_that_moment_is_not_complained_of():
    done = subprocess.run([sys.executable, '-c', HALF_MADE], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


def test_opening_a_film_or_a_bag_ends_with_the_first(tmp_path, shared_before):
    process = start('hanging in the node', 'play', write_film(tmp_path / 'film.mp4', seconds=1))
    held = held_by(process)
    interrupt(process)
    status, output = end(process, held, shared_before)
    assert status == ExitStatus.OK, output
