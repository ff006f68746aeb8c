"""Time stamps of messages as integer nanoseconds."""

from avsol_ros.config import NANOSECONDS
from avsol_ros.messages.fields import Stamp


def stamp_to_ns(stamp: Stamp) -> int:
    """Return the exact nanoseconds of a time stamp."""
    return stamp.sec * NANOSECONDS + stamp.nanosec
