"""
Recorded bags (rosbag2), read and written without ROS.

Names are imported when they are first used: ``is_bag`` needs none of the packages that reading a
bag needs.
"""

import importlib

from avsol_ros.bags.bag_paths import is_bag

_HOMES = {
    'BagReader': 'reader',
    'Message': 'reader',
    'Topic': 'reader',
    'BagWriter': 'writer',
    'Streams': 'find_topics',
    'find_streams': 'find_topics',
    'decode': 'message_codec',
    'encode': 'message_codec',
    'make_message': 'message_codec',
}

__all__ = ['is_bag', *_HOMES]


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    importlib.import_module('rosbags')  # brings all else that is needed: if missing, name this
    return getattr(importlib.import_module(f'{__name__}.{_HOMES[name]}'), name)
