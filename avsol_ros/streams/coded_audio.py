"""
Decodes compressed sound as drivers send it: a stream of bytes, cut into messages anywhere.

Times are integer nanoseconds; floats have full scale [-1, 1].
"""

from collections import deque
from typing import Any

import av
import numpy as np

from avsol_ros.checks import integer_ns
from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.messages.fields import Bytes
from avsol_ros.streams.decoded_audio import frame_samples, to_float32

# For each coding the name of FFmpeg's decoder, and the delay in samples of encoder and decoder
# together. It was measured with FFmpeg's encoders (for MP3 LAME, as in GStreamer; libopus).
_CODINGS = {
    'mp3': ('mp3float', 1105),
    'mp2': ('mp2float', 481),
    'aac': ('aac', 1024),
    'ac3': ('ac3', 256),
    'flac': ('flac', 0),
    'opus': ('opus', 312),
}
_ALIASES = {
    'mpeg': 'mp3',
    'mpeg3': 'mp3',
    'mpg3': 'mp3',
    'mp4': 'aac',
    'aacp': 'aac',
    'adts': 'aac',
    'ac-3': 'ac3',
}

# After so many bytes without a frame the decoder is reset. No frame is nearly as long.
_MOST_BYTES_WITHOUT_FRAME = 1 << 20


class CodedDecoder:
    """
    Decodes a stream of compressed sound that comes in stamped messages.

    The bytes of all messages are one stream: a frame may begin in one message and end in another,
    and a message may hold many frames. (Opus is different: it has no marks in the stream, so each
    message must be one packet.) A decoded frame is given the stamp of the message that has its
    first byte, plus the duration of the frames that began before it in the same message. So a
    lost message shows as a gap in the stamps.

    Delay. The delay of encoder and decoder together is subtracted from the stamps. For MP3 it is
    1105 samples, 576 of LAME and 529 of any decoder. A click then has the time at which it went
    into the encoder. The silence that an encoder puts before the first sound is kept; its stamps
    are before that of the first message.

    Damage. Bytes that make no frame are skipped and counted, and decoding goes on with the next
    frame. When a listener joins MP3 in its middle, or after a loss, the first two frames lack
    bytes of earlier frames; they are faint or partly silent.

    Rate and channels may change within a stream; each returned piece tells its rate.

    :param coding: name such as ``mp3``, ``MP3`` or ``audio/mpeg``.
    :ivar errors: how many pieces could not be decoded so far.
    """

    def __init__(self, coding: str):
        name = str(coding).lower().removeprefix('audio/').removeprefix('x-')
        self.coding = _ALIASES.get(name, name)
        if self.coding not in _CODINGS:
            raise AvsolError(
                f'audio coding is {coding!r}; expected one of '
                f'{", ".join(_CODINGS)}, or PCM (set the capture node to wave)'
            )
        self.errors = 0
        self._reset()

    def _reset(self) -> None:
        name, self._delay = _CODINGS[self.coding]
        # CodecContext of PyAV; the kind for sound is not known to type checkers.
        self._codec: Any = av.CodecContext.create(name, 'r')
        self._received = 0  # bytes of all messages
        self._parsed = 0  # bytes of all packets, which follow one another
        # Number of the first byte, and stamp, of each message in which a frame may yet begin.
        self._messages: deque[tuple[int, int]] = deque()
        self._samples = 0  # of the frames that began in the first of these messages
        self._frame_samples = 0  # of the last frame

    def process(self, stamp_ns: int, data: Bytes) -> list[tuple[int, np.ndarray, int]]:
        """
        Add a message and return the frames that it completes.

        :param stamp_ns: time of the first sample of the first frame that begins in the message.
        :param data: bytes, or anything that shows its bytes.
        :return: for each frame the time of its first sample, samples (n, channels) float32, and
            the rate in Hz.
        """
        stamp_ns = integer_ns(stamp_ns, 'audio stamp')
        data = np.frombuffer(data, np.uint8).tobytes()
        if not data:
            return []
        self._messages.append((self._received, stamp_ns))
        self._received += len(data)
        if self.coding == 'opus':
            return self._decode([av.Packet(data)])
        out = self._decode(self._parse(data))
        if self._received - self._parsed > _MOST_BYTES_WITHOUT_FRAME:
            self.errors += 1
            self._reset()
        return out

    def flush(self) -> list[tuple[int, np.ndarray, int]]:
        """Return the last frames, as from ``process``; what is added next is another stream."""
        out: list[tuple[int, np.ndarray, int]] = []
        while self.coding != 'opus' and (packets := self._parse(None)):
            out += self._decode(packets)
        self._reset()
        return out

    def _parse(self, data: bytes | None) -> list[av.Packet]:
        try:
            return self._codec.parse(data)
        except av.error.FFmpegError:
            self.errors += 1
            return []

    def _decode(self, packets: list[av.Packet]) -> list[tuple[int, np.ndarray, int]]:
        out = []
        for packet in packets:
            # The parser leaves bytes before the first frame in its packet; zeros do no harm.
            data = bytes(packet)
            stamp_ns = self._stamp_of(self._parsed + len(data) - len(data.lstrip(b'\0')))
            self._parsed += len(data)
            frames = self._decode_packet(packet)
            if frames is None:
                self.errors += 1
                self._samples += self._frame_samples
                continue
            for frame, samples in frames:
                rate = frame.sample_rate
                time_ns = stamp_ns + (self._samples - self._delay) * NANOSECONDS // rate
                out.append((time_ns, to_float32(samples), rate))
                self._frame_samples = frame.samples
                self._samples += frame.samples
        return out

    def _decode_packet(self, packet: av.Packet) -> list[tuple[av.AudioFrame, np.ndarray]] | None:
        """Return the frames of a packet with their samples; None of a damaged one."""
        frames = []
        try:
            for frame in self._codec.decode(packet):
                samples = frame_samples(frame)
                if samples is None:
                    return None
                frames.append((frame, samples))
        except av.error.FFmpegError:
            return None
        return frames

    def _stamp_of(self, byte: int) -> int:
        """Return the stamp of the message that has a byte of the stream; forget those before."""
        while len(self._messages) > 1 and self._messages[1][0] <= byte:
            self._messages.popleft()
            self._samples = 0
        return self._messages[0][1]
