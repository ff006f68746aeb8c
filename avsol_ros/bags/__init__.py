"""
Recorded bags (rosbag2), read and written without ROS.

Names are imported when they are first used: ``is_bag`` needs none of the packages that reading a
bag needs.
"""

import importlib
from typing import TYPE_CHECKING

from avsol_ros.bags.bag_paths import is_bag

if TYPE_CHECKING:
    from avsol_ros.bags.bag_reader import BagReader, Message, Topic
    from avsol_ros.bags.bag_writer import BagWriter
    from avsol_ros.bags.find_topics import Streams, find_streams
    from avsol_ros.bags.message_codec import decode, encode, make_message

_HOMES = {
    'BagReader': 'bag_reader',
    'Message': 'bag_reader',
    'Topic': 'bag_reader',
    'BagWriter': 'bag_writer',
    'Streams': 'find_topics',
    'find_streams': 'find_topics',
    'decode': 'message_codec',
    'encode': 'message_codec',
    'make_message': 'message_codec',
}

__all__ = [
    'BagReader',
    'BagWriter',
    'Message',
    'Streams',
    'Topic',
    'decode',
    'encode',
    'find_streams',
    'is_bag',
    'make_message',
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    importlib.import_module('rosbags')  # brings all else that is needed: if missing, name this
    return getattr(importlib.import_module(f'{__name__}.{_HOMES[name]}'), name)
