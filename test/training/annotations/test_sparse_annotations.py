"""Sparse annotations: the list that people keep, the project's own files, what is wrong."""

import copy
import json
import random
from pathlib import Path

import pytest
from windowed_films import entries, write_list, write_windowed_film, write_windowed_films

from avsol_ros import cli
from avsol_ros.errors import AvsolError
from avsol_ros.training.annotations.annotation_files import read_annotations, schema_path
from avsol_ros.training.annotations.film_windows import FilmWindows, WindowTruth, window_id
from avsol_ros.training.annotations.model import ObjectTruth
from avsol_ros.training.annotations.problems import find_film_problems
from avsol_ros.training.annotations.sparse_files import (
    examine_film_windows,
    is_sparse,
    read_film_windows,
    write_film_windows,
)
from avsol_ros.training.annotations.windows_list import check_film, import_windows_list

SHARED = Path(__file__).resolve().parents[4] / 'shared' / 'data' / 'real'
DOG = ObjectTruth(0, 'Bark', (7.0, 12.0, 27.0, 36.0), True)
UNSEEN = ObjectTruth(1, None, None, True, True)


def film(*windows, video='dog.mp4', duration=4.0, **more):
    return FilmWindows(video, 64, 48, duration, ('Bark', 'Cat'), tuple(windows), **more)


@pytest.fixture(scope='module')
def listed(tmp_path_factory):
    """The list of three films, which lie beside it in ``media/``."""
    return write_windowed_films(tmp_path_factory.mktemp('films'))


def test_the_list_of_films_becomes_annotations(listed, tmp_path, capsys):
    out = tmp_path / 'boxes.json'
    words = ['annotations', 'import-windows', str(listed), str(out)]
    assert cli.main([*words, '--media', str(listed.parent / 'media')]) == 0
    assert capsys.readouterr().out == f'{out}\n'
    dog, bell, hall = read_film_windows(out)
    assert dog.categories == bell.categories == ('Bark', 'Cat', 'Church bell')
    assert (dog.video, dog.width, dog.height, dog.duration) == ('dog.mp4', 64, 48, 4.0)
    assert [window.frame.kind for window in dog.windows] == ['single', 'visible', 'single']
    assert dog.windows[0].objects == (DOG,)
    assert dog.windows[2].frame.time == 2.5
    unseen = bell.windows[1].objects[1]
    assert unseen.out_of_view and unseen.category is None and unseen.box is None
    assert bell.present == {'Church bell', 'Cat'} and hall.present == {'Church bell'}

    assert cli.main(['annotations', 'check', str(out)]) == 0
    assert capsys.readouterr().out == 'nothing is wrong in 9 windows of 3 films\n'
    assert cli.main(['annotations', 'stats', str(out), '--json']) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told['videos'], told['frames'], told['ave']['single']) == (3, 9, 6)
    assert told['non_ave'] == {'visible': 2, 'audible': 1, 'noise': 0, 'total': 3}


def test_written_text_to_the_letter(tmp_path):
    given = film(WindowTruth(0.0, (DOG, UNSEEN)), WindowTruth(1.5), doubt='a cat?')
    path = write_film_windows(tmp_path / 'a.json', [given])
    assert path.read_text() == (
        '{"version": 3, "categories": ["Bark", "Cat"], "videos": [\n'
        '{"video": "dog.mp4", "width": 64, "height": 48, "duration": 4, "doubt": "a cat?", '
        '"windows": [\n'
        '{"start": 0, "objects": [{"category": "Bark", "box": [7, 12, 27, 36], "sounding": true}, '
        '{"category": null, "box": null, "sounding": true, "out_of_view": true}]},\n'
        '{"start": 1.5, "objects": []}\n'
        ']}\n'
        ']}\n'
    )
    assert read_film_windows(path) == [given] and is_sparse(path)
    assert window_id('a.b.mp4', 1.5) == 'a.b@1.5' and window_id('dog', 2.0) == 'dog@2'
    with pytest.raises(AvsolError, match='annotates single windows of films'):
        read_annotations(path)


def changed(change, place=0):
    """The list, with something wrong in a film of it."""
    films = entries()
    change(films[place])
    return films


def remove(key):
    return lambda values: values.pop(key)


