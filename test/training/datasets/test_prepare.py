"""avsol prepare: any films to clips, and windows from clips as the live system cuts them."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from ave_dataset import (
    DOUBLE,
    LEAKED,
    PHONE,
    SPOILED,
    TWICE,
    lines,
    make_ave,
    media,
    write_ave_film,
)
from films import CORNERS, picture, write_film
from waiting import PATIENCE_S

from avsol_ros.cli import main
from avsol_ros.config import WindowConfig
from avsol_ros.errors import AvsolError
from avsol_ros.media.film_reader import MediaReader, VideoChunk
from avsol_ros.messages.pcm import pcm_to_float
from avsol_ros.streams.audio_stream import AudioStream
from avsol_ros.streams.windows import SAMPLE_NS, WindowCutter
from avsol_ros.training.datasets.ave import CATEGORIES, FILES, read_ave
from avsol_ros.training.datasets.prepare import ClipSettings, prepare_ave, prepare_film
from avsol_ros.training.datasets.prepared import PreparedAve, clip_path, read_manifest
from avsol_ros.training.datasets.prepared_clip import EDGE_NS, Clip, ClipContent, write_clip

SECOND = 1_000_000_000
EXACT = ClipSettings(quality=100)
KILLER = 'barkVal__01'


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """Give a dataset and what ``avsol prepare`` makes of it; not to be changed."""
    folder = tmp_path_factory.mktemp('ave')
    make_ave(folder / 'AVE_Dataset')
    assert main(['prepare', str(folder), str(folder / 'out'), '--workers', '2']) == 0
    return folder / 'AVE_Dataset', folder / 'out'


@pytest.fixture
def copied(made, tmp_path):
    """Give the same to do anything with."""
    for source, name in zip(made, ('AVE_Dataset', 'out')):
        shutil.copytree(source, tmp_path / name)
    return tmp_path / 'AVE_Dataset', tmp_path / 'out'


def live_windows(film, frames):
    """Cut a film as the nodes do, by second."""
    cutter = WindowCutter(WindowConfig(frames=frames))
    sound, windows = None, []
    with MediaReader(film) as reader:
        for chunk in reader:
            if isinstance(chunk, VideoChunk):
                cutter.add_frame(chunk.time_ns, chunk.image)
            else:
                sound = sound or AudioStream(chunk.sample_rate, chunk.samples.shape[1])
                samples = pcm_to_float(chunk.samples.tobytes(), 'S16LE', chunk.samples.shape[1])
                for piece in sound.process(chunk.time_ns, samples):
                    cutter.add_audio(*piece)
            windows += cutter.ready()
    for piece in sound.flush():
        cutter.add_audio(*piece)
    windows += cutter.flush()
    return {window.start_ns // SECOND: window for window in windows}


def written(out):
    return {path.stem: path.stat().st_mtime_ns for path in (out / 'clips').iterdir()}


def prepare(folder, out, *options):
    return main(['prepare', str(folder), str(out), '--workers', '1', *options])


# What convert functions of prepare_ave do is done in worker processes, which find them by name.


def crash_at_killer(film, clip, settings):
    if film.stem == KILLER:
        os.kill(os.getpid(), signal.SIGSEGV)
    return prepare_film(film, clip, settings)


def hold_after_first(film, clip, settings):
    if any(clip.parent.glob('*.clip')):
        (clip.parent / 'held').write_text(str(os.getpid()))
        while True:
            time.sleep(60)
    return prepare_film(film, clip, settings)


def refuse(film, clip, settings):
    raise AvsolError(f'{film.name} was to be left alone')


def test_every_film_gets_what_it_deserves(made):
    outcomes = read_manifest(made[1])
    expected = {video: 'ok' for split in ('train', 'val', 'test') for _, video, *_ in lines(split)}
    expected |= SPOILED
    assert {video: outcome.status for video, outcome in outcomes.items()} == expected
    for video, outcome in outcomes.items():
        assert bool(outcome.seconds) == clip_path(made[1], video).exists()
        if outcome.status == 'ok':
            assert outcome.seconds == tuple(range(10)) and not outcome.reason
        else:
            assert outcome.reason and '\n' not in outcome.reason
    assert outcomes['sixSeconds1'].seconds == tuple(range(6))
    assert outcomes['cutOffHalf1'].seconds == tuple(range(5))
    assert 'breaks off' in outcomes['cutOffHalf1'].reason
    assert not list((made[1] / 'clips').glob('.*'))


@pytest.mark.parametrize('video', ['-AbC_dEfGh1', 'bark#é (2).x', 'cutOffHalf1', PHONE])
@pytest.mark.parametrize('frames', [8, 16])
def test_windows_are_those_of_the_live_system(made, video, frames):
    expected = live_windows(media(made[0], video), frames) if video != 'cutOffHalf1' else None
    windows = Clip.open(clip_path(made[1], video)).windows(frames)
    if expected is None:
        # The live system ends with the error; up to there a clip is as that of the whole film.
        expected = {
            second: window
            for second, window in live_windows(media(made[0], 'barkTrain_1'), frames).items()
            if second < 5
        }
    compared = 0
    for second, window in enumerate(windows):
        if second not in expected:
            continue
        live = expected[second]
        assert (window.start_ns, window.end_ns) == (live.start_ns, live.end_ns)
        assert window.frame_stamps_ns == live.frame_stamps_ns
        assert window.audio_missing == live.audio_missing
        assert window.audio.dtype == np.float32
        assert np.abs(window.audio - live.audio).max() <= 0.5 / 32768 + 1e-7
        for ours, theirs in zip(window.frames, live.frames, strict=True):
            assert ours.shape == theirs.shape and ours.dtype == np.uint8
            assert np.abs(ours.astype(int) - theirs).mean() < 4
        compared += 1
    assert compared >= (5 if video == 'cutOffHalf1' else 9)


def test_reads_only_the_frames_of_the_window(made, monkeypatch):
    decoded = []
    decode = cv2.imdecode
    monkeypatch.setattr(cv2, 'imdecode', lambda *args: decoded.append(1) or decode(*args))
    clip = Clip.open(clip_path(made[1], PHONE))
    assert not decoded
    assert len(clip.window(3, 8).frames) == 8
    assert len(decoded) == 8
    # A film of ten frames a second has no more, and gives some twice.
    window = Clip.open(clip_path(made[1], TWICE)).window(3, 16)
    assert len(window.frames) == 16 and len(decoded) == 8 + 10


def test_phone_films_are_upright_and_begin_with_their_pictures(made):
    clip = Clip.open(clip_path(made[1], PHONE))
    assert clip.size == (48, 64)
    window = clip.window(0, 8)
    assert window.frames[0].shape == (64, 48, 3)
    # The sound begins 40 ms after the pictures, less what the encoder puts before it.
    assert 0 < window.audio_missing < 0.05 * 16_000
    assert not window.audio[: window.audio_missing].any()
    assert window.audio[window.audio_missing :].any()


def test_turned_corners_are_where_they_belong(tmp_path):
    film = write_film(tmp_path / 'film.mp4', seconds=1, rotation=90, draw=picture, rate=44_100)
    assert prepare_film(film, tmp_path / 'x.clip', EXACT).seconds == (0,)
    image = Clip.open(tmp_path / 'x.clip').window(0, 1).frames[0]
    height, width = image.shape[:2]
    assert (width, height) == (120, 160)
    # Turned clockwise, what was at the bottom left is at the top left.
    for corner, (x, y) in {
        'bottom left': (9, 9),
        'top left': (width - 9, 9),
        'bottom right': (9, height - 9),
    }.items():
        assert np.abs(image[y, x].astype(int) - CORNERS[corner]).max() < 40


@pytest.mark.parametrize(
    ('rate', 'most', 'kept'),
    [(Fraction(30000, 1001), 30, 60), (60, 30, 60), (50, 30, 60), (60, 24, 48), (10, 30, 20)],
)
def test_keeps_frames_up_to_a_rate_evenly(tmp_path, rate, most, kept):
    film = write_film(tmp_path / 'film.mp4', seconds=2, width=32, height=32, frame_rate=rate)
    prepare_film(film, tmp_path / 'x.clip', ClipSettings(fps=most))
    stamps = Clip.open(tmp_path / 'x.clip').stamps_ns
    assert abs(len(stamps) - kept) <= 1
    assert np.diff(stamps).max() <= SECOND / most + SECOND / float(rate)


def test_frames_are_no_larger_than_asked(tmp_path):
    film = write_film(tmp_path / 'film.mp4', seconds=1, width=160, height=90)
    prepare_film(film, tmp_path / 'x.clip', ClipSettings(size=45))
    clip = Clip.open(tmp_path / 'x.clip')
    assert clip.size == (160, 90)
    assert clip.window(0, 1).frames[0].shape == (45, 80, 3)


def test_long_films_are_read_for_ten_seconds(tmp_path):
    film = write_ave_film(tmp_path / 'film.mp4', 'Cat', 0, 10, seconds=13)
    assert prepare_film(film, tmp_path / 'x.clip', ClipSettings()).status == 'ok'
    clip = Clip.open(tmp_path / 'x.clip')
    assert clip.stamps_ns[-1] < 10 * SECOND and len(clip.audio) == 160_000


def content(stamps, runs):
    """Content of a clip with pictures at the stamps and noise in the runs (start, samples)."""
    rng = np.random.default_rng(0)
    jpeg = cv2.imencode('.jpg', np.zeros((8, 8, 3), np.uint8))[1].reshape(-1)
    places = np.cumsum([0, *(count for _, count in runs)])
    table = [(start, place) for (start, _), place in zip(runs, places)]
    return ClipContent(
        [jpeg] * len(stamps),
        np.array(stamps, np.int64),
        rng.integers(1, 9999, places[-1]).astype(np.int16),
        np.array(table, np.int64),
        (8, 8),
    )


@pytest.mark.parametrize('seed', range(12))
def test_holes_are_cut_as_the_live_system_cuts_them(tmp_path, seed):
    rng = np.random.default_rng(seed)
    stamps = np.unique(rng.integers(EDGE_NS + 1, 10 * SECOND, rng.integers(2, 60))).tolist()
    runs, at = [], int(rng.integers(EDGE_NS + 1, SECOND))
    while at < 9.5 * SECOND:
        count = int(rng.integers(100, 60_000))
        count = min(count, (9 * SECOND + 800_000_000 - at) // SAMPLE_NS)
        runs.append((at, count))
        at += count * SAMPLE_NS + int(rng.integers(30_000_000, 2 * SECOND))
    clip_content = content(stamps, runs)
    write_clip(tmp_path / 'x.clip', clip_content)
    cutter = WindowCutter(WindowConfig(frames=4))
    events = [(stamp, 1, np.zeros((1, 1, 3), np.uint8)) for stamp in stamps]
    for (start, count), (_, place) in zip(runs, clip_content.runs.tolist()):
        samples = clip_content.audio[place : place + count].astype(np.float32) / 32768
        events += [
            (start + first * SAMPLE_NS, 0, samples[first : first + 333])
            for first in range(0, count, 333)
        ]
    expected = []
    for stamp, is_frame, value in sorted(events, key=lambda event: event[:2]):
        (cutter.add_frame if is_frame else cutter.add_audio)(stamp, value)
        expected += cutter.ready()
    expected += cutter.flush()
    clip = Clip.open(tmp_path / 'x.clip')
    windows = [window for window in clip.windows(4) if window is not None]
    assert [w.start_ns for w in windows] == [w.start_ns for w in expected]
    assert clip.available() == [w.start_ns // SECOND for w in expected]
    for ours, theirs in zip(windows, expected):
        assert ours.frame_stamps_ns == theirs.frame_stamps_ns
        assert ours.audio_missing == theirs.audio_missing
        assert np.array_equal(ours.audio, theirs.audio)


def test_a_little_missing_at_the_ends_costs_no_second(tmp_path):
    stamps = [EDGE_NS, *range(EDGE_NS * 3, 10 * SECOND, EDGE_NS)]
    start, count = 50_031_250, 158_000
    write_clip(tmp_path / 'x.clip', content(stamps, [(start, count)]))
    windows = Clip.open(tmp_path / 'x.clip').windows(4)
    assert None not in windows
    before = start // SAMPLE_NS
    assert windows[0].audio_missing == before
    assert not windows[0].audio[:before].any() and windows[0].audio[before:].all()
    after = 160_000 - before - count
    assert windows[9].audio_missing == after and not windows[9].audio[-after:].any()
    assert [w.audio_missing for w in windows[1:9]] == [0] * 8
    # More than a little is a second less.
    write_clip(tmp_path / 'y.clip', content(stamps, [(2 * EDGE_NS, 155_000)]))
    assert Clip.open(tmp_path / 'y.clip').available() == list(range(1, 9))


@pytest.mark.parametrize(
    'damage',
    [
        lambda data: data[: len(data) // 2],
        lambda data: b'',
        lambda data: b'hello' * 1000,
        lambda data: data.replace(b'avsol_ros clip 1', b'avsol_ros clip 0'),
    ],
)
def test_damaged_clips_are_named(made, tmp_path, damage):
    path = tmp_path / 'x.clip'
    path.write_bytes(damage(clip_path(made[1], TWICE).read_bytes()))
    with pytest.raises(AvsolError, match=r'x\.clip is no clip of this version, or is damaged'):
        Clip.open(path).windows(8)
    with pytest.raises(AvsolError, match=r'y\.clip does not exist'):
        Clip.open(tmp_path / 'y.clip')


def test_a_second_run_does_nothing(copied):
    before = written(copied[1])
    prepare_ave(read_ave(copied[0]), copied[1], convert=refuse)
    assert written(copied[1]) == before


def test_does_again_what_has_changed(copied, capsys):
    folder, out = copied
    before, outcomes = written(out), read_manifest(out)
    write_ave_film(media(folder, 'missingFil1'), 'Bark', 0, 10)
    shutil.copy(media(folder, TWICE), media(folder, 'emptyFile01'))
    os.utime(media(folder, PHONE))
    media(folder, 'catTrain_-1').unlink()  # its clip is there
    clip_path(out, 'bellTrain01').unlink()
    clip_path(out, 'banjoTrain1').write_bytes(b'half')
    (out / 'clips' / '.old.clip.123.part').write_bytes(b'half')
    assert prepare(folder, out) == 0
    changed = {'missingFil1', 'emptyFile01', PHONE, 'bellTrain01', 'banjoTrain1'}
    after = written(out)
    assert {video for video in after if after[video] != before.get(video)} == changed
    assert set(after) == set(before) | changed
    now = read_manifest(out)
    assert all(now[video].status == 'ok' for video in changed)
    assert now['catTrain_-1'] == outcomes['catTrain_-1']
    assert '1 missing' not in capsys.readouterr().out


def test_other_settings_do_all_again(copied):
    folder, out = copied
    before = written(out)
    media(folder, 'catTrain_-1').unlink()
    assert prepare(folder, out, '--size', '32') == 0
    after = written(out)
    assert {video for video in after if after[video] == before[video]} == {'catTrain_-1'}
    assert read_manifest(out)['catTrain_-1'].status == 'missing'
    assert Clip.open(clip_path(out, TWICE)).window(0, 1).frames[0].shape == (32, 43, 3)


def test_a_film_that_kills_its_worker_is_broken(copied):
    folder, out = copied
    before = read_manifest(out)
    for video in (KILLER, 'catTrain_-1', TWICE):
        clip_path(out, video).unlink()
    outcomes = prepare_ave(read_ave(folder), out, convert=crash_at_killer)
    assert outcomes[KILLER].status == 'broken' and 'SIGSEGV' in outcomes[KILLER].reason
    changed = {video for video in before if outcomes[video] != before[video]}
    assert changed == {KILLER, 'missingFil1'}  # of the latter the folder that is named
    # Not tried again, but when asked to.
    prepare_ave(read_ave(folder), out, convert=refuse)
    with pytest.raises(AvsolError, match='left alone'):
        prepare_ave(read_ave(folder), out, retry=True, convert=refuse)
    assert read_manifest(out) == outcomes


def test_goes_on_after_ctrl_c(made, tmp_path):
    folder = made[0]
    code = (
        'import functools, sys, test_prepare\n'
        'import avsol_ros.training.datasets.prepare as p\n'
        'p.prepare_ave = functools.partial(p.prepare_ave, '
        'convert=test_prepare.hold_after_first)\n'
        'from avsol_ros.cli import main\n'
        f'sys.exit(main(["prepare", {str(folder)!r}, {str(tmp_path)!r}, "--workers", "1"]))'
    )
    process = subprocess.Popen(
        [sys.executable, '-c', code],
        cwd=Path(__file__).parent,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        held = tmp_path / 'clips' / 'held'
        while not (held.exists() and held.read_text()):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == 130
    assert errors == (
        'avsol prepare: interrupted; what is prepared is kept, and the same command goes on\n'
    )
    with pytest.raises(ProcessLookupError):
        os.kill(int(held.read_text()), 0)
    held.unlink()
    outcomes = read_manifest(tmp_path)
    assert len(outcomes) >= 1
    done = {video for video, outcome in outcomes.items() if outcome.status == 'ok'}
    before = written(tmp_path)
    assert set(before) == done and len(done) == 1
    assert prepare(folder, tmp_path) == 0
    after = written(tmp_path)
    assert after.items() > before.items()
    assert {v: o.status for v, o in read_manifest(tmp_path).items()} == {
        v: o.status for v, o in read_manifest(made[1]).items()
    }


def test_two_runs_do_not_share_a_folder(copied):
    with open(copied[1] / '.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(AvsolError, match='another process is writing into'):
            prepare_ave(read_ave(copied[0]), copied[1])


def test_says_what_it_was_given_wrongly(tmp_path, capsys):
    def complaint(*arguments):
        assert main(['prepare', *map(str, arguments)]) == 1
        text = capsys.readouterr().err.strip().splitlines()[-1]
        return text.removeprefix('avsol prepare: error: ')

    assert 'has no Annotations.txt' in complaint(tmp_path, tmp_path / 'out')
    make_ave_without_films = tmp_path / 'ave'
    make_ave_without_films.mkdir()
    from ave_dataset import write_lists

    write_lists(make_ave_without_films)
    said = complaint(make_ave_without_films, tmp_path / 'out')
    assert said.startswith('none of the 24 films could be prepared')
    assert '<VideoID>.mp4' in said
    assert 'is the dataset itself' in complaint(make_ave_without_films, make_ave_without_films)
    assert '--workers is 0' in complaint(make_ave_without_films, tmp_path / 'o', '--workers', 0)
    assert 'size is 4' in complaint(make_ave_without_films, tmp_path / 'o', '--size', 4)
    (tmp_path / 'out' / 'manifest.json').write_text('{}')
    assert 'is no manifest' in complaint(make_ave_without_films, tmp_path / 'out')


def test_tells_what_it_has_done(made, capsys):
    prepare(*made)
    said = capsys.readouterr().out
    assert '24 films: 13 ok, 2 short, 2 silent, 1 missing, 6 broken' in said
    assert 'train: 11 of 20 lines, 91 seconds; 1 line left out' in said
    assert 'test: 3 of 3 lines, 30 seconds' in said


def test_prepared_split_has_the_usable_lines(made):
    train = PreparedAve(made[1], 'train')
    usable = [
        line
        for line in lines('train')
        if line[1] != LEAKED and SPOILED.get(line[1], 'short') == 'short'
    ]
    assert [
        (e.annotation.category, e.annotation.video, e.annotation.start, e.annotation.end)
        for e in train.entries
    ] == usable
    assert train.left_out == {'broken': 6, 'silent': 2, 'missing': 1}
    overlapping = PreparedAve(made[1], 'train', clean=False)
    assert len(overlapping.entries) == len(usable) + 1
    assert len(PreparedAve(made[1], 'test').entries) == len(lines('test'))


def test_segments_are_every_second_once(made):
    train = PreparedAve(made[1], 'train')
    names = [
        (train.entries[index].annotation.video, second)
        for index, second in train.segments.tolist()
    ]
    outcomes = read_manifest(made[1])
    videos = {entry.annotation.video for entry in train.entries}
    assert sorted(names) == sorted(
        (video, second) for video in videos for second in outcomes[video].seconds
    )
    assert train.segment_labels.shape == (len(names), 28)
    ours = dict(zip(names, train.segment_labels.tolist()))
    events = [line for line in lines('train') if line[1] in videos]
    for (video, second), labels in ours.items():
        present = {
            category
            for category, other, start, end in events
            if other == video and start <= second < end
        }
        assert {CATEGORIES[i] for i, on in enumerate(labels) if on} == present
    assert sum(ours[TWICE, 5]) == len([d for d in DOUBLE['train'] if d[1] == TWICE])
    assert not any(ours['bark#é (2).x', 9])


def test_windows_of_segments_are_those_of_their_clips(made):
    test = PreparedAve(made[1], 'test')
    index, second = test.segments[13].tolist()
    window = test.window(13, 8)
    assert window.start_ns == second * SECOND
    expected = Clip.open(test.entries[index].path).window(second, 8)
    assert np.array_equal(window.audio, expected.audio)
    assert all(np.array_equal(a, b) for a, b in zip(window.frames, expected.frames))


def test_prepared_folder_stands_for_itself(copied):
    folder, out = copied
    shutil.rmtree(folder)
    assert all((out / name).is_file() for name in FILES)
    assert len(PreparedAve(out, 'val').window(0, 8).frames) == 8
    clip_path(out, 'banjoVal_01').unlink()
    with pytest.raises(AvsolError, match=r'banjoVal_01\.clip does not exist'):
        PreparedAve(out, 'val').window(0, 8)


def test_says_when_nothing_is_prepared(tmp_path):
    with pytest.raises(AvsolError, match=r'has no manifest\.json'):
        PreparedAve(tmp_path, 'train')
    make_ave(tmp_path / 'ave', spoiled=False)
    for path in (tmp_path / 'ave' / 'AVE').iterdir():
        path.unlink()
    (tmp_path / 'out').mkdir()
    prepare_ave(read_ave(tmp_path / 'ave'), tmp_path / 'out')
    with pytest.raises(AvsolError, match=r'no usable film of the split val \(2 missing\)'):
        PreparedAve(tmp_path / 'out', 'val')
