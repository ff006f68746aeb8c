"""
Messages without ROS: made from fields, decoded and encoded by their definitions.

A recording may bring the definitions of its types. Each definition gets types of its own, because
two packages called audio_common_msgs name different messages alike, and packages change over the
years. Where a recording brings none, the definitions here count, tried until one fits the bytes.
"""

import array
import difflib
import functools
import re
import struct

import numpy as np
from rosbags.interfaces import Nodetype
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.msg import normalize_msgtype

from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.share import share_folder

_SEPARATOR = '=' * 80 + '\n'
_IDL = re.compile(r'^\s*(?:=+\s*\nIDL:|#include|module\s+\w+)', re.MULTILINE)
_PREPROCESSOR = re.compile(r'^\s*#.*$', re.MULTILINE)
_CLOCKS = ('builtin_interfaces/msg/Time', 'builtin_interfaces/msg/Duration')
_NUMPY = {'bool': np.bool_, 'byte': np.uint8, 'char': np.uint8, 'octet': np.uint8}

SOUNDING_OBJECTS = 'avsol_ros/msg/SoundingObjects'
AUDIO_STAMPED = 'audio_common_msgs/msg/AudioStamped'

# vision_msgs of Humble and later. Of Galactic, the bytes are the same.
_VISION = {
    'vision_msgs/msg/Point2D': 'float64 x\nfloat64 y',
    'vision_msgs/msg/Pose2D': 'vision_msgs/Point2D position\nfloat64 theta',
    'vision_msgs/msg/BoundingBox2D':
        'vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y',
    'vision_msgs/msg/ObjectHypothesis': 'string class_id\nfloat64 score',
    'vision_msgs/msg/ObjectHypothesisWithPose':
        'vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose',
    'vision_msgs/msg/Detection2D':
        'std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n'
        'vision_msgs/BoundingBox2D bbox\nstring id',
    'vision_msgs/msg/Detection2DArray':
        'std_msgs/Header header\nvision_msgs/Detection2D[] detections',
}
# vision_msgs of Foxy.
_VISION_FOXY = {
    'vision_msgs/msg/BoundingBox2D':
        'geometry_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y',
    'vision_msgs/msg/ObjectHypothesisWithPose':
        'string id\nfloat64 score\ngeometry_msgs/PoseWithCovariance pose',
    'vision_msgs/msg/Detection2D':
        'std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n'
        'vision_msgs/BoundingBox2D bbox\nsensor_msgs/Image source_img\n'
        'bool is_tracking\nstring tracking_id',
    'vision_msgs/msg/Detection2DArray':
        'std_msgs/Header header\nvision_msgs/Detection2D[] detections',
}
# https://github.com/ros-drivers/audio_common
_AUDIO_DRIVERS = {
    'audio_common_msgs/msg/AudioData': 'uint8[] data',
    'audio_common_msgs/msg/AudioDataStamped':
        'std_msgs/Header header\naudio_common_msgs/AudioData audio',
    'audio_common_msgs/msg/AudioInfo':
        'uint8 channels\nuint32 sample_rate\nstring sample_format\nuint32 bitrate\n'
        'string coding_format',
}
# https://github.com/mgonzs13/audio_common
_AUDIO_MGONZS13 = {
    'audio_common_msgs/msg/AudioData':
        'float32[] float32_data\nint32[] int32_data\nint16[] int16_data\nint8[] int8_data\n'
        'uint8[] uint8_data',
    'audio_common_msgs/msg/AudioInfo': 'int32 format\nint32 channels\nint32 rate\nint32 chunk',
    'audio_common_msgs/msg/Audio':
        'audio_common_msgs/AudioData audio_data\naudio_common_msgs/AudioInfo info',
    'audio_common_msgs/msg/AudioStamped':
        'std_msgs/Header header\naudio_common_msgs/Audio audio',
}
# The same before int24_data was taken out.
_AUDIO_MGONZS13_INT24 = {
    **_AUDIO_MGONZS13,
    'audio_common_msgs/msg/AudioData':
        'float32[] float32_data\nint32[] int32_data\nint32[] int24_data\nint16[] int16_data\n'
        'int8[] int8_data\nuint8[] uint8_data',
}
# Recordings from before audio_missing was added.
_SOUNDING_OBJECTS_FIRST = {
    SOUNDING_OBJECTS:
        'std_msgs/Header header\nbuiltin_interfaces/Time window_start\n'
        'builtin_interfaces/Time window_end\nfloat32 avc_probability\nstring[] class_names\n'
        'float32[] class_scores\nvision_msgs/Detection2D[] detections',
}

# Each element of a fixed array becomes a line of code.
_LONGEST = 10_000

# The one default of these messages that is not zero: no turn.
_DEFAULTS = {('geometry_msgs/msg/Quaternion', 'w'): 1.0}

# Class of a message -> the types that it was made with.
_home = {}


