"""Bags: what we write others read, what others write we read, message for message."""

import array
import errno
import importlib
import json
import os
import resource
import sqlite3
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import yaml
from bag_files import (
    AUDIO,
    AUDIO_DATA_STAMPED,
    AUDIO_INFO,
    AUDIO_STAMPED,
    COMPRESSED,
    DETECTIONS,
    IMAGE,
    ORIGIN_NS,
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
from mcap.records import Chunk
from mcap.stream_reader import StreamReader
from mcap.writer import Writer as McapWriter
from mcap_ros2.decoder import DecoderFactory

from avsol_ros.bags import (
    BagReader,
    BagWriter,
    decode,
    encode,
    find_streams,
    is_bag,
    make_message,
)
from avsol_ros.errors import AvsolError

SOUNDING_OBJECTS = 'avsol_ros/msg/SoundingObjects'
SOUNDS = ('stamped', 'plain', 'mgonzs13', 'mp3')
WRITTEN = [
    ('mcap', 'none'),
    ('mcap', 'message'),
    ('mcap', 'file'),
    ('mcap', 'chunk'),
    ('sqlite3', 'none'),
    ('sqlite3', 'message'),
    ('sqlite3', 'file'),
]


def plain(value):
    """Turn a message of whatever reader into dicts, lists and numbers."""
    if isinstance(value, (np.ndarray, list, tuple, bytes, array.array)):
        return [plain(v) for v in value]
    if isinstance(value, (bool, int, float, str, np.generic)):
        return value.item() if isinstance(value, np.generic) else value
    names = getattr(value, '__slots__', None) or vars(value)
    return {
        name.lstrip('_'): plain(getattr(value, name))
        for name in names
        if name not in ('_type', '_full_text', '_check_fields', '__msgtype__')
    }


@pytest.fixture(scope='module', params=SOUNDS)
def scene(request):
    return scene_messages(
        1,
        camera='jpeg' if request.param == 'mp3' else 'raw',
        sound=request.param,
        width=64,
        height=48,
        frame_rate=10,
        chunk=1600,
    )


@pytest.fixture(scope='module')
def messages():
    return scene_messages(1, width=64, height=48, frame_rate=10, chunk=1600)


def check(path, messages, problems=()):
    """Everything is in the bag as it was given, in order of log time."""
    with BagReader(path) as reader:
        found = list(reader.messages())
        assert [(m.topic, m.type, m.log_ns) for m in found] == [m[:3] for m in messages]
        for message, (_, kind, _, fields) in zip(found, messages):
            assert repr(message.decode()) == repr(make_message(kind, **fields))
        assert reader.problems == list(problems)
        assert (reader.start_ns, reader.end_ns) == (messages[0][2], messages[-1][2] + 1)
        counts = {name: topic.count for name, topic in reader.topics.items()}
        assert counts == {name: sum(m[0] == name for m in messages) for name in counts}
    return found


# What others wrote.


@pytest.mark.parametrize('compression', ['none', 'zstd', 'lz4'])
def test_foreign_mcap(tmp_path, scene, compression):
    found = check(write_mcap(tmp_path / 'foreign.mcap', scene, compression, 30_000), scene)
    assert [m.raw for m in found] == [foreign_cdr(kind, fields) for _, kind, _, fields in scene]


@pytest.mark.parametrize('definitions', [True, False])
def test_foreign_sqlite(tmp_path, scene, definitions):
    folder = write_sqlite(tmp_path / 'foreign', scene, definitions)
    check(folder, scene)
    check(folder / 'foreign_0.db3', scene)
    with BagReader(folder) as reader:
        assert all(bool(topic.definition) == definitions for topic in reader.topics.values())


def test_definitions_of_both_audio_packages(tmp_path):
    """In one bag even, though they cannot be installed together."""
    one = scene_messages(1, camera='', sound='stamped', truth=False)
    other = scene_messages(1, camera='', sound='mgonzs13', truth=False, origin_ns=ORIGIN_NS + 500)
    both = sorted(one + other, key=lambda m: m[2])
    check(write_mcap(tmp_path / 'both.mcap', both), both)
    check(write_sqlite(tmp_path / 'both', both, definitions=False), both)


def test_plain_audio_without_definition_goes_by_its_bytes(tmp_path):
    fields = {'int16_data': array.array('h', [1, -2, 3])}
    folder = tmp_path / 'bag'
    write_sqlite(folder, [('/audio', AUDIO, 5, {'data': b'abc'})], definitions=False)
    with sqlite3.connect(folder / 'bag_0.db3') as database:
        database.execute(
            'INSERT INTO messages (topic_id, timestamp, data) VALUES (1, 6, ?)',
            (foreign_cdr(AUDIO, fields, mgonzs13=True),),
        )
    with BagReader(folder / 'bag_0.db3') as reader:
        first, second = (m.decode() for m in reader.messages())
    assert bytes(first.data) == b'abc'
    assert second.int16_data.tolist() == [1, -2, 3]


def _recorded(tmp_path, kind, text, raw):
    path = tmp_path / 'old.mcap'
    with path.open('wb') as file:
        writer = McapWriter(file)
        writer.start(profile='ros2')
        schema = writer.register_schema(
            kind, 'ros2idl' if 'module' in text else 'ros2msg', text.encode()
        )
        writer.add_message(writer.register_channel('/topic', 'cdr', schema), 1, raw, 1)
        writer.finish()
    with BagReader(path) as reader:
        (message,) = reader.messages()
        assert reader.problems == []
        return message.decode()


def test_results_from_before_audio_missing(tmp_path):
    text = definition(SOUNDING_OBJECTS)
    old = '\n'.join(line for line in text.splitlines() if 'float32 audio_missing' not in line)
    assert old != text.rstrip('\n')
    from mcap_ros2._dynamic import serialize_dynamic

    raw = serialize_dynamic(SOUNDING_OBJECTS, old)[SOUNDING_OBJECTS](
        {'avc_probability': 0.25, 'class_names': ['bird'], 'class_scores': [0.5]}
    )
    for message in (
        _recorded(tmp_path, SOUNDING_OBJECTS, old, raw),
        decode(raw, SOUNDING_OBJECTS),
    ):
        assert message.avc_probability == 0.25
        assert message.class_names == ['bird']
        assert not hasattr(message, 'audio_missing')
    assert make_message(SOUNDING_OBJECTS).audio_missing == 0


def test_vision_msgs_of_foxy_and_galactic(tmp_path):
    separator = '=' * 80 + '\nMSG: '
    box = (
        separator + 'vision_msgs/BoundingBox2D\ngeometry_msgs/Pose2D center\n'
        'float64 size_x\nfloat64 size_y\n'
    )
    pose = separator + 'geometry_msgs/Pose2D\nfloat64 x\nfloat64 y\nfloat64 theta\n'
    galactic = 'std_msgs/Header header\nvision_msgs/BoundingBox2D bbox\nstring id\n' + box + pose
    raw = bytes(
        encode(
            make_message(
                'vision_msgs/msg/Detection2D',
                id='7',
                bbox={'center': {'position': {'x': 1.5, 'y': 2.5}}, 'size_x': 3},
            )
        )
    )
    assert decode(raw, 'vision_msgs/msg/Detection2D').bbox.center.position.y == 2.5
    whole = galactic.replace(
        'vision_msgs/BoundingBox2D bbox',
        """\
vision_msgs/ObjectHypothesisWithPose[] results
vision_msgs/BoundingBox2D bbox""",
    )
    message = _recorded(tmp_path, 'vision_msgs/msg/Detection2D', whole, raw)
    assert (message.bbox.center.x, message.bbox.center.y, message.id) == (1.5, 2.5, '7')
    # Foxy's, whose bags bring no definitions: recognized by the length of its bytes.
    from mcap_ros2._dynamic import serialize_dynamic

    foxy = (
        'std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n'
        'vision_msgs/BoundingBox2D bbox\nsensor_msgs/Image source_img\nbool is_tracking\n'
        'string tracking_id\n'
        + box
        + pose
        + separator
        + 'vision_msgs/ObjectHypothesisWithPose\nstring id\nfloat64 score\n'
        + 'geometry_msgs/PoseWithCovariance pose\n'
        + separator
        + definition('geometry_msgs/msg/PoseWithCovariance').join(
            ['geometry_msgs/PoseWithCovariance\n', '']
        )
        + separator
        + 'sensor_msgs/Image\n'
        + definition(IMAGE)
    )
    raw = serialize_dynamic('vision_msgs/msg/Detection2D', foxy)['vision_msgs/msg/Detection2D'](
        {'results': [{'id': 'dog', 'score': 0.75}], 'tracking_id': 'x'}
    )
    message = decode(raw, 'vision_msgs/msg/Detection2D')
    assert (message.results[0].id, message.tracking_id) == ('dog', 'x')


def test_definition_as_idl(tmp_path):
    idl = (
        '=' * 80
        + """
IDL: my_msgs/msg/Reading
#include "std_msgs/msg/Header.idl"

module my_msgs {
  module msg {
    struct Reading {
      std_msgs::msg::Header header;
      sequence<float> values;
      uint16 count;
    };
  };
};
"""
    )
    text = (
        'std_msgs/Header header\nfloat32[] values\nuint16 count\n'
        + '=' * 80
        + '\nMSG: std_msgs/Header\n'
        + definition('std_msgs/msg/Header')
    )
    from mcap_ros2._dynamic import serialize_dynamic

    raw = serialize_dynamic('my_msgs/msg/Reading', text)['my_msgs/msg/Reading'](
        {'header': {'frame_id': 'here'}, 'values': [1.5, 2.5], 'count': 7}
    )
    message = _recorded(tmp_path, 'my_msgs/msg/Reading', idl, raw)
    assert message.values.tolist() == [1.5, 2.5]
    assert (message.header.frame_id, message.count) == ('here', 7)


def test_types_are_named_in_full(tmp_path):
    path = tmp_path / 'short.mcap'
    with path.open('wb') as file:
        writer = McapWriter(file)
        writer.start(profile='')
        schema = writer.register_schema('sensor_msgs/Image', 'ros2msg', definition(IMAGE).encode())
        writer.add_message(
            writer.register_channel('/camera', 'cdr', schema),
            1,
            foreign_cdr(IMAGE, {'height': 3}),
            1,
        )
        writer.finish()
    with BagReader(path) as reader:
        (message,) = reader.messages()
        assert reader.topics['/camera'].type == message.type == IMAGE
        assert message.decode().height == 3


# Order, files, memory.


def _split(folder, parts, storage='mcap'):
    folder.mkdir()
    for index, part in enumerate(parts):
        if storage == 'mcap':
            write_mcap(folder / f'bag_{index}.mcap', part, chunk_size=2000)
        else:
            write_sqlite(folder / 'made', part, metadata=False)
            (folder / 'made' / 'made_0.db3').rename(folder / f'bag_{index}.db3')
            (folder / 'made').rmdir()
    return folder


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_split_bag(tmp_path, messages, storage):
    thirds = [messages[:9], messages[9:14], messages[14:]]
    missing = ['metadata.yaml is missing: read from the files themselves']
    check(_split(tmp_path / 'bag', thirds, storage), messages, missing)
    # Files that overlap, as when several recorders ran.
    woven = [messages[index::3] for index in range(3)]
    check(_split(tmp_path / 'woven', woven, storage), messages, missing)


def test_more_than_ten_parts(tmp_path, messages):
    same = [(topic, kind, 7, fields) for topic, kind, _, fields in messages[:12]]
    folder = _split(tmp_path / 'bag', [[m] for m in same])
    with BagReader(folder) as reader:  # all at one moment: the order of the parts counts
        assert [m.topic for m in reader.messages()] == [m[0] for m in same]


@settings(max_examples=40)
@given(
    parts=st.lists(
        st.lists(st.tuples(st.sampled_from('abc'), st.integers(0, 30)), max_size=12),
        min_size=1,
        max_size=4,
    ),
    topics=st.none() | st.sets(st.sampled_from('abc')),
    chunk_size=st.integers(1, 200),
)
def test_order_of_any_times(tmp_path_factory, parts, topics, chunk_size):
    folder = tmp_path_factory.mktemp('order')
    number = 0
    expected, known = [], set()
    for index, part in enumerate(parts):
        rows = []
        for topic, time in part:
            rows.append((f'/{topic}', 'std_msgs/msg/String', time, {'data': str(number)}))
            expected.append((time, number, f'/{topic}'))
            known.add(f'/{topic}')
            number += 1
        write_mcap(folder / f'bag_{index}.mcap', rows, chunk_size=chunk_size)
    chosen = None if topics is None else {f'/{t}' for t in topics} & known
    with BagReader(folder) as reader:
        found = [(m.log_ns, int(m.decode().data), m.topic) for m in reader.messages(chosen)]
        again = [(m.log_ns, int(m.decode().data), m.topic) for m in reader.messages(chosen)]
    kept = [e for e in expected if chosen is None or e[2] in chosen]
    assert [f[0] for f in found] == sorted(e[0] for e in kept)
    assert sorted(found) == sorted(kept)
    assert found == again


def test_several_iterators_at_once(tmp_path, messages):
    with BagReader(write_sqlite(tmp_path / 'bag', messages)) as reader:
        pairs = list(zip(reader.messages(['/camera/image_raw']), reader.messages(), strict=False))
        assert [one.topic for one, _ in pairs] == ['/camera/image_raw'] * len(pairs)
        assert [other.log_ns for _, other in pairs] == [m[2] for m in messages[: len(pairs)]]


def test_topics_that_are_not_there(tmp_path, messages):
    with BagReader(write_mcap(tmp_path / 'x.mcap', messages)) as reader:
        with pytest.raises(AvsolError, match="no topic '/nothing'; it has /audio_info, "):
            reader.messages(['/nothing'])


MEGABYTE = 1 << 20


@pytest.mark.parametrize(
    ('storage', 'compression'),
    [('mcap', 'none'), ('mcap', 'chunk'), ('mcap', 'message'), ('sqlite3', 'none')],
)
def test_memory_does_not_grow_with_the_bag(tmp_path, storage, compression):
    noise = np.random.default_rng(0).integers(0, 256, MEGABYTE, np.uint8)
    peaks = []
    for count in (10, 60):
        with BagWriter(tmp_path / f'{count}', storage, compression) as writer:
            writer.add_topic('/camera', IMAGE)
            for index in range(count):
                writer.write('/camera', index, make_message(IMAGE, data=noise))
        tracemalloc.start()
        with BagReader(tmp_path / f'{count}') as reader:
            assert sum(len(m.decode().data) for m in reader.messages()) == count * MEGABYTE
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + MEGABYTE
    assert peaks[1] < 10 * MEGABYTE


def test_compressed_files_are_unpacked_one_at_a_time(tmp_path, messages, monkeypatch):
    temporary = tmp_path / 'temporary'
    temporary.mkdir()
    monkeypatch.setattr('tempfile.tempdir', str(temporary))
    folder = tmp_path / 'bag'
    folder.mkdir()
    for index in range(4):
        part = write_ours(
            tmp_path / f'bag_{index}', messages[index * 6 : index * 6 + 6], 'mcap', 'file'
        )
        (part / f'bag_{index}.mcap.zstd').rename(folder / f'bag_{index}.mcap.zstd')
    with BagReader(folder) as reader:
        assert list(temporary.iterdir()) == []
        times = []
        for message in reader.messages():
            times.append(message.log_ns)
            assert len(list(temporary.iterdir())) == 1
        assert times == [m[2] for m in messages[:24]]
        assert list(temporary.iterdir()) == []
        started = reader.messages()
        next(started)
        started.close()
        assert list(temporary.iterdir()) == []
    with BagReader(folder / 'bag_0.mcap.zstd') as reader:
        assert len(list(reader.messages())) == 6
    assert list(temporary.iterdir()) == []


# Metadata of all ages.


@pytest.mark.parametrize('version', range(1, 10))
def test_versions_of_metadata(tmp_path, messages, version):
    folder = write_sqlite(tmp_path / 'bag', messages, definitions=version >= 8)
    path = folder / 'metadata.yaml'
    content = yaml.safe_load(path.read_text())
    bag = content['rosbag2_bagfile_information']
    bag['version'] = version
    if version < 5:
        del bag['files']
    if version < 4:
        bag['relative_file_paths'] = ['bag/bag_0.db3']
    if version < 3:
        del bag['compression_format'], bag['compression_mode']
    if version >= 6:
        bag['custom_data'] = {'place': 'garden', 'number': 5} if version > 6 else None
    for topic in bag['topics_with_message_count']:
        if version >= 9:
            topic['topic_metadata']['offered_qos_profiles'] = [{'history': 'keep_last'}]
        if version >= 7:
            topic['topic_metadata']['type_description_hash'] = 'RIHS01_00'
    path.write_text(yaml.safe_dump(content))
    check(folder, messages)
    with BagReader(folder) as reader:
        assert reader.custom == ({'place': 'garden', 'number': '5'} if version > 6 else {})
        assert reader.name == 'bag'


def test_what_a_bag_is(tmp_path, messages):
    folder = write_sqlite(tmp_path / 'bag', messages)
    single = write_mcap(tmp_path / 'one.mcap', messages)
    squeezed = write_ours(tmp_path / 'small', messages, 'mcap', 'file')
    for path in (
        folder,
        folder / 'bag_0.db3',
        single,
        str(single),
        squeezed,
        squeezed / 'small.mcap.zstd',
    ):
        assert is_bag(path)
        with BagReader(path) as reader:
            assert reader.name in ('bag', 'bag_0', 'one', 'small')
    check(folder / 'metadata.yaml', messages)
    (tmp_path / 'empty').mkdir()
    for path in (
        tmp_path / 'empty',
        tmp_path / 'none',
        tmp_path / 'none.mcap',
        'clip.mp4',
        '',
        7,
        None,
        'a\0b.mcap',
        'x' * 5000,
    ):
        assert not is_bag(path)


def test_a_bag_is_recognized_without_rosbags(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'rosbags', None)
    for name in [name for name in sys.modules if name.startswith('avsol_ros.bags')]:
        monkeypatch.delitem(sys.modules, name)
    bags = importlib.import_module('avsol_ros.bags')
    (tmp_path / 'x.mcap').touch()
    assert bags.is_bag(tmp_path / 'x.mcap')
    with pytest.raises(ModuleNotFoundError) as error:
        _ = bags.BagReader
    assert error.value.name == 'rosbags'


# What we write.


@pytest.mark.parametrize(('storage', 'compression'), WRITTEN)
def test_round_trip(tmp_path, scene, storage, compression):
    folder = write_ours(
        tmp_path / 'ours', scene, storage, compression, custom={'avsol_origin_ns': '17'}
    )
    check(folder, scene)
    file = next(path for path in folder.iterdir() if path.name != 'metadata.yaml')
    check(file, scene)
    for path in (folder, file):
        with BagReader(path) as reader:
            assert reader.custom == {'avsol_origin_ns': '17'}
    assert os.listdir(tmp_path) == ['ours']
    bag = yaml.safe_load((folder / 'metadata.yaml').read_text())['rosbag2_bagfile_information']
    assert bag['version'] == 8
    assert bag['storage_identifier'] == storage
    assert bag['compression_mode'] == ('' if compression in ('none', 'chunk') else compression)
    assert bag['relative_file_paths'] == [file.name]
    for topic in bag['topics_with_message_count']:
        # Text, as the readers of Humble and Iron want it.
        (profile,) = yaml.safe_load(topic['topic_metadata']['offered_qos_profiles'])
        assert (profile['reliability'], profile['durability'], profile['depth']) == (1, 2, 10)


@pytest.mark.parametrize('compression', ['none', 'chunk'])
def test_our_mcap_in_the_foreign_reader(tmp_path, scene, compression):
    folder = write_ours(tmp_path / 'ours', scene, 'mcap', compression)
    with (folder / 'ours.mcap').open('rb') as file:
        reader = make_reader(file, validate_crcs=True, decoder_factories=[DecoderFactory()])
        found = list(reader.iter_decoded_messages())
        assert [
            (channel.topic, schema.name, message.log_time) for schema, channel, message, _ in found
        ] == [m[:3] for m in scene]
        for (*_, message), (_, kind, _, fields) in zip(found, scene):
            assert plain(message) == plain(make_message(kind, **fields))
        summary = reader.get_summary()
        assert reader.get_header().profile == 'ros2'
        assert summary.statistics.message_count == len(scene)
        assert all(channel.message_encoding == 'cdr' for channel in summary.channels.values())
    with (folder / 'ours.mcap').open('rb') as file:
        chunks = [r for r in StreamReader(file, emit_chunks=True).records if isinstance(r, Chunk)]
        assert chunks and all(chunk.uncompressed_crc for chunk in chunks)


def test_our_sqlite_by_plain_sql(tmp_path, messages):
    folder = write_ours(tmp_path / 'ours', messages, 'sqlite3')
    with sqlite3.connect(folder / 'ours.db3') as database:
        rows = database.execute(
            'SELECT name, type, timestamp, data FROM messages JOIN topics '
            'ON topics.id = topic_id ORDER BY timestamp, messages.id'
        ).fetchall()
        texts = dict(
            database.execute(
                'SELECT topic_type, encoded_message_definition FROM message_definitions'
            )
        )
    assert [(name, kind, time, _comparable(kind, data)) for name, kind, time, data in rows] == [
        (name, kind, time, _comparable(kind, foreign_cdr(kind, fields)))
        for name, kind, time, fields in messages
    ]
    assert set(texts) == {kind for _, kind, _, _ in messages}


def _comparable(kind, raw):
    # The default of a quaternion is not zero; the foreign encoder does not know that.
    return repr(decode(raw, kind)).replace('w=1.0', 'w=0.0')


def test_definitions_have_the_hashes_of_ros():
    """REP 2016's hash of each built-in type is that of the package as installed."""
    from avsol_ros.bags.type_definitions import definition_of

    for kind in (
        IMAGE,
        COMPRESSED,
        DETECTIONS,
        AUDIO_DATA_STAMPED,
        AUDIO_INFO,
        AUDIO,
        SOUNDING_OBJECTS,
        'std_msgs/msg/Header',
    ):
        package, _, name = kind.split('/')
        path = Path(sys.prefix) / 'share' / package / 'msg' / f'{name}.json'
        hashes = {
            entry['type_name']: entry['hash_string']
            for entry in json.loads(path.read_text())['type_hashes']
        }
        assert definition_of(kind)[1] == hashes[kind]


@pytest.mark.parametrize(
    'kind', [IMAGE, COMPRESSED, DETECTIONS, AUDIO_DATA_STAMPED, AUDIO_INFO, SOUNDING_OBJECTS]
)
def test_ros_reads_our_bytes(kind, messages):
    serialization = pytest.importorskip('rclpy.serialization')
    package, _, name = kind.split('/')
    ros_class = getattr(importlib.import_module(f'{package}.msg'), name)
    fields = next((m[3] for m in messages if m[1] == kind), {})
    if kind == SOUNDING_OBJECTS:
        fields = {
            'window_start': ORIGIN_NS,
            'avc_probability': 0.5,
            'class_names': ['a', 'bc'],
            'class_scores': [0.25, 1.0],
            'detections': [{'id': 'x'}, {'id': 'yz'}],
        }
    message = make_message(kind, **fields)
    read = serialization.deserialize_message(encode(message), ros_class)
    assert plain(decode(serialization.serialize_message(read), kind)) == plain(message)
    default = serialization.serialize_message(ros_class())
    assert plain(decode(default, kind)) == plain(make_message(kind))


def test_copy_of_a_foreign_topic(tmp_path):
    """A type that is not built in goes on with its definition, and a clashing one as well."""
    source = scene_messages(1, camera='', sound='mgonzs13', truth=False)
    audio = [
        ('/raw', AUDIO, log_ns, fields['audio']['audio_data']) for _, _, log_ns, fields in source
    ]
    path = tmp_path / 'source.mcap'
    text = definition(AUDIO, mgonzs13=True)
    with path.open('wb') as file:
        writer = McapWriter(file)
        writer.start(profile='ros2')
        schema = writer.register_schema(AUDIO, 'ros2msg', text.encode())
        channel = writer.register_channel('/raw', 'cdr', schema)
        for _, kind, log_ns, fields in audio:
            writer.add_message(channel, log_ns, foreign_cdr(kind, fields, mgonzs13=True), log_ns)
        writer.finish()
    with BagReader(path) as reader, BagWriter(tmp_path / 'copy') as writer:
        writer.add_topic('/raw', AUDIO, reader.topics['/raw'].definition)
        for index, message in enumerate(reader.messages()):
            writer.write('/raw', message.log_ns, message.raw if index % 2 else message.decode())
    with BagReader(path) as one, BagReader(tmp_path / 'copy') as other:
        assert [(m.log_ns, m.raw) for m in one.messages()] == [
            (m.log_ns, m.raw) for m in other.messages()
        ]
        assert other.topics['/raw'].definition == text


def test_writer_replaces_nothing(tmp_path, messages):
    folder = write_ours(tmp_path / 'ours', messages)
    before = (folder / 'metadata.yaml').read_text()
    with pytest.raises(AvsolError, match='ours exists; remove it or choose another name'):
        BagWriter(folder)
    with pytest.raises(AvsolError, match='exists'):
        with BagWriter(tmp_path / 'late') as writer:
            writer.add_topic('/a', IMAGE)
            (tmp_path / 'late').mkdir()
    assert (folder / 'metadata.yaml').read_text() == before
    assert sorted(os.listdir(tmp_path)) == ['late', 'ours']


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('error', [RuntimeError, KeyboardInterrupt])
def test_writer_leaves_nothing_after_an_error(tmp_path, storage, error):
    with pytest.raises(error):
        with BagWriter(tmp_path / 'ours', storage) as writer:
            writer.add_topic('/camera', IMAGE)
            writer.write('/camera', 1, make_message(IMAGE))
            assert [name[0] for name in os.listdir(tmp_path)] == ['.']
            raise error
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_disk_that_is_full(tmp_path, storage):
    noise = np.random.default_rng(0).integers(0, 256, MEGABYTE, np.uint8)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 * MEGABYTE, limit[1]))
    try:
        with pytest.raises(AvsolError, match='cannot write .*ours'):
            with BagWriter(tmp_path / 'ours', storage) as writer:
                writer.add_topic('/camera', IMAGE)
                for index in range(8):
                    writer.write('/camera', index, make_message(IMAGE, data=noise))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert os.listdir(tmp_path) == []


