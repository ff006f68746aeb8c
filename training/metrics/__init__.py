"""
How well a heatmap tells what sounds, and where.

- ``localization``: the paper's HmBoxAUC, PiBR and PNSR (section 3.3) as functions
- ``peers``: metrics of other papers: cIoU, its AUC, AP, max-F1, pIA
- ``accumulators``, ``peer_accumulators``: the same as torchmetrics, for loops of your own and
  for several processes
- ``deaf_maps``: maps that do not hear, rows of every table
- ``roc``: how well a value, such as AVC, separates two kinds of windows
- ``timing``: ``python -m avsol_ros.training.metrics.timing``

Only functions are imported here, so that scoring needs no torchmetrics: ``avsol evaluate`` keeps
every frame (``training.evaluation.tally``), from which it counts more than Table 2; a test holds
both equal.
"""

from avsol_ros.training.metrics.localization import (
    FrameScores,
    Scores,
    box_mask,
    frame_scores,
    hmbox_auc,
    noise_to_signal,
    peak_in_box,
    score_frames,
)

__all__ = [
    'FrameScores',
    'Scores',
    'box_mask',
    'frame_scores',
    'hmbox_auc',
    'noise_to_signal',
    'peak_in_box',
    'score_frames',
]
