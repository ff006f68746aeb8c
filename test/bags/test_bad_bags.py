"""Bags that are broken: what can be read comes, the rest is named, and nothing else happens."""

import math
import os
import shutil
import sqlite3
import struct
from pathlib import Path

import numpy as np
import pytest
import yaml
from bag_files import (
    AUDIO_STAMPED,
    IMAGE,
    definition,
    foreign_cdr,
    scene_messages,
    write_mcap,
    write_ours,
    write_sqlite,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.records import Message as McapMessage
from mcap.stream_reader import StreamReader
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter

from avsol_ros.bags import BagReader, find_streams
from avsol_ros.errors import AvsolError

MESSAGES = scene_messages(1, width=64, height=48, frame_rate=10, chunk=1600)


def read(path):
    """Return (topic, log time, bytes) of all messages, and the problems."""
    with BagReader(path) as reader:
        messages = [(m.topic, m.log_ns, m.raw) for m in reader.messages()]
        return messages, reader.problems


def refusal(path):
    """Return the one line with which a bag is refused."""
    with pytest.raises(AvsolError) as error:
        read(path)
    assert '\n' not in str(error.value)
    return str(error.value)


def wanted(messages=MESSAGES):
    return [(topic, log_ns, foreign_cdr(kind, fields)) for topic, kind, log_ns, fields in messages]


def write_loose(path, messages=MESSAGES, finish=True, **options):
    """Write an MCAP without chunks, with mcap's own writer; unfinished, it has no end."""
    with open(path, 'wb') as file:
        writer = McapWriter(file, use_chunking=False, compression=CompressionType.NONE, **options)
        writer.start(profile=options.get('profile', 'ros2'))
        channels = {}
        for topic, kind, log_ns, fields in messages:
            if topic not in channels:
                schema = writer.register_schema(kind, 'ros2msg', definition(kind).encode())
                channels[topic] = writer.register_channel(topic, 'cdr', schema)
            writer.add_message(channels[topic], log_ns, foreign_cdr(kind, fields), log_ns)
        if finish:
            writer.finish()
    return path


def chunks_of(path):
    """Return the index of the chunks, in the order of the file, as mcap's own reader has it."""
    with open(path, 'rb') as file:
        return sorted(
            make_reader(file).get_summary().chunk_indexes,
            key=lambda chunk: chunk.chunk_start_offset,
        )


@pytest.fixture
def small_chunks(tmp_path):
    return write_mcap(tmp_path / 'small.mcap', MESSAGES, 'zstd', chunk_size=20_000)


# Folders and their metadata.


def test_missing_metadata(tmp_path):
    folder = write_sqlite(tmp_path / 'bag', MESSAGES, metadata=False)
    messages, problems = read(folder)
    assert messages == wanted()
    assert problems == ['metadata.yaml is missing: read from the files themselves']


@pytest.mark.parametrize(
    'text',
    [
        '',
        'a: [',
        '\x00\x01',
        '- 1\n- 2',
        'other: {}',
        '!!python/x 1',
        'rosbag2_bagfile_information: 7',
    ],
)
def test_metadata_that_is_something_else(tmp_path, text):
    folder = write_sqlite(tmp_path / 'bag', MESSAGES)
    (folder / 'metadata.yaml').write_text(text)
    messages, problems = read(folder)
    assert messages == wanted()
    assert len(problems) == 1 and problems[0].startswith('metadata.yaml')
    assert '\n' not in problems[0]


def test_metadata_with_other_counts_and_types(tmp_path):
    folder = write_sqlite(tmp_path / 'bag', MESSAGES)
    path = folder / 'metadata.yaml'
    content = yaml.safe_load(path.read_text())
    bag = content['rosbag2_bagfile_information']
    bag['topics_with_message_count'][0]['message_count'] += 3
    bag['topics_with_message_count'][1]['message_count'] = 'many'
    bag['topics_with_message_count'].append(17)
    bag['files'] = bag['custom_data'] = 'none'
    path.write_text(yaml.safe_dump(content))
    messages, problems = read(folder)
    assert messages == wanted()
    topic = bag['topics_with_message_count'][0]['topic_metadata']['name']
    count = sum(message[0] == topic for message in MESSAGES)
    assert problems == [f'metadata.yaml says {count + 3} messages of {topic}; there are {count}']


def test_compression_that_is_unknown(tmp_path):
    folder = write_sqlite(tmp_path / 'bag', MESSAGES[:3])
    path = folder / 'metadata.yaml'
    for name, problems in (
        ('zstd', []),
        ('none', []),
        (7, []),
        (
            'bz2',
            [
                'metadata.yaml says that the compression is bz2; only zstd can be read: record or '
                'convert with zstd'
            ],
        ),
    ):
        content = yaml.safe_load(path.read_text())
        bag = content['rosbag2_bagfile_information']
        bag['compression_format'] = name
        path.write_text(yaml.safe_dump(content))
        assert read(folder) == (wanted(MESSAGES[:3]), problems)


@pytest.mark.parametrize('metadata', [True, False])
def test_file_beside_itself_compressed(tmp_path, metadata):
    """A recorder that is stopped while it compresses leaves both; no message comes twice."""
    folder = write_ours(tmp_path / 'bag', MESSAGES, compression='file')
    plain = write_ours(tmp_path / 'plain', MESSAGES) / 'plain.mcap'
    compressed = folder / 'bag.mcap.zstd'
    shutil.copy(plain, folder / 'bag.mcap')
    if not metadata:
        (folder / 'metadata.yaml').unlink()
        compressed.write_bytes(compressed.read_bytes()[:1000])
    messages, problems = read(folder)
    assert [message[:2] for message in messages] == [message[:2] for message in wanted()]
    assert problems[-1] == (
        'bag.mcap is not read: bag.mcap.zstd is the same'
        if metadata
        else 'bag.mcap.zstd is not read: bag.mcap is the same'
    )


def test_missing_file_of_several(tmp_path):
    folder = tmp_path / 'bag'
    half = len(MESSAGES) // 2
    write_sqlite(folder, MESSAGES[:half])
    content = yaml.safe_load((folder / 'metadata.yaml').read_text())
    content['rosbag2_bagfile_information']['relative_file_paths'].append('bag_1.db3')
    (folder / 'metadata.yaml').write_text(yaml.safe_dump(content))
    messages, problems = read(folder)
    assert messages == wanted(MESSAGES[:half])
    assert problems == ['bag_1.db3 is missing; metadata.yaml names it']


def test_files_that_metadata_does_not_name(tmp_path):
    folder = write_sqlite(tmp_path / 'bag', MESSAGES)
    (folder / 'bag_0.db3').rename(folder / 'renamed_0.db3')
    messages, problems = read(folder)
    assert messages == wanted()
    assert problems == [
        'bag_0.db3 is missing; metadata.yaml names it',
        'renamed_0.db3 is not named in metadata.yaml; it is read as well',
    ]


def test_all_files_missing(tmp_path):
    folder = write_sqlite(tmp_path / 'bag', MESSAGES)
    (folder / 'bag_0.db3').unlink()
    assert refusal(folder).endswith('has a metadata.yaml and none of its files: bag_0.db3')


def test_one_file_of_several_is_broken(tmp_path):
    folder = tmp_path / 'bag'
    folder.mkdir()
    write_mcap(folder / 'bag_0.mcap', MESSAGES[:10])
    (folder / 'bag_1.mcap').write_text('this is text')
    write_mcap(folder / 'bag_2.mcap', MESSAGES[10:])
    messages, problems = read(folder)
    assert messages == wanted()
    assert "bag_1.mcap is no MCAP file: it begins with b'this is '" in problems


def test_what_is_no_bag(tmp_path):
    assert refusal(tmp_path / 'none').startswith('there is no bag')
    assert 'expected a folder with metadata.yaml' in refusal(tmp_path)
    film = tmp_path / 'film.mp4'
    film.write_bytes(b'x')
    assert 'expected a folder with metadata.yaml' in refusal(film)
    for name in ('empty.mcap', 'empty.db3'):
        (tmp_path / name).write_bytes(b'')
        assert refusal(tmp_path / name) == f'{name} is empty'
    (tmp_path / 'text.mcap').write_text('hello, this is a text\n')
    assert (
        refusal(tmp_path / 'text.mcap') == "text.mcap is no MCAP file: it begins with b'hello, t'"
    )
    (tmp_path / 'text.db3').write_text('hello, this is a text\n')
    assert refusal(tmp_path / 'text.db3').startswith('text.db3 is no SQLite file')
    (tmp_path / 'text.mcap.zstd').write_text('hello, this is a text\n')
    assert 'text.mcap.zstd cannot be decompressed to its end' in refusal(
        tmp_path / 'text.mcap.zstd'
    )


def test_folder_of_bags(tmp_path):
    write_sqlite(tmp_path / 'one', MESSAGES[:1])
    assert 'holds bags and is none: one; name one of them' in refusal(tmp_path)


def test_recording_of_ros1(tmp_path):
    old = tmp_path / 'old.bag'
    old.write_bytes(b'#ROSBAG V2.0\n' + bytes(100))
    for path in (
        old,
        shutil.copy(old, tmp_path / 'renamed.mcap'),
        shutil.copy(old, tmp_path / 'renamed.db3'),
    ):
        assert 'is a recording of ROS 1; convert it: rosbags-convert' in refusal(path)
    folder = tmp_path / 'folder'
    folder.mkdir()
    shutil.copy(old, folder)
    assert 'rosbags-convert' in refusal(folder)


@pytest.mark.parametrize('write', [write_mcap, write_loose])
def test_empty_mcap(tmp_path, write):
    path = write(tmp_path / 'none.mcap', [])
    with BagReader(path) as reader:
        assert (reader.start_ns, reader.end_ns, reader.topics) == (0, 0, {})
        assert list(reader.messages()) == []
        assert reader.problems == []
        with pytest.raises(AvsolError, match='no camera topic with messages.*it has no topics'):
            find_streams(reader)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_bag_without_messages(tmp_path, storage):
    from avsol_ros.bags import BagWriter

    with BagWriter(tmp_path / 'bag', storage) as writer:
        writer.add_topic('/camera', IMAGE)
    with BagReader(tmp_path / 'bag') as reader:
        assert reader.topics['/camera'].count == 0
        assert (reader.start_ns, reader.end_ns) == (0, 0)
        assert list(reader.messages()) == []
        assert reader.problems == []


@pytest.mark.skipif(os.geteuid() == 0, reason='root may read everything')
def test_permission(tmp_path):
    path = write_mcap(tmp_path / 'mine.mcap', MESSAGES)
    path.chmod(0)
    assert 'mine.mcap cannot be read: Permission denied' in refusal(path)


def test_read_errors_are_named(tmp_path, monkeypatch):
    path = write_mcap(tmp_path / 'mine.mcap', MESSAGES)
    with monkeypatch.context() as patched:
        patched.setattr(Path, 'open', _denied)
        assert refusal(path) == 'mine.mcap cannot be read: Permission denied'
    with BagReader(path) as reader:
        path.unlink()
        assert list(reader.messages()) == []
        assert reader.problems == ['mine.mcap cannot be read on: No such file or directory']


def _denied(*_, **__):
    raise PermissionError(13, 'Permission denied')


# MCAP.


@pytest.mark.parametrize('compression', ['none', 'zstd', 'lz4'])
def test_cut_between_and_inside_of_chunks(tmp_path, compression):
    path = write_mcap(tmp_path / 'whole.mcap', MESSAGES, compression, chunk_size=20_000)
    data = path.read_bytes()
    chunks = chunks_of(path)
    assert len(chunks) > 3
    whole = 0
    for chunk in chunks:
        cut = tmp_path / 'cut.mcap'
        cut.write_bytes(data[: chunk.chunk_start_offset + chunk.chunk_length // 2])
        messages, problems = read(cut)
        assert messages == wanted()[: len(messages)]
        assert len(messages) >= whole
        assert 'cut.mcap has no index: the file is cut off' in problems
        assert any(
            f'ends in the middle, at byte {chunk.chunk_start_offset} of' in line
            for line in problems
        )
        whole += sum(_messages_in(data, chunk))
    assert whole == len(MESSAGES)


def test_cut_chunk_gives_the_messages_before_the_cut(tmp_path):
    path = write_mcap(tmp_path / 'one.mcap', MESSAGES, 'none', chunk_size=1 << 22)
    data = path.read_bytes()
    (chunk,) = chunks_of(path)
    cut = tmp_path / 'cut.mcap'
    cut.write_bytes(data[: chunk.chunk_start_offset + chunk.chunk_length // 2])
    messages, problems = read(cut)
    # Half of the bytes, to within one picture.
    size = sum(len(raw) for _, _, raw in wanted())
    assert 0 <= size / 2 - sum(len(raw) for _, _, raw in messages) < 64 * 48 * 3 + 8000
    assert messages == wanted()[: len(messages)]
    assert any('it is cut off' in line for line in problems)


def _messages_in(data, chunk):
    for offset in chunk.message_index_offsets.values():
        yield struct.unpack_from('<I', data, offset + 11)[0] // 16


@settings(max_examples=30)
@given(share=st.floats(0, 1))
def test_cut_anywhere_without_chunks(tmp_path_factory, share):
    folder = tmp_path_factory.mktemp('loose')
    data = write_loose(folder / 'whole.mcap', finish=False).read_bytes()
    at = round(share * len(data))
    (folder / 'cut.mcap').write_bytes(data[:at])
    if at < 8:
        assert 'cut.mcap' in refusal(folder / 'cut.mcap')
        return
    messages, problems = read(folder / 'cut.mcap')
    assert messages == wanted()[: _whole_messages(folder / 'cut.mcap')]
    assert any('at byte' in line and f'of {at}' in line for line in problems)


def _whole_messages(path):
    count = 0
    try:
        with open(path, 'rb') as file:
            for record in StreamReader(file, record_size_limit=None).records:
                count += isinstance(record, McapMessage)
    except Exception:  # mcap's own reader gives up at the cut
        pass
    return count


@pytest.mark.parametrize('fault', ['checksum', 'compression'])
def test_broken_chunk_costs_only_itself(tmp_path, fault):
    path = write_mcap(tmp_path / 'bag.mcap', MESSAGES, 'zstd', chunk_size=20_000)
    data = bytearray(path.read_bytes())
    chunk = chunks_of(path)[1]
    lost = sum(_messages_in(data, chunk))
    if fault == 'checksum':
        data[chunk.chunk_start_offset + 9 + 24] ^= 1
        reason = 'its checksum is wrong'
    else:
        start = chunk.chunk_start_offset + chunk.chunk_length - chunk.compressed_size
        data[start : start + 8] = bytes(8)
        reason = 'it cannot be decompressed'
    path.write_bytes(data)
    messages, problems = read(path)
    assert len(messages) == len(MESSAGES) - lost
    assert set(messages) < set(wanted())
    (line,) = problems
    assert f'chunk at byte {chunk.chunk_start_offset}, {lost} messages are lost' in line
    assert reason in line


def test_damaged_sizes_in_a_large_file(small_chunks):
    """Neither a chunk nor an index that claims most of a large file is read into memory."""
    data = small_chunks.read_bytes()
    first = chunks_of(small_chunks)[0]
    head = struct.pack('<BQ', 6, 1 << 40)
    with open(small_chunks, 'wb') as file:
        file.write(data[: first.chunk_start_offset] + head)
        file.truncate(3 << 30)  # the rest takes no room on the disk
        file.seek(-37, os.SEEK_END)
        file.write(struct.pack('<BQQQI', 2, 20, len(data), 0, 0) + b'\x89MCAP0\r\n')
    messages, problems = read(small_chunks)
    assert messages == []
    assert any('has no index: the footer claims one of 3' in line for line in problems)
    assert any(
        f'chunk at byte {first.chunk_start_offset} is lost: it claims {1 << 40} bytes' in line
        for line in problems
    )


def test_broken_chunk_without_index(small_chunks):
    data = bytearray(small_chunks.read_bytes())
    chunks = chunks_of(small_chunks)
    data[chunks[1].chunk_start_offset + 9 + 24] ^= 1
    last = chunks[-1]
    small_chunks.write_bytes(data[: last.chunk_start_offset + last.chunk_length])
    messages, problems = read(small_chunks)
    assert len(messages) == len(MESSAGES) - sum(_messages_in(data, chunks[1]))
    assert any('its checksum is wrong' in line for line in problems)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('fault', ['cut', 'noise'])
def test_damaged_compressed_file(tmp_path, storage, fault):
    noise = np.random.default_rng(0).integers(0, 256, (40, 50_000), np.uint8)
    rows = [('/camera', IMAGE, index, {'data': row.tobytes()}) for index, row in enumerate(noise)]
    folder = write_ours(tmp_path / 'bag', rows, storage, 'file')
    path = next(path for path in folder.iterdir() if path.suffix == '.zstd')
    data = bytearray(path.read_bytes())
    if fault == 'cut':
        del data[len(data) * 2 // 3 :]
    else:
        data[len(data) * 2 // 3 :] = bytes(len(data) - len(data) * 2 // 3)
    path.write_bytes(data)
    messages, problems = read(folder)
    assert 20 <= len(messages) <= 27
    # Zeros go unnoticed in the one block that they begin in: SQLite has no checksums, and that of
    # a chunk which is cut off a little later is of no use.
    sure = len(messages) - (fault == 'noise')
    assert messages[:sure] == wanted(rows)[:sure]
    assert any(f'{path.name} cannot be decompressed to its end' in line for line in problems)


def test_wrong_summary_is_not_trusted(small_chunks):
    data = bytearray(small_chunks.read_bytes())
    data[-80] ^= 0xFF
    small_chunks.write_bytes(data)
    messages, problems = read(small_chunks)
    assert messages == wanted()
    assert problems == ['small.mcap has no index: its checksum is wrong']


def test_file_without_index_is_no_problem(tmp_path):
    shuffled = [m for at in range(0, len(MESSAGES), 6) for m in MESSAGES[at : at + 6][::-1]]
    path = write_loose(
        tmp_path / 'loose.mcap',
        shuffled,
        use_statistics=False,
        repeat_channels=False,
        repeat_schemas=False,
        use_summary_offsets=False,
    )
    messages, problems = read(path)
    assert [m[1] for m in messages] == sorted(m[2] for m in MESSAGES)
    assert sorted(messages) == sorted(wanted())
    assert problems == []


def test_other_profile(tmp_path):
    path = tmp_path / 'other.mcap'
    write_loose(path, MESSAGES)
    data = path.read_bytes()
    assert data.count(b'\x04\0\0\0ros2') == 1
    path.write_bytes(data.replace(b'\x04\0\0\0ros2', b'\x04\0\0\0mine'))
    messages, problems = read(path)
    assert messages == wanted()
    assert problems == []


def test_enormous_claims(tmp_path):
    """Lengths of 16 EiB neither allocate nor loop."""
    path = write_loose(tmp_path / 'loose.mcap', finish=False)
    data = bytearray(path.read_bytes())
    at = data.index(b'\x05', len(data) // 2)
    while struct.unpack_from('<Q', data, at + 1)[0] > 1 << 20:
        at = data.index(b'\x05', at + 1)
    data[at + 1 : at + 9] = b'\xff' * 8
    path.write_bytes(data)
    messages, problems = read(path)
    assert set(messages) <= set(wanted())
    assert problems


# SQLite.


def test_truncated_sqlite(tmp_path):
    folder = write_sqlite(tmp_path / 'bag', MESSAGES)
    path = folder / 'bag_0.db3'
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    messages, problems = read(folder)
    assert len(MESSAGES) / 3 < len(messages) < len(MESSAGES)
    assert messages == [message for message in wanted() if message in messages]
    assert any('bag_0.db3' in line for line in problems)


def test_damaged_page_of_sqlite(tmp_path):
    folder = write_sqlite(tmp_path / 'bag', MESSAGES, definitions=False)
    path = folder / 'bag_0.db3'
    data = bytearray(path.read_bytes())
    # A page of the messages' tree: one that holds the end of a picture and the next rows.
    page = data.index(wanted()[len(MESSAGES) // 2][2][:40]) // 4096 * 4096
    data[page : page + 8] = b'\xff' * 8
    path.write_bytes(data)
    messages, problems = read(folder)
    assert len(MESSAGES) * 0.7 < len(messages) < len(MESSAGES)
    assert set(messages) < set(wanted())
    assert any('is damaged: messages are lost in' in line for line in problems)


def test_sqlite_of_something_else(tmp_path):
    path = tmp_path / 'other.db3'
    database = sqlite3.connect(path)
    database.execute('CREATE TABLE birds(name TEXT)')
    database.commit()
    assert refusal(path) == (
        'other.db3 has no table messages: it is a SQLite file but no recording of rosbag2'
    )
    database.execute('CREATE TABLE messages(id INTEGER)')
    database.execute('CREATE TABLE topics(id INTEGER)')
    database.commit()
    database.close()
    assert 'other.db3 cannot be read' in refusal(path)


def test_sqlite_rows_of_wrong_kinds(tmp_path):
    folder = write_sqlite(tmp_path / 'bag', MESSAGES)
    database = sqlite3.connect(folder / 'bag_0.db3')
    database.execute("INSERT INTO messages (topic_id, timestamp, data) VALUES (1, 'noon', x'00')")
    database.execute("INSERT INTO messages (topic_id, timestamp, data) VALUES (1, 5, 'text')")
    database.execute("INSERT INTO messages (topic_id, timestamp, data) VALUES (77, 5, x'00')")
    database.commit()
    database.close()
    messages, problems = read(folder)
    assert messages == wanted()
    assert any('1 rows of messages hold no numbers' in line for line in problems)
    assert any('1 messages of topics that it does not name' in line for line in problems)
    assert any('1 message cannot be read (no data)' in line for line in problems)


def test_sqlite_that_was_not_closed(tmp_path):
    """Messages that are still in the write-ahead log count, as when a recorder was killed."""
    folder = write_sqlite(tmp_path / 'bag', MESSAGES[:5])
    database = sqlite3.connect(folder / 'bag_0.db3')
    database.execute('PRAGMA journal_mode=WAL')
    database.execute(
        'INSERT INTO messages (topic_id, timestamp, data) VALUES (1, ?, ?)',
        (MESSAGES[5][2], b'\0\1\0\0'),
    )
    database.commit()
    shutil.copytree(folder, tmp_path / 'left')  # as it lies there while it is open
    database.close()
    assert (tmp_path / 'left' / 'bag_0.db3-wal').stat().st_size > 0
    messages, problems = read(tmp_path / 'left')
    assert len(messages) == 6
    assert len(problems) == 1 and 'metadata.yaml says' in problems[0]


def test_sqlite_that_was_not_closed_where_nothing_may_be_written(tmp_path, monkeypatch):
    folder = write_sqlite(tmp_path / 'bag', MESSAGES[:5])
    (folder / 'bag_0.db3-wal').write_bytes(b'log')
    connect = sqlite3.connect

    def refuse_to_write(place, **options):
        if 'immutable' not in place:
            raise sqlite3.OperationalError('unable to open database file')
        return connect(place, **options)

    monkeypatch.setattr(sqlite3, 'connect', refuse_to_write)
    messages, problems = read(folder)
    assert messages == wanted(MESSAGES[:5])
    assert len(problems) == 1 and problems[0].startswith(
        'bag_0.db3-wal cannot be read (unable to open database file): its messages are missing'
    )


# Messages.


def test_times_that_run_backwards(tmp_path):
    later = [
        (topic, kind, log_ns - 20_000_000_000, fields) for topic, kind, log_ns, fields in MESSAGES
    ]
    for path in (
        write_mcap(tmp_path / 'back.mcap', MESSAGES + later, chunk_size=20_000),
        write_loose(tmp_path / 'loose.mcap', MESSAGES + later),
        write_sqlite(tmp_path / 'back', MESSAGES + later),
    ):
        messages, problems = read(path)
        assert messages == wanted(later) + wanted()
        (line,) = problems
        assert 'the log time goes back by up to 2' in line and 'in order of log time' in line


def test_messages_that_do_not_decode(tmp_path):
    folder = write_sqlite(tmp_path / 'bag', MESSAGES)
    database = sqlite3.connect(folder / 'bag_0.db3')
    (topic,) = database.execute("SELECT id FROM topics WHERE name='/camera/image_raw'").fetchone()
    for index, data in enumerate(
        [
            b'',
            b'\0\1',
            b'\0\1\0\0',
            b'\0\1\0\0' + b'\xff' * 50,
            b'\0\7\0\0' + bytes(50),
            bytes(60),
            b'\x28\xb5\x2f\xfdxxxx',
        ]
    ):
        database.execute(
            'INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)',
            (topic, index, data),
        )
    database.commit()
    database.close()
    with BagReader(folder) as reader:
        for _ in range(2):  # the second time tells nothing new
            good = 0
            for message in reader.messages(['/camera/image_raw']):
                try:
                    message.decode()
                    good += 1
                except AvsolError as error:
                    assert '/camera/image_raw cannot be decoded' in str(error)
            assert good == 10
            lines = [line for line in reader.problems if '/camera/image_raw: ' in line]
            assert len(lines) == 2
            assert any('6 messages cannot be decoded' in line for line in lines)
            assert any('1 message cannot be decompressed' in line for line in lines)


def test_other_serializations(tmp_path):
    path = tmp_path / 'mixed.mcap'
    with path.open('wb') as file:
        writer = McapWriter(file)
        writer.start(profile='')
        schema = writer.register_schema('Thing', 'jsonschema', b'{}')
        writer.add_message(writer.register_channel('/json', 'json', schema), 1, b'{}', 1)
        writer.add_message(writer.register_channel('/none', 'cdr', 0), 2, b'\0\1\0\0', 2)
        schema = writer.register_schema('my_msgs/msg/Odd', 'ros2msg', b'this is {no} definition')
        writer.add_message(writer.register_channel('/odd', 'cdr', schema), 3, b'\0\1\0\0', 3)
        schema = writer.register_schema(IMAGE, 'ros2msg', b'broken [ definition')
        image = next(m for m in MESSAGES if m[1] == IMAGE)
        writer.add_message(
            writer.register_channel('/image', 'cdr', schema), 4, foreign_cdr(IMAGE, image[3]), 4
        )
        writer.finish()
    with BagReader(path) as reader:
        found = {message.topic: message for message in reader.messages()}
        assert list(found) == ['/json', '/none', '/odd', '/image']
        for topic, reason in (
            ('/json', "encoded as 'json', not as CDR"),
            ('/none', 'no definition'),
            ('/odd', 'my_msgs/msg/Odd'),
        ):
            with pytest.raises(AvsolError, match=reason):
                found[topic].decode()
        assert found['/image'].decode().height == 48  # by the built-in definition
        assert any(
            line.startswith('/image: the definition of sensor_msgs/msg/Image cannot')
            for line in reader.problems
        )


@pytest.mark.parametrize(
    'text',
    [
        'my_msgs/Odd again',
        'my_msgs/Odd[3] again',
        'geometry_msgs/Point[2000000000] points',
        'string[2000000000] names',
        'my_msgs/Unknown what',
        'uint8 a\nuint8 a',
        'uint8 1x',
        'float128 wide\n',
        'module my_msgs {',
        '=' * 80,
        'uint8 x = 5 6 7\nnothing',
    ],
)
def test_impossible_definitions(tmp_path, text):
    path = tmp_path / 'odd.mcap'
    with path.open('wb') as file:
        writer = McapWriter(file)
        writer.start(profile='ros2')
        schema = writer.register_schema('my_msgs/msg/Odd', 'ros2msg', text.encode())
        writer.add_message(writer.register_channel('/odd', 'cdr', schema), 1, bytes(64), 1)
        writer.finish()
    with BagReader(path) as reader:
        (message,) = reader.messages()
        with pytest.raises(AvsolError, match='/odd cannot be decoded') as error:
            message.decode()
        assert '\n' not in str(error.value)


def test_topic_with_two_types(tmp_path):
    write_mcap(tmp_path / 'bag_0.mcap', [m for m in MESSAGES if m[1] == IMAGE])
    sound = scene_messages(1, camera='', sound='mgonzs13', truth=False)
    write_mcap(tmp_path / 'bag_1.mcap', [('/camera/image_raw', *m[1:]) for m in sound])
    with BagReader(tmp_path) as reader:
        kinds = {type(message.decode()).__name__ for message in reader.messages()}
        assert len(kinds) == 2
        assert any(f'several types: {IMAGE}, {AUDIO_STAMPED}' in line for line in reader.problems)


# Whatever else.


@pytest.fixture(scope='module')
def intact(tmp_path_factory):
    folder = tmp_path_factory.mktemp('intact')
    messages = scene_messages(1, width=32, height=24, frame_rate=5, chunk=1600)
    return [
        write_mcap(folder / 'none.mcap', messages, 'none', 4000),
        write_mcap(folder / 'zstd.mcap', messages, 'zstd', 4000),
        write_mcap(folder / 'lz4.mcap', messages, 'lz4', 4000),
        write_loose(folder / 'loose.mcap', messages),
        write_sqlite(folder / 'plain', messages) / 'plain_0.db3',
        write_ours(folder / 'file', messages, 'mcap', 'file') / 'file.mcap.zstd',
        write_ours(folder / 'files', messages, 'sqlite3', 'file') / 'files.db3.zstd',
        write_ours(folder / 'each', messages, 'sqlite3', 'message') / 'each.db3',
    ]


@settings(max_examples=200)
@given(data=st.data())
def test_any_damage(tmp_path_factory, intact, data):
    """Whatever bytes change: an end, no other error than ours, and no loss without a word."""
    source = data.draw(st.sampled_from(intact))
    content = bytearray(source.read_bytes())
    at = data.draw(st.integers(0, len(content)))
    content[at : at + data.draw(st.sampled_from([0, 1, 8, 200, len(content)]))] = data.draw(
        st.binary(max_size=200)
    )
    path = tmp_path_factory.getbasetemp() / f'damaged{"".join(source.suffixes)}'
    path.write_bytes(content)
    with BagReader(source) as reader:
        total = sum(topic.count for topic in reader.topics.values())
    try:
        with BagReader(path) as reader:
            count, last = 0, -math.inf
            for message in reader.messages():
                count += 1
                last = max(last, message.log_ns)
                try:
                    message.decode()
                except AvsolError as error:
                    assert '\n' not in str(error)
            assert count >= total or reader.problems
            assert all('\n' not in line for line in reader.problems)
    except AvsolError as error:
        assert '\n' not in str(error)
