"""Time stamps of messages as integer nanoseconds."""

from avsol_ros.config import NANOSECONDS


def stamp_to_ns(stamp) -> int:
    """Exact nanoseconds of a time stamp."""
    return stamp.sec * NANOSECONDS + stamp.nanosec
