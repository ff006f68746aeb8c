"""
MCAP files, read also when they are damaged (https://mcap.dev/spec).

An intact file has an index at its end. A file without an index, because its recorder was killed or
wrote none, is read through once to build it. rosbags and mcap's own reader stop at the first
fault; here everything readable is returned, and a problem says what is lost.
"""

import array
import io
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

import lz4.frame
import numpy as np

from avsol_ros.bags.compression import zstd_decompress
from avsol_ros.bags.mcap_records import (
    CHANNEL,
    CHUNK,
    CHUNK_INDEX,
    DATA_END,
    FOOTER,
    MESSAGE,
    METADATA,
    METADATA_INDEX,
    RECORD,
    SCHEMA,
    STATISTICS,
    Cursor,
    Damaged,
    records,
)
from avsol_ros.bags.storage import (
    Channel,
    Record,
    StorageFile,
    merge_in_time,
    note_backwards,
)
from avsol_ros.bags.type_definitions import ros_type

MAGIC = b'\x89MCAP0\r\n'
_FOOTER_SIZE = 9 + 20 + len(MAGIC)
_DEFINITIONS = ('ros2msg', 'ros2idl', 'omgidl')
_LATEST_NS = (1 << 63) - 1
# Recorders make chunks of a few MB; a chunk that claims more than this is damaged.
_MOST_BYTES = 1 << 31

_MESSAGE_HEADER = struct.Struct('<HIQQ')
# Why an index is of no use although nothing is wrong: there is none, or it tells too little.
_UNINDEXED = 'unindexed'


@dataclass
class _Chunk:
    """A chunk: its place and its times, and the number of messages of each channel."""

    offset: int
    start_ns: int
    end_ns: int
    counts: Counter[int]


@dataclass
class _Loose:
    """Messages outside of chunks: columns time, offset of the record, channel."""

    times: array.array = field(default_factory=lambda: array.array('Q'))
    offsets: array.array = field(default_factory=lambda: array.array('Q'))
    channels: array.array = field(default_factory=lambda: array.array('H'))