def _sounding_objects() -> dict[str, str]:
    # The message's own source, so that there is no second truth.
    path = share_folder() / 'msg' / 'SoundingObjects.msg'
    try:
        return {SOUNDING_OBJECTS: path.read_text()}
    except OSError as error:
        raise AvsolError(f'{path} cannot be read ({error.strerror}); install the package '
                         'again') from error


def _register(store, definitions: dict):
    store.register(definitions)
    for kind in store.types.values():
        _home.setdefault(kind, store)
    return store


def _parse(texts: dict[str, str]) -> dict:
    types = {}
    for name, text in texts.items():
        types.update(get_types_from_msg(text, name))
    return types


@functools.cache
def _builtin(family: str):
    """Return the types of one family of packages, on top of those that come with ROS."""
    texts = {
        'drivers': lambda: _VISION | _sounding_objects() | _AUDIO_DRIVERS,
        'mgonzs13': lambda: _VISION | _sounding_objects() | _AUDIO_MGONZS13,
        'mgonzs13-int24': lambda: _AUDIO_MGONZS13_INT24,
        'foxy': lambda: _VISION_FOXY,
        'first': lambda: _VISION | _SOUNDING_OBJECTS_FIRST,
    }[family]()
    return _register(get_typestore(Stores.ROS2_HUMBLE), _parse(texts))


_FAMILIES = ('drivers', 'mgonzs13', 'mgonzs13-int24', 'foxy', 'first')


def ros_type(name: str) -> str:
    """Return the full name of a type: ``sensor_msgs/Image`` is ``sensor_msgs/msg/Image``."""
    return name if name.count('/') != 1 else normalize_msgtype(name)


@functools.lru_cache(maxsize=256)
def types_of(type_name: str, definition: str):
    """
    Return the types of a definition as recordings have it, ros2msg or ros2idl.

    Types that it uses and leaves out are those built in.

    :raises AvsolError: if it cannot be understood.
    """
    try:
        if _IDL.search(definition):
            types = {}
            parts = [part.partition('\n')[2] if part.startswith('IDL:') else part
                     for part in definition.split(_SEPARATOR)]
            for part in parts:
                part = _PREPROCESSOR.sub('', part)
                if part.strip():
                    types.update(get_types_from_idl(part))
        else:
            types = get_types_from_msg(definition.replace('\r\n', '\n'), type_name)
        if type_name not in types:
            raise AvsolError(f'it defines {", ".join(sorted(types)) or "nothing"}')
        _complete(types)
        store = _register(get_typestore(Stores.EMPTY), types)
        store.get_msgdef(type_name)  # makes its code, at which a type inside of itself fails
        return store
    except Exception as error:  # a parser of foreign text: whatever it stumbles over
        why = ' '.join(str(error).split()) or type(error).__name__
        raise AvsolError(f'the definition of {type_name} cannot be understood: {why}') from error


def _complete(types: dict) -> None:
    waiting = list(types)
    while waiting:
        for _, description in types[waiting.pop()][1]:
            kind, inner = description
            if kind in (Nodetype.ARRAY, Nodetype.SEQUENCE):
                (inside, name), length = inner
                if kind == Nodetype.ARRAY and length > _LONGEST and \
                        (inside == Nodetype.NAME or name[0] == 'string'):
                    raise AvsolError(f'it has an array of {length} messages')
                kind, inner = inside, name
            if kind == Nodetype.NAME and inner not in types:
                for family in _FAMILIES:
                    if inner in _builtin(family).fielddefs:
                        types[inner] = _builtin(family).fielddefs[inner]
                        waiting.append(inner)
                        break
                else:
                    raise AvsolError(f'it uses {inner} and does not say what that is')


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
        self._stores = []
        if definition.strip():
            try:
                self._stores = [types_of(type_name, definition)]
            except AvsolError as error:
                self.complaint = str(error)
        if not self._stores:
            names = sorted(_FAMILIES, key=lambda f: not f.startswith('mgonzs13')) if mgonzs13 \
                else _FAMILIES
            self._stores = self._distinct(_builtin(n) for n in names)

    def _distinct(self, stores):
        found = {}
        for store in stores:
            if self._type in store.fielddefs:
                found.setdefault(store.generate_msgdef(self._type, ros_version=2)[0], store)
        return list(found.values())

    def decode(self, raw):
        """
        Return a message: an object with the fields of the ROS message as attributes.

        Sequences of numbers are read-only numpy arrays that share memory with ``raw``.

        :param raw: bytes-like, CDR with its header of 4 bytes.
        :raises AvsolError: if no definition is known or none fits.
        """
        if not self._stores:
            raise AvsolError(
                f'{self.complaint or "the recording has no definition of " + self._type}'
                ' and none is built in')
        first = None
        for position, store in enumerate(self._stores):
            try:
                message = store.deserialize_cdr(memoryview(raw), self._type)
            except (SerdeError, AssertionError, IndexError, KeyError, OverflowError,
                    TypeError, ValueError, struct.error) as error:
                first = first or error
                continue
            if position:  # what fits goes first from now on
                self._stores.insert(0, self._stores.pop(position))
            return message
        why = ' '.join(str(first).split()) or type(first).__name__
        raise AvsolError(f'{len(raw)} bytes are no {self._type}: {why}')