def test_disk_that_does_not_take_it(tmp_path, messages, monkeypatch):
    """What cannot be written through gets no name, for it may be empty after a power cut."""

    def fail(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, 'fsync', fail)
        with pytest.raises(AvsolError, match=r'cannot write .*bag \(Input/output error\)'):
            write_ours(tmp_path / 'bag', messages[:3])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('compression', ['none', 'file'])
def test_odd_names(tmp_path, messages, storage, compression):
    folder = tmp_path / 'my #1?%20 b\u00e4gs'
    folder.mkdir()
    check(write_ours(folder / 'a.b?x=1#2', messages, storage, compression), messages)
    assert os.listdir(folder) == ['a.b?x=1#2']
    assert len(os.listdir(tmp_path)) == 1


def test_writer_says_what_is_wrong(tmp_path):
    for arguments, text in (
        (('bag', 'rosbag'), "storage is 'rosbag'; expected mcap, sqlite3"),
        (('bag', 'mcap', 'gzip'), "compression is 'gzip'; expected none, message, file"),
        (('bag', 'sqlite3', 'chunk'), "'chunk' is for the storage 'mcap'"),
        (('bag.mcap',), 'a bag is a folder'),
    ):
        with pytest.raises(AvsolError, match=text):
            BagWriter(tmp_path / arguments[0], *arguments[1:])
    (tmp_path / 'file').touch()
    with pytest.raises(AvsolError, match=r'cannot write .*bag \(Not a directory\)'):
        with BagWriter(tmp_path / 'file' / 'bag'):
            pass
    with BagWriter(tmp_path / 'bag') as writer:
        writer.add_topic('/camera', IMAGE)
        for call, text in (
            (lambda: writer.add_topic('/camera', IMAGE), '/camera was added before'),
            (lambda: writer.add_topic('/x', 'my/msg/Type'), 'my/msg/Type is not built in'),
            (lambda: writer.add_topic('/x', 'my/msg/Type', 'Nothing x'), 'cannot be under'),
            (lambda: writer.write('/y', 1, b''), 'the topic /y was not added'),
            (
                lambda: writer.write('/camera', 1, make_message(AUDIO)),
                f'the message is a {AUDIO}; expected a {IMAGE} on /camera',
            ),
            (lambda: writer.write('/camera', 1, 'text'), 'the message is a str'),
            (lambda: writer.write('/camera', -1, b'\0\1\0\0'), 'log time is -1'),
            (lambda: writer.write('/camera', 1 << 63, b'\0\1\0\0'), 'log time is 9'),
        ):
            with pytest.raises(AvsolError, match=text):
                call()
    with BagReader(tmp_path / 'bag') as reader:
        assert reader.problems == [] and reader.topics['/camera'].count == 0


