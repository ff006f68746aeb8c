"""Settings of a training run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from avsol_ros.errors import AvsolError


@dataclass(frozen=True)
class TrainSettings:
    """
    What is trained on what, and how. The paper tells neither optimizer nor schedule: those are
    AdamW and one cycle, whose numbers are ours.

    :param model: a name that `avsol models` lists, or a YAML file like those in config/models
    :param data: synthetic scenes, `hard` or `clean`, scenes of real things, `real`, or a folder
        that `avsol prepare` has written
    :param material: folder of pictures and recordings for `--data real`; by default
        $AVSOL_MATERIAL
    :param encoders: checkpoint, by name or path, whose encoders are taken; `pretrain` trains
        compact ones first; `random` leaves them untrained. Published encoders that the
        checkpoint lacks come from `avsol weights`
    :param encoder_seed: seed of `pretrain`
    :param epochs: passes over all windows in which something in view sounds
    :param batch: pictures of a step, over all processes; each is related to two sounds
    :param rate: highest learning rate of the one-cycle schedule
    :param decay: weight decay of AdamW
    :param same_clip: share of the wrong sounds that are of another time of the same clip; the
        others are of any clip or time
    :param augment: flip and crop pictures (section 5.1), which must then be encoded in every
        epoch; by default of AVE and not of synthetic scenes
    :param windows: synthetic windows to train on
    :param validation: synthetic windows to choose the best epoch by
    :param scene_seed: seed of the synthetic scenes
    :param precision: of training; `auto` is mixed where the hardware has 16-bit floats.
        Validation is always in single precision
    :param device: `auto`, `cpu` or `cuda`
    :param workers: processes that read pictures, where these are augmented
    :param cache: folder for features; by default $AVSOL_CACHE, else in the user's cache
    :param drawn: validation windows of which maps are drawn after every epoch
    """

    model: str
    data: str = 'hard'
    material: Path | None = None
    encoders: str = 'compact'
    encoder_seed: int = 0
    epochs: int = 12
    batch: int = 64
    rate: float = 0.002
    decay: float = 0.02
    same_clip: float = 0.0
    augment: bool | None = None
    windows: int = 8000
    validation: int = 1000
    scene_seed: int = 0
    precision: Literal['auto', '32-true', 'bf16-mixed', '16-mixed'] = 'auto'
    device: str = 'auto'
    workers: int = 2
    cache: Path | None = None
    drawn: int = 6

    def __post_init__(self):
        for name, least in (
            ('encoder_seed', 0),
            ('epochs', 1),
            ('batch', 1),
            ('windows', 2),
            ('validation', 2),
            ('scene_seed', 0),
            ('workers', 0),
            ('drawn', 0),
        ):
            if getattr(self, name) < least:
                raise AvsolError(f'--{name} is {getattr(self, name)}; expected at least {least}')
        if not 0 <= self.same_clip <= 1:
            raise AvsolError(f'--same_clip is {self.same_clip}; expected 0 to 1')
        for name in ('rate', 'decay'):
            value = getattr(self, name)
            if not 0 <= value < 10 or (name == 'rate' and not value):
                least = 'more than 0' if name == 'rate' else 'at least 0'
                raise AvsolError(f'--{name} is {value}; expected {least} and less than 10')
