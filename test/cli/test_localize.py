"""``avsol localize``: the files it leaves, what it prints, and what it says of bad films."""

import json
import signal
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import av
import cv2
import numpy as np
import pytest
from films import write_film
from processes import run_without, start_avsol
from scene_film import HEIGHT, SECONDS, WIDTH, write_scene_film
from waiting import PATIENCE_S

from avsol_ros import Localizer, cli, localize_film
from avsol_ros.media.film_reader import MediaReader
from avsol_ros.offline import film_files

SOURCE = Path(__file__).resolve().parents[2]
SECOND = 10**9


@pytest.fixture(scope='module')
def film(tmp_path_factory):
    return write_scene_film(tmp_path_factory.mktemp('films') / 'scene.mp4')


def localize(capsys, *arguments, status=0):
    """Run the command; what it prints on stdout and on stderr."""
    capsys.readouterr()
    assert cli.main(['localize', *map(str, arguments), '--device', 'cpu']) == status
    return capsys.readouterr()


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def test_a_film_becomes_an_overlay_a_sheet_lines_and_a_table(film, tmp_path, capsys):
    said = localize(capsys, film, '--out', tmp_path)
    names = ['localizations.jsonl', 'overlay.mp4', 'sheet.png']
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    *_, one, two, three, caveat = said.err.splitlines()
    assert [one, two, three] == [str(tmp_path / name) for name in names]
    assert 'compact knows twelve rendered shapes and no real things' in caveat

    with MediaReader(film) as source, MediaReader(tmp_path / 'overlay.mp4') as overlay:
        assert overlay.info.sample_rate == source.info.sample_rate
        assert overlay.info.width == WIDTH and overlay.info.height > HEIGHT
        assert overlay.info.duration_ns == pytest.approx(source.info.duration_ns, abs=0.1 * SECOND)
    assert cv2.imread(str(tmp_path / 'sheet.png')).shape[1] > SECONDS * 400

    found = list(localize_film(film, device='cpu'))
    lines = lines_of((tmp_path / 'localizations.jsonl').read_text())
    assert len(lines) == len(found) == SECONDS
    for line, one in zip(lines, found, strict=True):
        assert line['film'] == str(film)
        assert (line['start_ns'], line['end_ns']) == (one.start_ns, one.end_ns)
        assert line['time'] == one.start_ns / SECOND
        assert line['avc'] == pytest.approx(one.avc, abs=1e-6)
        assert list(line['class_scores']) == list(one.class_names)
        assert [box['class'] for box in line['boxes']] == [box.class_name for box in one.boxes]
        for box, wanted in zip(line['boxes'], one.boxes, strict=True):
            corners = (wanted.x0, wanted.y0, wanted.x1, wanted.y1)
            assert box['box'] == pytest.approx(corners, abs=0.01)

    head, _, columns, *rows = said.out.splitlines()
    assert head.startswith(f'{film}: {SECONDS} windows')
    assert columns.split()[:5] == ['time', 'found', 'class', 'score', 'AVC']
    names = [one.boxes[0].class_name if one.boxes else '-' for one in found]
    told = [row.split()[4] for row in rows if row]
    assert told == [name for k, name in enumerate(names) if k == 0 or name != names[k - 1]]


def test_the_overlay_shows_what_was_found(film, tmp_path, capsys):
    localize(capsys, film, '--out', tmp_path)
    found = next(one for one in localize_film(film, device='cpu') if one.boxes)
    middle = (found.start_ns + found.end_ns) // 2 / SECOND
    with av.open(str(film)) as before, av.open(str(tmp_path / 'overlay.mp4')) as after:
        one, other = (
            next(f.to_ndarray(format='rgb24') for f in c.decode(video=0) if f.time >= middle)
            for c in (before, after)
        )
    changed = np.abs(one.astype(int) - other[:HEIGHT]).max(axis=2) > 60
    box = found.boxes[0]
    rows = [min(round(y), HEIGHT - 1) for y in (box.y0 + 1, box.y1 - 2)]
    columns = slice(round(box.x0) + 2, round(box.x1) - 2)
    assert all(changed[row, columns].mean() > 0.5 for row in rows)


