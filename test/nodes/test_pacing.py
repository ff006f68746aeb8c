"""When a player sends what it plays, by a clock of the test."""

from itertools import pairwise

import pytest

from avsol_ros.nodes.pacing import Following, RealTime
from avsol_ros.stopping import Stopped

SECOND = 1_000_000_000


class FakeTime:
    """A clock that only sleeping moves; events may happen while it sleeps."""

    def __init__(self):
        self.now = 1000.0
        self.events = []

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        for event in [event for event in self.events if event[0] <= self.now]:
            self.events.remove(event)
            event[1]()
        return False


def test_real_time_keeps_the_distances():
    fake = FakeTime()
    pacer = RealTime(2.0, fake.sleep, fake.clock)
    sent = []
    for media_s in (0.5, 0.6, 1.0, 3.0):
        pacer.wait_for(round(media_s * SECOND))
        sent.append(fake.now - 1000)
        if media_s == 0.6:
            fake.now += 1.0  # a hold-up
    # Nothing is left out after it, and the clock that was agreed on goes on.
    assert sent == pytest.approx([0, 0.05, 1.05, 1.25])
    assert pacer.most_lag_s == pytest.approx(0.8)


def test_waiting_can_be_stopped():
    fake = FakeTime()
    for pacer in (
        RealTime(1.0, lambda seconds: True, fake.clock),
        Following(1.0, 5.0, lambda seconds: True, fake.clock),
    ):
        pacer.wait_for(0)
        with pytest.raises(Stopped):
            pacer.wait_for(10 * SECOND)


def test_following_never_runs_ahead_and_never_bursts():
    fake = FakeTime()
    pacer = Following(1.0, 5.0, fake.sleep, fake.clock)
    fake.events = [
        (1000.9, lambda: pacer.note_result(SECOND)),
        (1004.0, lambda: pacer.note_result(3 * SECOND // 2)),
    ]
    sent = {}
    for media_ms in range(0, 2500, 40):
        pacer.wait_for(media_ms * 1_000_000)
        sent[media_ms] = fake.now - 1000
    times = list(sent.values())
    assert all(after - before >= 0.0099 for before, after in pairwise(times))
    assert sent[1000] <= 0.3 and 0.9 <= sent[1040] <= 1.0
    assert sent[2000] <= 1.3 and 4.0 <= sent[2040] <= 4.1
    assert pacer.overdue == 0
    assert not pacer.complete(2 * SECOND)
    assert pacer.complete(2 * SECOND - 1)


def both_streams(pacer, fake, seconds, silent=(0, 0), hole=(0, 0)):
    """When pictures and sound, 25 each a second, are sent: (stream, media ms) -> seconds."""
    sent = {}
    for media_ms in range(0, seconds * 1000, 40):
        for stream in ('image', 'audio'):
            if hole[0] <= media_ms < hole[1] or (
                stream == 'audio' and silent[0] <= media_ms < silent[1]
            ):
                continue
            pacer.wait_for(media_ms * 1_000_000, stream)
            sent[stream, media_ms] = fake.now - 1000
    return sent


def test_pictures_go_on_while_there_is_no_sound_to_give_results():
    fake = FakeTime()
    pacer = Following(1.0, 60.0, fake.sleep, fake.clock, streams=('image', 'audio'))
    fake.events = [(1000.9, lambda: pacer.note_result(SECOND))]
    sent = both_streams(pacer, fake, 7, silent=(1800, 6000))
    assert sent['image', 5960] - sent['image', 1800] < 1.5
    # Behind it, windows begin anew.
    assert sent['audio', 6960] < 10
    assert pacer.overdue == 0


def test_a_hole_is_crossed_when_the_results_before_it_have_come():
    fake = FakeTime()
    pacer = Following(1.0, 60.0, fake.sleep, fake.clock, streams=('image', 'audio'))
    fake.events = [
        (1000.0 + at, lambda end_ns=end_ns: pacer.note_result(end_ns))
        for at, end_ns in ((0.9, SECOND), (1.5, 3 * SECOND // 2), (2.4, 2 * SECOND))
    ]
    sent = both_streams(pacer, fake, 32, hole=(2000, 31_000))
    assert sent['audio', 1960] < 1.2
    # A second after the last of them.
    assert 3.3 < sent['image', 31_000] < 3.8
    assert sent['audio', 31_960] < 5
    assert pacer.overdue == 0


def test_following_looks_for_the_first_window_and_ends_without_any():
    fake = FakeTime()
    pacer = Following(1.25, 10.0, fake.sleep, fake.clock)
    sent = {}
    for media_ms in range(0, 3000, 50):
        pacer.wait_for(media_ms * 1_000_000)
        sent[media_ms] = fake.now - 1000
    # A window of the longest hop may end at 2 s: that far it goes within seconds.
    assert sent[1250] < 1
    assert sent[2250] < 5
    assert 10 < sent[2500] < 16
    assert pacer.overdue > 0
