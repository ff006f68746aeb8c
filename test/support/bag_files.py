"""
Bags made by other programs than ours, and the messages of a rendered scene to put into them.

Messages are ``(topic, type, log_ns, fields)``, fields as ``make_message`` takes them: nested
dicts, stamps as integer nanoseconds, bytes or ``array.array`` for numbers. Definitions are those
of the ROS packages as installed, comments and all, as a recorder writes them.
"""

import array
import functools
import io
import os
import re
import sqlite3
import sys
from pathlib import Path

import av
import numpy as np
import yaml
from mcap.writer import CompressionType
from mcap_ros2._dynamic import serialize_dynamic
from mcap_ros2.writer import Writer as ForeignWriter

from avsol_ros.bags import BagWriter, make_message
from avsol_ros.training.synthetic.clean_scenes import plan_scene
from avsol_ros.training.synthetic.scene_films import film_config

SOURCE = Path(__file__).resolve().parents[2]
ORIGIN_NS = 1_700_000_000_000_000_000
IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED = 'sensor_msgs/msg/CompressedImage'
AUDIO = 'audio_common_msgs/msg/AudioData'
AUDIO_DATA_STAMPED = 'audio_common_msgs/msg/AudioDataStamped'
AUDIO_INFO = 'audio_common_msgs/msg/AudioInfo'
AUDIO_STAMPED = 'audio_common_msgs/msg/AudioStamped'
DETECTIONS = 'vision_msgs/msg/Detection2DArray'

# The other package of that name, https://github.com/mgonzs13/audio_common.
MGONZS13 = {
    'audio_common_msgs/msg/AudioData': 'float32[] float32_data\nint32[] int32_data\nint16[] '
    'int16_data\nint8[] int8_data\n'
    'uint8[] uint8_data\n',
    'audio_common_msgs/msg/AudioInfo': 'int32 format\nint32 channels\nint32 rate\nint32 chunk\n',
    'audio_common_msgs/msg/Audio': 'audio_common_msgs/AudioData '
    'audio_data\naudio_common_msgs/AudioInfo info\n',
    'audio_common_msgs/msg/AudioStamped': 'std_msgs/Header header\naudio_common_msgs/Audio '
    'audio\n',
}
_PRIMITIVES = {
    'bool',
    'byte',
    'char',
    'string',
    'wstring',
    'float32',
    'float64',
    'int8',
    'uint8',
    'int16',
    'uint16',
    'int32',
    'uint32',
    'int64',
    'uint64',
}
_PORTAUDIO_INT16 = 8


def _source(name: str, mgonzs13: bool) -> str:
    package, _, message = name.split('/')
    if mgonzs13 and name in MGONZS13:
        return MGONZS13[name]
    shares = [
        Path(prefix) / 'share' / package
        for prefix in (*os.environ.get('AMENT_PREFIX_PATH', '').split(':'), sys.prefix)
    ]
    for folder in (SOURCE / 'env/interfaces' / package, SOURCE, *shares):
        if (folder / 'msg' / f'{message}.msg').is_file():
            return (folder / 'msg' / f'{message}.msg').read_text()
    raise LookupError(f'no source of {name}')


@functools.cache
def definition(type_name: str, mgonzs13: bool | None = None) -> str:
    """Return a type's text with all it uses, as rosbag2 writes it."""
    if mgonzs13 is None:
        mgonzs13 = type_name == AUDIO_STAMPED
    texts, waiting = {}, [type_name]
    while waiting:
        name = waiting.pop(0)
        if name in texts:
            continue
        texts[name] = _source(name, mgonzs13)
        for line in texts[name].splitlines():
            used = re.match(r'\s*([A-Za-z_][\w/]*)', line.partition('#')[0])
            if used and used[1] not in _PRIMITIVES:
                package, _, message = used[1].rpartition('/')
                package = package.partition('/')[0] or name.partition('/')[0]
                waiting.append(f'{package}/msg/{message}')
    first, *others = texts.items()
    return first[1] + ''.join(
        f'{"=" * 80}\nMSG: {name.replace("/msg/", "/")}\n{text}' for name, text in others
    )