def test_json_is_the_lines_of_the_file(film, tmp_path, capsys):
    said = localize(capsys, film, '--json', '--hop', 0.5, '--out', tmp_path)
    assert said.out == (tmp_path / 'localizations.jsonl').read_text()
    starts = [line['start_ns'] for line in lines_of(said.out)]
    assert starts == list(range(0, (SECONDS - 1) * SECOND + 1, SECOND // 2))


def test_the_model_and_its_place_are_named_or_the_shipped_one(film, tmp_path, capsys):
    path = SOURCE / 'avsol_ros/checkpoints/compact.safetensors'
    one = localize(capsys, film, '--json', '--model', path, '--out', tmp_path / 'a')
    two = localize(capsys, film, '--json', '--engine', 'torch', '--out', tmp_path / 'b')
    assert one.out == two.out


def test_results_go_below_out_by_default(film, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    localize(capsys, film)
    assert (tmp_path / 'out/localize/scene/overlay.mp4').exists()


def test_a_film_of_the_same_name_leaves_the_results_of_the_first(
    film, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'other').mkdir()
    write_scene_film(tmp_path / 'other/scene.mp4', rotation=90)
    localize(capsys, film)
    first = {path: path.read_bytes() for path in (tmp_path / 'out').rglob('*.*')}
    for _ in range(2):  # the second time its own results are replaced
        said = localize(capsys, 'other/scene.mp4')
        assert (
            f'avsol localize: out/localize/scene holds the results of {film}; those of '
            'other/scene.mp4 go to out/localize/scene-2'
        ) in said.err.splitlines()
        assert {path: path.read_bytes() for path in first} == first
        assert sorted(path.name for path in (tmp_path / 'out/localize').iterdir()) == [
            'scene',
            'scene-2',
        ]
    [line, *_] = lines_of((tmp_path / 'out/localize/scene-2/localizations.jsonl').read_text())
    assert line['film'] == str(tmp_path / 'other/scene.mp4')

    said = localize(capsys, 'other/scene.mp4', '--out', 'out/localize/scene', status=1)
    assert said.err == (
        f'avsol localize: error: out/localize/scene holds the results of {film}; choose another '
        'folder with --out\n'
    )
    assert {path: path.read_bytes() for path in first} == first


def test_results_that_come_while_the_model_is_loaded_are_not_replaced(
    film, tmp_path, monkeypatch, capsys
):
    theirs = tmp_path / 'out' / 'localizations.jsonl'
    load = Localizer.load

    def another_run_ends(*given):
        theirs.parent.mkdir()
        theirs.write_text('{"film": "/other/scene.mp4"}\n')
        return load(*given)

    monkeypatch.setattr(Localizer, 'load', another_run_ends)
    said = localize(capsys, film, '--out', theirs.parent, status=1)
    assert 'out holds the results of /other/scene.mp4; choose another folder' in said.err
    assert [path.name for path in theirs.parent.iterdir()] == [theirs.name]


def test_a_second_run_takes_the_place_of_the_first(film, tmp_path, capsys):
    localize(capsys, film, '--out', tmp_path)
    localize(capsys, film, '--hop', 0.5, '--out', tmp_path)
    assert len((tmp_path / 'localizations.jsonl').read_text().splitlines()) == 2 * SECONDS - 1
    assert len(list(tmp_path.iterdir())) == 3


def test_films_of_phones_are_shown_upright(tmp_path, capsys):
    film = write_scene_film(tmp_path / 'phone.mp4', rotation=90)
    localize(capsys, film, '--out', tmp_path / 'out')
    with MediaReader(tmp_path / 'out/overlay.mp4') as overlay:
        assert overlay.info.width == HEIGHT and overlay.info.height > WIDTH


# Folders.


class Page(HTMLParser):
    """Links, pictures and text of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.pictures, self.headings, self.text = [], [], [], ''
        self._tag = ''
        self.feed(path.read_text(encoding='utf-8'))

    def handle_starttag(self, tag, attributes):
        self._tag = tag
        values = dict(attributes)
        if tag == 'a':
            self.links.append(values['href'])
        elif tag == 'img':
            self.pictures.append(values['src'])
        elif tag in ('link', 'script'):
            raise AssertionError(f'the page loads something: {values}')

    def handle_data(self, data):
        self.text += data
        if self._tag == 'h2' and data.strip():
            self.headings.append(data)


AWKWARD = 'b & <i>"\'%20#?.mp4'


@pytest.fixture
def folder(film, tmp_path):
    """A folder with films that are good, bad, and of an awkward name."""
    folder = tmp_path / 'clips'
    folder.mkdir()
    for name in ('a.mp4', AWKWARD):
        (folder / name).write_bytes(film.read_bytes())
    write_film(folder / 'silent.mp4', audio=False, seconds=1.0)
    (folder / 'text.mp4').write_text('no film')
    (folder / 'notes.txt').write_text('no film')
    (folder / 'more').mkdir()
    return folder


def test_a_folder_leaves_one_page_with_all_sheets(folder, tmp_path, capsys):
    out = tmp_path / 'out'
    said = localize(capsys, folder, '--out', out, status=3)
    page = Page(out / 'index.html')
    assert page.headings == ['a.mp4', AWKWARD]
    assert len(page.pictures) == 2
    assert all(picture.startswith('data:image/jpeg;base64,') for picture in page.pictures)
    files = [out / unquote(link) for link in page.links if not link.startswith('#')]
    assert len(set(files)) == 6 and all(path.is_file() for path in files)
    for name in ('silent.mp4', 'text.mp4'):
        assert name in page.text

    told = said.err.splitlines()
    assert [line for line in told if 'skipped' in line] == [
        f'avsol localize: {folder}: skipped what does not have the name of a film: more/, '
        'notes.txt'
    ]
    errors = [line for line in told if line.startswith('avsol localize: error: ')]
    assert len(errors) == 2
    assert 'silent.mp4 has no sound, so there is nothing to localize' in errors[0]
    assert 'text.mp4' in errors[1]
    assert said.out.count(': 3 windows') == 2
    assert told[-1] == str(out / 'index.html')


def test_several_films_have_one_page_too(film, tmp_path, capsys):
    other = write_scene_film(tmp_path / 'scene.mp4')
    said = localize(capsys, film, other, film, '--json', '--out', tmp_path / 'out')
    assert (tmp_path / 'out/scene/overlay.mp4').exists()
    assert (tmp_path / 'out/scene-2/overlay.mp4').exists()
    page = Page(tmp_path / 'out/index.html')
    assert page.headings == ['scene.mp4', 'scene.mp4']
    for folder in (film.parent, other.parent):
        assert page.text.count(f'in {folder}') == 2  # in the list and below the heading
    assert [line['film'] for line in lines_of(said.out)] == [
        *[str(film)] * SECONDS,
        *[str(other)] * SECONDS,
    ]


# Bad input.


@pytest.mark.parametrize(
    'arguments, words',
    [
        (['lost.mp4'], 'lost.mp4 does not exist'),
        (['{film}', '--model', 'nothing'], "no model 'nothing'"),
        ([''], 'the name of a film is empty; expected a film or a folder with films'),
        (['{film}', ''], 'the name of a film is empty'),
        (['{film}', '--out', '{film}'], 'scene.mp4'),
    ],
)
def test_bad_input_is_one_line(film, arguments, words, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    said = localize(capsys, *(word.format(film=film) for word in arguments), status=1)
    assert said.out == '' and said.err.count('\n') == 1
    assert said.err.startswith('avsol localize: error: ') and words in said.err
    assert not list(tmp_path.rglob('*.mp4'))


@pytest.mark.parametrize('hop', ['0', '1.5', 'nan', 'fast'])
def test_a_wrong_hop_is_a_wrong_word_as_any_other(film, hop, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        cli.main(['localize', str(film), '--hop', hop])
    assert end.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith(f"argument --hop: '{hop}'; expected 0.02 to 1 seconds")
    assert not list(tmp_path.iterdir())


def test_a_film_that_breaks_off_is_localized_as_far_as_it_goes(tmp_path, capsys):
    film = write_film(tmp_path / 'cut.mkv', seconds=6.0, kind='matroska')
    film.write_bytes(film.read_bytes()[: film.stat().st_size * 2 // 3])
    said = localize(capsys, film, '--json', '--out', tmp_path / 'out', status=3)
    assert len(lines_of(said.out)) in (3, 4)
    assert 'cut.mkv breaks off' in said.err
    assert (tmp_path / 'out/overlay.mp4').exists()


def test_nothing_is_left_of_a_film_without_a_window(tmp_path, capsys):
    film = write_film(tmp_path / 'short.mp4', seconds=0.5)
    said = localize(capsys, film, '--out', tmp_path / 'out', status=1)
    assert 'no window of one second' in said.err
    assert not (tmp_path / 'out').exists()


def test_no_result_takes_the_place_of_a_film(film, tmp_path, capsys):
    mine = tmp_path / 'overlay.mp4'
    mine.write_bytes(film.read_bytes())
    said = localize(capsys, mine, '--out', tmp_path, status=1)
    assert '--out' in said.err and mine.read_bytes() == film.read_bytes()


# Ctrl-C.


@pytest.fixture
def stop_at(monkeypatch):
    """Return a function that has Ctrl-C come while a window is localized, counted over all."""
    original, calls = Localizer.__call__, []

    def stop(number):
        def localize(self, window):
            calls.append(window)
            if len(calls) == number:
                signal.raise_signal(signal.SIGINT)
            return original(self, window)

        monkeypatch.setattr(Localizer, '__call__', localize)

    return stop


def test_ctrl_c_writes_what_was_found_so_far(film, tmp_path, stop_at, capsys):
    stop_at(5)  # the second window of the second film
    films = [film, *(write_scene_film(tmp_path / f'{name}.mp4') for name in 'bc')]
    handler = signal.getsignal(signal.SIGINT)
    said = localize(capsys, *films, '--out', tmp_path / 'out', status=130)
    assert signal.getsignal(signal.SIGINT) is handler
    assert said.err.splitlines()[-1] == (
        'avsol localize: stopped; what was found until then is written'
    )
    assert Page(tmp_path / 'out/index.html').headings == ['scene.mp4', 'b.mp4']
    whole, part = (
        len((tmp_path / 'out' / name / 'localizations.jsonl').read_text().splitlines())
        for name in ('scene', 'b')
    )
    assert whole == SECONDS and part == 2
    with MediaReader(tmp_path / 'out/b/overlay.mp4') as overlay:
        overlay.check()
    assert not (tmp_path / 'out/c').exists()
    assert not list((tmp_path / 'out').rglob('.*'))


def test_ctrl_c_before_the_first_window_leaves_nothing(film, tmp_path, capsys, monkeypatch):
    original = film_files.FilmSource

    def opening(path, hop_ns):
        signal.raise_signal(signal.SIGINT)
        return original(path, hop_ns)

    monkeypatch.setattr(film_files, 'FilmSource', opening)
    said = localize(capsys, film, '--out', tmp_path / 'out', status=130)
    assert 'nothing is written' in said.err
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('several', [False, True])
def test_a_second_ctrl_c_leaves_nothing(film, tmp_path, capsys, monkeypatch, several):
    def localize_twice(self, window):
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Localizer, '__call__', localize_twice)
    out = tmp_path / 'results' / 'out'
    said = localize(capsys, film.parent if several else film, '--out', out, status=130)
    assert said.err == 'avsol localize: stopped at once; nothing of scene.mp4 is kept\n'
    assert not (tmp_path / 'results').exists()


def test_a_reader_that_leaves_early_ends_it_and_leaves_whole_files(film, tmp_path):
    with start_avsol(
        *('localize', film, film.parent, '--json', '--hop', 0.1, '--out', tmp_path),
        stderr=subprocess.PIPE,
        cwd=SOURCE,
    ) as process:
        assert json.loads(process.stdout.readline())['start_ns'] == 0
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(PATIENCE_S) == 1
    assert 'Traceback' not in said and 'error' not in said
    lines_of((tmp_path / 'scene/localizations.jsonl').read_text())


# What it needs.


def test_it_needs_neither_ros_nor_what_reads_bags_or_trains(film, tmp_path):
    missing = ('rclpy', 'rosbags', 'lightning', 'torchmetrics', 'sklearn')
    done = run_without(missing, 'localize', film, '--out', tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'overlay.mp4').exists()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_film(tmp_path, capsys):
    """Frames of a longer film are written and let go; the peak stays that of a short one."""
    code = """
import resource, sys
from avsol_ros.cli import main
status = main(['localize', sys.argv[1], '--out', sys.argv[2], '--device', 'cpu'])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(status)
"""

    def peak_mb(seconds):
        film = write_film(
            tmp_path / f'{seconds}.mp4', seconds=float(seconds), width=640, height=480, rate=16_000
        )
        done = subprocess.run(
            [sys.executable, '-c', code, film, tmp_path / str(seconds)],
            capture_output=True,
            text=True,
            cwd=SOURCE,
        )
        assert done.returncode == 0, done.stderr
        return int(done.stdout.split()[-1]) / 1024

    # 20 s more are 460 MB of frames.
    assert peak_mb(30) - peak_mb(10) < 120
