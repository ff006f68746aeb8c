"""
What was found in a bag, as files: a bag of results, a line for each window, a film, a sheet.

All of them are written window by window into a folder beside, and moved to their places at the
end, so that files of an earlier run stay whole until then.
"""

import json
import math
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from avsol_ros.bag_run import ORIGIN_KEY, Finding
from avsol_ros.bags import BagWriter, make_message
from avsol_ros.config import NANOSECONDS
from avsol_ros.drawing import (
    FOUND,
    TRUTH_OUT_OF_VIEW,
    TRUTH_SILENT,
    TRUTH_SOUNDING,
    UNNAMED,
    contact_sheet,
    draw_localization,
)
from avsol_ros.errors import AvsolError
from avsol_ros.localizer import Localization
from avsol_ros.messages import decode_image, stamp_to_ns
from avsol_ros.recording import OverlayRecording

#: What the bag of results keeps beside its messages.
CENTRE_KEY, SIZE_KEY, MODEL_KEY, SOURCE_KEY = (
    'avsol_first_centre', 'avsol_image_size', 'avsol_model', 'avsol_source')
#: Names of topics, as the localizer has them when it runs live.
SPACE = '/avsol_localizer'

_TYPES = {'sounding_objects': 'avsol_ros/msg/SoundingObjects',
          'detections': 'vision_msgs/msg/Detection2DArray',
          'heatmap_float': 'sensor_msgs/msg/Image'}
_TILES, _TILE_WIDTH, _PORTRAIT_WIDTH = 20, 400, 300
_RUNS = 1000  # more spans are counted, not kept


