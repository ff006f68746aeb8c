"""Ground truth as messages: nothing is lost between an annotation and a bag."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avsol_ros.bags import make_message
from avsol_ros.errors import AvsolError
from avsol_ros.training.annotations.model import FrameTruth, ObjectTruth
from avsol_ros.training.annotations.truth_messages import (
    TYPE,
    detections_to_truth,
    truth_to_detections,
)

ORIGIN = 1_700_000_000_123_456_789

# Annotations are written with two or three decimals; nine are kept.
places = st.integers(0, 16_384 * 10**3).map(lambda v: v / 1000)
moments = st.one_of(
    st.integers(0, 36_000).map(lambda k: k / 10),
    st.integers(0, 36_000).map(lambda k: (k + 0.5) / 10),
    st.integers(0, 10**13).map(lambda ns: ns / 1e9),
)


@st.composite
def boxes(draw):
    x0, x1 = sorted(draw(st.lists(places, min_size=2, max_size=2, unique=True)))
    y0, y1 = sorted(draw(st.lists(places, min_size=2, max_size=2, unique=True)))
    return x0, y0, x1, y1


@st.composite
def objects(draw, track):
    unseen = draw(st.booleans())
    category = draw(
        st.text(
            st.characters(exclude_categories=('Cs',), exclude_characters='\0'),
            min_size=1,
            max_size=8,
        )
    )
    if unseen:
        return ObjectTruth(track, draw(st.sampled_from([None, category])), None, True, True)
    return ObjectTruth(track, category, draw(boxes()), draw(st.booleans()))


@st.composite
def frames(draw):
    tracks = draw(st.lists(st.integers(0, 10**15 - 1), max_size=4, unique=True))
    return FrameTruth(draw(moments), tuple(draw(objects(track)) for track in tracks))


@given(frames(), st.integers(0, 2 * 10**18))
def test_a_frame_comes_back_as_it_was(frame, origin_ns):
    msg = truth_to_detections(frame, origin_ns, 'camera')
    assert msg.header.frame_id == 'camera'
    assert msg.header.stamp.sec * 10**9 + msg.header.stamp.nanosec == origin_ns + round(
        frame.time * 1e9
    )
    assert detections_to_truth(msg, origin_ns) == frame


@given(frames())
def test_a_message_comes_back_as_it_was(frame):
    first = truth_to_detections(frame, ORIGIN, 'camera')
    second = truth_to_detections(detections_to_truth(first, ORIGIN), ORIGIN, 'camera')
    assert repr(second) == repr(first)


@given(st.tuples(*[st.floats(0, 8000)] * 4))
def test_borders_of_any_value_are_kept_to_a_billionth_of_a_pixel(values):
    x0, y0, width, height = values
    box = x0, y0, x0 + width + 1, y0 + height + 1
    frame = FrameTruth(0.0, (ObjectTruth(0, 'bell', box, True),))
    read = detections_to_truth(truth_to_detections(frame, ORIGIN), ORIGIN).objects[0].box
    assert read == pytest.approx(box, rel=0, abs=1e-9)


def detection(x=10.0, y=20.0, width=4.0, height=6.0, name='bell', score=1.0, track='', theta=0.0):
    return {
        'bbox': {
            'center': {'position': {'x': x, 'y': y}, 'theta': theta},
            'size_x': width,
            'size_y': height,
        },
        'id': track,
        'results': [{'hypothesis': {'class_id': name, 'score': score}}],
    }


def message(*detections, stamp_ns=ORIGIN):
    return make_message(TYPE, header={'stamp': stamp_ns}, detections=list(detections))


def read(*detections, stamp_ns=ORIGIN):
    return detections_to_truth(message(*detections, stamp_ns=stamp_ns), ORIGIN)


def test_what_another_program_wrote_is_understood():
    frame = read(
        detection(score=0.5, track='7'),
        detection(score=0.49, track='8'),
        detection(0, 0, 0, 0, name='', score=0.9, track='9'),
        stamp_ns=ORIGIN + 250_000_000,
    )
    assert frame == FrameTruth(
        0.25,
        (
            ObjectTruth(7, 'bell', (8.0, 17.0, 12.0, 23.0), True),
            ObjectTruth(8, 'bell', (8.0, 17.0, 12.0, 23.0), False),
            ObjectTruth(9, None, None, True, out_of_view=True),
        ),
    )
    assert frame.kind == 'single'


def test_what_is_neither_seen_nor_heard_is_nothing():
    assert read(detection(0, 0, 0, 0, score=0.1)) == FrameTruth(0.0, ())
    assert read() == FrameTruth(0.0, ())


def test_tracks_without_numbers_get_their_own():
    names = ['0', '12', '012', '-3', 'dog', 'cat', '9' * 15, '9' * 16, '9' * 5000, '٣']
    tracks = [o.track for o in read(*(detection(track=name) for name in names)).objects]
    assert len(set(tracks)) == len(names)
    assert tracks[:2] == [0, 12] and tracks[6] == int('9' * 15)
    assert all(0 <= track < 10**15 for track in tracks)
    again = [
        o.track
        for o in read(*(detection(track=name) for name in names), stamp_ns=ORIGIN + 1).objects
    ]
    assert again == tracks
    unnamed = [
        o.track
        for moment in (0, 1)
        for o in read(detection(), detection(), stamp_ns=ORIGIN + moment).objects
    ]
    assert len(set(unnamed)) == 4


def test_messages_of_foxy_are_read():
    old = SimpleNamespace(
        header=message().header,
        detections=[
            SimpleNamespace(
                tracking_id='5',
                results=[SimpleNamespace(id='bell', score=0.7)],
                bbox=SimpleNamespace(
                    center=SimpleNamespace(x=10.0, y=20.0, theta=0.0), size_x=4.0, size_y=6.0
                ),
            )
        ],
    )
    assert detections_to_truth(old, ORIGIN).objects == (
        ObjectTruth(5, 'bell', (8.0, 17.0, 12.0, 23.0), True),
    )


@pytest.mark.parametrize(
    'wrong, words',
    [
        (detection(width=-1), 'more than 0'),
        (detection(width=0), 'more than 0'),
        (detection(x=float('nan')), 'finite'),
        (detection(score=float('nan')), 'score'),
        (detection(theta=0.3), 'upright'),
        ({**detection(), 'results': []}, 'no results'),
    ],
)
def test_what_does_not_follow_the_convention_is_told(wrong, words):
    with pytest.raises(AvsolError, match=words):
        read(detection(), wrong)
