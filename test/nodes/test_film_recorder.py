"""The recorder among real messages over DDS."""

import json
import signal
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('rclpy')

from audio_common_msgs.msg import AudioDataStamped, AudioInfo
from bag_files import encode_mp3
from films import clicks
from processes import finish, start_avsol
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from ros_harness import Peer, picture, spinning
from sensor_msgs.msg import Image
from waiting import PATIENCE_S, wait_for

from avsol_ros.errors import AvsolError
from avsol_ros.localization import Box, Localization
from avsol_ros.media.film_reader import AudioChunk, MediaReader, VideoChunk
from avsol_ros.messages import to_ros
from avsol_ros.messages.results import message_to_result
from avsol_ros.msg import SoundingObjects
from avsol_ros.nodes.film_recorder import RecorderNode

SECOND = 1_000_000_000
START = 5000 * SECOND
RATE = 16_000


pytestmark = pytest.mark.usefixtures('ros')


def send(peer, taken=lambda frames: True, seconds=2, name='bell', **changes):
    """Publish a stream with its results, with changes to them, frame by frame."""
    sound = clicks(seconds, RATE, 1)
    image = np.full((120, 160, 3), 60, np.uint8)
    heatmaps = peer.publisher('avsol_localizer/heatmap', Image)
    results = peer.publisher('avsol_localizer/sounding_objects', SoundingObjects)
    for topic, kind in (('image', Image), ('audio', AudioDataStamped)):
        peer.publisher(topic, kind)
    peer.publish('audio_info', to_ros.audio_format_message(RATE, 1))
    for i in range(25 * seconds):
        stamp = START + i * SECOND // 25
        part = sound[i * RATE // 25 : (i + 1) * RATE // 25]
        peer.publish('audio', to_ros.samples_to_audio(part, stamp, 'eye'))
        peer.publish('image', to_ros.rgb_to_image(image, stamp, 'eye'))
        if i % 25 == 24:
            result = Localization(
                start_ns=stamp - 24 * SECOND // 25,
                end_ns=stamp + SECOND // 25,
                stamp_ns=stamp,
                heatmap=np.eye(14, dtype=np.float32),
                avc=0.75,
                class_names=('bell', 'horn'),
                class_scores=np.array([0.5, 0.25], np.float32),
                class_map=np.zeros((2, 14, 14), np.float32),
                image_size=(120, 160),
            )
            result = replace(result, **changes)
            boxes = [Box(20, 30, 60, 90, 0.9, name, 0.6)]
            heatmaps.publish(to_ros.heatmap_to_mono8(result.heatmap, stamp, 'eye'))
            results.publish(to_ros.localization_to_message(result, boxes, 'eye'))
        wait_for(lambda i=i: taken(i + 1))


def check_film(path, frames=50):
    with MediaReader(path) as reader:
        chunks = list(reader)
    film = [chunk for chunk in chunks if isinstance(chunk, VideoChunk)]
    assert len(film) == frames
    heard = np.concatenate([chunk.samples for chunk in chunks if isinstance(chunk, AudioChunk)])
    for second in (0, 1):
        loud = np.flatnonzero(np.abs(heard[second * RATE :, 0].astype(int)) > 6000)[0]
        assert loud / RATE < 0.003
    record = json.loads(path.with_suffix('.json').read_text())
    assert [window['start'] for window in record['windows']] == [0.0, 1.0]
    window = record['windows'][0]
    assert window['avc'] == 0.75 and window['class_scores'] == {'bell': 0.5, 'horn': 0.25}
    assert window['boxes'] == [
        {'box': [20, 30, 60, 90], 'class': 'bell', 'score': 0.9, 'class_score': 0.5}
    ]
    assert record['origin_ns'] == START


def recorder(path, **values):
    return RecorderNode(
        parameter_overrides=[
            Parameter(name, value=value) for name, value in {'output': str(path), **values}.items()
        ]
    )


def test_it_ends_with_the_stream(tmp_path):
    path = tmp_path / 'film.mp4'
    with spinning(recorder(path, until=5002.0)) as node, spinning(Peer()) as peer:
        send(
            peer,
            lambda count: (
                (node.recording.newest_frame_ns or 0) >= START + (count - 1) * SECOND // 25
            ),
        )
        assert node.done.wait(PATIENCE_S)
        node.finish()
    check_film(path)


NOTHING_SAID = {
    'avc': None,
    'class_names': (),
    'class_scores': np.zeros(0, np.float32),
    'class_map': np.zeros((0, 14, 14), np.float32),
}


def test_a_model_without_avc_and_classes_is_recorded(tmp_path, capsys):
    path = tmp_path / 'film.mp4'
    with spinning(recorder(path, until=5002.0, progress=True)) as node, spinning(Peer()) as peer:
        send(
            peer,
            lambda count: (
                (node.recording.newest_frame_ns or 0) >= START + (count - 1) * SECOND // 25
            ),
            name='',
            **NOTHING_SAID,
        )
        assert node.done.wait(PATIENCE_S)
        node.finish()
    windows = json.loads(path.with_suffix('.json').read_text())['windows']
    assert [window['avc'] for window in windows] == [None, None]
    assert windows[0]['class_scores'] == {}
    assert windows[0]['boxes'] == [
        {'box': [20, 30, 60, 90], 'class': None, 'score': 0.9, 'class_score': 0.9}
    ]
    news = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert news[-1] == {'end': 5002.0, 'avc': None, 'sounding': 'sounding object 0.90'}


def test_a_class_that_is_called_sounding_object_stays_one():
    box = Box(20, 30, 60, 90, 0.9, 'sounding object', 0.6)
    result = Localization(
        start_ns=0,
        end_ns=SECOND,
        stamp_ns=0,
        heatmap=np.eye(14, dtype=np.float32),
        avc=0.75,
        class_names=('sounding object',),
        class_scores=np.array([0.5], np.float32),
        class_map=np.zeros((1, 14, 14), np.float32),
        image_size=(120, 160),
    )
    msg = to_ros.localization_to_message(result, [box], 'eye')
    back = message_to_result(msg, result.heatmap, (120, 160))
    assert back.avc == 0.75 and back.boxes == (replace(box, class_score=0.5),)


def test_a_signal_leaves_a_whole_film(tmp_path):
    path = tmp_path / 'film.mp4'
    process = start_avsol('recorder', '--output', path, '--progress')
    try:
        with spinning(Peer()) as peer:
            news = []
            for topic, kind in (('heatmap', Image), ('sounding_objects', SoundingObjects)):
                peer.publisher(f'avsol_localizer/{topic}', kind)
            assert json.loads(process.stdout.readline()) == {'ready': True}

            def taken(count):
                # A second of frames fits into the queues; its result says that it was taken.
                if count % 25 == 0:
                    news.append(json.loads(process.stdout.readline()))
                return True

            send(peer, taken)
            assert news[1] == {'end': 5002.0, 'avc': 0.75, 'sounding': 'bell 0.50'}
            assert all(
                peer.publisher(topic, kind).wait_for_all_acked()
                for topic, kind in (('image', Image), ('audio', AudioDataStamped))
            )
            said = finish(process, signal.SIGINT)
    finally:
        process.kill()
    assert f'wrote {path}: 50 frames, 2 windows' in said
    check_film(path)


def test_no_image_is_told(tmp_path):
    with spinning(recorder(tmp_path / 'film.mp4')) as node:
        with pytest.raises(AvsolError, match='no image came'):
            node.finish()
    assert not list(tmp_path.iterdir())


def test_mp3_is_recorded_as_the_sound_it_is(tmp_path):
    sound = clicks(2, RATE, 1)
    with spinning(recorder(tmp_path / 'film.mp4')) as node, spinning(Peer()) as peer:
        info = to_ros.audio_format_message(RATE, 1)
        info.coding_format = 'mp3'
        peer.publish('audio_info', info)
        wait_for(lambda: node.audio.format.coded)
        for sample, data in encode_mp3(sound, RATE):
            stamp = START + sample * SECOND // RATE
            peer.publish('audio', to_ros.audio_message(stamp, 'ear', data, node.audio.format))
        wait_for(lambda: (node.recording.sound_end_ns or 0) > START + 19 * SECOND // 10)
        node.recording.add_frame(START, np.zeros((48, 64, 3), np.uint8))
        node.recording.add_frame(START + 2 * SECOND, np.zeros((48, 64, 3), np.uint8))
        node.finish()
    with MediaReader(tmp_path / 'film.mp4') as reader:
        assert reader.info.sample_rate == RATE
        chunks = [chunk for chunk in reader if isinstance(chunk, AudioChunk)]
    heard = np.concatenate([chunk.samples for chunk in chunks])[:, 0].astype(float)
    # The film begins with the sound, of which an encoder puts some before its first sample.
    origin_ns = json.loads((tmp_path / 'film.json').read_text())['origin_ns']
    assert START - SECOND // 10 < origin_ns < START
    for second in (0, 1):
        begin = second * RATE + (START - origin_ns) * RATE // SECOND - RATE // 100
        loud = begin + np.flatnonzero(np.abs(heard[begin:]) > 6000)[0]
        assert abs(origin_ns + loud * SECOND // RATE - START - second * SECOND) < SECOND // 200


def test_what_is_published_best_effort_is_taken(tmp_path):
    """As mgonzs13's capture node does; a reliable subscription would get nothing of it."""
    with (
        spinning(
            recorder(
                tmp_path / 'film.mp4',
                audio_format='S16LE',
                audio_sample_rate=RATE,
                audio_channels=1,
            )
        ) as node,
        spinning(Peer()) as peer,
    ):
        driver = peer.create_publisher(AudioDataStamped, 'audio', qos_profile_sensor_data)
        camera = peer.create_publisher(Image, 'image', qos_profile_sensor_data)
        wait_for(driver.get_subscription_count)
        wait_for(camera.get_subscription_count)
        stamps = iter(range(START, START + 60 * SECOND, SECOND // 10))

        def taken():
            stamp, samples = next(stamps), np.zeros((RATE // 10, 1), np.int16)
            driver.publish(to_ros.samples_to_audio(samples, stamp, 'ear'))
            camera.publish(to_ros.rgb_to_image(picture(), stamp, 'eye'))
            return node.audio.messages and node.recording.newest_frame_ns

        wait_for(taken)
        node.finish()


def test_audio_without_a_format_is_told_at_the_end(tmp_path, capfd):
    with spinning(recorder(tmp_path / 'film.mp4')) as node, spinning(Peer()) as peer:
        peer.publish('audio', to_ros.samples_to_audio(clicks(1, RATE, 1), START, 'eye'))
        wait_for(lambda: node.audio.pending)
        node.recording.add_frame(START, np.zeros((48, 64, 3), np.uint8))
        node.finish()
    assert '1 audio messages are left out, for no AudioInfo' in capfd.readouterr().err


def test_audio_before_its_format_is_kept(tmp_path):
    with spinning(recorder(tmp_path / 'film.mp4')) as node, spinning(Peer()) as peer:
        sound = clicks(1, RATE, 1)
        peer.publish('audio', to_ros.samples_to_audio(sound, START, 'eye'))
        wait_for(lambda: node.audio.pending)
        peer.publisher('audio_info', AudioInfo)
        peer.publish('audio_info', to_ros.audio_format_message(RATE, 1))
        wait_for(lambda: node.recording.sound_end_ns == START + SECOND)
        node.recording.add_frame(START, np.zeros((48, 64, 3), np.uint8))
        node.finish()
    assert not node.audio.pending
    with MediaReader(tmp_path / 'film.mp4') as reader:
        assert reader.info.sample_rate == RATE
