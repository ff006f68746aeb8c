"""
Reading pickled NumPy arrays without NumPy's or anybody's code being called by the file.

Files of ``numpy.save`` that hold objects are pickles, which may call anything. This reads those
that hold named arrays of numbers. A pickle makes an array by calling names in numpy; here three of
these names stand for classes of this module, which only note what they are given. Any other name
ends the reading.

A small file must not fill the memory either. So it may have few steps, and no object, nor the
bytes of an array, may be used twice: each use would be a copy.
"""

import io
import math
import pickle
import pickletools
from typing import Any

import numpy as np

_TYPES = {'f2', 'f4', 'f8', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8'}
_OBJECTS = 'O8'
_MOST_STEPS = 100_000  # of a pickle; that of SoundNet has about a thousand
_MOST_SIDES = 32  # of an array
_LONGEST_SIDE = 1 << 40


class _Type:
    """What a pickle says of the type of an array's values."""

    def __init__(self, name: Any = None, *_: Any):
        self.name = _text(name)
        self.order = '='

    def __setstate__(self, state: Any) -> None:
        self.order = _text(state[1])

    def numpy(self) -> np.dtype:
        if self.name not in _TYPES or self.order not in ('<', '>', '|', '='):
            raise pickle.UnpicklingError(f'it has values of type {self.name!r}')
        return np.dtype(self.order + self.name)


class _Array:
    """What a pickle says of an array."""

    def __init__(self, *_: Any):
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def value(self, used: set[int]) -> Any:
        """The array; or the one object of an array of shape () of objects."""
        _, shape, kind, backwards, data = self.state
        if not isinstance(kind, _Type):
            raise pickle.UnpicklingError('it has an array without a type')
        if kind.name == _OBJECTS and shape == () and isinstance(data, list) and len(data) == 1:
            return data[0]
        numbers = kind.numpy()
        if not _is_shape(shape):  # a product with a list would be a long list
            raise pickle.UnpicklingError('it has an array without a shape')
        if not isinstance(data, bytes) or len(data) != math.prod(shape) * numbers.itemsize:
            raise pickle.UnpicklingError(f'an array of shape {shape} has other values')
        if len(data) > 1:  # shorter ones are the same object wherever they are written
            _use(data, used)
        values = np.frombuffer(data, numbers).astype(numbers.newbyteorder('='))
        return values.reshape(shape, order='F' if backwards else 'C')


_STAND_INS: dict[tuple[str, str], Any] = {
    ('numpy.core.multiarray', '_reconstruct'): _Array,
    ('numpy._core.multiarray', '_reconstruct'): _Array,
    ('numpy', 'ndarray'): 'ndarray',  # handed over by every array, and never called
    ('numpy', 'dtype'): _Type,
}


class _Reader(pickle.Unpickler):
    """Knows nothing but the names of arrays of numbers."""

    def find_class(self, module: str, name: str) -> Any:
        """Stand-ins that cannot be turned into anything else by what follows in the file."""
        if (module, name) not in _STAND_INS:
            raise pickle.UnpicklingError(f'it asks for {module}.{name}')
        return _STAND_INS[module, name]


def _text(value: Any) -> str:
    if not isinstance(value, (bytes, str)):
        raise pickle.UnpicklingError(f'it has a {type(value).__name__} in place of a text')
    return value.decode('latin1') if isinstance(value, bytes) else value


def _is_shape(shape: Any) -> bool:
    return (
        isinstance(shape, tuple)
        and len(shape) <= _MOST_SIDES
        and all(type(side) is int and 0 <= side <= _LONGEST_SIDE for side in shape)
    )


def _use(value: Any, used: set[int]) -> None:
    """Note that an object is used, once."""
    if id(value) in used:
        raise pickle.UnpicklingError('it uses one value twice')
    used.add(id(value))


def _plain(value: Any, used: set[int], depth: int = 0) -> Any:
    """
    Dictionaries and arrays; anything else is refused.

    :param used: ids of what was used before.
    """
    if isinstance(value, (_Array, dict)):
        _use(value, used)
    if isinstance(value, _Array):
        value = value.value(used)
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, dict) and depth < 4:
        if all(isinstance(key, (str, bytes)) for key in value):
            return {_text(key): _plain(held, used, depth + 1) for key, held in value.items()}
    raise pickle.UnpicklingError(f'it holds a {type(value).__name__}')


def _check_steps(file: io.BytesIO) -> None:
    """
    See that a pickle, from here on, has few steps.

    A place in the memo counts as a step: the reader makes room for all places before it.
    """
    begin = file.tell()
    for number, (step, argument, _) in enumerate(pickletools.genops(file)):
        place = argument if step.name.endswith('PUT') and argument is not None else 0
        if max(number, place) >= _MOST_STEPS:
            raise pickle.UnpicklingError(f'it has more than {_MOST_STEPS} steps')
    file.seek(begin)


def read_arrays(data: bytes) -> dict[str, Any]:
    """
    Read a file of ``numpy.save`` that holds one dictionary of arrays, or of such dictionaries.

    It takes a few times as much memory as the file, whatever that asks for.

    :param data: the whole file; of Python 2 or 3.
    :returns: text to array, or to another dictionary.
    :raises ValueError: for anything else, with the reason.
    """
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read_header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, kind = read_header(file)
        if (shape, kind) != ((), np.dtype(object)):
            raise ValueError(f'it holds an array of shape {shape} of {kind}, no dictionary')
        _check_steps(file)
        found = _plain(_Reader(file, encoding='bytes').load(), set())
    except Exception as error:  # a damaged file fails in as many ways as it has bytes
        reason = next(iter(str(error).splitlines()), '') or type(error).__name__
        raise ValueError(reason) from None
    if not isinstance(found, dict):
        raise ValueError('it holds an array, no dictionary')
    return found
