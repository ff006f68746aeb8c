"""
Bags to datasets and back. The other side of each test is what was put into the bag, encoded by a
program that is not ours, and PyAV or OpenCV for films.
"""

import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from ave_dataset import make_ave
from bag_files import (
    AUDIO_DATA_STAMPED,
    AUDIO_INFO,
    COMPRESSED,
    DETECTIONS,
    IMAGE,
    ORIGIN_NS,
    foreign_cdr,
    scene_messages,
    write_mcap,
    write_ours,
    write_sqlite,
)
from films import write_film
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import PATIENCE_S

from avsol_ros.bags import BagReader
from avsol_ros.cli import main
from avsol_ros.media.film_reader import AudioChunk, MediaReader
from avsol_ros.messages.pcm import _PCM_FORMATS, pcm_to_float
from avsol_ros.training.annotations.annotation_files import read_annotations, write_annotations
from avsol_ros.training.annotations.model import Annotation, FrameTruth, ObjectTruth
from avsol_ros.training.annotations.truth_messages import detections_to_truth
from avsol_ros.training.convert.exact_sound import Packing
from avsol_ros.training.convert.to_dataset import bags_in
from avsol_ros.training.datasets.ave import read_ave
from avsol_ros.training.datasets.prepared import PreparedAve

SECOND = 1_000_000_000


def convert(*arguments) -> int:
    return main(['convert', *map(str, arguments)])


def refusal(capsys, *arguments) -> str:
    capsys.readouterr()
    assert convert(*arguments) == 1
    said = capsys.readouterr().err
    assert said.startswith('avsol convert: error: ') and said.count('\n') == 1
    return said


def recorded(bag) -> dict[str, list[tuple[str, int, bytes]]]:
    """Messages of a bag by topic: type, log time, bytes."""
    found = {}
    with BagReader(bag) as reader:
        for message in reader.messages():
            found.setdefault(message.topic, []).append(
                (message.type, message.log_ns, bytes(message.raw))
            )
        assert reader.problems == []
    return found


def wanted(messages) -> dict[str, list[tuple[str, int, bytes]]]:
    found = {}
    for topic, kind, log_ns, fields in messages:
        found.setdefault(topic, []).append((kind, log_ns, foreign_cdr(kind, fields)))
    return found


def there_and_back(folder: Path, bag: Path, *options) -> Path:
    assert convert(bag, folder / 'dataset', *options) == 0
    assert convert(folder / 'dataset', folder / 'bags') == 0
    (found,) = (folder / 'bags').iterdir()
    return found


def film(path, **options):
    """Times in ns and pictures, samples and their rate."""
    with MediaReader(path, need_audio=False, **options) as reader:
        chunks = list(reader)
    frames = [c for c in chunks if not isinstance(c, AudioChunk)]
    sound = [c.samples for c in chunks if isinstance(c, AudioChunk)]
    return frames, np.concatenate(sound) if sound else None, reader.info.sample_rate


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob('*'))
        if p.is_file() and p.name != '.lock'
    }


@pytest.mark.parametrize(
    'camera, sound, options',
    [
        ('jpeg', 'stamped', ()),
        ('jpeg', 'mp3', ()),
        ('jpeg', 'mgonzs13', ()),
        ('raw', 'plain', ('--lossless',)),
        ('jpeg', '', ()),
    ],
)
@pytest.mark.parametrize('write', [write_mcap, write_sqlite])
def test_a_foreign_bag_comes_back_byte_for_byte(tmp_path, camera, sound, options, write):
    messages = scene_messages(11, camera=camera, sound=sound, frame_rate=10)
    bag = write(tmp_path / ('tour.mcap' if write is write_mcap else 'tour'), messages)
    assert recorded(there_and_back(tmp_path, bag, *options)) == wanted(messages)


def test_raw_pictures_as_h264_keep_their_stamps_and_look_alike(tmp_path):
    messages = scene_messages(3, camera='raw', width=161, height=119)
    back = recorded(there_and_back(tmp_path, write_mcap(tmp_path / 'a.mcap', messages)))
    before = wanted(messages)
    for topic in ('/audio_stamped', '/audio_info', '/ground_truth'):
        assert back[topic] == before[topic]
    with av.open(str(tmp_path / 'dataset/AVE/a_0000.mp4')) as container:
        assert container.streams.video[0].codec_context.name == 'h264'
    assert len(back['/camera/image_raw']) == 75
    for (_, log, raw), (_, log_before, raw_before) in zip(
        back['/camera/image_raw'], before['/camera/image_raw']
    ):
        size = 161 * 119 * 3
        assert log == log_before and raw[:-size] == raw_before[:-size], 'header and encoding'
        pixels, pixels_before = (
            np.frombuffer(r[-size:], np.uint8).astype(int) for r in (raw, raw_before)
        )
        assert np.abs(pixels - pixels_before).mean() < 5


