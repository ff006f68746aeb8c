"""
The same answer: what live nodes publish of a replayed bag is what is computed of it offline.

Bags are written by another program, every node is a process of its own, all goes over DDS and is
recorded; the recording is then compared with the core, run over the bag in this process, and with
what `avsol evaluate` writes.
"""

import array
import json
import signal
from contextlib import contextmanager, suppress

import numpy as np
import pytest

pytest.importorskip('rclpy')

import bag_files
from bag_files import AUDIO_DATA_STAMPED, ORIGIN_NS
from processes import finish, read_until, start_avsol
from ros_harness import SECOND, Peer, hears, spinning
from waiting import PATIENCE_S, wait_for

from avsol_ros.bags import BagReader, find_streams
from avsol_ros.cli import main as avsol
from avsol_ros.config import BoxConfig
from avsol_ros.inference.localizer import Localizer
from avsol_ros.localization import find_boxes
from avsol_ros.messages.stamps import stamp_to_ns
from avsol_ros.msg import SoundingObjects
from avsol_ros.streams.intake import Intake, window_config

HOP_S = 0.25
NODE = 'avsol_localizer'
RESULTS = f'/{NODE}/sounding_objects'
HEATMAPS = f'/{NODE}/heatmap_float'
TOLERANCE = 1e-5


pytestmark = pytest.mark.usefixtures('ros')


@pytest.fixture(scope='module')
def model():
    return Localizer.load('compact', 'cpu')


def avsol_node(name, *arguments, simulated=False):
    return start_avsol(
        name,
        *arguments,
        '--ros-args',
        '-p',
        f'use_sim_time:={str(simulated).lower()}',
    )


@contextmanager
def localizing(*arguments):
    """A localizer's process on simulated time, and a peer that has heard of it."""
    process = avsol_node(
        'localizer',
        '--device',
        'cpu',
        '--hop',
        HOP_S,
        '--reliability',
        'reliable',
        '--publish-heatmap-float',
        '--queue-size',
        100,
        *arguments,
        simulated=True,
    )
    try:
        with spinning(Peer()) as peer:
            peer.listen(SoundingObjects, RESULTS)
            wait_for(lambda: hears(peer, RESULTS[1:]) or process.poll() is not None)
            yield peer
        assert process.poll() is None, process.communicate()[0]
        print(finish(process, signal.SIGINT))
    finally:
        process.kill()


@pytest.fixture(scope='module')
def localizer():
    """One for all: another bag is another stream."""
    with localizing() as peer:
        yield peer


def replay(peer, bag, out, rate=0, expected=0, record=(), play=(), statuses=(0,)):
    """
    Play a bag to a localizer that runs, and record all.

    :param expected: results to wait for when playing has ended.
    :returns: what the player said.
    """
    before = len(peer.received[RESULTS])
    recorder = avsol_node('record', out, *record, simulated=True)
    try:
        read_until(recorder, f'recording {RESULTS}', f'recording {HEATMAPS}')
        # The localizer and the recorder.
        player = avsol_node(
            'play',
            bag,
            '--clock',
            '--rate',
            rate,
            '--wait-for-subscribers',
            2,
            '--wait-timeout',
            PATIENCE_S,
            '--result-timeout',
            PATIENCE_S,
            *play,
        )
        said = finish(player, status=statuses)
        with suppress(AssertionError):  # the comparison tells what is missing
            wait_for(lambda: len(peer.received[RESULTS]) - before >= expected)
        finish(recorder, signal.SIGINT)
    finally:
        recorder.kill()
    assert 'overdue' not in said and 'playing without' not in said, said
    return said


def offline(bag, model):
    """Windows of a bag by the core alone: start in ns -> Localization."""
    complaints = []
    intake = Intake(window_config(HOP_S, model.frames), complaints.append)
    model.reset()
    found = {}

    def localize(windows):
        for window in windows:
            assert window.start_ns not in found
            found[window.start_ns] = model(window)

    with BagReader(bag) as reader:
        streams = find_streams(reader)
        if streams.audio_info:
            intake.add_audio_info(next(reader.messages([streams.audio_info])).decode())
        take = {
            streams.image: lambda m: intake.add_image(m.decode()),
            streams.audio: lambda m: intake.add_audio(m.decode(), m.log_ns),
            streams.audio_info: lambda m: intake.add_audio_info(m.decode()),
        }
        for message in reader.messages([topic for topic in take if topic]):
            take[message.topic](message)
            localize(intake.windows())
    localize(intake.finish())
    assert not complaints
    return found


