"""
From camera and microphone messages to windows, in the same way live and from a bag.

The windows depend on the messages alone: not on the order in which messages of the camera arrive
between those of the microphone, and not on pauses between arrivals. This holds as long as neither
topic is ahead of the other by more than the cutter's memory (four seconds) less one window.
"""

import copy
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np

from avsol_ros.config import HOP_RANGE_S, NANOSECONDS, WindowConfig
from avsol_ros.errors import AvsolError
from avsol_ros.messages.audio import UNKNOWN_FORMAT, AudioFormat
from avsol_ros.messages.fields import AudioInfoMessage, CompressedImageMessage, ImageMessage
from avsol_ros.messages.images import decode_image
from avsol_ros.messages.stamps import stamp_to_ns
from avsol_ros.streams.audio_reader import AudioReader, Piece
from avsol_ros.streams.audio_stream import AudioStream
from avsol_ros.streams.splitter import Item, Splitter
from avsol_ros.streams.time_jumps import SILENCE_NS
from avsol_ros.streams.windows import (
    SAMPLE_NS,
    SAMPLE_RATE,
    AudioVisualWindow,
    WindowCutter,
    WindowStats,
)

# A clock that a player drives stops when the player ends. So a stream is idle also after this many
# timeouts of real time.
REAL_TIMEOUTS = 5


