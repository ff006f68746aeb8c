"""
A bag through the localizer, message by message: the same intake and model as live.

What is held at any time is what the intake holds, however long the bag is.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from avsol_ros.bags import BagReader, Streams
from avsol_ros.config import NANOSECONDS, BoxConfig
from avsol_ros.errors import AvsolError
from avsol_ros.inference.localizer import Localization, Localizer
from avsol_ros.localization import Box, WindowResult, find_boxes, visible_heat
from avsol_ros.messages.images import decode_image
from avsol_ros.messages.stamps import stamp_to_ns
from avsol_ros.streams.intake import Intake
from avsol_ros.streams.windows import AudioVisualWindow

#: What a bag keeps beside its messages: the stamp of time 0 of its annotations.
ORIGIN_KEY = 'avsol_origin_ns'

# Longest side of the map from which the peak is taken and that pictures show.
_SHOWN = 224
# What goes wrong with one window must not end the run.
_FAILURES = (AvsolError, ValueError, RuntimeError)


def bag_messages(
    reader: BagReader, streams: Streams, results: bool = False
) -> Iterator[tuple[str, int, object]]:
    """
    Messages of the streams in order of log time, the first AudioInfo before all others.

    Drivers tell the format every few seconds and at their start, which is before that of the
    recording; whoever replays a bag sends it first too. What cannot be decoded is left out and
    noted in ``reader.problems``.

    :param results: give also those of the localizer.
    :returns: kind of the stream, log time in nanoseconds, message.
    """
    kinds = {'image': streams.image, 'audio': streams.audio, 'audio_info': streams.audio_info}
    if results:
        kinds |= {
            'sounding': streams.sounding,
            'heatmap': streams.heatmap,
            'heatmap_float': streams.heatmap_float,
        }
    by_topic = {topic: kind for kind, topic in kinds.items() if topic}
    if streams.audio_info:
        for message in reader.messages([streams.audio_info]):
            msg = _decoded(message)
            if msg is not None:
                yield 'audio_info', reader.start_ns, msg
                break
    for message in reader.messages(list(by_topic)):
        msg = _decoded(message)
        if msg is not None:
            yield by_topic[message.topic], message.log_ns, msg


def _decoded(message):
    try:
        return message.decode()
    except AvsolError:
        return None  # the reader has counted it


def first_image(reader: BagReader, topic: str | None) -> tuple[int, int, int] | None:
    """Stamp in nanoseconds, height and width of the first image that can be read; None without."""
    for message in reader.messages([topic]) if topic else ():
        msg = _decoded(message)
        if msg is not None:
            try:
                return stamp_to_ns(msg.header.stamp), *decode_image(msg).shape[:2]
            except AvsolError:
                continue
    return None


def bag_origin(reader: BagReader, streams: Streams) -> int | None:
    """
    Stamp of time 0 of a bag's annotations, in nanoseconds.

    :returns: what the bag says, else the stamp of its first image; None without either.
    """
    said = reader.custom.get(ORIGIN_KEY, '')
    try:
        return int(said)
    except ValueError:
        image = first_image(reader, streams.image)
        return image and image[0]


@dataclass(frozen=True, eq=False)
class Finding:
    """
    What was found in one window, for files and pictures.

    :param result: its heatmap is as pictures show it, over all of the image.
    :param stamp_ns: of all messages of the window: that of its last frame.
    :param log_ns: log time of the message that completed the window.
    :param frames: how many different frames the window has; None where that is not known.
    :param audio_missing_s: seconds of its sound that never came; None where that is not known.
    """

    result: WindowResult
    stamp_ns: int
    log_ns: int
    frames: int | None = None
    audio_missing_s: float | None = None


@dataclass(frozen=True, eq=False)
class LocalizedWindow:
    """A window, what the model says of it, and that as files and pictures have it."""

    window: AudioVisualWindow
    localization: Localization
    finding: Finding


@dataclass
class BagRun:
    """
    One pass of a model over a bag.

    :param watch: told each message, before its windows come: kind, log time, message.
    :ivar windows: windows localized so far.
    :ivar failed: windows that the model could not take.
    :ivar problems: a line for each kind of trouble.
    :ivar log_ns: log time of the message that was read last.
    """

    reader: BagReader
    streams: Streams
    localizer: Localizer
    intake: Intake
    boxes: BoxConfig = BoxConfig()
    watch: Callable[[str, int, object], None] = lambda kind, log_ns, msg: None
    windows: int = 0
    failed: int = 0
    log_ns: int = 0
    problems: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[LocalizedWindow]:
        self.localizer.reset()
        for kind, log_ns, msg in bag_messages(self.reader, self.streams):
            self.log_ns = log_ns
            self.watch(kind, log_ns, msg)
            if kind == 'image':
                self.intake.add_image(msg)
            elif kind == 'audio':
                self.intake.add_audio(msg, log_ns)
            else:
                self.intake.add_audio_info(msg)
            yield from self._localize(self.intake.windows())
        yield from self._localize(self.intake.finish())

    def _localize(self, windows) -> Iterator[LocalizedWindow]:
        for window in windows:
            try:
                localization = self.localizer(window)
                boxes = find_boxes(localization, self.boxes)
            except _FAILURES as error:
                self.failed += 1
                line = f'a window was not localized: {type(error).__name__}: {error}'
                if line not in self.problems and len(self.problems) < 100:
                    self.problems.append(line)
                continue
            self.windows += 1
            yield LocalizedWindow(
                window, localization, _finding(window, localization, boxes, self.log_ns)
            )


def _finding(
    window: AudioVisualWindow, localization: Localization, boxes: list[Box], log_ns: int
) -> Finding:
    heat = localization.heatmap_at(*shown_size(localization.image_size))
    scores = dict(zip(localization.class_names, map(float, localization.class_scores)))
    result = WindowResult(
        localization.start_ns,
        localization.end_ns,
        localization.avc,
        visible_heat(heat, localization.avc),
        tuple(boxes),
        scores,
        localization.image_size,
    )
    missing_s = (
        window.audio_missing * (window.end_ns - window.start_ns) / len(window.audio) / NANOSECONDS
    )
    return Finding(
        result, localization.stamp_ns, log_ns, len(set(window.frame_stamps_ns)), missing_s
    )


def shown_size(image_size: tuple[int, int]) -> tuple[int, int]:
    """Height and width, in the shape of an image, of a map for pictures."""
    scale = min(1.0, _SHOWN / max(image_size))
    return tuple(max(1, round(side * scale)) for side in image_size)


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
