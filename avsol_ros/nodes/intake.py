"""From camera and microphone messages to windows."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from audio_common_msgs.msg import AudioDataStamped, AudioInfo
from sensor_msgs.msg import CompressedImage, Image

from avsol_ros.audio import AudioStream, pcm_to_float
from avsol_ros.config import NANOSECONDS, WindowConfig
from avsol_ros.conversions import compressed_image_to_rgb, image_to_rgb, stamp_to_ns
from avsol_ros.errors import AvsolError
from avsol_ros.windows import SAMPLE_NS, SAMPLE_RATE, AudioVisualWindow, WindowCutter, WindowStats

# Audio messages kept while their format is still unknown. Capture nodes tell it every five seconds
# or so, and send up to a hundred messages a second.
PENDING_MESSAGES = 1000
AUDIO_INFO_S = 6.0

# coding_format of AudioInfo for samples that are not compressed.
UNCOMPRESSED = ('', 'wave', 'wav', 'raw', 'pcm')


@dataclass(frozen=True)
class AudioFormat:
    """Format of an audio topic; 0 and '' stand for unknown."""

    sample_rate: int = 0
    channels: int = 0
    sample_format: str = ''

    @property
    def known(self) -> bool:
        return bool(self.sample_rate and self.channels and self.sample_format)


class Intake:
    """
    Converts messages and stores them in a window cutter.

    A message that cannot be used is counted and reported; each different report is made once.

    :param config: how windows are cut.
    :param report: called with one line about messages that cannot be used.
    :param audio_format: format of the audio where AudioInfo does not tell it.
    :param audio_latency_ns: nanoseconds by which the stamps of the audio are late.
    :param clock: seconds that pass.
    """

    def __init__(self, config: WindowConfig, report: Callable[[str], None],
                 audio_format: AudioFormat = AudioFormat(), audio_latency_ns: int = 0,
                 clock: Callable[[], float] = time.monotonic):
        if audio_format.known:
            pcm_to_float(b'', audio_format.sample_format, audio_format.channels)
        self._report = report
        self._reported: set[str] = set()
        self._given_format = audio_format
        self.audio_format = audio_format
        self._latency_ns = audio_latency_ns
        self._clock = clock
        self.pending: deque[AudioDataStamped] = deque(maxlen=PENDING_MESSAGES)
        self._pending_since = 0.0
        self._cutter = WindowCutter(config)
        self._audio: AudioStream | None = None
        self._last_arrival: float | None = None
        self.frame_id = ''
        self.images = 0
        self.audio_messages = 0
        self.refused = 0

    def add_image(self, msg: Image | CompressedImage) -> None:
        self._last_arrival = self._clock()
        decode = image_to_rgb if isinstance(msg, Image) else compressed_image_to_rgb
        with self._refusing():
            self._cutter.add_frame(stamp_to_ns(msg.header.stamp), decode(msg))
            self.frame_id = msg.header.frame_id
            self.images += 1

    def add_audio_info(self, msg: AudioInfo) -> None:
        with self._refusing():
            if msg.coding_format.lower() not in UNCOMPRESSED:
                raise AvsolError(f'AudioInfo says the audio is {msg.coding_format!r}; expected '
                                 "'wave' (set the capture node's format to wave)")
            given = self._given_format
            told = AudioFormat(msg.sample_rate or given.sample_rate,
                               msg.channels or given.channels,
                               msg.sample_format or given.sample_format)
            if told != self.audio_format:
                self._finish_audio()
                self.audio_format = told
            self._take_pending()

    def add_audio(self, msg: AudioDataStamped) -> None:
        self._last_arrival = now = self._clock()
        if self.audio_format.known:
            self._store(msg)
            return
        if not self.pending:
            self._pending_since = now
        self.pending.append(msg)
        if now - self._pending_since > AUDIO_INFO_S:
            self._say('audio comes, but no AudioInfo that tells its format; publish audio_info, '
                      'or set audio_sample_rate, audio_channels and audio_format')

    def windows(self) -> Iterator[AudioVisualWindow]:
        """Take the windows that can no longer change, in order."""
        return self._cutter.ready()

    def ended(self, timeout_s: float) -> bool:
        """Whether there was data, and none since so many seconds."""
        return self._last_arrival is not None and self._clock() - self._last_arrival > timeout_s

    def finish(self) -> list[AudioVisualWindow]:
        """Take the last windows of a stream that has ended; what comes later is a new one."""
        self._finish_audio()
        self.pending.clear()
        self._last_arrival = None
        return list(self._cutter.flush())

    @property
    def stats(self) -> WindowStats:
        """What has become of frames and samples so far."""
        return self._cutter.stats

    @property
    def lead_s(self) -> float | None:
        """Seconds by which the newest frame is later than the newest sound, None without both."""
        frame_ns, audio_ns = self._cutter.newest_frame_ns, self._cutter.newest_audio_ns
        if frame_ns is None or audio_ns is None:
            return None
        return (frame_ns - audio_ns) / NANOSECONDS

    def _take_pending(self) -> None:
        while self.audio_format.known and self.pending:
            self._store(self.pending.popleft())

    def _store(self, msg: AudioDataStamped) -> None:
        with self._refusing():
            wanted = self.audio_format
            samples = pcm_to_float(msg.audio.data, wanted.sample_format, wanted.channels)
            if self._audio is None:
                self._audio = AudioStream(wanted.sample_rate, wanted.channels)
            stamp_ns = stamp_to_ns(msg.header.stamp) - self._latency_ns
            for start_ns, chunk in self._audio.process(stamp_ns, samples):
                self._cutter.add_audio(start_ns, chunk)
            self.audio_messages += 1

    def _finish_audio(self) -> None:
        if self._audio is not None:
            for start_ns, chunk in self._audio.flush():
                self._cutter.add_audio(start_ns, chunk)
            self._audio = None

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Count and report a message that cannot be used."""
        try:
            yield
        except AvsolError as error:
            self.refused += 1
            self._say(str(error))

    def _say(self, text: str) -> None:
        if text not in self._reported and len(self._reported) < 100:
            self._reported.add(text)
            self._report(text)


def window_config(hop_s: float, frames: int) -> WindowConfig:
    """Windows of one second with a hop in seconds, taken to the nearest whole sample."""
    return WindowConfig(hop_ns=round(hop_s * SAMPLE_RATE) * SAMPLE_NS, frames=frames)


def blank_window(config: WindowConfig) -> AudioVisualWindow:
    """Black and silent window, to see whether a model runs and to have it warm."""
    frames = config.frames
    return AudioVisualWindow(
        start_ns=0, end_ns=config.length_ns,
        frames=(np.zeros((240, 320, 3), np.uint8),) * frames,
        frame_stamps_ns=tuple(config.length_ns * i // frames for i in range(frames)),
        audio=np.zeros(config.length_ns * SAMPLE_RATE // NANOSECONDS, np.float32),
        audio_missing=0)
