"""
Send a tone as mgonzs13's capture node does, with images, until results of a localizer have come.

Usage: python send_audio.py SAMPLE_FORMAT RESULTS; prints a JSON object for each result.
"""

import json
import sys
import time

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from avsol_ros.messages import to_ros
from avsol_ros.messages.audio import AudioFormat
from avsol_ros.messages.stamps import stamp_to_ns
from avsol_ros.msg import SoundingObjects

RATE, CHUNK = 16_000, 512
DATA = {
    'S16LE': lambda pcm: pcm.astype('<i2'),
    'F32LE': lambda pcm: (pcm / 32768).astype('<f4'),
    'U8': lambda pcm: (pcm // 256 + 128).astype(np.uint8),
}


def tone(start, count):
    """Part of an endless tone: (count, 1) int16."""
    phase = np.arange(start, start + count)[:, None] * 0.17
    return np.rint(16_000 * np.sin(phase)).astype(np.int16)


def main(sample_format: str, results: int) -> None:
    rclpy.init()
    node = Node('audio_capturer_node')
    audio = node.create_publisher(to_ros.AUDIO_MESSAGE, 'audio', qos_profile_sensor_data)
    images = node.create_publisher(Image, 'image', qos_profile_sensor_data)
    found = []
    node.create_subscription(SoundingObjects, 'avsol_localizer/sounding_objects', found.append, 10)
    wanted = AudioFormat(RATE, 1, sample_format, 'pcm')
    while not (audio.get_subscription_count() and images.get_subscription_count()):
        rclpy.spin_once(node, timeout_sec=0.05)
    began, began_ns, sent, told = time.monotonic(), node.get_clock().now().nanoseconds, 0, 0
    while told < results:
        # It looks at the clock, reads until the chunk is full and sends. Here the clock is that
        # of the samples, so that a busy machine makes no gaps.
        stamp_ns = began_ns + sent * 1_000_000_000 // RATE
        data = DATA[sample_format](tone(sent, CHUNK))
        sent += CHUNK
        while time.monotonic() - began < sent / RATE:
            rclpy.spin_once(node, timeout_sec=max(began + sent / RATE - time.monotonic(), 0))
        audio.publish(to_ros.audio_message(stamp_ns, 'ear', data, wanted))
        images.publish(to_ros.rgb_to_image(np.full((48, 64, 3), 90, np.uint8), stamp_ns, 'eye'))
        for msg in found[told:]:
            told += 1
            late_s = (node.get_clock().now().nanoseconds - stamp_to_ns(msg.window_end)) / 1e9
            print(json.dumps({'late': late_s, 'missing': msg.audio_missing}), flush=True)
    rclpy.shutdown()


if __name__ == '__main__':
    main(sys.argv[1], int(sys.argv[2]))
