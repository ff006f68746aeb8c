"""Which films are meant, and where the files of each go."""

import json
from pathlib import Path

import pytest

from avsol_ros.errors import AvsolError
from avsol_ros.offline.find_films import plan_films, refuse_overwriting, unique_names


def touch(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def folders(plan):
    return {str(job.film): str(job.folder) for job in plan.jobs}


def test_a_single_film_has_the_folder_for_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert folders(plan_films(['a/clip.mp4'])) == {'a/clip.mp4': 'out/localize/clip'}
    assert folders(plan_films(['a/clip.mp4'], 'there')) == {'a/clip.mp4': 'there'}
    assert plan_films(['a/clip.mp4']).index_folder is None


def test_several_films_have_a_folder_each(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = plan_films(['a/clip.mp4', 'b/clip.mov', 'b/other.mp4', 'c/clip.mp4'])
    assert folders(plan) == {
        'a/clip.mp4': 'out/localize/clip',
        'b/clip.mov': 'out/localize/clip-2',
        'b/other.mp4': 'out/localize/other',
        'c/clip.mp4': 'out/localize/clip-3',
    }
    assert plan.index_folder == Path('out/localize')
    assert folders(plan_films(['a.mp4', 'b.mp4'], 'x')) == {'a.mp4': 'x/a', 'b.mp4': 'x/b'}


def test_a_folder_gives_its_films_and_tells_what_it_skips(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(
        Path('clips'), 'b.MP4', 'a.mkv', '.hidden.mp4', 'a.json', *(f'{n}.txt' for n in range(9))
    )
    touch(Path('clips/more.mp4'), 'deep.mp4')
    plan = plan_films(['clips'])
    assert folders(plan) == {
        'clips/a.mkv': 'out/localize/clips/a',
        'clips/b.MP4': 'out/localize/clips/b',
    }
    assert plan.index_folder == Path('out/localize/clips')
    assert plan.skipped == [
        'clips: skipped what does not have the name of a film: 0.txt, 1.txt, 2.txt, 3.txt, 4.txt '
        'and 6 more'
    ]
    assert plan_films(['clips'], 'x').index_folder == Path('x')
    monkeypatch.chdir('clips')
    assert plan_films(['.']).index_folder == Path('out/localize/clips')


def test_a_film_that_is_named_twice_is_localized_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(Path('clips'), 'a.mp4', 'b.mp4')
    plan = plan_films(['clips/b.mp4', 'clips', tmp_path / 'clips/a.mp4'])
    assert [str(job.film) for job in plan.jobs] == ['clips/b.mp4', 'clips/a.mp4']


def test_what_cannot_be_used_is_told_and_the_rest_goes_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(Path('empty'), 'notes.txt')
    touch(Path('bag'), 'metadata.yaml')
    touch(Path('.'), 'rec.mcap')
    plan = plan_films(['empty', 'bag', 'rec.mcap', 'lost.mp4'])
    assert [str(job.film) for job in plan.jobs] == ['lost.mp4']  # reading it will tell
    assert len(plan.refused) == 3
    assert 'empty has no films' in plan.refused[0]
    assert all('is a bag' in line and 'avsol evaluate' in line for line in plan.refused[1:])


def test_no_result_replaces_a_film(tmp_path):
    touch(tmp_path, 'overlay.mp4', 'clip.mp4')
    plan = plan_films([tmp_path / 'overlay.mp4'], tmp_path)
    with pytest.raises(AvsolError, match=r'overlay.mp4 is a film .* --out'):
        refuse_overwriting(plan.jobs, ('overlay.mp4', 'sheet.png'))
    refuse_overwriting(
        plan_films([tmp_path / 'overlay.mp4'], tmp_path / 'x').jobs, ('overlay.mp4',)
    )


@pytest.mark.parametrize('out', [None, Path('results')])
def test_no_name_of_a_film_leads_out_of_the_results(tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    names = ('...mp4', '..mp4', 'index.html.mp4', 'a.mp4')
    touch(Path('deep'), *names)
    folders = [job.folder for job in plan_films([f'deep/{name}' for name in names], out).jobs]
    root = out or Path('out/localize')
    assert folders == [root / n for n in ('...mp4', '..mp4', 'index.html-2', 'a')]
    for name in names:
        (job,) = plan_films([f'deep/{name}']).jobs
        assert job.folder.resolve().parent == Path('out/localize').resolve()


def test_names_that_collide_get_numbers():
    assert unique_names(['a', 'b', 'a', 'a', 'a-2']) == ['a', 'b', 'a-2', 'a-3', 'a-2-2']


# Results of other films.


def leave_results(folder, line):
    folder.mkdir(parents=True)
    (folder / 'localizations.jsonl').write_text(line + '\n')


def names(plan):
    return [job.folder.name for job in plan.jobs]


@pytest.fixture
def films(tmp_path):
    return touch(tmp_path / 'films', 'a.mp4', 'b.mp4')


def test_a_folder_with_results_of_another_film_is_passed_over(films, tmp_path):
    root = tmp_path / 'out'
    leave_results(root / 'a', json.dumps({'film': str(tmp_path / 'other/a.mp4')}))
    plan = plan_films([films], root)
    assert names(plan) == ['a-2', 'b']
    [note] = plan.renamed
    assert note == (
        f'{root / "a"} holds the results of {tmp_path / "other/a.mp4"}; those of '
        f'{films / "a.mp4"} go to {root / "a-2"}'
    )


def test_results_of_the_same_film_are_found_again_whatever_it_was_called(
    films, tmp_path, monkeypatch
):
    root = tmp_path / 'out'
    leave_results(root / 'a', json.dumps({'film': '/elsewhere/a.mp4'}))
    leave_results(root / 'a-2', json.dumps({'film': str(films / 'a.mp4')}))
    monkeypatch.chdir(films)
    (films / 'link.mp4').symlink_to('a.mp4')
    assert names(plan_films(['a.mp4', 'b.mp4'], root)) == ['a-2', 'b']
    assert names(plan_films(['../films/a.mp4', 'b.mp4'], root)) == ['a-2', 'b']


@pytest.mark.parametrize('line', ['{"time": 0.0}', '[]', '{"film": 1}', 'no JSON', ''])
def test_what_is_no_result_of_a_film_is_not_replaced_either(films, tmp_path, line):
    leave_results(tmp_path / 'out', line)
    with pytest.raises(AvsolError, match='out holds the results of something that is no film; '):
        plan_films([films / 'a.mp4'], tmp_path / 'out')


def test_a_folder_without_results_is_taken_as_it_is(films, tmp_path):
    (tmp_path / 'out' / 'a').mkdir(parents=True)
    (tmp_path / 'out' / 'a' / 'notes.txt').touch()
    assert names(plan_films([films], tmp_path / 'out')) == ['a', 'b']
    [job] = plan_films([films / 'a.mp4'], tmp_path / 'out' / 'a').jobs
    assert job.folder == tmp_path / 'out' / 'a'
