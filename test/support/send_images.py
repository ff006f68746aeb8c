"""
A camera driver as a process of its own: so many raw images at 30 per second.

    python send_images.py WIDTH HEIGHT COUNT

It says so when there is a subscriber. Each line on stdin then lets it send one image, and the line
after the last one end.
"""

import sys
import time
from array import array

import rclpy
from sensor_msgs.msg import Image

from avsol_ros.nodes.qos import sensor_qos

RATE = 30


def main(width, height, count):
    """Send and end."""
    rclpy.init()
    node = rclpy.create_node('camera')
    publisher = node.create_publisher(Image, 'image', sensor_qos('best_effort', 5))
    msg = Image(
        width=width,
        height=height,
        encoding='bgr8',
        step=3 * width,
        data=array('B', bytes(3 * width * height)),
    )
    msg.header.frame_id = 'camera'
    while not publisher.get_subscription_count():
        time.sleep(0.01)
    print('there is a subscriber', flush=True)
    began = None
    for i in range(count):
        sys.stdin.readline()
        began = began or time.monotonic()
        msg.header.stamp.sec, rest = divmod(i, RATE)
        msg.header.stamp.nanosec = rest * 1_000_000_000 // RATE
        msg.data[0] = i
        time.sleep(max(began + i / RATE - time.monotonic(), 0))
        publisher.publish(msg)
    sys.stdin.readline()
    node.destroy_node()
    rclpy.shutdown()


if __name__ == '__main__':
    main(*map(int, sys.argv[1:]))
