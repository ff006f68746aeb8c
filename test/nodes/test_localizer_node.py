"""The localizer as its neighbours in a ROS graph see it."""

import os
import signal
import threading
import time
from array import array
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy')

from audio_common_msgs.msg import AudioData, AudioDataStamped, AudioInfo
from bag_files import encode_mp3
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from processes import (
    finish,
    left_in_shared_memory,
    run_without,
    shared_memory,
    start_avsol,
    start_process,
)
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_harness import (
    CHUNK,
    RATE,
    SECOND,
    SUPPORT,
    FakeLocalizer,
    Peer,
    feed,
    frame_stamps,
    hears,
    other_peer,
    picture,
    spinning,
    tell_audio_format,
    tone,
)
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import String
from vision_msgs.msg import Detection2DArray
from waiting import PATIENCE_S, wait_for

from avsol_ros.errors import AvsolError
from avsol_ros.messages import to_ros
from avsol_ros.messages.stamps import stamp_to_ns
from avsol_ros.msg import SoundingObjects
from avsol_ros.nodes.localizer import LocalizerNode
from avsol_ros.streams.intake import Intake, window_config

NODE = 'avsol_localizer'
OUTPUTS = {
    'heatmap': Image,
    'heatmap_float': Image,
    'overlay': Image,
    'detections': Detection2DArray,
    'sounding_objects': SoundingObjects,
}


pytestmark = pytest.mark.usefixtures('ros')


@contextmanager
def localizing(localizer=None, listen=(), active=True, **values):
    """A localizer node and the peer of it."""
    localizer = localizer or FakeLocalizer()
    node = LocalizerNode(
        load=lambda *_: localizer,
        parameter_overrides=[Parameter(name, value=value) for name, value in values.items()],
    )
    if active:
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    with spinning(node), spinning(Peer()) as peer:
        for name in listen:
            peer.listen(OUTPUTS[name], f'{NODE}/{name}')
        if active:
            wait_for(lambda: all(hears(peer, f'{NODE}/{name}') for name in listen))
        yield node, peer


@pytest.fixture
def logged(capfd):
    """Count the warnings and errors with a text, which the node has written so far."""
    lines = []

    def count(text):
        lines.extend(capfd.readouterr().err.splitlines())
        return sum(text in line for line in lines if not line.startswith('[INFO]'))

    return count


def received(peer, name):
    return peer.received[f'{NODE}/{name}']


def stamp_of(msg):
    return to_ros.stamp_to_ns(msg.header.stamp)