# Messages.


def test_make_message():
    message = make_message(
        'sensor_msgs/Image',
        header={'stamp': 3_000_000_005, 'frame_id': 'c'},
        height=1,
        data=bytearray(b'abc'),
    )
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (3, 5)
    assert (message.width, message.encoding, bytes(message.data)) == (0, '', b'abc')
    again = make_message('std_msgs/msg/Header', stamp=message.header.stamp)
    assert again.stamp == message.header.stamp
    before = make_message('builtin_interfaces/msg/Time', sec=-1, nanosec=5)
    assert (before.sec, before.nanosec) == (-1, 5)
    pose = make_message('geometry_msgs/msg/PoseWithCovariance')
    assert pose.pose.orientation.w == 1 and pose.covariance.shape == (36,)
    assert make_message(AUDIO, data=np.arange(4)).data.dtype == np.uint8
    assert make_message(AUDIO_STAMPED).audio.info.rate == 0
    with pytest.raises(AttributeError):
        _ = make_message(AUDIO).int16_data


@pytest.mark.parametrize(
    ('kind', 'fields', 'text'),
    [
        ('my_msgs/msg/Thing', {}, "there is no built-in message 'my_msgs/msg/Thing'"),
        (IMAGE, {'heigth': 1}, "has no field 'heigth'; did you mean 'height'?"),
        (
            IMAGE,
            {'header': {'time': 1}},
            r"Image.header has no field 'time'; there are stamp, frame",
        ),
        (IMAGE, {'header': 5}, 'Image.header is 5; expected a dict or a std_msgs/msg/Header'),
        (IMAGE, {'height': 'x'}, "Image.height is 'x'; expected uint32"),
        (IMAGE, {'height': 1.5}, 'Image.height is 1.5; expected uint32'),
        (IMAGE, {'height': 1 << 32}, 'Image.height is 4294967296; expected uint32'),
        (IMAGE, {'height': float('nan')}, 'Image.height is nan; expected uint32'),
        (IMAGE, {'encoding': b'x'}, 'expected string'),
        (IMAGE, {'data': 'text'}, "Image.data is 'text'; expected uint8"),
        (IMAGE, {'data': [300]}, r'Image.data is \[300\]; expected uint8'),
        (IMAGE, {'data': [0.5]}, 'not all fit into uint8'),
        (DETECTIONS, {'detections': {}}, 'expected a sequence'),
        (
            DETECTIONS,
            {'detections': [{'bbox': {'center': {'x': 1}}}]},
            r"detections\[0\].bbox.center has no field 'x'",
        ),
        (
            'geometry_msgs/msg/PoseWithCovariance',
            {'covariance': [1, 2]},
            'has 2 elements; expected 36',
        ),
    ],
)
def test_what_no_message_can_be(kind, fields, text):
    with pytest.raises(AvsolError, match=text):
        make_message(kind, **fields)