class OutputFolder:
    """
    Files beside, until :meth:`keep` moves them to their places.

    :ivar part: where to write them. Leaving the ``with`` block removes what was not kept.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.part = folder / f'.evaluation.{os.getpid()}.part'

    def __enter__(self) -> 'OutputFolder':
        try:
            shutil.rmtree(self.part, ignore_errors=True)
            self.part.mkdir(parents=True)
        except OSError as error:
            raise AvsolError(f'cannot write into {self.folder} ({error.strerror}); choose '
                             'another folder') from None
        return self

    def __exit__(self, *_) -> None:
        shutil.rmtree(self.part, ignore_errors=True)

    def keep(self) -> list[Path]:
        """
        Move all files and folders, over those of an earlier run.

        :returns: their paths.
        """
        kept = []
        try:
            for path in sorted(self.part.iterdir()):
                place = self.folder / path.name
                if place.is_dir() and not place.is_symlink():
                    old = self.part / f'.old.{path.name}'
                    place.rename(old)
                path.replace(place)
                kept.append(place)
        except OSError as error:
            raise AvsolError(f'cannot write into {self.folder} ({error.strerror}); make room or '
                             'choose another folder') from None
        return kept


class ResultsBag:
    """
    The localizer's topics as a bag: SoundingObjects, detections, and maps of the model's values.

    :param heatmap_size: width and height of the maps; (0, 0) for the camera's, None for the
        model's own, some hundred bytes each. What lies where in those the bag's custom data says:
        ``avsol_first_centre`` (see ``Localization``) and ``avsol_image_size``.
    :param about: custom data that goes with it.
    """

    def __init__(self, path: Path, heatmap_size: tuple[int, int] | None, about: dict[str, str]):
        self._writer = BagWriter(path)
        self._size = heatmap_size
        self._about = about
        self._told = False

    def __enter__(self) -> 'ResultsBag':
        self._writer.__enter__()
        for name, kind in _TYPES.items():
            self._writer.add_topic(f'{SPACE}/{name}', kind)
        for key, text in self._about.items():
            self._writer.set_custom(key, text)
        return self

    def __exit__(self, *error) -> None:
        self._writer.__exit__(*error)

    def add(self, localization: Localization, finding: Finding, frame_id: str) -> None:
        """Write the messages of a window."""
        header = {'stamp': finding.stamp_ns, 'frame_id': frame_id}
        height, width = localization.image_size
        if not self._told:
            self._told = True
            self._writer.set_custom(SIZE_KEY, f'{width}x{height}')
            if self._size is None and localization.first_centre is not None:
                self._writer.set_custom(CENTRE_KEY, repr(float(localization.first_centre)))
        heat = localization.heatmap if self._size is None else localization.heatmap_at(
            self._size[1] or height, self._size[0] or width)
        detections = [_detection(box, header) for box in finding.result.boxes]
        avc = localization.avc
        messages = {
            'heatmap_float': {
                'height': heat.shape[0], 'width': heat.shape[1], 'encoding': '32FC1',
                'step': 4 * heat.shape[1],
                'data': np.ascontiguousarray(heat, '<f4').tobytes()},
            'detections': {'detections': detections},
            'sounding_objects': {
                'window_start': localization.start_ns, 'window_end': localization.end_ns,
                'audio_missing': finding.audio_missing_s or 0.0,
                'avc_probability': math.nan if avc is None else float(avc),
                'class_names': list(localization.class_names),
                'class_scores': np.asarray(localization.class_scores, np.float32),
                'detections': detections}}
        for name, fields in messages.items():
            self._writer.write(f'{SPACE}/{name}', finding.log_ns,
                               make_message(_TYPES[name], header=header, **fields))


def _detection(box, header: dict) -> dict:
    return {'header': header,
            'results': [{'hypothesis': {'class_id': box.class_name or UNNAMED,
                                        'score': float(box.score)}}],
            'bbox': {'center': {'position': {'x': (box.x0 + box.x1) / 2,
                                             'y': (box.y0 + box.y1) / 2}},
                     'size_x': float(box.x1 - box.x0), 'size_y': float(box.y1 - box.y0)}}


def window_line(finding: Finding, origin_ns: int) -> str:
    """One window as JSON on one line; ``time`` is its start in seconds after the origin."""
    result = finding.result

    def rounded(values):
        return [round(float(v), 2) for v in values]

    return json.dumps({
        'time': round((result.start_ns - origin_ns) / NANOSECONDS, 6),
        'start_ns': result.start_ns, 'end_ns': result.end_ns, 'stamp_ns': finding.stamp_ns,
        'avc': None if result.avc is None else round(float(result.avc), 6),
        'class_scores': {k: round(float(v), 6) for k, v in result.class_scores.items()},
        'boxes': [{'box': rounded((b.x0, b.y0, b.x1, b.y1)), 'class': b.class_name or None,
                   'score': round(b.score, 6), 'class_score': round(b.class_score, 6)}
                  for b in result.boxes],
        'peak': rounded(result.peak), 'image_size': list(result.image_size),
        'frames': finding.frames,
        'audio_missing': None if finding.audio_missing_s is None
        else round(finding.audio_missing_s, 6)}, allow_nan=False)


@dataclass
class Span:
    """
    Windows one after the other in which the same was found; means over them.

    Each window stands for one hop round its middle.

    :param start_ns: where the first one's hop begins.
    :param end_ns: where the last one's ends.
    :param found: class of the strongest box; None where there is none.
    """

    start_ns: int
    end_ns: int
    found: str | None
    windows: int = 0
    avc: float | None = None
    class_score: float | None = None
    box: np.ndarray | None = None

    def add(self, finding: Finding) -> None:
        self.windows += 1
        result = finding.result
        self.avc = self._mean(self.avc, result.avc)
        if result.boxes:
            best = result.boxes[0]
            self.class_score = self._mean(self.class_score, best.class_score)
            self.box = self._mean(self.box, np.array([best.x0, best.y0, best.x1, best.y1]))

    def _mean(self, old, new):
        return new if old is None or new is None else old + (new - old) / self.windows

    def as_dict(self, origin_ns: int) -> dict:
        """Plain values; times in seconds after the origin."""
        return {'start': (self.start_ns - origin_ns) / NANOSECONDS,
                'end': (self.end_ns - origin_ns) / NANOSECONDS, 'found': self.found,
                'windows': self.windows, 'avc': None if self.avc is None else float(self.avc),
                'class_score': None if self.class_score is None else float(self.class_score),
                'box': None if self.box is None else [round(v, 1) for v in self.box.tolist()]}


class Timeline:
    """
    What was found when, in spans; at most a thousand are kept.

    :param hop_ns: between the starts of windows; None where only the windows tell it.
    :ivar more: spans that are not kept.
    """

    def __init__(self, hop_ns: int | None = None):
        self._hop_ns = hop_ns
        self._last_ns: int | None = None
        self.spans: list[Span] = []
        self._open: Span | None = None
        self.more = 0

    def add(self, finding: Finding) -> None:
        result = finding.result
        found = result.boxes[0].class_name or UNNAMED if result.boxes else None
        step_ns = None if self._last_ns is None else result.start_ns - self._last_ns
        if self._hop_ns is None and step_ns is not None and step_ns > 0:
            self._hop_ns = min(step_ns, result.end_ns - result.start_ns)
            # The first window did not know it.
            only = self.spans[0]
            only.start_ns = only.end_ns = (only.start_ns + only.end_ns) // 2
            only.start_ns -= self._hop_ns // 2
            only.end_ns += self._hop_ns // 2
        half_ns = (self._hop_ns or result.end_ns - result.start_ns) // 2
        follows = step_ns is not None and 0 < step_ns <= 3 * half_ns
        if self._open is None or not follows or self._open.found != found:
            self._open = Span(result.centre_ns - half_ns, 0, found)
            if len(self.spans) < _RUNS:
                self.spans.append(self._open)
            else:
                self.more += 1
        self._open.add(finding)
        self._open.end_ns = result.centre_ns + half_ns
        self._last_ns = result.start_ns


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

    def add(self, image: np.ndarray, localization, finding: Finding, origin_ns: int,
            truth: tuple = ()) -> None:
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
        small = cv2.resize(image, (tile_width, round(scale * height)),
                           interpolation=cv2.INTER_AREA)
        boxes = [replace(box, x0=box.x0 * scale, y0=box.y0 * scale, x1=box.x1 * scale,
                         y1=box.y1 * scale) for box in result.boxes]
        self._has_truth |= bool(truth)
        truth = [{**item, 'box': item['box'] and [v * scale for v in item['box']]}
                 for item in truth]
        tile = draw_localization(small, localization, boxes, truth=truth)
        best = result.boxes[0] if result.boxes else None
        found = f'{best.class_name or UNNAMED} {best.class_score:.2f}' if best else 'nothing'
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
        tiles = [(tile if tile.shape == shape else cv2.resize(tile, shape[1::-1]), caption)
                 for tile, caption in self._tiles]
        columns = 7 if shape[0] > 1.2 * shape[1] else 5
        legend = [(FOUND, 'found: class and score')]
        if self._has_truth:
            legend += [(TRUTH_SOUNDING, 'truth: sounding'),
                       (TRUTH_SILENT, 'truth: in view, silent'),
                       (TRUTH_OUT_OF_VIEW, 'truth: sounds out of view')]
        sheet = contact_sheet(*zip(*tiles), columns=columns, title=title, legend=legend,
                              tile_width=shape[1])
        done, data = cv2.imencode('.png', cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
        if done:
            path.write_bytes(data.tobytes())
        return path if done else None


def results_about(model: str, source: str, origin_ns: int) -> dict[str, str]:
    """Custom data of a bag of results."""
    return {MODEL_KEY: model, SOURCE_KEY: source, ORIGIN_KEY: str(origin_ns)}
