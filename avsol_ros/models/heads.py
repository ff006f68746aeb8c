"""
Dual normalization (section 4.5): one similarity map, two tasks.

Local: a sigmoid on each cell makes the localization map, whose maximum is the AVC probability
(eq. 7). Global: a softmax over all cells makes the attention by which visual features are summed
and classified (eq. 8).
"""

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, eq=False)
class ModelOutput:
    """
    :param similarity: (B, h, w) similarity scores s, any real number.
    :param localization: (B, h, w) localization map M_loc, 0 to 1 (eq. 7).
    :param avc_logit: (B,) the largest score; its sigmoid is the AVC probability z_avc.
    :param attention: (B, h, w) attention w_att, sums to 1 (eq. 8).
    :param class_map: (B, C, h, w) class logits of each cell.
    :param class_logits: (B, C) class logits of the attended features.
    """

    similarity: torch.Tensor
    localization: torch.Tensor
    avc_logit: torch.Tensor
    attention: torch.Tensor
    class_map: torch.Tensor
    class_logits: torch.Tensor


class DualNormalizationHead(nn.Module):
    """
    AVC and classification from one similarity map.

    The branch that makes v_cls mixes no neighbours (1x1): what the attention selects is what gets
    classified. Since the last layer is linear, classifying the attended sum equals attending to
    the classified cells, and the cells' logits tell the class of each box.
    """

    def __init__(self, dim: int, classes: int):
        super().__init__()
        self.branch = nn.Sequential(nn.Conv2d(dim, dim, 1), nn.ReLU(inplace=True))
        self.classifier = nn.Conv2d(dim, classes, 1)

    def forward(self, similarity: torch.Tensor, visual: torch.Tensor) -> ModelOutput:
        """
        :param similarity: (B, h, w).
        :param visual: (B, dim, h, w).
        """
        class_map = self.classifier(self.branch(visual))
        attention = similarity.flatten(1).softmax(1).view_as(similarity)
        logits = (class_map * attention.unsqueeze(1)).sum((2, 3))
        return ModelOutput(similarity, similarity.sigmoid(), similarity.flatten(1).amax(1),
                           attention, class_map, logits)
