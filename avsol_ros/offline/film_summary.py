"""
What was found in a clip, second by second, and whether it is true.

The rows come from windows that do not overlap; the truth, where there is one, from the annotation
beside the clip.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.drawing.palette import HIT, MISS
from avsol_ros.drawing.sheet import MOST_TILES, LocalizationSheet, tile_caption, tile_size
from avsol_ros.errors import AvsolError
from avsol_ros.localization import UNNAMED, Box, WindowResult
from avsol_ros.media.film_reader import AudioChunk, MediaReader
from avsol_ros.offline.text_table import align_columns


@dataclass
class Second:
    """
    One row of the table.

    :param start: of the window, in seconds of the clip.
    :param truth: category that sounds in view, 'out of view', or 'nothing'; None if not known.
    :param found: class that was found, 'sounding object' of a model without classes, or None.
    :param class_score: of that class; the box's own score without classes.
    :param avc: AVC probability; None if the window was never localized or the model has no AVC.
    :param box: of what was found: x0, y0, x1, y1 in pixels of the clip.
    :param hit: whether that is true; None without a truth.
    :param why: what is wrong, of a miss.
    """

    start: float
    end: float
    truth: str | None = None
    found: str | None = None
    class_score: float | None = None
    avc: float | None = None
    box: list[float] | None = None
    peak: list[float] | None = None
    hit: bool | None = None
    why: str = ''
    objects: list[Mapping] = field(default_factory=list)
    result: WindowResult | None = None

    def as_dict(self) -> dict:
        """Return plain values for JSON."""
        values = asdict(self)
        del values['result'], values['objects']
        return values


def load_truth(clip: Path) -> dict | None:
    """The clip's own in an annotation beside it (clip.mp4, clip.json); None if there is none."""
    path = clip.with_suffix('.json')
    if not path.is_file() or path == clip:
        return None
    try:
        truth = json.loads(path.read_text(encoding='utf-8'))
        if isinstance(truth, dict) and isinstance(truth.get('videos'), list):
            truth = next(
                (
                    video
                    for video in truth['videos']
                    if isinstance(video, dict) and video.get('video') == clip.name
                ),
                None,
            )
        # Other programs leave other JSON files beside films.
        if not isinstance(truth, dict) or truth.get('video') != clip.name:
            return None
        for frame in truth['frames']:
            float(frame['time'])
            for item in frame['objects']:
                if item['sounding'] and not item.get('out_of_view'):
                    item['category'], [float(v) for v in item['box']][3]
        float(truth['width']), float(truth['height'])
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise AvsolError(
            f'{path} is no annotation that can be read ({error!r}); avsol '
            'annotations check tells what is wrong; mend it, or move it away'
        ) from None
    return truth


def second_by_second(
    results: Sequence[WindowResult],
    origin_ns: int,
    duration_ns: int,
    size: tuple[int, int],
    truth: dict | None = None,
) -> list[Second]:
    """
    Make one row for each whole second of a clip.

    :param results: of all windows, overlapping or not.
    :param origin_ns: stamp of the clip's time 0.
    :param size: width and height of the clip, in pixels.
    :param truth: annotation as `avsol synthesize` writes it.
    """
    by_start = {result.start_ns - origin_ns: result for result in results}
    rows = []
    for start_ns in range(0, duration_ns - NANOSECONDS + 1, NANOSECONDS):
        start = start_ns / NANOSECONDS
        row = Second(start, start + 1)
        result = row.result = by_start.get(start_ns)
        if result is not None:
            _fill(row, result, size)
        if truth is not None:
            _judge(row, truth, size)
        rows.append(row)
    return rows


def format_table(rows: Sequence[Second]) -> str:
    """Rows as text, for a terminal."""
    known = any(row.hit is not None for row in rows)
    head = ['time', 'found', 'class score', 'AVC', 'box (x0 y0 x1 y1)']
    head += ['truth', 'result'] if known else []
    lines = [head]
    for row in rows:
        cells = [
            f'{row.start:g} - {row.end:g} s',
            row.found or '-',
            '-' if row.class_score is None else f'{row.class_score:.2f}',
            '-' if row.avc is None else f'{row.avc:.2f}',
            '-' if row.box is None else ' '.join(f'{v:.0f}' for v in row.box),
        ]
        if known:
            cells += [row.truth or '-', 'hit' if row.hit else f'miss: {row.why}']
        elif row.result is None:
            cells[1] = 'no window'
        lines.append(cells)
    text = align_columns(lines)
    return '\n'.join([text[0], '-' * max(map(len, text)), *text[1:]])


