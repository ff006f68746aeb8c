"""What was found in a recording, to be looked at: a film with sound, and a sheet of windows."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.drawing.overlay_film import OverlayRecording
from avsol_ros.drawing.sheet import LocalizationSheet, tile_caption
from avsol_ros.errors import AvsolError
from avsol_ros.files import write_bytes
from avsol_ros.localization import Localization
from avsol_ros.media.image_files import encode_png
from avsol_ros.messages.images import decode_image
from avsol_ros.messages.stamps import stamp_to_ns
from avsol_ros.offline.localization_run import Finding
from avsol_ros.streams.audio_reader import AudioReader, Piece

_TILES = 20  # pictures on a sheet


class Film:
    """
    A recording as a film with sound, under what was found.

    A message that cannot be used is left out and counted.

    :param audio: an ``AudioReader`` of its own.
    :param origin_ns: stamp from which the times of the findings count.
    :ivar left_out: messages that could not be used.
    """

    def __init__(self, path: Path, audio: AudioReader, origin_ns: int = 0):
        self._recording = OverlayRecording(path, keep_record=False)
        self._audio = audio
        self._origin_ns = origin_ns
        self.left_out = 0

    def add_message(self, kind: str, log_ns: int, msg: Any) -> None:
        """Add a message of the recording: a frame, sound, or the format of the sound."""
        pieces = []
        if kind == 'image':
            try:
                stamp_ns = stamp_to_ns(msg.header.stamp) - self._origin_ns
                self._recording.add_frame(stamp_ns, decode_image(msg))
            except AvsolError:
                self.left_out += 1
        elif kind == 'audio':
            pieces = self._audio.add(msg, log_ns)
        elif kind == 'audio_info':
            pieces = self._audio.add_info(msg)
        self._add_sound(pieces)

    def add_finding(self, finding: Finding) -> None:
        """Add what was found in a window, and write the frames that it decides."""
        self._recording.add_result(finding.result)
        self._recording.advance()

    def close(self) -> Path | None:
        """Finish the film; None where no frame came."""
        self._add_sound(self._audio.flush())
        return self._recording.close()

    def discard(self) -> None:
        """Leave nothing behind, unless the film was closed."""
        self._recording.discard()

    def _add_sound(self, pieces: Iterable[Piece]) -> None:
        for stamp_ns, samples, rate in pieces:
            try:
                self._recording.add_audio(stamp_ns - self._origin_ns, samples, rate)
            except AvsolError:
                self.left_out += 1


class Sheet:
    """
    A contact sheet of windows, chosen evenly from the recording.

    :param expected: windows that will come, roughly. When twice as many come, every second picture
        is dropped.
    """

    def __init__(self, expected: int):
        self._sheet = LocalizationSheet(expected, most=_TILES)

    def add(
        self,
        image: np.ndarray,
        localization: Localization,
        finding: Finding,
        origin_ns: int,
        truth: Sequence[Mapping] = (),
    ) -> None:
        """
        Add a window.

        :param image: (H, W, 3) uint8 RGB, one of its frames.
        :param localization: what the heat is drawn from.
        :param truth: annotated objects, as ``draw_localization`` has them, of the frame.
        """
        result = finding.result
        start = (result.start_ns - origin_ns) / NANOSECONDS
        caption = tile_caption(f'{start:.2f} s', result, result.boxes)
        self._sheet.add(image, localization, result.boxes, caption, truth=truth or None)

    def write(self, path: Path, title: str) -> Path | None:
        """Write the sheet as PNG; None without a window."""
        if not len(self._sheet):
            return None
        return write_bytes(path, encode_png(self._sheet.draw(title)))
