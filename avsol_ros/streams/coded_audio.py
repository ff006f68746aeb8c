"""
Compressed sound as drivers send it: a stream of bytes, cut into messages anywhere.

Times are integer nanoseconds; floats have full scale [-1, 1].
"""

from collections import deque

import av
import numpy as np

from avsol_ros.checks import integer_ns
from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.streams.decoded_audio import frame_samples, to_float32

# Decoders of FFmpeg by the name of the coding, and the samples by which what they give is late
# against what went into the encoder: encoder and decoder together, measured with FFmpeg's
# encoders (LAME for MP3, as GStreamer; libopus).
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

# Bytes without a frame, after which the search for one begins anew; far more than any frame has.
_LOST = 1 << 20


class CodedDecoder:
    """
    Decode a stream of compressed sound that comes in stamped messages.

    The bytes of all messages are one stream: a frame may straddle messages, and a message may
    hold many. (Opus has no marks in the stream, there each message is one packet.) A decoded
    frame has the stamp of the message in which its first byte came, later by the frames that
    began before it in the same message. So a lost message shows as a gap in the stamps.

    Delay. What an encoder and its decoder add together is subtracted from the stamps: for MP3
    1105 samples, 576 of LAME and 529 of any decoder; a click then has the time at which it went
    into the encoder. Silence that the encoder put before the first sound stays, with stamps
    before that of the first message.

    Damage. Bytes that make no frame are skipped and counted, and decoding goes on with the next
    frame. Where MP3 is joined in its middle, or after a loss, the first two frames lack bytes
    that were in earlier ones and are faint or partly silent.

    Rate and channels may change within a stream, as what is returned says.

    :param coding: name such as ``mp3``, ``MP3`` or ``audio/mpeg``.
    """

    def __init__(self, coding: str):
        name = str(coding).lower().removeprefix('audio/').removeprefix('x-')
        self.coding = _ALIASES.get(name, name)
        if self.coding not in _CODINGS:
            raise AvsolError(
                f'audio coding is {coding!r}; expected one of '
                f'{", ".join(_CODINGS)}, or PCM (set the capture node to wave)'
            )
        self.errors = 0  # pieces that could not be decoded; only grows
        self._begin()

    def _begin(self) -> None:
        name, self._delay = _CODINGS[self.coding]
        self._codec = av.CodecContext.create(name, 'r')
        self._came = 0  # bytes of all messages
        self._used = 0  # bytes of all packets, which follow one another
        self._messages = deque()  # first byte and stamp of messages that may begin a frame
        self._samples = 0  # of frames that began in the first of them
        self._frame = 0  # samples of the last frame

    def process(self, stamp_ns: int, data) -> list[tuple[int, np.ndarray, int]]:
        """
        Take a message and give the frames that it completes.

        :param stamp_ns: time at which the sound of the first frame that begins in it was heard.
        :param data: bytes, or anything that shows its bytes.
        :return: time of the first sample, samples (n, channels) float32, and the rate in Hz, of
            each frame.
        """
        stamp_ns = integer_ns(stamp_ns, 'audio stamp')
        data = bytes(memoryview(data).cast('B'))
        if not data:
            return []
        self._messages.append((self._came, stamp_ns))
        self._came += len(data)
        if self.coding == 'opus':
            return self._decode([av.Packet(data)])
        out = self._decode(self._parse(data))
        if self._came - self._used > _LOST:
            self.errors += 1
            self._begin()
        return out

    def flush(self) -> list[tuple[int, np.ndarray, int]]:
        """Give what the end of the stream completes, as from ``process``, and begin anew."""
        out = []
        while self.coding != 'opus' and (packets := self._parse(None)):
            out += self._decode(packets)
        self._begin()
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
            # What lies before the first frame the parser leaves in its packet; zeros are no harm.
            data = bytes(packet)
            stamp_ns = self._stamp(self._used + len(data) - len(data.lstrip(b'\0')))
            self._used += len(data)
            try:
                frames = [(frame, frame_samples(frame)) for frame in self._codec.decode(packet)]
            except av.error.FFmpegError:
                frames = None
            if frames is None or any(samples is None for _, samples in frames):
                self.errors += 1
                self._samples += self._frame
                continue
            for frame, samples in frames:
                rate = frame.sample_rate
                time_ns = stamp_ns + (self._samples - self._delay) * NANOSECONDS // rate
                out.append((time_ns, to_float32(samples), rate))
                self._frame = frame.samples
                self._samples += frame.samples
        return out

    def _stamp(self, byte: int) -> int:
        """Give the stamp of the message with a byte of the stream, and forget those before it."""
        while len(self._messages) > 1 and self._messages[1][0] <= byte:
            self._messages.popleft()
            self._samples = 0
        return self._messages[0][1]
