"""Message types by their names: their classes and definitions, as far as they are installed."""

import importlib
import sys
from pathlib import Path

from avsol_ros.errors import AvsolError

# What stands between the parts of a definition that is kept in a bag.
_LINE = '=' * 80


def message_class(type_name: str) -> type | None:
    """Class of a message such as 'sensor_msgs/msg/Image'; None when it is not installed."""
    package, _, name = type_name.partition('/msg/')
    if not name.isidentifier():
        return None
    try:
        return getattr(importlib.import_module(f'{package}.msg'), name, None)
    except ImportError:
        return None


def type_name_of(kind: type) -> str:
    """Name of a message class, such as 'sensor_msgs/msg/Image'."""
    return f'{kind.__module__.partition(".")[0]}/msg/{kind.__name__}'


def installed_definition(type_name: str) -> str:
    """
    Definition of an installed type, followed by those that it uses, as bags have it.

    :returns: '' where the package came without its sources.
    """
    texts = {}
    waiting = [type_name]
    while waiting:
        name = waiting.pop(0)
        if name in texts:
            continue
        text = _source(name)
        if text is None:
            return ''
        texts[name] = text
        waiting += _uses(text, name.partition('/')[0])
    main = texts.pop(type_name)
    return ''.join(
        [
            main,
            *(
                f'\n{_LINE}\nMSG: {name.replace("/msg/", "/")}\n{text}'
                for name, text in texts.items()
            ),
        ]
    )


def same_type(message, definition: str, kind: type) -> bool:
    """
    Whether bytes of a recorded type may be published as an installed type of the same name.

    :param message: one of them, decoded.
    :param definition: of the recorded type; '' if the bag does not tell it.
    """
    from avsol_ros.bags.type_definitions import types_of

    name = type_name_of(kind)
    installed = installed_definition(name)
    if definition and installed:
        try:
            return types_of(name, definition).hash_rihs01(name) == types_of(
                name, installed
            ).hash_rihs01(name)
        except AvsolError:
            pass
    return all(hasattr(message, field) for field in kind.get_fields_and_field_types())


def _source(type_name: str) -> str | None:
    """Text of a type's .msg file, which lies in the share folder of the prefix of its module."""
    package, _, name = type_name.partition('/msg/')
    kind = message_class(type_name)
    if kind is None:
        return None
    module = Path(sys.modules[kind.__module__].__file__)
    for prefix in (*module.parents, Path(sys.prefix)):
        path = prefix / 'share' / package / 'msg' / f'{name}.msg'
        try:
            return path.read_text(encoding='utf-8')
        except OSError:
            continue
    return None


def _uses(text: str, package: str) -> list[str]:
    """Types of other messages among the fields of a definition."""
    found = []
    for line in text.splitlines():
        words = line.partition('#')[0].split()
        if len(words) < 2:
            continue
        name = words[0].partition('[')[0].partition('<=')[0]
        if '/' in name:
            found.append(name.replace('/msg/', '/').replace('/', '/msg/'))
        elif name == 'Header':
            found.append('std_msgs/msg/Header')
        elif name[0].isupper():
            found.append(f'{package}/msg/{name}')
    return found
