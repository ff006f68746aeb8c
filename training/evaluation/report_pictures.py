"""Pictures of the report: windows with their truth and what each model makes of them."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.drawing.heat_colours import draw_heatmap
from avsol_ros.drawing.palette import TRUTH_OUT_OF_VIEW, TRUTH_SILENT, TRUTH_SOUNDING
from avsol_ros.localization import Localization, visible_heat
from avsol_ros.media.image_files import encode_jpeg
from avsol_ros.training.annotations.model import FrameTruth
from avsol_ros.training.evaluation.curves import stretch
from avsol_ros.training.evaluation.report_charts import Waveform, waveform
from avsol_ros.training.evaluation.samples import Sample, Truth
from avsol_ros.training.evaluation.scoring import SURE, ModelRun
from avsol_ros.training.evaluation.tally import WindowScores

_WIDTH = 192  # of a picture in a strip, pixels
_SMALL = 128  # of a picture in a sequence
_QUALITY = 78


@dataclass(frozen=True)
class Tile:
    """
    A picture with what stands below it.

    :param uri: the picture itself, as JPEG in a data URI.
    :param width: in pixels, as is ``height``.
    :param alt: text for those who cannot see it.
    :param label: name of a model; empty for others.
    """

    uri: str
    width: int
    height: int
    alt: str
    caption: str
    label: str = ''


@dataclass(frozen=True)
class Strip:
    """
    One window: its truth, the map of each model, its sound.

    :param example: what the window is an example of; empty where it is none.
    """

    name: str
    tiles: list[Tile]
    sound: Waveform
    example: str = ''


@dataclass(frozen=True)
class SecondBySecond:
    """
    Successive seconds of a recording.

    :param rows: heading, and a tile for each second.
    :param sound: of all seconds.
    """

    name: str
    rows: list[tuple[str, list[Tile]]]
    sound: Waveform


def strip_width(models: int) -> int:
    """Width of a strip on the page, pixels: its pictures, gaps and border."""
    return 18 + (_WIDTH + 8) * (1 + models)


def data_uri(image: np.ndarray) -> str:
    """
    Encode a picture as a part of the page.

    :param image: (H, W, 3) uint8 RGB.
    """
    return f'data:image/jpeg;base64,{base64.b64encode(encode_jpeg(image, _QUALITY)).decode()}'


def _tile(image: np.ndarray, alt: str, caption: str, label: str = '') -> Tile:
    return Tile(data_uri(image), image.shape[1], image.shape[0], alt, caption, label)


def describe_frame(frame: FrameTruth) -> str:
    """Say in words what sounds in a frame."""
    parts = [f'{o.category} sounds' for o in frame.sounding]
    parts += [f'{o.category} is silent' for o in frame.silent]
    parts += [f'{o.category or "something"} sounds out of view' for o in frame.out_of_view]
    return ', '.join(parts) or 'nothing is annotated'


def choose_moment(sample: Sample, ave: bool = False) -> tuple[np.ndarray, FrameTruth]:
    """
    Find the annotated frame nearest to the window's middle, and the picture nearest to that.

    :param ave: prefer frames in which something in view sounds, if there are any.
    """
    window, truth = sample.window, sample.truth
    frames = [f for f in truth.frames if f.is_ave] if ave else []
    frame = min(frames or truth.frames, key=lambda f: abs(f.time - truth.start - 0.5))
    stamp = window.start_ns + (frame.time - truth.start) * NANOSECONDS
    chosen = int(np.abs(np.array(window.frame_stamps_ns) - stamp).argmin())
    return window.frames[chosen], frame


def _resized(image: np.ndarray, width: int) -> np.ndarray:
    height = round(width * image.shape[0] / image.shape[1])
    larger = width > image.shape[1]
    return cv2.resize(
        image, (width, height), interpolation=cv2.INTER_CUBIC if larger else cv2.INTER_AREA
    )


def _annotated(image: np.ndarray, frame: FrameTruth, size: tuple[float, float]) -> np.ndarray:
    """Boxes as in figures 4 to 6: green sounds, magenta is silent, a red frame is out of view."""
    height, width = image.shape[:2]
    across, down = width / size[0], height / size[1]
    picture, line = image.copy(), max(2, width // 70)
    for item in sorted(frame.objects, key=lambda item: item.sounding):
        color = TRUTH_SOUNDING if item.sounding else TRUTH_SILENT
        x0, y0, x1, y1 = item.box or (0, 0, *size)
        if item.out_of_view:
            color = TRUTH_OUT_OF_VIEW
        corners = np.array([x0 * across, y0 * down, x1 * across - 1, y1 * down - 1])
        inset = line // 2  # the line lies inside the box, and the picture
        corners = np.clip(
            np.round(corners + [inset, inset, -inset, -inset]).astype(int),
            0,
            [width - 1, height - 1] * 2,
        )
        cv2.rectangle(picture, corners[:2].tolist(), corners[2:].tolist(), color, line)
    return picture


def strip(
    sample: Sample,
    runs: Sequence[ModelRun],
    index: int,
    scores: Sequence[WindowScores],
    example: str = '',
) -> Strip:
    """
    Draw one window.

    :param runs: models to show.
    :param scores: of each of them in this window.
    :param example: what it is an example of.
    """
    image, frame = choose_moment(sample, ave=True)
    image = _resized(image, _WIDTH)
    seen = describe_frame(frame)
    tiles = [
        _tile(_annotated(image, frame, sample.truth.size), f'{sample.truth.name}: {seen}', seen)
    ]
    for run, score in zip(runs, scores):
        found = run.found[index]
        verdict = _verdict(found, score)
        picture = draw_heatmap(image, stretch(found.heatmap_at(*image.shape[:2])))
        tiles.append(_tile(picture, f'Map of {run.label}: {verdict}', verdict, run.label))
    return Strip(sample.truth.name, tiles, _sound([sample]), example)


def _verdict(found: Localization, score: WindowScores) -> str:
    parts = []
    if score.has_ave:
        parts.append(f'HmBoxAUC {score.hmbox_auc:.2f}')
        parts.append(f'peak in box {score.pibr:.0%}')
    if found.avc is not None:
        quiet = ' (nothing in view sounds)' if found.avc < SURE else ''
        parts.append(f'AVC {found.avc:.2f}{quiet}')
    if len(found.class_scores):
        parts.append(f'class {found.class_names[found.class_scores.argmax()]}')
    return ', '.join(parts)


def sequence(
    samples: Sequence[Sample], runs: Sequence[ModelRun], indices: Sequence[int]
) -> SecondBySecond:
    """
    Draw successive seconds of a recording, as in figure 6: truth, maps, sound.

    With AVC the heat is the probability itself, so that suppressed maps stay dark.
    """
    truths, maps = [], {run.label: [] for run in runs}
    for sample, index in zip(samples, indices):
        image, frame = choose_moment(sample)
        image = _resized(image, _SMALL)
        second, words = f'{sample.truth.start:g} s', describe_frame(frame)
        annotated = _annotated(image, frame, sample.truth.size)
        truths.append(_tile(annotated, f'At {second}: {words}', second))
        for run in runs:
            found = run.found[index]
            heat = visible_heat(found.heatmap_at(*image.shape[:2]), found.avc)
            level = 'no AVC' if found.avc is None else f'AVC {found.avc:.2f}'
            alt = f'Map of {run.label} at {second}: {level}'
            maps[run.label].append(_tile(draw_heatmap(image, heat), alt, level))
    name = samples[0].truth.name.partition(',')[0]
    return SecondBySecond(name, [('truth', truths), *maps.items()], _sound(samples))


def _sound(samples: Sequence[Sample]) -> Waveform:
    """Draw the sound of successive windows, and when what sounds."""
    truths = [sample.truth for sample in samples]
    seconds = truths[-1].start + 1 - truths[0].start
    spans = sounding_spans(truths)
    words = '; '.join(
        f'{"in view" if style == "sounding" else "out of view"} from {a:.1f} to {b:.1f} s'
        for style, a, b in spans
    )
    return waveform(
        f'Sound of {seconds:g} s: {words or "nothing annotated sounds"}',
        np.concatenate([sample.window.audio for sample in samples]),
        seconds,
        spans,
    )


def sounding_spans(truths: Sequence[Truth]) -> list[tuple[str, float, float]]:
    """
    When something sounds in successive windows.

    A frame stands for the time around it, half a period to each side.

    :returns: ``sounding`` (in view) or ``unseen``, start and end in seconds from the start of the
        first window.
    """
    start, end = truths[0].start, truths[-1].start + 1
    frames = [frame for truth in truths for frame in truth.frames]
    period = min([b.time - a.time for a, b in zip(frames, frames[1:])], default=1.0)
    spans = []
    for style, times in (
        ('sounding', [frame.time for frame in frames if frame.sounding]),
        ('unseen', [frame.time for frame in frames if frame.out_of_view]),
    ):
        for first, last in _joined(times, period):
            spans.append((style, max(0, first - start), min(end, last) - start))
    return spans


def _joined(times: Sequence[float], period: float) -> list[tuple[float, float]]:
    """Spans of ``period`` around moments; those that touch become one."""
    spans = []
    for time in times:
        first, last = time - period / 2, time + period / 2
        if spans and first - spans[-1][1] < period / 2:
            spans[-1] = (spans[-1][0], last)
        else:
            spans.append((first, last))
    return spans
