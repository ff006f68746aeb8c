"""Recorded sound as messages of the audio package that is installed."""

from collections.abc import Iterator
from typing import Any

from avsol_ros.errors import AvsolError
from avsol_ros.messages.audio import AudioFormat
from avsol_ros.messages.to_ros import (
    AUDIO_INFO,
    AUDIO_MESSAGE,
    NO_AUDIO_PACKAGE,
    audio_info_message,
    audio_message,
)
from avsol_ros.streams.audio_reader import AudioReader


class AudioConverter:
    """
    Sound of any audio message as the messages of the installed package, samples as floats.

    :param given: its format where no message tells it.
    """

    def __init__(self, given: AudioFormat):
        if AUDIO_MESSAGE is None:
            raise AvsolError(NO_AUDIO_PACKAGE)
        self.kinds = {'audio': ('audio', AUDIO_MESSAGE)}
        if AUDIO_INFO is not None:
            self.kinds['audio_info'] = ('audio_info', AUDIO_INFO)
        self.problems: list[str] = []
        self._reader = AudioReader(self._note, given)
        self._told: AudioFormat | None = None

    def tell(self, message):
        """AudioInfo of what becomes of the sound, as far as the recorded one tells; else None."""
        for _ in self('audio_info', message):
            pass  # no sound has come
        told = self._reader.format
        if AUDIO_INFO is None or told.coded or not told.known:
            return None
        self._told = AudioFormat(told.sample_rate, told.channels, 'F32LE', 'pcm')
        return audio_info_message(self._told)

    def __call__(self, role: str, message) -> Iterator[tuple[int, str, Any]]:
        """Give stamp, role and message of what becomes of a recorded message."""
        try:
            decoded = message.decode()
        except AvsolError:
            return  # the bag counts it
        if role == 'audio_info':
            pieces = self._reader.add_info(decoded)
        else:
            pieces = self._reader.add(decoded, message.log_ns)
        frame_id = decoded.header.frame_id if hasattr(decoded, 'header') else ''
        for stamp_ns, samples, rate in pieces:
            wanted = AudioFormat(rate, samples.shape[1], 'F32LE', 'pcm')
            if AUDIO_INFO is not None and wanted != self._told:
                self._told = wanted
                yield stamp_ns, 'audio_info', audio_info_message(wanted)
            yield (
                stamp_ns,
                'audio',
                audio_message(stamp_ns, frame_id, samples.astype('<f4').tobytes(), wanted),
            )

    def _note(self, error: AvsolError) -> None:
        if str(error) not in self.problems:
            self.problems.append(str(error))