def expected_windows(seconds, hop_ns, begin_ns=0):
    """Start and stamp of each window of a stream that begins on the grid, from the definition."""
    stamps = np.array(frame_stamps(seconds, begin_ns))
    starts = range(begin_ns, begin_ns + round(seconds * SECOND) - SECOND + 1, hop_ns)
    last_targets = [start + 15 * SECOND // 16 for start in starts]
    return [
        (start, int(stamps[np.abs(stamps - target).argmin()]))
        for start, target in zip(starts, last_targets, strict=True)
    ]


def test_every_output_carries_time_and_frame_of_the_camera():
    begin = 1_700_000_000 * SECOND
    with localizing(listen=OUTPUTS, publish_heatmap_float=True) as (node, peer):
        tell_audio_format(peer, node)
        feed(peer, node, 2.0, begin, image=picture((16, 8, 32, 24)))
        expected = expected_windows(2.0, SECOND // 4, begin)
        assert len(expected) == 5
        wait_for(lambda: all(len(received(peer, name)) == 5 for name in OUTPUTS))
        found = received(peer, 'sounding_objects')
        starts = [to_ros.stamp_to_ns(msg.window_start) for msg in found]
        assert list(zip(starts, map(stamp_of, found), strict=True)) == expected
        assert [to_ros.stamp_to_ns(msg.window_end) for msg in found] == [
            start + SECOND for start in starts
        ]
        for name in OUTPUTS:
            assert [stamp_of(m) for m in received(peer, name)] == [stamp_of(m) for m in found]
            assert {m.header.frame_id for m in received(peer, name)} == {'eye'}

        heatmap, single = received(peer, 'heatmap')[0], received(peer, 'heatmap_float')[0]
        assert (heatmap.encoding, heatmap.width, heatmap.height) == ('mono8', 64, 48)
        assert (single.encoding, single.width, single.height) == ('32FC1', 64, 48)
        values = np.frombuffer(single.data, '<f4').reshape(48, 64)
        assert values[16, 24] > 0.8 and values[40, 60] < 0.2
        scaled = np.frombuffer(heatmap.data, np.uint8).reshape(48, 64)
        np.testing.assert_allclose(scaled / 255, values, atol=0.5 / 255 + 1e-6)
        overlay = received(peer, 'overlay')[0]
        assert (overlay.encoding, overlay.width, overlay.height) == ('rgb8', 64, 48)

        (detection,) = received(peer, 'detections')[0].detections
        assert abs(detection.bbox.center.position.x - 24) < 4
        assert abs(detection.bbox.center.position.y - 16) < 4
        assert detection.results[0].hypothesis.class_id == 'bell'
        assert found[0].detections == [detection]
        assert list(found[0].class_names) == ['bell', 'horn']
        assert list(found[0].class_scores) == [0.75, 0.25]
        assert found[0].avc_probability == pytest.approx(0.9)


def test_detections_are_empty_when_nothing_sounds():
    with localizing(listen=['detections', 'sounding_objects'], hop=0.5) as (node, peer):
        tell_audio_format(peer, node)
        feed(peer, node, 1.6, level=0.0)
        wait_for(lambda: len(received(peer, 'detections')) >= 2)
        assert [m.detections for m in received(peer, 'detections')] == [[], []]
        assert [m.avc_probability for m in received(peer, 'sounding_objects')] == [0, 0]


def test_the_last_windows_come_when_the_stream_ends_and_a_new_one_may_follow():
    with localizing(listen=['sounding_objects'], hop=0.5, stream_timeout=0.3) as (node, peer):
        tell_audio_format(peer, node)
        feed(peer, node, 2.0)
        found = received(peer, 'sounding_objects')
        wait_for(lambda: len(found) == 3)
        feed(peer, node, 1.6, begin_ns=50 * SECOND)
        wait_for(lambda: len(found) == 5)
        assert [to_ros.stamp_to_ns(m.window_start) / SECOND for m in found] == [
            0,
            0.5,
            1,
            50,
            50.5,
        ]
        assert node.intake.stats.audio_gap_samples == 0


def test_parameters_change_while_running():
    with localizing(listen=['detections', 'heatmap', 'overlay']) as (node, peer):
        tell_audio_format(peer, node)
        feed(peer, node, 1.3)
        wait_for(lambda: received(peer, 'detections') and received(peer, 'heatmap'))
        assert received(peer, 'detections')[-1].detections
        wait_for(lambda: node.worker.idle)
        results = peer.set_parameters(
            NODE, avc_threshold=1, heatmap_width=20, heatmap_height=10, publish_overlay=False
        )
        assert all(result.successful for result in results), results
        before = {name: len(received(peer, name)) for name in ('detections', 'overlay')}
        feed(peer, node, 1.3, begin_ns=10 * SECOND)
        wait_for(lambda: len(received(peer, 'detections')) > before['detections'])
        wait_for(lambda: stamp_of(received(peer, 'heatmap')[-1]) > 10 * SECOND)
        assert received(peer, 'detections')[-1].detections == []
        heatmap = received(peer, 'heatmap')[-1]
        assert (heatmap.width, heatmap.height, len(heatmap.data)) == (20, 10, 200)
        assert len(received(peer, 'overlay')) == before['overlay']


@pytest.mark.parametrize(
    'name, value, reason',
    [
        ('box_threshold', 1.0, 'box_threshold is 1.0; expected more than 0, less than 1'),
        ('avc_threshold', 1.5, 'out of range'),
        ('avc_threshold', 'high', "avc_threshold is 'high'; expected a value of type float"),
        ('max_boxes', 0, 'out of range'),
        ('hop', 0.5, 'hop is read when the node is configured'),
        ('model', 'other', 'deactivate and clean up the node first'),
        ('min_area', 2, 'min_area is 2.0; expected 0 to 1'),
    ],
)
def test_bad_changes_are_refused_with_a_reason(name, value, reason):
    with localizing() as (node, peer):
        before = dict(node.values)
        (result,) = peer.set_parameters(NODE, **{name: value})
        assert not result.successful
        assert reason in result.reason
        assert node.values == before


def test_parameters_are_described():
    with localizing(active=False) as (node, _):
        hop = node.describe_parameter('hop')
        assert 'Seconds between' in hop.description
        assert hop.floating_point_range[0].from_value == 0.02
        assert 'read when configured' in hop.additional_constraints
        device = node.describe_parameter('device')
        assert 'auto, cpu, cuda' in device.additional_constraints
        live = node.describe_parameter('max_boxes')
        assert 'while running' in live.additional_constraints
        assert live.integer_range[0].to_value == 100


def test_lifecycle(logged):
    def load(model, device, engine):
        if model == 'broken':
            raise AvsolError("model is 'broken'; expected one that works")
        if model == 'crash':
            raise RuntimeError('inside')
        return FakeLocalizer()

    node = LocalizerNode(
        load=load,
        parameter_overrides=[Parameter('model', value='broken'), Parameter('hop', value=0.5)],
    )
    with spinning(node), spinning(Peer()) as peer:
        assert peer.state(NODE) == 'unconfigured'
        assert not peer.change_state(NODE, 'configure')
        assert peer.state(NODE) == 'unconfigured'
        assert logged("model is 'broken'; expected one that works") == 1

        assert peer.set_parameters(NODE, model='crash')[0].successful
        assert not peer.change_state(NODE, 'configure')
        assert logged("model 'crash' does not run") == 1

        assert peer.set_parameters(NODE, model='good')[0].successful
        assert peer.change_state(NODE, 'configure')
        assert peer.state(NODE) == 'inactive'
        assert node.count_subscribers('image') == 0
        found = peer.listen(SoundingObjects, f'{NODE}/sounding_objects')
        for turn in (1, 2):
            assert peer.change_state(NODE, 'activate')
            wait_for(lambda: hears(peer, f'{NODE}/sounding_objects'))
            tell_audio_format(peer, node)
            feed(peer, node, 1.2)
            wait_for(lambda turn=turn: len(found) == turn)
            assert peer.change_state(NODE, 'deactivate')
            assert not any('avsol inference' in t.name for t in threading.enumerate())
            wait_for(lambda: peer.count_subscribers('image') == 0)
        assert peer.change_state(NODE, 'cleanup')
        assert peer.state(NODE) == 'unconfigured'
        wait_for(lambda: peer.count_publishers(f'{NODE}/sounding_objects') == 0)
        assert peer.change_state(NODE, 'configure')
        assert peer.change_state(NODE, 'activate')
        assert node.trigger_shutdown() == TransitionCallbackReturn.SUCCESS
        assert not any('avsol inference' in t.name for t in threading.enumerate())


def test_a_slow_model_loses_the_oldest_windows_and_nobody_waits(logged):
    gate = threading.Event()
    fake = FakeLocalizer(gate)
    with localizing(fake, listen=['sounding_objects'], hop=0.1, queue_size=3) as (node, peer):
        diagnostics = peer.listen(DiagnosticArray, '/diagnostics')
        tell_audio_format(peer, node)
        # Every message below is answered by the node while its model stands still.
        feed(peer, node, 2.52)
        assert not gate.is_set()
        assert node.intake.images == len(frame_stamps(2.52))
        assert peer.state(NODE) == 'active'
        cut = node.worker.counts.submitted
        assert cut >= 15
        assert node.worker.counts.dropped == cut - 1 - 3

        def told_of(report):
            return {value.key: value.value for value in report.values}

        # Where the machine is slow, earlier reports told of the first of them.
        report = wait_for(
            lambda: next(
                (
                    m.status[0]
                    for m in list(diagnostics)
                    if 'windows dropped' in m.status[0].message
                    and told_of(m.status[0])['windows dropped'] == str(cut - 4)
                ),
                None,
            )
        )
        assert report.level == DiagnosticStatus.WARN
        assert report.hardware_id == 'compact'
        told = told_of(report)
        assert told['images'] == str(node.intake.images)
        gate.set()
        found = received(peer, 'sounding_objects')
        wait_for(lambda: len(found) == 4)
        starts = [to_ros.stamp_to_ns(m.window_start) * 10 // SECOND for m in found]
        assert starts == [0, cut - 3, cut - 2, cut - 1]
        # Said when it began, not again for each window.
        assert logged('slower than the windows come') == 1


def test_diagnostics_begin_anew_with_every_activation():
    with localizing(hop=0.5) as (node, peer):
        reports = peer.listen(DiagnosticArray, '/diagnostics')
        tell_audio_format(peer, node)
        feed(peer, node, 1.2)
        wait_for(lambda: reports and reports[-1].status[0].values[0].value == '36')
        assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
        seen = len(reports)
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        wait_for(lambda: len(reports) > seen)
        status = reports[-1].status[0]
        assert status.message == 'no images come; no audio comes'
        assert {value.value for value in status.values if 'rate' in value.key} == {'0.0'}


def test_every_activation_begins_a_new_stream():
    fake = FakeLocalizer()
    with localizing(fake) as (_, peer):
        assert (len(fake.windows), fake.resets) == (1, 1)  # after the trial at configuring
        assert peer.change_state(NODE, 'deactivate')
        assert peer.change_state(NODE, 'activate')
        assert fake.resets == 2


def test_a_window_that_fails_is_counted_and_the_next_ones_are_localized(logged):
    class Failing(FakeLocalizer):
        def __call__(self, window):
            result = super().__call__(window)
            if window.start_ns == SECOND // 2:
                raise RuntimeError('this one not')
            return result

    with localizing(Failing(), listen=['sounding_objects'], hop=0.5) as (node, peer):
        tell_audio_format(peer, node)
        feed(peer, node, 2.1)
        found = received(peer, 'sounding_objects')
        wait_for(lambda: len(found) == 2)
        assert [to_ros.stamp_to_ns(m.window_start) for m in found] == [0, SECOND]
        assert node.worker.counts.failed == 1
        wait_for(lambda: logged('RuntimeError: this one not') == 1)


def test_compressed_images(logged):
    with localizing(listen=['detections'], image_transport='compressed') as (node, peer):
        tell_audio_format(peer, node)
        feed(peer, node, 0.3, make=to_ros.rgb_to_compressed)
        broken = to_ros.rgb_to_compressed(picture(), SECOND // 3, 'eye')
        broken.data = broken.data[:200]
        for turn in (1, 2, 3):
            peer.publish('image/compressed', broken)
            wait_for(lambda turn=turn: node.intake.refused == turn)
        feed(peer, node, 1.3, begin_ns=SECOND, make=to_ros.rgb_to_compressed)
        wait_for(lambda: received(peer, 'detections'))
        assert received(peer, 'detections')[0].detections
        assert logged('cut off') == 1


def test_an_unknown_encoding_is_said_once_and_the_node_goes_on(logged):
    with localizing(listen=['sounding_objects']) as (node, peer):
        strange = replace_encoding(to_ros.rgb_to_image(picture(), 5, 'eye'), 'strange12')
        for turn in (1, 2, 3):
            peer.publish('image', strange)
            wait_for(lambda turn=turn: node.intake.refused == turn)
        tell_audio_format(peer, node)
        feed(peer, node, 1.3)
        wait_for(lambda: received(peer, 'sounding_objects'))
        assert logged('strange12') == 1


def replace_encoding(msg, encoding):
    msg.encoding = encoding
    return msg


def test_audio_info_may_come_late():
    with localizing(listen=['sounding_objects'], hop=0.5) as (node, peer):
        peer.publisher('audio', AudioDataStamped)
        wait_for(lambda: hears(node, 'audio'))
        for start in range(0, RATE * 11 // 10, CHUNK):
            msg = to_ros.samples_to_audio(tone(start, CHUNK), start * SECOND // RATE, 'eye')
            peer.publish('audio', msg)
        wait_for(lambda: node.intake.pending == RATE * 11 // 10 // CHUNK)
        peer.publisher('image', Image)
        wait_for(lambda: hears(node, 'image'))
        for turn, stamp in enumerate(frame_stamps(1.1), start=1):
            peer.publish('image', to_ros.rgb_to_image(picture(), stamp, 'eye'))
            wait_for(lambda turn=turn: node.intake.images == turn)
        assert received(peer, 'sounding_objects') == []
        tell_audio_format(peer, node)
        first = wait_for(lambda: received(peer, 'sounding_objects'))[0]
        assert to_ros.stamp_to_ns(first.window_start) == 0
        assert first.avc_probability > 0.5


def test_a_format_told_late_is_not_the_models_fault(logged):
    """What has waited comes at once: more windows than may wait for any model."""
    gate = threading.Event()
    with localizing(
        FakeLocalizer(gate),
        listen=['sounding_objects'],
        hop=0.1,
        queue_size=2,
        stream_timeout=60.0,
    ) as (node, peer):
        reports = peer.listen(DiagnosticArray, '/diagnostics')
        for i in range(75):
            stamp = i * SECOND // 50
            node.intake.add_image(to_ros.rgb_to_image(picture(), stamp, 'eye'))
            node.intake.add_audio(
                to_ros.samples_to_audio(tone(i * CHUNK, CHUNK), stamp, ''), stamp
            )
        wait_for(
            lambda: any(
                'audio waits for AudioInfo' in report.status[0].message for report in list(reports)
            )
        )
        assert 'no audio comes' not in reports[-1].status[0].message
        tell_audio_format(peer, node)
        # From 0 to 0.5 s. The first may be with the model before the next push it out.
        wait_for(lambda: node.worker.counts.submitted == 6)
        assert node.worker.counts.dropped in (3, 4)
        gate.set()
        found = received(peer, 'sounding_objects')
        wait_for(lambda: len(found) == 6 - node.worker.counts.dropped)
        assert to_ros.stamp_to_ns(found[-1].window_start) == SECOND // 2
    assert logged('slower than the windows come') == 0


def test_missing_audio_info_is_reported_after_the_time_it_may_take():
    now, reports = 0.0, []
    intake = Intake(window_config(0.25, 8), reports.append, clock=lambda: now)
    for i in range(700):
        now = i / 100
        intake.add_audio(to_ros.samples_to_audio(tone(0, 160), i * SECOND // 100, 'eye'), 0)
        assert bool(reports) == (now > 6)
    assert len(reports) == 1 and 'no AudioInfo' in reports[0]
    intake.add_audio_info(to_ros.audio_format_message(RATE, 1))
    assert intake.audio_messages == 700


def test_the_audio_format_may_come_from_parameters():
    with localizing(
        listen=['sounding_objects'],
        hop=0.5,
        audio_sample_rate=RATE,
        audio_channels=1,
        audio_format='S16LE',
        audio_latency=0.5,
    ) as (node, peer):
        feed(peer, node, 2.0)
        first = wait_for(lambda: received(peer, 'sounding_objects'))[0]
        # The sound was half a second earlier than its stamps, so it begins before the images do.
        assert to_ros.stamp_to_ns(first.window_start) == 0
        assert node.intake.stats.windows_cut == 2


def test_audio_without_stamps_is_taken_where_it_is_published(logged):
    """As audio_capture publishes it on `audio`; its time is when it comes."""
    with localizing(listen=['sounding_objects'], hop=0.5) as (node, peer), other_peer() as driver:
        tell_audio_format(peer, node)
        assert not hears(node, 'audio')
        sound = driver.publisher('audio', AudioData)
        peer.publisher('image', Image)
        wait_for(lambda: hears(node, 'image'))
        began, began_ns, sent = time.monotonic(), node.get_clock().now().nanoseconds, 0

        def speak():
            nonlocal sent
            if (time.monotonic() - began) * RATE >= sent:
                sound.publish(AudioData(data=array('B', tone(sent, CHUNK).tobytes())))
                sent += CHUNK
                now_ns = node.get_clock().now().nanoseconds
                peer.publish('image', to_ros.rgb_to_image(picture(), now_ns, 'eye'))
            return received(peer, 'sounding_objects')

        result = wait_for(speak)[0]
        assert began_ns < stamp_to_ns(result.window_start)
        assert stamp_to_ns(result.window_end) < node.get_clock().now().nanoseconds
        # How much of it is missing depends on how evenly it came, and so on the machine.
        assert result.avc_probability > 0.5
        assert node.intake.refused == 0
    assert logged('cannot be taken') == 0


def test_a_type_that_is_not_installed_is_told_once(logged):
    with localizing(audio_type='auto') as (node, peer), other_peer() as driver:
        driver.create_publisher(String, 'audio', 10)
        wait_for(lambda: logged('/audio has std_msgs/msg/String, which cannot be taken here'))
        looked = node.get_clock().now().nanoseconds
        wait_for(lambda: node.get_clock().now().nanoseconds - looked > 3 * SECOND // 2)
        assert logged('cannot be taken') == 1
        # It was not the last word: the right one may come yet.
        tell_audio_format(peer, node)
        feed(peer, node, 0.1)
        assert node.intake.audio_messages == 5


def test_an_audio_type_may_be_named(logged):
    with localizing(audio_type='AudioData') as (node, peer):
        wait_for(lambda: peer.get_subscriptions_info_by_topic('/audio'))
        assert [info.topic_type for info in peer.get_subscriptions_info_by_topic('/audio')] == [
            'audio_common_msgs/msg/AudioData'
        ]
    with localizing(active=False, audio_type='AudioStamped') as (node, _):
        assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert (
        logged(
            'audio_type is AudioStamped, which the installed audio_common_msgs lacks; '
            'expected auto, or one of AudioDataStamped, AudioData'
        )
        == 1
    )


@pytest.mark.parametrize(
    'durability', [DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL]
)
def test_mp3_with_its_format_told_late(durability, logged):
    """As audio_capture sends it with nothing set, and as a latched topic of a player."""
    pcm = tone(0, 3 * RATE)
    packets = list(encode_mp3(pcm, RATE))
    with localizing(listen=['sounding_objects'], hop=0.5) as (node, peer):
        peer.publisher('audio', AudioDataStamped)
        peer.publisher('image', Image)
        wait_for(lambda: hears(node, 'audio') and hears(node, 'image'))
        for number, (sample, data) in enumerate(packets):
            msg = AudioDataStamped()
            msg.header = to_ros.header(100 * SECOND + sample * SECOND // RATE, 'ear')
            msg.audio.data = array('B', data)
            peer.publish('audio', msg)
            wait_for(lambda number=number: node.intake.pending == number + 1)
        info = peer.create_publisher(
            AudioInfo,
            'audio_info',
            QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=durability),
        )
        if durability == DurabilityPolicy.VOLATILE:
            wait_for(info.get_subscription_count)
            wait_for(lambda: hears(node, 'audio_info'))
        info.publish(
            AudioInfo(
                channels=1,
                sample_rate=RATE,
                sample_format='S16LE',
                bitrate=192,
                coding_format='mp3',
            )
        )
        wait_for(lambda: node.intake.audio_messages == len(packets))
        for turn, stamp in enumerate(frame_stamps(2.9, 100 * SECOND), start=1):
            peer.publish('image', to_ros.rgb_to_image(picture(), stamp, 'eye'))
            wait_for(lambda turn=turn: node.intake.images == turn)
        found = received(peer, 'sounding_objects')
        wait_for(lambda: len(found) >= 3)
        begun = [stamp_to_ns(msg.window_start) / SECOND for msg in found]
        assert begun[-1] == 101.5 and begun == sorted(begun)
        assert found[-1].avc_probability > 0.5 and found[-1].audio_missing == 0
        assert node.intake.refused == 0
    assert logged('incompatible') == 0


def test_missing_sound_is_told_of_each_window():
    with localizing(listen=['sounding_objects'], hop=0.5) as (node, peer):
        tell_audio_format(peer, node)
        feed(peer, node, 1.5)
        feed(peer, node, 1.6, begin_ns=3 * SECOND // 2 + SECOND // 5)
        found = received(peer, 'sounding_objects')
        wait_for(lambda: len(found) == 5)
        assert [msg.audio_missing for msg in found] == pytest.approx([0, 0, 0.2, 0.2, 0])
        reports = peer.listen(DiagnosticArray, '/diagnostics')
        report = wait_for(lambda: reports)[0].status[0]
        told = {value.key: value.value for value in report.values}
        assert (told['audio gaps'], told['audio gap samples']) == ('1', '3200')


def clock_message(time_ns):
    return Clock(clock=to_ros.ns_to_stamp(time_ns))


def feed_unfinished(peer, node):
    """Send a stream of 1.5 s from 100 s on, of which the images of the last 0.1 s do not come."""
    tell_audio_format(peer, node)
    feed(peer, node, 1.4, begin_ns=100 * SECOND)
    for start in range(RATE * 14 // 10, RATE * 15 // 10, CHUNK):
        before = node.intake.audio_messages
        peer.publish(
            'audio',
            to_ros.samples_to_audio(
                tone(start, CHUNK), 100 * SECOND + start * SECOND // RATE, 'eye'
            ),
        )
        wait_for(lambda before=before: node.intake.audio_messages > before)
    wait_for(lambda: received(peer, 'sounding_objects'))


def ends_by_the_time_of_a_player(timeout):
    """
    Check that a stream ends by the clock that a player gives, and not while that stands still.

    :returns: whether it could be seen. After five timeouts of real time the player is taken to
        have gone, which a machine that stood still for so long cannot tell apart.
    """
    with localizing(
        listen=['sounding_objects'], hop=0.5, stream_timeout=timeout, use_sim_time=True
    ) as (node, peer):
        clocks = peer.publisher('/clock', Clock)
        clocks.publish(clock_message(101 * SECOND))
        wait_for(lambda: node.get_clock().now().nanoseconds == 101 * SECOND)
        feed_unfinished(peer, node)
        found = received(peer, 'sounding_objects')
        began = time.monotonic()
        time.sleep(1.3 * timeout)
        count = len(found)
        if time.monotonic() - began > 4 * timeout:
            return False
        assert count == 1
        clocks.publish(clock_message(103 * SECOND + round(timeout * SECOND)))
        wait_for(lambda: len(found) == 2)
        starts = [stamp_to_ns(msg.window_start) / SECOND for msg in found]
        assert starts == [100, 100.5]
        return True


def test_a_stream_ends_by_the_time_of_a_player():
    assert any(ends_by_the_time_of_a_player(timeout) for timeout in (1.0, 4.0, 16.0))


def test_a_stream_of_a_player_that_is_gone_ends_too():
    with localizing(
        listen=['sounding_objects'], hop=0.5, stream_timeout=0.2, use_sim_time=True
    ) as (node, peer):
        clocks = peer.publisher('/clock', Clock)
        clocks.publish(clock_message(101 * SECOND))
        wait_for(lambda: node.get_clock().now().nanoseconds == 101 * SECOND)
        feed_unfinished(peer, node)
        wait_for(lambda: len(received(peer, 'sounding_objects')) == 2)


def test_without_any_audio_package_one_line_says_so():
    done = run_without(['audio_common_msgs'], 'localizer', '--device', 'cpu')
    assert done.returncode == 1 and not done.stdout
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert 'no package audio_common_msgs is installed; install that of' in done.stderr


@pytest.mark.parametrize('width, height', [(640, 480), (1280, 720)])
def test_raw_images_from_another_process_arrive_without_loss(width, height):
    count = 60
    with localizing() as (node, _):
        sender = start_process(
            SUPPORT / 'send_images.py',
            width,
            height,
            count,
            stdin=-1,
        )
        try:
            wait_for(lambda: hears(node, 'image'))
            assert 'subscriber' in sender.stdout.readline()
            # It may be as many images ahead as its queue holds, so that the rate is that of a
            # camera and a node that is kept from running does not lose images by that.
            for sent in range(count):
                wait_for(lambda sent=sent: node.intake.images > sent - 5)
                sender.stdin.write('send\n')
                sender.stdin.flush()
            wait_for(lambda: node.intake.images == count)
        finally:
            sender.communicate('end\n', timeout=PATIENCE_S)
        assert sender.returncode == 0
        assert node.intake.refused == node.intake.stats.frames_duplicate == 0
        assert node.intake.frame_id == 'camera'


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_process_cleanly(number):
    with spinning(Peer()) as peer:
        before = set(Path('/dev/shm').iterdir())
        process = start_avsol('localizer', '--no-autostart')
        try:
            wait_for(lambda: peer.count_services(f'{NODE}/get_state'))
            assert peer.state(NODE) == 'unconfigured'
            held = shared_memory(process.pid)
            assert held - shared_memory(os.getpid())
            finish(process, number)
        finally:
            process.kill()
        assert left_in_shared_memory(held, before) == set()


def test_a_model_that_does_not_exist_ends_the_process_with_one_line():
    process = start_avsol('localizer', '--device', 'cpu', '--ros-args', '-p', 'model:=nowhere.pt')
    output = finish(process, status=1)
    lines = output.strip().splitlines()
    assert len(lines) == 1, output
    assert 'ERROR' in lines[0] and 'nowhere.pt' in lines[0]


def test_a_wrong_parameter_ends_the_process_with_one_line():
    output = finish(start_avsol('localizer', '--ros-args', '-p', 'hop:=7.5'), status=1)
    assert output.strip() == 'avsol localizer: error: parameter hop is 7.5; expected 0.02 to 1'
