"""The records that an MCAP file is made of (https://mcap.dev/spec), and their fields."""

import struct
from collections.abc import Iterator

HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK = 1, 2, 3, 4, 5, 6
CHUNK_INDEX, STATISTICS, METADATA, METADATA_INDEX, DATA_END = 8, 11, 12, 13, 15

#: What every record begins with: kind and length of what follows.
RECORD = struct.Struct('<BQ')


class Damaged(Exception):
    """Bytes that are not what they should be."""


class Cursor:
    """Reads the fields of one record."""

    def __init__(self, data: bytes | memoryview):
        self._data = memoryview(data)
        self._at = 0

    def numbers(self, layout: str) -> tuple:
        layout = f'<{layout}'
        if self._at + struct.calcsize(layout) > len(self._data):
            raise Damaged('a record is shorter than its fields')
        values = struct.unpack_from(layout, self._data, self._at)
        self._at += struct.calcsize(layout)
        return values

    def number(self, layout: str) -> int:
        return self.numbers(layout)[0]

    def bytes(self, size: int) -> memoryview:
        if size > len(self._data) - self._at:
            raise Damaged('a record is shorter than its fields')
        self._at += size
        return self._data[self._at - size : self._at]

    def text(self) -> str:
        return str(self.bytes(self.number('I')), 'utf-8', 'replace')

    def table(self) -> dict[str, str]:
        inner = Cursor(self.bytes(self.number('I')))
        found = {}
        while inner.left:
            key = inner.text()
            found[key] = inner.text()
        return found

    @property
    def left(self) -> int:
        return len(self._data) - self._at


def records(data: bytes | memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield (opcode, body) of the records in a piece of memory."""
    data = memoryview(data)
    at = 0
    while at < len(data):
        if at + RECORD.size > len(data):
            raise Damaged('a record is cut off')
        opcode, length = RECORD.unpack_from(data, at)
        if opcode == 0:
            raise Damaged('there are no records')
        body = data[at + RECORD.size : at + RECORD.size + length]
        if len(body) < length:
            raise Damaged('a record is cut off')
        yield opcode, body
        at += RECORD.size + length