def live(bag):
    """Results that were recorded: (SoundingObjects, heatmap as float32) in their order."""
    results, heatmaps = [], {}
    with BagReader(bag) as reader:
        for message in reader.messages([RESULTS, HEATMAPS]):
            decoded = message.decode()
            if message.topic == RESULTS:
                results.append(decoded)
            else:
                assert decoded.encoding == '32FC1'
                heatmaps.setdefault(stamp_to_ns(decoded.header.stamp), []).append(
                    np.frombuffer(decoded.data, '<f4').reshape(decoded.height, decoded.width)
                )
        assert not reader.problems
    # Two windows may end in the same frame: their maps come in the order of the results.
    return [(result, heatmaps[stamp_to_ns(result.header.stamp)].pop(0)) for result in results]


def compare(found, wanted):
    """
    Check that live results are those computed offline; the largest difference.

    :param found: of :func:`live`; :param wanted: of :func:`offline`.
    """
    starts = [stamp_to_ns(result.window_start) for result, _ in found]
    assert starts == list(wanted)
    worst = 0.0
    for (result, heatmap), localization in zip(found, wanted.values(), strict=True):
        assert stamp_to_ns(result.window_end) == localization.end_ns
        assert stamp_to_ns(result.header.stamp) == localization.stamp_ns
        assert tuple(result.class_names) == localization.class_names
        boxes = find_boxes(localization, BoxConfig())
        assert [d.results[0].hypothesis.class_id for d in result.detections] == [
            box.class_name for box in boxes
        ]
        pairs = [
            (result.avc_probability, localization.avc),
            (result.class_scores, localization.class_scores),
            (heatmap, localization.heatmap_at(*localization.image_size)),
        ]
        for detection, box in zip(result.detections, boxes, strict=True):
            centre, size = (
                detection.bbox.center.position,
                (detection.bbox.size_x, detection.bbox.size_y),
            )
            pairs.append(
                (
                    (centre.x, centre.y, *size, detection.results[0].hypothesis.score),
                    (
                        (box.x0 + box.x1) / 2,
                        (box.y0 + box.y1) / 2,
                        box.x1 - box.x0,
                        box.y1 - box.y0,
                        box.score,
                    ),
                )
            )
        for got, expected in pairs:
            got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
            assert got.shape == expected.shape
            worst = max(worst, float(np.abs(got - expected).max(initial=0)))
    assert worst <= TOLERANCE
    return worst


def evaluate(bag, out, *options):
    """Scores and the rest of what `avsol evaluate` says of a bag."""
    status = avsol(['evaluate', str(bag), '--out', str(out), '--no-video', *map(str, options)])
    assert status in (0, 3)  # 3: with something to say of the bag
    return json.loads((out / 'summary.json').read_text())


def evaluated(bag, out):
    """What `avsol evaluate` says, and what it found, in the form of :func:`live`."""
    summary = evaluate(bag, out, '--device', 'cpu', '--hop', HOP_S, '--heatmap-size', 'camera')
    return summary, live(out / 'localizations')


def check(peer, model, bag, out, **options):
    """Replay a bag and compare; the live results."""
    wanted = offline(bag, model)
    said = replay(peer, bag, out, expected=len(wanted), **options)
    found = live(out)
    worst = compare(found, wanted)
    summary, written = evaluated(bag, out.with_name(f'{out.name}_offline'))
    assert difference(found, written) <= TOLERANCE
    assert summary['runs'][0]['windows'] == len(found)
    print(
        json.dumps(
            {
                'windows': len(wanted),
                'worst': worst,
                'evaluate': difference(found, written),
                'said': said,
            }
        )
    )
    return found


def difference(first, second):
    """Largest difference of two runs' numbers, whose windows, stamps and boxes are the same."""
    worst = 0.0
    for (a, map_a), (b, map_b) in zip(first, second, strict=True):
        for field in ('window_start', 'window_end'):
            assert stamp_to_ns(getattr(a, field)) == stamp_to_ns(getattr(b, field))
        assert stamp_to_ns(a.header.stamp) == stamp_to_ns(b.header.stamp)
        assert len(a.detections) == len(b.detections)
        for one, other in zip(
            [a.avc_probability, a.audio_missing, a.class_scores, map_a],
            [b.avc_probability, b.audio_missing, b.class_scores, map_b],
            strict=True,
        ):
            worst = max(worst, float(np.abs(np.float64(one) - np.float64(other)).max()))
    return worst


def at_s(seconds):
    return ORIGIN_NS + round(seconds * SECOND)


def without(messages, topic, begin_s, end_s):
    """Messages without those of a topic ('' for all) that were logged between two times."""
    return [
        m for m in messages if not (m[0].startswith(topic) and at_s(begin_s) <= m[2] < at_s(end_s))
    ]


def shifted(messages, from_s, by_s):
    """Messages with the clock that stamps them, not that of the log, set at a time."""
    moved = []
    for topic, kind, log_ns, fields in messages:
        if log_ns >= at_s(from_s) and 'header' in fields:
            header = fields['header']
            fields = {
                **fields,
                'header': {**header, 'stamp': header['stamp'] + round(by_s * SECOND)},
            }
        moved.append((topic, kind, log_ns, fields))
    return moved


