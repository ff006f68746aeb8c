"""
Turns audio messages of every driver into stamped samples.

What the drivers do, according to their sources (2026):

audio_capture of ros-drivers (branch ros2, audio_capture/src/audio_capture_node.cpp) publishes each
chunk twice: as AudioData without a stamp on `audio`, and as AudioDataStamped on `audio_stamped`,
both reliable. The stamp is the pipeline's base time plus the presentation time of the buffer, on
GStreamer's real-time clock: the START of the chunk, by the clock of the driver. (Before February
2023 it was the ROS time in the callback: the end.) The parameter `format` is mp3 (the default,
encoded by LAME) or wave; wave means raw samples as the parameter `sample_format` says, in any raw
format of GStreamer that the device offers. AudioInfo is published on `audio_info`, reliable and
volatile, once at the start and every 5 s of ROS time. For mp3 it has the coding_format 'mp3' and
the sample_format of what went into the encoder.

The capturer of mgonzs13 (audio_common/src/audio_common/audio_capturer_node.cpp) publishes
AudioStamped on `audio`, best effort, with the format in the message. From version 4.0.0 on, the
stamp is now() BEFORE the blocking read of a chunk. It reads without a pause, so this is the moment
at which the last chunk was full: the START of this chunk, plus the latency of the device and the
jitter of the loop. For the first chunk it is also later by what the device had recorded before.
Up to version 3.1.0, in Python, the stamp was now() after the read: the END. It sends 8 bits
(signed or not), 16 bits, 32 bits and floats, each in the field of its type; it says that it cannot
send 24 bits. The number of samples is the length of the array. Its players of speech and music
stamp a chunk when they send it, at the pace at which it is played.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

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
from avsol_ros.messages.fields import AudioInfoMessage
from avsol_ros.messages.pcm import pcm_to_float

if TYPE_CHECKING:
    from avsol_ros.streams.coded_audio import CodedDecoder

# Audio messages kept while their format is unknown. Capture nodes publish it about every five
# seconds, and send up to a hundred messages a second.
PENDING_MESSAGES = 1000
# Seconds of messages without a format after which that is reported.
AUDIO_INFO_S = 6.0

STAMPS = ('auto', 'start', 'end')

# (time of the first sample in ns, samples (n, channels) float32 [-1, 1], samples per second)
Piece = tuple[int, np.ndarray, int]


class AudioReader:
    """
    Turns audio messages, raw or coded, with or without stamps, into stamped samples.

    A message without a stamp is given the time of its arrival, less its duration. A message that
    arrives before its format is known is kept until it is.

    :param refuse: called with what is wrong with a message that cannot be used.
    :param audio_format: format of the audio where no message tells it.
    :param audio_latency_ns: nanoseconds by which the stamps are late.
    :param audio_stamps: what a stamp tells: the 'start' or the 'end' of the message's sound.
        'auto' is the start, as both drivers have it today.
    :param clock: gives seconds.
    :ivar format: of messages that do not carry their own, as far as it is known.
    :ivar pending: messages whose format is unknown, each with the time of its arrival.
    :ivar messages: how many messages were read.
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
            _make_decoder(audio_format.coding)
        elif audio_format.known:
            pcm_to_float(b'', audio_format.sample_format, audio_format.channels)
        self._refuse = refuse
        self._given = self.format = audio_format
        self._latency_ns = audio_latency_ns
        self._at_end = audio_stamps == 'end'
        self._clock = clock
        self._decoder: CodedDecoder | None = None
        self._decoder_coding = ''  # as the messages name it
        self.pending: deque[tuple[AudioPacket, int]] = deque(maxlen=PENDING_MESSAGES)
        self._pending_since = 0.0
        self._reported_pending = False
        self.messages = 0

    def add_info(self, info: AudioInfoMessage) -> list[Piece]:
        """Add an AudioInfo; return the samples of the messages that waited for it."""
        self.format = audio_info_to_format(info).completed(self._given)
        pieces: list[Piece] = []
        while self.format.known and self.pending:
            pieces += self._read(*self.pending.popleft(), self.format)
        return pieces

    def add(self, msg: Any, arrival_ns: int) -> list[Piece]:
        """
        Add an audio message.

        :param arrival_ns: when it arrived; used for a message without a stamp.
        :returns: its samples; of coded sound also what they complete.
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
        if now - self._pending_since > AUDIO_INFO_S and not self._reported_pending:
            self._reported_pending = True
            self._refuse(
                AvsolError(
                    'audio comes, but no AudioInfo that tells its format; publish audio_info, '
                    'or set audio_sample_rate, audio_channels and audio_format'
                )
            )
        return []

    def flush(self) -> list[Piece]:
        """Return what the decoder still holds; what is added next is another stream."""
        decoder, self._decoder = self._decoder, None
        if decoder is None:
            return []
        try:
            return list(decoder.flush())
        except AvsolError as error:
            self._refuse(error)
            return []

    def clear(self) -> None:
        """Forget the messages that wait for their format, and the state of the decoder."""
        self.pending.clear()
        self._decoder = None

    def _read(self, packet: AudioPacket, arrival_ns: int, wanted: AudioFormat) -> list[Piece]:
        stamped = packet.stamp_ns is not None
        stamp_ns = arrival_ns if packet.stamp_ns is None else packet.stamp_ns
        stamp_ns -= self._latency_ns
        pieces: list[Piece] = []
        if self._decoder is not None and self._decoder_coding != wanted.coding:
            pieces = self.flush()
        try:
            found = self._decode(packet, stamp_ns, wanted)
        except AvsolError as error:
            self._refuse(error)
            return pieces
        self.messages += 1
        if self._at_end or not stamped:
            early_ns = sum(len(samples) * NANOSECONDS // rate for _, samples, rate in found)
            found = [(start_ns - early_ns, samples, rate) for start_ns, samples, rate in found]
        return pieces + found

    def _decode(self, packet: AudioPacket, stamp_ns: int, wanted: AudioFormat) -> list[Piece]:
        if not wanted.coded:
            samples = pcm_to_float(packet.data, wanted.sample_format, wanted.channels)
            return [(stamp_ns, samples, wanted.sample_rate)]
        if self._decoder is None:
            self._decoder = _make_decoder(wanted.coding)
            self._decoder_coding = wanted.coding
        errors = self._decoder.errors
        pieces = self._decoder.process(stamp_ns, packet.data)
        if self._decoder.errors > errors:
            self._refuse(
                AvsolError(
                    f'some of the {wanted.coding} is damaged, or is something else; its sound is '
                    'left out'
                )
            )
        return pieces


def _make_decoder(coding: str) -> CodedDecoder:
    # Imported here, because it needs PyAV, which raw samples do without.
    from avsol_ros.streams.coded_audio import CodedDecoder

    return CodedDecoder(coding)
