"""What all importers share: frames at the annotation's rate, tags, and boxes cut off."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from avsol_ros.errors import AvsolError
from avsol_ros.training.annotations.model import ObjectTruth

# Decimals of a pixel and of a second that are kept.
_BOX_DECIMALS, _TIME_DECIMALS = 2, 6


@dataclass(frozen=True)
class ImportSettings:
    """
    How pictures become annotated frames.

    :param fps: pictures per second by which the other tool numbers them, e.g. 30000/1001.
    :param rate: annotated frames per second to make.
    :param video: name of the video; by default what the file says.
    :param size: width and height of the pictures, where the file does not say them.
    :param clip: cut boxes off at the border of the picture, and drop those beyond it.
    """

    fps: Fraction
    rate: Fraction = Fraction(10)
    video: str | None = None
    size: tuple[int, int] | None = None
    clip: bool = False

    def __post_init__(self):
        if not (self.fps > 0 and self.rate > 0):
            raise AvsolError(
                f'{self.fps} pictures and {self.rate} annotated frames per second; '
                'expected more than 0'
            )
        if self.rate > self.fps:
            raise AvsolError(
                f'{float(self.rate):g} annotated frames per second cannot come from '
                f'{float(self.fps):g} pictures per second; choose a lower --rate'
            )

    def moments(self, pictures: int) -> Iterator[tuple[float, int]]:
        """
        Yield, for each annotated frame of a video, its time and the picture that shows then.

        Picture ``n`` shows in ``[n / fps, (n + 1) / fps)``; frame ``k`` is at ``k / rate``.

        :param pictures: how many there are.
        """
        for index in range(math.ceil(pictures * self.rate / self.fps)):
            time = index / self.rate
            yield round(float(time), _TIME_DECIMALS), math.floor(time * self.fps)

    def duration(self, pictures: int) -> float:
        """How long so many pictures last, seconds."""
        return round(float(pictures / self.fps), _TIME_DECIMALS)

    def finish(self, item: ObjectTruth, width: int, height: int) -> ObjectTruth | None:
        """Round a box and, where wanted, cut it off; None when nothing of it is left."""
        if item.box is None:
            return item
        item = replace(item, box=tuple(round(v, _BOX_DECIMALS) for v in item.box))
        return clip_box(item, width, height) if self.clip else item


def clip_box(item: ObjectTruth, width: int, height: int) -> ObjectTruth | None:
    """Cut a box off at the border of the picture; None when nothing of it is left."""
    box = item.box
    if box is None:
        return item
    was_proper = box[0] < box[2] and box[1] < box[3]
    left, upper, right, lower = (
        min(max(v, 0.0), float(side)) for v, side in zip(box, (width, height, width, height))
    )
    # A box that was empty or inverted before is a mistake that the check has to see.
    if was_proper and not (left < right and upper < lower):
        return None
    return replace(item, box=(left, upper, right, lower))


def parse_fraction(text: str) -> Fraction:
    """Read 25, 29.97 or 30000/1001."""
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise AvsolError(
            f'{text!r} is no rate; expected pictures per second, e.g. 25 or 30000/1001'
        ) from None
    return value


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Read WIDTHxHEIGHT; None for None."""
    if text is None:
        return None
    width, _, height = text.lower().partition('x')
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise AvsolError(f'{text!r} is no size; expected WIDTHxHEIGHT, e.g. 640x480')
    return int(width), int(height)


def plain_name(text: str) -> str:
    """Name of a tag in one spelling: Out-of-view and out of view become out_of_view."""
    return text.strip().lower().replace('-', '_').replace(' ', '_')


def read_flag(value, where: str) -> bool:
    """Read a tag that is a truth value or its usual spelling."""
    text = str(value).strip().lower()
    if text in ('true', '1', 'yes'):
        return True
    if text in ('false', '0', 'no'):
        return False
    raise AvsolError(f'{where} is {value!r}; expected true or false')


def collect_tags(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    """Tags by plain name; only those that annotations have."""
    named = ((plain_name(str(name)), value) for name, value in pairs)
    return {
        name: value for name, value in named if name in ('sounding', 'out_of_view', 'category')
    }
