"""Check heatmaps and masks for metrics: any real type and size, but only finite numbers."""

import numpy as np
import torch

from avsol_ros.errors import AvsolError


def as_heat(heatmap) -> np.ndarray:
    """
    Return a heatmap as a (H, W) array of float32 or float64 with the very same values.

    :param heatmap: (H, W) array or tensor of real numbers: float16, bfloat16, float32, float64,
        integers (of more than 16 bits as float64) or bool, on any device.
    """
    if isinstance(heatmap, torch.Tensor):
        heatmap = heatmap.detach()
        heatmap = (heatmap.float() if heatmap.dtype == torch.bfloat16 else heatmap).cpu().numpy()
    heat = np.asarray(heatmap)
    if heat.ndim != 2 or not heat.size:
        raise AvsolError(
            f'the heatmap has the shape {heat.shape}; expected (height, width) with '
            'at least one pixel; give one map at a time'
        )
    if heat.dtype.kind not in 'fiub' or heat.itemsize > 8:
        raise AvsolError(f'the heatmap holds {heat.dtype}; expected real numbers; convert it')
    small = heat.itemsize <= (4 if heat.dtype.kind == 'f' else 2)
    heat = np.ascontiguousarray(heat, np.float32 if small else np.float64)
    # Both are NaN where the map holds one, and each is infinite where it holds one of its sign.
    if not (np.isfinite(heat.min()) and np.isfinite(heat.max())):
        bad = heat.size - np.count_nonzero(np.isfinite(heat))
        raise AvsolError(
            f'{bad} of {heat.size} values of the heatmap are NaN or infinite; '
            'expected finite ones; check what the model puts out'
        )
    return heat


def as_masks(masks, shape: tuple[int, int]) -> np.ndarray:
    """
    Return masks of one heatmap as (K, H, W) bool.

    :param masks: (H, W) or (K, H, W) array or tensor, nonzero in the boxes of sounding objects.
    :param shape: height and width of the heatmap.
    """
    if isinstance(masks, torch.Tensor):
        masks = masks.detach().cpu().numpy()
    masks = np.asarray(masks)
    if masks.ndim not in (2, 3) or masks.shape[-2:] != shape:
        raise AvsolError(
            f'the heatmap is {shape} and the mask {masks.shape}; expected equal '
            'shapes, or (frames,) before that of the heatmap'
        )
    if masks.dtype != bool:
        masks = masks != 0
    return np.ascontiguousarray(masks.reshape(-1, *shape))
