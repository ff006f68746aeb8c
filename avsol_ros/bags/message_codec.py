"""
Messages without ROS: made from fields, decoded and encoded by their definitions.

Where a recording brings no definitions, those built in are tried until one fits the bytes.
"""

import difflib
import functools
import struct
from collections.abc import Iterable, Sized
from typing import TYPE_CHECKING, Any

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.serde import SerdeError
from rosbags.typesys.store import Typestore

from avsol_ros.bags.type_definitions import FAMILIES, home_types, known_types, ros_type, types_of
from avsol_ros.bags.type_definitions import builtin_types as _builtin
from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError

if TYPE_CHECKING:
    from rosbags.interfaces.typing import FieldDesc

_CLOCKS = ('builtin_interfaces/msg/Time', 'builtin_interfaces/msg/Duration')
_TEXTS = ('string', 'wstring')
_NUMPY = {'bool': np.bool_, 'byte': np.uint8, 'char': np.uint8, 'octet': np.uint8}
# The one default of these messages that is not zero: no turn.
_DEFAULTS = {('geometry_msgs/msg/Quaternion', 'w'): 1.0}


class Decoder:
    """
    Decodes the messages of one topic.

    :param definition: text from the recording; '' if it has none.
    :param mgonzs13: whether mgonzs13's audio_common_msgs are likelier than ros-drivers'.
    """

    def __init__(self, type_name: str, definition: str = '', mgonzs13: bool = False):
        self._type = type_name
        #: Why the recording's definition could not be used; '' if it could, or there is none.
        self.complaint = ''
        self._stores: list[Typestore] = []
        if definition.strip():
            try:
                self._stores = [types_of(type_name, definition)]
            except AvsolError as error:
                self.complaint = str(error)
        if not self._stores:
            names = (
                sorted(FAMILIES, key=lambda f: not f.startswith('mgonzs13'))
                if mgonzs13
                else FAMILIES
            )
            self._stores = self._distinct(_builtin(n) for n in names)

    def _distinct(self, stores: Iterable[Typestore]) -> list[Typestore]:
        found: dict[str, Typestore] = {}
        for store in stores:
            if self._type in store.fielddefs:
                found.setdefault(store.generate_msgdef(self._type, ros_version=2)[0], store)
        return list(found.values())

    def decode(self, raw: bytes | memoryview) -> Any:
        """
        Return a message: an object with the fields of the ROS message as attributes.

        Sequences of numbers are read-only numpy arrays that share memory with ``raw``.

        :param raw: bytes-like, CDR with its header of 4 bytes.
        :raises AvsolError: if no definition is known or none fits.
        """
        if not self._stores:
            raise AvsolError(
                f'{self.complaint or "the recording has no definition of " + self._type}'
                ' and none is built in'
            )
        first = None
        for position, store in enumerate(self._stores):
            try:
                message = store.deserialize_cdr(memoryview(raw), self._type)
            except (
                SerdeError,
                AssertionError,
                IndexError,
                KeyError,
                OverflowError,
                TypeError,
                ValueError,
                struct.error,
            ) as error:
                first = first or error
                continue
            if position:  # what fits goes first from now on
                self._stores.insert(0, self._stores.pop(position))
            return message
        why = ' '.join(str(first).split()) or type(first).__name__
        raise AvsolError(f'{len(raw)} bytes are no {self._type}: {why}')


def decode(raw: bytes | memoryview, type_name: str, definition: str = '') -> Any:
    """Decode one message, as :class:`Decoder` does; for those outside recordings."""
    return _decoder(type_name, definition).decode(raw)


@functools.lru_cache(maxsize=64)
def _decoder(type_name: str, definition: str) -> Decoder:
    return Decoder(type_name, definition)


def make_message(type_name: str, /, **fields: object) -> Any:
    """
    Make a message of a built-in type: those of ROS, vision_msgs, audio_common_msgs and our own.

    :param fields: values by name; parts of a message as dicts or messages, a time also as integer
        nanoseconds, sequences of numbers also as bytes or array. What is left out is zero or
        empty, as in ROS.
    :raises AvsolError: for an unknown type or field, or a value that does not fit.
    """
    type_name = ros_type(type_name)
    types = known_types(type_name)
    if types is None:
        raise AvsolError(
            f'there is no built-in message {type_name!r}; expected a type of '
            'common_interfaces, vision_msgs, audio_common_msgs or avsol_ros'
        )
    return _build(types, type_name, fields, type_name)


