"""
Audio messages of every driver, as stamped samples.

What the drivers do, by their sources (2026):

audio_capture of ros-drivers (branch ros2, audio_capture/src/audio_capture_node.cpp) publishes each
chunk twice, as AudioData without a stamp on `audio` and as AudioDataStamped on `audio_stamped`,
both reliable. The stamp is the pipeline's base time plus the buffer's presentation time on
GStreamer's real-time clock: the START of the chunk, by the clock of the driver. (Before February
2023 it was the ROS time in the callback, the end.) `format` is mp3, the default, made by LAME, or
wave: samples as the parameter `sample_format` says, any raw format of GStreamer's that the device
offers. AudioInfo on `audio_info`, reliable and volatile, comes once at the start and every 5 s of
ROS time; of mp3 it says coding_format 'mp3' beside the sample_format of what went into the
encoder.

The capturer of mgonzs13 (audio_common/src/audio_common/audio_capturer_node.cpp) publishes
AudioStamped on `audio`, best effort, with the format inside. From version 4.0.0 the stamp is
now() BEFORE the blocking read of a chunk. As it reads without pause, that is when the last chunk
was full, and so the START of this one, later by the latency of the device and with the jitter of
its loop; of the first chunk later by what the device held already. Up to 3.1.0, in Python, it was
now() after the read: the END. Samples of 8 (signed or not), 16 and 32 bits and floats come, each
in the field of its type; of 24 bits it says that it cannot. The number of samples is that of the
array. Its players of speech and music stamp a chunk when they send it, as they play it.
"""

import time
from collections import deque
from collections.abc import Callable

import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.messages.audio import (
    UNKNOWN_FORMAT,
    AudioFormat,
    AudioPacket,
    audio_info_to_format,
    audio_packet,
)
from avsol_ros.messages.pcm import pcm_to_float

# Audio messages kept while their format is still unknown. Capture nodes tell it every five seconds
# or so, and send up to a hundred messages a second.
PENDING_MESSAGES = 1000
AUDIO_INFO_S = 6.0

STAMPS = ('auto', 'start', 'end')

# (time of the first sample in ns, samples (n, channels) float32 [-1, 1], samples per second)
Piece = tuple[int, np.ndarray, int]


class AudioReader:
    """
    Makes stamped samples of audio messages, PCM or coded, with stamps or without.

    A message without a stamp has the time at which it came, less its duration. Messages that come
    before their format is known are kept until it is.

    :param refuse: called with what is wrong with a message that cannot be used.
    :param audio_format: format of the audio where no message tells it.
    :param audio_latency_ns: nanoseconds by which the stamps are late.
    :param audio_stamps: what the stamps tell, the 'start' or the 'end' of a message's sound;
        'auto' takes the start, as both drivers have it today.
    :param clock: seconds that pass.
    """

    def __init__(
        self,
        refuse: Callable[[AvsolError], None],
        audio_format: AudioFormat = UNKNOWN_FORMAT,
        audio_latency_ns: int = 0,
        audio_stamps: str = 'auto',
        clock: Callable[[], float] = time.monotonic,
    ):
        if audio_stamps not in STAMPS:
            raise AvsolError(
                f'audio_stamps is {audio_stamps!r}; expected one of {", ".join(STAMPS)}'
            )
        if audio_format.coded:
            _decoder(audio_format.coding)
        elif audio_format.known:
            pcm_to_float(b'', audio_format.sample_format, audio_format.channels)
        self._refuse = refuse
        self._given = self.format = audio_format
        self._latency_ns = audio_latency_ns
        self._at_end = audio_stamps == 'end'
        self._clock = clock
        self._coding, self._decoder = '', None
        self.pending: deque[tuple[AudioPacket, int]] = deque(maxlen=PENDING_MESSAGES)
        self._pending_since = 0.0
        self._told_pending = False
        self.messages = 0  # that were read

    def add_info(self, info) -> list[Piece]:
        """Take an AudioInfo; gives what waited for it."""
        self.format = audio_info_to_format(info).completed(self._given)
        pieces = []
        while self.format.known and self.pending:
            pieces += self._read(*self.pending.popleft(), self.format)
        return pieces

    def add(self, msg, arrival_ns: int) -> list[Piece]:
        """
        Take an audio message.

        :param arrival_ns: when it came; the time of those without a stamp.
        """
        try:
            packet = audio_packet(msg)
        except AvsolError as error:
            self._refuse(error)
            return []
        wanted = packet.format or self.format
        if wanted.known:
            return self._read(packet, arrival_ns, wanted)
        now = self._clock()
        if not self.pending:
            self._pending_since = now
        self.pending.append((packet, arrival_ns))
        if now - self._pending_since > AUDIO_INFO_S and not self._told_pending:
            self._told_pending = True
            self._refuse(
                AvsolError(
                    'audio comes, but no AudioInfo that tells its format; publish audio_info, '
                    'or set '
                    'audio_sample_rate, audio_channels and audio_format'
                )
            )
        return []

    def flush(self) -> list[Piece]:
        """Give what a decoder still holds; what comes later is decoded anew."""
        decoder, self._decoder = self._decoder, None
        if decoder is None:
            return []
        try:
            return list(decoder.flush())
        except AvsolError as error:
            self._refuse(error)
            return []

    def clear(self) -> None:
        """Forget what waits for its format, and a decoder's state."""
        self.pending.clear()
        self._decoder = None

    def _read(self, packet: AudioPacket, arrival_ns: int, wanted: AudioFormat) -> list[Piece]:
        stamped = packet.stamp_ns is not None
        stamp_ns = (packet.stamp_ns if stamped else arrival_ns) - self._latency_ns
        pieces = []
        if self._decoder is not None and self._coding != wanted.coding:
            pieces = self.flush()
        try:
            found = self._decode(packet, stamp_ns, wanted)
        except AvsolError as error:
            self._refuse(error)
            return pieces
        self.messages += 1
        if self._at_end or not stamped:
            early_ns = sum(len(samples) * NANOSECONDS // rate for _, samples, rate in found)
            found = [(start_ns - early_ns, *rest) for start_ns, *rest in found]
        return pieces + found

    def _decode(self, packet: AudioPacket, stamp_ns: int, wanted: AudioFormat) -> list[Piece]:
        if not wanted.coded:
            samples = pcm_to_float(packet.data, wanted.sample_format, wanted.channels)
            return [(stamp_ns, samples, wanted.sample_rate)]
        if self._decoder is None:
            self._decoder, self._coding = _decoder(wanted.coding), wanted.coding
        damaged = self._decoder.errors
        pieces = self._decoder.process(stamp_ns, bytes(packet.data))
        if self._decoder.errors > damaged:
            self._refuse(
                AvsolError(
                    f'some of the {wanted.coding} is damaged or is something '
                    'else; its sound is left out'
                )
            )
        return pieces


def _decoder(coding: str):
    from avsol_ros.streams.coded_audio import CodedDecoder  # PyAV, which PCM does without

    return CodedDecoder(coding)
