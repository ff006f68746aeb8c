"""Pictures of the report as HTML: windows with their truth and what each model makes of them."""

import base64
from collections.abc import Sequence
from html import escape

import cv2
import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.drawing.heat import draw_heatmap
from avsol_ros.drawing.palette import TRUTH_OUT_OF_VIEW, TRUTH_SILENT, TRUTH_SOUNDING
from avsol_ros.inference.localizer import Localization
from avsol_ros.localization import visible_heat
from avsol_ros.training.annotations.model import FrameTruth
from avsol_ros.training.evaluation.report_charts import waveform
from avsol_ros.training.evaluation.samples import Sample, Truth
from avsol_ros.training.evaluation.scoring import SURE, ModelRun

_WIDTH = 192  # of a picture in a strip, pixels
_SMALL = 128  # of a picture in a sequence
_QUALITY = 78
_ROUNDING = 1e-5  # of float32 after it was stretched, relative


def data_uri(image: np.ndarray) -> str:
    """
    A picture as part of the page.

    :param image: (H, W, 3) uint8 RGB.
    """
    done, data = cv2.imencode('.jpg', image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise ValueError(f'a picture of shape {image.shape} cannot be written as JPEG')
    return f'data:image/jpeg;base64,{base64.b64encode(data).decode()}'


def stretch(heat: np.ndarray) -> np.ndarray:
    """
    Min-max normalized over the frame, as in figures 4 and 5 of the paper.

    Zeros where it is constant but for rounding, which would look like a pattern.
    """
    low, high = float(heat.min()), float(heat.max())
    span = high - low
    return (heat - low) / span if span > _ROUNDING * abs(high) else np.zeros_like(heat)


def describe_frame(frame: FrameTruth) -> str:
    """What sounds in a frame, in words."""
    parts = [f'{o.category} sounds' for o in frame.sounding]
    parts += [f'{o.category} is silent' for o in frame.silent]
    parts += [f'{o.category or "something"} sounds out of view' for o in frame.out_of_view]
    return ', '.join(parts) or 'nothing is annotated'


def _figure(image: np.ndarray, alt: str, caption: str) -> str:
    return (
        f'<figure><img src="{data_uri(image)}" alt="{escape(alt)}" '
        f'width="{image.shape[1]}" height="{image.shape[0]}">'
        f'<figcaption>{caption}</figcaption></figure>'
    )


def moment(sample: Sample, ave: bool = False) -> tuple[np.ndarray, FrameTruth]:
    """
    The annotated frame nearest to the window's middle, and the picture nearest to that.

    :param ave: where something in view sounds in some of the frames, one of those.
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
    sample: Sample, runs: Sequence[ModelRun], index: int, scores: Sequence[dict], words: str = ''
) -> str:
    """
    One window: its truth, the map of each model, its sound.

    :param runs: models to show.
    :param scores: of each of them what ``windows_of`` says of this window.
    :param words: what it is an example of.
    """
    image, frame = moment(sample, ave=True)
    image = _resized(image, _WIDTH)
    seen = describe_frame(frame)
    tiles = [
        _figure(
            _annotated(image, frame, sample.truth.size),
            f'{sample.truth.name}: {seen}',
            escape(seen),
        )
    ]
    heading = (
        f'{words} <span>{escape(sample.truth.name)}</span>' if words else escape(sample.truth.name)
    )
    for run, score in zip(runs, scores):
        found = run.found[index]
        heat = stretch(found.heatmap_at(*image.shape[:2]))
        verdict = _verdict(found, score)
        tiles.append(
            _figure(
                draw_heatmap(image, heat),
                f'Map of {run.label}: {verdict}',
                f'<b>{escape(run.label)}</b><br>{escape(verdict)}',
            )
        )
    return (
        f'<article class="strip"><h4>{heading}</h4>'
        f'<div class="tiles">{"".join(tiles)}</div>'
        f'{sound(sample.window.audio, [sample.truth])}</article>'
    )


def _verdict(found: Localization, score: dict) -> str:
    parts = []
    if score['hmbox_auc'] == score['hmbox_auc']:
        parts.append(f'HmBoxAUC {score["hmbox_auc"]:.2f}')
        parts.append(f'peak in box {score["pibr"]:.0%}')
    if found.avc is not None:
        quiet = ' (nothing in view sounds)' if found.avc < SURE else ''
        parts.append(f'AVC {found.avc:.2f}{quiet}')
    if len(found.class_scores):
        parts.append(f'class {found.class_names[found.class_scores.argmax()]}')
    return ', '.join(parts)


def sound(audio: np.ndarray, truths: Sequence[Truth]) -> str:
    """
    Waveform of successive windows, and when what sounds.

    :param audio: (n,) float32, of all of them.
    """
    start = truths[0].start
    seconds = truths[-1].start + 1 - start
    frames = [frame for truth in truths for frame in truth.frames]
    step = min([b.time - a.time for a, b in zip(frames, frames[1:])], default=1.0)
    spans = []
    for style, heard in (('sounding', lambda f: f.sounding), ('unseen', lambda f: f.out_of_view)):
        for frame in frames:
            if not heard(frame):
                continue
            first, last = frame.time - start - step / 2, frame.time - start + step / 2
            if spans and spans[-1][0] == style and first - spans[-1][2] < step / 2:
                spans[-1] = (style, spans[-1][1], last)
            else:
                spans.append((style, first, last))
    spans = [(style, max(0, a), min(seconds, b)) for style, a, b in spans]
    words = (
        '; '.join(
            f'{"in view" if style == "sounding" else "out of view"} from {a:.1f} to {b:.1f} s'
            for style, a, b in spans
        )
        or 'nothing annotated sounds'
    )
    return waveform(f'Sound of {seconds:g} s: {words}', audio, seconds, spans)


def sequence(samples: Sequence[Sample], runs: Sequence[ModelRun], indices: Sequence[int]) -> str:
    """
    Successive seconds of a recording, as in figure 6: truth above, maps below, then the sound.

    With AVC the heat is the probability itself, so that suppressed maps stay dark.
    """
    rows = [('truth', [])] + [(run.label, []) for run in runs]
    for sample, index in zip(samples, indices):
        image, frame = moment(sample)
        image = _resized(image, _SMALL)
        second = f'{sample.truth.start:g} s'
        words = describe_frame(frame)
        rows[0][1].append(
            _figure(_annotated(image, frame, sample.truth.size), f'At {second}: {words}', second)
        )
        for (_, cells), run in zip(rows[1:], runs):
            found = run.found[index]
            heat = visible_heat(found.heatmap_at(*image.shape[:2]), found.avc)
            level = 'no AVC' if found.avc is None else f'AVC {found.avc:.2f}'
            cells.append(
                _figure(
                    draw_heatmap(image, heat), f'Map of {run.label} at {second}: {level}', level
                )
            )
    name = samples[0].truth.name.partition(',')[0]
    body = ''.join(
        f'<tr><th scope="row">{escape(title)}</th><td>{"</td><td>".join(cells)}</td></tr>'
        for title, cells in rows
    )
    audio = sound(
        np.concatenate([sample.window.audio for sample in samples]),
        [sample.truth for sample in samples],
    )
    body += f'<tr><th scope="row">sound</th><td colspan="{len(samples)}">{audio}</td></tr>'
    return (
        f'<article class="strip"><h4>{escape(name)}</h4>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(name)}">'
        f'<table class="sequence">{body}</table></div></article>'
    )
