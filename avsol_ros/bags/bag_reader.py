"""Recorded bags, read without ROS in order of log time; of damaged bags what can be read."""

import errno
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from avsol_ros.bags.bag_paths import METADATA, ZSTD, is_bag, storage_files, storage_of
from avsol_ros.bags.compression import decompress_file, decompress_message
from avsol_ros.bags.mcap_file import McapFile
from avsol_ros.bags.message_codec import Decoder
from avsol_ros.bags.metadata import Metadata, parse_metadata, read_metadata
from avsol_ros.bags.sqlite_file import SqliteFile
from avsol_ros.bags.storage import Channel, Problems, Record, StorageFile, merge_in_time, ros1_hint
from avsol_ros.bags.type_definitions import AUDIO_STAMPED
from avsol_ros.errors import AvsolError

_FORMATS: dict[str, type[StorageFile]] = {'mcap': McapFile, 'sqlite3': SqliteFile}
_EXPECTED = 'expected a folder with metadata.yaml, or a file .mcap, .db3 or either with .zstd'
# First bytes of a message that was compressed by itself. CDR begins with 0.
_ZSTD_MAGIC = b'\x28\xb5\x2f\xfd'


@dataclass(frozen=True)
class Topic:
    """
    One topic of a bag.

    :param type: full name, as 'sensor_msgs/msg/Image'; '' if the bag does not tell.
    :param count: number of messages; None if not known.
    :param definition: the type's definition from the bag, ros2msg or ros2idl; '' if it has none.
    """

    name: str
    type: str
    count: int | None
    definition: str


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """
    One recorded message.

    :param log_ns: when it was received, in ns.
    :param raw: the message as CDR.
    """

    topic: str
    type: str
    log_ns: int
    raw: bytes
    _decoder: '_TopicDecoder'

    def decode(self) -> Any:
        """
        Return an object with the fields of the ROS message as attributes.

        Sequences of numbers are read-only numpy arrays.

        :raises AvsolError: if the bytes are no such message; the bag's ``problems`` counts it.
        """
        return self._decoder.decode(self.raw, self.log_ns)


class _TopicDecoder:
    """Decodes the messages of a channel and counts those that cannot be decoded."""

    def __init__(self, channel: Channel, definition: str, mgonzs13: bool, problems: Problems):
        self._channel = channel
        self._problems = problems
        self._decoder = Decoder(channel.type, definition, mgonzs13)
        if self._decoder.complaint:
            problems.add(f'{channel.topic}: {self._decoder.complaint}')

    def decode(self, raw: bytes, log_ns: int) -> Any:
        try:
            if self._channel.serialization != 'cdr':
                raise AvsolError(f'it is encoded as {self._channel.serialization!r}, not as CDR')
            return self._decoder.decode(raw)
        except AvsolError as error:
            self._problems.count(
                f'{self._channel.topic}: {{count}} message{{s}} cannot be decoded',
                log_ns,
                str(error),
            )
            raise AvsolError(
                f'a message of {self._channel.topic} cannot be decoded: {error}'
            ) from error


class _Part(NamedTuple):
    """One storage file, and its content."""

    path: Path
    storage: StorageFile


