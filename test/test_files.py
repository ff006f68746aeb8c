"""Files are whole or not there, whatever goes wrong while they are written."""

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from avsol_ros import files
from avsol_ros.errors import AvsolError
from avsol_ros.files import (
    AtomicPath,
    CannotWrite,
    StagedFolder,
    remove_leftovers,
    write_bytes,
    write_text,
)

OLD, NEW = b'old', b'new and longer'


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def failing(error):
    def fail(*_, **__):
        raise error

    return fail


def no_space(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def calls(monkeypatch):
    """Record the calls that decide what a power cut leaves, in their order."""
    made = []

    def record(name, describe):
        real = getattr(os, name)

        def call(*given):
            made.append((name, *describe(*given)))
            return real(*given)

        monkeypatch.setattr(files.os, name, call)

    record('fsync', lambda descriptor: [Path(os.readlink(f'/proc/self/fd/{descriptor}')).name])
    record('replace', lambda source, place: [Path(source).name, Path(place).name])
    return made


def test_content_is_on_the_disk_before_it_has_its_name_and_the_name_after(tmp_path, calls):
    write_text(tmp_path / 'a.txt', 'ä\n')
    part = f'.a.txt.{os.getpid()}.part'
    assert calls == [('fsync', part), ('replace', part, 'a.txt'), ('fsync', tmp_path.name)]
    assert (tmp_path / 'a.txt').read_bytes() == 'ä\n'.encode()


def test_a_folder_is_on_the_disk_with_all_that_is_in_it(tmp_path, calls):
    with AtomicPath(tmp_path / 'made' / 'set') as part:
        (part / 'inner').mkdir(parents=True)
        (part / 'inner' / 'file').write_bytes(NEW)
        (part / 'link').symlink_to('/nowhere')
    kinds = [kind for kind, *_ in calls]
    renamed = kinds.index('replace')
    assert kinds == ['fsync'] * renamed + ['replace', 'fsync']
    assert {name for _, name in calls[:renamed]} == {'file', 'inner', part.name}
    assert calls[-1] == ('fsync', 'made')
    assert (tmp_path / 'made' / 'set' / 'inner' / 'file').read_bytes() == NEW
    assert names(tmp_path / 'made') == ['set']


def test_the_mode_is_that_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / 'file', NEW)
        with AtomicPath(tmp_path / 'folder') as part:
            part.mkdir()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / 'file').stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / 'folder').stat().st_mode) == 0o750


def test_what_a_link_points_to_is_replaced(tmp_path):
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'link').symlink_to('elsewhere/file')
    for content in (OLD, NEW):  # at first it points to nothing
        write_bytes(tmp_path / 'link', content)
        assert (tmp_path / 'link').is_symlink()
        assert (tmp_path / 'elsewhere' / 'file').read_bytes() == content
    assert names(tmp_path / 'elsewhere') == ['file']


def test_the_same_content_is_left_alone(tmp_path):
    path = write_bytes(tmp_path / 'a', OLD)
    os.utime(path, ns=(1, 1))
    write_bytes(path, OLD, keep_same=True)
    assert path.stat().st_mtime_ns == 1
    write_bytes(path, NEW, keep_same=True)
    assert path.read_bytes() == NEW and path.stat().st_mtime_ns != 1


FAULTS = {
    'the write': (Path, 'write_bytes'),
    'the fsync': (files.os, 'fsync'),
    'the rename': (files.os, 'replace'),
}


