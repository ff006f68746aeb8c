"""A folder of real material: its lists are checked, splits share no file, files are read whole."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from material_folder import NAMES, make_material, write_list

pytest.importorskip('scipy')

from avsol_ros.errors import AvsolError
from avsol_ros.streams.windows import SAMPLE_RATE
from avsol_ros.training.datasets.ave import CATEGORIES as AVE_CATEGORIES
from avsol_ros.training.synthetic.category_names import DISPLAY_NAMES, OF_AVE, display_name
from avsol_ros.training.synthetic.material import Material, make_cutout
from avsol_ros.training.synthetic.material_lists import (
    KINDS,
    MANIFEST,
    SPLIT,
    SPLITS,
    find_material,
)

REAL = Path(__file__).resolve().parents[3].parent / 'shared' / 'data' / 'real_train'


@pytest.fixture
def folder(tmp_path):
    return make_material(tmp_path / 'material')


def edit(path, change):
    """Rewrite a list by a function of its header and rows."""
    with path.open(newline='') as file:
        header, *rows = csv.reader(file)
    write_list(path, *change(header, rows))


def files_of(material):
    return {
        split: {name for kind in KINDS for name in material.files(split, kind)} for split in SPLITS
    }


def test_categories_are_those_that_training_can_see_and_hear(folder):
    material = Material(folder)
    assert material.categories == tuple(sorted(NAMES.values()))
    assert 'door' not in str(material.categories) and 'Door' in material.heard('val')
    with_extra = Material(folder, extra=True)
    assert set(with_extra.categories) - set(material.categories) == {'Cattle, bovinae'}


def test_no_file_serves_two_splits(folder):
    files = files_of(Material(folder))
    assert all(files.values())
    assert sum(map(len, files.values())) == len(set.union(*files.values()))


@pytest.mark.skipif(not REAL.is_dir(), reason='needs ../shared/data/real_train')
def test_no_file_and_no_source_serves_two_splits_of_the_folder_at_hand():
    files = files_of(Material(REAL, extra=True))
    assert min(map(len, files.values())) > 100
    assert sum(map(len, files.values())) == len(set.union(*files.values()))
    with (REAL / SPLIT).open(newline='') as file:
        groups = {row['file']: (row['kind'], row['group']) for row in csv.DictReader(file)}
    sources = [{groups[name] for name in names} for names in files.values()]
    assert sum(map(len, sources)) == len(set.union(*sources))


def test_every_category_of_ave_has_a_name_here():
    assert set(OF_AVE) == set(AVE_CATEGORIES)
    assert set(OF_AVE.values()) <= set(DISPLAY_NAMES.values())
    assert len(set(DISPLAY_NAMES.values())) == len(DISPLAY_NAMES)
    assert display_name('person') == display_name('Male speech, man speaking') == 'Speech'
    assert display_name('theremin') == 'theremin'


def test_a_recording_has_the_rate_of_the_windows_and_keeps_its_sound(folder):
    material = Material(folder)
    wave = material.sound('dog_train_0.wav')
    assert wave.dtype == np.float32 and abs(len(wave) - 0.8 * SAMPLE_RATE) <= 1
    assert 0.3 < np.abs(wave).max() < 0.4  # 12,000 of 32,768
    assert np.abs(wave[: SAMPLE_RATE // 100]).max() < 0.05 < np.abs(wave[6000:7000]).max()


def test_a_picture_is_cut_to_what_is_solid(folder):
    material = Material(folder)
    whole = cv2.imread(str(folder / 'dog_val_1.png'), cv2.IMREAD_UNCHANGED)
    ys, xs = np.nonzero(whole[..., 3] > 127)
    picture = material.picture('dog_val_1.png')
    assert picture.shape == (np.ptp(ys) + 1, np.ptp(xs) + 1, 4)
    np.testing.assert_array_equal(picture[..., :3][0, 0], whole[ys.min(), xs.min(), 2::-1])
    photo = material.picture('photo_val.jpg')
    assert photo.shape == (60, 80, 4) and (photo[..., 3] == 255).all()


def test_the_outline_of_a_cutout_has_the_shape_of_what_is_solid():
    rgba = np.zeros((40, 80, 4), np.float32)
    rgba[10:30, 5:75, 3] = 1
    sprite = make_cutout(rgba)
    assert sprite.extent[0] / sprite.extent[1] == pytest.approx(70 / 20)
    np.testing.assert_allclose(sprite.outline.min(0) + sprite.outline.max(0), 0, atol=1e-9)
    assert sprite.rgba.shape[0] == sprite.rgba.shape[1]


@pytest.mark.parametrize('gone, text', [(MANIFEST, MANIFEST), (SPLIT, SPLIT)])
def test_a_folder_without_a_list_is_named(folder, gone, text):
    (folder / gone).unlink()
    with pytest.raises(AvsolError, match=f'a folder without {text}; expected'):
        find_material(folder)


def test_a_folder_is_named_by_the_environment_too(folder, monkeypatch):
    monkeypatch.delenv('AVSOL_MATERIAL', raising=False)
    with pytest.raises(AvsolError, match='give it with --material, or set .AVSOL_MATERIAL'):
        find_material()
    monkeypatch.setenv('AVSOL_MATERIAL', str(folder / 'nosuch'))
    with pytest.raises(AvsolError, match='AVSOL_MATERIAL is .*nosuch.* which is no folder'):
        find_material()
    monkeypatch.setenv('AVSOL_MATERIAL', str(folder))
    assert find_material() == folder.resolve()


def without(column):
    return lambda header, rows: (
        [name for name in header if name != column],
        [[v for n, v in zip(header, row) if n != column] for row in rows],
    )


def changed(column, value):
    def change(header, rows):
        rows[0][header.index(column)] = value
        return header, rows

    return change


@pytest.mark.parametrize(
    'name, change, text',
    [
        (MANIFEST, without('kind'), 'manifest.csv has no column kind; expected file, '),
        (SPLIT, without('split'), 'split.csv has no column split; expected file, split'),
        (MANIFEST, changed('kind', 'smell'), "line 2: kind is 'smell'; expected one of sound, "),
        (MANIFEST, changed('extra', 'maybe'), "line 2: extra is 'maybe'; expected one of yes"),
        (SPLIT, changed('split', 'dev'), "line 2: split is 'dev'; expected one of train, val"),
        (SPLIT, changed('file', 'nosuch.png'), "'nosuch.png' is not in manifest.csv; add it"),
        (
            SPLIT,
            lambda head, rows: (head, [*rows, [rows[0][0], 'test']]),
            'is in train and in test',
        ),
        (SPLIT, lambda head, rows: (head, []), 'no category with both a picture and a sound'),
    ],
)
def test_what_is_wrong_in_a_list_is_told_in_a_line(folder, name, change, text):
    edit(folder / name, change)
    with pytest.raises(AvsolError) as raised:
        Material(folder)
    assert text in str(raised.value) and '\n' not in str(raised.value)


def test_files_that_are_not_there_or_not_in_the_folder_are_named(folder):
    (folder / 'dog_test_0.png').unlink()
    with pytest.raises(AvsolError, match="there is no file 'dog_test_0.png' in "):
        Material(folder)
    outside = '../dog.png'
    (folder.parent / 'dog.png').touch()
    for name in (MANIFEST, SPLIT):
        text = (folder / name).read_text().replace('dog_test_0.png', outside)
        (folder / name).write_text(text)
    with pytest.raises(AvsolError, match="there is no file '../dog.png' in "):
        Material(folder)


def test_files_that_are_not_what_they_should_be_are_named(folder):
    (folder / 'dog_train_0.png').write_text('no picture')
    (folder / 'dog_train_0.wav').write_text('no sound')
    (folder / 'dog_train_1.wav').write_bytes(b'')
    empty = np.zeros((9, 9, 4), np.uint8)
    cv2.imwrite(str(folder / 'dog_train_1.png'), empty)
    material = Material(folder)
    with pytest.raises(AvsolError, match='dog_train_0.png is no picture that can be used'):
        material.picture('dog_train_0.png')
    with pytest.raises(AvsolError, match='dog_train_1.png shows nothing'):
        material.picture('dog_train_1.png')
    for name in ('dog_train_0.wav', 'dog_train_1.wav'):
        with pytest.raises(AvsolError, match=f'a sound of the material cannot be used: .*{name}'):
            material.sound(name)


def test_a_split_without_what_scenes_need_is_named(folder):
    edit(
        folder / SPLIT,
        lambda head, rows: (head, [r for r in rows if r[0] != 'place_val.jpg']),
    )
    material = Material(folder)
    material.check_split('train')
    with pytest.raises(AvsolError, match='has no background in the split val; expected'):
        material.check_split('val')
    with pytest.raises(AvsolError, match="split is 'demo'; expected one of train, val, test"):
        material.check_split('demo')
