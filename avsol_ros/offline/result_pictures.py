"""What was found in a bag, to be looked at: a film with sound, and a sheet of windows."""

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.drawing.overlay import draw_localization
from avsol_ros.drawing.overlay_film import OverlayRecording
from avsol_ros.drawing.palette import FOUND, TRUTH_OUT_OF_VIEW, TRUTH_SILENT, TRUTH_SOUNDING
from avsol_ros.drawing.sheet import contact_sheet
from avsol_ros.errors import AvsolError
from avsol_ros.localization import UNNAMED
from avsol_ros.messages.decode import decode_image, stamp_to_ns
from avsol_ros.offline.bag_run import Finding

_TILES, _TILE_WIDTH, _PORTRAIT_WIDTH = 20, 400, 300


class Film:
    """
    The bag as a film with sound, under what was found.

    Trouble with a message is counted and does not end the film.

    :param audio: an ``AudioReader`` of its own.
    """

    def __init__(self, path: Path, audio):
        self._recording = OverlayRecording(path, keep_record=False)
        self._audio = audio
        self.left_out = 0

    def take(self, kind: str, log_ns: int, msg) -> None:
        """Take a message of the bag, as ``bag_messages`` gives it."""
        pieces = []
        if kind == 'image':
            try:
                self._recording.add_frame(stamp_to_ns(msg.header.stamp), decode_image(msg))
            except AvsolError:
                self.left_out += 1
        elif kind == 'audio':
            pieces = self._audio.add(msg, log_ns)
        elif kind == 'audio_info':
            pieces = self._audio.add_info(msg)
        self._hear(pieces)

    def add(self, finding: Finding) -> None:
        self._recording.add_result(finding.result)
        self._recording.advance()

    def close(self) -> Path | None:
        """Finish the film; None where no frame came."""
        self._hear(self._audio.flush())
        return self._recording.close()

    def discard(self) -> None:
        self._recording.discard()

    def _hear(self, pieces) -> None:
        for stamp_ns, samples, rate in pieces:
            try:
                self._recording.add_audio(stamp_ns, samples, rate)
            except AvsolError:
                self.left_out += 1


class Sheet:
    """
    Some windows, evenly from the bag, as pictures on one sheet.

    :param expected: windows that will come, roughly: twice as many make the sheet choose again.
    """

    def __init__(self, expected: int):
        self._step = max(1, math.ceil(expected / _TILES))
        self._count = 0
        self._tiles: list[tuple[np.ndarray, str]] = []
        self._has_truth = False

    def add(
        self, image: np.ndarray, localization, finding: Finding, origin_ns: int, truth: tuple = ()
    ) -> None:
        """
        Take a window.

        :param image: (H, W, 3) uint8 RGB, one of its frames.
        :param localization: what the heat is drawn from.
        :param truth: annotated objects, as ``draw_localization`` has them, of the frame.
        """
        self._count += 1
        if (self._count - 1) % self._step:
            return
        result = finding.result
        height, width = image.shape[:2]
        tile_width = _PORTRAIT_WIDTH if height > 1.2 * width else _TILE_WIDTH
        scale = tile_width / width
        # Drawn at the size at which it is shown, so that letters can be read.
        small = cv2.resize(
            image, (tile_width, round(scale * height)), interpolation=cv2.INTER_AREA
        )
        boxes = [
            replace(
                box, x0=box.x0 * scale, y0=box.y0 * scale, x1=box.x1 * scale, y1=box.y1 * scale
            )
            for box in result.boxes
        ]
        self._has_truth |= bool(truth)
        truth = [
            {**item, 'box': item['box'] and [v * scale for v in item['box']]} for item in truth
        ]
        tile = draw_localization(small, localization, boxes, truth=truth)
        best = result.boxes[0] if result.boxes else None
        found = 'nothing'
        if best:
            score = result.class_scores.get(best.class_name, best.class_score)
            found = f'{best.class_name or UNNAMED} {score:.2f}'
        avc = 'no AVC' if result.avc is None else f'AVC {result.avc:.2f}'
        start = (result.start_ns - origin_ns) / NANOSECONDS
        self._tiles.append((tile, f'{start:.2f} s\n{found}, {avc}'))
        if len(self._tiles) >= 2 * _TILES:
            del self._tiles[1::2]
            self._step *= 2

    def write(self, path: Path, title: str) -> Path | None:
        """Write the sheet as PNG; None without a window."""
        if not self._tiles:
            return None
        shape = self._tiles[0][0].shape
        tiles = [
            (tile if tile.shape == shape else cv2.resize(tile, shape[1::-1]), caption)
            for tile, caption in self._tiles
        ]
        columns = 7 if shape[0] > 1.2 * shape[1] else 5
        legend = [(FOUND, 'found: class and score')]
        if self._has_truth:
            legend += [
                (TRUTH_SOUNDING, 'truth: sounding'),
                (TRUTH_SILENT, 'truth: in view, silent'),
                (TRUTH_OUT_OF_VIEW, 'truth: sounds out of view'),
            ]
        sheet = contact_sheet(
            *zip(*tiles), columns=columns, title=title, legend=legend, tile_width=shape[1]
        )
        done, data = cv2.imencode('.png', cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
        if done:
            path.write_bytes(data.tobytes())
        return path if done else None
