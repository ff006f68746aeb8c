"""Models on single windows of films: which windows, and every number against another way to it."""

import csv
import json
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stand_ins import write_model
from windowed_films import HEIGHT, STARTS, WIDTH, entries, write_list, write_windowed_film

from avsol_ros import cli
from avsol_ros.errors import AvsolError
from avsol_ros.inference.localizer import Localizer
from avsol_ros.media.film_reader import MediaReader, VideoChunk
from avsol_ros.offline.localize_film import localize_film
from avsol_ros.training.annotations.film_windows import FilmWindows, WindowTruth
from avsol_ros.training.annotations.model import ObjectTruth
from avsol_ros.training.annotations.sparse_files import write_film_windows
from avsol_ros.training.annotations.windows_list import import_windows_list
from avsol_ros.training.evaluation.deaf_rows import DeafRows
from avsol_ros.training.evaluation.film_samples import FilmWindowsSource, pair_other_kinds
from avsol_ros.training.evaluation.map_scores import score_maps
from avsol_ros.training.evaluation.open_source import open_source
from avsol_ros.training.evaluation.presence import presence_area
from avsol_ros.training.evaluation.samples import Truth
from avsol_ros.training.evaluation.scoring import evaluate

SHARED = Path(__file__).resolve().parents[4] / 'shared' / 'data' / 'real'


@pytest.fixture(scope='session')
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp('model') / 'm.safetensors', seed=3)[0]


@pytest.fixture(scope='session')
def evaluation(films, model):
    return evaluate([model], FilmWindowsSource(films), seed=5)


def one_film(folder, starts, **options):
    """A film of a dog with windows from ``starts`` on; returns its annotation."""
    write_windowed_film(folder / 'dog.mp4', **options)
    found = import_windows_list(write_list(folder / 'list', entries()[:1]))[0]
    windows = tuple(WindowTruth(start, found.windows[0].objects) for start in starts)
    return write_film_windows(folder / 'boxes.json', [replace(found, windows=windows)])


def test_windows_are_those_that_a_film_is_localized_in(films, model, evaluation):
    [run] = evaluation.runs
    names = [run.samples.name(index) for index in range(len(run.samples))]
    assert names == [f'{film}@{start}' for film in ('dog', 'bell', 'hall') for start in STARTS]
    localizer = Localizer.load(model)
    for number, film in enumerate(('dog', 'bell', 'hall')):
        every = list(localize_film(films.parent / 'media' / f'{film}.mp4', localizer))
        assert [one.start_ns for one in every] == [k * 10**9 for k in range(4)]
        for k, start in enumerate(STARTS):
            found = run.found[3 * number + k]
            np.testing.assert_array_equal(found.heatmap, every[start].heatmap)
            assert found.avc == every[start].avc


def test_the_first_window_needs_no_sound_from_the_first_frame_on(tmp_path):
    source = FilmWindowsSource(one_film(tmp_path, (0.0, 1.0), audio_offset=0.04))
    samples = source.samples(4, 32)
    sample = samples[0]
    assert sample.truth.start == 0 and len(sample.window.audio) == 16_000
    # The coder lets a trace of the tone begin early.
    assert np.abs(sample.window.audio[:400]).max() < 0.01 < sample.window.audio[1000:].std()
    np.testing.assert_array_equal(samples.sound(1), samples[1].window.audio)


def test_a_window_that_the_film_does_not_have_is_left_out(tmp_path, model):
    source = FilmWindowsSource(one_film(tmp_path, (0.0, 1.0), audio_offset=0.5))
    found = evaluate([model], source)
    [run] = found.runs
    assert list(run.found) == [1]
    assert 'dog.mp4 has no window from 0 s on: pictures or sound are missing' in run.failed[0]


def test_windows_begin_anywhere(tmp_path):
    source = FilmWindowsSource(one_film(tmp_path, (0.25, 2.5, 2.25)))
    with MediaReader(tmp_path / 'dog.mp4') as film:
        shown = {c.time_ns: c.image for c in film if isinstance(c, VideoChunk)}
    samples = source.samples(10, 32)
    for index, start in enumerate((0.25, 2.25, 2.5)):
        sample = samples[index]
        assert sample.truth.start == start
        begin = int(start * 10**9)
        stamps = [time for time in shown if begin <= time < begin + 10**9]
        assert len(stamps) == 10
        for frame, time in zip(sample.window.frames, stamps, strict=True):
            np.testing.assert_array_equal(frame, shown[time])


def places(evaluation):
    """Of each window with a sounding box: index, box, whether it is mixed."""
    for index, truth in evaluation.truths.items():
        [frame] = truth.frames
        boxes = [o.box for o in frame.sounding]
        if boxes:
            yield index, boxes, bool(frame.silent)


