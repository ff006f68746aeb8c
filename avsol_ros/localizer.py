"""From one window to where its sound comes from."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from avsol_ros.checkpoint import load_checkpoint
from avsol_ros.errors import AvsolError
from avsol_ros.models.builder import SoundingObjectModel
from avsol_ros.video import square_frames
from avsol_ros.windows import AudioVisualWindow


@dataclass(frozen=True, eq=False)
class Localization:
    """
    What the model says of one window.

    :param start_ns: first nanosecond of the window.
    :param end_ns: first nanosecond after it.
    :param stamp_ns: stamp of the window's last frame, to which all results are attached.
    :param heatmap: (h, w) float32, 0 to 1: the localization map (eq. 7) as the model makes it.
    :param avc: AVC probability, 0 to 1: something in view makes the sound (eq. 7).
    :param class_names: C categories.
    :param class_scores: (C,) float32, 0 to 1, of what the attention selects (eq. 8).
    :param class_map: (C, h, w) float32 class logits of each cell.
    :param image_size: height and width of the camera's frames, pixels.
    """

    start_ns: int
    end_ns: int
    stamp_ns: int
    heatmap: np.ndarray
    avc: float
    class_names: tuple[str, ...]
    class_scores: np.ndarray
    class_map: np.ndarray
    image_size: tuple[int, int]

    def heatmap_at(self, height: int, width: int) -> np.ndarray:
        """The localization map stretched to a size: (height, width) float32, 0 to 1."""
        return upsample(self.heatmap, height, width)


def upsample(heatmap: np.ndarray, height: int, width: int) -> np.ndarray:
    """
    Stretch a map bilinearly, as live heatmaps and metrics both take it.

    :param heatmap: (h, w) float32.
    :returns: (height, width) float32 within the range of the map.
    """
    return cv2.resize(np.asarray(heatmap, np.float32), (width, height),
                      interpolation=cv2.INTER_LINEAR)


def choose_device(name: str) -> torch.device:
    """``auto``: the GPU where there is one, else the CPU; otherwise what PyTorch calls it."""
    if name == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise AvsolError(f'device is {name!r}; expected auto, cpu or cuda') from error
    if device.type == 'cuda' and not torch.cuda.is_available():
        raise AvsolError(f'device is {name!r} but PyTorch sees no GPU; use cpu or auto')
    return device


class Localizer:
    """
    A model ready to take windows. One thread at a time.

    :param model: built and loaded; it is moved to ``device`` and set to eval mode.
    """

    def __init__(self, model: SoundingObjectModel, device: str = 'auto'):
        self.device = choose_device(device)
        self.model = model.to(self.device).eval()
        self.frames = model.visual_encoder.frames
        self.class_names = model.config.classes

    @classmethod
    def load(cls, checkpoint: str | Path = 'compact', device: str = 'auto') -> 'Localizer':
        """Load a shipped model by name or any checkpoint by path."""
        return cls(load_checkpoint(checkpoint), device)

    @torch.inference_mode()
    def __call__(self, window: AudioVisualWindow) -> Localization:
        if len(window.frames) != self.frames:
            raise AvsolError(f'the window has {len(window.frames)} frames; this model takes '
                             f'{self.frames}: cut windows with frames={self.frames}')
        frames = square_frames(window.frames, self.model.visual_encoder.image_size)
        samples = torch.from_numpy(np.ascontiguousarray(window.audio, np.float32))
        output = self.model(frames[None].to(self.device), samples[None].to(self.device))
        return Localization(
            start_ns=window.start_ns, end_ns=window.end_ns,
            stamp_ns=window.frame_stamps_ns[-1],
            heatmap=self.model.heatmap(output)[0].float().cpu().numpy(),
            avc=float(output.avc_logit[0].sigmoid()),
            class_names=self.class_names,
            class_scores=output.class_logits[0].sigmoid().float().cpu().numpy(),
            class_map=output.class_map[0].float().cpu().numpy(),
            image_size=window.frames[-1].shape[:2])
