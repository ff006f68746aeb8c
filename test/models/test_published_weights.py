"""Published weights: fetched over a bad network, read from bad files, loaded key for key."""

import hashlib
import http.server
import io
import os
import pickle
import re
import struct
import subprocess
import sys
import threading
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from waiting import PATIENCE_S

from avsol_ros.cli import main
from avsol_ros.errors import AvsolError
from avsol_ros.models import model_config, published_weights
from avsol_ros.models.download import part_of
from avsol_ros.models.encoders import Encoder
from avsol_ros.models.published_weights import (
    PUBLISHED,
    Published,
    fetch_weights,
    find_weights,
    identify_weights,
    load_encoders,
    load_published,
    read_published,
    weights_folder,
    weights_state,
)

SOURCE = Path(__file__).resolve().parents[2]
CONTENT = bytes(range(256)) * 20_000  # 5 MB, several reads
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Tiny(Encoder):
    """Keeps the first of the two layers that its file has."""

    published = 'tiny'

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))

    @classmethod
    def published_shapes(cls):
        return {
            'features.0.weight': (4, 3, 3, 3),
            'features.0.bias': (4,),
            **{
                f'features.1.{name}': (4,)
                for name in ('weight', 'bias', 'running_mean', 'running_var')
            },
            'classifier.weight': (5, 4),
            'classifier.bias': (5,),
        }


def contents(**changes):
    """The named tensors of a right file, other than those of any new encoder."""
    generator = torch.Generator().manual_seed(3)
    tensors = OrderedDict(
        (key, torch.rand(shape, generator=generator) + 2)
        for key, shape in Tiny.published_shapes().items()
    )
    tensors.update(changes)
    return tensors


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    """An empty folder, no proxy, and a published file `tiny` with its encoder."""
    monkeypatch.setenv('AVSOL_WEIGHTS', str(tmp_path / 'weights'))
    monkeypatch.setenv('no_proxy', '*')
    monkeypatch.setitem(
        PUBLISHED,
        'tiny',
        Published(
            'tiny', 'tiny-1.pth', 'http://127.0.0.1:9/tiny-1.pth', SHA256, 'A test', len(CONTENT)
        ),
    )
    monkeypatch.setitem(model_config.VISUAL_ENCODERS, 'tiny', Tiny)


# ---------------------------------------------------------------- fetching


class Server:
    """Serves one content on 127.0.0.1, as badly as asked for, and notes what is asked."""

    def __init__(self):
        self.content = CONTENT
        self.ranges = True  # whether it knows Range
        self.cut = None  # bytes after which the connection is closed, once
        self.status = 200
        self.length = True  # whether it tells Content-Length
        self.shift = 0  # by how much it starts beside the place asked for
        self.asked = []  # the Range headers
        self.sent = 0  # bytes of content
        self.hold = None  # an event that is waited for after the first half
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.answer(self)

            def log_message(self, *_):
                pass

        self._http = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f'http://127.0.0.1:{self._http.server_port}/file'

    def answer(self, handler):
        asked = handler.headers.get('Range')
        self.asked.append(asked)
        if handler.path == '/moved':
            handler.send_response(302)
            handler.send_header('Location', self.url)
            handler.end_headers()
            return
        if self.status != 200:
            handler.send_error(self.status)
            return
        start, size = 0, len(self.content)
        if asked and self.ranges:
            start = int(re.fullmatch(r'bytes=(\d+)-', asked)[1]) - self.shift
            if start >= size:
                handler.send_error(416)
                return
            handler.send_response(206)
            handler.send_header('Content-Range', f'bytes {start}-{size - 1}/{size}')
        else:
            handler.send_response(200)
        if self.length:
            handler.send_header('Content-Length', str(size - start))
        handler.end_headers()
        body, self.cut = self.content[start:][: self.cut], None
        half = len(body) // 2
        try:
            handler.wfile.write(body[:half])
            handler.wfile.flush()
            if self.hold:
                self.hold.wait(30)
            handler.wfile.write(body[half:])
        except ConnectionError:  # the client has seen enough
            return
        self.sent += len(body)

    def stop(self):
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
            self._http.server_close()


@pytest.fixture
def server():
    """A server with the right file."""
    server = Server()
    yield server
    server.stop()


