"""
SQLite files of rosbag2, read also when they are damaged.

First the time, row and topic of all messages are listed, then messages are read one by one. So a
damaged page costs only the messages on it, and messages come in order without an index.
"""

import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import numpy as np

from avsol_ros.bags.storage import Channel, Record, StorageFile, note_backwards
from avsol_ros.bags.type_definitions import ros_type
from avsol_ros.errors import AvsolError

_MAGIC = b'SQLite format 3\0'
_BLOCK = 4096
# How many rows behind a damaged page are searched, and how many damaged places are skipped.
_FURTHEST = 1 << 24
_MOST_HOLES = 1000
# Bytes at the end of a cut file by which its last message is found: enough to exclude chance.
_TELLING = 12
Execute = Callable[..., sqlite3.Cursor]
Row = tuple[int, int, int]  # time, row, topic; in a damaged file they may be anything
_LIST = 'SELECT timestamp, rowid, topic_id FROM messages'


class SqliteFile(StorageFile):
    """One SQLite file."""

    def _open(self, path: Path) -> None:
        self._times = self._rows = self._topics = np.zeros(0, np.int64)
        with path.open('rb') as file:
            magic = file.read(len(_MAGIC))
            self._tail = _cut_page(file)
        self._check_magic(magic, _MAGIC, 'SQLite')
        try:
            with closing(self._connect(path)) as database:
                self._read_tables(database)
        except sqlite3.Error as error:
            raise AvsolError(f'{self._name} cannot be read: {error}') from error

    def _count_messages(self) -> Counter[int]:
        return Counter(self._topics.tolist())

    @property
    def span(self) -> tuple[int, int] | None:
        """First and last log time; None without messages."""
        return (int(self._times.min()), int(self._times.max())) if len(self._times) else None

    def messages(self, path: Path, topics: Collection[str] | None = None) -> Iterator[Record]:
        wanted = self._select_channels(topics)
        chosen = np.isin(self._topics, list(wanted))
        times, rows, keys = self._times[chosen], self._rows[chosen], self._topics[chosen]
        with closing(self._connect(path)) as database:
            for index in np.argsort(times, kind='stable'):
                row = int(rows[index])
                try:
                    found = database.execute(
                        'SELECT data FROM messages WHERE rowid = ?', (row,)
                    ).fetchone()
                except sqlite3.Error as error:
                    self._count_lost(row, str(error))
                    continue
                if found is None or not isinstance(found[0], bytes):
                    self._count_lost(row, 'no data')
                    continue
                if self._tail and self._ends_in(found[0]):
                    self._count_lost(row, 'the file ends in it')
                    continue
                yield int(times[index]), wanted[int(keys[index])], found[0]

    def _connect(self, path: Path) -> sqlite3.Connection:
        uri = path.absolute().as_uri()
        log = Path(f'{path}-wal')
        if log.exists():  # one that was not written back holds messages
            try:
                return _prepare(f'{uri}?mode=ro')
            except sqlite3.Error as error:  # it cannot be used in a folder that is read-only
                if log.stat().st_size:
                    self._problems.add(
                        f'{log.name} cannot be read ({error}): its messages are '
                        'missing; copy both files to where you may write'
                    )
        return _prepare(f'{uri}?mode=ro&immutable=1')

    def _ends_in(self, data: bytes) -> bool:
        end = data.rstrip(b'\0')
        return len(end) < len(data) and end.endswith(self._tail)

    def _count_lost(self, row: int, why: str) -> None:
        self._problems.count(f'{self._name}: {{count}} message{{s}} cannot be read', row, why)

    def _read_tables(self, database: sqlite3.Connection) -> None:
        execute = database.execute
        tables = {name for (name,) in execute("SELECT name FROM sqlite_master WHERE type='table'")}
        if not {'topics', 'messages'} <= tables:
            raise AvsolError(
                f'{self._name} has no table {"topics" if "messages" in tables else "messages"}: '
                'it is a SQLite file but no recording of rosbag2'
            )
        self._read_topics(execute, tables)
        if 'metadata' in tables:
            try:
                found = execute('SELECT metadata FROM metadata ORDER BY id DESC').fetchone()
                self.metadata = found[0] if found and isinstance(found[0], str) else ''
            except sqlite3.Error:
                pass  # a copy for convenience: messages do not depend on it
        self._list_messages(execute)
        unknown = ~np.isin(self._topics, list(self._channels))
        if unknown.any():
            self._problems.add(
                f'{self._name}: {int(unknown.sum())} messages of topics that it does not name'
            )
            self._times, self._rows, self._topics = (
                a[~unknown] for a in (self._times, self._rows, self._topics)
            )
        note_backwards(self._name, self._times, self._problems)

    def _read_topics(self, execute: Execute, tables: set[str]) -> None:
        definitions = {}
        if 'message_definitions' in tables:
            try:
                for name, text in execute(
                    'SELECT topic_type, encoded_message_definition FROM message_definitions'
                ):
                    definitions[ros_type(str(name))] = str(text)
            except sqlite3.Error as error:
                self._problems.add(
                    f'{self._name}: its message definitions cannot be read: {error}'
                )
        for key, topic, name, serialization in execute(
            'SELECT id, name, type, serialization_format FROM topics ORDER BY id'
        ):
            name = ros_type(str(name))
            self._channels[key] = Channel(
                str(topic), name, definitions.get(name, ''), str(serialization)
            )

    def _list_messages(self, execute: Execute) -> None:
        listed = _Columns()
        for _ in range(_MOST_HOLES):
            try:
                for row in execute(f'{_LIST} WHERE rowid > ? ORDER BY rowid', (listed.last,)):
                    listed.add(row)
                break
            except sqlite3.Error as error:
                last = listed.last
                row = _next_row(execute, last)
                self._problems.count(
                    f'{self._name} is damaged: messages are lost in {{count}} place{{s}}',
                    last,
                    f'the first after {len(listed)} messages, {error}',
                )
                if row is None:
                    break
                listed.add(row)
        self._times, self._rows, self._topics = listed.arrays()
        if listed.odd:
            self._problems.add(f'{self._name}: {listed.odd} rows of messages hold no numbers')


