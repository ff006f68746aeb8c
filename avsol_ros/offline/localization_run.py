"""
Messages of a camera and a microphone through the intake and the model of the live node.

A film and a bag are two sources of such messages. What is held at any time is what the intake
holds, however long the source is.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from avsol_ros.config import NANOSECONDS, BoxConfig
from avsol_ros.errors import AvsolError
from avsol_ros.inference.localizer import Localizer
from avsol_ros.localization import Box, Localization, WindowResult, find_boxes, visible_heat
from avsol_ros.streams.intake import Intake
from avsol_ros.streams.windows import AudioVisualWindow

#: Kind of the stream ('image', 'audio' or 'audio_info'), time at which the message came in
#: nanoseconds, and the message: any object with the attributes of the ROS message.
TimedMessage = tuple[str, int, Any]

#: Told a message before the windows that it completes.
Watch = Callable[[str, int, Any], None]

# Longest side of the map from which the peak is taken and that pictures show.
_SHOWN = 224
# What goes wrong with one window must not end the run.
_FAILURES = (AvsolError, ValueError, RuntimeError)
_PROBLEMS = 100  # lines


def cut_windows(messages: Iterable[TimedMessage], intake: Intake) -> Iterator[AudioVisualWindow]:
    """Give the windows of all messages, each as soon as the messages so far complete it."""
    for kind, arrival_ns, msg in messages:
        if kind == 'image':
            intake.add_image(msg)
        elif kind == 'audio':
            intake.add_audio(msg, arrival_ns)
        else:
            intake.add_audio_info(msg)
        yield from intake.windows()
    yield from intake.finish()


@dataclass(frozen=True, eq=False)
class Finding:
    """
    What was found in one window, for files and pictures.

    :param result: its heatmap is as pictures show it, over all of the image.
    :param stamp_ns: of all messages of the window: that of its last frame.
    :param log_ns: time at which the message came that completed the window.
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
    """
    A window and what was found in it.

    :param boxes: by the settings of the run, the strongest first.
    :param log_ns: time at which the message came that completed the window.
    """

    window: AudioVisualWindow
    localization: Localization
    boxes: tuple[Box, ...]
    log_ns: int

    @property
    def middle_frame(self) -> tuple[int, np.ndarray]:
        """Stamp and image of the window's middle frame, which fits its heatmap best."""
        middle = len(self.window.frames) // 2
        return self.window.frame_stamps_ns[middle], self.window.frames[middle]

    @cached_property
    def finding(self) -> Finding:
        """What was found, as files and pictures have it."""
        window, found = self.window, self.localization
        result = WindowResult(
            found.start_ns,
            found.end_ns,
            found.avc,
            visible_heat(found.heatmap_at(*shown_size(found.image_size)), found.avc),
            self.boxes,
            dict(zip(found.class_names, map(float, found.class_scores))),
            found.image_size,
        )
        length_ns = window.end_ns - window.start_ns
        return Finding(
            result,
            found.stamp_ns,
            self.log_ns,
            len(set(window.frame_stamps_ns)),
            window.audio_missing * length_ns / len(window.audio) / NANOSECONDS,
        )


@dataclass
class LocalizationRun:
    """
    One pass of a model over messages. A window that the model cannot take does not end it.

    :param watch: told each message before the windows that it completes.
    :param origin_ns: stamp from which the times of the results count; 0 leaves them as they are.
    :ivar windows: windows localized so far.
    :ivar failed: windows that the model could not take.
    :ivar problems: a line for each kind of trouble.
    :ivar log_ns: time at which the newest message came.
    """

    messages: Iterable[TimedMessage]
    localizer: Localizer
    intake: Intake
    boxes: BoxConfig = BoxConfig()
    watch: Watch = lambda kind, log_ns, msg: None
    origin_ns: int = 0
    windows: int = 0
    failed: int = 0
    log_ns: int = 0
    problems: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[LocalizedWindow]:
        self.localizer.reset()
        for window in cut_windows(self._watched(), self.intake):
            try:
                localization = counted_from(self.origin_ns, self.localizer(window))
                boxes = tuple(find_boxes(localization, self.boxes))
            except _FAILURES as error:
                self._note_failure(error)
                continue
            self.windows += 1
            yield LocalizedWindow(window, localization, boxes, self.log_ns)

    def _watched(self) -> Iterator[TimedMessage]:
        for kind, log_ns, msg in self.messages:
            self.log_ns = log_ns
            self.watch(kind, log_ns, msg)
            yield kind, log_ns, msg

    def _note_failure(self, error: Exception) -> None:
        self.failed += 1
        line = f'a window was not localized: {type(error).__name__}: {error}'
        if line not in self.problems and len(self.problems) < _PROBLEMS:
            self.problems.append(line)


def counted_from(origin_ns: int, localization: Localization) -> Localization:
    """The same with times that count from a stamp."""
    if origin_ns == 0:
        return localization
    return replace(
        localization,
        start_ns=localization.start_ns - origin_ns,
        end_ns=localization.end_ns - origin_ns,
        stamp_ns=localization.stamp_ns - origin_ns,
    )


def shown_size(image_size: tuple[int, int]) -> tuple[int, int]:
    """Height and width, in the shape of an image, of a map for pictures."""
    scale = min(1.0, _SHOWN / max(image_size))
    height, width = (max(1, round(side * scale)) for side in image_size)
    return height, width
