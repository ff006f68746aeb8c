"""Where a classifier of pictures sees something that it knows."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from avsol_ros.inference.square_frames import square_frames
from avsol_ros.models.efficientnet_lite import EfficientNetLite0
from avsol_ros.models.published_weights import find_weights, load_published

#: Published weights that it needs: ``avsol weights get`` brings them.
WEIGHTS = 'efficientnet-lite0'
SIDE = 448  # pixels of the square that the classifier is given: twice what it was trained on


class ConfidenceMap:
    """
    The largest ImageNet class logit of each cell of a picture.

    EfficientNet-Lite0 as it was published, with a stride of 32, on a picture of twice its size.

    :param weights: a file; by default the published one in the folder of weights.
    :raises AvsolError: for weights that are not there, or are not what they should be.
    """

    def __init__(self, weights: str | Path | None = None):
        self._net = EfficientNetLite0().eval()
        load_published(self._net, find_weights(WEIGHTS, weights))
        _stride_as_published(self._net)
        self._net.fold()

    @torch.inference_mode()
    def __call__(self, image: np.ndarray) -> np.ndarray:
        """
        Logits of one picture.

        :param image: (H, W, 3) uint8, RGB.
        :returns: (14, 14) float32 over the whole picture; any range.
        """
        logits = self._net.logits(self._net(square_frames([image], SIDE)[None]))
        return logits[0, :, 0].amax(0).float().numpy()


@lru_cache(maxsize=1)
def published_confidence(path: Path, changed_ns: int) -> ConfidenceMap:
    """
    The map of a file of weights, read once.

    :param changed_ns: when the file was written: another one is read anew.
    """
    return ConfidenceMap(path)


def _stride_as_published(net: nn.Module) -> None:
    """
    Give the last stages the stride of 2 that the encoder leaves out for more cells.

    Of those more cells, three of four are not looked at here, and they cost most of the time.
    """
    wide = [m for m in net.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
    first = next(index for index, conv in enumerate(wide) if conv.dilation != (1, 1))
    wide[first - 1].stride = (2, 2)
    for conv in wide[first:]:
        conv.dilation = (1, 1)
