"""Named models from their configuration to ROS topics: built, given by parameter, published."""

import math

import pytest
import torch

pytest.importorskip('rclpy')

from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from ros_harness import SECOND, Peer, feed, hears, spinning, tell_audio_format
from stand_ins import stand_in
from vision_msgs.msg import Detection2DArray
from waiting import wait_for

from avsol_ros.cli import main
from avsol_ros.messages.to_ros import stamp_to_ns
from avsol_ros.msg import SoundingObjects
from avsol_ros.nodes.localizer import NAME, LocalizerNode

CLASSES = ['bell', 'horn', 'dog']


pytestmark = pytest.mark.usefixtures('ros')


def build(name, folder):
    """What ``avsol build`` writes, published weights stood in for."""
    published = {
        'compact': (),
        'lite': ('efficientnet-lite0', 'aisfx', 'soundnet'),
        'i3d': ('i3d', 'vggish'),
    }[name.partition('-')[0]]
    given = [f'{key}={stand_in(key, folder)}' for key in published]
    path = folder / f'{name}.safetensors'
    assert (
        main(
            [
                'build',
                name,
                str(path),
                '--classes',
                *CLASSES,
                *(['--weights', *given] if given else []),
            ]
        )
        == 0
    )
    return path


@pytest.mark.parametrize(
    'name, seconds, says_avc',
    [
        ('compact-cam', 2, False),
        ('compact-tian', 2, False),
        ('compact-static-cls', 1, False),
        ('compact-static-avc', 1, True),
        ('i3d-cdf-dnm', 1, True),
        ('lite-sync-dnm', 1, True),
    ],
)
def test_a_named_model_runs_in_the_node_by_its_parameter(name, seconds, says_avc, tmp_path):
    node = LocalizerNode(
        parameter_overrides=[
            Parameter(key, value=value)
            for key, value in {
                'model': str(build(name, tmp_path)),
                'device': 'cpu',
                'engine': 'torch',
                'threads': torch.get_num_threads(),
                'hop': 1.0,
            }.items()
        ]
    )
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    with spinning(node), spinning(Peer()) as peer:
        boxes = peer.listen(Detection2DArray, f'{NAME}/detections')
        said = peer.listen(SoundingObjects, f'{NAME}/sounding_objects')
        wait_for(
            lambda: hears(peer, f'{NAME}/detections') and hears(peer, f'{NAME}/sounding_objects')
        )
        tell_audio_format(peer, node)
        feed(peer, node, seconds + 0.1)
        wait_for(lambda: len(said) == len(boxes) == seconds, 60)
        assert node.worker.counts.failed == 0
    assert [stamp_to_ns(msg.window_start) for msg in said] == [
        second * SECOND for second in range(seconds)
    ]
    for msg, found in zip(said, boxes, strict=True):
        assert msg.detections == found.detections
        assert math.isnan(msg.avc_probability) is not says_avc
        classes = [] if name.endswith('avc') else CLASSES
        assert list(msg.class_names) == classes and len(msg.class_scores) == len(classes)
        assert all(0 <= score <= 1 for score in msg.class_scores)
        if not says_avc:  # nothing tells that nothing sounds: the strongest place is a box
            assert msg.detections[0].results[0].hypothesis.score == 1.0
            assert msg.detections[0].results[0].hypothesis.class_id in CLASSES