def test_places_are_scored_as_scikit_learn_scores_them(evaluation):
    metrics = pytest.importorskip('sklearn.metrics')
    [run] = evaluation.runs
    areas, hits, mixed = [], [], []
    for index, boxes, is_mixed in places(evaluation):
        heat = run.found[index].heatmap_at(HEIGHT, WIDTH)  # smaller than 224 pixels: as it is
        mask = np.zeros((HEIGHT, WIDTH), bool)
        for x0, y0, x1, y1 in boxes:
            mask[int(y0) : int(y1), int(x0) : int(x1)] = True
        areas.append(metrics.average_precision_score(mask.ravel(), heat.ravel()))
        hits.append(mask.ravel()[heat.argmax()])
        mixed.append(is_mixed)
    assert len(areas) == run.row['windows/up_to_60'] == 6 and sum(mixed) == 1
    assert run.row['hmbox_auc/up_to_60'] == pytest.approx(np.mean(areas))
    assert run.row['pibr/up_to_60'] == pytest.approx(np.mean(hits))
    assert run.row['hmbox_auc/mixed'] == pytest.approx(areas[mixed.index(True)])
    assert np.isnan(run.row['hmbox_auc/over_60'])
    peaks = [run.found[i].heatmap_at(HEIGHT, WIDTH).max() for i in (1, 4, 7)]
    signals = [
        max(
            run.found[i]
            .heatmap_at(HEIGHT, WIDTH)[int(b[1]) : int(b[3]), int(b[0]) : int(b[2])]
            .max()
            for b in boxes
        )
        for i, boxes, _ in places(evaluation)
    ]
    assert run.row['pnsr'] == pytest.approx(np.mean(peaks) / np.mean(signals))


def test_hearing_is_scored_by_presence_and_by_swapped_sounds(evaluation, model):
    metrics = pytest.importorskip('sklearn.metrics')
    [run] = evaluation.runs
    truth = [index not in (1, 4, 7) for index in range(9)]
    avc = [run.found[index].avc for index in range(9)]
    assert run.row['presence_auc'] == pytest.approx(metrics.roc_auc_score(truth, avc))
    partners = evaluation.source.partners(9, 5)
    localizer, falls, areas = Localizer.load(model), [], []
    for index, boxes, _ in places(evaluation):
        window = run.samples[index].window
        other = localizer(replace(window, audio=run.samples[int(partners[index])].window.audio))
        falls.append(other.avc < avc[index])
        mask = np.zeros((HEIGHT, WIDTH), bool)
        for x0, y0, x1, y1 in boxes:
            mask[int(y0) : int(y1), int(x0) : int(x1)] = True
        heat = other.heatmap_at(HEIGHT, WIDTH)
        areas.append(metrics.average_precision_score(mask.ravel(), heat.ravel()))
    assert run.row['swap_share'] == np.mean(falls)
    assert run.row['windows/swap_share'] == len(falls) == 6
    assert run.row['hmbox_auc/swapped'] == pytest.approx(np.mean(areas))


def test_motion_has_a_row_and_tells_presence_by_its_peak(evaluation):
    rows = {row['model']: row for row in evaluation.baselines}
    assert rows['motion']['pibr/up_to_60'] == 1.0  # only the squares move
    assert rows['motion']['hmbox_auc/up_to_60'] > rows['random']['hmbox_auc/up_to_60']
    assert 0 <= rows['motion']['presence_auc'] <= 1
    assert 'presence_auc' not in rows['random']


@st.composite
def windows_of_films(draw):
    """Films with categories, the film of each window, and whether it sounds."""
    kinds = st.sets(st.sampled_from('abc'), max_size=2)
    films = []
    for number, names in enumerate(draw(st.lists(kinds, min_size=1, max_size=5))):
        objects = tuple(ObjectTruth(k, n, (0, 0, 1, 1), True) for k, n in enumerate(sorted(names)))
        films.append(
            FilmWindows(f'{number}.mp4', 9, 9, 9.0, tuple('abc'), (WindowTruth(0.0, objects),))
        )
    chosen = draw(st.lists(st.sampled_from(films), min_size=1, max_size=12))
    return chosen, [draw(st.booleans()) for _ in chosen]


@given(windows_of_films(), st.integers(0, 5))
def test_sounds_come_from_another_film_of_another_kind(windows, seed):
    films, sounding = windows
    partners = pair_other_kinds(films, sounding, seed)
    np.testing.assert_array_equal(partners, pair_other_kinds(films, sounding, seed))
    for index, partner in enumerate(partners):
        fitting = [
            k
            for k in range(len(films))
            if sounding[k]
            and films[k].video != films[index].video
            and not films[k].present & films[index].present
        ]
        assert partner in fitting if sounding[index] and fitting else partner == -1


def test_partners_depend_on_the_seed(films):
    source = FilmWindowsSource(films)
    drawn = {tuple(source.partners(9, seed).tolist()) for seed in range(6)}
    assert len(drawn) > 1
    # Only the dog's film is of another kind than the other two.
    assert all(partners[k] in (0, 2) for partners in drawn for k in (3, 5, 6, 8))


