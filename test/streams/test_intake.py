"""Messages of every kind become the same windows, however they come."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avsol_ros.errors import AvsolError
from avsol_ros.messages.audio import AudioFormat
from avsol_ros.streams.intake import Intake, window_config

SECOND = 1_000_000_000
RATE = 16_000
CHUNK = 320
S16 = AudioFormat(RATE, 1, 'S16LE')
HOP = 0.25


def header(stamp_ns):
    seconds, rest = divmod(stamp_ns, SECOND)
    return SimpleNamespace(stamp=SimpleNamespace(sec=seconds, nanosec=rest), frame_id='eye')


def image(stamp_ns):
    """Camera message whose pixels tell its stamp."""
    shade = stamp_ns // 1_000_000 % 251
    return SimpleNamespace(
        header=header(stamp_ns),
        height=2,
        width=2,
        step=2,
        encoding='mono8',
        is_bigendian=0,
        data=bytes([shade] * 4),
    )


def noise(time_ns, count, rate=RATE):
    """Sound that depends on its time alone: (count,) int16."""
    first = time_ns * rate // SECOND
    return ((np.arange(first, first + count) * 7919 % 20011) - 10000).astype('<i2')


def audio(stamp_ns, samples=None):
    samples = noise(stamp_ns, CHUNK) if samples is None else samples
    return SimpleNamespace(header=header(stamp_ns), audio=SimpleNamespace(data=samples.tobytes()))


def info(rate=RATE, channels=1, sample_format='S16LE', coding='wave'):
    return SimpleNamespace(
        sample_rate=rate,
        channels=channels,
        sample_format=sample_format,
        coding_format=coding,
        bitrate=0,
    )


def topic(make, stamps):
    return [(stamp, make(stamp)) for stamp in stamps]


def stamps(begin_s, seconds, period_ns, without=(0, 0)):
    """Stamps of a topic that is silent in a part, seconds since its beginning."""
    begin_ns = round(begin_s * SECOND)
    return [
        begin_ns + i * period_ns
        for i in range(round(seconds * SECOND) // period_ns)
        if not without[0] * SECOND <= i * period_ns < without[1] * SECOND
    ]


def streams(*parts):
    """
    Camera and microphone messages of some streams, one after the other.

    :param parts: (begin in seconds, seconds, silence of the images, silence of the sound).
    :return: for each topic [(time at which it is sent, stamp, message)].
    """
    images, sounds, sent_ns = [], [], 0
    for begin_s, seconds, no_images, no_sound in parts:
        begin_ns = round(begin_s * SECOND)
        for out, make, period_ns, without in (
            (images, image, SECOND // 30, no_images),
            (sounds, audio, SECOND // 50, no_sound),
        ):
            for stamp in stamps(begin_s, seconds, period_ns, without):
                out.append((sent_ns + stamp - begin_ns, make(stamp)))
        sent_ns += round(seconds * SECOND)
    return images, sounds


def interleaved(topics, seed=None, most_s=1.2):
    """Messages of both topics in the order sent, or late by up to so much, each topic in order."""
    chance = random.Random(seed)
    events = []
    for kind, messages in enumerate(topics):
        arrival, late = 0, 0
        for sent_ns, msg in messages:
            if seed is not None and chance.random() < 0.1:
                late = chance.random() * most_s * SECOND
            arrival = max(arrival, sent_ns + late)
            events.append((arrival, kind, msg))
    return [(kind, msg) for _, kind, msg in sorted(events, key=lambda event: event[:2])]


def make_intake(**options):
    options.setdefault('audio_format', S16)
    return Intake(window_config(HOP, 8), options.pop('report', pytest.fail), **options)


def fed(intake, events, pauses=()):
    """Windows of messages; before some of them the stream is idle."""
    windows = []
    for number, (kind, msg) in enumerate(events):
        if number in pauses:
            windows += intake.flush_idle()
        if kind == 0:
            intake.add_image(msg)
        else:
            intake.add_audio(msg, 0)
        windows += intake.windows()
    return windows + intake.finish()


def content(window):
    return (
        window.start_ns,
        window.end_ns,
        window.frame_stamps_ns,
        tuple(frame[0, 0, 0] for frame in window.frames),
        window.audio.tobytes(),
        window.audio_missing,
    )


def starts(windows):
    return [window.start_ns / SECOND for window in windows]


WHOLE = (0, 0)
PARTS = {
    'one stream': [(100, 4, WHOLE, WHOLE)],
    'a pause that ends it': [(100, 2.5, WHOLE, WHOLE), (105.6, 2.5, WHOLE, WHOLE)],
    'a long pause': [(100, 2.5, WHOLE, WHOLE), (500.1, 2.5, WHOLE, WHOLE)],
    'the same again': [(100, 2.5, WHOLE, WHOLE), (100, 2.5, WHOLE, WHOLE)],
    'a clock set back': [(100, 3, WHOLE, WHOLE), (10.3, 3, WHOLE, WHOLE)],
    'no sound for a while': [(100, 5, WHOLE, (1.5, 3.0))],
    'no images for a while': [(100, 5, (1.5, 3.0), WHOLE)],
    'no sound at the end': [(100, 3, WHOLE, (2.1, 3)), (130, 3, WHOLE, WHOLE)],
    'no images at the beginning': [(100, 3, WHOLE, WHOLE), (130, 3, (0, 0.7), WHOLE)],
}


@pytest.mark.parametrize('name', PARTS)
@given(st.integers(0, 2**32))
@settings(max_examples=12, deadline=None)
def test_windows_do_not_depend_on_the_order_of_the_topics(name, seed):
    topics = streams(*PARTS[name])
    expected = fed(make_intake(), interleaved(topics))
    found = fed(make_intake(), interleaved(topics, seed))
    assert starts(found) == starts(expected)
    assert [content(w) for w in found] == [content(w) for w in expected]


@pytest.mark.parametrize('name', PARTS)
@given(st.data())
@settings(max_examples=12, deadline=None)
def test_nothing_is_lost_when_an_idle_stream_resumes(name, data):
    topics = streams(*PARTS[name])
    events = interleaved(topics)
    pauses = data.draw(st.sets(st.integers(1, len(events)), max_size=6))
    intake = make_intake()
    expected = fed(intake, events)
    paused = make_intake()
    found = fed(paused, events, pauses)
    assert starts(found) == starts(expected)
    # Only of a window that was given early can a frame be another, for it had not come.
    assert [w.audio.tobytes() for w in found] == [w.audio.tobytes() for w in expected]
    assert paused.stats == intake.stats


def test_the_end_by_stamps_gives_the_last_windows_and_begins_anew():
    intake = make_intake()
    images, sounds = streams((100, 2, (1.9, 2), WHOLE), (200, 2, WHOLE, WHOLE))
    for kind, msg in interleaved((images[:58], sounds[:100])):
        intake.add_audio(msg, 0) if kind else intake.add_image(msg)
    assert starts(intake.windows()) == [100, 100.25, 100.5, 100.75]  # the fifth may change
    intake.add_audio(sounds[100][1], 0)
    assert starts(intake.windows()) == []  # images of the old stream could still come
    intake.add_image(images[58][1])
    assert starts(intake.windows()) == [101]
    for kind, msg in interleaved((images[59:], sounds[101:])):
        intake.add_audio(msg, 0) if kind else intake.add_image(msg)
    assert starts([*intake.windows(), *intake.finish()]) == [200, 200.25, 200.5, 200.75, 201]
    assert intake.stats.restarts == 0


def test_a_silence_within_the_timeout_is_a_gap_of_the_stream():
    topics = streams((100, 2, WHOLE, WHOLE), (103.5, 2, WHOLE, WHOLE))
    assert starts(fed(make_intake(), interleaved(topics)))[-1] == 104.5
    intake = make_intake()
    fed(intake, interleaved(topics))
    assert intake.stats.audio_gaps == 1
    intake = make_intake(stream_timeout_ns=SECOND)
    fed(intake, interleaved(topics))
    assert intake.stats.audio_gaps == 0


def test_stray_stamps_are_left_out_and_told():
    reports = []
    images, sounds = streams((100, 3, WHOLE, WHOLE))
    expected = fed(make_intake(), interleaved((images, sounds)))
    images[40:40] = [(images[40][0], image(7 * SECOND))]
    sounds[50:50] = [(sounds[50][0], audio(900 * SECOND))]
    intake = make_intake(report=reports.append)
    found = fed(intake, interleaved((images, sounds)))
    assert [content(w) for w in found] == [content(w) for w in expected]
    assert intake.refused == 2 and len(reports) == 2 and 'stamp far from' in reports[0]


def test_topics_of_clocks_that_differ_do_not_wait_for_each_other_forever():
    intake = make_intake()
    for i in range(300):
        intake.add_audio(audio(100 * SECOND + i * SECOND // 50), 0)
        intake.add_image(image(900 * SECOND + i * SECOND // 50))
        assert not list(intake.windows())
    assert intake.lead_s == pytest.approx(800, abs=0.1)


def test_audio_info_may_come_later_and_change():
    images, sounds = streams((100, 3, WHOLE, WHOLE))
    expected = fed(make_intake(), interleaved((images, sounds)))
    intake = make_intake(audio_format=AudioFormat())
    events = interleaved((images, sounds))
    for kind, msg in events[:120]:
        intake.add_audio(msg, 0) if kind else intake.add_image(msg)
    assert intake.pending > 50 and not list(intake.windows())
    intake.add_audio_info(info())
    assert intake.pending == 0
    found = [*intake.windows(), *fed(intake, events[120:])]
    assert [content(w) for w in found] == [content(w) for w in expected]


def test_the_format_may_change_in_mid_stream():
    """The second half as stereo floats at 48 kHz, of a tone, which any rate can tell."""

    def tone(stamp_ns, count, rate):
        time_s = (stamp_ns - 100 * SECOND) / SECOND + np.arange(count) / rate
        return 0.5 * np.sin(2 * np.pi * 440 * time_s)

    intake = make_intake(audio_format=AudioFormat())
    intake.add_audio_info(info())
    windows = []
    for i in range(200):
        stamp = 100 * SECOND + i * SECOND // 50
        if i == 100:
            intake.add_audio_info(info(48_000, 2, 'F32LE'))
        if i < 100:
            part = np.rint(tone(stamp, 320, RATE) * 32768).astype('<i2')
        else:
            part = np.repeat(tone(stamp, 960, 48_000).astype('<f4'), 2)
        intake.add_audio(audio(stamp, part), 0)
        intake.add_image(image(stamp))
        windows += intake.windows()
    windows += intake.finish()
    assert starts(windows) == [100 + i / 4 for i in range(13)]
    assert intake.refused == 0
    for window in windows:
        assert window.audio_missing <= 1
        expected = tone(window.start_ns, RATE, RATE)
        assert np.sqrt(np.mean((window.audio - expected) ** 2)) < 0.01


def test_audio_without_stamps_ends_when_it_comes():
    images, sounds = streams((100, 3, WHOLE, WHOLE))
    expected = fed(make_intake(), interleaved((images, sounds)))
    intake = make_intake(audio_latency_ns=30_000_000)
    windows = []
    for kind, msg in interleaved((images, sounds)):
        if kind:
            begun = msg.header.stamp.sec * SECOND + msg.header.stamp.nanosec
            intake.add_audio(
                SimpleNamespace(data=msg.audio.data), begun + CHUNK * SECOND // RATE + 30_000_000
            )
        else:
            intake.add_image(msg)
        windows += intake.windows()
    windows += intake.finish()
    assert [content(w) for w in windows] == [content(w) for w in expected]


def test_stamps_at_the_end_of_a_message_and_late_ones():
    images, sounds = streams((100, 3, WHOLE, WHOLE))
    expected = fed(make_intake(), interleaved((images, sounds)))
    late = [
        (
            sent,
            audio(
                sent + 100 * SECOND + 20_000_000 + 500_000_000,
                np.frombuffer(msg.audio.data, '<i2'),
            ),
        )
        for sent, msg in sounds
    ]
    found = fed(
        make_intake(audio_stamps='end', audio_latency_ns=500_000_000), interleaved((images, late))
    )
    assert [content(w) for w in found] == [content(w) for w in expected]
    with pytest.raises(AvsolError, match="audio_stamps is 'middle'; expected one of auto"):
        make_intake(audio_stamps='middle')


def test_a_lost_message_is_a_marked_gap_at_its_place():
    images, sounds = streams((100, 3, WHOLE, WHOLE))
    lost = sounds.pop(70)  # 101.40 to 101.42 s
    windows = fed(make_intake(), interleaved((images, sounds)))
    assert starts(windows) == [100 + i / 4 for i in range(9)]
    whole = fed(make_intake(), interleaved(streams((100, 3, WHOLE, WHOLE))))
    for window, other in zip(windows, whole, strict=True):
        touched = window.start_ns < lost[0] + 100 * SECOND < window.end_ns
        assert window.audio_missing == (CHUNK if touched else 0)
        same = window.audio == other.audio
        if touched:
            at = (lost[0] + 100 * SECOND - window.start_ns) * RATE // SECOND
            assert not window.audio[at : at + CHUNK].any()
            same[at : at + CHUNK] = True
        assert same.all()


def test_what_cannot_be_used_is_counted_and_told_once():
    reports = []
    intake = make_intake(report=reports.append)
    for _ in range(3):
        intake.add_audio(audio(SECOND, np.zeros(3, np.uint8)), 0)
        intake.add_audio(SimpleNamespace(text='hello'), 0)
        intake.add_image(SimpleNamespace(header=header(0), text='hello'))
    assert intake.refused == 9 and intake.images == 0
    assert len(reports) == 3 and 'expected sound' in reports[1] and 'an image' in reports[2]


def test_a_stream_ends_by_the_given_clock_or_much_later_by_the_real_one():
    told, real = 0.0, 0.0
    intake = make_intake(clock=lambda: told, real_clock=lambda: real)
    assert not intake.is_idle(2)
    intake.add_image(image(SECOND))
    real = 9.9
    assert not intake.is_idle(2)  # a player that stands still
    real = 10.1
    assert intake.is_idle(2)
    intake.add_image(image(2 * SECOND))
    assert not intake.is_idle(2)
    told = 2.1
    assert intake.is_idle(2)
    intake.flush_idle()
    assert not intake.is_idle(2)


# Coded sound.


def mp3_streams(seconds=3, begin_s=100):
    """Camera and MP3 of a tone that begins, for the ear, with a click each second."""
    from bag_files import encode_mp3

    time_s = np.arange(seconds * RATE) / RATE
    pcm = np.rint(12_000 * np.sin(2 * np.pi * 440 * time_s) * (time_s % 1 < 0.1)).astype(np.int16)
    images, _ = streams((begin_s, seconds, WHOLE, WHOLE))
    sounds = [
        (
            sample * SECOND // RATE,
            audio(begin_s * SECOND + sample * SECOND // RATE, np.frombuffer(data, np.uint8)),
        )
        for sample, data in encode_mp3(pcm, RATE)
    ]
    return images, sounds


MP3 = AudioFormat(coding='mp3')


def test_mp3_is_heard_when_it_was_played():
    windows = fed(make_intake(audio_format=MP3), interleaved(mp3_streams()))
    assert starts(windows) == [100 + i / 4 for i in range(len(windows))] and len(windows) >= 8
    for window in windows:
        heard = np.abs(window.audio) > 0.1
        time_s = window.start_ns / SECOND % 1 + np.arange(RATE) / RATE
        # 20 ms around the edges are MP3's own.
        assert heard[(time_s % 1 > 0.02) & (time_s % 1 < 0.08)].mean() > 0.7
        assert not heard[(time_s % 1 > 0.12) & (time_s % 1 < 0.98)].any()
        assert window.audio_missing == 0


@given(st.integers(0, 2**32))
@settings(max_examples=8, deadline=None)
def test_mp3_does_not_depend_on_the_order_of_the_topics(seed):
    topics = mp3_streams()
    expected = fed(make_intake(audio_format=MP3), interleaved(topics))
    found = fed(make_intake(audio_format=MP3), interleaved(topics, seed))
    assert [content(w) for w in found] == [content(w) for w in expected]


def test_no_window_of_mp3_is_lost_when_an_idle_stream_resumes():
    events = interleaved(mp3_streams())
    expected = fed(make_intake(audio_format=MP3), events)
    for pause in range(20, len(events), 17):
        assert starts(fed(make_intake(audio_format=MP3), events, {pause})) == starts(expected)


def test_mp3_without_stamps():
    images, sounds = mp3_streams()
    expected = fed(make_intake(audio_format=MP3), interleaved((images, sounds)))
    intake = make_intake(audio_format=MP3)
    windows = []
    for kind, msg in interleaved((images, sounds)):
        if kind:
            begun = msg.header.stamp.sec * SECOND + msg.header.stamp.nanosec
            intake.add_audio(SimpleNamespace(data=msg.audio.data), begun + 576 * SECOND // RATE)
        else:
            intake.add_image(msg)
        windows += intake.windows()
    windows += intake.finish()
    assert starts(windows) == starts(expected)
    for window, other in zip(windows, expected, strict=True):
        loud, wanted = (np.flatnonzero(np.abs(w.audio) > 0.2)[0] for w in (window, other))
        assert abs(loud - wanted) < RATE * 0.04  # to a frame of MP3


def test_damaged_mp3_is_told_and_goes_on():
    reports = []
    images, sounds = mp3_streams()
    sounds[40] = (sounds[40][0], audio(100 * SECOND + sounds[40][0], np.full(300, 7, np.uint8)))
    intake = make_intake(audio_format=MP3, report=reports.append)
    windows = fed(intake, interleaved((images, sounds)))
    assert len(windows) >= 8 and windows[-1].audio_missing == 0
    lost = [window.audio_missing for window in windows]
    assert max(lost) <= 3 * 576 and sum(map(bool, lost)) in range(1, 6)
    assert intake.refused == len(reports) <= 1