def _cut_page(file: BinaryIO) -> bytes:
    """
    Return the last bytes of a file that was cut off inside a page; b'' for any other file.

    SQLite reads the missing rest of the page as zeros, also inside a message.
    """
    file.seek(0)
    header = file.read(18)
    if len(header) < 18:
        return b''
    page = int.from_bytes(header[16:18], 'big')
    page = 65536 if page == 1 else page
    size = file.seek(0, os.SEEK_END)
    if page < 512 or size % page == 0:
        return b''
    file.seek(size - size % page)
    data = file.read().rstrip(b'\0')[-_TELLING:]
    return data if len(data) == _TELLING else b''


def _next_row(execute: Execute, last: int) -> Row | None:
    """Return the first row behind damage that can be read again; None if there is none."""
    bad, step = max(last, 0), 1
    while (found := _row_from(execute, bad + step)) is None:
        step *= 2
        if step > _FURTHEST:
            return None
    good, bad = bad + step, bad + step // 2
    while good - bad > 1:
        middle = (good + bad) // 2
        row = _row_from(execute, middle)
        if row is None:
            bad = middle
        else:
            good, found = middle, row
    return found


def _row_from(execute: Execute, rowid: int) -> Row | None:
    try:
        row = execute(f'{_LIST} WHERE rowid >= ? ORDER BY rowid LIMIT 1', (rowid,)).fetchone()
    except sqlite3.Error:
        return None
    return row if row and row[1] >= rowid else None


class _Columns:
    """Rows of three numbers, kept as arrays: a few bytes for each message of a long recording."""

    def __init__(self) -> None:
        self.last = -1 << 62
        self.odd = 0
        self._block: list[Row] = []
        self._blocks: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self._block) + _BLOCK * len(self._blocks)

    def add(self, row: Row) -> None:
        if row[1] <= self.last:  # pages that lead in a circle
            raise sqlite3.DatabaseError('rows are out of order')
        self.last = row[1]
        if not all(isinstance(value, int) for value in row):
            self.odd += 1
            return
        self._block.append(row)
        if len(self._block) == _BLOCK:
            self._flush()

    def _flush(self) -> None:
        self._blocks.append(np.asarray(self._block, np.int64).reshape(-1, 3))
        self._block = []

    def arrays(self) -> np.ndarray:
        self._flush()
        return np.concatenate(self._blocks).T


def _prepare(uri: str) -> sqlite3.Connection:
    database = sqlite3.connect(uri, uri=True, check_same_thread=False)
    try:
        # Otherwise a file that is shorter than its header says cannot be opened at all.
        database.execute('PRAGMA writable_schema=ON')
        database.execute('SELECT name FROM sqlite_master').fetchone()
    except sqlite3.Error:
        database.close()
        raise
    database.text_factory = lambda data: data.decode('utf-8', 'replace')
    return database
