"""
Jumps in time: the thresholds that all parts share, each in one place.

A jump is where the stamp of a message cannot follow from the stamps before it: it goes back, or
it leaves a silence, or it lies far from everything else. docs/time.md is the page that says what
a jump is, what each part does with one, and why. A part that judges stamps takes its threshold
from here. Two thresholds differ only where the reason differs; each has its reason beside it.
"""

from avsol_ros.config import NANOSECONDS

# Stamps of one topic, or log times of a bag, that go back by no more than this are disorder:
# networks and the queues of recorders reorder messages by less. More is another stream, such as a
# bag that begins again or a clock that was set. It is one window, the longest that disorder could
# matter for.
BACK_NS = NANOSECONDS

# The same after a stream became idle: messages in flight have all arrived by then, so there
# is less disorder to allow for, and a bag that is played again begins little before its end if it
# is short.
BACK_WHEN_IDLE_NS = NANOSECONDS // 10

# A stream ends where the stamps of both topics show nothing for longer than this. It is the
# default of the parameter `stream_timeout`: longer than a pause of a driver, short enough that
# the last windows of a stream come soon.
SILENCE_NS = 2 * NANOSECONDS

# The topics of one stream are never further apart than this. So much of a new stream waits for
# the other topic before the old stream counts as ended, and a film refuses stamps that lie further
# from those of the other topic (or further than its frames wait for a result, if that is more).
TOPICS_APART_NS = 2 * NANOSECONDS

# What the window cutter holds of each topic: two windows, and as much again for one topic that is
# late. A stamp further than this from the newest of its topic has no window with anything held.
MEMORY_NS = 4 * NANOSECONDS

# Sound is placed by counting samples while its stamps are no further than this from the count:
# stamps are rounded (Matroska: 1 ms) and jitter. Further off, sound was lost or comes twice.
SOUND_TOLERANCE_NS = 20 * NANOSECONDS // 1000

# A chunk of sound with a stamp further off than the tolerance waits no longer than this for the
# chunks that tell whether only its stamp was late. A jump longer than this does not wait: no
# reader is late by so much.
SOUND_WAIT_NS = NANOSECONDS

# A player that follows the results takes a silence longer than this for a hole. It is as long as a
# window, so no window has data of both sides, and no result comes of the hole itself: the player
# waits for the results before it, then goes on without waiting for as long as the hole lasts.
HOLE_NS = NANOSECONDS

# For a conversion, the distance of stamps from log times may change by so much from one message
# to the next. It is wide, because a recorder that was busy writes messages late, by seconds; it
# is there to find stamps of another clock, such as zero.
CLOCK_CHANGE_NS = 10 * NANOSECONDS

# Numbered files of a folder without metadata.yaml are parts of one recording if each begins
# within this of the end of the one before. It is longer than a recorder needs to open a file.
PARTS_APART_NS = 5 * NANOSECONDS


def goes_back(time_ns: int, newest_ns: int, limit_ns: int = BACK_NS) -> bool:
    """Whether a time lies so far before the newest one that it is no disorder but a jump."""
    return time_ns < newest_ns - limit_ns
