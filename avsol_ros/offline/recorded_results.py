"""
What a localizer found, read back from a bag: SoundingObjects and their heatmaps.

A result and its heatmap are two messages with the same stamp. Either may come first, and either
may be lost. Two windows of a slow camera can end with the same frame and so have the same stamp;
then the first result goes with the first heatmap, the second with the second.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.localization import Box, upsample, visible_heat
from avsol_ros.messages.images import image_to_rgb
from avsol_ros.messages.results import message_to_result
from avsol_ros.messages.stamps import stamp_to_ns
from avsol_ros.offline.localization_run import Finding, TimedMessage, Watch, shown_size

# A result whose heatmap has not come after so many later results is used without one. Heatmaps
# wait for their results, too, and some of those were lost.
_WAITING = 6
_HEATMAPS = 16
_PROBLEMS = 100  # lines


@dataclass(frozen=True, eq=False)
class RecordedResult:
    """
    A result as it was recorded, with its heatmap.

    :param msg: SoundingObjects.
    :param heat: (h, w) float32 as it was recorded; None without one.
    :param log_ns: log time of the SoundingObjects.
    """

    msg: Any
    heat: np.ndarray | None
    log_ns: int


def heatmap_of(msg: Any) -> np.ndarray:
    """
    Read the heatmap (h, w) float32 of an Image message: 32FC1 as it is, 8 bits as 0 to 1.

    :raises AvsolError: for an image that is no heatmap.
    """
    if msg.encoding.upper() != '32FC1':
        return image_to_rgb(msg)[:, :, 0].astype(np.float32) / 255
    data = np.frombuffer(msg.data, np.uint8)
    row = 4 * msg.width
    if msg.width < 1 or msg.height < 1 or msg.step < row or data.size < msg.step * msg.height:
        raise AvsolError(
            f'heatmap says {msg.width}x{msg.height} with {msg.step} bytes a row and '
            f'holds {data.size} bytes; expected at least {row} a row'
        )
    rows = data[: msg.step * msg.height].reshape(msg.height, msg.step)[:, :row]
    heat = np.ascontiguousarray(rows).view('>f4' if msg.is_bigendian else '<f4')
    if not np.isfinite(heat).all():
        raise AvsolError('heatmap holds values that are not finite')
    return heat.astype(np.float32)


class Pairing:
    """
    Pairs results with their heatmaps.

    :param heatmaps: whether there are any heatmaps.
    :ivar alone: results without a heatmap.
    :ivar refused: heatmaps that could not be read.
    """

    def __init__(self, heatmaps: bool):
        self._wanted = heatmaps
        self._results: deque[tuple[Any, int]] = deque()
        self._heat: dict[int, deque[np.ndarray]] = {}
        self.alone = self.refused = 0

    def add_heatmap(self, msg: Any) -> Iterator[RecordedResult]:
        """Add an Image; gives the results that are complete now."""
        try:
            heat = heatmap_of(msg)
        except AvsolError:
            self.refused += 1
            return
        self._heat.setdefault(stamp_to_ns(msg.header.stamp), deque()).append(heat)
        while sum(map(len, self._heat.values())) > _HEATMAPS:
            self._heat.pop(next(iter(self._heat)))
        yield from self._complete(_WAITING)

    def add_result(self, msg: Any, log_ns: int) -> Iterator[RecordedResult]:
        """Add a SoundingObjects; gives the results that are complete now."""
        self._results.append((msg, log_ns))
        yield from self._complete(_WAITING if self._wanted else 0)

    def finish(self) -> Iterator[RecordedResult]:
        """Give the results that still wait for a heatmap, without one."""
        yield from self._complete(0)

    def problems(self) -> list[str]:
        """What could not be read, one line each."""
        return [f'{self.refused} recorded heatmap(s) cannot be read'] if self.refused else []

    def _complete(self, waiting: int) -> Iterator[RecordedResult]:
        while self._results:
            msg, log_ns = self._results[0]
            stamp_ns = stamp_to_ns(msg.header.stamp)
            heats = self._heat.get(stamp_ns)
            if not heats and len(self._results) <= waiting:
                return
            self._results.popleft()
            heat = heats.popleft() if heats else None
            if heats is not None and not heats:
                del self._heat[stamp_ns]
            self.alone += heat is None
            yield RecordedResult(msg, heat, log_ns)


@dataclass
class RecordedMaps:
    """
    Makes recorded results into maps over the image and into findings.

    :param image_size: height and width of the camera's images; None where nothing tells.
    :param first_centre: what the first cell of a map sees, where the model's own maps were
        recorded (see ``Localization``); None where they lie over the image.
    :ivar sources: how many maps were made of what: '32FC1', 'mono8', 'boxes'.
    """

    image_size: tuple[int, int] | None
    first_centre: float | None = None
    sources: dict[str, int] = field(default_factory=dict)

    def heat(self, recorded: RecordedResult, source: str) -> np.ndarray:
        """
        Map at the size at which it is scored, that of the images, else its own.

        Without a heatmap the boxes are drawn: see ``boxes_as_map``.

        :param source: '32FC1' or 'mono8'.
        """
        heat = recorded.heat
        source = 'boxes' if heat is None else source
        self.sources[source] = self.sources.get(source, 0) + 1
        size = self.image_size
        if size is None and heat is not None:
            size = heat.shape[0], heat.shape[1]
        if size is None:
            raise AvsolError(
                'the results have no heatmaps, and nothing tells the size of the '
                'images in which their boxes lie; give the recording with the '
                'camera too: avsol evaluate RECORDING --recorded RESULTS'
            )
        if heat is None:
            return boxes_as_map(
                message_to_result(recorded.msg, np.zeros((1, 1)), size).boxes, *size
            )
        return heat if heat.shape == tuple(size) else upsample(heat, *size, self.first_centre)

    def problems(self) -> list[str]:
        """How many heatmaps are missing, if there are others, in a line."""
        if self.sources.get('boxes') and len(self.sources) > 1:
            return [f'{self.sources["boxes"]} result(s) have no heatmap; their boxes are taken']
        return []

    def finding(self, recorded: RecordedResult, heat: np.ndarray) -> Finding:
        """
        What was found, for files and pictures.

        :param heat: as :meth:`heat` gives it.
        """
        height, width = heat.shape
        result = message_to_result(recorded.msg, heat, (height, width))
        small_size = shown_size((height, width))
        small = cv2.resize(heat, small_size[::-1], interpolation=cv2.INTER_AREA)
        missing_s = getattr(recorded.msg, 'audio_missing', None)
        return Finding(
            replace(result, heatmap=visible_heat(small, result.avc)),
            stamp_to_ns(recorded.msg.header.stamp),
            recorded.log_ns,
            None,
            None if missing_s is None else float(missing_s),
        )


@dataclass
class RecordedRun:
    """
    One pass over what a localizer found live.

    :param messages: kind, log time and message, as ``bag_messages`` gives them with results.
    :param maps: makes maps over the image.
    :param heatmaps: kind of the heatmaps, 'heatmap_float' or 'heatmap'; '' where there are none.
    :param watch: told each message, before the results that it completes.
    """

    messages: Iterable[TimedMessage]
    maps: RecordedMaps
    heatmaps: str
    watch: Watch

    def __post_init__(self) -> None:
        self._pairing = Pairing(bool(self.heatmaps))
        self._wrong: list[str] = []

    def __iter__(self) -> Iterator[tuple[Finding, np.ndarray]]:
        """Give what was found in each window, and its map (H, W) to be scored."""
        for kind, log_ns, msg in self.messages:
            self.watch(kind, log_ns, msg)
            if kind == 'sounding':
                wrong = check_result(msg)
                if not wrong:
                    yield from map(self._found, self._pairing.add_result(msg, log_ns))
                elif wrong not in self._wrong and len(self._wrong) < _PROBLEMS:
                    self._wrong.append(wrong)
            elif kind == self.heatmaps:
                yield from map(self._found, self._pairing.add_heatmap(msg))
        yield from map(self._found, self._pairing.finish())

    def problems(self) -> list[str]:
        """What could not be used, one line each."""
        return [*self._wrong, *self._pairing.problems(), *self.maps.problems()]

    def _found(self, recorded: RecordedResult) -> tuple[Finding, np.ndarray]:
        heat = self.maps.heat(recorded, 'mono8' if self.heatmaps == 'heatmap' else '32FC1')
        return self.maps.finding(recorded, heat), heat


def boxes_as_map(boxes: tuple[Box, ...], height: int, width: int) -> np.ndarray:
    """
    Draw boxes as a heatmap, for results of which no heatmap is there.

    :returns: (height, width) float32: the score of the strongest box over a pixel; its one
        highest value is at the middle of the strongest box. All 0 without boxes.
    """
    heat = np.zeros((height, width), np.float32)
    for box in boxes:
        left, right, top, bottom = (
            int(np.clip(np.ceil(v - 0.5), 0, most))
            for v, most in ((box.x0, width), (box.x1, width), (box.y0, height), (box.y1, height))
        )
        inside = heat[top:bottom, left:right]
        np.maximum(inside, np.float32(box.score), out=inside)
    if boxes:
        best = max(boxes, key=lambda box: box.score)
        row = min(max(int((best.y0 + best.y1) / 2), 0), height - 1)
        column = min(max(int((best.x0 + best.x1) / 2), 0), width - 1)
        heat[row, column] = np.nextafter(heat.max(), np.float32(np.inf))
    return heat


def check_result(msg: Any) -> str:
    """Say why a SoundingObjects cannot be used; '' if it can."""
    start_ns, end_ns = stamp_to_ns(msg.window_start), stamp_to_ns(msg.window_end)
    if not 0 < end_ns - start_ns <= 3600 * NANOSECONDS:
        return f'a result says that its window lasts {(end_ns - start_ns) / NANOSECONDS:g} s'
    if any(not detection.results for detection in msg.detections):
        return 'a result has a detection without a hypothesis'
    return ''