@pytest.mark.parametrize('fault', FAULTS)
@pytest.mark.parametrize(
    'error', [OSError(errno.EIO, 'Input/output error'), KeyboardInterrupt(), MemoryError()]
)
@pytest.mark.parametrize('before', [None, OLD])
def test_an_error_leaves_the_old_file_and_nothing_else(
    tmp_path, monkeypatch, fault, error, before
):
    path = tmp_path / 'a'
    if before:
        path.write_bytes(before)
    with monkeypatch.context() as patch:
        patch.setattr(*FAULTS[fault], failing(error))
        with pytest.raises(CannotWrite if isinstance(error, OSError) else type(error)) as caught:
            write_bytes(path, NEW)
    if isinstance(error, OSError):
        assert str(caught.value) == (
            f'cannot write {path} (Input/output error); make room or choose another folder'
        )
    assert names(tmp_path) == (['a'] if before else [])
    assert not before or path.read_bytes() == before


@pytest.mark.parametrize('fault', FAULTS)
def test_an_error_leaves_nothing_of_a_folder(tmp_path, monkeypatch, fault):
    with monkeypatch.context() as patch:
        patch.setattr(*FAULTS[fault], no_space)
        with pytest.raises(CannotWrite, match='No space left on device'):
            with AtomicPath(tmp_path / 'set') as part:
                part.mkdir()
                (part / 'file').write_bytes(NEW)
    assert names(tmp_path) == []


def test_a_full_disk(tmp_path):
    """A real one, as far as the kernel is concerned: a limit to the size of files."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        with pytest.raises(CannotWrite, match='File too large'):
            write_bytes(tmp_path / 'a', bytes(1 << 17))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert names(tmp_path) == []


def test_other_errors_of_the_block_are_raised_as_they_are(tmp_path):
    with pytest.raises(ZeroDivisionError):
        with AtomicPath(tmp_path / 'a') as part:
            part.write_bytes(NEW)
            raise ZeroDivisionError
    with pytest.raises(AvsolError, match='^mine$'):
        with AtomicPath(tmp_path / 'a') as part:
            part.write_bytes(NEW)
            raise AvsolError('mine')
    assert names(tmp_path) == []


@pytest.mark.parametrize('content', ['file', 'folder'])
def test_what_cannot_be_cleaned_up_hides_no_error(tmp_path, monkeypatch, content):
    def read_only(*_, **__):
        raise OSError(errno.EROFS, 'Read-only file system')

    with monkeypatch.context() as patch:
        for name in ('unlink', 'rmdir'):
            patch.setattr(files.os, name, read_only)
        patch.setattr(Path, 'unlink', read_only)
        patch.setattr(files.os, 'replace', no_space)
        with pytest.raises(CannotWrite, match='No space left on device'):
            with AtomicPath(tmp_path / 'a') as part:
                (part.touch if content == 'file' else part.mkdir)()
    assert names(tmp_path) == [part.name]


@pytest.mark.parametrize('number', [errno.EACCES, errno.EROFS])
def test_a_folder_in_which_nothing_may_be_written_gives_one_line(tmp_path, monkeypatch, number):
    monkeypatch.setattr(
        Path, 'write_bytes', failing(OSError(number, os.strerror(number)))
    )  # root may write anywhere
    with pytest.raises(CannotWrite) as caught:
        write_text(tmp_path / 'a', 'text', 'choose another with --out')
    assert str(caught.value) == (
        f'cannot write {tmp_path / "a"} ({os.strerror(number)}); choose another with --out'
    )


def test_a_file_in_the_place_of_the_folder_gives_one_line(tmp_path):
    (tmp_path / 'file').touch()
    for path in (tmp_path / 'file' / 'a', tmp_path / 'file' / 'b' / 'a'):
        with pytest.raises(CannotWrite, match='cannot write .*Not a directory'):
            write_bytes(path, NEW)
    with pytest.raises(CannotWrite, match='cannot write into .*Not a directory'):
        with StagedFolder(tmp_path / 'file'):
            pass


@pytest.mark.parametrize('number', [errno.EINVAL, errno.ENOTSUP])
def test_file_systems_that_cannot_synchronize_can_be_written_to(tmp_path, monkeypatch, number):
    monkeypatch.setattr(files.os, 'fsync', failing(OSError(number, os.strerror(number))))
    assert write_bytes(tmp_path / 'a', NEW).read_bytes() == NEW


WRITE_AND_WAIT = """
import sys
from avsol_ros.files import AtomicPath, StagedFolder
with StagedFolder(sys.argv[1]) as staged, AtomicPath(sys.argv[2]) as part:
    part.write_bytes(b'half')
    (staged.part / 'file').write_bytes(b'half')
    print(part.name, staged.part.name, flush=True)
    sys.stdin.read()
