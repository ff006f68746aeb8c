"""Scoring of models: the numbers of the tables, against obvious ways to get them."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from annotated_films import FILMS, annotate
from ave_dataset import SIZE
from stand_ins import write_model

from avsol_ros import cli
from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.inference.localizer import Localizer
from avsol_ros.models.builder import ModelConfig
from avsol_ros.training.annotations.annotation_files import write_annotations
from avsol_ros.training.annotations.model import FrameTruth, ObjectTruth
from avsol_ros.training.datasets.ave import CATEGORIES as AVE_CATEGORIES
from avsol_ros.training.datasets.pairs import pairs
from avsol_ros.training.datasets.prepared_clip import Clip
from avsol_ros.training.evaluation.open_source import open_source
from avsol_ros.training.evaluation.prepared_samples import PreparedSource
from avsol_ros.training.evaluation.rendered_samples import RenderedSamples, SyntheticSource
from avsol_ros.training.evaluation.report_page import build_page
from avsol_ros.training.evaluation.report_tables import format_table, table_rows
from avsol_ros.training.evaluation.runs import (
    average,
    group_name,
    group_runs,
    identify,
    short_labels,
)
from avsol_ros.training.evaluation.samples import Truth
from avsol_ros.training.evaluation.scoring import evaluate
from avsol_ros.training.evaluation.tally import Tally, summarize
from avsol_ros.training.synthetic.objects import CATEGORIES
from avsol_ros.training.synthetic.window_set import HardConfig, render_windows

COUNT = 22


@pytest.fixture(scope='module')
def hard():
    return render_windows('test', COUNT, config=HardConfig(), apart=True, workers=1)


@pytest.fixture(scope='module')
def source(hard):
    """The hard preset, rendered once."""
    source = SyntheticSource('hard', windows=COUNT)
    source._rendered[8, 112] = RenderedSamples(hard, 'test')
    return source


def oracle(model, windows, facts_of):
    """
    Score frame by frame with scikit-learn.

    :param windows: pairs of window and frames.
    :returns: rows of kind, categories, area, hit, signal, peak and facts.
    """
    average_precision = pytest.importorskip('sklearn.metrics').average_precision_score
    localizer, rows = Localizer(model), []
    for index, (window, frames, size) in enumerate(windows):
        found = localizer(window)
        heat = found.heatmap_at(*window.frames[0].shape[:2])
        scale = np.array([heat.shape[1] / size[0], heat.shape[0] / size[1]] * 2)
        for objects in frames:
            loud = [o for o in objects if o.sounding and not o.out_of_view]
            unseen = any(o.out_of_view for o in objects)
            kind = (
                'single'
                if len(loud) == 1
                else 'multiple'
                if loud
                else 'audible'
                if unseen
                else 'visible'
                if objects
                else 'noise'
            )
            mask = np.zeros(heat.shape, bool)
            for o in loud:
                x0, y0, x1, y1 = np.array(o.box) * scale
                for y in range(heat.shape[0]):
                    if y0 <= y + 0.5 < y1:
                        xs = np.arange(heat.shape[1]) + 0.5
                        mask[y] |= (x0 <= xs) & (xs < x1)
            names = {o.category for o in loud}
            area = average_precision(mask.ravel(), heat.ravel()) if loud else np.nan
            peak = np.unravel_index(heat.argmax(), heat.shape)
            rows.append(
                {
                    'kind': kind,
                    'names': names,
                    'area': area,
                    'hit': mask[peak],
                    'signal': heat[mask].max() if loud else np.nan,
                    'peak': heat.max(),
                    'window': index,
                    **facts_of(index),
                }
            )
    return rows


def mean(rows, name, chosen):
    values = [row[name] for row in rows if chosen(row)]
    return np.mean(values) if values else np.nan


def check(row, rows, categories):
    ave = {
        '': lambda r: r['names'],
        '/single': lambda r: r['kind'] == 'single',
        '/multiple': lambda r: r['kind'] == 'multiple',
        '/same': lambda r: r['kind'] == 'multiple' and len(r['names']) == 1,
        '/different': lambda r: len(r['names']) > 1,
        '/lookalike': lambda r: r['names'] and r['lookalike'],
        **{f'/category/{c}': lambda r, c=c: c in r['names'] for c in categories},
    }
    quiet = {
        '': lambda r: not r['names'],
        '/visible': lambda r: r['kind'] == 'visible',
        '/audible': lambda r: r['kind'] == 'audible',
        '/noise': lambda r: r['kind'] == 'noise',
        '/impostor': lambda r: not r['names'] and r['impostor'],
    }
    signal = mean(rows, 'signal', ave[''])
    for end, chosen in ave.items():
        for key, name in (('hmbox_auc', 'area'), ('pibr', 'hit')):
            assert row[key + end] == pytest.approx(mean(rows, name, chosen), nan_ok=True), end
        some = [r['window'] for r in rows if chosen(r)]
        assert row[f'frames{end or "/ave"}'] == len(some)
        assert row[f'windows{end or "/ave"}'] == len(set(some))
    for end, chosen in quiet.items():
        expected = mean(rows, 'peak', chosen) / signal
        assert row['pnsr' + end] == pytest.approx(expected, nan_ok=True), end


def test_synthetic_scores_are_those_of_an_obvious_way(tmp_path, source, hard):
    path, model = write_model(tmp_path / 'a.safetensors')
    result = evaluate([path], source)
    samples = source.samples(8, 112)
    windows = [(samples[i].window, hard.truth[i], (112, 112)) for i in range(COUNT)]
    rows = oracle(
        model,
        windows,
        lambda i: {name: bool(hard.facts[name][i]) for name in ('lookalike', 'impostor')},
    )
    check(result.runs[0].row, rows, CATEGORIES)
    assert {r['kind'] for r in rows} >= {'single', 'multiple', 'audible'}
    assert any(len(r['names']) > 1 for r in rows) and any(r['lookalike'] for r in rows)


def test_progress_is_of_scenes_and_then_of_windows(tmp_path):
    path, _ = write_model(tmp_path / 'a.safetensors')
    told = []
    evaluate([path], SyntheticSource(windows=2), progress=lambda *given: told.append(given))
    assert told == [
        *(('rendering test scenes', done, 2, 'scenes') for done in (1, 2)),
        *((path, done, 2, 'windows') for done in (1, 2)),
    ]


def test_table_2_is_what_the_accumulator_says(tmp_path, source):
    pytest.importorskip('torchmetrics')
    from avsol_ros.training.metrics.accumulators import LocalizationScores

    path, _ = write_model(tmp_path / 'a.safetensors')
    run = evaluate([path], source).runs[0]
    scores = LocalizationScores(CATEGORIES)
    samples = source.samples(8, 112)
    for index, found in run.found.items():
        truth = samples[index].truth
        scores.update(found.heatmap_at(*found.image_size), truth.frames, truth.size)
    for key, value in scores.compute().items():
        key = key.removesuffix('/all')
        assert run.row[key] == pytest.approx(float(value), nan_ok=True), key


def test_frames_whose_boxes_cover_no_pixel_are_left_out_and_counted():
    frames = (
        FrameTruth(0.05, (ObjectTruth(0, 'bell', (10.0, 10.0, 10.4, 10.4), True),)),
        FrameTruth(0.15, (ObjectTruth(0, 'bell', (0.0, 0.0, 50.0, 100.0), True),)),
        FrameTruth(0.25),
    )
    truth = Truth('x', 0, 0.0, frames, (100, 100))
    tally = Tally()
    tally.add(0, np.tile(np.linspace(1, 0.5, 8, dtype=np.float32), (8, 1)), truth)
    row = summarize(tally.table(), {0: truth}, ('bell',))
    assert (row['frames/left_out'], row['frames/ave'], row['frames/other']) == (1, 1, 1)
    assert (row['hmbox_auc'], row['pibr'], row['pnsr']) == (1, 1, 1)


def test_accuracies(tmp_path, source, hard):
    path, model = write_model(tmp_path / 'a.safetensors', seed=3)
    row = evaluate([path], source, seed=5).runs[0].row
    localizer, samples = Localizer(model), source.samples(8, 112)
    partners = pairs(COUNT, 0, 5)
    right, own, foreign = [], [], []
    for i in range(COUNT):
        labels = {c for c, on in zip(CATEGORIES, hard.facts['labels'][i]) if on}
        assert samples[i].truth.labels == labels
        if labels:
            window = samples[i].window
            found = localizer(window)
            right.append(CATEGORIES[found.class_scores.argmax()] in labels)
            own.append(found.avc >= 0.5)
            other = replace(window, audio=samples[partners[i]].window.audio)
            foreign.append(localizer(other).avc < 0.5)
    assert len(right) > 3
    assert row['class_accuracy'] == pytest.approx(np.mean(right))
    assert row['avc_own'] == pytest.approx(np.mean(own))
    assert row['avc_foreign'] == pytest.approx(np.mean(foreign))
    assert row['avc_accuracy'] == pytest.approx(np.mean(own + foreign))


def test_what_a_model_does_not_say_is_not_scored(tmp_path, source):
    cls, _ = write_model(tmp_path / 'cls.safetensors', task='cls')
    avc, _ = write_model(tmp_path / 'avc.safetensors', task='avc')
    strange, _ = write_model(tmp_path / 'strange.safetensors', classes=('cat', 'dog'))
    result = evaluate([cls, avc, strange], source)
    by_name = {run.name: run.row for run in result.runs}
    for key in ('pnsr', 'pnsr/visible', 'avc_accuracy'):
        assert np.isnan(by_name[cls][key]), key
    assert np.isnan(by_name[avc]['class_accuracy']) and by_name[avc]['avc_accuracy'] >= 0
    assert np.isnan(by_name[strange]['class_accuracy'])
    assert 'does not know 12 of the 12 categories' in ' '.join(result.notes)
    assert all(0 <= row['hmbox_auc'] <= 1 for row in by_name.values())
    assert [row['model'] for row in result.baselines] == ['centre prior', 'random', 'motion']
    assert all(row['pnsr'] > 0.5 for row in result.baselines)


def test_twice_the_same(tmp_path, source):
    path, _ = write_model(tmp_path / 'a.safetensors')
    first, second = (evaluate([path], source, seed=1) for _ in range(2))
    assert str(table_rows(first)) == str(table_rows(second))  # NaN is as good as NaN
    pages = [build_page(one, table_rows(one), {}) for one in (first, second)]
    assert pages[0] == pages[1]


def prepared_windows(prepared, frames=8):
    """Film by film, second by second, straight from the clips."""
    for video, event in FILMS.items():
        truth = annotate(video, *event)
        clip = Clip.open(prepared / 'clips' / 'clips' / f'{video}.clip')
        for second, window in enumerate(clip.windows(frames)):
            frames_here = truth.between(second * NANOSECONDS, (second + 1) * NANOSECONDS)
            yield window, [f.objects for f in frames_here], (SIZE['width'], SIZE['height'])


def test_a_prepared_folder_is_scored_like_synthetic_windows(tmp_path, prepared):
    path, model = write_model(tmp_path / 'a.safetensors', classes=AVE_CATEGORIES)
    result = evaluate([path], open_source(str(prepared / 'clips'), prepared / 'boxes.json'))
    rows = oracle(
        model, prepared_windows(prepared), lambda i: {'lookalike': False, 'impostor': False}
    )
    row = result.runs[0].row
    check(row, rows, ('Cat', 'Church bell'))
    assert (row['windows'], row['failed'], row['frames/ave']) == (20, 0, 120)
    assert (row['frames/audible'], row['frames/visible']) == (10, 10)
    assert 0 <= row['class_accuracy'] <= 1 and 0 <= row['avc_accuracy'] <= 1


def test_context_reaches_into_the_past_of_the_own_clip_alone(tmp_path, prepared):
    path, model = write_model(
        tmp_path / 't.safetensors', classes=AVE_CATEGORIES, method='tian', task='cls'
    )
    run = evaluate([path], PreparedSource(prepared / 'clips', prepared / 'boxes.json')).runs[0]
    windows = [window for window, _, _ in prepared_windows(prepared)]
    for first in (0, 10):
        localizer = Localizer(model)
        for index in range(first, first + 10):
            alone = localizer(windows[index])
            np.testing.assert_array_equal(run.found[index].heatmap, alone.heatmap)
            np.testing.assert_array_equal(run.found[index].class_scores, alone.class_scores)


def test_fewer_windows_are_whole_clips_drawn_by_seed(prepared):
    def names(count, seed):
        samples = PreparedSource(
            prepared / 'clips', prepared / 'boxes.json', windows=count, seed=seed
        ).samples(2, 64)
        return [samples.name(i) for i in range(len(samples))]

    assert len(names(13, 0)) == 13 and names(13, 0) == names(13, 0)
    assert {names(10, seed)[0].partition(',')[0] for seed in range(8)} == set(FILMS)
    for seed in range(4):
        assert len({name.partition(',')[0] for name in names(10, seed)}) == 1


def test_windows_that_fail_are_named_and_the_others_scored(tmp_path, prepared, capsys):
    broken = tmp_path / 'clips'
    shutil.copytree(prepared / 'clips', broken)
    clip = broken / 'clips' / '--testCat01.clip'
    clip.write_bytes(clip.read_bytes()[:2000])
    path, _ = write_model(tmp_path / 'a.safetensors', classes=AVE_CATEGORIES)
    warnings = []
    result = evaluate(
        [path], PreparedSource(broken, prepared / 'boxes.json'), warn=warnings.append
    )
    assert (result.runs[0].row['windows'], result.runs[0].row['failed']) == (10, 10)
    assert len(warnings) == 10 and '--testCat01, 0 to 1 s failed: ' in warnings[0]
    assert (
        cli.main(
            [
                'evaluate',
                path,
                '--data',
                str(broken),
                '--annotations',
                str(prepared / 'boxes.json'),
            ]
        )
        == 0
    )
    captured = capsys.readouterr()
    assert '10 of 20 windows failed and are left out' in captured.out
    assert captured.err.count('failed: ') == 10
    other = broken / 'clips' / 'bellTest_01.clip'
    other.write_bytes(b'')
    with pytest.raises(AvsolError, match='all 20 windows failed, the first with: '):
        evaluate([path], PreparedSource(broken, prepared / 'boxes.json'))


def test_boxes_of_another_aspect_are_not_scored(tmp_path, prepared):
    turned = [
        replace(
            annotate(v, c, 99, 99),
            width=48,
            height=64,
            frames=tuple(FrameTruth((k + 0.5) / 10) for k in range(100)),
        )
        for v, (c, _, _) in FILMS.items()
    ]
    write_annotations(tmp_path / 'turned.json', turned)
    path, _ = write_model(tmp_path / 'a.safetensors', classes=AVE_CATEGORIES)
    with pytest.raises(AvsolError, match='64 x 48 pixels, and annotated as 48 x 64'):
        evaluate([path], PreparedSource(prepared / 'clips', tmp_path / 'turned.json'))


def test_runs_that_differ_in_their_seed_alone_are_averaged(tmp_path, source):
    recipe = {'data': 'x', 'epochs': 3}
    names = [
        write_model(tmp_path / name, seed, {**recipe, **notes})[0]
        for name, seed, notes in (
            ('dnm-0.safetensors', 0, {'seed': 0, 'metrics': {'loss': 1}}),
            ('dnm-1.safetensors', 1, {'seed': 1, 'metrics': {'loss': 2}}),
            ('long-2.safetensors', 2, {'seed': 2, 'epochs': 4}),
        )
    ]
    result = evaluate([*names, names[0]], source)
    rows = table_rows(result)
    assert [(row['kind'], row.get('seed')) for row in rows] == [
        ('model', 0),
        ('model', 1),
        ('mean', None),
        ('model', 2),
        ('baseline', None),
        ('baseline', None),
        ('baseline', None),
    ]
    for key in ('hmbox_auc', 'pibr/single', 'pnsr', 'avc_accuracy'):
        values = [run.row[key] for run in result.runs[:2]]
        assert rows[2][key] == pytest.approx(np.mean(values), nan_ok=True)
        assert rows[2]['std'][key] == pytest.approx(np.std(values, ddof=1), nan_ok=True)
    assert rows[2]['frames/ave'] == rows[0]['frames/ave']
    text = format_table(rows)
    assert 'dnm, mean of 2 seeds' in text and 'standard deviation' in text
    frames, windows = (line.split() for line in text.splitlines()[-2:])
    assert frames[:2] == ['frames', str(rows[0]['frames/ave'])]
    assert windows[:2] == ['windows', str(rows[0]['windows/ave'])]
    assert len({len(line) for line in text.splitlines()[1:]}) == 1


def test_groups():
    config = ModelConfig(CATEGORIES)
    other = ModelConfig(CATEGORIES, fusion='static')

    def one(name, config=config, **training):
        return identify(name, config, {'training': json.dumps(training)} if training else {})

    runs = [
        one('a', seed=0),
        one('b', seed=1),
        one('c', seed=1),
        one('d', other, seed=2),
        one('e'),
        one('f'),
        one('g', seed=3),
        one('h', seed=4, epochs=2),
        identify('i', config, {'training': 'not JSON'}),
    ]
    assert group_runs(runs) == [[0, 1, 6], [2], [3], [4], [5], [7], [8]]
    assert (
        group_name([one('t/cdf-dnm-0.safetensors'), one('t/cdf-dnm-1.safetensors')]) == 'cdf-dnm'
    )
    assert (
        group_name([one('r/i3d/seed0/model.safetensors'), one('r/i3d/seed11/model.safetensors')])
        == 'i3d'
    )
    assert group_name([one('a'), one('b')]) == 'compact-cdf-dnm'
    assert short_labels(['t/a/0.safetensors', 't/b/0.safetensors']) == ['a/0', 'b/0']
    assert short_labels(['compact']) == ['compact']
    assert short_labels(['runs/cam/model.safetensors']) == ['cam']
    assert short_labels(['r/i3d/seed0/model.safetensors', 'r/cam/model.safetensors']) == [
        'i3d/seed0',
        'cam',
    ]
    means, deviations = average([{'x': 1.0, 'n': 3}, {'x': 2.0, 'n': 3}, {'x': 6.0, 'n': 3}])
    assert means == {'x': 3.0, 'n': 3} and deviations == {'x': pytest.approx(np.sqrt(7))}


@pytest.mark.parametrize(
    'arguments, text',
    [
        (['--data', 'dirty'], "--data is 'dirty'; expected clean, hard, real or a folder"),
        (['--data', '.'], '. needs --annotations'),
        (['--annotations', 'x.json'], '--annotations goes with --data FOLDER'),
        (['--windows', '0'], '--windows is 0; expected at least 1'),
        (['nothing'], "no model 'nothing'"),
    ],
)
def test_what_cannot_be_evaluated(arguments, text, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('manifest.json', 'x.json'):
        (tmp_path / name).touch()
    assert cli.main(['evaluate', *arguments]) == 1
    assert text in capsys.readouterr().err


def test_annotations_of_other_films(tmp_path, prepared):
    write_annotations(tmp_path / 'other.json', [annotate('elsewhere', 'Cat', 0, 2)])
    with pytest.raises(AvsolError, match='annotates 1 video.* none of them is among the 2'):
        PreparedSource(prepared / 'clips', tmp_path / 'other.json')


def test_json_as_a_user_asks_for_it(tmp_path, capsys):
    path, _ = write_model(tmp_path / 'a.safetensors')
    assert cli.main(['evaluate', path, '--windows', '3', '--json']) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told['split'], told['windows'], told['seed']) == ('test', 3, 0)
    assert [row['model'] for row in told['rows']] == [
        path,
        'centre prior',
        'random',
        'motion',
    ]
    assert told['about']['Data'] == 'synthetic scenes, preset clean'