def fetch(server, **settings):
    """Fetch `tiny` from the server; return its path and the lines told."""
    lines = []
    path = fetch_weights(
        'tiny', url=settings.pop('url', server.url), report=lines.append, **settings
    )
    return path, lines


def refusal(function, *arguments, **settings) -> str:
    """The text of the error, which must be one line."""
    with pytest.raises(AvsolError) as caught:
        function(*arguments, **settings)
    text = str(caught.value)
    assert '\n' not in text and text
    return text


def files_in(folder) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def test_a_file_is_fetched_whole_and_then_not_again(server):
    seen = []
    path, lines = fetch(server, progress=lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == CONTENT and path == weights_folder() / 'tiny-1.pth'
    assert files_in(path.parent) == ['tiny-1.pth']
    assert server.url in ' '.join(lines)
    assert seen == sorted(seen) and seen[-1] == (len(CONTENT), len(CONTENT))
    _, lines = fetch(server)
    assert len(server.asked) == 1 and 'is there' in lines[-1]
    assert find_weights('tiny') == path and weights_state('tiny') == 'verified'


def test_a_broken_connection_is_continued_where_it_stopped(server):
    server.cut = 2_000_000
    assert 'run the command again' in refusal(fetch, server)
    part = part_of(weights_folder() / 'tiny-1.pth')
    assert part.read_bytes() == CONTENT[:2_000_000]
    assert files_in(part.parent) == [part.name] and weights_state('tiny') == 'begun'
    path, lines = fetch(server)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, 'bytes=2000000-'] and server.sent == len(CONTENT)
    assert any('continuing' in line for line in lines)


def test_a_redirect_keeps_the_place_to_continue_from(server):
    server.cut = 1_000_000
    refusal(fetch, server)
    path, _ = fetch(server, url=server.url.replace('file', 'moved'))
    assert path.read_bytes() == CONTENT
    assert server.asked[1:] == ['bytes=1000000-'] * 2 and server.sent == len(CONTENT)


def test_a_server_without_ranges_starts_over(server):
    server.cut, server.ranges = 1_000_000, False
    refusal(fetch, server)
    path, _ = fetch(server)
    assert path.read_bytes() == CONTENT and server.sent == len(CONTENT) + 1_000_000


def test_a_server_that_answers_with_another_range_is_asked_for_all(server):
    server.cut = 1_000_000
    refusal(fetch, server)
    server.shift = 10
    path, _ = fetch(server)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, 'bytes=1000000-', None]


def test_a_length_that_nobody_tells_is_taken(server):
    server.length = False
    assert fetch(server)[0].read_bytes() == CONTENT


def test_a_whole_part_only_needs_its_name(server, monkeypatch):
    folder = weights_folder()
    folder.mkdir()
    for size in (len(CONTENT), None):  # where the size is not known, the server answers 416
        monkeypatch.setitem(
            PUBLISHED, 'tiny', Published('tiny', 'tiny-1.pth', server.url, SHA256, '', size)
        )
        (folder / 'tiny-1.pth').unlink(missing_ok=True)
        part_of(folder / 'tiny-1.pth').write_bytes(CONTENT)
        assert fetch(server)[0].read_bytes() == CONTENT
    assert server.asked == [f'bytes={len(CONTENT)}-'] and server.sent == 0


def test_a_wrong_digest_leaves_nothing(server):
    server.content = CONTENT[:-1] + b'?'
    text = refusal(fetch, server)
    assert SHA256 in text and hashlib.sha256(server.content).hexdigest() in text
    assert '--url' in text and files_in(weights_folder()) == []


def test_a_wrong_beginning_is_removed_and_the_next_run_is_right(server):
    weights_folder().mkdir()
    part_of(weights_folder() / 'tiny-1.pth').write_bytes(b'?' * 1000)
    assert 'from its beginning' in refusal(fetch, server)
    assert files_in(weights_folder()) == []
    assert fetch(server)[0].read_bytes() == CONTENT


def test_another_size_is_refused_before_it_is_read(server):
    server.content = b'<html>log in to this network</html>'
    text = refusal(fetch, server)
    assert '35 bytes' in text and str(len(CONTENT)) in text