def draw_sheet(clip: Path, rows: Sequence[Second]) -> np.ndarray:
    """
    Draw one picture for each second: its middle frame, what was found there, and the truth.

    :return: (H, W, 3) uint8 RGB.
    """
    hits = [row.hit for row in rows if row.hit is not None]
    title = f'{clip.name}: {sum(hits)} of {len(hits)} seconds right' if hits else clip.name
    rows = rows[:: -(-len(rows) // MOST_TILES)]
    frames, audio, rate, width = _middle_frames(clip, rows)
    sheet = LocalizationSheet(len(rows))
    for row, (time_ns, frame) in zip(rows, frames):
        result = row.result
        boxes: list[Box] = []
        if result is not None:
            boxes = [box.scaled(width / result.image_size[1]) for box in result.boxes]
        known = row.hit is not None
        sheet.add(
            frame,
            result,
            boxes,
            _caption(row),
            truth=row.objects if known else None,
            mark=None if not known else HIT if row.hit else MISS,
            source_width=width,
            audio=audio,
            audio_start_ns=0,
            sample_rate=rate,
            time_ns=time_ns,
        )
    return sheet.draw(title)


def _fill(row: Second, result: WindowResult, size: tuple[int, int]) -> None:
    scale = size[0] / result.image_size[1]
    row.avc = None if result.avc is None else round(float(result.avc), 4)
    row.peak = [round(v * scale, 1) for v in result.peak]
    if result.boxes:
        best = result.boxes[0]
        row.found = best.class_name or UNNAMED
        row.class_score = round(best.class_score, 4)
        row.box = [round(v * scale, 1) for v in (best.x0, best.y0, best.x1, best.y1)]


def _judge(row: Second, truth: dict, size: tuple[int, int]) -> None:
    """
    Compare with the annotation of the second's middle, by the paper's PiBR criterion.

    What a model cannot say is not held for right: without AVC it finds a place also where nothing
    sounds, which is a miss. Without classes the place alone decides.
    """
    middle = (row.start + row.end) / 2
    frame = min(truth['frames'], key=lambda frame: abs(frame['time'] - middle), default=None)
    if frame is None:
        return
    scale = size[0] / truth['width']
    row.objects = [
        {**item, 'box': item.get('box') and [v * scale for v in item['box']]}
        for item in frame['objects']
    ]
    sounding = [item for item in row.objects if item['sounding'] and not item.get('out_of_view')]
    unseen = any(item['sounding'] and item.get('out_of_view') for item in row.objects)
    row.truth = ', '.join(dict.fromkeys(item['category'] for item in sounding))
    row.truth = row.truth or ('out of view' if unseen else 'nothing')
    row.why = _what_is_wrong(row, sounding)
    row.hit = not row.why


def _what_is_wrong(row: Second, sounding: list[Mapping]) -> str:
    if row.result is None or row.peak is None:
        return 'the window was not localized'
    if not sounding:
        return 'nothing in view sounds' if row.found else ''
    if not row.found:
        return 'not found'
    x, y = row.peak
    at_peak = [
        item
        for item in sounding
        if item['box'][0] <= x < item['box'][2] and item['box'][1] <= y < item['box'][3]
    ]
    if not at_peak:
        return 'wrong place'
    if not row.result.boxes[0].class_name:
        return ''
    return '' if row.found in {item['category'] for item in at_peak} else 'wrong class'


def _caption(row: Second) -> str:
    time = f'{row.start:g} - {row.end:g} s'
    if row.result is None or row.hit is None:
        return tile_caption(time, row.result, row.result.boxes if row.result else ())
    found = f'found {row.found} {row.class_score:.2f}' if row.found else 'found nothing'
    verdict = 'hit' if row.hit else f'miss: {row.why}'
    return f'{time}   {verdict}\ntruth {row.truth}, {found}'


def _middle_frames(
    clip: Path, rows: Sequence[Second]
) -> tuple[list[tuple[int, np.ndarray]], np.ndarray, int, int]:
    """
    Find the frames nearest to the middle of each second.

    :returns: time of the middle in nanoseconds and frame as wide as a tile, of each second; the
        sound (n,) float32, mono; its samples per second; and the width of the clip in pixels.
    """
    middles = [round((row.start + row.end) / 2 * NANOSECONDS) for row in rows]
    best: list[tuple[int, np.ndarray] | None] = [None] * len(rows)
    sound = []
    with MediaReader(clip) as reader:
        rate = reader.info.sample_rate
        width = reader.info.width
        height = reader.info.height
        tile_height, tile_width = tile_size(height, width)
        for chunk in reader:
            if isinstance(chunk, AudioChunk):
                mono = chunk.samples.astype(np.float32).mean(axis=1) / 32768
                sound.append((round(chunk.time_ns * rate / NANOSECONDS), mono))
                continue
            for index, middle in enumerate(middles):
                distance = abs(chunk.time_ns - middle)
                nearest = best[index]
                if distance <= NANOSECONDS and (nearest is None or distance < nearest[0]):
                    tile = cv2.resize(
                        chunk.image, (tile_width, tile_height), interpolation=cv2.INTER_AREA
                    )
                    best[index] = (distance, tile)
    blank = np.zeros((tile_height, tile_width, 3), np.uint8)
    frames = [
        (middle, blank if entry is None else entry[1]) for entry, middle in zip(best, middles)
    ]
    audio = np.zeros(max((at + len(mono) for at, mono in sound), default=0), np.float32)
    for at, mono in sound:
        part = audio[max(at, 0) : at + len(mono)]
        part[:] = mono[len(mono) - len(part) :]
    return frames, audio, rate, width
