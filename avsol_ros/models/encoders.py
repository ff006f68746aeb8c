"""
Backbones: what every encoder promises.

A visual encoder turns frames (B, T, 3, S, S), RGB from 0 to 1, into features (B, C, T', h, w) and
names its ``channels``, ``image_size``, ``frames``, ``grid`` and ``first_centre``. An audio encoder
turns samples (B, 16000) into ``AudioFeatures`` and names its ``channels`` and ``embedding``. Both
are trained elsewhere and stay frozen (section 5.1).
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False)
class AudioFeatures:
    """
    :param maps: (B, C, T, M) features of a middle layer, time by mel kept, for CDF.
    :param embedding: (B, E) output of the last layer, for static fusion (Fig. 3a).
    """

    maps: torch.Tensor
    embedding: torch.Tensor