def test_a_damaged_file_is_fetched_again(server):
    weights_folder().mkdir()
    (weights_folder() / 'tiny-1.pth').write_bytes(b'half')
    assert 'avsol weights get tiny' in refusal(find_weights, 'tiny')
    path, lines = fetch(server)
    assert path.read_bytes() == CONTENT and any('again' in line for line in lines)


def test_errors_of_server_and_network_are_one_line(server):
    server.status = 404
    assert '404' in refusal(fetch, server)
    unreachable = server.url
    server.stop()
    assert 'cannot reach' in refusal(fetch_weights, 'tiny', url=unreachable, report=str)
    assert files_in(weights_folder()) == [] and weights_state('tiny') == 'missing'
    for address in ('file:///etc/hostname', 'tiny.pth', ''):
        with pytest.raises(AvsolError):
            fetch_weights('tiny', url=address, report=str)
    assert 'http' in refusal(fetch_weights, 'tiny', url='ftp://x/y', report=str)
    assert 'vgg19' in refusal(fetch_weights, 'vgg91')


def test_a_place_that_cannot_be_written_is_one_line(server, tmp_path):
    (tmp_path / 'file').write_text('no folder')
    assert 'another folder' in refusal(fetch, server, folder=tmp_path / 'file' / 'weights')
    folder = tmp_path / 'readonly'
    folder.mkdir()
    folder.chmod(0o500)
    if not os.access(folder, os.W_OK):  # root writes everywhere
        assert 'Permission denied' in refusal(fetch, server, folder=folder)


def test_a_full_disk_is_one_line(server):
    weights_folder().mkdir()
    part_of(weights_folder() / 'tiny-1.pth').symlink_to('/dev/full')
    assert 'No space left' in refusal(fetch, server)
    assert 'tiny-1.pth' not in files_in(weights_folder())


def test_two_processes_fetch_once(server):
    server.hold = threading.Event()
    code = (
        'import sys; from avsol_ros.models import published_weights as weights\n'
        f'weights.PUBLISHED["tiny"] = weights.Published("tiny", "tiny-1.pth", {server.url!r}, '
        f'{SHA256!r}, "", {len(CONTENT)})\n'
        'weights.fetch_weights("tiny", report=lambda line: print(line, flush=True))'
    )
    environment = {**os.environ, 'PYTHONPATH': str(SOURCE)}

    def start():
        return subprocess.Popen(
            [sys.executable, '-c', code], stdout=subprocess.PIPE, text=True, env=environment
        )

    with start() as first:
        assert 'fetching' in first.stdout.readline() + first.stdout.readline()
        with start() as second:
            assert 'waiting' in second.stdout.readline() + second.stdout.readline()
            server.hold.set()
            assert 'is there' in second.communicate(timeout=PATIENCE_S)[0]
        assert first.wait(PATIENCE_S) == second.returncode == 0
    assert len(server.asked) == 1
    assert files_in(weights_folder()) == ['tiny-1.pth']
    assert (weights_folder() / 'tiny-1.pth').read_bytes() == CONTENT


def test_the_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv('AVSOL_WEIGHTS', '~/w')
    assert weights_folder() == Path.home() / 'w'
    monkeypatch.delenv('AVSOL_WEIGHTS')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert weights_folder() == tmp_path / 'avsol_ros' / 'weights'
    monkeypatch.setenv('XDG_CACHE_HOME', 'relative')
    assert weights_folder() == Path.home() / '.cache' / 'avsol_ros' / 'weights'


def test_what_is_published_is_well_formed():
    for name in ('vgg19', 'i3d', 'vggish'):
        published = PUBLISHED[name]
        assert published.name == name and published.url.startswith('https://')
        assert published.url.endswith('/' + published.file)
        assert re.fullmatch('[0-9a-f]{64}', published.sha256)
        # The digits that publishers put into a name.
        if digits := re.search('-([0-9a-f]{8})[.]', published.file):
            assert published.sha256.startswith(digits[1])


# ---------------------------------------------------------------- reading and loading


