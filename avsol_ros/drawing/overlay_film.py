"""
A localized stream as a film with sound, each frame under the result that is nearest to its time.

Beside the film goes a record of all windows, as JSON.
"""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.drawing.overlay import draw_localization
from avsol_ros.drawing.result_pairing import PairedFrame, ResultPairing, SoundPiece
from avsol_ros.drawing.waveform import strip_height
from avsol_ros.files import write_text
from avsol_ros.localization import WindowResult, kept_heatmap
from avsol_ros.media.film_writer import MediaWriter, require_film_name


class OverlayRecording:
    """
    Writes the film and, beside it, the record of all windows as JSON.

    Nothing happens on its own: ``add_*`` store, ``advance`` draws and writes what is decided.
    One thread may store while another draws, if both hold a lock: the one around ``add_*``, the
    other around ``take_decided``. ``write`` needs no lock.

    :param path: film to write; the record gets the same name with ``.json``.
    :param max_wait_ns: how long, by the stamps, a frame waits for its result and the first frame
        for sound; also how far stamps may jump ahead.
    :param max_bytes: memory for waiting frames; when there is more, the oldest is written with
        the result that is known.
    :param frame_rate: that the file declares, in frames per second; each frame has its own time.
    :param keep_record: whether to write the record, which is held until the end.
    :ivar windows: results that came.
    :ivar frames_written: frames in the film.
    :raises AvsolError: where the name of the film ends in none that can be written.
    """

    def __init__(
        self,
        path: str | Path,
        max_wait_ns: int = 6 * NANOSECONDS,
        max_bytes: int = 512 << 20,
        frame_rate: float = 30.0,
        keep_record: bool = True,
    ):
        self.path = Path(path)
        require_film_name(self.path)
        self._pairing = ResultPairing(max_wait_ns, max_bytes)
        self._frame_rate = frame_rate
        self._keep_record = keep_record
        self._record: list[dict] = []
        self._writer: MediaWriter | None = None
        self.windows = 0
        self.frames_written = 0
        self._frames_without_result = 0

    @property
    def newest_frame_ns(self) -> int | None:
        """Stamp of the newest frame."""
        return self._pairing.newest_frame_ns

    @property
    def sound_end_ns(self) -> int | None:
        """End of the newest sound."""
        return self._pairing.sound_end_ns

    @property
    def newest_window_end_ns(self) -> int | None:
        """End of the newest window that has a result."""
        return self._pairing.newest_window_end_ns

    @property
    def frames_late(self) -> int:
        """Frames left out because they came out of order or with a stamp that jumped."""
        return self._pairing.frames_late

    @property
    def frames_dropped(self) -> int:
        """Frames left out because there was no memory for them."""
        return self._pairing.frames_dropped

    def add_frame(self, stamp_ns: int, image: np.ndarray) -> None:
        """Store a frame; see ``ResultPairing.add_frame``."""
        self._pairing.add_frame(stamp_ns, image)

    def add_audio(self, stamp_ns: int, samples: np.ndarray, sample_rate: int) -> None:
        """Store sound; see ``ResultPairing.add_audio``."""
        self._pairing.add_audio(stamp_ns, samples, sample_rate)

    def add_result(self, result: WindowResult) -> None:
        """Store what was found in a window; windows come in order."""
        result = replace(result, heatmap=kept_heatmap(result.heatmap))
        self.windows += 1
        if self._keep_record:
            # As it will be written: of each heatmap a picture of few bytes.
            self._record.append(result.as_dict(0))
        self._pairing.add_result(result)

    def take_decided(self, finish: bool = False) -> list[SoundPiece | PairedFrame]:
        """
        Remove and return what ``write`` can write now.

        :param finish: nothing more comes, so everything is decided.
        """
        return self._pairing.take_decided(finish)

    def write(self, decided: list[SoundPiece | PairedFrame]) -> None:
        """Draw and encode what ``take_decided`` gave."""
        for item in decided:
            if self._writer is None:
                self._writer = self._open_writer()
            if isinstance(item, PairedFrame):
                self._write_frame(self._writer, item)
            elif self._writer.has_sound:
                # Sound that came too late for a film without any is left out.
                self._writer.add_audio(item.samples, item.stamp_ns - self._pairing.origin_ns)

    def advance(self, finish: bool = False) -> int:
        """Write all that is decided; return the number of frames written."""
        before = self.frames_written
        while True:
            decided = self.take_decided(finish)
            self.write(decided)
            if not any(isinstance(item, PairedFrame) for item in decided):
                return self.frames_written - before

    def close(self) -> Path | None:
        """Write what is left and put film and record in their places; None without a frame."""
        self.advance(finish=True)
        if self._writer is None:
            return None
        self._writer.close()
        if self._keep_record:
            self._write_record()
        return self.path

    def discard(self) -> None:
        """Leave nothing behind."""
        if self._writer is not None:
            self._writer.discard()

    def _open_writer(self) -> MediaWriter:
        height, width = self._get_size()
        sample_rate = self._pairing.sample_rate or None
        return MediaWriter(
            self.path,
            width,
            height + (strip_height(height, width) if sample_rate else 0),
            self._frame_rate,
            sample_rate,
            max(self._pairing.channels, 1),
        )

    def _get_size(self) -> tuple[int, int]:
        """Height and width of the pictures; known once something is decided."""
        assert self._pairing.size is not None
        return self._pairing.size

    def _write_frame(self, writer: MediaWriter, frame: PairedFrame) -> None:
        pairing = self._pairing
        image, result = frame.image, frame.result
        height, width = self._get_size()
        if image.shape[:2] != (height, width):
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        picture = draw_localization(
            image,
            result,
            result.boxes if result else (),
            frame.audio if writer.has_sound else None,
            audio_start_ns=frame.audio_start_ns,
            sample_rate=pairing.sample_rate or 1,
            time_ns=frame.stamp_ns,
            zero_ns=pairing.origin_ns,
        )
        writer.add_frame(picture, frame.stamp_ns - pairing.origin_ns)
        self.frames_written += 1
        self._frames_without_result += result is None

    def _write_record(self) -> None:
        height, width = self._get_size()
        origin_ns = self._pairing.origin_ns
        for window in self._record:
            for name in ('start', 'end'):
                window[name] = (window[f'{name}_ns'] - origin_ns) / NANOSECONDS
        document = {
            'version': 1,
            'video': self.path.name,
            'width': width,
            'height': height,
            'origin_ns': origin_ns,
            'frames': self.frames_written,
            'frames_dropped': self.frames_dropped,
            'frames_late': self.frames_late,
            'frames_without_result': self._frames_without_result,
            'windows': self._record,
        }
        write_text(self.path.with_suffix('.json'), json.dumps(document) + '\n')