@pytest.mark.parametrize(
    'films, message',
    [
        ({}, 'is no list of films; expected a JSON list'),
        ([], 'is no list of films'),
        ([7], 'entry 0: expected an object with id, media'),
        (entries() + entries()[:1], "entry 3: the id 'dog' is there twice"),
        (changed(lambda f: f.update(id=['dog'])), "entry 0: id is ['dog']; expected a name"),
        (
            changed(lambda f: f['windows'][0]['boxes'][0].update(category=['Bark'])),
            'dog.mp4 window 0: object 0: category is ["Bark"]; expected a name, or null',
        ),
        (changed(remove('media')), 'entry 0: media is missing; expected id, media, width'),
        (changed(lambda f: f.update(note=1)), "entry 0: there is no key 'note'; there are id"),
        (
            changed(lambda f: f['windows'][1].update(begin=2)),
            "dog window 1: there is no key 'begin'; there are start, boxes",
        ),
        (
            changed(lambda f: f['windows'][0]['boxes'][0].update(sound=True)),
            "dog window 0 box 0: there is no key 'sound'",
        ),
        (
            changed(lambda f: f['windows'][0]['boxes'][0].pop('sounding')),
            'dog window 0 box 0: sounding is missing',
        ),
        (changed(lambda f: f.update(windows=3)), 'dog: windows is no list'),
        (changed(lambda f: f['windows'][0].update(boxes=None)), 'dog window 0: boxes is no list'),
        (
            changed(lambda f: f['windows'][0].update(out_of_view=1)),
            'dog window 0: out_of_view is 1; expected true or false',
        ),
        (
            changed(lambda f: f['windows'][0].update(start=-1)),
            'dog.mp4 window 0: start is -1; expected seconds, 0 or more',
        ),
        (
            changed(lambda f: f['windows'][0]['boxes'][0].update(box=[1, 2, 3])),
            'dog.mp4 window 0: object 0: box is [1, 2, 3]; expected four numbers',
        ),
        (
            changed(lambda f: f['windows'][0]['boxes'][0].update(box=[1, 2, 3, 60])),
            'dog.mp4 window 0: object 0: the box 1 2 3 60 reaches out of the picture of 64x48',
        ),
        (
            changed(lambda f: f['windows'][0]['boxes'][0].update(box=[3, 2, 3, 9])),
            'dog.mp4 window 0: object 0: the box 3 2 3 9 is empty or inverted',
        ),
        (
            changed(lambda f: f['windows'][2].update(start=3.5)),
            "dog.mp4 window 2: starts at 3.5 s and lasts 1 s; expected it to end within the film's"
            ' 4 s',
        ),
        (
            changed(lambda f: f['windows'][2].update(start=0)),
            'dog.mp4 window 2: starts at 0 s, as window 0 does',
        ),
        (changed(lambda f: f.update(windows=[])), 'dog.mp4: has no windows'),
        (changed(lambda f: f.update(media='bell.mp4')), 'bell.mp4: is annotated 2 times'),
        (changed(lambda f: f.update(media='cat.mp4')), 'there is no film'),
        (changed(lambda f: f.update(width=96)), 'is 64 x 48 pixels, and annotated as 96 x 48'),
        (
            changed(lambda f: f.update(duration=9.0) or f['windows'][2].update(start=6)),
            'lasts 4.00 s from its first frame, and the window from 6 to 7 s is annotated',
        ),
    ],
)
def test_what_is_wrong_is_told_in_one_line(listed, tmp_path, capsys, films, message):
    path, out = write_list(tmp_path / 'windows.json', films), tmp_path / 'out.json'
    words = ['annotations', 'import-windows', str(path), str(out)]
    assert cli.main([*words, '--media', str(listed.parent / 'media')]) == 1
    told = capsys.readouterr()
    [line] = (told.out + told.err).splitlines()
    assert message in line
    assert not out.exists()


def test_boxes_are_cut_off_where_one_asks_for_it(tmp_path):
    films = entries()[:1]
    films[0]['windows'][0]['boxes'][0]['box'] = [-4, 12, 29, 99]
    films[0]['windows'][1]['boxes'][0]['box'] = [70, 12, 90, 30]
    [found] = import_windows_list(write_list(tmp_path / 'a.json', films), clip=True)
    assert found.windows[0].objects[0].box == (0.0, 12.0, 29.0, 48.0)
    assert found.windows[1].objects == ()
    assert find_film_problems([found]) == []