class OldPickler(pickle._Pickler):
    """
    Pickles tensors as PyTorch 0.3 did: `_rebuild_tensor`, storages on the GPU they were on.

    And as Python 2 did when asked to: texts are byte strings.
    """

    dispatch = dict(pickle._Pickler.dispatch)

    def __init__(self, file, storages, python=3):
        super().__init__(file, protocol=2)
        self.storages, self.python = storages, python

    def save_str(self, text):
        if self.python == 3:
            pickle._Pickler.save_str(self, text)
        else:
            self.write(pickle.SHORT_BINSTRING + bytes([len(text)]) + text.encode('ascii'))
            self.memoize(text)

    dispatch[str] = save_str

    def persistent_id(self, value):
        if isinstance(value, Storage):
            self.storages.append(value)
            return ('storage', torch.FloatStorage, value.key, 'cuda:0', value.values.numel(), None)
        return None

    def reducer_override(self, value):
        if isinstance(value, torch.Tensor):
            return torch._utils._rebuild_tensor, (
                Storage(str(id(value)), value.contiguous()),
                0,
                tuple(value.shape),
                value.contiguous().stride(),
            )
        return NotImplemented


class Storage:
    """What a storage is to ``OldPickler``."""

    def __init__(self, key, values):
        self.key, self.values = key, values


def save_as_pytorch_0_3(tensors, path, python=3):
    """Five pickles, then each storage: its length as int64 and its float32 values."""
    storages = []
    with open(path, 'wb') as file:
        for value in (
            0x1950A86A20F9469CFC6C,
            1001,
            {
                'protocol_version': 1001,
                'little_endian': True,
                'type_sizes': {'short': 2, 'int': 4, 'long': 4},
            },
            tensors,
        ):
            OldPickler(file, storages, python).dump(value)
        OldPickler(file, [], python).dump([storage.key for storage in storages])
        for storage in storages:
            file.write(struct.pack('<q', storage.values.numel()))
            file.write(storage.values.numpy().tobytes())


SAVERS = {
    'zip': torch.save,
    'legacy': lambda tensors, path: torch.save(
        tensors, path, _use_new_zipfile_serialization=False
    ),
    '0.3': save_as_pytorch_0_3,
    '0.3-python2': lambda tensors, path: save_as_pytorch_0_3(tensors, path, python=2),
    'safetensors': lambda tensors, path: save_file(dict(tensors), path),
}


@pytest.mark.parametrize('form', SAVERS)
@pytest.mark.parametrize('counted', [False, True])
def test_every_format_fills_the_encoder(form, counted, tmp_path):
    tensors = contents()
    if counted and not form.startswith('0.3'):
        tensors['features.1.num_batches_tracked'] = torch.tensor(7)
    SAVERS[form](tensors, tmp_path / 'file')
    encoder = Tiny()
    load_published(encoder, tmp_path / 'file')
    for key, value in encoder.state_dict().items():
        if not key.endswith('tracked'):
            torch.testing.assert_close(value, tensors[key], rtol=0, atol=0)
    assert all(value.is_contiguous() for value in encoder.state_dict().values())


@pytest.mark.parametrize(
    'changes, words',
    [
        ({'features.0.bias': None}, "has no 'features.0.bias'"),
        ({'head.weight': torch.zeros(2)}, "has 'head.weight'"),
        ({'classifier.bias': None}, "has no 'classifier.bias'"),  # not kept, and still asked for
        ({'classifier.weight': torch.zeros(5, 3)}, '(5, 3) float32, not (5, 4)'),
        ({'features.0.bias': torch.zeros(4, dtype=torch.float16)}, 'float16'),
        ({'features.0.bias': torch.tensor([0.0, 1, float('nan'), 0])}, 'not finite'),
        ({'features.0.bias': torch.zeros(4).to_sparse()}, 'features.0.bias'),
    ],
)
def test_a_file_that_does_not_fit_is_refused_and_changes_nothing(changes, words, tmp_path):
    tensors = contents(**changes)
    torch.save(OrderedDict((k, v) for k, v in tensors.items() if v is not None), tmp_path / 'f')
    encoder = Tiny()
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    text = refusal(load_published, encoder, tmp_path / 'f')
    assert words in text and 'tiny' in text and str(tmp_path / 'f') in text
    for key, value in encoder.state_dict().items():
        assert torch.equal(value, before[key])


