"""AVE's text files: what they mean, and what is said of those that are wrong."""

import numpy as np
import pytest
from ave_dataset import LEAKED, TWICE, WHOLE, lines, write_lists

from avsol_ros.errors import AvsolError
from avsol_ros.training.datasets.ave import CATEGORIES, HEADER, SPLITS, Annotation, read_ave


@pytest.fixture
def folder(tmp_path):
    write_lists(tmp_path)
    return tmp_path


def spoil(path, number, text):
    """Put a text in place of a line (from 1)."""
    content = path.read_text().splitlines()
    content[number - 1] = text
    path.write_text('\n'.join(content))


def test_reads_every_line_of_every_split(folder):
    ave = read_ave(folder)
    for split in SPLITS:
        assert [(a.category, a.video, a.start, a.end) for a in ave.lines[split]] == lines(split)
    assert len(ave.annotations) == sum(len(lines(split)) for split in SPLITS)
    assert len(ave.videos) == len(set(ave.videos)) == len({a.video for a in ave.annotations})


@pytest.mark.parametrize(
    'change',
    [
        lambda text: text.replace(f'{HEADER}\n', ''),
        lambda text: text if text.startswith(HEADER) else f'{HEADER}\n{text}',
        lambda text: text.replace('\n', '\r\n'),
        lambda text: '\ufeff' + text,
        lambda text: '\n' + text.replace('\n', ' \n\n'),
    ],
    ids=['no header', 'headers everywhere', 'CRLF', 'byte order mark', 'blank lines'],
)
def test_takes_the_files_in_every_usual_form(folder, change):
    expected = read_ave(folder)
    for path in folder.glob('*.txt'):
        path.write_bytes(change(path.read_text()).encode())
    assert read_ave(folder) == expected


def test_takes_the_folder_above(folder):
    (folder / 'AVE_Dataset').mkdir()
    for path in folder.glob('*.txt'):
        path.rename(folder / 'AVE_Dataset' / path.name)
    ave = read_ave(folder)
    assert ave.media('-x') == folder / 'AVE_Dataset' / 'AVE' / '-x.mp4'


def test_knows_28_categories_in_order():
    assert len(CATEGORIES) == 28
    assert list(CATEGORIES) == sorted(set(CATEGORIES))


def test_labels_each_second_by_all_lines_of_the_film(folder):
    ave = read_ave(folder)
    for video in ave.videos:
        expected = np.zeros((10, 28), int)
        for line in ave.annotations:
            for second in range(10):
                if line.video == video and line.start <= second < line.end:
                    expected[second][CATEGORIES.index(line.category)] = 1
        assert np.array_equal(ave.labels(video), expected)
    assert ave.labels(TWICE).sum(axis=1).tolist() == [1] * 4 + [2] * 6


def test_an_event_of_no_length_labels_nothing(folder):
    for name, number in (('Annotations.txt', 2), ('trainSet.txt', 1)):
        spoil(folder / name, number, 'Banjo&banjoTrain1&good&0&0')
    ave = read_ave(folder)
    assert ave.lines['train'][0] == Annotation('Banjo', 'banjoTrain1', 'good', 0, 0)
    assert not ave.labels('banjoTrain1').any()