def with_jittered_44100(messages, seed=3):
    """The sound again, stereo at 44.1 kHz, with a clock 100 ppm fast and stamps that jitter."""
    rate, chunk = 44_100, 1024
    pcm = np.concatenate(
        [
            np.frombuffer(f['audio']['data'], '<i2')
            for t, _, _, f in messages
            if t == '/audio_stamped'
        ]
    )
    at = np.arange(len(pcm) * rate // 16_000) * 16_000 / rate
    left = np.interp(at, np.arange(len(pcm)), pcm)
    stereo = np.stack([left, 0.5 * left], axis=1).astype('<i2')
    jitter_ns = np.random.default_rng(seed).integers(-3_000_000, 3_000_000, len(stereo))
    kept = [m for m in messages if not m[0].startswith('/audio')]
    for n, begin in enumerate(range(0, len(stereo) - chunk, chunk)):
        true_ns = ORIGIN_NS + round(begin * SECOND / (rate * 1.0001))
        kept.append(
            (
                '/audio_stamped',
                AUDIO_DATA_STAMPED,
                true_ns + chunk * SECOND // rate + 8_000_000 + int(jitter_ns[n]),
                {
                    'header': {'stamp': true_ns + int(jitter_ns[n]), 'frame_id': 'mic'},
                    'audio': {'data': array.array('B', stereo[begin : begin + chunk].tobytes())},
                },
            )
        )
    kept.append(
        (
            '/audio_info',
            bag_files.AUDIO_INFO,
            ORIGIN_NS + SECOND // 3,
            {
                'channels': 2,
                'sample_rate': rate,
                'sample_format': 'S16LE',
                'coding_format': 'wave',
                'bitrate': 0,
            },
        )
    )
    return sorted(kept, key=lambda m: m[2])


def test_live_is_offline_and_two_replays_are_identical(localizer, model, tmp_path):
    bag = bag_files.write_mcap(tmp_path / 'scene.mcap', bag_files.scene_messages(3))
    first = check(localizer, model, bag, tmp_path / 'first')
    assert len(first) == 9
    replay(localizer, bag, tmp_path / 'second', rate=2, expected=9)
    assert difference(first, live(tmp_path / 'second')) == 0
    # And scored, both are worth the same.
    rows = [
        summary['scores']['rows'][0]
        for summary in (
            evaluated(bag, tmp_path / 'again')[0],
            evaluate(bag, tmp_path / 'recorded', '--recorded', tmp_path / 'first'),
        )
    ]
    for name in ('hmbox_auc', 'pibr', 'pnsr'):
        assert rows[0][name] == pytest.approx(rows[1][name], abs=TOLERANCE)


VARIANTS = {
    'unstamped': lambda: bag_files.scene_messages(4, sound='plain'),
    'the other audio package': lambda: bag_files.scene_messages(4, sound='mgonzs13'),
    # The first second of MP3 is recorded before any AudioInfo.
    'late mp3': lambda: without(bag_files.scene_messages(5, sound='mp3'), '/audio_info', 0, 3),
    'resampled': lambda: with_jittered_44100(bag_files.scene_messages(5)),
    'lost chunks': lambda: without(
        without(bag_files.scene_messages(6), '/audio_stamped', 1, 1.05), '/audio_stamped', 2.5, 2.9
    ),
    'sound stops': lambda: without(bag_files.scene_messages(8), '/audio_stamped', 2.5, 4.5),
    'a hole in all': lambda: without(bag_files.scene_messages(8), '', 2.6, 5.7),
    'clock set back': lambda: shifted(bag_files.scene_messages(6), 3, -30),
    'clock set on': lambda: shifted(bag_files.scene_messages(6), 3, 30),
}


@pytest.mark.slow
@pytest.mark.parametrize('name', VARIANTS)
def test_live_is_offline_whatever_was_recorded(name, localizer, model, tmp_path):
    bag = bag_files.write_mcap(tmp_path / 'scene.mcap', VARIANTS[name]())
    assert check(localizer, model, bag, tmp_path / 'live')


@pytest.mark.slow
def test_live_is_offline_at_the_speed_of_the_recording(localizer, model, tmp_path):
    bag = bag_files.write_sqlite(tmp_path / 'scene', bag_files.scene_messages(5))
    check(localizer, model, bag, tmp_path / 'live', rate=1)


@pytest.mark.slow
def test_live_is_offline_with_jpeg(model, tmp_path):
    bag = bag_files.write_mcap(tmp_path / 'scene.mcap', bag_files.scene_messages(4, camera='jpeg'))
    with localizing('--image-transport', 'compressed') as peer:
        check(peer, model, bag, tmp_path / 'live', record=('--image-transport', 'compressed'))