def test_what_cannot_be_encoded():
    message = make_message(IMAGE)
    message.height = -1
    with pytest.raises(AvsolError, match=f'the {IMAGE} cannot be encoded'):
        encode(message)
    with pytest.raises(AvsolError, match='expected a message of make_message'):
        encode({'height': 1})


finite = st.floats(allow_nan=False, allow_infinity=False)
words = st.text(st.characters(codec='utf-8', exclude_characters='\0'), max_size=9)


@given(
    stamp=st.integers(0, (1 << 31) * 10**9 - 1),
    name=words,
    boxes=st.lists(
        st.tuples(words, finite, finite, st.lists(st.tuples(words, finite), max_size=3)),
        max_size=4,
    ),
)
def test_any_detections_survive_a_foreign_codec(stamp, name, boxes):
    header = {'stamp': stamp, 'frame_id': name}
    fields = {
        'header': header,
        'detections': [
            {
                'header': header,
                'id': word,
                'bbox': {'center': {'position': {'x': x, 'y': y}}},
                'results': [
                    {'hypothesis': {'class_id': label, 'score': score}} for label, score in results
                ],
            }
            for word, x, y, results in boxes
        ],
    }
    message = make_message(DETECTIONS, **fields)
    assert plain(decode(encode(message), DETECTIONS)) == plain(message)
    ours = _comparable(DETECTIONS, encode(message))
    assert ours == _comparable(DETECTIONS, foreign_cdr(DETECTIONS, fields))