class McapFile(StorageFile):
    """One MCAP file."""

    def _open(self, path: Path) -> None:
        self._schemas: dict[int, tuple[str, str, str]] = {}
        self._chunks: list[_Chunk] = []
        self._loose = _Loose()
        self._metadata_at: list[int] = []
        with path.open('rb') as file:
            self._size = file.seek(0, io.SEEK_END)
            file.seek(0)
            self._check_magic(file.read(len(MAGIC)), MAGIC, 'MCAP')
            self._find_messages(file)
            self._read_metadata(file)
        self._check_order()

    def _find_messages(self, file: BinaryIO) -> None:
        useless = self._read_summary(file)
        if useless:
            self._schemas, self._channels, self._chunks = {}, {}, []
            self._metadata_at = []
            if useless != _UNINDEXED:
                self._problems.add(f'{self._name} has no index: {useless}')
            self._scan(file)
            self._check_channels()

    def _count_messages(self) -> Counter[int]:
        total = Counter(self._loose.channels)
        for chunk in self._chunks:
            total.update(chunk.counts)
        return total

    @property
    def span(self) -> tuple[int, int] | None:
        """First and last log time; None without messages."""
        times = [t for c in self._chunks if c.counts.total() for t in (c.start_ns, c.end_ns)]
        if self._loose.times:
            times += [min(self._loose.times), max(self._loose.times)]
        return (int(min(times)), int(max(times))) if times else None

    def messages(self, path: Path, topics: Collection[str] | None = None) -> Iterator[Record]:
        wanted = self._select_channels(topics)
        with path.open('rb') as file:
            sources: list[tuple[int, Callable[[], Iterator[Record]]]] = [
                (chunk.start_ns, partial(self._chunk_messages, file, chunk, wanted))
                for chunk in self._chunks
                if any(chunk.counts[key] for key in wanted)
            ]
            if self._loose.times:
                sources.append(
                    (min(self._loose.times), partial(self._loose_messages, file, wanted))
                )
            yield from merge_in_time(sources)

    # The index at the end.

    def _read_summary(self, file: BinaryIO) -> str:
        """Read the index; return why it is of no use, or ''."""
        if self._size < len(MAGIC) + _FOOTER_SIZE:
            return 'the file is cut off'
        file.seek(self._size - _FOOTER_SIZE)
        tail = file.read(_FOOTER_SIZE)
        if tail[-len(MAGIC) :] != MAGIC or RECORD.unpack_from(tail) != (FOOTER, 20):
            return 'the file is cut off'
        summary, offsets, crc = struct.unpack_from('<QQI', tail, 9)
        if not summary:
            return _UNINDEXED
        end = self._size - _FOOTER_SIZE
        if not len(MAGIC) <= summary <= end:
            return 'the footer points out of the file'
        if end - summary > _MOST_BYTES:
            return f'the footer claims one of {end - summary} bytes'
        file.seek(summary)
        data = file.read(end - summary)
        if crc and zlib.crc32(tail[:25], zlib.crc32(data)) != crc:
            return 'its checksum is wrong'
        try:
            return self._parse_summary(data)
        except Damaged as error:
            return str(error)

    def _parse_summary(self, data: bytes) -> str:
        statistics = None
        for opcode, body in records(data):
            if opcode == CHUNK_INDEX:
                self._add_chunk_index(Cursor(body))
            elif opcode == STATISTICS:
                cursor = Cursor(body)
                statistics = cursor.numbers('QHIIII')
            elif opcode == METADATA_INDEX:
                self._metadata_at.append(Cursor(body).number('Q'))
            else:
                self._add_definition(opcode, body)
        if statistics is None:
            return _UNINDEXED
        messages, chunks = statistics[0], statistics[5]
        known = sum(chunk.counts.total() for chunk in self._chunks)
        used = set().union(*(chunk.counts for chunk in self._chunks))
        if (
            not messages
            or len(self._chunks) != chunks
            or known != messages
            or not used <= set(self._channels)
        ):
            # There are messages outside of chunks, or the index lacks its optional parts.
            return _UNINDEXED
        return ''

    def _add_chunk_index(self, cursor: Cursor) -> None:
        start, end, offset, length = cursor.numbers('QQQQ')
        if max(start, end) > _LATEST_NS and start <= end:
            raise Damaged('it has impossible times')
        table = cursor.bytes(cursor.number('I'))
        index_length = cursor.number('Q')
        if offset + length > self._size:
            raise Damaged('it points out of the file')
        # The indexes of the channels lie side by side behind the chunk, 15 bytes and 16 for each
        # message: their sizes tell the counts.
        if len(table) % 10:
            raise Damaged('a record is shorter than its fields')
        at = sorted((where, key) for key, where in struct.iter_unpack('<HQ', table))
        ends = [where for where, _ in at[1:]] + [offset + length + index_length]
        counts = Counter(
            {key: max(0, (until - where - 15) // 16) for (where, key), until in zip(at, ends)}
        )
        self._chunks.append(_Chunk(offset, start, end, +counts))

    # Reading through.

    def _scan(self, file: BinaryIO) -> None:
        at = len(MAGIC)
        while at < self._size:
            file.seek(at)
            head = file.read(RECORD.size)
            if len(head) < RECORD.size:
                break
            opcode, length = RECORD.unpack(head)
            if opcode == 0:
                self._note_end(at, 'is damaged')
                return
            end = at + RECORD.size + length
            if opcode == CHUNK:
                self._scan_chunk(file, at)
            if end > self._size:
                break
            if opcode in (FOOTER, DATA_END):
                return
            try:
                self._scan_record(file, at, opcode, length)
            except Damaged as error:
                self._problems.add(f'{self._name}: byte {at}: {error}')
            at = end
        self._note_end(at)

    def _scan_record(self, file: BinaryIO, at: int, opcode: int, length: int) -> None:
        """Note a record that lies outside of chunks; the file is at its body."""
        if opcode == MESSAGE:
            if length < _MESSAGE_HEADER.size:
                raise Damaged('a message is too short')
            key, _, time, _ = _MESSAGE_HEADER.unpack(file.read(_MESSAGE_HEADER.size))
            if time > _LATEST_NS:
                raise Damaged(f'a message has the impossible time {time}')
            self._loose.times.append(time)
            self._loose.offsets.append(at)
            self._loose.channels.append(key)
        elif opcode == METADATA:
            self._metadata_at.append(at)
        elif opcode in (SCHEMA, CHANNEL):
            self._add_definition(opcode, file.read(length))

    def _note_end(self, at: int, what: str = 'ends') -> None:
        """Note that reading through ends before the end of the data."""
        self._problems.add(
            f'{self._name} {what} in the middle, at byte {at} of {self._size}: what lay behind '
            'is lost'
        )

    def _scan_chunk(self, file: BinaryIO, at: int) -> None:
        chunk = _Chunk(at, 0, 0, Counter())
        times = []
        counts: Counter[int] = Counter()
        for opcode, body in self._chunk_records(file, chunk):
            if opcode == MESSAGE:
                key, _, time, _ = _MESSAGE_HEADER.unpack_from(body)
                counts[key] += 1
                times.append(time)
            else:
                try:
                    self._add_definition(opcode, body)
                except Damaged as error:
                    self._problems.add(f'{self._name}: chunk at byte {at}: {error}')
        chunk.counts = counts
        if times:
            chunk.start_ns, chunk.end_ns = min(times), max(times)
            self._chunks.append(chunk)

    # Definitions and chunks.

    def _add_definition(self, opcode: int, body: bytes | memoryview) -> None:
        cursor = Cursor(body)
        if opcode == SCHEMA:
            key = cursor.number('H')
            name, encoding = cursor.text(), cursor.text()
            text = cursor.text() if encoding in _DEFINITIONS else ''
            self._schemas[key] = (ros_type(name), encoding, text)
        elif opcode == CHANNEL:
            key, schema = cursor.numbers('HH')
            topic, serialization = cursor.text(), cursor.text()
            name, _, text = self._schemas.get(schema, ('', '', ''))
            if key not in self._channels:
                self._channels[key] = Channel(topic, name, text, serialization)

    def _chunk_records(self, file: BinaryIO, chunk: _Chunk) -> Iterator[tuple[int, memoryview]]:
        """Yield the records of a chunk, as far as it can be read."""
        where = f'{self._name}: chunk at byte {chunk.offset}'
        try:
            data, complaint = self._chunk_data(file, chunk.offset)
        except Damaged as error:
            lost = f', {chunk.counts.total()} messages are lost' if chunk.counts else ' is lost'
            self._problems.add(f'{where}{lost}: {error}')
            return
        if complaint:
            self._problems.add(f'{where}: {complaint}')
        count, expected = 0, chunk.counts.total()
        try:
            for opcode, body in records(data):
                if opcode == MESSAGE:
                    count += 1
                    if len(body) < _MESSAGE_HEADER.size:
                        raise Damaged('a message is too short')
                    if _MESSAGE_HEADER.unpack_from(body)[2] > _LATEST_NS:
                        raise Damaged('a message has an impossible time')
                yield opcode, body
            if expected and count != expected:
                raise Damaged(f'it holds {count} messages, the index says {expected}')
        except Damaged as error:
            if not complaint:
                self._problems.add(f'{where}: {error}')

    def _chunk_data(self, file: BinaryIO, offset: int) -> tuple[bytes | memoryview, str]:
        file.seek(offset)
        head = file.read(RECORD.size)
        opcode, length = RECORD.unpack(head) if len(head) == RECORD.size else (0, 0)
        if opcode != CHUNK:
            raise Damaged('there is none')
        if length > _MOST_BYTES:  # before it is read
            raise Damaged(f'it claims {length} bytes')
        cursor = Cursor(file.read(min(length, self._size - offset - RECORD.size)))
        _, _, size, crc = cursor.numbers('QQQI')
        compression = cursor.text()
        claimed = cursor.number('Q')
        stored = cursor.bytes(min(claimed, cursor.left))
        cut = len(stored) < claimed
        if size > _MOST_BYTES:
            raise Damaged(f'it claims {size} bytes')
        data = _decompress(stored, compression, size)
        if cut:
            return data, 'it is cut off'
        if len(data) != size:
            return data, f'it holds {len(data)} bytes, not {size}'
        if crc and zlib.crc32(data) != crc:
            raise Damaged('its checksum is wrong')
        return data, ''

    def _chunk_messages(
        self, file: BinaryIO, chunk: _Chunk, wanted: dict[int, Channel]
    ) -> Iterator[Record]:
        found: list[tuple[int, Channel, memoryview]] = []
        for opcode, body in self._chunk_records(file, chunk):
            if opcode == MESSAGE:
                key, _, time, _ = _MESSAGE_HEADER.unpack_from(body)
                if key in wanted:
                    found.append((time, wanted[key], body[_MESSAGE_HEADER.size :]))
        found.sort(key=lambda record: record[0])
        for time, channel, body in found:
            yield time, channel, bytes(body)

    def _loose_messages(self, file: BinaryIO, wanted: dict[int, Channel]) -> Iterator[Record]:
        times = np.asarray(self._loose.times, np.uint64)
        for index in np.argsort(times, kind='stable'):
            channel = wanted.get(self._loose.channels[index])
            if channel is None:
                continue
            file.seek(self._loose.offsets[index])
            _, length = RECORD.unpack(file.read(RECORD.size))
            body = file.read(length)
            yield int(times[index]), channel, body[_MESSAGE_HEADER.size :]

    def _read_metadata(self, file: BinaryIO) -> None:
        for at in self._metadata_at:
            try:
                file.seek(at)
                opcode, length = RECORD.unpack(file.read(RECORD.size))
                if opcode != METADATA or at + length > self._size:
                    continue
                cursor = Cursor(file.read(length))
                if cursor.text() == 'rosbag2':
                    self.metadata = cursor.table().get('serialized_metadata', '')
            except (Damaged, struct.error):
                continue  # a copy for convenience: messages do not depend on it

    def _check_channels(self) -> None:
        counts = self._count_messages()
        unknown = sum(count for key, count in counts.items() if key not in self._channels)
        if unknown:
            self._problems.add(
                f'{self._name}: {unknown} messages of channels that it does not name'
            )

    def _check_order(self) -> None:
        """Note when the recorder's clock went back: messages are sorted by log time."""
        times = self._loose.times or [
            c.start_ns for c in sorted(self._chunks, key=lambda chunk: chunk.offset)
        ]
        note_backwards(self._name, times, self._problems)


def _decompress(data: memoryview, compression: str, size: int) -> bytes | memoryview:
    """
    Decompress a chunk.

    :param size: of the result, as the chunk claims; at most one byte more comes.
    """
    try:
        if compression == 'zstd':
            return zstd_decompress(data, size)
        if compression == 'lz4':
            return lz4.frame.LZ4FrameDecompressor().decompress(bytes(data), size + 1)
    except (RuntimeError, ValueError, EOFError) as error:
        raise Damaged(f'it cannot be decompressed: {error}') from error
    if compression:
        raise Damaged(f'compression {compression!r} is unknown')
    return data
