"""What comes over ROS lies in the bag, byte for byte, when the recorder has ended."""

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

pytest.importorskip('rclpy')

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from processes import finish, read_until, start_avsol, start_process
from rclpy.parameter import Parameter
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from rclpy.serialization import serialize_message
from ros_harness import RATE, SECOND, SUPPORT, Peer, spinning, tone
from rosgraph_msgs.msg import Clock
from waiting import PATIENCE_S, wait_for

from avsol_ros.bags import BagReader, find_streams
from avsol_ros.errors import AvsolError
from avsol_ros.messages import to_ros
from avsol_ros.messages.images import image_to_rgb
from avsol_ros.nodes.bag_recorder import RecordNode
from avsol_ros.nodes.process import record

pytestmark = pytest.mark.usefixtures('ros')


def recorder(output='', topics='', **values):
    """Make a recorder in this process."""
    values = {'output': str(output), 'topics': topics, **values}
    return RecordNode(
        parameter_overrides=[Parameter(name, value=value) for name, value in values.items()]
    )


@contextmanager
def recording(capfd, topics_heard, *arguments, meanwhile=lambda: None, **values):
    """
    Record in a thread from when these topics are heard; at the end of the body it goes on.

    :param meanwhile: called again and again until they are heard.
    """
    node = recorder(*arguments, **values)
    with ThreadPoolExecutor() as pool:
        ended = pool.submit(record, node)
        try:
            said = []

            def heard():
                meanwhile()
                said.append(capfd.readouterr().err)
                assert not ended.done(), said
                return all(f'recording {topic}\n' in ''.join(said) for topic in topics_heard)

            wait_for(heard)
            yield node
            ended.result(PATIENCE_S)
        finally:
            node.done.set()
    node.destroy_node()


def content(path, problems=False):
    """Messages of a bag: (topic, type, log time, bytes)."""
    with BagReader(path) as reader:
        found = [(m.topic, m.type, m.log_ns, bytes(m.raw)) for m in reader.messages()]
        assert bool(reader.problems) is problems
    return found


@pytest.mark.parametrize('storage', ['mcap', pytest.param('sqlite3', marks=pytest.mark.slow)])
def test_nothing_of_1280x720_at_30_pictures_a_second_is_lost(storage, tmp_path):
    bag, count = tmp_path / 'bag', 60
    recorder = start_avsol('record', bag, 'image', '--storage', storage, '--pause', 3)
    sender = start_process(SUPPORT / 'send_images.py', 1280, 720, count, stdin=-1)
    try:
        read_until(recorder, 'recording /image')
        assert 'subscriber' in sender.stdout.readline()
        sender.stdin.write('send\n' * count)
        sender.stdin.flush()
        output = finish(recorder)
    finally:
        recorder.kill()
        sender.communicate('end\n', timeout=PATIENCE_S)
    assert f'{count} messages on 1 topics' in output and 'dropped' not in output, output
    with BagReader(bag) as reader:
        messages = [message.decode() for message in reader.messages(['/image'])]
    assert len(messages) == count
    assert image_to_rgb(messages[-1]).shape == (720, 1280, 3)
    stamps = [to_ros.stamp_to_ns(message.header.stamp) for message in messages]
    assert stamps == sorted(set(stamps))


def test_the_usual_topics_on_simulated_time(tmp_path, capfd):
    bag = tmp_path / 'bag'
    with spinning(Peer()) as peer:
        kinds = {'audio': to_ros.AUDIO_MESSAGE, 'audio_info': to_ros.AUDIO_INFO}
        image = to_ros.rgb_to_image(np.zeros((2, 2, 3), np.uint8), 7, 'eye')
        for topic, kind in {'image': type(image), **kinds}.items():
            peer.create_publisher(kind, topic, 1)
        with recording(
            capfd,
            ('/image', '/audio', '/audio_info'),
            bag,
            localizer='somebody',
            use_sim_time=True,
        ) as node:
            # What comes before time begins has the first time that there is.
            peer.publish('audio_info', to_ros.audio_format_message(RATE, 1))
            clock = peer.publisher('clock', Clock)
            sound = [to_ros.samples_to_audio(tone(n, 320), n, 'ear') for n in range(20)]
            for n, msg in enumerate(sound):
                clock.publish(Clock(clock=to_ros.ns_to_stamp(1000 * SECOND + n)))
                peer.publish('audio', msg)
                peer.publish('image', image)
            clock.publish(Clock(clock=to_ros.ns_to_stamp(1010 * SECOND)))
            node.done.set()
    output = capfd.readouterr().err
    found = content(bag)
    assert '41 messages on 3 topics' in output
    # DDS may fill up the last four bytes.
    for raw, msg in zip(
        (raw for topic, _, _, raw in found if topic == '/audio'), sound, strict=True
    ):
        assert raw.startswith(serialize_message(msg)) and len(raw) % 4 == 0
    times = [log_ns for _, _, log_ns, _ in found]
    assert min(times) >= 1000 * SECOND and max(times) <= 1010 * SECOND
    with BagReader(bag) as reader:
        streams = find_streams(reader)
        assert (streams.image, streams.audio, streams.audio_info) == (
            '/image',
            '/audio',
            '/audio_info',
        )


