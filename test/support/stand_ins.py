"""Files that stand in for published weights, and checkpoints of models that nobody trained."""

import json
import math
from pathlib import Path

import torch

from avsol_ros.models.aisfx import AiSfx
from avsol_ros.models.builder import build_model
from avsol_ros.models.checkpoint import save_checkpoint
from avsol_ros.models.efficientnet_lite import EfficientNetLite0
from avsol_ros.models.i3d import I3D
from avsol_ros.models.model_config import ModelConfig
from avsol_ros.models.soundnet import SoundNet
from avsol_ros.models.vgg19 import VGG19
from avsol_ros.models.vggish import VGGish
from avsol_ros.training.synthetic.objects import CATEGORIES

ENCODERS = {
    'vgg19': VGG19,
    'i3d': I3D,
    'vggish': VGGish,
    'efficientnet-lite0': EfficientNetLite0,
    'aisfx': AiSfx,
    'soundnet': SoundNet,
}


def stand_in(name: str, folder: Path) -> Path:
    """
    Write a file with the published keys and shapes, each tensor of the size of one value.

    Layers average what they see, so that signals stay as strong as they came.
    """

    def value(key, shape):
        if len(shape) > 1:
            return 1 / math.prod(shape[1:])
        norms = (
            'bn.weight',
            'bn0.weight',
            'bn1.weight',
            'bn2.weight',
            'norm.weight',
            'running_var',
        )
        return float(key.endswith(norms))

    tensors = {
        key: torch.full((1,), value(key, shape)).expand(shape)
        for key, shape in ENCODERS[name].published_shapes().items()
    }
    path = folder / f'{name}.pth'
    torch.save(tensors, path, _use_new_zipfile_serialization=False)
    return path


def write_model(
    path: Path, seed: int = 0, notes: dict | None = None, classes=CATEGORIES, **settings
):
    """
    Write a checkpoint of a small model that knows nothing.

    :param notes: how it is to say that it was trained.
    :param settings: of ``ModelConfig``, in place of those that make it small.
    :returns: the path as text, and the model.
    """
    torch.manual_seed(seed)
    settings = {'dim': 16, 'fusion': 'static', **settings}
    model = build_model(ModelConfig(classes, **settings)).eval()
    extra = {} if notes is None else {'training': json.dumps(notes)}
    return str(save_checkpoint(path, model, **extra)), model
