"""Scoring of a model, or of a map that needs none, on a rendered window set."""

import numpy as np
import torch

from avsol_ros.localizer import upsample
from avsol_ros.models.builder import SoundingObjectModel
from avsol_ros.training.metrics import Scores, box_mask, score_frames
from avsol_ros.training.windowset import WindowSet


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
