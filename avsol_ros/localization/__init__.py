"""
What a model says of one window, as plain values that every room shares.

:class:`Localization` is the whole answer of a model, and :func:`find_boxes` gives its sounding
objects. :class:`WindowResult` is what is left of it after it was published or recorded: the
heatmap as pictures show it, and the boxes. Nothing here needs a model, so nothing here needs
PyTorch.
"""

from avsol_ros.localization.maps import kept_heatmap, upsample, visible_heat
from avsol_ros.localization.window_localization import UNNAMED, Box, Localization, find_boxes
from avsol_ros.localization.window_result import WindowResult

__all__ = [
    'UNNAMED',
    'Box',
    'Localization',
    'WindowResult',
    'find_boxes',
    'kept_heatmap',
    'upsample',
    'visible_heat',
]