def test_the_file_of_another_encoder_is_called_by_its_name(tmp_path, monkeypatch):
    class Other(Tiny):
        published = 'other'

        @classmethod
        def published_shapes(cls):
            return {'a': (1,)}

    torch.save(contents(), tmp_path / 'f')
    assert 'holds the tiny weights; expected the other' in refusal(
        load_published, Other(), tmp_path / 'f'
    )


class Attack:
    """Runs when it is unpickled by someone who lets it."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize('form', ['zip', 'legacy', 'bare'])
def test_no_code_of_a_file_runs(form, tmp_path):
    mark = tmp_path / 'ran'
    evil = {**contents(), 'evil': Attack(mark)}
    if form == 'bare':
        (tmp_path / 'f').write_bytes(pickle.dumps(evil))
    else:
        SAVERS[form](evil, tmp_path / 'f')
    refusal(read_published, tmp_path / 'f', 'tiny')
    assert not mark.exists()
    pickle.loads(pickle.dumps(evil['evil']))
    assert mark.exists()  # so it would have


@pytest.mark.parametrize(
    'held, words',
    [
        ([torch.zeros(1)], 'a list'),
        ({'state_dict': {}, 'epoch': 3}, 'other things'),
        (torch.zeros(1), 'a Tensor'),
    ],
)
def test_other_contents_are_refused(held, words, tmp_path):
    torch.save(held, tmp_path / 'f')
    assert words in refusal(read_published, tmp_path / 'f', 'tiny')


@pytest.mark.parametrize('form', SAVERS)
def test_truncated_and_altered_files_are_refused_or_read_but_never_crash(form, tmp_path):
    SAVERS[form](contents(), tmp_path / 'whole')
    whole = (tmp_path / 'whole').read_bytes()
    for size in range(0, len(whole) - 1, max(1, len(whole) // 23)):
        (tmp_path / 'f').write_bytes(whole[:size])
        assert str(tmp_path / 'f') in refusal(load_published, Tiny(), tmp_path / 'f')
    generator = torch.Generator().manual_seed(0)
    for place in torch.randint(min(len(whole), 2000), (40,), generator=generator).tolist():
        altered = bytearray(whole)
        altered[place] ^= 0xFF
        (tmp_path / 'f').write_bytes(altered)
        try:
            load_published(Tiny(), tmp_path / 'f')
        except AvsolError as error:
            assert '\n' not in str(error)


@pytest.mark.parametrize('data', [b'', b'<html>404</html>', b'version https://git-lfs.github.com'])
def test_what_is_no_weights_file_is_called_so(data, tmp_path):
    (tmp_path / 'f').write_bytes(data)
    assert 'neither' in refusal(read_published, tmp_path / 'f', 'tiny')


def test_a_missing_file_says_what_to_do(tmp_path):
    assert 'avsol weights get i3d' in refusal(find_weights, 'i3d')
    assert str(tmp_path / 'x') in refusal(find_weights, 'i3d', tmp_path / 'x')
    assert 'cannot read' in refusal(read_published, tmp_path, 'tiny')


def test_the_encoders_of_a_model_are_filled_by_name(tmp_path, monkeypatch):
    class Model(nn.Module):
        def __init__(self, audio):
            super().__init__()
            self.visual_encoder, self.audio_encoder = Tiny(), audio

    torch.save(contents(), tmp_path / 'f')
    for audio in (None, Encoder(), Tiny()):  # none; trained here; published
        model = Model(audio)
        load_encoders(model, {'tiny': tmp_path / 'f'})
        for encoder in (model.visual_encoder, audio):
            if isinstance(encoder, Tiny):
                assert torch.equal(encoder.features[0].weight, contents()['features.0.weight'])
    assert 'avsol weights get tiny' in refusal(load_encoders, Model(None))
    assert 'tinny' in refusal(load_encoders, Model(None), {'tinny': tmp_path / 'f'})
    assert 'as the i3d weights, which this model does not take; expected tiny' in refusal(
        load_encoders, Model(None), {'tiny': tmp_path / 'f', 'i3d': tmp_path / 'f'}
    )


def published_encoders():
    known = {**model_config.VISUAL_ENCODERS, **model_config.AUDIO_ENCODERS}
    return [name for name, encoder in known.items() if encoder.published]


@pytest.mark.parametrize('name', published_encoders())
def test_the_papers_encoders_take_a_file_of_their_published_shapes(name, tmp_path):
    encoder = {**model_config.VISUAL_ENCODERS, **model_config.AUDIO_ENCODERS}[name]()
    tensors = {
        key: torch.full((1,), float(number % 7)).expand(shape)  # one element in the file
        for number, (key, shape) in enumerate(encoder.published_shapes().items())
    }
    SAVERS['legacy'](tensors, tmp_path / 'f')
    load_published(encoder, tmp_path / 'f')
    kept = 0
    for key, value in encoder.state_dict().items():
        if not key.endswith('tracked'):
            kept += 1
            assert torch.equal(value, tensors[key]), key
    assert 0 < kept <= len(tensors)
    assert identify_weights(tmp_path / 'f') == (encoder.published, False)


# ---------------------------------------------------------------- the command line


def test_the_table_needs_no_torch_and_tells_what_is_here(capsys):
    weights_folder().mkdir()
    (weights_folder() / 'tiny-1.pth').write_bytes(CONTENT)
    (weights_folder() / 'rgb_imagenet.pt').write_bytes(b'?')
    assert main(['weights']) == 0
    table = capsys.readouterr().out
    for published in PUBLISHED.values():
        assert published.source in table and published.file in table
    for words in (
        'tiny-1.pth, 5.1 MB, verified',
        'rgb_imagenet.pt, 50.9 MB, damaged',
        'vggish-10086976.pth, missing',
    ):
        assert words in table
    code = (
        'import sys; from avsol_ros.cli import main; main(["weights"]); '
        'assert "torch" not in sys.modules'
    )
    subprocess.run(
        [sys.executable, '-c', code],
        check=True,
        capture_output=True,
        env={**os.environ, 'PYTHONPATH': str(SOURCE)},
    )


def test_get_fetches_and_check_identifies(server, capsys, tmp_path):
    assert (
        main(['weights', 'get', 'tiny', '--url', server.url, '--folder', str(tmp_path / 'here')])
        == 0
    )
    path = tmp_path / 'here' / 'tiny-1.pth'
    printed = capsys.readouterr().out
    assert path.read_bytes() == CONTENT and '\r' not in printed
    assert f'AVSOL_WEIGHTS={path.parent}' in printed
    torch.save(contents(), tmp_path / 'own.pt')
    assert main(['weights', 'check', str(path), str(tmp_path / 'own.pt')]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f'{path}: tiny, the published file (SHA-256)'
    assert 'tiny, by its keys and shapes' in lines[1]


def test_check_fails_with_a_line_for_each_wrong_file(capsys, tmp_path):
    torch.save({'a': torch.zeros(1)}, tmp_path / 'a.pt')
    (tmp_path / 'tiny-1.pth').write_bytes(CONTENT[1:])
    torch.save(contents(), tmp_path / 'right.pt')
    names = ('a.pt', 'tiny-1.pth', 'right.pt', 'none.pt')
    assert main(['weights', 'check', *(str(tmp_path / name) for name in names)]) == 1
    printed = capsys.readouterr()
    assert printed.err.count('\n') == 3 and printed.out.count('\n') == 1


def test_one_address_is_for_one_name(capsys):
    assert main(['weights', 'get', 'vgg19', 'i3d', '--url', 'https://x/y']) == 1
    assert 'expected one name' in capsys.readouterr().err


def test_a_bar_is_drawn_on_a_terminal_only(server, monkeypatch, capsys):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, 'stderr', Terminal())
    server.cut = 4_000_000
    with pytest.raises(AvsolError):
        fetch_through_command(server.url)
    assert re.search(r'\rtiny: +\d+%\|.*[\d.]+[kM] of 5\.\d+MB .*B/s', sys.stderr.getvalue())
    assert fetch_through_command(server.url) == 0
    said = capsys.readouterr().out
    assert 'continuing' in said and '\r' not in said


def fetch_through_command(url):
    from avsol_ros.cli import weights as command

    return command.main(['get', 'tiny', '--url', url])


def test_the_digest_of_a_changed_file_is_taken_again(tmp_path):
    path = tmp_path / 'f'
    for data in (b'one', b'other'):
        path.write_bytes(data)
        assert published_weights.file_digest(path) == hashlib.sha256(data).hexdigest()