def test_maps_of_ones_own_are_scored_alike(films, evaluation, capsys):
    [run] = evaluation.runs
    maps = {run.samples.name(i): found.heatmap_at(HEIGHT, WIDTH) for i, found in run.found.items()}
    avc = {run.samples.name(index): found.avc for index, found in run.found.items()}
    row = score_maps(maps, films, avc, 'mine')
    for key in ('hmbox_auc/up_to_60', 'pibr/mixed', 'pnsr', 'presence_auc', 'windows/mixed'):
        assert row[key] == pytest.approx(run.row[key])
    assert 'mine' in capsys.readouterr().out
    some = score_maps({'dog@0': maps['dog@0'], 'dog@1': maps['dog@1']}, films, show=False)
    assert some['windows'] == 2 and some['presence_auc'] in (0, 0.5, 1)
    with pytest.raises(AvsolError, match='the maps are of cat@0; expected ids such as dog@0'):
        score_maps({'cat@0': maps['dog@0']}, films)
    with pytest.raises(AvsolError, match='presence has no value for dog@1; expected one for each'):
        score_maps({'dog@1': maps['dog@1']}, films, {'dog@0': 0.5})


def test_presence_of_one_kind_alone_is_none():
    box = ObjectTruth(0, 'Bark', (0, 0, 1, 1), True)
    truths = {0: Truth('x', 0, 0.0, (WindowTruth(0.0, (box,)).frame,), (4, 4))}
    area, windows = presence_area({0: 0.7}, truths)
    assert np.isnan(area) and windows == 0


def test_a_user_scores_a_model_on_films(films, model, tmp_path, capsys):
    words = ['evaluate', model, '--data', str(films)]
    assert cli.main([*words, '--out', str(tmp_path / 'report')]) == 0
    told = capsys.readouterr().out
    for text in ('boxes up to 60 %', 'swapped sound', 'presence', 'mixed', 'motion', 'HmBoxAUC'):
        assert text in told
    page = (tmp_path / 'report' / 'report.html').read_text()
    assert '<h2>Films</h2>' in page and 'dog@0' in page
    with open(tmp_path / 'report' / 'windows.csv', newline='') as file:
        lines = list(csv.DictReader(file))
    assert [line['name'] for line in lines][:2] == ['dog@0', 'dog@1']
    rows = json.loads((tmp_path / 'report' / 'scores.json').read_text())
    assert rows['split'] is None and rows['rows'][0]['windows/swap_share'] == 6

    # The folder of the films, and the annotation elsewhere; some of the windows.
    moved = tmp_path / 'boxes.json'
    moved.write_text(films.read_text())
    words = ['evaluate', model, '--data', str(films.parent / 'media')]
    words += ['--annotations', str(moved), '--windows', '4', '--json']
    assert cli.main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told['windows'] == 4 and told['about']['Windows'].startswith('4 of 9, films drawn')


def test_rendered_scenes_have_a_row_of_motion_and_no_columns_of_films(model, capsys):
    assert cli.main(['evaluate', model, '--windows', '3', '--json']) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row['model'] for row in told['rows']][1:4] == ['centre prior', 'random', 'motion']
    assert not {'swap_share', 'presence_auc'} & set(chain(*told['rows']))


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda w: [*w, '--split', 'val'], "--split is 'val', and films with annotated windows"),
        (lambda w: [*w, '--annotations', w[3]], 'is a file, so --annotations'),
        (lambda w: [*w[:3], 'nowhere', '--annotations', w[3]], 'expected the folder of these'),
        (lambda w: [*w[:3], 'nowhere'], 'or a file of annotated windows of films'),
    ],
)
def test_what_cannot_be_scored(films, model, capsys, change, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(change(['evaluate', model, '--data', str(films)])) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_film_that_is_missing(films, tmp_path):
    (tmp_path / 'boxes.json').write_text(films.read_text())
    with pytest.raises(AvsolError, match='there is no film .*media/dog.mp4, which is annotated'):
        open_source(str(tmp_path / 'boxes.json'))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not SHARED.is_dir(), reason='needs the real films of ../shared')
def test_real_films_give_the_numbers_that_others_found(tmp_path):
    """Those of the films' own page, whose boxes are rounded outwards: a little higher."""
    listed = import_windows_list(SHARED / 'windows.json')
    path = write_film_windows(tmp_path / 'real.json', listed)
    source = FilmWindowsSource(path, SHARED / 'media')
    samples, truths, deaf = source.samples(8, 112), {}, DeafRows(0)
    for index in range(len(samples)):
        sample = samples[index]
        truths[index] = sample.truth
        size = source.scored_size(sample.window.frames[0].shape[:2])
        deaf.add(index, sample.window.frames, size, sample.truth)
    rows = {row['model']: row for row in deaf.rows(truths, source.categories, True)}
    assert (len(truths), rows['random']['windows/up_to_60']) == (142, 94)
    for name, area, peak, mixed_area, mixed_peak in (
        ('centre prior', 0.561, 0.638, 0.400, 0.214),
        ('motion', 0.583, 0.638, 0.508, 0.429),
    ):
        row = rows[name]
        assert row['hmbox_auc/up_to_60'] == pytest.approx(area, abs=0.01)
        assert row['pibr/up_to_60'] == pytest.approx(peak, abs=2.5 / 94)
        assert row['hmbox_auc/mixed'] == pytest.approx(mixed_area, abs=0.01)
        assert row['pibr/mixed'] == pytest.approx(mixed_peak, abs=1.5 / 14)