# Which topics are what.


def streams(tmp_path, topics, **options):
    """Find the streams in a bag with one message on each topic."""
    path = tmp_path / 'found'
    rows = [
        (name, kind, index, fields[0] if fields else {})
        for index, (name, kind, *fields) in enumerate(topics)
    ]
    if not path.exists():
        write_ours(path, rows)
    with BagReader(path) as reader:
        return find_streams(reader, **options)


OURS = [
    ('/avsol_localizer/sounding_objects', SOUNDING_OBJECTS),
    ('/avsol_localizer/heatmap', IMAGE),
    ('/avsol_localizer/heatmap_float', IMAGE),
    ('/avsol_localizer/overlay', IMAGE),
    ('/avsol_localizer/overlay/compressed', COMPRESSED),
    ('/avsol_localizer/detections', DETECTIONS),
]


def test_streams_of_a_live_recording(tmp_path):
    found = streams(
        tmp_path,
        [
            *OURS,
            ('/ground_truth', DETECTIONS),
            ('/cam/image', IMAGE),
            ('/cam/image/compressed', COMPRESSED),
            ('/audio', AUDIO),
            ('/audio_stamped', AUDIO_DATA_STAMPED),
            ('/audio_info', AUDIO_INFO),
            ('/yolo', DETECTIONS),
        ],
    )
    assert found.image == '/cam/image'
    assert (found.audio, found.audio_info) == ('/audio_stamped', '/audio_info')
    assert found.truth == '/ground_truth'
    assert found.sounding == '/avsol_localizer/sounding_objects'
    assert found.heatmap == '/avsol_localizer/heatmap'
    assert found.heatmap_float == '/avsol_localizer/heatmap_float'


