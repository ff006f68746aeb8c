"""
Dual normalization (section 4.5): one similarity map, two tasks.

Local: a sigmoid on each cell makes the localization map, whose maximum is the AVC probability
(eq. 7). Global: a softmax over all cells makes the attention by which visual features are summed
and classified (eq. 8). Models of a single task have one of the two.
"""

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True, eq=False)
class ModelOutput:
    """
    What a model says; None where it does not.

    :param similarity: (B, h, w) similarity scores s, any real number.
    :param localization: (B, h, w) localization map M_loc, 0 to 1 (eq. 7).
    :param avc_logit: (B,) the largest score; its sigmoid is the AVC probability z_avc.
    :param attention: (B, h, w) attention w_att, sums to 1 (eq. 8).
    :param class_map: (B, C, h, w) class logits of each cell.
    :param class_logits: (B, C) class logits of the window.
    :param moment: (B, M) what the next seconds should know of this one; only in models with
        context.
    """

    similarity: torch.Tensor | None = None
    localization: torch.Tensor | None = None
    avc_logit: torch.Tensor | None = None
    attention: torch.Tensor | None = None
    class_map: torch.Tensor | None = None
    class_logits: torch.Tensor | None = None
    moment: torch.Tensor | None = None


class ClassBranch(nn.Module):
    """
    Class logits of each cell: the branch that makes v_cls, and the last layer.

    It mixes no neighbours (1x1): what the attention selects is what gets classified. Since the
    last layer is linear, classifying an attended sum equals attending to the classified cells,
    and the cells' logits tell the class of each box.
    """

    def __init__(self, dim: int, classes: int):
        super().__init__()
        self.branch = nn.Sequential(nn.Conv2d(dim, dim, 1), nn.ReLU(inplace=True))
        self.classifier = nn.Conv2d(dim, classes, 1)

    def classify(self, visual: torch.Tensor) -> torch.Tensor:
        """(B, dim, h, w) to (B, C, h, w)."""
        return self.classifier(self.branch(visual))


class DualNormalizationHead(ClassBranch):
    """Both normalizations of one map: DNM."""

    def forward(self, similarity: torch.Tensor, visual: torch.Tensor) -> ModelOutput:
        """
        :param similarity: (B, h, w).
        :param visual: (B, dim, h, w).
        """
        return ModelOutput(
            similarity,
            **normalize_locally(similarity),
            **normalize_globally(similarity, self.classify(visual)),
        )


class CorrespondenceHead(nn.Module):
    """AVC alone; nothing to learn."""

    def forward(self, similarity: torch.Tensor, visual: torch.Tensor) -> ModelOutput:
        """Take what ``DualNormalizationHead`` takes."""
        return ModelOutput(similarity, **normalize_locally(similarity))


class ClassificationHead(ClassBranch):
    """Classification alone."""

    def forward(self, similarity: torch.Tensor, visual: torch.Tensor) -> ModelOutput:
        """Take what ``DualNormalizationHead`` takes."""
        return ModelOutput(similarity, **normalize_globally(similarity, self.classify(visual)))


def normalize_locally(similarity: torch.Tensor) -> dict[str, torch.Tensor]:
    """Each cell by itself, and the maximum over all, for AVC (eq. 7)."""
    return {'localization': similarity.sigmoid(), 'avc_logit': similarity.flatten(1).amax(1)}


def normalize_globally(
    similarity: torch.Tensor, class_map: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Each cell against all others, as attention for classification (eq. 8)."""
    attention = similarity.flatten(1).softmax(1).view_as(similarity)
    return {
        'attention': attention,
        'class_map': class_map,
        'class_logits': (class_map * attention.unsqueeze(1)).sum((2, 3)),
    }
