"""What the localizer publishes of a window, also of models that do not say everything."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('rclpy')

from builtin_interfaces.msg import Time

from avsol_ros.localization import Localization
from avsol_ros.messages.images import image_to_rgb
from avsol_ros.nodes.diagnostics import Monitor
from avsol_ros.nodes.parameters import LOCALIZER
from avsol_ros.nodes.result_publishers import Results
from avsol_ros.nodes.worker import WorkerCounts
from avsol_ros.streams.windows import WindowStats

SECOND = 1_000_000_000


class Topics:
    """A node all of whose topics have a subscriber; keeps the last message of each."""

    def __init__(self):
        self.last = {}

    def create_lifecycle_publisher(self, kind, topic, qos):
        return SimpleNamespace(
            get_subscription_count=lambda: 1,
            publish=lambda msg: self.last.__setitem__(topic.removeprefix('~/'), msg),
        )


def attention():
    """A localization by attention: it sums to 1, so no cell has much of it."""
    heat = np.full((14, 14), 0.001, np.float32)
    heat[3:8, 6:10] = 0.804 / 18
    heat /= heat.sum()
    return Localization(
        0,
        SECOND,
        SECOND - 1,
        heat,
        None,
        ('bell', 'horn'),
        np.array([0.7, 0.2], np.float32),
        np.stack([np.ones((14, 14)), -np.ones((14, 14))]).astype(np.float32),
        (120, 160),
    )


def published(localization):
    values = {parameter.name: parameter.default for parameter in LOCALIZER}
    values |= {'publish_heatmap_float': True, 'publish_overlay': True}
    topics = Topics()
    window = SimpleNamespace(frames=[np.full((120, 160, 3), 60, np.uint8)], audio_missing=800)
    Results(topics, lambda: values).publish(window, localization, 'eye')
    return topics.last


def test_attention_can_be_seen_in_the_pictures_and_measured_in_the_floats():
    found = published(attention())
    mono = image_to_rgb(found['heatmap'])[..., 0]
    assert mono.shape == (120, 160) and mono.max() == 255 and mono[100, 20] < 10
    floats = np.frombuffer(found['heatmap_float'].data, '<f4').reshape(120, 160)
    np.testing.assert_array_equal(floats, attention().heatmap_at(120, 160))
    assert floats.max() < 0.06
    overlay = image_to_rgb(found['overlay'])
    assert np.abs(overlay[40:56, 80:104].astype(int) - 60).mean() > 40


def test_attention_is_published_with_boxes_and_without_a_probability():
    found = published(attention())
    said = found['sounding_objects']
    assert np.isnan(said.avc_probability) and list(said.class_names) == ['bell', 'horn']
    assert said.audio_missing == np.float32(0.05)
    (detection,) = found['detections'].detections
    assert said.detections[0] == detection
    assert detection.results[0].hypothesis.class_id == 'bell'
    assert detection.results[0].hypothesis.score == 1.0


def test_a_probability_is_never_stretched():
    heat = np.full((14, 14), 0.2, np.float32)
    found = published(
        replace(
            attention(),
            heatmap=heat,
            avc=0.2,
            class_names=(),
            class_scores=np.zeros(0, np.float32),
            class_map=np.zeros((0, 14, 14), np.float32),
        )
    )
    assert set(found['heatmap'].data) == {51}
    assert found['detections'].detections == []


@pytest.mark.parametrize('avc, said', [(0.25, '0.250'), (None, 'none: this model has no AVC')])
def test_diagnostics_tell_the_probability_or_that_there_is_none(avc, said):
    monitor = Monitor('localizer', 'compact', pytest.fail)
    intake = SimpleNamespace(
        images=1, audio_messages=1, refused=0, stats=WindowStats(), lead_s=0.0, pending=0
    )
    worker = SimpleNamespace(counts=WorkerCounts())

    def values():
        status = monitor.look(intake, worker, Time()).status[0]
        return {value.key: value.value for value in status.values}

    assert 'AVC probability' not in values()
    monitor.note(replace(attention(), avc=avc), 2 * SECOND)
    assert values()['AVC probability'] == said
