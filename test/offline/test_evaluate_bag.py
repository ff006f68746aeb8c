"""``avsol evaluate BAG``: what it finds, what it scores, and what it says of bags that are bad."""

import json
import shutil
import signal
import sys
import tracemalloc
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from bag_files import (
    AUDIO_DATA_STAMPED,
    AUDIO_INFO,
    DETECTIONS,
    IMAGE,
    ORIGIN_NS,
    scene_messages,
    write_mcap,
    write_ours,
    write_sqlite,
)
from processes import run_without
from sklearn.metrics import average_precision_score

from avsol_ros import cli
from avsol_ros.bags import BagReader, make_message
from avsol_ros.errors import AvsolError
from avsol_ros.inference.localizer import Localizer
from avsol_ros.localization import Box, Localization, WindowResult, find_boxes, visible_heat
from avsol_ros.media.film_reader import MediaReader
from avsol_ros.messages.stamps import stamp_to_ns
from avsol_ros.models.checkpoint import load_checkpoint, save_checkpoint
from avsol_ros.offline.localization_run import Finding
from avsol_ros.offline.recorded_results import Pairing, boxes_as_map, heatmap_of
from avsol_ros.offline.timeline import Timeline
from avsol_ros.offline.topic_facts import Spread, TopicFacts
from avsol_ros.streams.windows import AudioVisualWindow
from avsol_ros.training.annotations.annotation_files import write_annotations
from avsol_ros.training.annotations.model import Annotation
from avsol_ros.training.annotations.truth_messages import detections_to_truth
from avsol_ros.training.synthetic.objects import CATEGORIES

SECONDS, WIDTH, HEIGHT, RATE, FRAMES = 4, 160, 120, 25, 8
SCHEDULE = [[0], [], [1], [None]]
SECOND = 10**9
SOUNDING = '/avsol_localizer/sounding_objects'


@pytest.fixture(scope='module')
def messages():
    return scene_messages(SECONDS, schedule=SCHEDULE)


@pytest.fixture(scope='module')
def bag(messages, tmp_path_factory):
    """A bag that another program wrote, with truth."""
    return write_mcap(tmp_path_factory.mktemp('bags') / 'kitchen.mcap', messages)


@pytest.fixture(scope='module')
def localizer():
    return Localizer.load('compact', 'cpu', 'torch')


def evaluate(capsys, *arguments, status=0):
    """Run the command; the document that it prints, and what it says on stderr."""
    capsys.readouterr()
    assert (
        cli.main(
            ['evaluate', *map(str, arguments), '--json', '--device', 'cpu', '--engine', 'torch']
        )
        == status
    )
    said = capsys.readouterr()
    return json.loads(said.out) if said.out else None, said.err


def rescore(capsys, *arguments, status=0):
    """The same with ``--recorded``, which takes no device."""
    capsys.readouterr()
    assert cli.main(['evaluate', *map(str, arguments), '--json']) == status
    said = capsys.readouterr()
    return json.loads(said.out), said.err


def text_of(capsys, *arguments, status=0):
    capsys.readouterr()
    assert cli.main(['evaluate', *map(str, arguments)]) == status
    return capsys.readouterr().out


def row(document, kind='model'):
    return next(r for r in document['scores']['rows'] if r['kind'] == kind)


METRICS = (
    'hmbox_auc',
    'hmbox_auc/single',
    'pibr',
    'pibr/single',
    'pnsr',
    'pnsr/visible',
    'pnsr/audible',
    'signal',
    'class_accuracy',
    'presence_accuracy',
    'frames/ave',
    'frames/other',
    'windows',
)


def numbers(document):
    """Of all rows but that of motion, which recorded results do not have."""
    return [
        [np.nan if r.get(key) is None else r[key] for key in METRICS]
        for r in document['scores']['rows']
        if r['model'] != 'motion'
    ]


def same(one, two, rel=0.0):
    """Whether all numbers of two documents are the same."""
    np.testing.assert_allclose(numbers(two), numbers(one), rtol=rel, atol=0)


# An oracle: windows cut by hand from what was put into the bag, scores by scikit-learn.


def windows_by_hand(messages, hop_ns):
    pictures = {
        m[3]['header']['stamp']: np.frombuffer(m[3]['data'], np.uint8).reshape(HEIGHT, WIDTH, 3)
        for m in messages
        if m[1] == IMAGE
    }
    sound = np.concatenate(
        [
            np.frombuffer(m[3]['audio']['data'], '<i2')
            for m in messages
            if m[1] == AUDIO_DATA_STAMPED
        ]
    ) / np.float32(32768)
    for start in range(ORIGIN_NS, ORIGIN_NS + (SECONDS - 1) * SECOND + 1, hop_ns):
        at = []
        for i in range(FRAMES):
            moment = start + (2 * i + 1) * SECOND / (2 * FRAMES)
            inside = [s for s in pictures if start <= s < start + SECOND]
            at.append(min(inside, key=lambda s: (abs(s - moment), s)))
        first = (start - ORIGIN_NS) * 16000 // SECOND
        yield AudioVisualWindow(
            start,
            start + SECOND,
            tuple(pictures[s] for s in at),
            tuple(at),
            sound[first : first + 16000].astype(np.float32),
            0,
        )


