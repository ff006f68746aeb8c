"""
Types of messages, from the definitions in recordings or from those built in.

Each definition gets types of its own: two packages called audio_common_msgs have different
messages of the same name, and packages change over the years.
"""

import functools
import re
from typing import TYPE_CHECKING

from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.msg import normalize_msgtype
from rosbags.typesys.store import Typestore

from avsol_ros.errors import AvsolError
from avsol_ros.share import share_folder

if TYPE_CHECKING:
    from rosbags.interfaces.typing import Constdefs, Fielddefs, FieldDesc, Typesdict

_SEPARATOR = '=' * 80 + '\n'
_IDL = re.compile(r'^\s*(?:=+\s*\nIDL:|#include|module\s+\w+)', re.MULTILINE)
_PREPROCESSOR = re.compile(r'^\s*#.*$', re.MULTILINE)

SOUNDING_OBJECTS = 'avsol_ros/msg/SoundingObjects'
AUDIO_STAMPED = 'audio_common_msgs/msg/AudioStamped'

# vision_msgs of Humble and later. Of Galactic, the bytes are the same.
# fmt: off
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
# fmt: on
# The same before int24_data was taken out.
_AUDIO_MGONZS13_INT24 = {
    **_AUDIO_MGONZS13,
    'audio_common_msgs/msg/AudioData': 'float32[] float32_data\nint32[] int32_data\nint32[] '
    'int24_data\nint16[] int16_data\n'
    'int8[] int8_data\nuint8[] uint8_data',
}
# Recordings from before audio_missing was added.
_SOUNDING_OBJECTS_FIRST = {
    SOUNDING_OBJECTS: 'std_msgs/Header header\nbuiltin_interfaces/Time window_start\n'
    'builtin_interfaces/Time window_end\nfloat32 avc_probability\nstring[] class_names\n'
    'float32[] class_scores\nvision_msgs/Detection2D[] detections',
}

# rosbags makes one line of code of each element of a fixed array.
_LONGEST = 10_000

# Class of a message -> the types that it was made with.
_home: dict[type, Typestore] = {}


def _sounding_objects() -> dict[str, str]:
    # Read from the message's own source, so that the two cannot differ.
    path = share_folder() / 'msg' / 'SoundingObjects.msg'
    try:
        return {SOUNDING_OBJECTS: path.read_text()}
    except OSError as error:
        raise AvsolError(
            f'{path} cannot be read ({error.strerror}); install the package again'
        ) from error


def _register(store: Typestore, definitions: 'Typesdict') -> Typestore:
    store.register(definitions)
    for kind in store.types.values():
        _home.setdefault(kind, store)
    return store


def _parse(texts: dict[str, str]) -> 'Typesdict':
    types: Typesdict = {}
    for name, text in texts.items():
        types.update(get_types_from_msg(text, name))
    return types


#: Sets of packages that go together, the likeliest first.
FAMILIES = ('drivers', 'mgonzs13', 'mgonzs13-int24', 'foxy', 'first')


@functools.cache
def builtin_types(family: str) -> Typestore:
    """Return the types of one of FAMILIES, on top of those that come with ROS."""
    texts = {
        'drivers': lambda: _VISION | _sounding_objects() | _AUDIO_DRIVERS,
        'mgonzs13': lambda: _VISION | _sounding_objects() | _AUDIO_MGONZS13,
        'mgonzs13-int24': lambda: _AUDIO_MGONZS13_INT24,
        'foxy': lambda: _VISION_FOXY,
        'first': lambda: _VISION | _SOUNDING_OBJECTS_FIRST,
    }[family]()
    return _register(get_typestore(Stores.ROS2_HUMBLE), _parse(texts))


def ros_type(name: str) -> str:
    """Return the full name of a type: ``sensor_msgs/Image`` is ``sensor_msgs/msg/Image``."""
    return name if name.count('/') != 1 else normalize_msgtype(name)


@functools.lru_cache(maxsize=256)
def types_of(type_name: str, definition: str) -> Typestore:
    """
    Return the types of a definition as recordings have it, ros2msg or ros2idl.

    Types that it uses and leaves out are those built in.

    :raises AvsolError: if it cannot be understood.
    """
    try:
        if _IDL.search(definition):
            types: Typesdict = {}
            parts = [
                part.partition('\n')[2] if part.startswith('IDL:') else part
                for part in definition.split(_SEPARATOR)
            ]
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


def _complete(types: 'Typesdict') -> None:
    """Add the built-in types that definitions use and leave out."""
    waiting = list(types)
    while waiting:
        for _, description in types[waiting.pop()][1]:
            used = _used_type(description)
            if used is not None and used not in types:
                types[used] = _builtin_definition(used)
                waiting.append(used)


def _used_type(description: 'FieldDesc') -> str | None:
    """The message type of a field, or of the elements of its array; None for basic types."""
    if description[0] is Nodetype.BASE or description[0] is Nodetype.NAME:
        element = description
    else:
        element, length = description[1]
        if (
            description[0] is Nodetype.ARRAY
            and length > _LONGEST
            and (element[0] is Nodetype.NAME or element[1][0] == 'string')
        ):
            raise AvsolError(f'it has an array of {length} messages')
    return element[1] if element[0] is Nodetype.NAME else None


def _builtin_definition(name: str) -> 'tuple[Constdefs, Fielddefs]':
    for family in FAMILIES:
        found = builtin_types(family).fielddefs.get(name)
        if found is not None:
            return found
    raise AvsolError(f'it uses {name} and does not say what that is')


def known_types(type_name: str) -> Typestore | None:
    """Return built-in types that hold this one: ros-drivers' where both have it; else None."""
    for family in ('drivers', 'mgonzs13'):
        if type_name in builtin_types(family).fielddefs:
            return builtin_types(family)
    return None


def definition_of(type_name: str, types: Typestore | None = None) -> tuple[str, str]:
    """
    Return the definition of a type with all that it uses, and its hash.

    :param types: from :func:`types_of`; those built in by default.
    :returns: text in the form ros2msg, and REP 2016's hash 'RIHS01_...'.
    """
    types = types or known_types(type_name)
    if types is None:
        raise AvsolError(f'{type_name} is not built in; give the text of its definition')
    return types.generate_msgdef(type_name, ros_version=2)[0], types.hash_rihs01(type_name)


def home_types(kind: type) -> Typestore | None:
    """Return the types that the class of a message belongs to; None of any other class."""
    return _home.get(kind)