class Intake:
    """
    Converts messages and cuts windows of them.

    A message that cannot be used is counted and reported; each different report is made once.

    A stream ends where the stamps of both topics, taken together, show nothing for longer than
    the timeout: its last windows are cut, and what follows is a new stream. When no message
    arrives any more, :meth:`flush_idle` gives the last windows early. If the same stream then
    resumes, it goes on as if there had been no pause; windows that were given early are not given
    a second time.

    :param config: how windows are cut.
    :param report: called with one line about messages that cannot be used.
    :param audio_format: format of the audio where no message tells it.
    :param audio_latency_ns: nanoseconds by which the stamps of the audio are late.
    :param stream_timeout_ns: silence, by the stamps, that ends a stream.
    :param audio_stamps: 'auto', 'start' or 'end', as for :class:`AudioReader`.
    :param clock: gives the seconds of the clock that the messages are sent by; with simulated
        time that is not the real one.
    :param real_clock: gives real seconds; ``clock`` by default.
    :ivar frame_id: of the newest image.
    :ivar images: images that were converted.
    :ivar refused: messages that could not be used.
    """

    def __init__(
        self,
        config: WindowConfig,
        report: Callable[[str], None],
        audio_format: AudioFormat = UNKNOWN_FORMAT,
        audio_latency_ns: int = 0,
        stream_timeout_ns: int = SILENCE_NS,
        audio_stamps: str = 'auto',
        clock: Callable[[], float] = time.monotonic,
        real_clock: Callable[[], float] | None = None,
    ):
        self._report = report
        self._reported: set[str] = set()
        self._clock = clock
        self._real_clock = real_clock or clock
        self._reader = AudioReader(
            self._refuse, audio_format, audio_latency_ns, audio_stamps, self._real_clock
        )
        self._splitter = Splitter(stream_timeout_ns)
        self._cutter = WindowCutter(config)
        self._audio: AudioStream | None = None
        self._windows: deque[AudioVisualWindow] = deque()
        self._last_arrival: tuple[float, float] | None = None
        # Start of the last window that was given early, and how many of those windows the cutter
        # has yet to cut again.
        self._given_early_ns: int | None = None
        self._given_early = 0
        self.frame_id = ''
        self.images = 0
        self.refused = 0

    def add_image(self, msg: ImageMessage | CompressedImageMessage) -> None:
        """Add an Image or a CompressedImage."""
        self._note_arrival()
        try:
            stamp_ns = stamp_to_ns(msg.header.stamp)
            image = decode_image(msg)
        except AvsolError as error:
            self._refuse(error)
            return
        self._add_piece('image', stamp_ns, stamp_ns, image)
        self.frame_id = msg.header.frame_id
        self.images += 1

    def add_audio_info(self, msg: AudioInfoMessage) -> None:
        """Add an AudioInfo of ros-drivers' audio_common_msgs."""
        self._add_pieces(self._reader.add_info(msg))

    def add_audio(self, msg: Any, arrival_ns: int) -> None:
        """
        Add an AudioDataStamped, AudioStamped or AudioData.

        :param arrival_ns: when it arrived, by the clock of the stamps; used for a message without
            a stamp.
        """
        self._note_arrival()
        self._add_pieces(self._reader.add(msg, arrival_ns))

    def windows(self) -> Iterator[AudioVisualWindow]:
        """Yield, in order, the windows that can no longer change."""
        while self._windows:
            yield self._windows.popleft()

    def is_idle(self, timeout_s: float) -> bool:
        """Whether messages arrived, and then none for so many seconds."""
        if self._last_arrival is None:
            return False
        sent, real = self._last_arrival
        return (
            self._clock() - sent > timeout_s
            or self._real_clock() - real > REAL_TIMEOUTS * timeout_s
        )

    def flush_idle(self) -> list[AudioVisualWindow]:
        """Return also the last windows of an idle stream, which may resume."""
        self._add_pieces(self._reader.flush())
        self._store_items(self._splitter.release())
        self._splitter.note_idle()
        self._last_arrival = None
        found = list(self.windows())
        # The last windows are cut from copies. To flush the stream itself would lose what its
        # incomplete windows need if it resumes.
        cutter = self._cutter.twin()
        if self._audio is not None:
            for start_ns, samples in copy.deepcopy(self._audio).flush():
                cutter.add_audio(start_ns, samples)
        early = [window for window in cutter.flush() if not self._was_given_early(window)]
        if early:
            self._given_early_ns = early[-1].start_ns
            self._given_early += len(early)
        return found + early

    def finish(self) -> list[AudioVisualWindow]:
        """Return the last windows of all messages so far; what is added later is a new stream."""
        self._add_pieces(self._reader.flush())
        self._store_items(self._splitter.release())
        self._end_stream()
        self._reader.clear()
        self._splitter.clear()
        self._last_arrival = None
        return list(self.windows())

    @property
    def audio_format(self) -> AudioFormat:
        """Format of audio messages that do not carry their own."""
        return self._reader.format

    @property
    def audio_messages(self) -> int:
        """How many audio messages were converted."""
        return self._reader.messages

    @property
    def pending(self) -> int:
        """How many audio messages wait for their format."""
        return len(self._reader.pending)

    @property
    def stats(self) -> WindowStats:
        """What became of frames and samples so far."""
        stats = self._cutter.stats
        return replace(stats, windows_cut=stats.windows_cut + self._given_early)

    @property
    def lead_s(self) -> float | None:
        """Seconds by which the newest frame is later than the newest sound; None without both."""
        frame_ns, audio_ns = self._cutter.newest_frame_ns, self._cutter.newest_audio_ns
        if frame_ns is None or audio_ns is None:
            return None
        return (frame_ns - audio_ns) / NANOSECONDS

    def _note_arrival(self) -> None:
        self._last_arrival = (self._clock(), self._real_clock())

    def _add_pieces(self, pieces: list[Piece]) -> None:
        for start_ns, samples, rate in pieces:
            end_ns = start_ns + len(samples) * NANOSECONDS // rate
            self._add_piece('audio', start_ns, end_ns, (samples, rate))

    def _add_piece(self, kind: str, start_ns: int, end_ns: int, value: Any) -> None:
        """Store a piece of one topic in its stream, once that is known."""
        strays = self._splitter.strays
        found = self._splitter.add(kind, start_ns, end_ns, value)
        self._store_items(found)
        strays = self._splitter.strays - strays
        if strays:
            self.refused += strays
            self._report_once(
                f'{kind} messages with a stamp far from those before and after them are '
                'not used; give all messages stamps of one clock'
            )

    def _store_items(self, items: list[Item | None]) -> None:
        """Store what the splitter gave, and end the stream where one ends."""
        for item in items:
            if item is None:
                self._end_stream()
                continue
            try:
                if item.kind == 'image':
                    self._cutter.add_frame(item.start_ns, item.value)
                else:
                    self._store_audio(item.start_ns, *item.value)
            except AvsolError as error:
                self._refuse(error)
            # After every piece, so that windows do not depend on when the caller asks for them.
            self._collect(self._cutter.ready())

    def _store_audio(self, start_ns: int, samples: np.ndarray, rate: int) -> None:
        stream = self._audio
        if stream is None or (stream.sample_rate, stream.channels) != (rate, samples.shape[1]):
            self._finish_audio()
            self._audio = stream = AudioStream(rate, samples.shape[1])
        for chunk_ns, chunk in stream.process(start_ns, samples):
            self._cutter.add_audio(chunk_ns, chunk)

    def _finish_audio(self) -> None:
        if self._audio is not None:
            for start_ns, chunk in self._audio.flush():
                self._cutter.add_audio(start_ns, chunk)
            self._audio = None

    def _end_stream(self) -> None:
        self._finish_audio()
        self._collect(self._cutter.flush())
        self._given_early_ns = None

    def _collect(self, windows: Iterator[AudioVisualWindow]) -> None:
        """Keep windows for the caller, except those that were given early."""
        for window in windows:
            if self._was_given_early(window):
                self._given_early -= 1  # now the cutter has counted it
            else:
                self._windows.append(window)

    def _was_given_early(self, window: AudioVisualWindow) -> bool:
        return self._given_early_ns is not None and window.start_ns <= self._given_early_ns

    def _refuse(self, error: AvsolError) -> None:
        self.refused += 1
        self._report_once(str(error))

    def _report_once(self, text: str) -> None:
        if text not in self._reported and len(self._reported) < 100:
            self._reported.add(text)
            self._report(text)


def window_config(hop_s: float, frames: int) -> WindowConfig:
    """
    Windows of one second.

    :param hop_s: seconds between the starts of two windows, taken to the nearest whole sample.
    :param frames: video frames in a window.
    """
    least, most = HOP_RANGE_S
    if not (isinstance(hop_s, Real) and least <= hop_s <= most):
        raise AvsolError(
            f'hop is {hop_s!r}; expected {least:g} to {most:g}, in seconds between the starts of '
            'two windows'
        )
    return WindowConfig(hop_ns=round(hop_s * SAMPLE_RATE) * SAMPLE_NS, frames=frames)


def blank_window(config: WindowConfig) -> AudioVisualWindow:
    """Black and silent window, to see whether a model runs and to have it warm."""
    frames = config.frames
    return AudioVisualWindow(
        start_ns=0,
        end_ns=config.length_ns,
        frames=(np.zeros((240, 320, 3), np.uint8),) * frames,
        frame_stamps_ns=tuple(config.length_ns * i // frames for i in range(frames)),
        audio=np.zeros(config.length_ns * SAMPLE_RATE // NANOSECONDS, np.float32),
        audio_missing=0,
    )
