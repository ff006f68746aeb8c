"""Scoring of a model, or of a map that needs none, on a rendered window set."""

from dataclasses import asdict

import numpy as np

from avsol_ros.checkpoint import load_checkpoint
from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.localizer import Localization, Localizer, upsample
from avsol_ros.models.network import LocalizationModel
from avsol_ros.training.metrics import Scores, box_mask, score_frames
from avsol_ros.training.metrics.baselines import centre_prior
from avsol_ros.training.objects import CATEGORIES
from avsol_ros.training.windowset import WindowSet, render_windows
from avsol_ros.windows import AudioVisualWindow


def predict(model: LocalizationModel, windows: WindowSet) -> list[Localization]:
    """Run a model over a window set, by the same code as live."""
    localizer = Localizer(model)
    step = NANOSECONDS // localizer.frames
    return [localizer(AudioVisualWindow(
                0, NANOSECONDS, tuple(frames), tuple(range(step // 2, NANOSECONDS, step)),
                audio / np.float32(32768), 0))
            for frames, audio in zip(windows.frames, windows.audio)]


def score_windows(heatmaps: np.ndarray, windows: WindowSet) -> Scores:
    """
    Score one heatmap per window against the truth of all its frames, at the size of the frames.

    :param heatmaps: (n, h, w) float, 0 to 1; smaller ones are stretched.
    """
    size = windows.frames.shape[2]

    def frames():
        for heatmap, truth in zip(heatmaps, windows.truth):
            full = upsample(heatmap, size, size)
            for objects in truth:
                boxes = [o.box for o in objects if o.sounding and not o.out_of_view]
                yield full, box_mask(boxes, size, size) if boxes else None

    return score_frames(frames())


def evaluate_models(names, split: str = 'test', windows: int = 500, seed: int = 0) -> list[dict]:
    """
    Score models, a centre prior and noise on the same windows.

    :param names: shipped names or checkpoint paths.
    :returns: one row per model, then ``centre prior`` and ``noise``.
    """
    models = [(str(name), load_checkpoint(name)) for name in names]
    for name, model in models:
        if model.config.classes != CATEGORIES:
            raise AvsolError(f'{name} knows the classes {", ".join(model.config.classes)}; '
                             f'synthetic scenes have {", ".join(CATEGORIES)}')
    rows, rendered = [], {}
    for name, model in models:
        shape = (model.visual_encoder.image_size, model.visual_encoder.frames)
        if shape not in rendered:
            rendered[shape] = render_windows(split, windows, seed, size=shape[0],
                                             frames=shape[1], apart=True)
        data = rendered[shape]
        found = predict(model, data)
        heatmaps = np.stack([one.heatmap_at(shape[0], shape[0]) for one in found])
        classes = np.stack([one.class_scores for one in found])
        ave = data.labels.any(1)
        right = np.take_along_axis(data.labels, classes.argmax(1)[:, None], 1)[ave, 0]
        rows.append({'model': name, **asdict(score_windows(heatmaps, data)),
                     'class_accuracy': float(right.mean()) if ave.any() else None})
    data = next(iter(rendered.values()))
    size = data.frames.shape[2]
    noise = np.random.default_rng(seed).random((len(data), 14, 14), np.float32)
    for name, heatmaps in (('centre prior', np.stack([centre_prior(size)] * len(data))),
                           ('noise', noise)):
        rows.append({'model': name, **asdict(score_windows(heatmaps, data)),
                     'class_accuracy': None})
    return rows