def test_keeps_films_of_later_splits_out_of_train(folder):
    ave = read_ave(folder)
    assert ave.shared == {LEAKED: ('train', 'test')}
    seen = {split: {line.video for line in ave.split(split)} for split in SPLITS}
    assert not (
        seen['train'] & seen['test'] or seen['train'] & seen['val'] or seen['val'] & seen['test']
    )
    assert LEAKED in seen['test']
    assert ave.split('test') == ave.lines['test']
    assert ave.split('train', clean=False) == ave.lines['train']
    # A film with two lines in one split is no leak.
    assert sum(line.video == TWICE for line in ave.split('train')) == 2
    with pytest.raises(AvsolError, match="no split 'dev'; expected one of train, val, test"):
        ave.split('dev')


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('Banjo&x&good&0', '4 field(s)'),
        ('Banjo&x&good&0&10&1', '6 field(s)'),
        ('Banjoo&x&good&0&10', "did you mean 'Banjo'?"),
        ('Submarine&x&good&0&10', 'none of the 28'),
        ('Banjo&&good&0&10', 'cannot be the name of a film'),
        ('Banjo&../../etc/x&good&0&10', 'cannot be the name of a film'),
        ('Banjo&..&good&0&10', 'cannot be the name of a film'),
        ('Banjo&a\tb&good&0&10', 'cannot be the name of a film'),
        ('Banjo&x&good&5&4', "from '5' to '4'"),
        ('Banjo&x&good&0&11', "to '11'"),
        ('Banjo&x&good&-1&10', "from '-1'"),
        ('Banjo&x&good&0.5&10', "from '0.5'"),
        ('Banjo&x&good&ten&10', "from 'ten'"),
        ('Bark&barkTrain_1&good&0&10', 'the same as line 4'),
        (HEADER, 'category'),
        ('x' * 100_000, '1 field(s)'),
    ],
)
def test_names_file_and_line_of_what_is_wrong(folder, text, said):
    path = folder / 'Annotations.txt'
    spoil(path, 7, text)
    with pytest.raises(AvsolError) as error:
        read_ave(folder)
    assert str(error.value).startswith(f'{path}, line 7: ')
    assert said in str(error.value)
    assert '\n' not in str(error.value) and len(str(error.value)) < 500


def test_says_which_line_of_a_split_is_foreign_or_taken(folder):
    path = folder / 'valSet.txt'
    original = path.read_text()
    spoil(path, 2, 'Bark&barkVal__01&good&0&9')
    with pytest.raises(AvsolError, match='valSet.txt, line 2: .* not a line of Annotations.txt'):
        read_ave(folder)
    category, video, start, end = WHOLE['train'][0]
    path.write_text(f'{original}{category}&{video}&good&{start}&{end}\n')
    with pytest.raises(AvsolError, match='valSet.txt, line 3: .* is in trainSet.txt, line 1, as'):
        read_ave(folder)


@pytest.mark.parametrize('name', ['Annotations.txt', 'trainSet.txt', 'testSet.txt'])
def test_says_which_file_is_missing_empty_or_no_text(folder, name):
    (folder / name).write_bytes(b'\xff\xfe\x00')
    with pytest.raises(AvsolError, match=f'cannot read .*{name}'):
        read_ave(folder)
    (folder / name).write_text(HEADER)
    with pytest.raises(AvsolError, match=f'{name} has no lines'):
        read_ave(folder)
    (folder / name).unlink()
    with pytest.raises(AvsolError, match=name):
        read_ave(folder)


def test_categories_of_its_own(folder):
    (folder / 'categories.txt').write_text('Ukulele\nkettle\n\nCat\n', encoding='utf-8')
    (folder / 'Annotations.txt').write_text('kettle&a&good&1&3\nCat&a&good&0&0\n')
    (folder / 'testSet.txt').write_text('kettle&a&good&1&3\nCat&a&good&0&0\n')
    for name in ('trainSet.txt', 'valSet.txt'):
        (folder / name).write_text('')
    ave = read_ave(folder)
    assert ave.categories == ('Ukulele', 'kettle', 'Cat')
    assert ave.lines['train'] == () and len(ave.lines['test']) == 2
    expected = np.zeros((10, 3))
    expected[1:3, 1] = 1
    assert np.array_equal(ave.labels('a'), expected)
    spoil(folder / 'Annotations.txt', 1, 'Kettle&a&good&1&3')
    with pytest.raises(AvsolError, match=r"none of the 3 of categories.txt; .* 'kettle'"):
        read_ave(folder)


@pytest.mark.parametrize('text', ['', 'a\nb\na', 'a&b', b'\xff\xfe\x00'])
def test_what_cannot_be_categories(folder, text):
    (folder / 'categories.txt').write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(AvsolError, match='categories.txt'):
        read_ave(folder)
