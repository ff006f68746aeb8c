"""What comes over ROS lies in the bag, byte for byte, when the recorder has ended."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy')

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue  # noqa: E402
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy  # noqa: E402
from rclpy.serialization import serialize_message  # noqa: E402
from ros_harness import RATE, SECOND, Peer, ros, spinning, start_process, tone, wait_for  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402

from avsol_ros import conversions  # noqa: E402
from avsol_ros.bags import BagReader, find_streams  # noqa: E402
from avsol_ros.messages import image_to_rgb  # noqa: E402

PATIENCE_S = 60


@pytest.fixture(scope='module', autouse=True)
def _ros():
    with ros():
        yield


def recording(*arguments, simulated=False):
    return start_process('-c', 'import sys; from avsol_ros.cli import main; sys.exit(main())',
                         'record', *arguments, '--ros-args', '-p',
                         f'use_sim_time:={str(simulated).lower()}')


def wait_for_topics(process, *topics):
    """Return when the recorder has said that it hears these."""
    heard = set()
    while not {f'recording {topic}\n' for topic in topics} <= heard:
        heard.add(process.stdout.readline())
        assert '' not in heard, heard


def end(process, number=None, status=0):
    if number is not None:
        process.send_signal(number)
    try:
        output, _ = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == status, output
    assert 'Traceback' not in output, output
    return output


def content(path, problems=False):
    """Messages of a bag: (topic, type, log time, bytes)."""
    with BagReader(path) as reader:
        found = [(m.topic, m.type, m.log_ns, bytes(m.raw)) for m in reader.messages()]
        assert bool(reader.problems) is problems
    return found


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_nothing_of_1280x720_at_30_pictures_a_second_is_lost(storage, tmp_path):
    bag, count = tmp_path / 'bag', 60
    recorder = recording(bag, 'image', '--storage', storage, '--pause', 3)
    sender = start_process(os.path.join(os.path.dirname(__file__), 'send_images.py'),
                           1280, 720, count, stdin=-1)
    try:
        wait_for_topics(recorder, '/image')
        assert 'subscriber' in sender.stdout.readline()
        sender.stdin.write('begin\n')
        sender.stdin.flush()
        output = end(recorder)
    finally:
        recorder.kill()
        sender.communicate('end\n', timeout=PATIENCE_S)
    assert f'{count} messages on 1 topics' in output and 'dropped' not in output, output
    with BagReader(bag) as reader:
        messages = [message.decode() for message in reader.messages(['/image'])]
    assert len(messages) == count
    assert image_to_rgb(messages[-1]).shape == (720, 1280, 3)
    stamps = [conversions.stamp_to_ns(message.header.stamp) for message in messages]
    assert stamps == sorted(set(stamps))


def test_the_usual_topics_on_simulated_time(tmp_path):
    bag = tmp_path / 'bag'
    with spinning(Peer()) as peer:
        recorder = recording(bag, '--localizer', 'somebody', simulated=True)
        kinds = {'audio': conversions.AUDIO_MESSAGE, 'audio_info': conversions.AUDIO_INFO}
        for topic, kind in kinds.items():
            peer.publisher(topic, kind)
        image = conversions.rgb_to_image(np.zeros((2, 2, 3), np.uint8), 7, 'eye')
        peer.publisher('image', type(image))
        wait_for_topics(recorder, '/image', '/audio', '/audio_info')
        # What comes before time begins has the first time that there is.
        peer.publish('audio_info', conversions.audio_format_message(RATE, 1))
        clock = peer.publisher('clock', Clock)
        sound = [conversions.samples_to_audio(tone(n, 320), n, 'ear') for n in range(20)]
        for n, msg in enumerate(sound):
            clock.publish(Clock(clock=conversions.ns_to_stamp(1000 * SECOND + n)))
            peer.publish('audio', msg)
            peer.publish('image', image)
        clock.publish(Clock(clock=conversions.ns_to_stamp(1010 * SECOND)))
        output = end(recorder, signal.SIGTERM)
    found = content(bag)
    assert '41 messages on 3 topics' in output
    assert [raw for topic, _, _, raw in found if topic == '/audio'] == [
        padded(serialize_message(msg)) for msg in sound]
    times = [log_ns for _, _, log_ns, _ in found]
    assert min(times) >= 1000 * SECOND and max(times) <= 1010 * SECOND
    with BagReader(bag) as reader:
        streams = find_streams(reader)
        assert (streams.image, streams.audio, streams.audio_info) == (
            '/image', '/audio', '/audio_info')


def padded(raw):
    """DDS fills up the last four bytes."""
    return raw + bytes(-len(raw) % 4)


def test_any_topic_of_any_quality_until_a_pause(tmp_path):
    bag = tmp_path / 'bag'
    status = DiagnosticStatus(name='n', message='m', values=[KeyValue(key='k', value='v')])
    with spinning(Peer()) as peer:
        hasty = peer.create_publisher(DiagnosticStatus, 'hasty', QoSProfile(
            depth=10, reliability=QoSReliabilityPolicy.BEST_EFFORT))
        kept = peer.create_publisher(KeyValue, 'kept', QoSProfile(
            depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL))
        kept.publish(KeyValue(key='before', value='all'))
        recorder = recording(bag, '/hasty', 'kept', '--pause', 1)
        wait_for_topics(recorder, '/hasty', '/kept')
        for _ in range(5):
            hasty.publish(status)
        output = end(recorder)
    assert 'on 2 topics' in output
    found = content(bag)
    assert {(topic, kind) for topic, kind, *_ in found} == {
        ('/hasty', 'diagnostic_msgs/msg/DiagnosticStatus'),
        ('/kept', 'diagnostic_msgs/msg/KeyValue')}
    with BagReader(bag) as reader:
        assert 'string key' in reader.topics['/hasty'].definition
        decoded = [m.decode() for m in reader.messages()]
    assert sum(getattr(message, 'key', '') == 'before' for message in decoded) == 1
    assert any(getattr(message, 'values', None) and message.values[0].value == 'v'
               for message in decoded)


def test_a_kill_leaves_no_half_of_a_bag_in_its_place(tmp_path):
    bag = tmp_path / 'bag'
    with spinning(Peer()) as peer:
        publisher = peer.create_publisher(KeyValue, 'words', 10)
        recorder = recording(bag, 'words')
        wait_for_topics(recorder, '/words')
        publisher.publish(KeyValue(key='a', value='b'))
        wait_for(lambda: list(tmp_path.rglob('*.mcap')))
        end(recorder, signal.SIGKILL, status=-signal.SIGKILL)
        assert not bag.exists()
        assert all(path.name.startswith('.bag.') and path.name.endswith('.part')
                   for path in tmp_path.iterdir())
        # It is in nobody's way.
        recorder = recording(bag, 'words')
        wait_for_topics(recorder, '/words')
        publisher.publish(KeyValue(key='a', value='b'))
        end(recorder, signal.SIGINT)
    assert len(content(bag)) == 1


def test_without_a_message_there_is_no_bag(tmp_path):
    recorder = recording(tmp_path / 'bag', 'nothing', '--until', 1)
    output = end(recorder, status=1)
    assert output.strip() == (
        'avsol record: error: nothing came, so there is no bag; look whether the topics are '
        'published and remapped alike: /nothing')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('arguments, text', [
    ([], 'no output is given; expected a folder to write'),
    (['OUT'], 'exists; remove it or choose another name'),
    (['OUT/a.mcap'], 'a bag is a folder'),
    (['OUT/bag', '--storage', 'tape'], "invalid choice: 'tape'")])
def test_what_cannot_be_recorded_is_one_line(arguments, text, tmp_path):
    process = recording(*(word.replace('OUT', str(tmp_path)) for word in arguments))
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode in (1, 2)
    assert text in output.strip().splitlines()[-1], output
    assert not list(Path(tmp_path).iterdir())