def test_results_are_never_a_camera(tmp_path):
    with pytest.raises(AvsolError, match='has no camera topic with messages.*--|expected'):
        streams(tmp_path, [*OURS, ('/audio', AUDIO_STAMPED)])
    assert streams(tmp_path, [], need=('sounding', 'heatmap')).image == ''
    with pytest.raises(AvsolError, match='no ground truth topic'):
        streams(tmp_path, [], need=('truth',))


def test_ambiguous_streams(tmp_path):
    topics = [
        ('/left', IMAGE),
        ('/right', COMPRESSED),
        ('/a', AUDIO_STAMPED),
        ('/b', AUDIO),
        ('/x/sounding_objects', SOUNDING_OBJECTS),
        ('/y/sounding_objects', SOUNDING_OBJECTS),
    ]
    with pytest.raises(AvsolError) as error:
        streams(tmp_path, topics)
    assert str(error.value) == (
        f'the bag found has several topics of camera: /left ({IMAGE}, 1), /right ({COMPRESSED}, '
        '1); name one with --image-topic'
    )
    with pytest.raises(AvsolError, match='name one with --audio-topic'):
        streams(tmp_path, topics, image='/right')
    found = streams(tmp_path, topics, image='left', audio='/a')
    assert (found.image, found.audio, found.audio_info) == ('/left', '/a', None)
    assert found.sounding is None
    with pytest.raises(AvsolError, match='name one with --localizer'):
        streams(tmp_path, topics, need=('sounding',))
    assert streams(tmp_path, topics, need=(), localizer='y').sounding == '/y/sounding_objects'
    with pytest.raises(AvsolError, match='no results of /z; it has /x/sounding_objects'):
        streams(tmp_path, topics, need=(), localizer='z')