class BagReader:
    """
    A bag: a folder of rosbag2, or one storage file by itself.

    ``problems`` lists what is wrong with it, as long as a part of it can be read.

    :raises AvsolError: if nothing can be read.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if self.path.name == METADATA:
            self.path = self.path.parent
        self._problems = Problems()
        self._unpacked: Path | None = None
        metadata = None
        if self.path.is_dir():
            metadata = self._read_metadata()
            paths = self._find_files(metadata)
        else:
            _check_file(self.path)
            paths = [self.path]
        self._parts = self._open(paths)
        try:
            self._describe(metadata)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> 'BagReader':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove what was decompressed."""
        unpacked, self._unpacked = self._unpacked, None
        if unpacked:
            shutil.rmtree(unpacked, ignore_errors=True)

    @property
    def name(self) -> str:
        """Name of the folder, or of the file without its endings."""
        path = self.path.resolve()
        return path.name if path.is_dir() else Path(path.name.removesuffix(ZSTD)).stem

    @property
    def problems(self) -> list[str]:
        """What is wrong, one line each; reading messages may find more."""
        return self._problems.lines()

    def messages(self, topics: Collection[str] | None = None) -> Iterator[Message]:
        """
        Yield the messages in order of log time, over all files.

        Messages are read one after the other. What cannot be read is left out and noted.

        :param topics: names; None for all.
        :raises AvsolError: for a topic that is not in the bag.
        """
        if topics is not None:
            topics = {topics} if isinstance(topics, str) else set(topics)
            unknown = sorted(topics - self.topics.keys())
            if unknown:
                raise AvsolError(
                    f'{self.name} has no topic {unknown[0]!r}; it has '
                    + (', '.join(self.topics) or 'none')
                )
        return self._messages(topics)

    def _messages(self, topics: set[str] | None) -> Iterator[Message]:
        sources = [
            (part.storage.span[0], partial(self._messages_of, part, topics))
            for part in self._parts
            if part.storage.span
        ]
        for log_ns, channel, raw in merge_in_time(sources):
            if raw[:4] == _ZSTD_MAGIC:
                try:
                    raw = decompress_message(raw)
                except ValueError as error:
                    self._problems.count(
                        f'{channel.topic}: {{count}} message{{s}} cannot be decompressed',
                        log_ns,
                        str(error),
                    )
                    continue
            yield Message(channel.topic, channel.type, log_ns, raw, self._decoders[channel])

    def _messages_of(self, part: _Part, topics: set[str] | None) -> Iterator[Record]:
        try:
            with self._unpack(part.path) as path:
                yield from part.storage.messages(path, topics)
        except AvsolError as error:
            self._problems.add(str(error))
        except OSError as error:
            self._problems.add(f'{part.path.name} cannot be read on: {error.strerror or error}')

    # Opening.

    def _read_metadata(self) -> Metadata | None:
        path = self.path / METADATA
        if not path.exists():
            self._problems.add(f'{METADATA} is missing: read from the files themselves')
            return None
        try:
            return read_metadata(path)
        except AvsolError as error:
            self._problems.add(f'{error}: read from the files themselves')
            return None

    def _find_files(self, metadata: Metadata | None) -> list[Path]:
        try:
            present = storage_files(self.path)
        except OSError as error:
            raise AvsolError(f'{self.path} cannot be read: {error.strerror}') from error
        if not present:
            raise AvsolError(self._explain_empty(metadata))
        by_name = {path.name: path for path in present}
        listed = metadata.files if metadata else []
        found = self._listed_files(listed, by_name)
        for path in present:  # of twins that are not listed the uncompressed one comes first
            if path in found:
                continue
            twin = by_name.get(_twin(path.name))
            if twin in found:
                # A recorder that is stopped while it compresses leaves both.
                self._problems.add(f'{path.name} is not read: {twin.name} is the same')
                continue
            if listed:
                self._problems.add(f'{path.name} is not named in {METADATA}; it is read as well')
            found.append(path)
        return found

    def _listed_files(self, names: list[str], by_name: dict[str, Path]) -> list[Path]:
        """The files that metadata.yaml names, each once, also where they are compressed since."""
        found = []
        for name in names:
            path = by_name.get(name) or by_name.get(_twin(name))
            if path is None:
                self._problems.add(f'{name} is missing; {METADATA} names it')
            elif path not in found:
                found.append(path)
        return found

    def _explain_empty(self, metadata: Metadata | None) -> str:
        if metadata is not None:
            return (
                f'{self.path} has a {METADATA} and none of its files: '
                f'{", ".join(metadata.files) or "it names none"}'
            )
        bags = sorted(p.name for p in self.path.iterdir() if is_bag(p))
        if bags:
            return f'{self.path} holds bags and is none: {", ".join(bags[:5])}; name one of them'
        old = next(self.path.glob('*.bag'), None)
        return ros1_hint(old.name) if old else f'{self.path} is no bag: {_EXPECTED}'

    def _open(self, paths: list[Path]) -> list[_Part]:
        """Open the files; return those that can be read."""
        complaints, good = [], []
        for path in paths:
            storage = storage_of(path)
            assert storage is not None  # only such files are looked for
            try:
                with self._unpack(path, keep=len(paths) == 1) as readable:
                    good.append(
                        _Part(path, _FORMATS[storage](readable, path.name, self._problems))
                    )
            except AvsolError as error:
                complaints.append(str(error))
            except OSError as error:
                complaints.append(f'{path.name} cannot be read: {error.strerror or error}')
        if not good:
            more = f' (and {len(complaints) - 1} more files)' if len(complaints) > 1 else ''
            self.close()
            noted = '; '.join(['', *self._problems.lines()[:2]])
            raise AvsolError(complaints[0] + more + noted)
        for line in complaints:
            self._problems.add(line)
        return good

    @contextmanager
    def _unpack(self, path: Path, keep: bool = False) -> Iterator[Path]:
        """Yield the path of a file that can be read; a decompressed copy is removed afterwards."""
        if not path.name.endswith(ZSTD):
            yield path
            return
        if self._unpacked:
            yield self._unpacked / 'storage'
            return
        folder = Path(tempfile.mkdtemp(prefix='avsol_bag_'))
        try:
            try:
                complaint = decompress_file(path, folder / 'storage')
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                raise AvsolError(
                    f'there is no room in {folder.parent} to decompress '
                    f'{path.name}; set TMPDIR to a folder that has'
                ) from error
            if complaint:
                self._problems.add(f'{path.name} cannot be decompressed to its end: {complaint}')
            yield folder / 'storage'
            if keep:
                self._unpacked = folder
        finally:
            if not self._unpacked:
                shutil.rmtree(folder, ignore_errors=True)

    def _describe(self, metadata: Metadata | None) -> None:
        spans = [part.storage.span for part in self._parts if part.storage.span]
        #: Log time of the first message, and just after the last, in ns; both 0 without messages.
        self.start_ns = min((start for start, _ in spans), default=0)
        self.end_ns = max((end + 1 for _, end in spans), default=0)
        #: What the recorder was told to keep beside the messages.
        self.custom = metadata.custom if metadata else self._inner_custom()
        counts, types, definitions = self._merge_channels()
        if metadata:
            self._compare(metadata, counts)
            for topic, kind in metadata.types.items():
                types.setdefault(topic, {kind: None})
        #: The topics by name.
        self.topics: dict[str, Topic] = {}
        for topic, (first, *others) in sorted((t, list(kinds)) for t, kinds in types.items()):
            self.topics[topic] = Topic(topic, first, counts[topic], definitions.get(first, ''))
            if others:
                self._problems.add(
                    f'{topic} has messages of several types: {first}, {", ".join(others)}'
                )
        self._decoders = self._make_decoders(
            definitions, mgonzs13=any(AUDIO_STAMPED in kinds for kinds in types.values())
        )

    def _merge_channels(self) -> tuple[Counter[str], dict[str, dict[str, None]], dict[str, str]]:
        """
        Sum up the channels of all files.

        :returns: messages by topic, types by topic (in order, as keys), definitions by type.
        """
        counts: Counter[str] = Counter()
        types: dict[str, dict[str, None]] = {}
        definitions: dict[str, str] = {}
        for part in self._parts:
            for channel, count in part.storage.counts.items():
                counts[channel.topic] += count
                types.setdefault(channel.topic, {})[channel.type] = None
                if channel.definition:
                    definitions.setdefault(channel.type, channel.definition)
        return counts, types, definitions

    def _make_decoders(
        self, definitions: dict[str, str], mgonzs13: bool
    ) -> dict[Channel, _TopicDecoder]:
        """:param mgonzs13: whether the bag has audio messages of mgonzs13's package."""
        return {
            channel: _TopicDecoder(
                channel,
                channel.definition or definitions.get(channel.type, ''),
                mgonzs13,
                self._problems,
            )
            for part in self._parts
            for channel in part.storage.channels
        }

    def _inner_custom(self) -> dict[str, str]:
        for part in self._parts:
            if part.storage.metadata:
                try:
                    return parse_metadata(part.storage.metadata, part.path.name).custom
                except AvsolError:
                    continue
        return {}

    def _compare(self, metadata: Metadata, counts: Counter[str]) -> None:
        if metadata.compression not in ('', 'none', 'zstd'):
            self._problems.add(
                f'{METADATA} says that the compression is {metadata.compression}; '
                'only zstd can be read: record or convert with zstd'
            )
        for topic, said in metadata.counts.items():
            if said != counts[topic]:
                self._problems.add(
                    f'{METADATA} says {said} messages of {topic}; there are {counts[topic]}'
                )


def _twin(name: str) -> str:
    """Name of the compressed form of a storage file, or of the plain form of a compressed one."""
    return name.removesuffix(ZSTD) if name.endswith(ZSTD) else name + ZSTD


def _check_file(path: Path) -> None:
    try:
        exists = path.exists()
    except OSError as error:
        raise AvsolError(f'{path} cannot be read: {error.strerror}') from error
    if not exists:
        raise AvsolError(f'there is no bag {path}')
    if path.suffix == '.bag':
        raise AvsolError(ros1_hint(path.name))
    if storage_of(path) is None:
        raise AvsolError(f'{path} is no bag: {_EXPECTED}')
