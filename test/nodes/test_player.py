"""A media file comes out of `play` as it is, at the times it should."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')

import bag_files
from audio_common_msgs.msg import AudioDataStamped, AudioInfo
from processes import finish, start_avsol
from rclpy.parameter import Parameter
from ros_harness import SECOND, Peer, hears, spinning
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from stand_ins import write_model
from waiting import PATIENCE_S, wait_for

from avsol_ros.bags import BagReader
from avsol_ros.errors import AvsolError
from avsol_ros.media.film_reader import MediaReader, VideoChunk
from avsol_ros.media.film_writer import MediaWriter
from avsol_ros.messages import to_ros
from avsol_ros.messages.images import compressed_image_to_rgb, image_to_rgb
from avsol_ros.messages.pcm import pcm_to_float
from avsol_ros.msg import SoundingObjects
from avsol_ros.nodes.playback import parse_size, parse_start_time
from avsol_ros.nodes.player import PlayNode, run

WIDTH, HEIGHT, FRAME_RATE, SECONDS = 320, 240, 25, 2
SAMPLE_RATE = 44_100


pytestmark = pytest.mark.usefixtures('ros')


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    """A short film: a bright square that moves, and a stereo tone."""
    path = tmp_path_factory.mktemp('media') / 'clip.mp4'
    with MediaWriter(path, WIDTH, HEIGHT, FRAME_RATE, SAMPLE_RATE, 2) as writer:
        for i in range(FRAME_RATE * SECONDS):
            image = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
            image[80:140, 4 * i : 4 * i + 60] = (240, 200, 60)
            writer.add_frame(image)
        time_s = np.arange(SAMPLE_RATE * SECONDS) / SAMPLE_RATE
        left, right = (0.4 * np.sin(2 * np.pi * pitch * time_s) for pitch in (440, 660))
        writer.add_audio(np.stack([left, right], axis=1).astype(np.float32))
    return path


@pytest.fixture(scope='module')
def content(clip):
    """What a reader of its own finds in the clip: frames, chunks of sound, the info."""
    with MediaReader(clip) as reader:
        chunks = list(reader)
        return (
            [c for c in chunks if isinstance(c, VideoChunk)],
            [c for c in chunks if not isinstance(c, VideoChunk)],
            reader.info,
        )


def player(file='', **values):
    """Make a player in this process, which begins sooner than one of its own."""
    return PlayNode(
        parameter_overrides=[
            Parameter(name, value=value) for name, value in {'file': str(file), **values}.items()
        ]
    )


def play(file, **values):
    assert run(player(file, **values)) == []


@contextmanager
def playing(file, **values):
    """Play in a thread, at most as long as the body lasts."""
    node = player(file, **values)
    with ThreadPoolExecutor() as pool:
        try:
            yield pool.submit(run, node)
        finally:
            node.stop()


def listening(peer, image='image'):
    kind = CompressedImage if image.endswith('compressed') else Image
    return (
        peer.listen(kind, image),
        peer.listen(AudioDataStamped, 'audio'),
        peer.listen(AudioInfo, 'audio_info'),
    )


def stamps(messages):
    return [to_ros.stamp_to_ns(msg.header.stamp) for msg in messages]


def test_the_messages_are_the_file(clip, content):
    frames, chunks, info = content
    with spinning(Peer()) as peer:
        images, audio, audio_info = listening(peer)
        output = finish(
            start_avsol('play', clip, '--rate', 4, '--start-time', '100.25', '--frame-id', 'eye')
        )
        wait_for(lambda: len(images) == len(frames) and len(audio) == len(chunks))
        base = 100 * SECOND + SECOND // 4
        assert stamps(images) == [base + frame.time_ns for frame in frames]
        assert stamps(audio) == [base + chunk.time_ns for chunk in chunks]
        for msg, frame in zip(images, frames, strict=True):
            assert msg.encoding == 'rgb8'
            np.testing.assert_array_equal(image_to_rgb(msg), frame.image)
        assert {msg.header.frame_id for msg in (*images, *audio)} == {'eye'}
        told = audio_info[0]
        assert (told.sample_rate, told.channels) == (SAMPLE_RATE, 2)
        sound = np.concatenate(
            [pcm_to_float(msg.audio.data, told.sample_format, 2) for msg in audio]
        )
        np.testing.assert_array_equal(
            sound * 32768, np.concatenate([chunk.samples for chunk in chunks])
        )
    assert f'{len(frames)} frames and {len(chunks)} audio messages' in output


def test_a_loop_goes_on_by_the_exact_length(clip, content):
    frames, chunks, info = content
    with spinning(Peer()) as peer:
        images, audio, _ = listening(peer)
        process = start_avsol('play', clip, '--rate', 8, '--loop', '--start-time', 0)
        wait_for(lambda: len(images) > 2.2 * len(frames))
        finish(process, signal.SIGINT)
        found = stamps(images)
        assert found[: len(frames)] == [frame.time_ns for frame in frames]
        assert {
            after - before for before, after in zip(found, found[len(frames) :], strict=False)
        } == {info.duration_ns}
        heard = stamps(audio)
        assert {
            after - before for before, after in zip(heard, heard[len(chunks) :], strict=False)
        } == {info.duration_ns}
        assert all(before < after for before, after in pairwise(found))


def test_a_player_that_is_late_stops_when_told(clip):
    """It never waits for the time of a message, where it else sees that it is to stop."""
    with spinning(Peer()) as peer:
        images, *_ = listening(peer)
        with playing(clip, rate=100.0, loop=True) as ended:
            wait_for(lambda: images)
        assert ended.result(0) == []


def test_compressed_and_resized(clip, content):
    frames, _, _ = content
    with spinning(Peer()) as peer:
        images, _, _ = listening(peer, 'image/compressed')
        before = time.time()
        play(clip, rate=8, compressed=True, image_size='160x100')
        wait_for(lambda: len(images) == len(frames))
        for msg, frame in list(zip(images, frames, strict=True))[::10]:
            found = compressed_image_to_rgb(msg)
            assert found.shape == (100, 160, 3)
            wanted = cv2.resize(frame.image, (160, 100), interpolation=cv2.INTER_AREA)
            assert np.abs(found.astype(int) - wanted).mean() < 4
    # By default the stamps are of the present, beginning with a whole second.
    base = stamps(images)[0] - frames[0].time_ns
    assert base % SECOND == 0
    assert before - 1 <= base / SECOND <= time.time()


def test_it_follows_the_results(clip, content, capfd):
    frames, _, _ = content
    with (
        spinning(Peer()) as peer,
        playing(clip, rate=0, start_time='0', ahead=0.5, result_timeout=600.0) as played,
    ):
        images, _, _ = listening(peer)
        publisher = peer.create_publisher(SoundingObjects, 'avsol_localizer/sounding_objects', 10)
        wait_for(lambda: publisher.get_subscription_count() > 0)
        # Without results it goes as far as it may, and then up to a second in steps.
        wait_for(lambda: images and stamps(images)[-1] >= 0.44 * SECOND)
        assert stamps(images)[-1] <= 1.5 * SECOND
        for end_ns in (SECOND, SECOND + SECOND // 2, 2 * SECOND):
            publisher.publish(SoundingObjects(window_end=to_ros.ns_to_stamp(end_ns)))
            limit = min(end_ns + SECOND // 2, frames[-1].time_ns)
            wait_for(lambda limit=limit: stamps(images)[-1] > limit - SECOND // 20)
            # The sound, of which a piece lasts 23 ms, is what keeps to the limit.
            assert stamps(images)[-1] <= limit + SECOND // 40
        assert played.result(PATIENCE_S) == []
        assert len(images) == len(frames)
    assert '3 results' in capfd.readouterr().err


def test_subscribers_of_the_other_form_of_images_are_told_of(clip, capfd):
    with spinning(Peer()) as peer:
        listening(peer)
        play(clip, rate=100, compressed=True, wait_timeout=4.0)
    said = capfd.readouterr().err
    assert 'subscribes to /image, and nobody to /image/compressed, which is played' in said
    assert 'set image_transport to compressed' in said


def test_with_no_localizer_there_is_nothing_to_follow(clip):
    text = 'nobody publishes /avsol_localizer/sounding_objects {}, .* play at another rate'
    with pytest.raises(AvsolError, match=text.format('yet')):
        run(player(clip, rate=0, wait_timeout=0.2))
    with pytest.raises(AvsolError, match=text.format('yet')):
        run(player(clip, rate=0, wait_for_subscribers=0, ahead=0.3, result_timeout=0.1))


def test_it_ends_when_the_localizer_has_gone(clip, capfd):
    with (
        spinning(Peer()) as peer,
        playing(clip, rate=0, start_time='0', ahead=0.2, result_timeout=0.3) as played,
    ):
        images, _, _ = listening(peer)
        publisher = peer.create_publisher(SoundingObjects, 'avsol_localizer/sounding_objects', 10)
        wait_for(lambda: images)
        publisher.publish(SoundingObjects(window_end=to_ros.ns_to_stamp(SECOND // 4)))
        seen = []

        def told():
            assert not played.done(), seen
            seen.append(capfd.readouterr().err)
            return 'no result for 0.3 s; playing goes on in small steps' in ''.join(seen)

        wait_for(told)
        peer.destroy_publisher(publisher)
        with pytest.raises(AvsolError, match='nobody publishes .* any more, which rate 0 follows'):
            played.result(PATIENCE_S)


def test_a_localizer_gets_every_window_of_a_file(clip, tmp_path):
    checkpoint, _ = write_model(tmp_path / 'random.safetensors')
    with spinning(Peer()) as peer:
        results = peer.listen(SoundingObjects, 'avsol_localizer/sounding_objects')
        overlays = peer.listen(Image, 'avsol_localizer/overlay')
        localizer = start_avsol(
            'localizer',
            '--model',
            checkpoint,
            '--device',
            'cpu',
            '--hop',
            0.25,
            '--threads',
            1,
            '--stream-timeout',
            0.5,
        )
        wait_for(
            lambda: (
                hears(peer, 'avsol_localizer/sounding_objects')
                and hears(peer, 'avsol_localizer/overlay')
            )
        )
        output = finish(
            start_avsol(
                'play', clip, '--rate', 0, '--start-time', 7, '--result-timeout', PATIENCE_S
            )
        )
        starts = [7 * SECOND + i * SECOND // 4 for i in range(5)]
        wait_for(lambda: len(results) == 5)
        assert [to_ros.stamp_to_ns(msg.window_start) for msg in results] == starts
        wait_for(lambda: len(overlays) == 5)
        assert {(msg.width, msg.height, msg.header.frame_id) for msg in overlays} == {
            (WIDTH, HEIGHT, 'camera')
        }
        assert 'overdue' not in output
        finish(localizer, signal.SIGTERM)


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    """A bag by another writer, and its messages as (topic, log time, bytes)."""
    path = bag_files.write_mcap(
        tmp_path_factory.mktemp('bags') / 'scene.mcap', bag_files.scene_messages(2)
    )
    with BagReader(path) as reader:
        return path, [(m.topic, m.log_ns, m.raw) for m in reader.messages()]


def raw_of(bag, topic):
    return [raw for name, _, raw in bag[1] if name == topic]


def listen_raw(peer):
    """Bytes that come as image, audio and audio_info."""
    found = {'image': [], 'audio': [], 'audio_info': []}
    for (topic, kept), kind in zip(
        found.items(), (Image, AudioDataStamped, AudioInfo), strict=True
    ):
        peer.create_subscription(kind, topic, kept.append, 200, raw=True)
    return found


def test_a_bag_comes_out_as_it_was_recorded(bag):
    path, recorded = bag
    with spinning(Peer()) as peer:
        found, clock = listen_raw(peer), peer.listen(Clock, '/clock')
        play(path, rate=4, clock=True)
        images, audio = raw_of(bag, '/camera/image_raw'), raw_of(bag, '/audio_stamped')
        wait_for(lambda: len(found['image']) == len(images) and len(found['audio']) == len(audio))
        assert [bytes(raw) for raw in found['image']] == images
        assert [bytes(raw) for raw in found['audio']] == audio
        # Its format comes first and again and again, and was the same all the time.
        # DDS may fill up the last four bytes.
        info = raw_of(bag, '/audio_info')[0]
        assert {bytes(raw)[: len(info)] for raw in found['audio_info']} == {info}
        times = [to_ros.stamp_to_ns(msg.clock) for msg in clock]
    # Time rises, through the log times that were played and on by some seconds.
    logged = [log_ns for topic, log_ns, _ in recorded if topic != '/ground_truth']
    assert times == sorted(times)
    assert len(set(times) & set(logged)) > 0.8 * len(set(logged))
    assert max(logged) + 2.5 * SECOND < times[-1] < max(logged) + 4 * SECOND


def test_a_film_can_have_a_clock(clip, content):
    with spinning(Peer()) as peer:
        images, clock = peer.listen(Image, 'image'), peer.listen(Clock, '/clock')
        peer.listen(AudioDataStamped, 'audio')
        play(clip, rate=8, clock=True, start_time='50')
        wait_for(lambda: len(images) == len(content[0]))
        times = [to_ros.stamp_to_ns(msg.clock) for msg in clock]
    assert times == sorted(times) and times[0] <= 51 * SECOND
    assert (50 + SECONDS + 2.5) * SECOND < times[-1] < (50 + SECONDS + 4) * SECOND


def test_a_new_format_is_told_between_the_sounds(tmp_path):
    messages = []
    for n in range(20):
        log_ns = bag_files.ORIGIN_NS + n * SECOND // 20
        header = {'stamp': log_ns, 'frame_id': 'x'}
        messages.append(
            (
                '/camera',
                bag_files.IMAGE,
                log_ns,
                {
                    'header': header,
                    'height': 1,
                    'width': 1,
                    'encoding': 'rgb8',
                    'step': 3,
                    'is_bigendian': 0,
                    'data': bytes(3),
                },
            )
        )
        if n in (0, 10):
            messages.append(
                (
                    '/audio_info',
                    bag_files.AUDIO_INFO,
                    log_ns,
                    {
                        'channels': 1 + n // 10,
                        'sample_rate': 16_000,
                        'sample_format': 'S16LE',
                        'bitrate': 0,
                        'coding_format': 'wave',
                    },
                )
            )
        messages.append(
            (
                '/audio',
                bag_files.AUDIO_DATA_STAMPED,
                log_ns,
                {'header': header, 'audio': {'data': bytes(1600)}},
            )
        )
    path = bag_files.write_mcap(tmp_path / 'bag.mcap', messages)
    order = []
    with spinning(Peer()) as peer:
        peer.create_subscription(
            AudioInfo, 'audio_info', lambda msg: order.append(msg.channels), 100
        )
        peer.create_subscription(AudioDataStamped, 'audio', lambda _: order.append('sound'), 100)
        images = peer.listen(Image, 'image')
        play(path, rate=2)
        wait_for(lambda: order.count('sound') == 20 and len(images) == 20)
    assert order[0] == 1 and order.index(2) > order.index('sound')
    assert order[: order.index(2)].count('sound') == 10
    assert 1 not in order[order.index(2) :]


def test_what_of_a_bag_can_be_read_is_played(bag, tmp_path):
    path = tmp_path / 'torn.mcap'
    path.write_bytes(bag[0].read_bytes()[: -bag[0].stat().st_size // 3])
    with BagReader(path) as reader:
        names = [message.topic for message in reader.messages()]
        problems = reader.problems
    assert problems and 10 < names.count('/camera/image_raw') < 50
    with spinning(Peer()) as peer:
        found = listen_raw(peer)
        output = finish(start_avsol('play', path, '--rate', 4), status=3)
        wait_for(lambda: len(found['image']) == names.count('/camera/image_raw'))
    for problem in problems:
        assert output.count(problem) == 1


@pytest.mark.parametrize(
    'values, text',
    [
        ({'loop': True}, 'loop: only films can be played so'),
        ({'image_size': '64x48', 'frame_id': 'x'}, 'frame_id, image_size: only films'),
        ({'compressed': True}, 'compressed: /camera/image_raw has raw images'),
        ({'image_topic': '/nowhere'}, 'has no topic /nowhere'),
        ({'image_topic': '/audio_info'}, '/audio_info is audio_common_msgs/msg/AudioInfo'),
    ],
)
def test_what_cannot_be_done_with_a_bag_is_told(values, text, bag):
    with pytest.raises(AvsolError, match=text):
        player(bag[0], **values)


@pytest.mark.parametrize(
    'file, values, text',
    [
        ('', {}, 'no file is given; expected a media file or a bag, as in: avsol play clip.mp4'),
        ('nowhere.mp4', {}, 'nowhere.mp4 does not exist'),
        ('CLIP', {'image_size': '640'}, "image_size is '640'; expected WIDTHxHEIGHT"),
        ('CLIP', {'start_time': 'noon'}, "start_time is 'noon'; expected 'now' or seconds"),
        ('CLIP', {'rate': -1.0}, 'rate is -1.0; expected 0 to 100'),
    ],
)
def test_what_cannot_be_played_is_told(file, values, text, clip):
    with pytest.raises(AvsolError, match=text):
        player(clip if file == 'CLIP' else file, **values)


def test_what_goes_wrong_is_one_line():
    (line,) = finish(start_avsol('play', 'nowhere.mp4'), status=1).splitlines()
    assert line.startswith('avsol play: error: nowhere.mp4 does not exist')


def test_sizes_and_start_times():
    assert parse_size('') is None
    assert parse_size('640x480') == (640, 480)
    assert parse_start_time('now', 5 * SECOND + 999) == 5 * SECOND
    assert parse_start_time('0', 77) == 0
    assert parse_start_time('1700000000.000000001', 77) == 1_700_000_000 * SECOND + 1
    assert parse_start_time('12.5', 77) == 12 * SECOND + SECOND // 2