def test_a_film_that_is_no_film(listed, tmp_path, capsys):
    (tmp_path / 'media').mkdir()
    for name in ('dog', 'bell', 'hall'):
        (tmp_path / 'media' / f'{name}.mp4').write_text('not a film')
    words = ['annotations', 'import-windows', str(listed), str(tmp_path / 'out.json')]
    assert cli.main([*words, '--media', str(tmp_path / 'media')]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_film_without_sound(tmp_path):
    write_windowed_film(tmp_path / 'dog.mp4', audio=False)
    [found] = import_windows_list(write_list(tmp_path / 'a.json', entries()[:1]))
    with pytest.raises(AvsolError, match='has no sound, only video'):
        check_film(found, tmp_path)


@pytest.mark.parametrize(
    'text, message',
    [
        ('{"version": 4}', 'is of version 4, and this avsol knows versions up to 3'),
        (
            '{"version": 2}',
            'annotates frames at a fixed rate (version 2); expected single',
        ),
        ('[]', 'is no annotation: it lacks "version"'),
        ('{', 'is no JSON'),
        ('{"version": 3, "categories": []}', 'videos is missing; expected a list'),
        (
            '{"version": 3, "rate": 10, "categories": [], "videos": []}',
            "there is no key 'rate'; there are version, categories, videos",
        ),
    ],
)
def test_files_that_are_no_sparse_annotation(tmp_path, text, message):
    path = tmp_path / 'a.json'
    path.write_text(text)
    with pytest.raises(AvsolError) as caught:
        read_film_windows(path)
    assert message in str(caught.value) and '\n' not in str(caught.value)


def test_nothing_wrong_is_written(tmp_path):
    with pytest.raises(AvsolError, match='was not written: dog.mp4: has no windows'):
        write_film_windows(tmp_path / 'a.json', [film()])
    other = FilmWindows('x.mp4', 64, 48, 4.0, ('Cat',), (WindowTruth(0.0),))
    with pytest.raises(AvsolError, match='2 different lists of categories'):
        write_film_windows(tmp_path / 'a.json', [film(WindowTruth(0.0)), other])
    assert not list(tmp_path.iterdir())


def test_own_check_of_form_agrees_with_the_json_schema(listed, tmp_path):
    jsonschema = pytest.importorskip('jsonschema')
    validator = jsonschema.Draft202012Validator(json.loads(schema_path().read_text()))
    validator.check_schema(validator.schema)
    path = write_film_windows(tmp_path / 'a.json', import_windows_list(listed))
    document = json.loads(path.read_text())
    document['videos'][0]['doubt'] = 'none'
    validator.validate(document)
    shuffled, outcomes = random.Random(0), []
    others = [None, True, 0, -1, 2.0, 0.5, '', 'x', [], {}, [1, 2, 3, 4], ['a', 'a']]
    places = [place for place in _places(document) if place and place != ('version',)]
    for _ in range(300):
        values = copy.deepcopy(document)
        *parents, last = shuffled.choice(places)
        inner = values
        for key in parents:
            inner = inner[key]
        action = shuffled.choice(['replace', 'replace', 'remove', 'add'])
        if action == 'replace':
            inner[last] = shuffled.choice(others)
        elif action == 'remove':
            del inner[last]
        elif isinstance(inner, dict):
            inner[shuffled.choice(['note', 'doubt', 'out_of_view'])] = shuffled.choice(others)
        path.write_text(json.dumps(values))
        films, problems = examine_film_windows(path)
        # Problems of meaning are none of the schema's business.
        meaning = list(map(str, find_film_problems(films)))
        wrong = any(str(problem) not in meaning for problem in problems)
        assert wrong == (not validator.is_valid(values)), (values, problems)
        outcomes.append(wrong)
    assert 80 < sum(outcomes) < 260


def _places(values, path=()):
    """Paths to everything in a document."""
    yield path
    items = values.items() if isinstance(values, dict) else ()
    for key, value in enumerate(values) if isinstance(values, list) else items:
        yield from _places(value, (*path, key))


@pytest.mark.skipif(not SHARED.is_dir(), reason='needs the real films of ../shared')
def test_the_list_of_real_films_is_read():
    films = import_windows_list(SHARED / 'windows.json')
    assert find_film_problems(films) == []
    kinds = [window.frame.is_ave for film in films for window in film.windows]
    assert (len(films), len(kinds), sum(kinds)) == (49, 142, 117)
