"""Messages whose stamps are far off: single ones are left out."""

from avsol_ros.streams.time_jumps import CLOCK_CHANGE_NS


class StrayFilter:
    """
    Holds a message whose stamp is far off back, until the next shows whether time has moved.

    A single such message, for example with a stamp of zero, is left out and counted.

    :ivar strays: how many were left out.
    """

    def __init__(self):
        self._distance: int | None = None
        self._held: tuple[int, int, object] | None = None
        self.strays = 0

    def add(self, stamp_ns: int, log_ns: int, value) -> list[tuple[int, int, object]]:
        """
        Add a message.

        :returns: stamp, log time and value of those that can be used now, in order.
        """
        distance = stamp_ns - log_ns
        item, held = (stamp_ns, log_ns, value), self._held
        if self._distance is None or abs(distance - self._distance) <= CLOCK_CHANGE_NS:
            self.strays += held is not None
            self._held, self._distance = None, distance
            return [item]
        if held is not None and abs(distance - (held[0] - held[1])) <= CLOCK_CHANGE_NS:
            self._held, self._distance = None, distance
            return [held, item]
        self.strays += held is not None
        self._held = item
        return []
