"""``evaluate_bag`` from Python: its options, its result, and who scores."""

import json
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pytest
from bag_files import ORIGIN_NS, scene_messages, write_mcap

from avsol_ros.cli.evaluate_options import BAG_PARAMETERS
from avsol_ros.config import BoxConfig
from avsol_ros.errors import AvsolError
from avsol_ros.messages.audio import UNKNOWN_FORMAT
from avsol_ros.offline.evaluate_bag import EvaluateBagOptions, evaluate_bag
from avsol_ros.stopping import Stopping
from avsol_ros.training.evaluation import bag_report

SECONDS = 3
QUICK = {'hop': 1.0, 'device': 'cpu', 'engine': 'torch'}


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    """A bag with truth on a topic."""
    messages = scene_messages(SECONDS, schedule=[[0], [], [1]])
    return write_mcap(tmp_path_factory.mktemp('bags') / 'kitchen.mcap', messages)


def test_what_was_found_comes_back_and_nothing_is_printed(bag, tmp_path, capfd):
    told = []
    done = evaluate_bag(
        EvaluateBagOptions(bag, out=tmp_path, **QUICK),
        on_progress=lambda *progress: told.append(progress),
    )
    assert capfd.readouterr() == ('', '')
    assert done.windows == SECONDS and not done.problems and not done.interrupted
    assert done.document['origin_ns'] == ORIGIN_NS
    assert done.document['runs'][0]['model'] == 'compact'
    assert json.loads((tmp_path / 'summary.json').read_text()) == done.document
    assert {path.name for path in done.files} == {path.name for path in tmp_path.iterdir()}
    assert all(isinstance(path, Path) and path.parent == tmp_path for path in done.files)
    names, shares, _ = zip(*told)
    assert set(names) == {'compact'} and list(shares) == sorted(shares)
    assert 0 <= shares[0] and shares[-1] == pytest.approx(1, abs=0.1)


def test_scores_are_made_by_whom_is_passed(bag, tmp_path):
    options = EvaluateBagOptions(bag, out=tmp_path, **QUICK)
    assert evaluate_bag(options).document['scores'] is None
    done = evaluate_bag(options, scoring=bag_report)
    assert done.document['scores']['rows'] and 'HmBoxAUC' in done.tables[0]

    seen = []
    run = SimpleNamespace(
        add=lambda localization, frames: seen.append((localization.start_ns, len(frames))),
        finish=lambda: scores.runs.append('the run'),
    )
    truth = SimpleNamespace(
        source='a friend', frames=[1, 2], size=None, problems=['half of it'], drawn=lambda *_: ()
    )
    scores = SimpleNamespace(truth=truth, runs=[])
    scoring = SimpleNamespace(
        open_scores=lambda *_: scores,
        begin_run=lambda scores, name, config: run,
        report_scores=lambda scores, runs, seed: ({'rows': []}, ['a table']),
    )
    done = evaluate_bag(options, scoring=scoring)
    assert seen == [(ORIGIN_NS + n * 10**9, 8) for n in range(SECONDS)]
    assert done.document['truth'] == 'a friend, 2 frames'
    assert done.document['scores'] == {'rows': []} and done.tables == ['a table']
    assert done.problems == ['half of it']


def test_it_can_be_stopped_from_elsewhere(bag, tmp_path):
    stopping = Stopping()

    def on_progress(name, share, rest):
        if share > 0.5:
            stopping.set()

    options = EvaluateBagOptions(bag, out=tmp_path, video=False, **QUICK)
    done = evaluate_bag(options, on_progress=on_progress, stopping=stopping)
    assert done.interrupted and 0 < done.windows < SECONDS
    assert (tmp_path / 'summary.json').exists()
    stopping = Stopping()
    stopping.set()
    done = evaluate_bag(EvaluateBagOptions(bag, out=tmp_path / 'none', **QUICK), stopping=stopping)
    assert done.interrupted and done.windows == 0 and done.files == []


def test_recorded_results_are_read_back(bag, tmp_path):
    options = EvaluateBagOptions(bag, out=tmp_path, video=False, **QUICK)
    ran = evaluate_bag(options, bag_report)
    results = tmp_path / 'localizations'
    again = evaluate_bag(
        EvaluateBagOptions(bag, recorded=results, out=tmp_path / 'again', video=False), bag_report
    )
    assert again.windows == ran.windows
    (one, *_), (other, *_) = (done.document['scores']['rows'] for done in (ran, again))
    assert one['hmbox_auc'] == pytest.approx(other['hmbox_auc'], rel=1e-6)


def test_defaults_are_those_of_the_live_node():
    options = EvaluateBagOptions('kitchen.mcap')
    assert options.models == ('compact',)
    assert options.boxes == BoxConfig() and options.audio_format == UNKNOWN_FORMAT
    names = {field.name for field in fields(EvaluateBagOptions)}
    shared = [parameter for parameter in BAG_PARAMETERS if parameter.name in names]
    assert len(shared) >= 6
    for parameter in shared:
        if parameter.name != 'audio_format':
            assert getattr(options, parameter.name) == parameter.default, parameter.name


@pytest.mark.parametrize(
    'values, words',
    [
        ({'hop': 0}, 'hop is 0; expected 0.02 to 1'),
        ({'hop': float('nan')}, 'hop is nan'),
        ({'seed': -1}, 'seed is -1'),
        ({'seed': 0.5}, 'seed is 0.5'),
        ({'threads': -1}, 'threads is -1'),
        ({'origin_ns': 1.5}, 'origin_ns is 1.5'),
        ({'audio_stamps': 'middle'}, "audio_stamps is 'middle'; expected one of auto, start, end"),
        ({'stream_timeout': -1}, 'stream_timeout is -1'),
        ({'heatmap_size': 'huge'}, "heatmap_size is 'huge'"),
        ({'heatmap_size': (0, 5)}, 'heatmap_size is (0, 5)'),
        ({'recorded': 'lost'}, "recorded is 'lost'"),
        ({'recorded': '{bag}', 'models': ('compact',)}, 'runs no model'),
        ({'annotations': Path('a.json'), 'truth_topic': '/truth'}, 'expected one truth'),
    ],
)
def test_options_that_cannot_be_are_told(bag, values, words):
    values = {k: v.format(bag=bag) if isinstance(v, str) else v for k, v in values.items()}
    with pytest.raises(AvsolError) as error:
        EvaluateBagOptions(bag, **values)
    assert words in str(error.value) and '\n' not in str(error.value)


def test_annotations_want_somebody_who_scores(bag, tmp_path):
    options = EvaluateBagOptions(bag, annotations=tmp_path / 'truth.json', out=tmp_path, **QUICK)
    with pytest.raises(AvsolError, match='nothing that scores'):
        evaluate_bag(options)
