"""A film of what was found, from frames, sound and results in any order."""

import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from films import clicks

from avsol_ros.drawing.overlay_film import OverlayRecording
from avsol_ros.errors import AvsolError
from avsol_ros.localization import Box, WindowResult
from avsol_ros.media.film_reader import AudioChunk, MediaReader, VideoChunk

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
RATE = 16_000


def grey(height=120, width=160):
    return np.full((height, width, 3), 60, np.uint8)


def result(start_ns, hot):
    return WindowResult(
        start_ns,
        start_ns + SECOND,
        0.9 if hot else 0.1,
        np.full((4, 4), float(hot), np.float32),
        (Box(10, 50, 40, 90, 0.9, 'bell', 0.8),) if hot else (),
        {'bell': 0.8},
        (120, 160),
    )


def feed(
    recording,
    seconds=3,
    start_ns=START,
    hop_ns=SECOND // 4,
    hot=lambda i: i % 2,
    late_ns=700_000_000,
):
    """Give a stream as a network does: results come later than what they are about."""
    events = [(i * SECOND // 25, 0, i) for i in range(25 * seconds)]
    events += [(i * SECOND // 50, 1, i) for i in range(50 * seconds)]
    count = (seconds * SECOND - SECOND) // hop_ns + 1
    events += [(i * hop_ns + SECOND + late_ns, 2, i) for i in range(count)]
    sound = clicks(seconds, RATE, 1)
    for time_ns, kind, i in sorted(events):
        if kind == 0:
            recording.add_frame(start_ns + time_ns, grey())
        elif kind == 1:
            chunk = sound[i * RATE // 50 : (i + 1) * RATE // 50]
            recording.add_audio(start_ns + time_ns, chunk, RATE)
        else:
            recording.add_result(result(start_ns + i * hop_ns, hot(i)))
        recording.advance()


def read(path):
    with MediaReader(path, need_audio=False) as reader:
        chunks = list(reader)
    return (
        [chunk for chunk in chunks if isinstance(chunk, VideoChunk)],
        [chunk for chunk in chunks if isinstance(chunk, AudioChunk)],
    )


def test_each_frame_lies_under_the_result_nearest_to_it(tmp_path):
    recording = OverlayRecording(tmp_path / 'a.mp4')
    feed(recording)
    assert recording.close() == tmp_path / 'a.mp4'
    frames, sound = read(tmp_path / 'a.mp4')
    assert [frame.time_ns for frame in frames] == pytest.approx(
        [i * SECOND // 25 for i in range(75)], abs=20_000
    )
    centres = np.arange(9) * 0.25 + 0.5
    for frame in frames:
        distance = np.abs(centres - frame.time_ns / SECOND)
        nearest = np.flatnonzero(distance < distance.min() + 1e-4)
        shown = frame.image[60:110, 60:150].astype(int)
        hot = np.abs(shown - 60).mean() > 25
        assert hot in [bool(i % 2) for i in nearest], frame.time_ns / SECOND
    heard = np.concatenate([chunk.samples for chunk in sound])[:, 0]
    for second in range(3):
        loud = np.flatnonzero(np.abs(heard[second * RATE :].astype(int)) > 6000)[0]
        assert loud / RATE < 0.003
    record = json.loads((tmp_path / 'a.json').read_text())
    assert record['frames'] == 75 and record['origin_ns'] == START
    assert [window['start'] for window in record['windows']] == [i / 4 for i in range(9)]
    assert record['windows'][1]['boxes'][0]['class'] == 'bell'
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ['a.json', 'a.mp4']


def test_a_film_of_a_model_without_avc_and_classes(tmp_path):
    recording = OverlayRecording(tmp_path / 'a.mp4')
    for i in range(25):
        recording.add_frame(START + i * SECOND // 25, grey())
    recording.add_result(
        replace(
            result(START, True),
            avc=None,
            class_scores={},
            boxes=(Box(10, 50, 40, 90, 1.0, '', 1.0),),
        )
    )
    assert recording.close() == tmp_path / 'a.mp4'
    (window,) = json.loads((tmp_path / 'a.json').read_text())['windows']
    assert window['avc'] is None and window['class_scores'] == {}
    assert window['boxes'] == [
        {'box': [10, 50, 40, 90], 'class': None, 'score': 1.0, 'class_score': 1.0}
    ]
    frames, _ = read(tmp_path / 'a.mp4')
    assert len(frames) == 25
    assert all(np.abs(f.image[60:80, 60:150].astype(int) - 60).mean() > 25 for f in frames)


def test_frames_do_not_wait_for_ever(tmp_path):
    recording = OverlayRecording(tmp_path / 'a.mp4', max_wait_ns=SECOND)
    for i in range(100):
        recording.add_frame(START + i * SECOND // 25, grey())
        recording.add_audio(START + i * SECOND // 25, clicks(1, RATE, 1)[:640], RATE)
        recording.advance()
        assert i + 1 - recording.frames_written <= 27
    recording.close()
    assert len(read(tmp_path / 'a.mp4')[0]) == 100
    assert json.loads((tmp_path / 'a.json').read_text())['frames_without_result'] == 100


def test_memory_is_bounded_when_nobody_writes(tmp_path):
    frame = grey()
    recording = OverlayRecording(tmp_path / 'a.mp4', max_bytes=10 * frame.nbytes)
    for i in range(100):
        recording.add_frame(i * SECOND // 25, frame)
    assert recording.frames_dropped == 80
    recording.advance()
    recording.close()
    frames, sound = read(tmp_path / 'a.mp4')
    assert len(frames) == 20 and not sound


def test_long_recordings_keep_little_of_each_window(tmp_path):
    recording = OverlayRecording(tmp_path / 'a.mp4')
    recording.add_frame(0, grey())
    heatmap = np.full((480, 640), 0.5, np.float32)
    chunk = clicks(1, RATE, 1)[: RATE // 4]
    tracemalloc.start()
    try:
        for i in range(200):
            time = i * SECOND // 4
            recording.add_result(replace(result(time, True), heatmap=heatmap.copy()))
            recording.add_audio(time, chunk, RATE)
            recording.advance()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 4 << 20
    recording.close()
    _, sound = read(tmp_path / 'a.mp4')
    assert sum(len(chunk.samples) for chunk in sound) >= 50 * RATE
    windows = json.loads((tmp_path / 'a.json').read_text())['windows']
    assert len(windows) == 200
    kept = WindowResult.from_dict(windows[-1])
    assert kept.heatmap.shape == (48, 64) and kept.heatmap.max() == pytest.approx(0.5, abs=0.01)


def test_a_film_without_sound(tmp_path):
    recording = OverlayRecording(tmp_path / 'a.mp4', max_wait_ns=SECOND // 2)
    for i in range(50):
        recording.add_frame(i * SECOND // 25, grey())
        recording.advance()
    recording.add_audio(SECOND, clicks(1, RATE, 1), RATE)  # too late: the film has begun
    recording.close()
    frames, sound = read(tmp_path / 'a.mp4')
    assert len(frames) == 50 and not sound and frames[0].image.shape == (120, 160, 3)


def test_frames_out_of_order_are_left_out(tmp_path):
    recording = OverlayRecording(tmp_path / 'a.mp4')
    for time in (0.0, 0.04, 0.02, 0.04, 0.08):
        recording.add_frame(round(time * SECOND), grey())
    recording.close()
    assert len(read(tmp_path / 'a.mp4')[0]) == 3 and recording.frames_late == 2


def test_frames_of_another_size_are_made_to_fit(tmp_path):
    recording = OverlayRecording(tmp_path / 'a.mp4')
    recording.add_frame(0, grey())
    recording.add_frame(SECOND, grey(60, 90))
    recording.close()
    assert [frame.image.shape for frame in read(tmp_path / 'a.mp4')[0]] == [(120, 160, 3)] * 2


def test_sound_that_changes_its_format_is_refused(tmp_path):
    recording = OverlayRecording(tmp_path / 'a.mp4')
    recording.add_audio(0, clicks(1, RATE, 1), RATE)
    with pytest.raises(AvsolError, match='sound changed from 1 channel'):
        recording.add_audio(SECOND, clicks(1, RATE, 2), RATE)


def test_a_clock_that_jumps_does_not_fill_the_disk(tmp_path):
    recording = OverlayRecording(tmp_path / 'a.mp4', max_wait_ns=3 * SECOND)
    feed(recording, 2)
    far = START + 1_000_000 * SECOND
    with pytest.raises(AvsolError, match='stamps of the sound jump 999998.0 s ahead'):
        recording.add_audio(far, clicks(1, RATE, 1), RATE)
    with pytest.raises(AvsolError, match='stamps of the images jump'):
        recording.add_frame(far, grey())
    recording.add_audio(START + 2 * SECOND, clicks(1, RATE, 1), RATE)
    recording.add_frame(START + 2 * SECOND, grey())
    recording.close()
    frames, sound = read(tmp_path / 'a.mp4')
    assert len(frames) == 51 and recording.frames_late == 1
    assert sum(len(chunk.samples) for chunk in sound) == pytest.approx(3 * RATE, abs=2048)
    assert json.loads((tmp_path / 'a.json').read_text())['frames_late'] == 1


def test_sound_may_go_on_while_the_camera_pauses(tmp_path):
    recording = OverlayRecording(tmp_path / 'a.mp4', max_wait_ns=3 * SECOND)
    recording.add_frame(START, grey())
    for second in range(10):
        recording.add_audio(START + second * SECOND, clicks(1, RATE, 1), RATE)
        recording.advance()
    recording.add_frame(START + 10 * SECOND, grey())
    recording.close()
    frames, sound = read(tmp_path / 'a.mp4')
    assert len(frames) == 2 and sum(len(chunk.samples) for chunk in sound) >= 10 * RATE


def test_sound_and_pictures_of_different_clocks_are_told(tmp_path):
    recording = OverlayRecording(tmp_path / 'a.mp4')
    recording.add_frame(START, grey())
    with pytest.raises(AvsolError, match='sound begin 1700000000.0 s away .* same clock'):
        recording.add_audio(0, clicks(1, RATE, 1), RATE)
    recording.close()
    assert not read(tmp_path / 'a.mp4')[1]


def test_nothing_is_written_of_nothing(tmp_path):
    recording = OverlayRecording(tmp_path / 'a.mp4')
    recording.add_audio(0, clicks(1, RATE, 1), RATE)
    assert recording.close() is None and not list(tmp_path.iterdir())


def test_discarding_leaves_nothing(tmp_path):
    recording = OverlayRecording(tmp_path / 'a.mp4')
    feed(recording, 2)
    recording.discard()
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_of_no_film_is_refused_before_anything_comes(tmp_path):
    with pytest.raises(AvsolError, match=r'overlay.txt.*expected a name that ends in one of'):
        OverlayRecording(tmp_path / 'overlay.txt')
