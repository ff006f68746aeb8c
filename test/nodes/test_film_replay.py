"""
One film, two ways, the same bits: played into the live node, and through ``localize_film``.

Player and localizer are processes of their own, and all goes over DDS.
"""

import signal
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip('rclpy')

from processes import finish, start_avsol
from ros_harness import SECOND, Peer, hears, spinning
from scene_film import write_scene_film
from sensor_msgs.msg import Image
from waiting import PATIENCE_S, wait_for

from avsol_ros import localize_film
from avsol_ros.media.film_reader import MediaReader, VideoChunk
from avsol_ros.messages.stamps import stamp_to_ns
from avsol_ros.msg import SoundingObjects

NODE = 'avsol_localizer'
RESULTS, HEATMAPS = f'/{NODE}/sounding_objects', f'/{NODE}/heatmap_float'
#: Frame times of a camera that slows down in the dark: 30 to 11 frames a second.
UNEVEN = [Fraction(n, 30) for n in (*range(0, 40), *range(40, 70, 2), *range(70, 90, 3))]

FILMS = {
    'turned by a quarter': {'rotation': 90},
    'sound begins late': {'audio_offset': 0.6},
    'pictures begin late': {'frame_times': [Fraction(n, 25) + Fraction(3, 10) for n in range(60)]},
    'stereo at 44.1 kHz': {'rate': 44_100, 'channels': 2},
    'uneven frame rate': {'frame_times': UNEVEN},
}


pytestmark = pytest.mark.usefixtures('ros')


@pytest.fixture(scope='module', params=[0.25, 1.0], ids='hop {}'.format)
def live(request):
    """Return a function that plays a film into a localizer, one for all films of a hop."""
    node = start_avsol(
        'localizer',
        '--device',
        'cpu',
        '--hop',
        request.param,
        '--reliability',
        'reliable',
        '--publish-heatmap-float',
        '--queue-size',
        100,
    )
    try:
        with spinning(Peer()) as peer:
            results = peer.listen(SoundingObjects, RESULTS)
            heatmaps = peer.listen(Image, HEATMAPS)
            wait_for(
                lambda: (
                    all(hears(peer, topic[1:]) for topic in (RESULTS, HEATMAPS))
                    or node.poll() is not None
                )
            )

            def play(film, start_s, expected):
                before = len(results), len(heatmaps)
                player = start_avsol(
                    'play',
                    film,
                    '--rate',
                    0,
                    '--start-time',
                    start_s,
                    '--wait-timeout',
                    PATIENCE_S,
                    '--result-timeout',
                    PATIENCE_S,
                )
                said = finish(player)
                assert 'overdue' not in said, said
                wait_for(lambda: len(results) >= before[0] + expected)
                wait_for(lambda: len(heatmaps) >= before[1] + expected)
                return list(zip(results[before[0] :], heatmaps[before[1] :], strict=True))

            play.hop = request.param
            yield play
        finish(node, signal.SIGINT)
    finally:
        node.kill()


def first_frame_ns(film):
    with MediaReader(film) as reader:
        return next(chunk.time_ns for chunk in reader if isinstance(chunk, VideoChunk))


@pytest.mark.parametrize('name', FILMS)
def test_a_film_is_localized_as_it_is_when_played_into_the_live_node(live, name, tmp_path):
    film = write_scene_film(tmp_path / 'scene.mp4', **FILMS[name])
    offline = list(localize_film(film, hop=live.hop, device='cpu'))
    # A window of the live node begins at the film's first frame, as the first one offline does.
    zero_ns = 1000 * (1 + list(FILMS).index(name)) * SECOND
    start_ns = zero_ns - first_frame_ns(film)
    found = live(film, f'{start_ns // SECOND}.{start_ns % SECOND:09d}', len(offline))

    assert len(found) == len(offline) >= (2 if live.hop == 1 else 7)
    assert any(one.boxes for one in offline) or live.hop == 1
    for (msg, heatmap), one in zip(found, offline, strict=True):
        assert stamp_to_ns(msg.window_start) - zero_ns == one.start_ns
        assert stamp_to_ns(msg.window_end) - zero_ns == one.end_ns
        assert stamp_to_ns(msg.header.stamp) - zero_ns == one.stamp_ns
        assert np.float32(msg.avc_probability).tobytes() == np.float32(one.avc).tobytes()
        assert tuple(msg.class_names) == one.class_names
        assert msg.class_scores.tobytes() == one.class_scores.astype(np.float32).tobytes()
        assert (heatmap.height, heatmap.width) == one.image_size
        assert heatmap.data.tobytes() == one.heatmap_at(*one.image_size).tobytes()
        boxes = [(b.x0, b.y0, b.x1, b.y1, b.score, b.class_name) for b in one.boxes]
        assert [
            (d.bbox.center.position.x, d.bbox.center.position.y, d.bbox.size_x, d.bbox.size_y)
            for d in msg.detections
        ] == [((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0) for x0, y0, x1, y1, *_ in boxes]
        hypotheses = [d.results[0].hypothesis for d in msg.detections]
        assert [(h.score, h.class_id) for h in hypotheses] == [box[4:] for box in boxes]
