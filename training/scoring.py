"""Scoring of a model, or of a map that needs none, on a rendered window set."""

from dataclasses import asdict

import numpy as np
import torch

from avsol_ros.checkpoint import load_checkpoint
from avsol_ros.errors import AvsolError
from avsol_ros.localizer import upsample
from avsol_ros.models.builder import SoundingObjectModel
from avsol_ros.training.metrics import Scores, box_mask, score_frames
from avsol_ros.training.objects import CATEGORIES
from avsol_ros.training.windowset import WindowSet, render_windows


@torch.inference_mode()
def predict(model: SoundingObjectModel, windows: WindowSet, batch: int = 16):
    """
    Run a model over a window set.

    :returns: heatmaps (n, h, w) float32, AVC probabilities (n,), class scores (n, C).
    """
    model.eval()
    heat, avc, classes = [], [], []
    for start in range(0, len(windows), batch):
        frames = torch.from_numpy(windows.frames[start:start + batch])
        samples = torch.from_numpy(windows.audio[start:start + batch]).float().div(32768)
        output = model(frames.permute(0, 1, 4, 2, 3).float().div(255), samples)
        heat.append(model.heatmap(output))
        avc.append(output.avc_logit.sigmoid())
        classes.append(output.class_logits.sigmoid())
    return tuple(torch.cat(part).numpy() for part in (heat, avc, classes))


def centre_prior(size: int) -> np.ndarray:
    """A map that looks at nothing: brightest in the middle; (size, size) float32, 0 to 1."""
    axis = (np.arange(size) + 0.5) / size - 0.5
    distance = np.hypot(axis[:, None], axis)
    return (1 - distance / distance.max()).astype(np.float32)


def score_windows(heatmaps: np.ndarray, windows: WindowSet) -> Scores:
    """
    Score one heatmap per window against the truth of all its frames, at image size.

    :param heatmaps: (n, h, w) float, 0 to 1.
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
                                             frames=shape[1])
        data = rendered[shape]
        heatmaps, _, classes = predict(model, data)
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
