"""Compressed sound: any cutting of the bytes, the right time of every frame, and damage."""

import array
import io
from fractions import Fraction
from functools import cache
from types import SimpleNamespace

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avsol_ros.errors import AvsolError
from avsol_ros.streams.coded_audio import CodedDecoder

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
ENCODERS = {
    'mp3': ('libmp3lame', 'mp3'),
    'mp2': ('mp2', 'mp2'),
    'aac': ('aac', 'adts'),
    'ac3': ('ac3', 'ac3'),
    'flac': ('flac', 'flac'),
    'opus': ('libopus', 'ogg'),
}
STREAMS = [name for name in ENCODERS if name != 'opus']
# A stream of MP3 as a microphone's has neither tags nor a header frame.
BARE = {'write_xing': '0', 'id3v2_version': '0'}


def sound(rate, seconds, channels, seed=0):
    """Noise with a rising tone, (n, channels) float32."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(rate * seconds)) / rate
    tone = 0.3 * np.sin(2 * np.pi * (200 + 300 * time) * time)
    noise = 0.02 * rng.standard_normal((len(time), channels))
    return (tone[:, None] / np.arange(1, channels + 1) + noise).astype(np.float32)


def encode(name, rate, samples, **options):
    codec, container = ENCODERS[name]
    layout = 'mono' if samples.shape[1] == 1 else 'stereo'
    buffer = io.BytesIO()
    with av.open(buffer, 'w', format=container, options=BARE if name == 'mp3' else {}) as file:
        stream = file.add_stream(codec, rate=rate, options=options)
        stream.layout = layout
        context = stream.codec_context
        context.open()
        resampler = av.AudioResampler(
            context.format.name, layout, rate, context.frame_size or 1024
        )
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), 'fltp', layout)
        frame.sample_rate, frame.pts = rate, 0
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(piece))
        file.mux(stream.encode(None))
    return buffer.getvalue()


@cache
def encoded(name, rate=44_100, channels=2, seconds=1.0):
    return encode(name, rate, sound(rate, seconds, channels))


def packets(data):
    """Find the packets by the container's own means."""
    with av.open(io.BytesIO(data)) as file:
        return [bytes(packet) for packet in file.demux(audio=0) if packet.size]


@cache
def whole(data):
    """Decode a file by the container's own means: (n, channels) float32, integers unscaled."""
    with av.open(io.BytesIO(data)) as file:
        file.streams.audio[0].thread_type = 'NONE'
        pieces = []
        for frame in file.decode(audio=0):
            samples = frame.to_ndarray()
            pieces.append(
                samples.T
                if frame.format.is_planar
                else samples.reshape(-1, frame.layout.nb_channels)
            )
        return np.concatenate(pieces), frame.sample_rate


def decode(decoder, messages):
    out = []
    for stamp, data in messages:
        out += decoder.process(stamp, data)
    return [*out, *decoder.flush()]


def joined(out):
    return np.concatenate([samples for _, samples, _ in out])


# ---------------------------------------------------------------- any cutting


@pytest.mark.parametrize('name', STREAMS)
@given(data=st.data())
@settings(max_examples=12, deadline=None)
def test_any_cutting_gives_what_decoding_the_file_gives(name, data):
    # FFmpeg's parser of FLAC waits for ten frames before it believes in the first.
    raw = encoded(name, seconds=1.0 if name == 'flac' else 0.6)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=30)))
    pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    decoder = CodedDecoder(name)
    out = decode(decoder, [(START, piece) for piece in pieces])
    want, rate = whole(raw)
    scale = 32768 if want.dtype.kind == 'i' else 1
    got = joined(out)
    assert got.dtype == np.float32 and got.shape == want.shape
    # MP3 in a file is decoded in fixed point (half a step of 16 bits); the rest is equal.
    assert np.abs(got - np.clip(want / np.float32(scale), -1, 1)).max() <= (
        1e-4 if name in ('mp3', 'mp2') else 0
    )
    assert {found for _, _, found in out} == {rate} and decoder.errors == 0


@pytest.mark.parametrize('name', ['mp3', 'aac'])
def test_single_bytes_give_the_same(name):
    raw = encoded(name, seconds=0.3)
    bytewise = decode(CodedDecoder(name), [(START, raw[n : n + 1]) for n in range(len(raw))])
    at_once = decode(CodedDecoder(name), [(START, raw)])
    assert np.array_equal(joined(bytewise), joined(at_once))


@pytest.mark.parametrize(
    'wrap',
    [
        bytearray,
        memoryview,
        lambda raw: array.array('B', raw),
        lambda raw: np.frombuffer(raw, np.uint8),
    ],
)
def test_every_kind_of_buffer_is_taken(wrap):
    assert len(CodedDecoder('mp3').process(0, wrap(encoded('mp3', seconds=0.3)))) > 10