def _plain(value, key=''):
    """Spell out stamps, which are nanoseconds here, as the foreign encoder wants them."""
    if isinstance(value, dict):
        return {k: _plain(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, (np.ndarray, bytearray, memoryview)):
        return (
            bytes(value)
            if getattr(value, 'itemsize', 1) == 1
            else array.array(value.dtype.char, value.tobytes())
        )
    if key in ('stamp', 'window_start', 'window_end'):
        return {'sec': value // 10**9, 'nanosec': value % 10**9}
    return value


@functools.cache
def _encoder(type_name, mgonzs13):
    return serialize_dynamic(type_name, definition(type_name, mgonzs13))[type_name]


def foreign_cdr(type_name: str, fields: dict, mgonzs13: bool | None = None) -> bytes:
    """Encode a message with the CDR of mcap-ros2-support."""
    return _encoder(type_name, mgonzs13)(_plain(fields))


def write_mcap(
    path: str | Path, messages, compression: str = 'zstd', chunk_size: int = 1 << 20
) -> Path:
    """
    Write an .mcap file with the writer of mcap-ros2-support.

    :param compression: 'zstd', 'lz4' or 'none'.
    """
    path = Path(path)
    schemas = {}
    with path.open('wb') as file:
        writer = ForeignWriter(file, chunk_size, CompressionType[compression.upper()])
        for topic, type_name, log_ns, fields in messages:
            if type_name not in schemas:
                schemas[type_name] = writer.register_msgdef(type_name, definition(type_name))
            writer.write_message(topic, schemas[type_name], _plain(fields), log_ns, log_ns)
        writer.finish()
    return path


def write_ours(
    folder: str | Path,
    messages,
    storage: str = 'mcap',
    compression: str = 'none',
    custom: dict[str, str] | None = None,
) -> Path:
    """Write a bag with our own writer."""
    with BagWriter(folder, storage, compression) as writer:
        known = set()
        for topic, type_name, log_ns, fields in messages:
            if topic not in known:
                known.add(topic)
                writer.add_topic(topic, type_name)
            writer.write(topic, log_ns, make_message(type_name, **fields))
        for key, text in (custom or {}).items():
            writer.set_custom(key, text)
    return Path(folder)


# rosbag2_storage_sqlite3: the tables of Humble (schema 3) and of Iron and later (4).
_TABLES = """
CREATE TABLE schema(schema_version INTEGER PRIMARY KEY, ros_distro TEXT NOT NULL);
CREATE TABLE metadata(id INTEGER PRIMARY KEY, metadata_version INTEGER NOT NULL,
  metadata TEXT NOT NULL);
CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
  serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL{hash});
CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL,
  timestamp INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX timestamp_idx ON messages (timestamp ASC);
"""
_DEFINITIONS = """
CREATE TABLE message_definitions(id INTEGER PRIMARY KEY, topic_type TEXT NOT NULL,
  encoding TEXT NOT NULL, encoded_message_definition TEXT NOT NULL,
  type_description_hash TEXT NOT NULL);
"""


def write_sqlite(
    folder: str | Path, messages, definitions: bool = True, metadata: bool = True
) -> Path:
    """
    Write a folder with a .db3 file, by plain SQL, and metadata.yaml, as rosbag2 lays it out.

    :param definitions: as Iron and later write them; without, as Humble.
    :param metadata: whether to write metadata.yaml.
    """
    folder = Path(folder)
    folder.mkdir(parents=True)
    name = f'{folder.name}_0.db3'
    database = sqlite3.connect(folder / name)
    database.executescript(
        _TABLES.format(hash=', type_description_hash TEXT NOT NULL' if definitions else '')
    )
    database.execute(
        'INSERT INTO schema VALUES (?, ?)', (4, 'jazzy') if definitions else (3, 'humble')
    )
    if definitions:
        database.executescript(_DEFINITIONS)
    topics, counts, times = {}, {}, []
    for topic, type_name, log_ns, fields in messages:
        if topic not in topics:
            topics[topic] = (len(topics) + 1, type_name)
            row = (len(topics), topic, type_name, 'cdr', '', '')
            database.execute(
                'INSERT INTO topics VALUES (?, ?, ?, ?, ?{})'.format(', ?' if definitions else ''),
                row if definitions else row[:5],
            )
            if definitions:
                database.execute(
                    'INSERT INTO message_definitions (topic_type, encoding, '
                    'encoded_message_definition, type_description_hash) VALUES (?, ?, ?, ?)',
                    (type_name, 'ros2msg', definition(type_name), ''),
                )
        counts[topic] = counts.get(topic, 0) + 1
        times.append(log_ns)
        database.execute(
            'INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)',
            (topics[topic][0], log_ns, foreign_cdr(type_name, fields)),
        )
    database.commit()
    database.close()
    if metadata:
        (folder / 'metadata.yaml').write_text(
            yaml.safe_dump(_metadata(name, topics, counts, times or [0]))
        )
    return folder


def _metadata(file, topics, counts, times):
    duration = {'nanoseconds': max(times) - min(times)}
    start = {'nanoseconds_since_epoch': min(times)}
    return {
        'rosbag2_bagfile_information': {
            'version': 5,
            'storage_identifier': 'sqlite3',
            'relative_file_paths': [file],
            'duration': duration,
            'starting_time': start,
            'message_count': sum(counts.values()),
            'topics_with_message_count': [
                {
                    'message_count': counts[topic],
                    'topic_metadata': {
                        'name': topic,
                        'type': type_name,
                        'serialization_format': 'cdr',
                        'offered_qos_profiles': '',
                    },
                }
                for topic, (_, type_name) in topics.items()
            ],
            'compression_format': '',
            'compression_mode': '',
            'files': [
                {
                    'path': file,
                    'starting_time': start,
                    'duration': duration,
                    'message_count': sum(counts.values()),
                }
            ],
        }
    }


def scene_messages(
    seconds: int = 3,
    *,
    camera: str = 'raw',
    sound: str = 'stamped',
    truth: bool = True,
    width: int = 160,
    height: int = 120,
    frame_rate: float = 25,
    chunk: int = 640,
    seed: int = 0,
    schedule: list | None = None,
    origin_ns: int = ORIGIN_NS,
) -> list[tuple]:
    """
    Return the messages of a rendered scene, in order of log time; the same ones for equal values.

    Pictures are logged 5 ms after their stamps, chunks of sound 3 ms after their ends.

    :param camera: 'raw' (/camera/image_raw), 'jpeg' (/camera/image_raw/compressed) or ''.
    :param sound: 'stamped' (AudioDataStamped, S16LE) or 'mp3' (the same, in frames of MP3) on
        /audio_stamped, 'plain' (AudioData) on /audio, each with AudioInfo every 2 s on
        /audio_info; 'mgonzs13' (AudioStamped) on /audio; or ''. 16 kHz, mono.
    :param truth: whether to add /ground_truth, 10 times a second.
    :param chunk: samples in a message of sound.
    :param schedule: what sounds in each second, as ``plan_scene`` takes it.
    """
    config = film_config(width, height, seconds=seconds, objects=(2, 2), area=(0.06, 0.12))
    scene = plan_scene(np.random.default_rng([seed, 5]), config, schedule)
    messages = [
        *_pictures(scene, camera, width, height, frame_rate, origin_ns),
        *_sounds(scene.audio(), sound, chunk, origin_ns),
    ]
    if truth:
        messages += _truth(scene, width, height, origin_ns)
    return sorted(messages, key=lambda message: message[2])


def _pictures(scene, camera, width, height, frame_rate, origin_ns):
    import cv2

    for index in range(round(scene.seconds * frame_rate) if camera else 0):
        stamp = origin_ns + round(index / frame_rate * 1e9)
        header = {'stamp': stamp, 'frame_id': 'camera'}
        picture = scene.draw(index / frame_rate, width, height)
        if camera == 'raw':
            yield (
                '/camera/image_raw',
                IMAGE,
                stamp + 5_000_000,
                {
                    'header': header,
                    'height': height,
                    'width': width,
                    'encoding': 'rgb8',
                    'is_bigendian': 0,
                    'step': 3 * width,
                    'data': picture.tobytes(),
                },
            )
        else:
            jpeg = cv2.imencode('.jpg', picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
            yield (
                '/camera/image_raw/compressed',
                COMPRESSED,
                stamp + 5_000_000,
                {'header': header, 'format': 'rgb8; jpeg compressed bgr8', 'data': jpeg.tobytes()},
            )


def _sounds(audio, sound, chunk, origin_ns, rate=16000):
    pcm = np.clip(np.round(audio * 32767), -32768, 32767).astype('<i2')
    if sound == 'mp3':
        pieces = list(encode_mp3(pcm, rate))
    else:
        pieces = [(at, pcm[at : at + chunk]) for at in range(0, len(pcm), chunk)] if sound else []
    for position, (at, piece) in enumerate(pieces):
        end = pieces[position + 1][0] if position + 1 < len(pieces) else len(pcm)
        stamp = origin_ns + at * 10**9 // rate
        log_ns = origin_ns + end * 10**9 // rate + 3_000_000
        header = {'stamp': stamp, 'frame_id': 'microphone'}
        data = {'data': bytes(piece)}
        if sound == 'plain':
            yield '/audio', AUDIO, log_ns, data
        elif sound == 'mgonzs13':
            yield (
                '/audio',
                AUDIO_STAMPED,
                log_ns,
                {
                    'header': header,
                    'audio': {
                        'audio_data': {'int16_data': array.array('h', piece.tobytes())},
                        'info': {
                            'format': _PORTAUDIO_INT16,
                            'channels': 1,
                            'rate': rate,
                            'chunk': chunk,
                        },
                    },
                },
            )
        else:
            yield ('/audio_stamped', AUDIO_DATA_STAMPED, log_ns, {'header': header, 'audio': data})
    if sound in ('stamped', 'plain', 'mp3'):
        for at in range(0, len(pcm), 2 * rate):
            yield (
                '/audio_info',
                AUDIO_INFO,
                origin_ns + at * 10**9 // rate + 1_000_000,
                {
                    'channels': 1,
                    'sample_rate': rate,
                    'sample_format': 'S16LE',
                    'bitrate': 128 if sound == 'mp3' else 16 * rate,
                    'coding_format': 'mp3' if sound == 'mp3' else 'wave',
                },
            )


def encode_mp3(pcm, rate: int = 16000, bit_rate: int = 64000):
    """
    Yield (first sample, bytes) of the frames of MP3.

    :param pcm: (n,) int16, mono.
    """
    with av.open(
        io.BytesIO(), 'w', format='mp3', options={'write_xing': '0', 'id3v2_version': '0'}
    ) as container:
        stream = container.add_stream('libmp3lame', rate=rate, layout='mono')
        stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format='s16', layout='mono')
        frame.sample_rate, frame.pts = rate, 0
        packets = [bytes(packet) for packet in [*stream.encode(frame), *stream.encode(None)]]
    samples = 576 if rate <= 24000 else 1152  # of one frame, MPEG-2 and MPEG-1
    for index, packet in enumerate(packet for packet in packets if packet):
        if index * samples < len(pcm):
            yield index * samples, packet


def _truth(scene, width, height, origin_ns, rate=10):
    for index in range(scene.seconds * rate):
        stamp = origin_ns + round(index / rate * 1e9)
        header = {'stamp': stamp, 'frame_id': 'camera'}
        detections = []
        for thing in scene.truth(index / rate, width, height):
            x0, y0, x1, y1 = thing.box or (0.0, 0.0, 0.0, 0.0)
            detections.append(
                {
                    'header': header,
                    'id': str(thing.track),
                    'bbox': {
                        'center': {
                            'position': {'x': (x0 + x1) / 2, 'y': (y0 + y1) / 2},
                            'theta': 0.0,
                        },
                        'size_x': x1 - x0,
                        'size_y': y1 - y0,
                    },
                    'results': [
                        {
                            'hypothesis': {
                                'class_id': thing.category or '',
                                'score': 1.0 if thing.sounding else 0.0,
                            }
                        }
                    ],
                }
            )
        yield '/ground_truth', DETECTIONS, stamp, {'header': header, 'detections': detections}
