"""Settings of the core. Each dataclass checks its values when it is made."""

from dataclasses import dataclass

from avsol_ros.errors import AvsolError

NANOSECONDS = 1_000_000_000

#: The shipped model that is taken where none is named.
DEFAULT_MODEL = 'compact'
#: What everybody must know of it who localizes a film.
DEFAULT_MODEL_KNOWS = (
    'knows twelve rendered shapes and no real things; on films of real things it is mostly wrong'
)

#: Shortest and longest time between the starts of two windows, in seconds.
HOP_RANGE_S = (0.02, 1.0)


def _require(condition: bool, what: str, given: object, expected: str) -> None:
    if not condition:
        raise AvsolError(f'{what} is {given!r}; expected {expected}')


@dataclass(frozen=True)
class WindowConfig:
    """
    How the two streams are cut into windows.

    Windows start at whole multiples of ``hop_ns`` by the stamps. So the same stream gives the
    same windows, whenever a listener joined it.

    :param length_ns: length of a window in nanoseconds; the paper uses one second (section 4.1).
    :param hop_ns: time between the starts of two windows in nanoseconds, at most ``length_ns``;
        the paper uses one second, and a live robot less.
    :param frames: video frames per window, evenly spaced in time.
    """

    length_ns: int = NANOSECONDS
    hop_ns: int = NANOSECONDS
    frames: int = 8

    def __post_init__(self) -> None:
        for name in ('length_ns', 'hop_ns', 'frames'):
            value = getattr(self, name)
            _require(isinstance(value, int) and value > 0, name, value, 'a positive integer')
        _require(
            self.hop_ns <= self.length_ns,
            'hop_ns',
            self.hop_ns,
            f'at most length_ns = {self.length_ns}, else samples between windows are lost',
        )


@dataclass(frozen=True)
class BoxConfig:
    """
    How a localization map becomes boxes.

    :param avc_threshold: AVC probability in [0, 1] under which nothing in view counts as
        sounding; it has no effect on models without AVC.
    :param box_threshold: level in (0, 1), relative to the peak of the map, at which an object
        ends.
    :param min_area: smallest box, as a share of the image in [0, 1].
    :param max_boxes: how many boxes an image has at most; the strongest are kept.
    """

    avc_threshold: float = 0.5
    box_threshold: float = 0.5
    min_area: float = 0.005
    max_boxes: int = 5

    def __post_init__(self) -> None:
        _require(0 <= self.avc_threshold <= 1, 'avc_threshold', self.avc_threshold, '0 to 1')
        _require(
            0 < self.box_threshold < 1,
            'box_threshold',
            self.box_threshold,
            'more than 0, less than 1',
        )
        _require(0 <= self.min_area <= 1, 'min_area', self.min_area, '0 to 1')
        _require(
            isinstance(self.max_boxes, int) and self.max_boxes > 0,
            'max_boxes',
            self.max_boxes,
            'a positive integer',
        )