# ---------------------------------------------------------------- times


@pytest.mark.parametrize(
    'name, rate',
    [
        ('mp3', 48_000),
        ('mp3', 44_100),
        ('mp3', 22_050),
        ('mp3', 16_000),
        ('mp2', 48_000),
        ('aac', 44_100),
        ('aac', 16_000),
        ('ac3', 48_000),
        ('flac', 44_100),
        ('opus', 48_000),
    ],
)
def test_a_click_has_the_time_at_which_it_was_encoded(name, rate):
    samples = sound(rate, 1.5, 1) * 0.02
    samples[20_000] = 0.9
    raw = encode(name, rate, samples)
    messages = packets(raw) if name == 'opus' else [raw]
    out = decode(
        CodedDecoder(name),
        [(START + n * SECOND // 50, message) for n, message in enumerate(messages)],
    )
    loudest = max(out, key=lambda item: np.abs(item[1]).max())
    found = loudest[0] + int(np.argmax(np.abs(loudest[1][:, 0]))) * SECOND / rate
    assert abs(found - START - 20_000 * SECOND / rate) <= 1.01 * SECOND / rate


def expected_stamps(sizes, frame, cuts, stamps, delay, rate):
    """Say for each packet the stamp: of the message with its first byte, and frames before."""
    times, at, seen = [], 0, {}
    for size in sizes:
        message = max(n for n, first in enumerate(cuts) if first <= at)
        before = seen.get(message, 0)
        times.append(stamps[message] + Fraction((before * frame - delay) * SECOND, rate))
        seen[message] = before + 1
        at += size
    return times


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_each_frame_has_the_stamp_of_the_message_it_began_in(data):
    raw = encoded('mp3', seconds=0.6)
    cuts = sorted({0, *data.draw(st.lists(st.integers(1, len(raw) - 1), max_size=30))})
    stamps = [data.draw(st.integers(0, 2 * 10**18)) for _ in cuts]
    messages = [
        (stamp, raw[a:b]) for stamp, a, b in zip(stamps, cuts, [*cuts[1:], len(raw)], strict=True)
    ]
    out = decode(CodedDecoder('MP3'), messages)
    want = expected_stamps(
        [len(packet) for packet in packets(raw)], 1152, cuts, stamps, 1105, 44_100
    )
    assert [abs(stamp - time) < 1 for (stamp, _, _), time in zip(out, want, strict=True)] == (
        [True] * len(want)
    )
    assert all(isinstance(stamp, int) for stamp, _, _ in out)


def test_a_frame_is_given_when_its_last_byte_comes():
    sizes = [len(packet) for packet in packets(encoded('mp3'))]
    decoder, raw = CodedDecoder('mp3'), encoded('mp3')
    assert decoder.process(0, raw[: sizes[0] - 1]) == []
    assert len(decoder.process(0, raw[sizes[0] - 1 : sizes[0]])) == 1


# ---------------------------------------------------------------- damage


def framewise(raw, rate=44_100):
    """One message for each frame of MP3, as lamemp3enc sends them."""
    return [(START + n * 1152 * SECOND // rate, packet) for n, packet in enumerate(packets(raw))]


@pytest.mark.parametrize('first, lost', [(10, 1), (20, 3), (5, 20)])
def test_a_lost_message_shows_in_the_stamps(first, lost):
    raw = encoded('mp3', seconds=2.0)
    messages = framewise(raw)
    intact = {stamp: samples for stamp, samples, _ in decode(CodedDecoder('mp3'), messages)}
    out = decode(CodedDecoder('mp3'), messages[:first] + messages[first + lost :])
    steps = np.diff([stamp for stamp, _, _ in out])
    assert int(np.argmax(steps)) == first - 1 and np.sum(steps > 1.5 * steps[0]) == 1
    assert abs(steps[first - 1] - (lost + 1) * 1152 * SECOND / 44_100) < 2
    # Two frames after it lack what was in those before, all others are as they were.
    for number, (stamp, samples, _) in enumerate(out):
        if not first <= number < first + 3:
            assert np.array_equal(samples, intact[stamp])
        assert np.abs(samples).max() < 0.6


def alike(name, got, want):
    """AAC and AC-3 make noise of their own, which depends on what they decoded before."""
    if name in ('aac', 'ac3'):
        return np.std(got - want) < 0.2 * np.std(want)
    return np.array_equal(got, want)


@pytest.mark.parametrize('name', ['mp3', 'mp2', 'aac', 'ac3', 'flac'])
def test_joined_in_the_middle_it_finds_its_way(name):
    raw = encoded(name, seconds=3.0)
    at = len(raw) * 2 // 5 + 7
    decoder = CodedDecoder(name)
    got = joined(decode(decoder, [(START, raw[n : n + 100]) for n in range(at, len(raw), 100)]))
    want = joined(decode(CodedDecoder(name), [(START, raw)]))
    assert len(want) * 0.5 < len(got) < len(want) * 0.62
    assert alike(name, got[-44_100:], want[-44_100:])
    assert np.abs(got).max() < 0.7
    assert decoder.errors <= 3


@pytest.mark.parametrize('name', ['mp3', 'aac'])
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_damage_is_counted_and_passed(name, data):
    raw = encoded(name, seconds=2.0)
    begin = data.draw(st.integers(2000, len(raw) // 3))
    end = begin + data.draw(st.integers(1, 2000))
    kind = data.draw(st.sampled_from(['cut', 'zero', 'noise']))
    noise = np.random.default_rng(begin).integers(0, 256, end - begin, np.uint8).tobytes()
    middle = {'cut': b'', 'zero': bytes(end - begin), 'noise': noise}[kind]
    damaged = raw[:begin] + middle + raw[end:]
    decoder = CodedDecoder(name)
    got = joined(
        [
            item
            for item in decode(
                decoder, [(START + n, damaged[n : n + 417]) for n in range(0, len(damaged), 417)]
            )
            if item[1].shape[1] == 2
        ]
    )  # noise may look like a frame of one channel
    want = joined(decode(CodedDecoder(name), [(START, raw)]))
    assert alike(name, got[-30_000:], want[-30_000:])


def test_what_is_no_such_stream_is_counted_and_forgotten():
    decoder = CodedDecoder('mp3')
    for number in range(60):
        assert decoder.process(number, bytes(100_000)) == []
    assert decoder.errors >= 4
    assert len(decode(decoder, framewise(encoded('mp3')))) > 30


def test_damage_that_claims_44_channels_is_no_sound(monkeypatch):
    # Reading such a frame would end the process; that one comes once in some thousand damages,
    # so here it is given.
    class Frame:
        format = av.AudioFormat('fltp')
        layout = SimpleNamespace(nb_channels=44)
        samples = 1024

    class Codec:
        def parse(self, data):
            return [av.Packet(data)]

        def decode(self, packet):
            return [Frame()]

    monkeypatch.setattr(av.CodecContext, 'create', lambda name, mode: Codec())
    decoder = CodedDecoder('aac')
    assert decoder.process(0, b'damaged') == [] and decoder.errors == 1


def test_tags_before_the_stream_do_no_harm():
    raw = encoded('mp3')
    tag = b'ID3\x04\x00\x00\x00\x00\x01\x00' + bytes(128)
    assert np.array_equal(
        joined(decode(CodedDecoder('mp3'), [(0, tag + raw)]))[-30_000:],
        joined(decode(CodedDecoder('mp3'), [(0, raw)]))[-30_000:],
    )


def test_rate_and_channels_may_change():
    decoder = CodedDecoder('mp3')
    out = decode(decoder, [(0, encoded('mp3', 44_100, 2)), (SECOND, encoded('mp3', 16_000, 1))])
    found = {(rate, samples.shape[1]) for _, samples, rate in out}
    assert {(44_100, 2), (16_000, 1)} <= found
    assert out[-1][1].shape == (576, 1)


def test_after_flush_another_stream_begins():
    decoder = CodedDecoder('flac')
    first = decode(decoder, [(0, encoded('flac'))])
    second = decode(decoder, [(0, encoded('flac'))])
    assert np.array_equal(joined(first), joined(second))
    assert [item[0] for item in first] == [item[0] for item in second]
    assert decoder.flush() == [] == decoder.process(0, b'')


# ---------------------------------------------------------------- names and bad input


@pytest.mark.parametrize(
    'coding, name',
    [
        ('mp3', 'mp3'),
        ('MP3', 'mp3'),
        ('audio/mpeg', 'mp3'),
        ('mpeg', 'mp3'),
        ('audio/x-flac', 'flac'),
        ('Opus', 'opus'),
        ('AAC', 'aac'),
        ('audio/x-ac3', 'ac3'),
    ],
)
def test_names_are_taken_as_people_write_them(coding, name):
    assert CodedDecoder(coding).coding == name


@pytest.mark.parametrize('coding', ['', 'wave', 'vorbis', 'jpeg', None])
def test_unknown_coding_lists_what_works(coding):
    with pytest.raises(AvsolError) as caught:
        CodedDecoder(coding)
    text = str(caught.value)
    assert repr(coding) in text and 'mp3' in text and 'flac' in text and '\n' not in text


def test_stamps_are_integers():
    with pytest.raises(AvsolError, match='stamp is 0.5; expected an integer'):
        CodedDecoder('mp3').process(0.5, b'x')