def _build(types: Typestore, type_name: str, value: object, where: str) -> Any:
    kind = types.types[type_name]
    if getattr(value, '__msgtype__', None) == type_name:
        return value
    if type_name in _CLOCKS and isinstance(value, (int, np.integer)):
        seconds, nanoseconds = divmod(int(value), NANOSECONDS)
        return kind(seconds, nanoseconds)
    if not isinstance(value, dict):
        raise AvsolError(f'{where} is {_shortly(value)}; expected a dict or a {type_name}')
    descriptions = types.get_msgdef(type_name).fields
    names = [name for name, _ in descriptions]
    for name in value:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            raise AvsolError(
                f'{where} has no field {name!r}; '
                + (f'did you mean {close[0]!r}?' if close else f'there are {", ".join(names)}')
            )
    return kind(
        *(
            _value(
                types,
                description,
                value.get(name, _DEFAULTS.get((type_name, name))),
                f'{where}.{name}',
            )
            for name, description in descriptions
        )
    )


def _value(types: Typestore, description: 'FieldDesc', value: object, where: str) -> Any:
    if description[0] is Nodetype.NAME:
        return _build(types, description[1], {} if value is None else value, where)
    if description[0] is Nodetype.BASE:
        return _scalar(description[1][0], value, where)
    element, length = description[1]
    fixed = length if description[0] is Nodetype.ARRAY else 0
    return _sequence(types, element, fixed, value, where)


def _sequence(
    types: Typestore, element: 'FieldDesc', fixed: int, value: object, where: str
) -> Any:
    """
    Make the value of an array or a sequence.

    :param element: description of its elements.
    :param fixed: how many there must be; 0 for any number.
    """
    if element[0] is Nodetype.BASE and element[1][0] not in _TEXTS:
        return _numbers(element[1][0], value, fixed, where)
    if value is None:
        value = [{} if element[0] is Nodetype.NAME else ''] * fixed
    if isinstance(value, (str, bytes, dict)) or not isinstance(value, Iterable):
        raise AvsolError(f'{where} is {_shortly(value)}; expected a sequence')
    values = [
        _value(types, element, item, f'{where}[{index}]') for index, item in enumerate(value)
    ]
    _check_length(values, fixed, where)
    return values


def _check_length(values: Sized, fixed: int, where: str) -> None:
    if fixed and len(values) != fixed:
        raise AvsolError(f'{where} has {len(values)} elements; expected {fixed}')


def _scalar(name: str, value: object, where: str) -> Any:
    kind = _python_type(name)
    if value is None:
        return kind()
    if kind is str and isinstance(value, str):
        return value
    if kind is not str and isinstance(value, (int, float, np.number, np.bool_)):
        if kind is float:
            return float(value)
        if np.isfinite(value) and value == int(value):
            low, high = (0, 1) if kind is bool else _limits(name)
            if low <= value <= high:
                return kind(value)
    raise AvsolError(f'{where} is {_shortly(value)}; expected {name}')


def _python_type(name: str) -> type[str] | type[bool] | type[float] | type[int]:
    """Type of the Python value of a basic ROS type."""
    if name in _TEXTS:
        return str
    if name == 'bool':
        return bool
    return float if name.startswith('float') else int


def _limits(name: str) -> tuple[int, int]:
    limits = np.iinfo(_NUMPY.get(name) or name)
    return limits.min, limits.max


def _numbers(name: str, value: object, fixed: int, where: str) -> np.ndarray:
    dtype = np.dtype(_NUMPY.get(name) or name)
    if value is None:
        return np.zeros(fixed, dtype)
    try:
        if isinstance(value, (bytes, bytearray, memoryview)):
            values = np.frombuffer(value, dtype)
        else:
            values = np.asarray(value)
        if values.dtype != dtype:
            converted = values.astype(dtype)
            if dtype.kind != 'f' and not np.array_equal(converted, values):
                raise ValueError(f'not all fit into {name}')
            values = converted
        values = np.ascontiguousarray(values).reshape(-1)
    except (TypeError, ValueError, OverflowError) as error:
        raise AvsolError(f'{where} is {_shortly(value)}; expected {name}[]: {error}') from error
    _check_length(values, fixed, where)
    return values


def _shortly(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'


def serialize(message: object, types: Typestore | None = None) -> memoryview:
    """
    Encode a message as CDR, little-endian.

    :param message: from :func:`make_message` or decoded.
    :param types: what to encode it with; those that it was made with by default.
    """
    name = getattr(message, '__msgtype__', None)
    types = types or home_types(type(message))
    if name is None or types is None:
        raise AvsolError(
            f'cannot encode {_shortly(message)}; expected a message of make_message '
            'or one that a bag decoded'
        )
    try:
        return types.serialize_cdr(message, name, little_endian=True)
    except (
        SerdeError,
        AssertionError,
        AttributeError,
        IndexError,
        TypeError,
        ValueError,
        struct.error,
    ) as error:
        raise AvsolError(f'the {name} cannot be encoded: {error}') from error


def encode(message: object) -> bytes:
    """Encode a message as CDR, little-endian, with the header of 4 bytes."""
    return bytes(serialize(message))
