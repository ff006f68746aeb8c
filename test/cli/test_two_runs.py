"""Two runs into one folder: the second is refused, and the first does not notice."""

import functools
import importlib
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bag_files import scene_messages, write_mcap
from scene_film import write_scene_film

from avsol_ros import cli

HELD = Path(__file__).parents[1] / 'support' / 'held_verb.py'
TRAIN = ('compact-static-dnm', '--data', 'clean', '--encoders', 'random', '--device', 'cpu')

# Name -> where it is held, verb, what it reads (film, films, bag or nothing), arguments and how
# it is given the folder; all of them write nothing before that place.
VERBS = {
    'train': ('avsol_ros.training.fit:open_data', 'train', None, (*TRAIN, '--out')),
    'seeds': ('avsol_ros.training.fit:open_data', 'train', None, (*TRAIN, '--seed', '1', '--out')),
    'synthesize': (
        'avsol_ros.training.synthetic.scene_films:write_film',
        'synthesize',
        None,
        ('--count', '1'),
    ),
    'evaluate data': (
        'avsol_ros.training.evaluation.open_source:open_source',
        'evaluate',
        None,
        ('compact', '--data', 'clean', '--out'),
    ),
    'evaluate bag': ('avsol_ros.offline.evaluate_bag:run_models', 'evaluate', 'bag', ('--out',)),
    'localize film': (
        'avsol_ros.offline.film_files:FilmSource',
        'localize',
        'film',
        ('--device', 'cpu', '--out'),
    ),
    'localize films': (
        'avsol_ros.offline.film_files:FilmSource',
        'localize',
        'films',
        ('--device', 'cpu', '--out'),
    ),
    'demo': ('avsol_ros.cli.demo:MediaReader', 'demo', 'film', ('--out',)),
    'convert a film': ('avsol_ros.training.convert.to_bags:convert_films', 'convert', 'film', ()),
    'convert films': ('avsol_ros.training.convert.to_bags:convert_films', 'convert', 'films', ()),
}
# What Ctrl-C says where a verb is held.
KEPT = {
    'train': 'interrupted before the end of the first epoch; the same command begins again',
    'synthesize': 'interrupted; 0 of 1 films are written, and the same command begins again',
    'evaluate data': 'interrupted; no scores are kept, and the same command begins again',
    'evaluate bag': 'stopped at once; nothing of this run over the bag is kept',
    'localize film': 'stopped at once; nothing of scene.mp4 is kept',
    'localize films': 'stopped at once; nothing of scene.mp4 is kept',
    'convert a film': 'interrupted; what is converted is kept, and the same command goes on',
    'convert films': 'interrupted; what is converted is kept, and the same command goes on',
}
KEPT['seeds'] = KEPT['train']
NEEDS = {
    'train': ('lightning',),
    'evaluate data': ('torchmetrics', 'sklearn'),
    'evaluate bag': ('rosbags',),
    'convert a film': ('rosbags',),
    'convert films': ('rosbags',),
}
NEEDS['seeds'] = NEEDS['train']


@pytest.fixture(scope='module')
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp('sources')
    (folder / 'films').mkdir()
    film = write_scene_film(folder / 'films' / 'scene.mp4')
    bag = write_mcap(folder / 'kitchen.mcap', scene_messages(2))
    return {'film': film, 'films': film.parent, 'bag': bag}


def contents(folder):
    """Every path in a folder, with when it was changed and what is in it."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else None,
        )
        for path in folder.rglob('*')
    }


def interrupt(place, monkeypatch):
    """Let Ctrl-C come where a verb would be held."""
    module, _, name = place.partition(':')
    *owners, name = name.split('.')
    owner = functools.reduce(getattr, owners, importlib.import_module(module))

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(owner, name, stop)


@pytest.mark.parametrize('name', VERBS)
def test_the_second_run_is_told_of_the_first(name, sources, tmp_path, monkeypatch, capsys):
    for module in NEEDS.get(name, ()):
        pytest.importorskip(module)
    place, verb, source, options = VERBS[name]
    out = tmp_path / 'results' / 'run'
    argv = [verb, *([] if source is None else [sources[source]]), *options, out]
    argv = list(map(str, argv))
    first = subprocess.Popen(
        [sys.executable, HELD, place, *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert first.stdout.readline() == 'held\n'
        before = contents(tmp_path)
        assert cli.main(argv) == 1
        said = capsys.readouterr()
        assert re.fullmatch(
            rf'avsol {verb}: error: process {first.pid} \(held_verb.py {place} {verb} .*; '
            rf'since .*\) is writing (into )?{out}; wait for it, or choose another folder\n',
            said.err,
        )
        assert said.out == '' and contents(tmp_path) == before
        first.send_signal(signal.SIGKILL)
        first.wait()
    finally:
        first.kill()
        first.communicate()
    # What a kill leaves is in nobody's way, and nothing is left where nothing was written.
    interrupt(place, monkeypatch)
    for argv[-1] in (str(out), str(tmp_path / 'new' / 'run')):
        assert cli.main(argv) == 130
        said = capsys.readouterr().err
        assert said == (f'avsol {verb}: {KEPT[name]}\n' if name in KEPT else '')
        assert not list(tmp_path.rglob('.*'))
    assert not (tmp_path / 'new').exists()