def scores_by_hand(messages, localizer, hop_ns):
    truth = {
        m[3]['header']['stamp']: [
            (d['results'][0]['hypothesis'], d['bbox']) for d in m[3]['detections']
        ]
        for m in messages
        if m[1] == DETECTIONS
    }
    areas, hits, signals, noise, right, yes, no = [], [], [], [], [], [], []
    for window in windows_by_hand(messages, hop_ns):
        found = localizer(window)
        heat = found.heatmap_at(HEIGHT, WIDTH)
        heard = []
        for stamp, things in truth.items():
            if not window.start_ns <= stamp < window.end_ns:
                continue
            mask = np.zeros(heat.shape, bool)
            for hypothesis, box in things:
                if hypothesis['score'] < 0.5 or not box['size_x']:
                    continue
                x, y = box['center']['position']['x'], box['center']['position']['y']
                inside = [
                    np.abs(np.arange(n) + 0.5 - c) < size / 2
                    for n, c, size in ((HEIGHT, y, box['size_y']), (WIDTH, x, box['size_x']))
                ]
                mask |= inside[0][:, None] & inside[1]
                heard.append(hypothesis['class_id'])
            if mask.any():
                areas.append(average_precision_score(mask.ravel(), heat.ravel()))
                hits.append(mask.ravel()[heat.argmax()])
                signals.append(heat[mask].max())
            else:
                noise.append(heat.max())
        if any(heard.count(name) >= 5 for name in heard):
            best = found.class_names[found.class_scores.argmax()]
            right.append(heard.count(best) >= 5)
            yes.append(found.avc >= 0.5)
        elif not heard:
            no.append(found.avc < 0.5)
    return {
        'hmbox_auc': np.mean(areas),
        'pibr': np.mean(hits),
        'pnsr': np.mean(noise, dtype=float) / np.mean(signals, dtype=float),
        'class_accuracy': np.mean(right),
        'presence_accuracy': (np.mean(yes) + np.mean(no)) / 2,
        'frames/ave': len(areas),
        'frames/other': len(noise),
    }


@pytest.mark.parametrize('hop', [1.0, 0.25])
def test_scores_are_those_of_an_independent_way(bag, messages, localizer, hop, tmp_path, capsys):
    document, _ = evaluate(capsys, bag, '--hop', hop, '--out', tmp_path)
    expected = scores_by_hand(messages, localizer, round(hop * SECOND))
    found = row(document)
    assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-6)
    assert found['pibr'] > row(document, 'baseline')['pibr']
    assert found['windows/presence_accuracy'] == sum(
        found[f'windows/presence_{kind}'] for kind in ('yes', 'no')
    )
    assert document['runs'][0]['windows'] == round((SECONDS - 1) / hop) + 1