"""


def test_a_kill_leaves_the_old_file_and_a_part_that_is_cleaned_up(tmp_path):
    path = write_bytes(tmp_path / 'a', OLD)
    child = subprocess.Popen(
        [sys.executable, '-c', WRITE_AND_WAIT, tmp_path, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        parts = child.stdout.readline().split()
        assert names(tmp_path) == sorted(['a', *parts])
        remove_leftovers(tmp_path)  # it still runs
        assert names(tmp_path) == sorted(['a', *parts])
    finally:
        child.kill()
        child.communicate()
    assert path.read_bytes() == OLD
    remove_leftovers(tmp_path, 'b')
    assert names(tmp_path) == sorted(['a', *parts])
    remove_leftovers(tmp_path, 'a')
    assert names(tmp_path) == ['.staged' + parts[1].removeprefix('.staged'), 'a']
    remove_leftovers(tmp_path)
    assert names(tmp_path) == ['a']


def test_who_holds_the_lock_cleans_up_all(tmp_path):
    mine = tmp_path / f'.a.{os.getpid()}.part'
    mine.touch()
    other = tmp_path / '.b.part'  # no process id: of another program
    other.touch()
    remove_leftovers(tmp_path)
    assert mine.exists()
    remove_leftovers(tmp_path, locked=True)
    assert names(tmp_path) == [other.name]
    remove_leftovers(tmp_path / 'nowhere')


def test_a_part_that_a_dead_process_of_the_same_id_left_is_in_nobodys_way(tmp_path):
    (tmp_path / f'.a.{os.getpid()}.part').mkdir()
    write_bytes(tmp_path / 'a', NEW)
    assert names(tmp_path) == ['a']


# Several files that belong together.


def stage(folder, content):
    with StagedFolder(folder) as staged:
        (staged.part / 'file').write_bytes(content)
        (staged.part / 'bag').mkdir()
        (staged.part / 'bag' / content.decode()).touch()
        return staged.commit()


def test_files_are_moved_over_those_of_an_earlier_run(tmp_path, calls):
    (tmp_path / 'other').touch()
    for content in (OLD, NEW):
        calls.clear()
        assert stage(tmp_path, content) == [tmp_path / 'bag', tmp_path / 'file']
        kinds = [kind for kind, *_ in calls]
        renamed = kinds.index('replace')
        assert kinds == ['fsync'] * renamed + ['replace'] * 2 + ['fsync']
        assert {name for _, name in calls[:renamed]} >= {'file', 'bag', content.decode()}
    assert names(tmp_path) == ['bag', 'file', 'other']
    assert names(tmp_path / 'bag') == [NEW.decode()]


def test_what_is_not_committed_is_gone(tmp_path):
    with StagedFolder(tmp_path) as staged:
        (staged.part / 'file').write_bytes(NEW)
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_moved_leaves_the_old_one(tmp_path, monkeypatch):
    stage(tmp_path, OLD)
    monkeypatch.setattr(files.os, 'replace', no_space)
    with pytest.raises(CannotWrite, match='cannot write into .*No space left'):
        stage(tmp_path, NEW)
    assert names(tmp_path) == ['bag', 'file']
    assert names(tmp_path / 'bag') == [OLD.decode()]


def test_a_staged_folder_reports_a_full_disk_in_one_line(tmp_path):
    with pytest.raises(CannotWrite, match='cannot write into .*No space left.*make room'):
        with StagedFolder(tmp_path / 'new'):
            no_space()
    assert names(tmp_path / 'new') == []
