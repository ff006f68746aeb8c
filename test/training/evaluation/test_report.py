"""The report: numbers of its curves, a page that stands by itself, files that are whole or not."""

import base64
import csv
import html.parser
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from stand_ins import write_model

from avsol_ros import cli, files
from avsol_ros.errors import AvsolError
from avsol_ros.exit_status import ExitStatus
from avsol_ros.streams.windows import AudioVisualWindow
from avsol_ros.training.annotations.model import FrameTruth, ObjectTruth
from avsol_ros.training.datasets.ave import CATEGORIES as AVE_CATEGORIES
from avsol_ros.training.evaluation import report
from avsol_ros.training.evaluation.curves import precision_at_recall, stretch
from avsol_ros.training.evaluation.html_table import score_table
from avsol_ros.training.evaluation.report_pictures import (
    choose_moment,
    data_uri,
    describe_frame,
    sounding_spans,
)
from avsol_ros.training.evaluation.report_tables import format_table
from avsol_ros.training.evaluation.samples import Sample, Truth
from avsol_ros.training.metrics.roc import roc

VOID = {'img', 'meta', 'br', 'path', 'rect', 'polyline'}


class Page(html.parser.HTMLParser):
    """Reads a page as a browser would not: everything must be closed and named."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self):
        """All text, with single spaces."""
        return ' '.join(' '.join(self.text).split())

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    """What the command writes for two models of one group and one without AVC, hard scenes."""
    folder = tmp_path_factory.mktemp('report')
    names = [write_model(folder / f'dnm-{k}.safetensors', k, {'seed': k})[0] for k in (0, 1)]
    names.append(write_model(folder / 'a <b>&"quoted" name.safetensors', task='cls')[0])
    assert (
        cli.main(
            ['evaluate', *names, '--data', 'hard', '--windows', '10', '--out', str(folder / 'out')]
        )
        == 0
    )
    return folder / 'out'


def test_the_page_stands_by_itself(written):
    text = (written / 'report.html').read_text()
    page = Page(text)
    assert not page.all('script') and not page.all('link') and not page.all('iframe')
    assert not re.search(r'url\(|@import|https?://', text)
    images = page.all('img')
    assert len(images) > 10 and all(i['src'].startswith('data:image/') for i in images)
    assert all(len(i['alt']) > 10 and int(i['width']) > 50 for i in images)
    assert all(svg['role'] == 'img' and svg['aria-label'] for svg in page.all('svg'))
    assert len(text) < 5e6
    assert '{{' not in text and '{%' not in text
    assert page.all('html')[0]['lang'] == 'en' and 'viewport' in str(page.all('meta'))


def test_the_page_tells_what_was_evaluated(written):
    page = Page((written / 'report.html').read_text())
    text = page.words
    assert 'synthetic scenes, preset hard' in text and 'PyTorch' in text
    assert 'a <b>&"quoted" name' in text and 'dnm, mean of 2 seeds' in text
    assert text.count('centre prior') > 3 and text.count('random') > 3  # beside every table
    assert 'Precision and recall' in text and 'AVC is 0.5 or more' in text
    row = json.loads((written / 'scores.json').read_text())['rows'][0]
    assert f'{row["hmbox_auc"]:.3f}' in text and f'{row["pibr/single"]:.3f}' in text
    assert f'{row["frames/ave"]} {row["frames/single"]}' in text
    assert re.search(r'\b1 window\)', text) and not re.search(r'\b1 (window|frame)s', text)


def test_json_and_csv_hold_the_same_numbers(written):
    told = json.loads((written / 'scores.json').read_text())
    with open(written / 'scores.csv', newline='') as file:
        lines = list(csv.DictReader(file))
    assert [line['kind'] for line in lines] == [
        'model',
        'model',
        'mean',
        'std',
        'model',
        'baseline',
        'baseline',
        'baseline',
    ]
    rows = told['rows'][:3] + [{**told['rows'][2]['std'], 'kind': 'std'}] + told['rows'][3:]
    for line, row in zip(lines, rows, strict=True):
        for key in ('hmbox_auc', 'pibr/multiple', 'pnsr', 'class_accuracy', 'frames/ave'):
            if row.get(key) is None:
                assert line[key] == ''
            else:
                assert float(line[key]) == pytest.approx(row[key], rel=1e-5)
    with open(written / 'windows.csv', newline='') as file:
        windows = list(csv.DictReader(file))
    assert len(windows) == 3 * 10 and windows[9]['name'] == 'test scene 9'
    first = [w for w in windows if w['model'] == told['rows'][0]['model'] and w['hmbox_auc']]
    frames = [int(w['frames/single']) + int(w['frames/multiple']) for w in first]
    whole = np.average([float(w['hmbox_auc']) for w in first], weights=frames)
    assert whole == pytest.approx(told['rows'][0]['hmbox_auc'], rel=1e-4)
    assert sum(frames) == told['rows'][0]['frames/ave']


def test_clips_are_shown_second_by_second(prepared, tmp_path):  # noqa: F811
    path, _ = write_model(tmp_path / 'a.safetensors', classes=AVE_CATEGORIES)
    assert (
        cli.main(
            [
                'evaluate',
                path,
                '--data',
                str(prepared / 'clips'),
                '--annotations',
                str(prepared / 'boxes.json'),
                '--out',
                str(tmp_path / 'out'),
            ]
        )
        == 0
    )
    page = Page((tmp_path / 'out' / 'report.html').read_text())
    text = page.words
    assert 'Second by second' in text and '--testCat01' in text
    alts = [image['alt'] for image in page.all('img')]
    # Ten seconds of the eventful film: heard in view, in view and silent, heard out of view.
    assert 'At 0 s: Cat sounds' in alts and 'At 7 s: Bark is silent' in alts
    assert 'At 8 s: Cat sounds out of view' in alts and 'At 9 s: nothing is annotated' in alts
    assert 'windows in which nothing in view sounds AVC is 0.5 or more' in text
    sounds = [svg['aria-label'] for svg in page.all('svg')]
    assert 'Sound of 10 s: in view from 0.0 to 6.0 s; out of view from 8.0 to 9.0 s' in sounds

    # Equation 3 from the files: the peaks are those that were scored.
    row = json.loads((tmp_path / 'out' / 'scores.json').read_text())['rows'][0]
    with open(tmp_path / 'out' / 'windows.csv', newline='') as file:
        windows = list(csv.DictReader(file))
    quiet = [
        sum(int(w[f'frames/{kind}']) for kind in ('visible', 'audible', 'noise')) for w in windows
    ]
    peak = np.average([float(w['peak']) for w in windows], weights=quiet)
    assert peak / row['signal'] == pytest.approx(row['pnsr'], rel=1e-4)


def test_the_best_is_underlined_and_of_seeds_their_mean():
    rows = [
        {'kind': kind, 'model': name, 'pnsr': value, **more}
        for kind, name, value, more in (
            ('model', 'a0', 0.1, {}),
            ('model', 'a1', 0.5, {}),
            ('mean', 'a', 0.3, {'runs': ['a0', 'a1'], 'std': {'pnsr': 0.28}}),
            ('model', 'b', 0.2, {}),
            ('model', 'c', float('nan'), {}),
            ('baseline', 'random', 0.0, {}),
        )
    ]
    columns = (('pnsr', 'PNSR', 'all'),)

    def best(some):
        table = score_table(some, columns, 'x')
        return [cell.text for row in table.rows for cell in row.cells if cell.best]

    assert best(rows) == ['0.200']
    assert best(rows[:3] + rows[5:]) == []  # nothing to compare


def test_an_interrupted_report_leaves_nothing(written, tmp_path, monkeypatch):
    folder = tmp_path / 'out'
    folder.mkdir()
    (folder / 'report.html').write_text('the old one')
    path, _ = write_model(tmp_path / 'a.safetensors')
    arguments = ['evaluate', path, '--windows', '1', '--out', str(folder)]

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(report, 'rows_csv', interrupt)
    assert cli.main(arguments) == ExitStatus.INTERRUPTED
    monkeypatch.undo()
    monkeypatch.setattr(files.os, 'replace', interrupt)
    assert cli.main(arguments) == ExitStatus.INTERRUPTED
    assert [p.name for p in folder.iterdir()] == ['report.html']
    assert (folder / 'report.html').read_text() == 'the old one'
    monkeypatch.undo()
    assert cli.main(arguments) == 0
    assert {p.name for p in folder.iterdir()} == {
        'report.html',
        'scores.json',
        'scores.csv',
        'windows.csv',
    }


def test_a_disk_that_is_full_is_told_in_one_line(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, 'No space left on device')

    for name in ('describe', 'build_page', 'as_json', 'rows_csv', 'windows_csv'):
        monkeypatch.setattr(report, name, lambda *_: '')
    monkeypatch.setattr(Path, 'write_text', full)
    with pytest.raises(AvsolError, match='No space left on device.*make room'):
        report.write_report(tmp_path / 'out', None, [], {})
    assert list((tmp_path / 'out').iterdir()) == []


def test_precision_at_recall_is_that_of_scikit_learn():
    metrics = pytest.importorskip('sklearn.metrics')
    rng = np.random.default_rng(0)
    recalls = np.arange(1, 101) / 100
    for levels in (3, 50, 10_000):  # with many ties, some, and hardly any
        heat = rng.integers(0, levels, (20, 30))
        masks = rng.random((4, 20, 30)) < rng.uniform(0.02, 0.5, (4, 1, 1))
        found = precision_at_recall(heat, masks, recalls)
        for mask, row in zip(masks, found):
            precision, recall, _ = metrics.precision_recall_curve(mask.ravel(), heat.ravel())
            for r, value in zip(recalls, row):
                # Going from high recall to low, the last point that still reaches r.
                assert value == pytest.approx(precision[np.flatnonzero(recall >= r - 1e-9)[-1]])


def test_roc_is_that_of_scikit_learn():
    metrics = pytest.importorskip('sklearn.metrics')
    rng = np.random.default_rng(1)
    for step in (1, 0.2):
        high, low = (np.round(rng.normal(m, 1, 200) / step) * step for m in (1, 0))
        wrong, right, area = roc(high, low)
        truth = np.repeat([1, 0], 200)
        assert area == pytest.approx(metrics.roc_auc_score(truth, np.concatenate([high, low])))
        expected = metrics.roc_curve(truth, np.concatenate([high, low]), drop_intermediate=False)
        np.testing.assert_allclose(wrong, expected[0])
        np.testing.assert_allclose(right, expected[1])


def test_pictures_travel_in_the_page():
    image = np.full((40, 60, 3), (200, 30, 60), np.uint8)
    kind, _, data = data_uri(image).partition(',')
    assert kind == 'data:image/jpeg;base64'
    back = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(back[..., ::-1].astype(int) - image).max() < 8


def test_a_strip_shows_a_moment_that_sounds_where_there_is_one():
    pictures = tuple(np.full((4, 4, 3), k, np.uint8) for k in range(10))
    stamps = tuple(range(50_000_000, 1_000_000_000, 100_000_000))
    window = AudioVisualWindow(0, 1_000_000_000, pictures, stamps, np.zeros(16_000), 0)
    box = (0.0, 0.0, 2.0, 2.0)
    frames = tuple(
        FrameTruth(7 + (k + 0.5) / 10, (ObjectTruth(0, 'bell', box, k < 2),)) for k in range(10)
    )
    sample = Sample(window, Truth('x', 0, 7.0, frames, (4, 4)))
    image, frame = choose_moment(sample, ave=True)
    assert image[0, 0, 0] == 1 and frame is frames[1]
    image, frame = choose_moment(sample)
    assert image[0, 0, 0] in (4, 5) and frame in frames[4:6]


def test_stretch():
    np.testing.assert_allclose(stretch(np.array([[0.2, 0.3], [0.4, 0.2]])), [[0, 0.5], [1, 0]])
    flat = np.full((2, 2), 0.7, np.float32)
    flat[0, 0] = np.nextafter(flat[0, 0], 1)  # stretched maps are flat but for rounding
    assert not stretch(flat).any()


def test_frames_in_words():
    box = (0.0, 0.0, 1.0, 1.0)
    frame = FrameTruth(
        0.0,
        (
            ObjectTruth(0, 'bell', box, True),
            ObjectTruth(1, 'drum', box, False),
            ObjectTruth(2, None, None, True, True),
        ),
    )
    assert describe_frame(frame) == ('bell sounds, drum is silent, something sounds out of view')
    assert describe_frame(FrameTruth(0.0)) == 'nothing is annotated'


def test_a_table_without_numbers_is_none():
    rows = [{'kind': 'model', 'model': 'm', 'pnsr/impostor': float('nan')}]
    columns = (('pnsr/impostor', 'impostor', 'PNSR'),)
    assert format_table(rows, columns) == ''
    assert score_table(rows, columns, 'x') is None


def test_sounds_are_told_by_the_time_around_their_frames():
    heard, unseen = (
        ObjectTruth(0, 'bell', (0, 0, 1, 1), True),
        ObjectTruth(1, None, None, True, True),
    )
    objects = [(heard,)] * 3 + [()] * 4 + [(heard, unseen)] + [()] * 2
    frames = tuple(FrameTruth(4 + k / 10, some) for k, some in enumerate(objects))
    spans = sounding_spans([Truth('x', 0, 4.0, frames, (4, 4))])
    assert [style for style, _, _ in spans] == ['sounding', 'sounding', 'unseen']
    expected = [(0, 0.25), (0.65, 0.75), (0.65, 0.75)]
    np.testing.assert_allclose([times for _, *times in spans], expected)
