"""Result messages become window results."""

import numpy as np

from avsol_ros.bags import make_message
from avsol_ros.messages.results import message_to_result

SECOND = 1_000_000_000


def test_a_result_from_a_bag():
    hypothesis = {'hypothesis': {'class_id': 'bell', 'score': 0.9}}
    msg = make_message(
        'avsol_ros/msg/SoundingObjects',
        **{
            'window_start': 1 * SECOND,
            'window_end': 2 * SECOND,
            'avc_probability': 0.75,
            'class_names': ['bell', 'horn'],
            'class_scores': np.array([0.5, 0.25], np.float32),
            'detections': [
                {'results': []},
                {
                    'results': [hypothesis],
                    'bbox': {
                        'center': {'position': {'x': 40.0, 'y': 60.0}},
                        'size_x': 40.0,
                        'size_y': 60.0,
                    },
                },
            ],
        },
    )
    result = message_to_result(msg, np.zeros((2, 2), np.float32), (120, 160))
    assert (result.start_ns, result.end_ns, result.avc) == (SECOND, 2 * SECOND, 0.75)
    (box,) = result.boxes
    assert (box.x0, box.y0, box.x1, box.y1) == (20, 30, 60, 90)
    assert (box.class_name, box.score, box.class_score) == ('bell', 0.9, 0.5)
