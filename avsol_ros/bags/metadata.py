"""What metadata.yaml says about a bag; nothing in it is trusted to have the right form."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import yaml

from avsol_ros.bags.type_definitions import ros_type
from avsol_ros.errors import AvsolError

T = TypeVar('T')
_ROOT = 'rosbag2_bagfile_information'


@dataclass
class Metadata:
    """
    What is used of it; empty or None where it is missing.

    :param files: names of the storage files, in order.
    :param counts: number of messages by topic.
    :param compression: its name, of files or of messages.
    """

    files: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    compression: str = ''
    custom: dict[str, str] = field(default_factory=dict)


def read_metadata(path: Path) -> Metadata:
    """
    Read metadata.yaml, of any version.

    :raises AvsolError: if it cannot be read, or is something else.
    """
    try:
        text = path.read_text('utf-8', 'replace')
    except OSError as error:
        raise AvsolError(f'{path.name} cannot be read: {error.strerror}') from error
    return parse_metadata(text, path.name)


def parse_metadata(text: str, name: str) -> Metadata:
    """
    Parse the text of a metadata.yaml, or of the copy inside of a storage file.

    :raises AvsolError: if it is no such text.
    """
    try:
        content = yaml.load(text, getattr(yaml, 'CSafeLoader', yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        line = ' '.join(str(error).split())
        raise AvsolError(f'{name} is no YAML: {line}') from error
    if isinstance(content, dict):
        content = content.get(_ROOT, content)
    if not isinstance(content, dict) or 'topics_with_message_count' not in content:
        raise AvsolError(f'{name} says nothing of a bag; expected {_ROOT!r}')
    return _parse_content(content)


def _parse_content(content: dict) -> Metadata:
    found = Metadata(
        files=[Path(name).name for name in _list_of(content.get('relative_file_paths'), str)],
        compression=_typed(str, content.get('compression_format')) or '',
        custom={
            str(key): str(value)
            for key, value in (_typed(dict, content.get('custom_data')) or {}).items()
        },
    )
    for entry in _list_of(content.get('topics_with_message_count'), dict):
        topic = _typed(dict, entry.get('topic_metadata')) or {}
        name, kind = topic.get('name'), topic.get('type')
        if isinstance(name, str) and isinstance(kind, str):
            found.types[name] = ros_type(kind)
            count = _typed(int, entry.get('message_count'))
            if count is not None:
                found.counts[name] = found.counts.get(name, 0) + count
    return found


def _typed(kind: type[T], value: object) -> T | None:
    return value if isinstance(value, kind) else None


def _list_of(value: object, kind: type[T]) -> list[T]:
    return [item for item in value if isinstance(item, kind)] if isinstance(value, list) else []