def decode(raw, type_name: str, definition: str = ''):
    """Decode one message, as :class:`Decoder` does; for those outside recordings."""
    return _decoder(type_name, definition).decode(raw)


@functools.lru_cache(maxsize=64)
def _decoder(type_name, definition):
    return Decoder(type_name, definition)


def known_types(type_name: str):
    """Return built-in types that hold this one: ros-drivers' where both have it; else None."""
    for family in ('drivers', 'mgonzs13'):
        if type_name in _builtin(family).fielddefs:
            return _builtin(family)
    return None


def definition_of(type_name: str, types=None) -> tuple[str, str]:
    """
    Return the definition of a type with all that it uses, and its hash.

    :param types: from :func:`types_of`; those built in by default.
    :returns: text in the form ros2msg, and REP 2016's hash 'RIHS01_...'.
    """
    types = types or known_types(type_name)
    if types is None:
        raise AvsolError(f'{type_name} is not built in; give the text of its definition')
    return types.generate_msgdef(type_name, ros_version=2)[0], types.hash_rihs01(type_name)


def make_message(type_name: str, /, **fields):
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
        raise AvsolError(f'there is no built-in message {type_name!r}; expected a type of '
                         'common_interfaces, vision_msgs, audio_common_msgs or avsol_ros')
    return _build(types, type_name, fields, type_name)


def _build(types, type_name, value, where):
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
            raise AvsolError(f'{where} has no field {name!r}; ' + (
                f'did you mean {close[0]!r}?' if close else f'there are {", ".join(names)}'))
    return kind(*(_value(types, description,
                         value.get(name, _DEFAULTS.get((type_name, name))),
                         f'{where}.{name}')
                  for name, description in descriptions))


def _value(types, description, value, where):
    kind, inner = description
    if kind == Nodetype.NAME:
        return _build(types, inner, {} if value is None else value, where)
    if kind == Nodetype.BASE:
        return _scalar(inner[0], value, where)
    (kind_inside, inside), length = inner
    fixed = length if kind == Nodetype.ARRAY else 0
    if kind_inside == Nodetype.BASE and inside[0] not in ('string', 'wstring'):
        return _numbers(inside[0], value, fixed, where)
    if value is None:
        value = [{} if kind_inside == Nodetype.NAME else ''] * fixed
    if isinstance(value, (str, bytes, dict)) or not hasattr(value, '__iter__'):
        raise AvsolError(f'{where} is {_shortly(value)}; expected a sequence')
    values = [_value(types, (kind_inside, inside), item, f'{where}[{index}]')
              for index, item in enumerate(value)]
    if fixed and len(values) != fixed:
        raise AvsolError(f'{where} has {len(values)} elements; expected {fixed}')
    return values


def _scalar(name, value, where):
    expected = str if name in ('string', 'wstring') else bool if name == 'bool' else \
        float if name.startswith('float') else int
    if value is None:
        return expected()
    if expected is str and isinstance(value, str):
        return value
    if expected is not str and isinstance(value, (int, float, np.number, np.bool_)):
        if expected is float:
            return float(value)
        if np.isfinite(value) and value == int(value):
            limits = (0, 1) if expected is bool else _limits(name)
            if limits[0] <= value <= limits[1]:
                return expected(value)
    raise AvsolError(f'{where} is {_shortly(value)}; expected {name}')


def _limits(name):
    limits = np.iinfo(_NUMPY.get(name) or name)
    return limits.min, limits.max


def _numbers(name, value, fixed, where):
    dtype = np.dtype(_NUMPY.get(name) or name)
    if value is None:
        return np.zeros(fixed, dtype)
    try:
        if isinstance(value, (bytes, bytearray, memoryview, array.array)):
            values = np.frombuffer(value, dtype) if not isinstance(value, array.array) \
                else np.asarray(value)
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
    if fixed and len(values) != fixed:
        raise AvsolError(f'{where} has {len(values)} elements; expected {fixed}')
    return values


def _shortly(value) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'


def serialize(message, types=None) -> memoryview:
    """
    Encode a message as CDR, little-endian.

    :param message: from :func:`make_message` or decoded.
    :param types: what to encode it with; those that it was made with by default.
    """
    name = getattr(message, '__msgtype__', None)
    types = types or _home.get(type(message))
    if name is None or types is None:
        raise AvsolError(f'cannot encode {_shortly(message)}; expected a message of make_message '
                         'or one that a bag decoded')
    try:
        return types.serialize_cdr(message, name, little_endian=True)
    except (SerdeError, AssertionError, AttributeError, IndexError, TypeError, ValueError,
            struct.error) as error:
        raise AvsolError(f'the {name} cannot be encoded: {error}') from error


def encode(message) -> bytes:
    """Encode a message as CDR, little-endian, with the header of 4 bytes."""
    return bytes(serialize(message))
