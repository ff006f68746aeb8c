"""Bags written without ROS, as every rosbag2 since Humble reads them."""

import sqlite3
import zlib
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal

from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2.storage_mcap import McapWriter
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Writer
from rosbags.typesys.store import Typestore

from avsol_ros.bags.bag_paths import storage_of
from avsol_ros.bags.message_codec import serialize
from avsol_ros.bags.type_definitions import definition_of, known_types, ros_type, types_of
from avsol_ros.errors import AvsolError
from avsol_ros.files import AtomicPath

_STORAGES = {'mcap': StoragePlugin.MCAP, 'sqlite3': StoragePlugin.SQLITE3}
_COMPRESSIONS = {
    'none': CompressionMode.NONE,
    'message': CompressionMode.MESSAGE,
    'file': CompressionMode.FILE,
    'chunk': CompressionMode.STORAGE,
}
# Version 9 (Jazzy) writes profiles of QoS as lists, at which the readers of Humble and Iron fail;
# all since Humble read 8.
_VERSION: Literal[8] = 8
# In a chunk: kind and length (9), two times and the size (24).
_CHECKSUM_AT = 9 + 24
_WRITE_ERRORS = (OSError, sqlite3.Error)
_FOREVER = QosTime(9223372036, 854775807)
_QOS = Qos(
    QosHistory.KEEP_LAST,
    10,
    QosReliability.RELIABLE,
    QosDurability.VOLATILE,
    _FOREVER,
    _FOREVER,
    QosLiveliness.AUTOMATIC,
    _FOREVER,
    False,
)


class _SqliteWriter(Sqlite3Writer):
    """As that of rosbags, which reads the path as a URI and so fails with # ? and % in it."""

    def __init__(self, path: Path, compression: CompressionMode):
        self.path = path / f'{path.name}.db3'
        self.conn = sqlite3.connect(self.path)
        self.conn.executescript(self.SQLITE_SCHEMA)
        self.cursor = self.conn.cursor()


class _McapWriter(McapWriter):
    """As that of rosbags, but with checksums of chunks, by which readers notice damage."""

    def close_chunk(self) -> None:
        checksum = zlib.crc32(self.chunk.bio.getbuffer())
        start = self.bio.tell()
        super().close_chunk()
        end = self.bio.tell()
        self.bio.seek(start + _CHECKSUM_AT)
        self.bio.write(checksum.to_bytes(4, 'little'))
        self.bio.seek(end)


class _Writer(Writer):
    STORAGE_PLUGINS = {StoragePlugin.MCAP: _McapWriter, StoragePlugin.SQLITE3: _SqliteWriter}


class BagWriter:
    """
    Writes a bag, a folder with metadata.yaml.

    It is whole and in its place when the ``with`` block ends; an error leaves nothing behind.

    :param storage: 'mcap' or 'sqlite3'.
    :param compression: 'none', 'message', 'file', or 'chunk' (mcap only); all with zstd.
    """

    def __init__(self, path: str | Path, storage: str = 'mcap', compression: str = 'none'):
        self.path = Path(path)
        for given, known, what in (
            (storage, _STORAGES, 'storage'),
            (compression, _COMPRESSIONS, 'compression'),
        ):
            if given not in known:
                raise AvsolError(f'the {what} is {given!r}; expected {", ".join(known)}')
        if compression == 'chunk' and storage != 'mcap':
            raise AvsolError(
                "compression 'chunk' is for the storage 'mcap'; with 'sqlite3', take "
                "'message' or 'file'"
            )
        if storage_of(self.path):
            raise AvsolError(
                f'the bag is {self.path.name!r}; a bag is a folder: expected a name '
                f'without {self.path.suffix}'
            )
        self._check_free()
        self._output = AtomicPath(self.path, errors=_WRITE_ERRORS)
        # rosbags names the files in a bag after its folder.
        self._written = self._output.part / self.path.name
        self._writer = _Writer(self._written, version=_VERSION, storage_plugin=_STORAGES[storage])
        self._writer.set_compression(_COMPRESSIONS[compression], CompressionFormat.ZSTD)
        self._topics: dict[str, tuple[Connection, Typestore | None]] = {}

    def __enter__(self) -> 'BagWriter':
        try:
            with self._output.writing():
                self._output.begin().mkdir()
                self._writer.open()
        except BaseException:
            self._output.discard()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is not None:
                with suppress(*_WRITE_ERRORS):  # the first error counts
                    self._writer.abort()
                return
            with self._output.writing():
                self._writer.close()
            self._check_free()
            self._output.commit(self._written)
        finally:
            self._output.discard()

    def add_topic(self, name: str, type_name: str, definition: str | None = None) -> None:
        """
        Announce a topic, before its first message.

        :param definition: the type's text, as ``Topic.definition`` has it; without one the type
            must be built in.
        """
        type_name = ros_type(type_name)
        if name in self._topics:
            raise AvsolError(f'the topic {name} was added before')
        types = types_of(type_name, definition) if definition else known_types(type_name)
        text, digest = definition_of(type_name, types)
        connection = self._writer.add_connection(
            name, type_name, msgdef=definition or text, rihs01=digest, offered_qos_profiles=[_QOS]
        )
        self._topics[name] = (connection, types)

    def write(self, topic: str, log_ns: int, message: object) -> None:
        """
        Write one message.

        :param log_ns: when it was received, in ns.
        :param message: CDR bytes, or what ``make_message`` or a bag's ``decode`` gave.
        """
        if topic not in self._topics:
            raise AvsolError(f'the topic {topic} was not added')
        connection, types = self._topics[topic]
        if not 0 <= log_ns < 1 << 63:
            raise AvsolError(f'the log time is {log_ns} ns; expected 0 to 2^63 - 1')
        if isinstance(message, (bytes, bytearray, memoryview)):
            data = memoryview(message)
        else:
            name = getattr(message, '__msgtype__', None)
            if name != connection.msgtype:
                raise AvsolError(
                    f'the message is a {name or type(message).__name__}; expected '
                    f'a {connection.msgtype} on {topic}'
                )
            data = serialize(message, types)
        with self._output.writing():
            self._writer.write(connection, int(log_ns), data)

    def set_custom(self, key: str, text: str) -> None:
        """Store a text beside the messages; ``BagReader.custom`` returns it."""
        self._writer.set_custom_data(key, text)

    def _check_free(self) -> None:
        if self.path.exists() or self.path.is_symlink():
            raise AvsolError(f'{self.path} exists; remove it or choose another name')
