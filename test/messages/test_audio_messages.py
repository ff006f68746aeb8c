"""Audio messages of either driver, of ROS classes and of bags, say the same."""

from array import array
from types import SimpleNamespace

import numpy as np
import pytest

from avsol_ros.bags import make_message
from avsol_ros.errors import AvsolError
from avsol_ros.messages.audio import (
    AudioFormat,
    audio_info_to_format,
    audio_packet,
    parse_audio_format,
)
from avsol_ros.messages.pcm import pcm_to_float
from avsol_ros.streams.audio_reader import AudioReader

SECOND = 1_000_000_000


def record(**fields):
    """Object with fields, those given as dicts objects too."""
    return SimpleNamespace(
        **{
            name: record(**value) if isinstance(value, dict) else value
            for name, value in fields.items()
        }
    )


def stamped(**fields):
    return {'header': {'stamp': {'sec': 7, 'nanosec': 5}, 'frame_id': 'ear'}, **fields}


# How the bytes of one field may come: from rclpy, from a bag, from elsewhere.
BYTES = {
    'array': lambda data: array('B', data),
    'numpy': lambda data: np.frombuffer(data, 'u1'),
    'bytes': bytes,
}


@pytest.mark.parametrize('kind', BYTES)
def test_audio_of_ros_drivers(kind):
    data = bytes(range(8))
    packet = audio_packet(record(**stamped(audio={'data': BYTES[kind](data)})))
    assert (packet.stamp_ns, packet.frame_id, packet.format) == (7 * SECOND + 5, 'ear', None)
    assert bytes(packet.data) == data
    np.testing.assert_array_equal(
        pcm_to_float(packet.data, 'S16LE', 2), pcm_to_float(data, 'S16LE', 2)
    )
    plain = audio_packet(record(data=BYTES[kind](data)))
    assert (plain.stamp_ns, plain.format, bytes(plain.data)) == (None, None, data)


@pytest.mark.parametrize(
    'number, field, code, name',
    [
        (1, 'float32_data', 'f', 'F32LE'),
        (2, 'int32_data', 'i', 'S32LE'),
        (8, 'int16_data', 'h', 'S16LE'),
        (16, 'int8_data', 'b', 'S8'),
        (32, 'uint8_data', 'B', 'U8'),
    ],
)
@pytest.mark.parametrize('kind', ['array', 'numpy'])
def test_audio_of_mgonzs13_in_every_format_it_sends(number, field, code, name, kind):
    values = array(code, [0, 1, 1, 0] if code == 'f' else [0, 100, 27, 3])
    given = values if kind == 'array' else np.array(values)
    fields = {
        f'{other}_data': array('B') for other in ('float32', 'int32', 'int16', 'int8', 'uint8')
    }
    packet = audio_packet(
        record(
            **stamped(
                audio={
                    'audio_data': {**fields, field: given},
                    'info': {'format': number, 'channels': 2, 'rate': 44_100, 'chunk': 2},
                }
            )
        )
    )
    assert packet.format == AudioFormat(44_100, 2, name, 'pcm')
    assert packet.stamp_ns == 7 * SECOND + 5
    samples = pcm_to_float(packet.data, packet.format.sample_format, 2)
    # By PortAudio's definition of its formats.
    scale = {'f': 1, 'i': 2**31, 'h': 2**15, 'b': 2**7, 'B': 2**7}[code]
    expected = (np.array(values, float) - (128 if code == 'B' else 0)) / scale
    np.testing.assert_allclose(samples.reshape(-1), expected, atol=1e-9)


@pytest.mark.parametrize('number', [4, 0x80000008, 0])
def test_audio_of_mgonzs13_in_another_format_is_refused(number):
    audio = {
        'audio_data': {'int16_data': array('h')},
        'info': {'format': number, 'channels': 1, 'rate': 16_000, 'chunk': 0},
    }
    with pytest.raises(AvsolError, match=rf'PortAudio format {number}; expected one of 1 \(F32'):
        audio_packet(record(**stamped(audio=audio)))
    audio['info'].update(format=8, rate=0)
    with pytest.raises(AvsolError, match='at 0 Hz'):
        audio_packet(record(**stamped(audio=audio)))


def test_messages_decoded_from_bags():
    values = np.arange(6, dtype=np.int16)
    theirs = make_message(
        'audio_common_msgs/msg/AudioStamped',
        **{
            'header': {'stamp': 7 * SECOND + 5, 'frame_id': 'ear'},
            'audio': {
                'audio_data': {'int16_data': values},
                'info': {'format': 8, 'channels': 2, 'rate': 16_000, 'chunk': 3},
            },
        },
    )
    packet = audio_packet(theirs)
    assert packet.format == AudioFormat(16_000, 2, 'S16LE', 'pcm')
    assert bytes(packet.data) == values.astype('<i2').tobytes()
    ours = make_message(
        'audio_common_msgs/msg/AudioDataStamped',
        **{'header': {'stamp': 7 * SECOND + 5}, 'audio': {'data': values.tobytes()}},
    )
    assert audio_packet(ours).stamp_ns == 7 * SECOND + 5
    assert bytes(audio_packet(ours).data) == values.tobytes()
    info = make_message(
        'audio_common_msgs/msg/AudioInfo',
        channels=1,
        sample_rate=16_000,
        sample_format='S16LE',
        coding_format='MP3',
        bitrate=192,
    )
    assert audio_info_to_format(info) == AudioFormat(16_000, 1, 'S16LE', 'mp3')


@pytest.mark.parametrize(
    'said, coding',
    [('wave', 'pcm'), ('WAVE', 'pcm'), ('mp3', 'mp3'), ('MP3', 'mp3'), ('', ''), ('raw', 'pcm')],
)
def test_what_audio_info_says(said, coding):
    info = record(
        sample_rate=np.uint32(8000),
        channels=np.uint8(2),
        sample_format='S16LE',
        coding_format=said,
        bitrate=0,
    )
    assert audio_info_to_format(info) == AudioFormat(8000, 2, 'S16LE', coding)


def test_formats_that_are_known_and_complete_each_other():
    assert parse_audio_format('S24_32BE', 48_000, 2) == AudioFormat(48_000, 2, 'S24_32BE', 'pcm')
    assert parse_audio_format('s16le') == AudioFormat(0, 0, 'S16LE', 'pcm')
    assert parse_audio_format('MP3') == AudioFormat(coding='mp3')
    assert parse_audio_format('flac').coded and parse_audio_format('speex').coded
    assert parse_audio_format('', 8000) == AudioFormat(8000)
    assert [parse_audio_format(name, 8000, 1).known for name in ('S16LE', 'mp3', '')] == [
        True,
        True,
        False,
    ]
    assert not parse_audio_format('S16LE', 8000).known
    told = AudioFormat(16_000, 0, '', '')
    assert told.completed(AudioFormat(8000, 2, 'U8', 'pcm')) == AudioFormat(16_000, 2, 'U8', 'pcm')


def test_a_format_that_does_not_exist_is_told_at_once():
    for name, channels, said in (('S17LE', 1, "sample format is 'S17LE'"), ('mp33', 0, 'mp33')):
        with pytest.raises(AvsolError, match=said):
            AudioReader(pytest.fail, parse_audio_format(name, 16_000, channels))


@pytest.mark.parametrize('name', ['wave', 'WAV', 'raw', 'pcm'])
def test_the_drivers_name_of_uncompressed_sound_is_not_enough(name):
    with pytest.raises(AvsolError, match=f"format is '{name}'.*expected their format, such as S1"):
        parse_audio_format(name, 16_000, 1)
