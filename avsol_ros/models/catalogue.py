"""What each named model is made of: sizes and work, measured on the model itself."""

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from avsol_ros.models.builder import build_model
from avsol_ros.models.encoders import Encoder
from avsol_ros.models.heads import ModelOutput
from avsol_ros.models.model_config import ModelConfig
from avsol_ros.models.network import LocalizationModel


@dataclass(frozen=True)
class Entry:
    """
    One model.

    :param visual: visual encoder.
    :param audio: audio encoder; empty in a model that does not hear.
    :param frames: frames of a window.
    :param steps: T, time steps that the fusion compares; 1 where time is averaged away.
    :param heatmap: side of the square map, cells.
    :param trained: parameters that training changes.
    :param frozen: parameters of the encoders.
    :param flops: of one window: convolutions and matrix products, two for each multiply-add.
    :param weights: published encoder weights that it takes, by name.
    """

    name: str
    visual: str
    audio: str
    frames: int
    steps: int
    heatmap: int
    trained: int
    frozen: int
    flops: int
    weights: tuple[str, ...]


def describe(name: str, config: ModelConfig) -> Entry:
    """Build a model without memory for its weights and count."""
    model = build_without_values(config)
    encoders: list[Encoder] = [
        e for e in (model.visual_encoder, model.audio_encoder) if e is not None
    ]
    frozen = sum(p.numel() for encoder in encoders for p in encoder.parameters())
    return Entry(
        name,
        config.visual,
        config.audio if model.audio_encoder is not None else '',
        model.visual_encoder.frames,
        getattr(getattr(model, 'fusion', None), 'steps', 1),
        model.visual_encoder.grid,
        sum(p.numel() for p in model.parameters()) - frozen,
        frozen,
        count_flops(config),
        tuple(p.published for e in encoders for p in e.published_parts() if p.published),
    )


def count_flops(config: ModelConfig) -> int:
    """
    FLOPs of one window through a model.

    Convolutions and matrix products count, two operations for each multiply-add. The spectrum,
    pooling and activations are left out.
    """
    model = build_without_values(config)
    with FlopCounterMode(display=False) as counter:
        run_without_values(model)
    return counter.get_total_flops()


def build_without_values(config: ModelConfig) -> LocalizationModel:
    """Build a model on the device ``meta``, where weights take no memory."""
    with torch.device('meta'):
        return build_model(config).to('meta').eval()


@torch.inference_mode()
def run_without_values(model: LocalizationModel) -> ModelOutput:
    """Pass one window, of shapes alone, through a model on the device ``meta``."""
    seen, heard = model.visual_encoder, model.audio_encoder
    frames = torch.empty(1, seen.frames, 3, seen.image_size, seen.image_size, device='meta')
    sound = None if heard is None else heard.encode(torch.empty(1, *heard.taken, device='meta'))
    return model.fuse(seen(frames), sound)
