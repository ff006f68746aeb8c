"""The demo as a user runs it: the real processes, and one clear line for each bad file."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import pytest

pytest.importorskip('rclpy')

import torch
from films import write_film
from processes import AVSOL
from waiting import PATIENCE_S, wait_for

from avsol_ros.cli import main
from avsol_ros.cli.demo import last_words
from avsol_ros.media.film_reader import AudioChunk, MediaReader, VideoChunk
from avsol_ros.models.builder import ModelConfig, build_model
from avsol_ros.models.checkpoint import save_checkpoint

RUN = [sys.executable, *AVSOL]


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    """Untrained model that hears something everywhere."""
    torch.manual_seed(0)
    network = build_model(ModelConfig(classes=('bell', 'horn')))
    with torch.no_grad():
        network.fusion.similarity.shift.fill_(2)
    return save_checkpoint(tmp_path_factory.mktemp('model') / 'm.safetensors', network)


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    monkeypatch.setenv('OMP_NUM_THREADS', '1')


def processes_of(folder):
    """Command lines of running processes that write into a folder."""
    found = []
    for entry in Path('/proc').glob('[0-9]*/cmdline'):
        try:
            line = entry.read_bytes().replace(b'\0', b' ').decode(errors='replace')
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found


def refusal(capsys, *arguments):
    assert main(['demo', *map(str, arguments)]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith('avsol demo: error: ')
    assert len([line for line in lines if 'error' in line.lower()]) == 1
    return lines[-1]


def test_bad_files_get_one_clear_line_each(tmp_path, capsys):
    out = ('--out', tmp_path / 'out')
    (tmp_path / 'text.mp4').write_text('no film\n' * 100)
    whole = write_film(tmp_path / 'whole.mp4', seconds=4)
    cut = tmp_path / 'cut.mp4'
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    silent = write_film(tmp_path / 'silent.mp4', audio=False)
    unseen = write_film(tmp_path / 'unseen.m4a', video=False, kind='mp4')
    short = write_film(tmp_path / 'short.mp4', seconds=0.5)
    for path, words in (
        (tmp_path / 'text.mp4', 'is no media file'),
        (cut, 'breaks off at'),
        (silent, 'has no sound'),
        (unseen, 'has no video'),
        (short, 'lasts 0.5'),
        (tmp_path / 'missing.mp4', 'does not exist'),
    ):
        line = refusal(capsys, path, *out)
        assert words in line and path.name in line
    assert 'no truth beside' in refusal(capsys, whole, *out, '--check')
    assert '--seed is -1' in refusal(capsys, '--seed', -1, *out)
    (tmp_path / 'file').touch()
    assert 'cannot make the folder' in refusal(capsys, whole, '--out', tmp_path / 'file' / 'out')
    assert 'would be overwritten' in refusal(
        capsys, write_film(tmp_path / 'overlay.mp4', seconds=1), '--out', tmp_path
    )


@pytest.mark.ros
def test_a_phone_film_through_the_whole_system(tmp_path, model):
    clip = write_film(
        tmp_path / 'phone.mp4', seconds=3, width=160, height=120, rotation=90, rate=44100
    )
    objects = [
        {
            'track': 0,
            'category': 'bell',
            'box': [0, 0, 120, 160],
            'sounding': True,
            'out_of_view': False,
        }
    ]
    clip.with_suffix('.json').write_text(
        json.dumps(
            {
                'version': 1,
                'video': clip.name,
                'width': 120,
                'height': 160,
                'frames': [
                    {'time': i / 10, 'objects': objects if i < 20 else []} for i in range(30)
                ],
            }
        )
    )
    out = tmp_path / 'results'
    done = subprocess.run(
        [*RUN, 'demo', clip, '--out', out, '--model', model, '--json'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    table = json.loads(done.stdout)
    assert table == json.loads((out / 'table.json').read_text())
    assert [row['start'] for row in table['seconds']] == [0, 1, 2]
    assert table['windows'] == 9 and table['frames'] == 75 and table['frames_dropped'] == 0
    for row in table['seconds']:
        assert row['found'] in ('bell', 'horn') and row['avc'] > 0.5
        assert 0 <= row['box'][0] < row['box'][2] <= 120 and row['box'][3] <= 160
    assert [row['truth'] for row in table['seconds']] == ['bell', 'bell', 'nothing']
    assert not table['seconds'][2]['hit']
    assert 'localizing: 100%, 3.0 of 3.0 s' in done.stderr
    with MediaReader(out / 'overlay.mp4') as reader:
        chunks = list(reader)
    assert reader.info.width == 120 and reader.info.height > 160
    assert sum(isinstance(chunk, VideoChunk) for chunk in chunks) == 75
    assert any(
        isinstance(chunk, AudioChunk) and abs(chunk.samples).max() > 6000 for chunk in chunks
    )
    sheet = cv2.imread(str(out / 'contact_sheet.png'))
    assert sheet.shape[1] > 3 * 300
    animation = (out / 'overlay.webp').read_bytes()
    assert animation.count(b'ANMF') == 18 and len(animation) < 3_000_000
    assert {entry.name for entry in (out / 'logs').glob('*.log')} == {
        'play.log',
        'localizer.log',
        'recorder.log',
    }
    assert not processes_of(out) and not list(out.glob('.*'))


@pytest.mark.ros
def test_the_last_second_of_a_slow_camera_is_localized(tmp_path, model):
    # Its last frame comes before the last moment that a window asks for.
    clip = write_film(tmp_path / 'slow.mp4', seconds=3, frame_rate=15, rate=16000, channels=1)
    done = subprocess.run(
        [*RUN, 'demo', clip, '--out', tmp_path / 'out', '--model', model, '--json'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    table = json.loads(done.stdout)
    assert [row['start'] for row in table['seconds']] == [0, 1, 2] and table['windows'] == 9
    assert all(row['avc'] is not None for row in table['seconds'])


@pytest.mark.ros
def test_a_child_that_dies_is_told_in_one_line(tmp_path, capsys):
    clip = write_film(tmp_path / 'clip.mp4')
    out = tmp_path / 'results'
    bad = tmp_path / 'bad.safetensors'
    bad.write_bytes(b'no weights')
    line = refusal(capsys, clip, '--out', out, '--model', bad)
    assert 'localizer ended with status 1' in line and str(bad) in line
    assert str(out / 'logs' / 'localizer.log') in line
    assert not processes_of(tmp_path)


@pytest.mark.ros
@pytest.mark.parametrize(
    'number', [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_an_interrupt_ends_all_children(tmp_path, model, number):
    clip = write_film(tmp_path / 'clip.mp4', seconds=20)
    # Here, so that the command line of every process names the folder.
    own = shutil.copy(model, tmp_path)
    process = subprocess.Popen(
        [*RUN, 'demo', str(clip), '--out', str(tmp_path / 'out'), '--model', own],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=dict(os.environ),
    )
    said = []
    reader = threading.Thread(target=lambda: said.extend(process.stdout), daemon=True)
    reader.start()
    try:
        wait_for(lambda: any('localizing:   5%, 1.0 of' in line for line in said))
        assert len(processes_of(tmp_path)) == 4
    finally:
        process.send_signal(number)
        status = process.wait(PATIENCE_S)
    assert status == 130
    assert not processes_of(tmp_path)
    assert not any('Traceback' in line for line in said)


def test_last_words(tmp_path):
    log = tmp_path / 'a.log'
    log.write_text('first\n[ERROR] [1795410064.879] [avsol_localizer]: no model\n\n')
    assert last_words(log) == 'no model'
    log.write_text('avsol play: error: it broke\n')
    assert last_words(log) == 'it broke'
    log.write_text('')
    assert last_words(log) == 'it said nothing'