@pytest.mark.parametrize(
    'encoding, dtype, channels',
    [
        ('bgr8', 'u1', 3),
        ('rgba8', 'u1', 4),
        ('bgra8', 'u1', 4),
        ('mono8', 'u1', 1),
        ('mono16', '<u2', 1),
        ('bgr16', '<u2', 3),
    ],
)
def test_lossless_keeps_every_pixel(tmp_path, encoding, dtype, channels):
    rng = np.random.default_rng(0)
    messages = []
    for index in range(5):
        stamp = ORIGIN_NS + index * SECOND // 5
        pixels = rng.integers(0, 256, (24, 32 * channels * np.dtype(dtype).itemsize), np.uint8)
        messages.append(
            (
                '/camera',
                IMAGE,
                stamp,
                {
                    'header': {'stamp': stamp, 'frame_id': 'eye'},
                    'height': 24,
                    'width': 32,
                    'encoding': encoding,
                    'is_bigendian': 0,
                    'step': pixels.shape[1],
                    'data': pixels.tobytes(),
                },
            )
        )
    bag = write_mcap(tmp_path / 'a.mcap', messages)
    assert recorded(there_and_back(tmp_path, bag, '--lossless')) == wanted(messages)


@pytest.mark.parametrize('name', _PCM_FORMATS)
@given(st.data())
@settings(max_examples=15)
def test_samples_of_every_format_and_their_bytes(name, data):
    kind, bits, size, order = _PCM_FORMATS[name]
    channels = data.draw(st.integers(1, 3))
    raw = data.draw(st.binary(min_size=size * channels, max_size=size * channels * 20))
    raw = raw[: len(raw) // (size * channels) * size * channels]
    packing = Packing(name, channels)
    samples = packing.samples(raw)
    scale = 1 if kind == 'F' else 2.0 ** (8 * samples.itemsize - 1)
    with np.errstate(invalid='ignore'):
        heard = samples.astype(np.float64) / scale
    heard = np.clip(np.nan_to_num(heard, nan=0.0), -1, 1)
    assert heard == pytest.approx(pcm_to_float(raw, name, channels), abs=1e-7)
    back = packing.data(samples)
    if bits == 8 * size or kind == 'F':
        assert back == raw or np.isnan(np.frombuffer(raw, f'{order}f{size}')).any()
    assert packing.data(packing.samples(back)) == back


@pytest.mark.parametrize(
    'name, channels, codec',
    [
        ('S16LE', 2, 'flac'),
        ('U8', 1, 'flac'),
        ('S24BE', 1, 'flac'),
        ('S24_32LE', 2, 'flac'),
        ('S32LE', 6, 'pcm_s32le'),
        ('F32LE', 2, 'pcm_f32le'),
        ('F64BE', 1, 'pcm_f64le'),
        ('S16LE', 10, 'flac'),
    ],
)
def test_sound_of_every_kind_comes_back_bit_for_bit(tmp_path, name, channels, codec):
    rng = np.random.default_rng(1)
    size = _PCM_FORMATS[name][2]
    messages = [
        (
            '/info',
            AUDIO_INFO,
            ORIGIN_NS,
            {
                'channels': channels,
                'sample_rate': 8000,
                'sample_format': name,
                'bitrate': 0,
                'coding_format': 'wave',
            },
        )
    ]
    for index in range(20):
        stamp = ORIGIN_NS + index * SECOND // 10
        # Any bits, also those of a container that do not count, and now and then an odd byte.
        data = (
            rng.normal(0, 0.3, 800 * channels)
            .astype(f'{name[-2:] == "BE" and ">" or "<"}f{size}')
            .tobytes()
            if name[0] == 'F'
            else rng.bytes(800 * channels * size + (index == 7))
        )
        messages.append(
            (
                '/sound',
                AUDIO_DATA_STAMPED,
                stamp + 5,
                {'header': {'stamp': stamp, 'frame_id': 'ear'}, 'audio': {'data': data}},
            )
        )
        messages.append(jpeg(stamp))
    bag = write_mcap(tmp_path / 'a.mcap', sorted(messages, key=lambda m: m[2]))
    assert wanted(sorted(messages, key=lambda m: m[2])) == recorded(there_and_back(tmp_path, bag))
    with av.open(str(tmp_path / 'dataset/AVE/a_0000.mp4')) as container:
        assert container.streams.audio[0].codec_context.name == codec


def jpeg(stamp, value=90, log_ns=None, side=32):
    data = cv2.imencode('.jpg', np.full((side, side, 3), value, np.uint8))[1].tobytes()
    return (
        '/camera/compressed',
        COMPRESSED,
        stamp if log_ns is None else log_ns,
        {'header': {'stamp': stamp, 'frame_id': 'eye'}, 'format': 'jpeg', 'data': data},
    )


def sound(stamp, samples, log_ns=None):
    return (
        '/audio_stamped',
        AUDIO_DATA_STAMPED,
        stamp if log_ns is None else log_ns,
        {
            'header': {'stamp': stamp, 'frame_id': 'ear'},
            'audio': {'data': np.asarray(samples, '<i2').tobytes()},
        },
    )


def info():
    return (
        '/audio_info',
        AUDIO_INFO,
        ORIGIN_NS - 1,
        {
            'channels': 1,
            'sample_rate': 16000,
            'sample_format': 'S16LE',
            'bitrate': 0,
            'coding_format': 'wave',
        },
    )


@settings(max_examples=6)
@given(seed=st.integers(0, 2**32 - 1))
def test_whatever_the_stamps_are_like_chunks_and_pictures_come_back(tmp_path_factory, seed):
    """Jitter, drift, lost and doubled chunks, holes, chunks before the camera, odd sizes."""
    folder = tmp_path_factory.mktemp('stamps')
    rng = np.random.default_rng(seed)
    messages = [info()]
    time_s, drift = -0.3, 1 + rng.uniform(-1e-3, 1e-3)
    jitter = rng.choice([0, 1e-4, 5e-3])
    while time_s < 11.7:
        count = int(rng.integers(1, 1600))
        stamp = ORIGIN_NS + round((time_s + rng.normal(0, jitter)) * SECOND)
        chunk = sound(
            stamp, rng.integers(-9000, 9000, count), ORIGIN_NS + round((time_s + 0.1) * SECOND)
        )
        messages += [chunk] * (1 + (rng.random() < 0.01))
        time_s += count / 16000 * drift
        if rng.random() < 0.01:
            time_s += rng.choice([0.05, 0.4, 3.0, -0.1])
    time_s = 0.0
    while time_s < 11.5:
        stamp = ORIGIN_NS + round(time_s * SECOND)
        messages.append(jpeg(stamp, int(rng.integers(256)), stamp + 30_000_000))
        time_s += rng.choice([0.05, 0.1, 0.2, 2.5], p=[0.5, 0.3, 0.19, 0.01])
    messages.sort(key=lambda m: m[2])
    bag = write_ours(folder / 'a', messages)
    assert convert(bag, folder / 'dataset') in (0, 3)
    assert convert(folder / 'dataset', folder / 'bags') == 0
    back, before = recorded(folder / 'bags' / 'a'), wanted(messages)
    assert back['/camera/compressed'] == before['/camera/compressed']
    # Of equal log times the order is free.
    assert sorted(back['/audio_stamped']) == sorted(before['/audio_stamped'])


def test_sound_that_jumps_back_into_a_clip_that_is_closed(tmp_path):
    """Its film has that time already; the bytes stay, though nothing is open for them any more."""
    messages, steps = [info()], [k / 10 for k in range(102)] + [k / 10 for k in range(95, 120)]
    for index, at in enumerate(steps):
        log_ns = ORIGIN_NS + index * SECOND // 10 + SECOND // 5
        messages.append(sound(ORIGIN_NS + round(at * SECOND), np.full(1600, index), log_ns))
    messages += [jpeg(ORIGIN_NS + index * SECOND // 10) for index in range(130)]
    messages.sort(key=lambda m: m[2])
    bag = write_ours(tmp_path / 'a', messages)
    back, before = recorded(there_and_back(tmp_path, bag)), wanted(messages)
    assert back == before


def test_sound_is_in_the_film_at_its_time_and_holes_are_silent(tmp_path):
    messages = [info()]
    burst = np.full(320, 20000)
    for index in range(600):
        stamp = ORIGIN_NS + index * SECOND // 50
        if 150 <= index < 250 or index == 400:
            continue  # two seconds, and one chunk, are lost
        # A burst every second, from half a second on.
        messages.append(sound(stamp, burst if index % 50 == 25 else np.full(320, 1)))
    messages += [jpeg(ORIGIN_NS + index * SECOND // 10, index) for index in range(120)]
    bag = write_ours(tmp_path / 'a', sorted(messages, key=lambda m: m[2]))
    assert convert(bag, tmp_path / 'dataset') == 0
    for clip, (first, last) in enumerate([(0, 10), (10, 12)]):
        frames, samples, rate = film(tmp_path / f'dataset/AVE/a_000{clip}.mp4')
        assert [f.time_ns for f in frames] == [
            k * SECOND // 10 for k in range((last - first) * 10)
        ]
        expected = np.ones((last - first) * rate)
        for index in range(first * 50, last * 50):
            at = (index - first * 50) * 320
            if 150 <= index < 250 or index == 400:
                expected[at : at + 320] = 0
            elif index % 50 == 25:
                expected[at : at + 320] = 20000
        assert np.array_equal(samples[:, 0], expected)
    record = json.loads((tmp_path / 'dataset/conversion/a_0000.json').read_text())
    assert record['gaps'] == [[48000, 32000], [128000, 320]]


def test_a_format_that_changes(tmp_path, capsys):
    def told(name, at):
        return (
            *info()[:2],
            ORIGIN_NS + at * SECOND // 10 - 1,
            {**info()[3], 'sample_format': name},
        )

    rng = np.random.default_rng(0)
    messages = [told('S16LE', 0), told('S16BE', 10), told('U8', 20), told('S16LE', 130)]
    for index in range(220):
        stamp = ORIGIN_NS + index * SECOND // 10
        size = 1 if 20 <= index < 130 else 2
        messages += [
            jpeg(stamp),
            (
                *sound(stamp, [])[:3],
                {**sound(stamp, [])[3], 'audio': {'data': rng.bytes(1600 * size)}},
            ),
        ]
    messages.sort(key=lambda m: m[2])
    assert convert(write_mcap(tmp_path / 'a.mcap', messages), tmp_path / 'dataset') == 0
    assert convert(tmp_path / 'dataset', tmp_path / 'bags') == 0
    assert recorded(tmp_path / 'bags/a') == wanted(messages)


def test_drift_does_not_add_up_from_clip_to_clip(tmp_path):
    """A device that is slower by 1 in 1000 gives fewer samples; clips begin with what is heard."""
    messages, rate = [info()], 16000 / 1.001
    for index in range(1300):
        at = index * 320
        stamp = ORIGIN_NS + round(at / rate * SECOND)
        times = (at + np.arange(320)) / rate
        messages.append(sound(stamp, np.where(times % 1 < 0.01, 15000, 0)))
    messages += [jpeg(ORIGIN_NS + index * SECOND // 5) for index in range(130)]
    bag = write_ours(tmp_path / 'a', sorted(messages, key=lambda m: m[2]))
    assert convert(bag, tmp_path / 'dataset') == 0
    for clip in range(3):
        _, samples, _ = film(tmp_path / f'dataset/AVE/a_000{clip}.mp4')
        loud = np.flatnonzero(samples[:, 0] > 6000)
        onsets = loud[np.diff(loud, prepend=-9999) > 1000] / 16000
        assert (
            onsets % 1 == pytest.approx(np.zeros(len(onsets)), abs=0.012)
            or np.minimum(onsets % 1, 1 - onsets % 1).max() < 0.012
        )
        assert min(onsets[0], 1 - onsets[0] % 1) < 0.003, 'its beginning is right'


def truth_of(bag) -> list[FrameTruth]:
    with BagReader(bag) as reader:
        return [
            detections_to_truth(m.decode(), ORIGIN_NS) for m in reader.messages(['/ground_truth'])
        ]


def test_labels_and_boxes_and_what_they_are_good_for(tmp_path, capsys):
    schedule = [[0], [0], [], [0, 1], [None], [], [1], [1], [1, None], [0], [], [1]]
    messages = scene_messages(12, camera='jpeg', frame_rate=10, schedule=schedule)
    bag = write_mcap(tmp_path / 'tour.mcap', messages)
    dataset = tmp_path / 'dataset'
    assert convert(bag, dataset) == 0
    truth = truth_of(bag)
    annotations = {a.video: a for a in read_annotations(dataset / 'annotations.json')}
    assert [(a.duration, len(a.frames)) for a in annotations.values()] == [(10, 100), (2, 20)]
    for clip, annotation in enumerate(annotations.values()):
        for frame in annotation.frames:
            (same,) = [f for f in truth if f.time_ns == frame.time_ns + clip * 10 * SECOND]
            assert frame.objects == same.objects
    ave = read_ave(dataset)
    assert set(ave.categories) == {o.category for f in truth for o in f.objects}
    assert {(line.video, line.start, line.end) for line in ave.lines['test']} == {
        ('tour_0000', 0, 2),
        ('tour_0000', 3, 4),
        ('tour_0000', 6, 9),
        ('tour_0000', 9, 10),
        ('tour_0001', 1, 2),
    }
    for clip in range(2):
        expected = np.zeros((10, len(ave.categories)))
        for second in range(10 if clip == 0 else 2):
            here = [
                f
                for f in truth
                if second * SECOND <= f.time_ns - clip * 10 * SECOND < (second + 1) * SECOND
            ]
            for index, name in enumerate(ave.categories):
                share = sum(any(o.category == name for o in f.sounding) for f in here)
                expected[second, index] = share >= 5
        assert np.array_equal(ave.labels(f'tour_000{clip}'), expected)
    assert main(['prepare', str(dataset), str(tmp_path / 'prepared'), '--workers', '1']) == 0
    prepared = PreparedAve(tmp_path / 'prepared', 'test')
    assert prepared.categories == ave.categories
    assert prepared.segment_labels.shape == (12, len(ave.categories))
    assert (
        main(
            [
                'evaluate',
                'compact',
                '--data',
                str(tmp_path / 'prepared'),
                '--annotations',
                str(dataset / 'annotations.json'),
                '--windows',
                '4',
            ]
        )
        == 0
    )
    capsys.readouterr()
    assert (
        main(
            [
                'train',
                'compact-static-dnm',
                '--data',
                str(tmp_path / 'prepared'),
                '--out',
                str(tmp_path / 'run'),
            ]
        )
        == 1
    )
    assert (
        'no usable film of the split train (trainSet.txt has no lines)' in capsys.readouterr().err
    )


def test_a_bag_without_truth_needs_a_word_about_it(tmp_path, capsys):
    bag = write_mcap(tmp_path / 'a.mcap', scene_messages(3, camera='jpeg', truth=False))
    dataset = tmp_path / 'dataset'
    assert convert(bag, dataset) == 0
    assert 'nothing tells what sounds; give --annotations' in capsys.readouterr().out
    assert (dataset / 'AVE/a_0000.mp4').exists()
    films = contents(dataset / 'AVE'), (dataset / 'AVE/a_0000.mp4').stat().st_mtime_ns
    assert convert(bag, dataset, '--category', 'kettle', '--split', 'train') == 0
    assert (dataset / 'trainSet.txt').read_text() == 'kettle&a_0000&good&0&3\n'
    assert (dataset / 'categories.txt').read_text() == 'kettle\n'
    thing = ObjectTruth(0, 'pot', (1.0, 2.0, 30.5, 40.0), True)
    frames = tuple(FrameTruth(k / 10, (thing,) if k < 14 else ()) for k in range(30))
    write_annotations(
        tmp_path / 'mine.json', [Annotation('a.mcap', 10.0, 160, 120, 3.0, ('lid', 'pot'), frames)]
    )
    assert convert(bag, dataset, '--annotations', tmp_path / 'mine.json') == 0
    assert (dataset / 'trainSet.txt').read_text() == 'pot&a_0000&good&0&1\n', 'it stays in train'
    assert read_annotations(dataset / 'annotations.json')[0].frames == frames
    assert films == (contents(dataset / 'AVE'), (dataset / 'AVE/a_0000.mp4').stat().st_mtime_ns), (
        'films are left alone'
    )
    assert convert(dataset, tmp_path / 'bags') == 0
    assert [f.objects for f in truth_of(tmp_path / 'bags/a')] == [f.objects for f in frames]


def test_boxes_that_were_corrected_go_into_the_bag(tmp_path):
    bag = write_mcap(tmp_path / 'a.mcap', scene_messages(2, camera='jpeg'))
    assert convert(bag, tmp_path / 'dataset') == 0
    path = tmp_path / 'dataset/annotations.json'
    (annotation,) = read_annotations(path)
    thing = ObjectTruth(77, annotation.categories[0], (1.25, 2.0, 30.5, 40.125), False)
    frames = tuple(FrameTruth(f.time, (thing,)) for f in annotation.frames)
    write_annotations(
        path,
        [
            Annotation(
                **{
                    **{
                        k: getattr(annotation, k)
                        for k in ('video', 'rate', 'width', 'height', 'duration', 'categories')
                    },
                    'frames': frames,
                }
            )
        ],
    )
    assert convert(tmp_path / 'dataset', tmp_path / 'bags') == 0
    assert [f.objects for f in truth_of(tmp_path / 'bags/a')] == [(thing,)] * 20


def test_truth_that_comes_when_it_likes(tmp_path, capsys):
    messages = scene_messages(3, camera='jpeg')
    rng = np.random.default_rng(0)
    moved = []
    for topic, kind, log_ns, fields in messages:
        if kind == DETECTIONS:
            shift = int(rng.integers(0, 30_000_000))
            header = {**fields['header'], 'stamp': fields['header']['stamp'] + shift}
            fields = {**fields, 'header': header}
        moved.append((topic, kind, log_ns, fields))
    bag = write_mcap(tmp_path / 'a.mcap', moved)
    assert convert(bag, tmp_path / 'dataset') == 3
    assert 'got the nearest at 10 per second' in capsys.readouterr().err
    (annotation,) = read_annotations(tmp_path / 'dataset/annotations.json')
    assert [f.time for f in annotation.frames] == [k / 10 for k in range(30)]
    assert convert(tmp_path / 'dataset', tmp_path / 'bags') == 0
    assert recorded(tmp_path / 'bags/a')['/ground_truth'] == wanted(moved)['/ground_truth']


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_film_becomes_a_bag_and_a_dataset(tmp_path, storage):
    path = write_film(tmp_path / 'mine.mp4', seconds=12, rate=44100, channels=2)
    frames, samples, rate = film(path)
    thing = ObjectTruth(3, 'cat', (10.0, 20.0, 30.0, 40.5), True)
    truth = tuple(FrameTruth((k + 0.5) / 10, (thing,) * (k % 3 > 0)) for k in range(120))
    write_annotations(
        tmp_path / 'mine.json',
        [Annotation('mine.mp4', 10.0, 160, 120, 12.0, ('cat', 'dog'), truth)],
    )
    bag = tmp_path / 'bag'
    assert convert(path, bag, '--storage', storage, '--image', 'png', '--start-time', 50) == 0
    with BagReader(bag) as reader:
        assert reader.custom['avsol_origin_ns'] == '50000000000'
        decoded = {
            topic: [m.decode() for m in reader.messages([topic])] for topic in reader.topics
        }
    pictures = decoded['/camera/image_raw/compressed']
    stamps = [m.header.stamp.sec * SECOND + m.header.stamp.nanosec for m in pictures]
    assert stamps == [50 * SECOND + f.time_ns for f in frames]
    for message, frame in zip(pictures[::50], frames[::50]):
        image = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)
        assert np.array_equal(image[..., ::-1], frame.image)
    heard = b''.join(bytes(m.audio.data) for m in decoded['/audio_stamped'])
    assert np.array_equal(np.frombuffer(heard, '<i2').reshape(-1, 2), samples)
    assert len(bytes(decoded['/audio_stamped'][0].audio.data)) == 882 * 2 * 2
    assert (decoded['/audio_info'][0].sample_rate, decoded['/audio_info'][0].channels) == (rate, 2)

    assert convert(bag, tmp_path / 'dataset') == 0
    parts = [film(tmp_path / f'dataset/AVE/bag_000{k}.mp4') for k in range(2)]
    times = [f.time_ns + k * 10 * SECOND for k in range(2) for f in parts[k][0]]
    # Films count in units of 10 ns.
    assert times == [f.time_ns // 10 * 10 for f in frames]
    both = np.concatenate([part[1] for part in parts])
    assert np.array_equal(both[: len(samples)], samples) and not both[len(samples) :].any()
    annotations = read_annotations(tmp_path / 'dataset/annotations.json')
    assert annotations[0].categories == ('cat', 'dog')
    again = [
        (round(f.time * SECOND) + k * 10 * SECOND, f.objects)
        for k in range(2)
        for f in annotations[k].frames
    ]
    assert again == [(f.time_ns, f.objects) for f in truth]


def test_labels_of_ave_go_with_its_films(tmp_path, capsys):
    make_ave(tmp_path / 'ave', spoiled=False)
    broken = tmp_path / 'ave/AVE/emptyFile01.mp4'
    broken.touch()
    assert convert(tmp_path / 'ave', tmp_path / 'bags') == 3
    assert 'emptyFile01 was not converted' in capsys.readouterr().err
    assert convert(tmp_path / 'bags', tmp_path / 'dataset') == 0
    before, now = read_ave(tmp_path / 'ave'), read_ave(tmp_path / 'dataset')
    assert now.categories == before.categories
    there = {
        p.name: re.sub(r'[^\w.+-]+', '_', p.name).strip('._')
        for p in (tmp_path / 'bags').iterdir()
    }
    for split in ('train', 'val', 'test'):
        assert {
            (line.category, line.video, line.start, line.end) for line in now.split(split)
        } == {
            (line.category, f'{there[line.video]}_0000', line.start, line.end)
            for line in before.annotations
            if line.video in there and line.video in {kept.video for kept in before.split(split)}
        }


def test_a_film_of_jpegs_is_not_encoded_again(tmp_path):
    messages = scene_messages(2, camera='jpeg', sound='stamped')
    assert convert(write_mcap(tmp_path / 'a.mcap', messages), tmp_path / 'dataset') == 0
    moved = tmp_path / 'elsewhere.mp4'
    moved.write_bytes((tmp_path / 'dataset/AVE/a_0000.mp4').read_bytes())
    assert convert(moved, tmp_path / 'bag') == 0
    with BagReader(tmp_path / 'bag') as reader:
        data = [bytes(m.decode().data) for m in reader.messages(['/camera/image_raw/compressed'])]
    assert data == [f['data'] for _, kind, _, f in messages if kind == COMPRESSED]


def test_clips_one_by_one(tmp_path):
    messages = scene_messages(11, camera='jpeg', frame_rate=5, chunk=700)
    assert convert(write_mcap(tmp_path / 'a.mcap', messages), tmp_path / 'dataset') == 0
    assert convert(tmp_path / 'dataset', tmp_path / 'bags', '--separate') == 0
    parts = [recorded(tmp_path / f'bags/a_000{k}') for k in range(2)]
    before = wanted(messages)
    for topic in ('/camera/image_raw/compressed', '/ground_truth'):
        assert parts[0][topic] + parts[1][topic] == before[topic]
    sounds = [
        [m.decode() for m in BagReader(tmp_path / f'bags/a_000{k}').messages(['/audio_stamped'])]
        for k in range(2)
    ]
    assert b''.join(bytes(m.audio.data) for part in sounds for m in part) == b''.join(
        f['audio']['data'] for _, kind, _, f in messages if kind == AUDIO_DATA_STAMPED
    )
    first = sounds[1][0].header.stamp
    assert first.sec * SECOND + first.nanosec == ORIGIN_NS + 10 * SECOND


def test_several_bags_are_dealt_out_and_more_can_be_added(tmp_path, capsys):
    bags = tmp_path / 'bags'
    bags.mkdir()
    for index in range(6):
        write_mcap(
            bags / f'tour{index}.mcap', scene_messages(1, camera='jpeg', frame_rate=5, seed=index)
        )
    assert [p.stem for p in bags_in(bags)] == [f'tour{index}' for index in range(6)]
    dataset = tmp_path / 'dataset'
    assert convert(bags, dataset, '--split', '0.5,0.17,0.33', '--seed', 3) == 0

    def split_of():
        return {
            line.split('&')[1]: split
            for split in ('train', 'val', 'test')
            for line in (dataset / f'{split}Set.txt').read_text().splitlines()
        }

    dealt = split_of()
    assert sorted(dealt) == [f'tour{index}_0000' for index in range(6)]
    assert sorted(dealt.values()) == ['test'] * 2 + ['train'] * 3 + ['val']
    before = contents(dataset)
    capsys.readouterr()
    assert convert(bags, dataset, '--split', '0.5,0.17,0.33', '--seed', 3) == 0
    assert '6 were there already' in capsys.readouterr().out and contents(dataset) == before
    more = write_mcap(tmp_path / 'tour0.mcap', scene_messages(1, camera='jpeg', seed=9))
    assert convert(more, dataset, '--split', 'val') == 0
    assert split_of() == {**dealt, 'tour0-2_0000': 'val'}
    # A bag that has changed is converted again, and only that.
    films = {p.name: p.stat().st_mtime_ns for p in (dataset / 'AVE').iterdir()}
    write_mcap(bags / 'tour1.mcap', scene_messages(1, camera='jpeg', frame_rate=5, seed=7))
    assert convert(bags, dataset, '--split', '0.5,0.17,0.33', '--seed', 3) == 0
    now = {p.name: p.stat().st_mtime_ns for p in (dataset / 'AVE').iterdir()}
    assert {name for name in now if now[name] != films[name]} == {'tour1_0000.mp4'}


def test_files_of_one_recording_and_recordings_that_are_numbered(tmp_path, capsys):
    parts, apart, alone = (tmp_path / name for name in ('parts', 'apart', 'alone'))
    for folder in (parts, apart, alone):
        folder.mkdir()
    messages = scene_messages(2, camera='jpeg', frame_rate=5)
    later = scene_messages(2, camera='jpeg', frame_rate=5, origin_ns=ORIGIN_NS + 3600 * SECOND)
    middle = ORIGIN_NS + SECOND
    write_mcap(parts / 'walk_3.mcap', [m for m in messages if m[2] < middle])
    write_mcap(parts / 'walk_4.mcap', [m for m in messages if m[2] >= middle])
    write_mcap(apart / 'walk_1.mcap', messages)
    write_mcap(apart / 'walk_2.mcap', later)
    write_mcap(apart / 'walk_3.mcap', messages)
    write_mcap(alone / 'walk.mcap', messages)
    assert bags_in(parts) == [parts]
    assert bags_in(apart) == [apart / f'walk_{k}.mcap' for k in (1, 2, 3)]
    assert bags_in(alone) == [alone / 'walk.mcap']
    assert convert(parts, tmp_path / 'dataset') == 3
    assert 'its 2 files are taken for one recording' in capsys.readouterr().err
    assert [p.name for p in (tmp_path / 'dataset/AVE').iterdir()] == ['parts_0000.mp4']


def test_bags_of_one_name_have_clips_of_their_own_even_when_one_is_removed(tmp_path, capsys):
    folders = [tmp_path / name for name in ('monday', 'tuesday', 'archive')]
    for index, folder in enumerate(folders[:2]):
        folder.mkdir()
        bag = write_mcap(
            folder / 'tour.mcap', scene_messages(1, camera='jpeg', frame_rate=5, seed=index)
        )
        assert convert(bag, tmp_path / 'dataset') == 0
        if not index:
            folder.rename(folders[2])
    films = contents(tmp_path / 'dataset/AVE')
    assert sorted(films) == ['tour-2_0000.mp4', 'tour_0000.mp4']
    assert len(set(films.values())) == 2
    capsys.readouterr()
    assert convert(folders[2] / 'tour.mcap', tmp_path / 'dataset') == 0
    assert '1 was there already' in capsys.readouterr().out, 'it was moved'


RUN = """
import os, sys
from avsol_ros.cli import main
left = int(sys.argv[1])
def counted(function):
    def call(*arguments, **options):
        global left
        left -= 1
        if left == 0:
            os._exit(9)
        return function(*arguments, **options)
    return call
os.replace, os.rename = counted(os.replace), counted(os.rename)
sys.exit(main(sys.argv[2:]))
"""


def run(*arguments, left=0, **options):
    return subprocess.Popen(
        [sys.executable, '-c', RUN, str(left), *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **options,
    )


@pytest.fixture
def tours(tmp_path):
    bags = tmp_path / 'bags'
    bags.mkdir()
    for index in range(2):
        write_mcap(
            bags / f'tour{index}.mcap',
            scene_messages(11, camera='raw' if index else 'jpeg', frame_rate=5, seed=index),
        )
    assert convert(bags, tmp_path / 'whole') == 0
    return bags


def test_a_run_that_dies_between_files_goes_on(tmp_path, tours):
    """It dies just before a file takes its place: each time at the next one."""
    whole = contents(tmp_path / 'whole')
    out = tmp_path / 'out'
    for left in (3, 6):
        process = run('convert', tours, out, left=left)
        assert process.wait(PATIENCE_S) == 9
        for path in out.glob('AVE/[!.]*.mp4'):
            assert path.read_bytes() == whole[f'AVE/{path.name}'], 'no half a film'
    assert convert(tours, out) == 0
    assert contents(out) == whole


@pytest.mark.slow  # starts many processes; the test before dies at chosen places
def test_a_run_that_is_killed_goes_on(tmp_path, tours):
    rng = random.Random(0)
    out, back = tmp_path / 'out', tmp_path / 'back'
    for source, dest in ((tours, out), (tmp_path / 'whole', back)):
        for _ in range(2):
            process = run('convert', source, dest)
            while process.poll() is None and not dest.exists():
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.4))
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert convert(source, dest) == 0
    assert contents(out) == contents(tmp_path / 'whole')
    assert sorted(p.name for p in back.iterdir()) == ['tour0', 'tour1']
    assert recorded(back / 'tour0') == wanted(scene_messages(11, camera='jpeg', frame_rate=5))


def test_what_a_damaged_bag_still_has_is_converted(tmp_path, capsys):
    messages = scene_messages(12, camera='jpeg', frame_rate=10)
    whole = write_mcap(tmp_path / 'a.mcap', messages, chunk_size=20_000).read_bytes()
    bags = tmp_path / 'bags'
    bags.mkdir()
    (bags / 'cut.mcap').write_bytes(whole[: len(whole) * 6 // 10])
    (bags / 'empty.mcap').write_bytes(b'')
    (bags / 'good.mcap').write_bytes(whole)
    assert convert(bags, tmp_path / 'dataset') == 3
    said = capsys.readouterr().err
    assert 'cut: ' in said and 'empty was not converted' in said and 'good' not in said
    films = sorted(p.name for p in (tmp_path / 'dataset/AVE').iterdir())
    assert films == ['cut_0000.mp4', 'good_0000.mp4', 'good_0001.mp4']
    assert convert(bags, tmp_path / 'dataset') == 3, 'it is told again'
    assert 'empty' in refusal(capsys, bags / 'empty.mcap', tmp_path / 'other')


def test_odd_pictures_are_left_out_and_named(tmp_path, capsys):
    def at(index):
        return ORIGIN_NS + index * SECOND // 10

    good = [jpeg(at(k), k) for k in range(20)]
    damaged = (*jpeg(at(3) + 1)[:3], {**jpeg(at(3) + 1)[3], 'data': jpeg(0)[3]['data'][:-20]})
    words = (*jpeg(at(4) + 1)[:3], {**jpeg(at(4) + 1)[3], 'data': b'no picture'})
    zero, late = jpeg(0, log_ns=at(5) + 1), jpeg(at(2) + 1, log_ns=at(6) + 1)
    far = jpeg(at(999999), log_ns=at(7) + 1)
    more = [
        (*jpeg(at(k) + 9)[:3], {**jpeg(at(k) + 9)[3], 'data': jpeg(0)[3]['data'][:-k]})
        for k in range(10, 15)
    ]
    messages = sorted([*good, damaged, words, zero, late, far, *more], key=lambda m: m[2])
    bag = write_mcap(tmp_path / 'a.mcap', messages)
    assert convert(bag, tmp_path / 'dataset') == 3
    said = capsys.readouterr().err
    assert said.count('\n') == 4
    for part in (
        '6 images that cannot be used, the first',
        'cut off or damaged',
        'neither JPEG nor PNG',
        '2 images with stamps far off',
        '1 images whose stamps do not rise',
    ):
        assert part in said
    assert convert(tmp_path / 'dataset', tmp_path / 'bags') == 0
    assert recorded(tmp_path / 'bags/a') == wanted(good)


@pytest.mark.parametrize('limit', [2_000, 150_000])
def test_a_full_disk_is_told_and_leaves_no_half_a_file(tmp_path, capsys, limit):
    bag = write_mcap(tmp_path / 'a.mcap', scene_messages(11, camera='jpeg', frame_rate=5))
    assert convert(bag, tmp_path / 'whole') == 0
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    capsys.readouterr()
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
        assert convert(bag, tmp_path / 'out') == 1
        said = capsys.readouterr().err
        assert convert(tmp_path / 'whole', tmp_path / 'bags') == 1
        said_of_bags = capsys.readouterr().err
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert 'cannot write' in said and 'File too large' in said and said.count('\n') == 1
    assert 'File too large' in said_of_bags and said_of_bags.count('\n') == 1
    whole = contents(tmp_path / 'whole')
    for name, data in contents(tmp_path / 'out').items():
        assert name == 'conversion.json' or data == whole[name]
    assert not (tmp_path / 'bags').exists()
    assert convert(bag, tmp_path / 'out') == 0
    assert contents(tmp_path / 'out') == whole


def test_what_is_refused(tmp_path, capsys, monkeypatch):
    bag = write_mcap(tmp_path / 'a.mcap', scene_messages(1, camera='jpeg'))
    path = write_film(tmp_path / 'mine.mp4', seconds=1)
    full = tmp_path / 'full'
    full.mkdir()
    (full / 'thesis.txt').write_text('precious')
    assert 'is not empty and no dataset' in refusal(capsys, bag, full)
    assert 'has the name of a film' in refusal(capsys, bag, path)
    (tmp_path / 'file').touch()
    assert 'is a file' in refusal(capsys, bag, tmp_path / 'file')
    assert 'exists and is no bag that avsol convert has made' in refusal(capsys, path, full)
    with monkeypatch.context() as here:
        here.chdir(full)
        assert '. exists and is no bag that avsol convert has made' in refusal(capsys, path, '.')
    other = write_ours(tmp_path / 'other', scene_messages(1, camera='jpeg'))
    before = contents(other)
    assert 'exists and is no bag that avsol convert has made' in refusal(capsys, path, other)
    assert contents(other) == before
    assert 'does not exist' in refusal(capsys, tmp_path / 'nothing', tmp_path / 'out')
    assert 'only one path' in refusal(capsys, bag)
    assert 'holds no bags, unlike' in refusal(capsys, bag, path, tmp_path / 'out')
    assert 'neither bags nor films' in refusal(capsys, full, tmp_path / 'out')
    assert "--split is '1,2'" in refusal(capsys, bag, tmp_path / 'out', '--split', '1,2')
    assert 'has no topic' in refusal(capsys, bag, tmp_path / 'out', '--image-topic', '/eye')
    silent = write_mcap(
        tmp_path / 'silent.mcap',
        [m for m in scene_messages(1, camera='jpeg') if m[1] != AUDIO_INFO],
    )
    assert 'give --audio-sample-rate' in refusal(capsys, silent, tmp_path / 'out')
    assert (
        convert(
            silent,
            tmp_path / 'out',
            '--audio-sample-rate',
            16000,
            '--audio-channels',
            1,
            '--audio-format',
            'S16LE',
        )
        == 0
    )
    (tmp_path / 'out/conversion.json').write_text('{"format": "of the future"}')
    assert 'no record of a conversion by this version' in refusal(capsys, bag, tmp_path / 'out')
    folder = tmp_path / 'shut'
    folder.mkdir()
    if os.getuid():
        folder.chmod(0o500)
        assert 'cannot make the folder' in refusal(capsys, bag, folder / 'dataset')
