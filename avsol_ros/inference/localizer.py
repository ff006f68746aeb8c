"""From one window to where its sound comes from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from avsol_ros.config import DEFAULT_MODEL
from avsol_ros.errors import AvsolError
from avsol_ros.inference.engine import Engine
from avsol_ros.inference.frame_reuse import FrameReuse, Past
from avsol_ros.inference.square_frames import square_frames
from avsol_ros.localization import Localization
from avsol_ros.models.checkpoint import load_checkpoint
from avsol_ros.models.heads import ModelOutput
from avsol_ros.models.network import LocalizationModel
from avsol_ros.streams.windows import AudioVisualWindow


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

    Windows that overlap share frames, which are resized and, where the visual encoder takes every
    frame by itself, encoded once. That changes no result: windows may come in any order. Only
    models with context also look at the windows that came before and end where this one's
    seconds begin.

    :param model: built and loaded; it is moved to ``device`` and set to eval mode.
    :param engine: what computes it, see ``engine.ENGINES``.
    """

    def __init__(self, model: LocalizationModel, device: str = 'auto', engine: str = 'auto'):
        self.device = choose_device(device)
        self.model = model.to(self.device).eval()
        self.engine = Engine(self.model, self.device, engine)
        self.frames = model.visual_encoder.frames
        self.class_names = model.config.classes
        self.reset()

    @classmethod
    def load(
        cls, checkpoint: str | Path = DEFAULT_MODEL, device: str = 'auto', engine: str = 'auto'
    ) -> 'Localizer':
        """Load a shipped model by name or any checkpoint by path."""
        return cls(load_checkpoint(checkpoint), device, engine)

    def __str__(self) -> str:
        """Where and how it runs, as ``auto`` chose."""
        return f'{self.device} with the engine {self.engine.name}'

    def reset(self) -> None:
        """Forget the windows so far: those that follow are of another stream."""
        self._frames = FrameReuse(self._prepare)
        self._past = Past(self.model.context) if self.model.context > 1 else None

    def square(self, frames: Sequence[np.ndarray]) -> torch.Tensor:
        """Frames as the visual encoder takes them: (N, 3, S, S) float32, 0 to 1."""
        return square_frames(frames, self.model.visual_encoder.image_size)

    def _prepare(self, frames: Sequence[np.ndarray]) -> torch.Tensor:
        """Of each frame all that depends on it alone: its features, or its square."""
        squares = self.square(frames)
        if self.model.visual_encoder.per_frame:
            return self.engine.encode_frames(squares)
        return squares

    def _run(self, window: AudioVisualWindow) -> ModelOutput:
        visual = torch.stack(self._frames(window.frames))
        if self.model.visual_encoder.per_frame:
            visual = visual.transpose(0, 1)[None]
        else:
            visual = self.engine.encode_window(visual)
        audio = self.engine.encode_sound(
            torch.from_numpy(np.ascontiguousarray(window.audio, np.float32))
        )
        if self._past is None:
            return self.engine.fuse(visual, audio)
        output = self.engine.fuse(visual, audio, self._past.before(window.start_ns))
        assert output.moment is not None  # models with context give it
        self._past.add(window.start_ns, output.moment)
        return output

    @torch.inference_mode()
    def __call__(self, window: AudioVisualWindow) -> Localization:
        if len(window.frames) != self.frames:
            raise AvsolError(
                f'the window has {len(window.frames)} frames; this model takes '
                f'{self.frames}: cut windows with frames={self.frames}'
            )
        output = self._run(window)
        heatmap = self.model.heatmap(output)[0].float().cpu().numpy()
        class_scores = np.zeros(0, np.float32)
        class_map = np.zeros((0, *heatmap.shape), np.float32)
        scores = self.model.class_scores(output)
        if scores is not None and output.class_map is not None:
            class_scores = scores[0].float().cpu().numpy()
            class_map = output.class_map[0].float().cpu().numpy()
        return Localization(
            start_ns=window.start_ns,
            end_ns=window.end_ns,
            stamp_ns=window.frame_stamps_ns[-1],
            heatmap=heatmap,
            avc=None if output.avc_logit is None else float(output.avc_logit[0].sigmoid()),
            class_names=self.class_names if len(class_scores) else (),
            class_scores=class_scores,
            class_map=class_map,
            image_size=window.frames[-1].shape[:2],
            first_centre=self.model.visual_encoder.first_centre,
        )
