"""What the localizer says of its streams, without a node: by counters and a clock of the test."""

from types import SimpleNamespace

import pytest

pytest.importorskip('rclpy')

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from ros_harness import RATE, SECOND, picture, tone

from avsol_ros.messages import to_ros
from avsol_ros.messages.audio import AudioFormat
from avsol_ros.nodes.diagnostics import Monitor
from avsol_ros.nodes.worker import WorkerCounts
from avsol_ros.streams.intake import Intake, window_config


@pytest.mark.parametrize('lead_s, said', [(0, ''), (6, '5.990 s later'), (-9, '9.010 s earlier')])
def test_diagnostics_tell_of_clocks_that_differ(lead_s, said):
    now, warnings = 0.0, []
    intake = Intake(window_config(0.25, 8), pytest.fail, AudioFormat(RATE, 1, 'S16LE'))
    monitor = Monitor('localizer', 'compact', warnings.append, lambda: now)
    worker = SimpleNamespace(counts=WorkerCounts())
    messages = []
    for second in range(8):
        for i in range(100):
            stamp_ns = (100 + second) * SECOND + i * SECOND // 100
            intake.add_image(to_ros.rgb_to_image(picture(), stamp_ns + lead_s * SECOND, 'eye'))
            intake.add_audio(to_ros.samples_to_audio(tone(0, 160), stamp_ns, 'eye'), stamp_ns)
            list(intake.windows())
        now = second + 1.0
        status = monitor.look(intake, worker, Time()).status[0]
        messages.append((status.level, status.message))
    told = [
        level == DiagnosticStatus.WARN and 'no windows' in message and said in message
        for level, message in messages
    ]
    assert told == [bool(said) and second >= 4 for second in range(8)], messages
    assert len(warnings) == bool(said)
    assert all(said in warning for warning in warnings)