def test_any_topic_of_any_quality_until_a_pause(tmp_path, capfd):
    bag = tmp_path / 'bag'
    status = DiagnosticStatus(name='n', message='m', values=[KeyValue(key='k', value='v')])
    with spinning(Peer()) as peer:
        hasty = peer.create_publisher(
            DiagnosticStatus,
            'hasty',
            QoSProfile(depth=10, reliability=QoSReliabilityPolicy.BEST_EFFORT),
        )
        kept = peer.create_publisher(
            KeyValue, 'kept', QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
        )
        kept.publish(KeyValue(key='before', value='all'))
        peer.create_publisher(KeyValue, 'silent', 1)
        # The pause, which may be long ago when all are heard, begins with what comes last.
        with recording(
            capfd,
            ('/hasty', '/kept', '/silent'),
            bag,
            '/hasty kept silent nowhere',
            meanwhile=lambda: hasty.publish(status),
            pause=1.0,
        ):
            pass
    assert (
        'on 2 topics; nothing came on /silent, though somebody publishes there'
        in capfd.readouterr().err
    )
    found = content(bag)
    assert {(topic, kind) for topic, kind, *_ in found} == {
        ('/hasty', 'diagnostic_msgs/msg/DiagnosticStatus'),
        ('/kept', 'diagnostic_msgs/msg/KeyValue'),
    }
    with BagReader(bag) as reader:
        assert 'string key' in reader.topics['/hasty'].definition
        decoded = [m.decode() for m in reader.messages()]
    assert sum(getattr(message, 'key', '') == 'before' for message in decoded) == 1
    assert any(
        getattr(message, 'values', None) and message.values[0].value == 'v' for message in decoded
    )


def test_a_kill_leaves_no_half_of_a_bag_in_its_place(tmp_path, capfd):
    bag = tmp_path / 'bag'
    with spinning(Peer()) as peer:
        publisher = peer.create_publisher(KeyValue, 'words', 10)
        killed = start_avsol('record', bag, 'words')
        read_until(killed, 'recording /words')
        publisher.publish(KeyValue(key='a', value='b'))
        finish(killed, signal.SIGKILL, status=-signal.SIGKILL)
        assert list(tmp_path.rglob('*.mcap')) and not bag.exists()
        assert all(
            path.name.startswith('.bag.') and path.name.endswith('.part')
            for path in tmp_path.iterdir()
        )
        # It is in nobody's way. This one is in the same process: what DDS sends to the shared
        # memory of a process that was killed may be lost for the next one, too.
        with recording(capfd, ['/words'], bag, 'words', pause=0.5):
            publisher.publish(KeyValue(key='a', value='b'))
    assert [topic for topic, *_ in content(bag)] == ['/words']


def test_without_a_message_there_is_no_bag(tmp_path):
    output = finish(start_avsol('record', tmp_path / 'bag', 'nothing', '--until', 1), status=1)
    assert output.strip() == (
        'avsol record: error: nothing came, so there is no bag; look whether the topics are '
        'published and remapped alike: /nothing'
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    'output, values, text',
    [
        ('', {}, 'no output is given; expected a folder to write'),
        ('OUT', {}, 'exists; remove it or choose another name'),
        ('OUT/a.mcap', {}, 'a bag is a folder'),
        ('OUT/bag', {'storage': 'tape'}, "storage is 'tape'; expected mcap, sqlite3"),
    ],
)
def test_what_cannot_be_recorded_is_told(output, values, text, tmp_path):
    with pytest.raises(AvsolError, match=text):
        recorder(output.replace('OUT', str(tmp_path)), **values)
    assert not list(tmp_path.iterdir())