def test_named_topics_are_checked(tmp_path):
    topics = [('/camera', IMAGE), ('/audio', AUDIO)]
    with pytest.raises(AvsolError, match=f'--image-topic: /audio is {AUDIO}; expected {IMAGE} or'):
        streams(tmp_path, topics, image='/audio')
    with pytest.raises(
        AvsolError, match='--audio-topic: the bag found has no topic /sound; it has /audio'
    ):
        streams(tmp_path, topics, audio='/sound')


def test_named_topics_with_and_without_a_slash(tmp_path):
    topics = [('/left', IMAGE), ('right', IMAGE), ('/audio', AUDIO)]
    for name, found in (
        ('left', '/left'),
        ('/left', '/left'),
        ('right', 'right'),
        ('/right', 'right'),
    ):
        assert streams(tmp_path, topics, image=name).image == found


def test_depth_is_no_camera(tmp_path):
    found = streams(
        tmp_path,
        [
            ('/color', IMAGE, {'encoding': 'rgb8'}),
            ('/depth', IMAGE, {'encoding': '16UC1'}),
            ('/depth/compressedDepth', COMPRESSED),
            ('/audio', AUDIO),
        ],
    )
    assert found.image == '/color'
    assert streams(tmp_path, [], image='/depth').image == '/depth'


def test_truth_that_is_not_called_so(tmp_path):
    topics = [('/camera', IMAGE), ('/audio', AUDIO), ('/boxes', DETECTIONS)]
    assert streams(tmp_path, topics).truth is None
    assert streams(tmp_path, topics, need=('truth',)).truth == '/boxes'
    assert streams(tmp_path, topics, truth='/boxes').truth == '/boxes'


def test_audio_formats_in_several_places(tmp_path):
    topics = [
        ('/camera', IMAGE),
        ('/front/audio', AUDIO),
        ('/front/audio_info', AUDIO_INFO),
        ('/rear/audio', AUDIO),
        ('/rear/audio_info', AUDIO_INFO),
    ]
    found = streams(tmp_path, topics, audio='/rear/audio')
    assert found.audio_info == '/rear/audio_info'
