"""
Backbones: what every encoder promises.

Both kinds are trained elsewhere and stay frozen (section 5.1). Their parameters bear the names of
the published file, so that it loads key for key. ``published`` names that file in
``weights.PUBLISHED``, or is None, and ``published_shapes()`` tells the shape of everything in it,
also of what is not kept.

A visual encoder is made with the number of frames of a window, or its own default. It turns frames
(B, T, 3, S, S), RGB from 0 to 1, into features (B, C, T', h, w) and names its ``channels``,
``image_size``, ``frames``, ``steps`` (T'), ``grid``, ``first_centre`` and ``per_frame``, whether
it looks at each frame by itself.

An audio encoder is made with or without what makes the embedding. It turns samples (B, 16000) into
``AudioFeatures`` and names its ``channels`` and ``embedding``. Its two halves, ``spectrogram`` and
``encode``, can be had by themselves: the first keeps to float32, the second may run in an engine.

A part of an encoder may have ``fold()``, by which it gets ready to run and nothing else: engines
call it on a copy of their own, before they round weights.
"""

from dataclasses import dataclass

import torch

LOG_MEL_SHAPE = 1, 96, 64  # of one second, as VGGish takes it: one channel, time, mel


@dataclass(frozen=True, eq=False)
class AudioFeatures:
    """
    :param maps: (B, C, T, M) features of a middle layer, time by mel kept, for CDF.
    :param embedding: (B, E) output of the last layer, for static fusion (Fig. 3a); None from an
        encoder made without.
    """

    maps: torch.Tensor
    embedding: torch.Tensor | None