def test_what_is_written_is_what_the_model_says(bag, messages, localizer, tmp_path, capsys):
    evaluate(capsys, bag, '--heatmap-size', 'camera', '--out', tmp_path)
    expected = list(windows_by_hand(messages, SECOND // 4))
    with BagReader(tmp_path / 'localizations') as reader:
        written = {
            name: [m.decode() for m in reader.messages([f'/avsol_localizer/{name}'])]
            for name in ('sounding_objects', 'heatmap_float', 'detections')
        }
        assert int(reader.custom['avsol_origin_ns']) == ORIGIN_NS
    lines = [
        json.loads(line) for line in (tmp_path / 'localizations.jsonl').read_text().splitlines()
    ]
    assert len(expected) == len(lines) == len(written['heatmap_float'])
    for index, window in enumerate(expected):
        found = localizer(window)
        boxes = find_boxes(found)
        msg, map_, array = (
            written[name][index] for name in ('sounding_objects', 'heatmap_float', 'detections')
        )
        assert stamp_to_ns(msg.window_start) == lines[index]['start_ns'] == window.start_ns
        for header in (msg.header, map_.header, array.header):
            assert stamp_to_ns(header.stamp) == window.frame_stamps_ns[-1]
            assert header.frame_id == 'camera'
        assert heatmap_of(map_) == pytest.approx(found.heatmap_at(HEIGHT, WIDTH), abs=1e-6)
        assert msg.avc_probability == pytest.approx(found.avc, abs=1e-6)
        assert lines[index]['avc'] == pytest.approx(found.avc, abs=1e-6)
        assert msg.class_scores == pytest.approx(found.class_scores, abs=1e-6)
        assert len(msg.detections) == len(array.detections) == len(boxes)
        for box, detection in zip(boxes, msg.detections):
            assert detection.bbox.center.position.x == pytest.approx((box.x0 + box.x1) / 2)
            assert detection.bbox.size_y == pytest.approx(box.y1 - box.y0)
            assert detection.results[0].hypothesis.class_id == box.class_name
        assert lines[index]['time'] == index / 4 and lines[index]['frames'] == FRAMES


@pytest.mark.parametrize(
    'write',
    [
        lambda path, messages: write_sqlite(path / 'kitchen', messages),
        lambda path, messages: write_sqlite(path / 'kitchen', messages, definitions=False),
        lambda path, messages: write_ours(path / 'kitchen', messages, compression='file'),
    ],
    ids=['sqlite', 'sqlite of Humble', 'compressed'],
)
def test_the_storage_does_not_matter(bag, messages, write, tmp_path, capsys):
    other = write(tmp_path, messages)
    one, _ = evaluate(capsys, bag, '--hop', 1, '--out', tmp_path / 'a')
    two, _ = evaluate(capsys, other, '--hop', 1, '--out', tmp_path / 'b')
    same(one, two)
    assert (tmp_path / 'a/localizations.jsonl').read_text() == (
        tmp_path / 'b/localizations.jsonl'
    ).read_text()


@pytest.mark.parametrize('sound', ['plain', 'mgonzs13', 'mp3'])
def test_other_drivers_sound(sound, tmp_path, capsys):
    path = write_mcap(
        tmp_path / 'b.mcap', scene_messages(SECONDS, schedule=SCHEDULE, sound=sound, camera='jpeg')
    )
    document, _ = evaluate(capsys, path, '--hop', 1, '--out', tmp_path / 'out')
    assert document['runs'][0]['windows'] >= SECONDS - 1
    assert row(document)['hmbox_auc'] > 0.5
    assert document['audio']['unstamped'] == (100 if sound == 'plain' else 0)
    assert document['audio']['coding'] == ('mp3' if sound == 'mp3' else 'pcm')


def annotation_of(messages, video='kitchen.mp4'):
    frames = [
        detections_to_truth(make_message(m[1], **m[3]), ORIGIN_NS)
        for m in messages
        if m[1] == DETECTIONS
    ]
    return Annotation(video, 10.0, WIDTH, HEIGHT, float(SECONDS), CATEGORIES, tuple(frames))


def without(messages, *types):
    return [m for m in messages if m[1] not in types]


def test_truth_of_a_file_and_of_a_topic_give_the_same(bag, messages, tmp_path, capsys):
    bare = write_mcap(tmp_path / 'kitchen.mcap', without(messages, DETECTIONS))
    other = annotation_of(messages, 'other.mp4')
    path = write_annotations(tmp_path / 'truth.json', [other, annotation_of(messages)])
    one, _ = evaluate(capsys, bag, '--hop', 1, '--out', tmp_path / 'a')
    two, _ = evaluate(capsys, bare, '--hop', 1, '--annotations', path, '--out', tmp_path / 'b')
    same(one, two)
    assert 'kitchen.mp4' in two['truth'] and '/ground_truth' in one['truth']


def test_boxes_may_be_of_another_size_but_not_of_another_shape(bag, messages, tmp_path, capsys):
    def annotated(width, height):
        one = annotation_of(messages)
        frames = [
            replace(
                frame,
                objects=tuple(
                    replace(o, box=o.box and tuple(2 * v for v in o.box)) for o in frame.objects
                ),
            )
            for frame in one.frames
        ]
        return write_annotations(
            tmp_path / 'truth.json',
            [replace(one, width=width, height=height, frames=tuple(frames))],
        )

    one, _ = evaluate(capsys, bag, '--hop', 1, '--out', tmp_path / 'a')
    two, _ = evaluate(
        capsys,
        bag,
        '--hop',
        1,
        '--annotations',
        annotated(2 * WIDTH, 2 * HEIGHT),
        '--out',
        tmp_path / 'b',
    )
    same(one, two, 1e-6)
    _, said = evaluate(
        capsys,
        bag,
        '--hop',
        1,
        '--annotations',
        annotated(2 * WIDTH, 3 * HEIGHT),
        '--out',
        tmp_path / 'c',
        status=1,
    )
    assert '160 x 120 pixels, and annotated as 320 x 360' in said


def test_the_origin_moves_the_annotation(messages, tmp_path, capsys):
    bare = write_mcap(tmp_path / 'kitchen.mcap', without(messages, DETECTIONS))
    path = write_annotations(tmp_path / 'truth.json', [annotation_of(messages)])
    late = f'{ORIGIN_NS // SECOND + 2}.000000000'
    document, _ = evaluate(
        capsys, bare, '--hop', 1, '--annotations', path, '--origin', late, '--out', tmp_path / 'a'
    )
    assert row(document)['windows'] == SECONDS - 2
    # Nothing of it can be scored then; what was found is there.
    document, said = evaluate(
        capsys, bare, '--annotations', path, '--origin', '12', '--out', tmp_path / 'b', status=3
    )
    assert 'no window has a frame of truth' in said and '--origin' in said
    assert document['scores'] is None and document['runs'][0]['windows'] == 13


# What was recorded live.


@pytest.fixture(scope='module')
def results(bag, tmp_path_factory):
    """What the command writes of the bag."""
    folder = tmp_path_factory.mktemp('results')
    assert (
        cli.main(
            ['evaluate', str(bag), '--device', 'cpu', '--engine', 'torch', '--out', str(folder)]
        )
        == 0
    )
    return folder


def image(encoding, values, header):
    return {
        'header': header,
        'height': HEIGHT,
        'width': WIDTH,
        'encoding': encoding,
        'is_bigendian': 0,
        'step': values.nbytes // HEIGHT,
        'data': values.tobytes(),
    }


@pytest.fixture(scope='module')
def live(messages, localizer):
    """Messages as a live localizer publishes them, of windows cut by hand."""
    found = []
    for window in windows_by_hand(messages, SECOND // 4):
        one = localizer(window)
        heat = one.heatmap_at(HEIGHT, WIDTH)
        header = {'stamp': one.stamp_ns, 'frame_id': 'camera'}
        log_ns = one.end_ns + 60_000_000

        found.append(
            ('/avsol_localizer/heatmap_float', IMAGE, log_ns, image('32FC1', heat, header))
        )
        levels = np.rint(visible_heat(heat, one.avc) * 255).astype(np.uint8)
        found.append(('/avsol_localizer/heatmap', IMAGE, log_ns, image('mono8', levels, header)))
        found.append(
            (
                SOUNDING,
                'avsol_ros/msg/SoundingObjects',
                log_ns,
                {
                    'header': header,
                    'window_start': one.start_ns,
                    'window_end': one.end_ns,
                    'audio_missing': 0.0,
                    'avc_probability': float(one.avc),
                    'class_names': list(one.class_names),
                    'class_scores': one.class_scores,
                    'detections': [
                        {
                            'header': header,
                            'results': [
                                {'hypothesis': {'class_id': b.class_name, 'score': b.score}}
                            ],
                            'bbox': {
                                'center': {
                                    'position': {'x': (b.x0 + b.x1) / 2, 'y': (b.y0 + b.y1) / 2}
                                },
                                'size_x': b.x1 - b.x0,
                                'size_y': b.y1 - b.y0,
                            },
                        }
                        for b in find_boxes(one)
                    ],
                },
            )
        )
    return found


def with_results(path, messages, live, *leave_out, custom=None):
    kept = [m for m in live if m[0].rpartition('/')[2] not in leave_out]
    return write_ours(path, sorted([*messages, *kept], key=lambda m: m[2]), custom=custom)


def test_recorded_heatmaps_score_as_the_model_does(bag, messages, live, results, tmp_path, capsys):
    ran, _ = evaluate(capsys, bag, '--out', tmp_path / 'a')
    floats, _ = rescore(
        capsys,
        with_results(tmp_path / 'kitchen', messages, live),
        '--recorded',
        '--out',
        tmp_path / 'b',
    )
    ours, _ = rescore(
        capsys, bag, '--recorded', results / 'localizations', '--out', tmp_path / 'c'
    )
    for other in (floats, ours):
        for one, two in zip(numbers(ran), numbers(other)):
            assert two == pytest.approx(one, rel=1e-6, nan_ok=True)
    for one in (ran, floats, ours):
        assert 'Windows overlap (hop 0.25 s)' in ' '.join(one['scores']['notes'])
    assert floats['runs'][0]['heatmaps'] == ours['runs'][0]['heatmaps'] == ['32FC1']
    assert [s['found'] for s in floats['runs'][0]['found']] == [
        s['found'] for s in ran['runs'][0]['found']
    ]


def test_heatmaps_of_8_bits_and_boxes_are_scored_and_named(messages, live, tmp_path, capsys):
    floats, _ = rescore(
        capsys, with_results(tmp_path / 'f', messages, live), '--recorded', '--out', tmp_path / 'a'
    )
    bytes_, _ = rescore(
        capsys,
        with_results(tmp_path / 'm', messages, live, 'heatmap_float'),
        '--recorded',
        '--out',
        tmp_path / 'b',
    )
    boxes, _ = rescore(
        capsys,
        with_results(tmp_path / 'n', messages, live, 'heatmap_float', 'heatmap'),
        '--recorded',
        '--out',
        tmp_path / 'c',
    )
    assert bytes_['runs'][0]['heatmaps'] == ['mono8'] and '8 bits' in ' '.join(
        bytes_['scores']['notes']
    )
    assert boxes['runs'][0]['heatmaps'] == ['boxes'] and 'boxes are scored' in ' '.join(
        boxes['scores']['notes']
    )
    assert row(bytes_)['hmbox_auc'] == pytest.approx(row(floats)['hmbox_auc'], abs=0.02)
    assert row(bytes_)['pibr'] == pytest.approx(row(floats)['pibr'], abs=0.1)
    assert row(boxes)['pibr'] >= 0.5
    assert row(boxes)['class_accuracy'] == row(floats)['class_accuracy']


def test_results_alone_are_scored_with_a_file(bag, messages, results, tmp_path, capsys):
    path = write_annotations(tmp_path / 'truth.json', [annotation_of(messages)])
    ran, _ = evaluate(capsys, bag, '--out', tmp_path / 'a')
    alone, _ = rescore(
        capsys,
        results / 'localizations',
        '--recorded',
        '--annotations',
        path,
        '--out',
        tmp_path / 'b',
    )
    same(ran, alone, 1e-6)
    assert alone['image']['messages'] == 0


def test_results_of_old_messages_are_read(messages, live, tmp_path, capsys):
    """``audio_missing`` was added later; a bag brings the definition that it was made with."""
    from avsol_ros.bags import BagWriter, encode
    from avsol_ros.bags.type_definitions import builtin_types

    old = builtin_types('first')
    name = 'avsol_ros/msg/SoundingObjects'
    path = tmp_path / 'old'
    with BagWriter(path) as writer:
        text, _ = old.generate_msgdef(name, ros_version=2)
        writer.add_topic(SOUNDING, name, text)
        known = {SOUNDING}
        for topic, kind, log_ns, fields in sorted([*messages, *live], key=lambda m: m[2]):
            if topic not in known:
                writer.add_topic(topic, kind)
                known.add(topic)
            raw = encode(make_message(kind, **fields))
            if topic == SOUNDING:
                msg = make_message(kind, **fields)
                values = {field: getattr(msg, field) for field, _ in old.get_msgdef(name).fields}
                raw = bytes(old.serialize_cdr(SimpleNamespace(**values), name, little_endian=True))
            writer.write(topic, log_ns, raw)
    new, _ = rescore(
        capsys,
        with_results(tmp_path / 'new', messages, live),
        '--recorded',
        '--out',
        tmp_path / 'a',
    )
    before, _ = rescore(capsys, path, '--recorded', '--out', tmp_path / 'b')
    same(before, new)
    line = json.loads((tmp_path / 'b/localizations.jsonl').read_text().splitlines()[0])
    assert line['audio_missing'] is None


def sounding(stamp_ns, start_ns):
    return make_message(
        'avsol_ros/msg/SoundingObjects',
        header={'stamp': stamp_ns},
        window_start=start_ns,
        window_end=start_ns + SECOND,
    )


def heatmap(stamp_ns, value):
    return make_message(
        IMAGE,
        header={'stamp': stamp_ns},
        height=2,
        width=3,
        encoding='32FC1',
        step=12,
        data=np.full((2, 3), value, '<f4').tobytes(),
    )


@pytest.mark.parametrize('first', ['results', 'heatmaps', 'in turn'])
def test_results_and_heatmaps_find_each_other_in_any_order(first):
    pairing, out = Pairing(heatmaps=True), []
    # Two windows of a slow camera have the same last frame, and so the same stamp.
    stamps = [10, 20, 20, 30]
    parts = [
        [
            lambda s=s, k=k: pairing.add_result(sounding(s, k * SECOND), k)
            for k, s in enumerate(stamps)
        ],
        [lambda s=s, k=k: pairing.add_heatmap(heatmap(s, k)) for k, s in enumerate(stamps)],
    ]
    if first == 'heatmaps':
        parts.reverse()
    steps = (
        [step for pair in zip(*parts) for step in pair]
        if first == 'in turn'
        else [step for part in parts for step in part]
    )
    for step in steps:
        out += step()
    out += pairing.finish()
    assert [stamp_to_ns(one.msg.window_start) // SECOND for one in out] == [0, 1, 2, 3]
    assert [float(one.heat[0, 0]) for one in out] == [0, 1, 2, 3]
    assert pairing.alone == 0


def test_lost_halves_hold_up_nothing():
    pairing, out = Pairing(heatmaps=True), []
    for k in range(100):
        if k % 10:
            out += pairing.add_heatmap(heatmap(k, k))
        if k % 7:
            out += pairing.add_result(sounding(k, k * SECOND), k)
    out += pairing.finish()
    found = {stamp_to_ns(one.msg.header.stamp): one.heat for one in out}
    assert list(found) == [k for k in range(100) if k % 7]
    for k, heat in found.items():
        assert (heat is None) == (k % 10 == 0) and (heat is None or heat[0, 0] == k)


def test_heatmaps_of_any_layout_are_read():
    values = np.arange(6, dtype='>f4').reshape(2, 3)
    padded = np.zeros((2, 16), np.uint8)
    padded[:, :12] = values.view(np.uint8)
    msg = make_message(
        IMAGE, height=2, width=3, encoding='32FC1', is_bigendian=1, step=16, data=padded.tobytes()
    )
    np.testing.assert_array_equal(heatmap_of(msg), np.arange(6).reshape(2, 3))
    short = make_message(IMAGE, height=2, width=3, encoding='32FC1', step=12, data=bytes(20))
    with pytest.raises(AvsolError, match='20 bytes'):
        heatmap_of(short)
    broken = heatmap(0, float('nan'))
    with pytest.raises(AvsolError, match='finite'):
        heatmap_of(broken)


def test_boxes_make_a_map_with_one_peak():
    strong = Box(10, 4, 30, 14, 0.9, 'bell', 0.9)
    weak = Box(20, 2, 60, 12, 0.6, 'drum', 0.6)
    heat = boxes_as_map((strong, weak), 20, 50)
    assert np.unravel_index(heat.argmax(), heat.shape) == (9, 20)
    assert (heat == heat.max()).sum() == 1 and heat.max() == pytest.approx(0.9)
    assert heat[5, 15] == np.float32(0.9) and heat[3, 45] == np.float32(0.6)
    assert heat[5, 25] == np.float32(0.9)  # both: the stronger
    assert heat[0, 0] == 0 and not boxes_as_map((), 20, 50).any()


# Without any truth.


@pytest.fixture(scope='module')
def quiet_bag(messages, tmp_path_factory):
    return write_mcap(
        tmp_path_factory.mktemp('quiet') / 'hall.mcap', without(messages, DETECTIONS)
    )


def test_without_truth_it_tells_what_was_when(quiet_bag, tmp_path, capsys):
    out = tmp_path / 'out'
    document, said = evaluate(capsys, quiet_bag, '--out', out)
    assert document['scores'] is None and not said
    image, audio, skew = document['image'], document['audio'], document['skew']
    assert (image['messages'], image['width'], image['height']) == (100, WIDTH, HEIGHT)
    assert image['rate'] == pytest.approx(RATE) and image['longest_gap'] == pytest.approx(0.04)
    assert (audio['sample_rate'], audio['channels'], audio['format']) == (16000, 1, 'S16LE')
    assert audio['gaps'] == 0 and skew['image_lead'] == 0
    assert skew['image_log_minus_stamp']['median'] == pytest.approx(0.005)
    assert skew['audio_log_minus_stamp']['median'] == pytest.approx(0.043)
    spans = document['runs'][0]['found']
    names = [span['found'] for span in spans]
    assert names[0] is not None and None in names
    assert sum(span['windows'] for span in spans) == document['runs'][0]['windows'] == 13
    for before, after in zip(spans, spans[1:]):
        assert before['end'] == pytest.approx(after['start'])
    assert json.loads((out / 'summary.json').read_text()) == document
    with MediaReader(out / 'overlay.mp4') as film:
        assert film.info.sample_rate == 16000 and film.info.width == WIDTH
    sheet = cv2.imread(str(out / 'sheet.png'))
    assert sheet.shape[1] > 5 * 400
    assert sorted(p.name for p in out.iterdir()) == [
        'localizations',
        'localizations.jsonl',
        'overlay.mp4',
        'sheet.png',
        'summary.json',
    ]
    text = text_of(capsys, quiet_bag, '--out', out, '--no-video')
    for words in (
        '25.00 a second',
        'S16LE, 1 channel, 16000 Hz',
        'no gaps',
        names[0],
        '0.38 - ',
        str(out / 'localizations'),
    ):
        assert words in text


def test_a_second_run_takes_the_place_of_the_first(quiet_bag, tmp_path, capsys):
    evaluate(capsys, quiet_bag, '--out', tmp_path, '--no-video')
    evaluate(capsys, quiet_bag, '--out', tmp_path, '--no-video', '--hop', 1)
    with BagReader(tmp_path / 'localizations') as reader:
        assert reader.topics[SOUNDING].count == SECONDS
    assert len((tmp_path / 'localizations.jsonl').read_text().splitlines()) == SECONDS
    assert not list(tmp_path.glob('.*'))


def test_folders_of_others_stay(quiet_bag, tmp_path, capsys):
    out = tmp_path / 'out'
    (out / 'localizations').mkdir(parents=True)
    (out / 'localizations/mine.txt').write_text('mine')
    _, said = evaluate(capsys, quiet_bag, '--hop', 1, '--out', out, status=1)
    assert 'mine.txt' in said and '--out' in said and said.count('\n') == 1
    assert (out / 'localizations/mine.txt').read_text() == 'mine'
    # A recording that happens to have that name, even if it is the one that is evaluated.
    mine = tmp_path / 'localizations'
    write_ours(mine, scene_messages(1, truth=False))
    _, said = evaluate(capsys, mine, '--hop', 1, '--out', tmp_path, status=1)
    assert 'a recording' in said and (mine / 'metadata.yaml').exists()


def test_truth_in_which_nothing_sounds_scores_no_places(tmp_path, capsys):
    path = write_mcap(tmp_path / 'b.mcap', scene_messages(2, schedule=[[], []]))
    document, _ = evaluate(capsys, path, '--hop', 1, '--out', tmp_path / 'o')
    assert 'nothing to score places against' in ' '.join(document['scores']['notes'])
    text = text_of(capsys, path, '--hop', 1, '--out', tmp_path / 'o')
    assert 'nothing to score places against' in text and 'time ' in text


def test_recorded_without_truth(messages, live, tmp_path, capsys):
    path = with_results(tmp_path / 'hall', without(messages, DETECTIONS), live)
    document, _ = rescore(capsys, path, '--recorded', '--out', tmp_path / 'out')
    assert document['runs'][0]['windows'] == 13
    assert (tmp_path / 'out/overlay.mp4').exists()
    assert document['runs'][0]['found'][0]['start'] == pytest.approx(0.375)


def test_several_models_have_a_folder_each(quiet_bag, bag, tmp_path, capsys):
    other = save_checkpoint(tmp_path / 'mine.safetensors', load_checkpoint('compact'))
    document, _ = evaluate(capsys, bag, 'compact', other, '--hop', 1, '--out', tmp_path / 'o')
    assert [run['model'] for run in document['runs']] == ['compact', str(other)]
    assert (tmp_path / 'o/compact/localizations.jsonl').exists()
    assert (tmp_path / 'o/mine/localizations/metadata.yaml').exists()
    np.testing.assert_array_equal(*numbers(document)[:2])


def test_boxes_are_cut_as_the_options_say(quiet_bag, tmp_path, capsys):
    document, _ = evaluate(
        capsys, quiet_bag, '--avc-threshold', 1, '--no-video', '--hop', 1, '--out', tmp_path
    )
    assert [span['found'] for span in document['runs'][0]['found']] == [None]


# Gaps, bad bags, bad arguments.


def test_gaps_are_counted_and_a_window_says_what_it_lacks(messages, tmp_path, capsys):
    lost = [
        m
        for m in messages
        if not (
            m[1] == AUDIO_DATA_STAMPED
            and 1.2 <= (m[3]['header']['stamp'] - ORIGIN_NS) / SECOND < 1.6
            or m[1] == IMAGE
            and 2.3 <= (m[3]['header']['stamp'] - ORIGIN_NS) / SECOND < 2.5
        )
    ]
    path = write_mcap(tmp_path / 'b.mcap', lost)
    document, _ = evaluate(capsys, path, '--hop', 1, '--out', tmp_path / 'out')
    assert document['audio']['gaps'] == 1
    assert document['audio']['gap_seconds'] == pytest.approx(0.4)
    assert document['image']['longest_gap'] == pytest.approx(0.24, abs=0.05)
    lines = [
        json.loads(line)
        for line in (tmp_path / 'out/localizations.jsonl').read_text().splitlines()
    ]
    assert [line['audio_missing'] for line in lines] == pytest.approx([0, 0.4, 0, 0])


def test_a_cut_off_bag_is_scored_as_far_as_it_goes(bag, tmp_path, capsys):
    data = bag.read_bytes()
    (tmp_path / 'kitchen.mcap').write_bytes(data[: len(data) * 7 // 10])
    document, said = evaluate(
        capsys, tmp_path / 'kitchen.mcap', '--hop', 1, '--out', tmp_path / 'out', status=3
    )
    assert 1 <= document['runs'][0]['windows'] < SECONDS
    assert document['problems'] and document['problems'][0] in said
    assert said.count('\n') == len(document['problems'])
    assert row(document)['hmbox_auc'] > 0


def test_what_cannot_be_used_is_named_and_the_rest_scored(messages, tmp_path, capsys):
    changed = []
    for number, (topic, kind, log_ns, fields) in enumerate(messages):
        if kind == IMAGE and number % 50 == 7:
            fields = {**fields, 'encoding': 'secret'}
        changed.append((topic, kind, log_ns, fields))
    path = write_mcap(tmp_path / 'b.mcap', changed)
    document, said = evaluate(capsys, path, '--hop', 1, '--out', tmp_path / 'out', status=3)
    assert document['cut']['refused'] >= 1 and "'secret'" in said
    assert document['runs'][0]['windows'] == SECONDS


def test_time_that_runs_backwards_is_told(messages, tmp_path, capsys):
    later = [
        (topic, kind, log_ns + SECONDS * SECOND, fields)
        for topic, kind, log_ns, fields in without(messages, DETECTIONS)
    ]
    path = write_mcap(tmp_path / 'b.mcap', [*messages, *later])
    document, said = evaluate(capsys, path, '--hop', 1, '--out', tmp_path / 'out', status=3)
    assert 'run backwards 1 time(s)' in said
    assert document['image']['backwards'] == 1
    assert document['runs'][0]['windows'] == 2 * SECONDS == row(document)['windows']


def test_bags_in_which_there_is_nothing(messages, tmp_path, capsys):
    short = write_mcap(
        tmp_path / 'short.mcap', [m for m in messages if m[2] < ORIGIN_NS + SECOND // 2]
    )
    _, said = evaluate(capsys, short, '--out', tmp_path / 'o', status=1)
    assert 'no window could be localized' in said and 'no whole second' in said
    assert not (tmp_path / 'o').exists()
    silent = write_mcap(tmp_path / 'silent.mcap', without(messages, AUDIO_DATA_STAMPED))
    _, said = evaluate(capsys, silent, '--out', tmp_path / 'o', status=1)
    assert 'no audio topic' in said
    mute = write_mcap(tmp_path / 'mute.mcap', without(messages, AUDIO_INFO))
    _, said = evaluate(capsys, mute, '--out', tmp_path / 'o', status=1)
    assert 'no window could be localized' in said and '--audio-format' in said
    told, _ = evaluate(
        capsys,
        mute,
        '--out',
        tmp_path / 'o',
        '--audio-format',
        'S16LE',
        '--audio-sample-rate',
        16000,
        '--audio-channels',
        1,
        '--hop',
        1,
    )
    assert told['runs'][0]['windows'] == SECONDS
    (tmp_path / 'junk.mcap').write_bytes(b'junk' * 100)
    _, said = evaluate(capsys, tmp_path / 'junk.mcap', status=1)
    assert said.count('\n') == 1


def test_topics_are_named_where_that_is_needed(messages, tmp_path, capsys):
    second = [('/other/image_raw', *m[1:]) for m in messages if m[1] == IMAGE]
    path = write_mcap(tmp_path / 'b.mcap', sorted([*messages, *second], key=lambda m: m[2]))
    _, said = evaluate(capsys, path, '--out', tmp_path / 'o', status=1)
    assert '--image-topic' in said and '/other/image_raw' in said
    document, _ = evaluate(
        capsys, path, '--image-topic', '/other/image_raw', '--hop', 1, '--out', tmp_path / 'o'
    )
    assert document['topics']['image']['name'] == '/other/image_raw'


def test_wrong_truth_is_told(bag, messages, tmp_path, capsys):
    a, b = (annotation_of(messages, name) for name in ('a.mp4', 'b.mp4'))
    path = write_annotations(tmp_path / 'truth.json', [a, b])
    _, said = evaluate(capsys, bag, '--annotations', path, '--out', tmp_path, status=1)
    assert 'kitchen' in said and 'a.mp4, b.mp4' in said
    bad = [
        (
            t,
            k,
            n,
            {**f, 'detections': [{**d, 'results': []} for d in f['detections']]}
            if k == DETECTIONS and i % 3
            else f,
        )
        for i, (t, k, n, f) in enumerate(messages)
    ]
    path = write_mcap(tmp_path / 'bad.mcap', bad)
    document, said = evaluate(capsys, path, '--hop', 1, '--out', tmp_path, status=3)
    assert 'cannot be used, the first: ground truth at' in said and document['scores']


@pytest.mark.parametrize(
    'arguments, words',
    [
        (['{bag}', 'nothing'], "no model 'nothing'"),
        (['{bag}', '--data', 'hard'], '--data does not go with a bag'),
        (['compact', '--hop', '0.5'], '--hop goes with a bag'),
        (['{bag}', '{bag}'], '2 bags are given'),
        (['lost.mcap'], 'there is no bag lost.mcap'),
        (['old.bag'], 'there is no bag old.bag'),
        (['{folder}'], 'is a folder without metadata.yaml'),
        (['{bag}', '--hop', '2'], 'hop is 2.0'),
        (['{bag}', '--origin', 'yesterday'], '--origin is'),
        (['{bag}', '--heatmap-size', '5'], '--heatmap-size is'),
        (['{bag}', '--recorded'], 'no localization topic'),
        (['{bag}', 'compact', '--recorded'], 'runs no model'),
        (['{bag}', '--recorded', 'lost'], "recorded is 'lost'"),
        (['--recorded'], 'goes with a bag'),
        (['{bag}', '--recorded', '--hop', '1'], '--hop goes with a model'),
        (['{bag}', '--truth-topic', '/nothing'], '/nothing'),
    ],
)
def test_wrong_arguments_are_one_line(bag, tmp_path, arguments, words, capsys):
    given = [a.format(bag=bag, folder=tmp_path) for a in arguments]
    assert cli.main(['evaluate', *given]) == 1
    said = capsys.readouterr()
    assert words in said.err and said.err.count('\n') == 1 and not said.out


def test_without_truth_nothing_of_training_is_needed(quiet_bag, tmp_path):
    missing = ('avsol_ros.training', 'rclpy', 'lightning', 'torchmetrics')
    done = run_without(missing, 'evaluate', quiet_bag, '--hop', 1, '--out', tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'overlay.mp4').exists()


def test_scoring_needs_nothing_that_trains(bag, tmp_path):
    missing = ('rclpy', 'lightning', 'torchmetrics', 'jsonargparse', 'tensorboard', 'sklearn')
    done = run_without(missing, 'evaluate', bag, '--hop', 1, '--out', tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'HmBoxAUC' in done.stdout


def test_a_missing_reader_of_bags_is_named(bag, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'rosbags', None)
    for name in [
        n
        for n in sys.modules
        if n.startswith(('avsol_ros.bags.', 'rosbags.', 'avsol_ros.offline.'))
    ]:
        monkeypatch.delitem(sys.modules, name)
    assert cli.main(['evaluate', str(bag)]) == 1
    assert 'rosbags' in capsys.readouterr().err


class QuickLocalizer:
    """Takes no time and finds one thing, so that a bag may be long."""

    frames = 2
    model = SimpleNamespace(config=None)

    @classmethod
    def load(cls, *_):
        return cls()

    def reset(self):
        self.calls = 0

    def __str__(self):
        return 'nothing'

    def __call__(self, window):
        self.calls += 1
        if self.calls == self.stop_at:
            signal.raise_signal(signal.SIGINT)
        if self.calls == self.fail_at:
            raise RuntimeError('out of memory')
        heat = np.zeros((14, 14), np.float32)
        heat[3:6, 3:6] = 0.9
        return Localization(
            window.start_ns,
            window.end_ns,
            window.frame_stamps_ns[-1],
            heat,
            0.9,
            ('bell', 'drum'),
            np.array([0.9, 0.1], np.float32),
            np.zeros((2, 14, 14), np.float32),
            window.frames[0].shape[:2],
        )

    stop_at = fail_at = None


def long_bag(path, seconds):
    """Tiny pictures and sound for a long time."""

    def stream():
        picture, sound = bytes(3 * 16 * 12), bytes(2 * 8000)
        for half in range(2 * seconds):
            stamp = ORIGIN_NS + half * SECOND // 2
            header = {'stamp': stamp, 'frame_id': 'camera'}
            if half == 0:
                yield (
                    '/audio_info',
                    AUDIO_INFO,
                    stamp,
                    {
                        'channels': 1,
                        'sample_rate': 16000,
                        'sample_format': 'S16LE',
                        'coding_format': 'wave',
                    },
                )
            for part in range(2):
                at = stamp + part * SECOND // 4
                yield (
                    '/camera/image_raw',
                    IMAGE,
                    at,
                    {
                        'header': {'stamp': at},
                        'height': 12,
                        'width': 16,
                        'encoding': 'rgb8',
                        'step': 48,
                        'data': picture,
                    },
                )
            yield (
                '/audio_stamped',
                AUDIO_DATA_STAMPED,
                stamp + SECOND // 2 - 1,
                {'header': header, 'audio': {'data': sound}},
            )

    return write_ours(path, stream(), compression='chunk')


@pytest.mark.slow
def test_memory_does_not_grow_with_the_bag(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr('avsol_ros.offline.evaluate_models.Localizer', QuickLocalizer)

    def peak(name, seconds):
        path = long_bag(tmp_path / name, seconds)
        tracemalloc.start()
        document, _ = evaluate(capsys, path, '--hop', 0.5, '--no-video', '--out', tmp_path / 'o')
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert document['runs'][0]['windows'] == 2 * seconds - 1
        return used

    peak('warm', 40)
    small, large = peak('short', 60), peak('long', 260)
    assert large - small < 2 << 20  # there are 6 MB more in the bag


def test_ctrl_c_keeps_what_was_found(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr('avsol_ros.offline.evaluate_models.Localizer', QuickLocalizer)
    monkeypatch.setattr(QuickLocalizer, 'stop_at', 5)
    path = long_bag(tmp_path / 'bag', 60)
    handler = signal.getsignal(signal.SIGINT)
    document, said = evaluate(capsys, path, '--hop', 1, '--out', tmp_path / 'o', status=130)
    assert signal.getsignal(signal.SIGINT) is handler
    assert document['interrupted'] and document['runs'][0]['windows'] == 5
    assert document['audio']['messages'] < 20  # of 120
    assert 'stopped' in said
    with BagReader(tmp_path / 'o/localizations') as reader:
        assert reader.topics[SOUNDING].count == 5 and not reader.problems
    with MediaReader(tmp_path / 'o/overlay.mp4') as film:
        assert film.info.width == 16


def test_a_window_that_fails_is_told_and_the_rest_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr('avsol_ros.offline.evaluate_models.Localizer', QuickLocalizer)
    monkeypatch.setattr(QuickLocalizer, 'fail_at', 3)
    path = long_bag(tmp_path / 'bag', 10)
    document, said = evaluate(
        capsys, path, '--hop', 1, '--no-video', '--out', tmp_path / 'o', status=3
    )
    assert document['runs'][0]['windows'] == 9 and document['runs'][0]['failed'] == 1
    assert 'out of memory' in said


def test_a_failure_leaves_the_files_of_before(quiet_bag, tmp_path, monkeypatch, capsys):
    evaluate(capsys, quiet_bag, '--out', tmp_path, '--hop', 1, '--no-video')
    before = (tmp_path / 'localizations.jsonl').read_text()

    def broken(self, *_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('avsol_ros.offline.timeline.Timeline.add', broken)
    _, said = evaluate(capsys, quiet_bag, '--out', tmp_path, status=1)
    assert 'No space left' in said
    assert (tmp_path / 'localizations.jsonl').read_text() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        'localizations',
        'localizations.jsonl',
        'sheet.png',
        'summary.json',
    ]


# Parts.


def test_the_spread_of_many_numbers_is_near_the_true_one():
    values = np.random.default_rng(0).normal(5, 2, 100_000)
    spread = Spread()
    for value in values:
        spread.add(value)
    low, middle, high = np.percentile(values, [5, 50, 95])
    found = spread.as_dict()
    assert found['median'] == pytest.approx(middle, abs=0.1)
    assert (found['low'], found['high']) == pytest.approx((low, high), abs=0.2)
    assert Spread().as_dict() is None


def test_rates_are_those_of_the_stamps():
    facts = TopicFacts()
    for stamp in [0, 100, 200, 300, 900, 850, 1000, 0, 100]:  # milliseconds
        facts.add(stamp * 10**6, stamp * 10**6 + 7_000_000)
    found = facts.as_dict()
    assert found['longest_gap'] == pytest.approx(0.6)
    assert found['messages'] == 9 and found['backwards'] == 0
    facts.add(2_000_000_000, 0)
    facts.add(500_000_000, 0)
    assert facts.as_dict()['backwards'] == 1
    assert TopicFacts().as_dict()['rate'] is None


def finding(start_ns, name, avc=0.8, x=0.0):
    boxes = (Box(x, 0, x + 10, 10, 0.8, name, 0.9),) if name else ()
    return Finding(
        WindowResult(
            start_ns, start_ns + SECOND, avc, np.zeros((2, 2), np.float32), boxes, {}, (20, 20)
        ),
        start_ns,
        start_ns,
    )


@pytest.mark.parametrize('hop_ns', [SECOND // 4, None])
def test_spans_join_what_is_the_same(hop_ns):
    timeline = Timeline(hop_ns)
    for k, name in enumerate(['a', 'a', None, 'b', 'b', 'b']):
        timeline.add(finding(k * SECOND // 4, name, x=float(k)))
    timeline.add(finding(20 * SECOND, 'b'))  # after a hole
    spans = [span.as_dict(0) for span in timeline.spans]
    assert [(s['found'], s['start'], s['end'], s['windows']) for s in spans] == [
        ('a', 0.375, 0.875, 2),
        (None, 0.875, 1.125, 1),
        ('b', 1.125, 1.875, 3),
        ('b', 20.375, 20.625, 1),
    ]
    assert spans[0]['box'] == [0.5, 0, 10.5, 10] and spans[2]['box'][0] == 4
    assert spans[1]['box'] is None and spans[0]['avc'] == pytest.approx(0.8)


def test_a_restless_bag_keeps_a_bounded_number_of_spans():
    timeline = Timeline(SECOND)
    for k in range(3000):
        timeline.add(finding(k * SECOND, 'ab'[k % 2]))
    assert len(timeline.spans) == 1000 and timeline.more == 2000


def test_out_is_named_after_the_bag(quiet_bag, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(quiet_bag, tmp_path / 'mine.mcap')
    evaluate(capsys, 'mine.mcap', '--hop', 1, '--no-video')
    assert (tmp_path / 'out/mine/localizations.jsonl').exists()


def test_recorded_results_go_beside_those_of_a_model(
    messages, live, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    with_results(tmp_path / 'mine', messages, live)
    rescore(capsys, 'mine', '--recorded')
    assert [p.name for p in (tmp_path / 'out/mine').iterdir()] == ['recorded']
