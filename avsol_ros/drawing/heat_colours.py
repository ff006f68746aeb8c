"""Draw a localization map over a picture, as heat."""

import cv2
import numpy as np

# Less heat than this is noise of the map, not an object: there the picture stays as it is.
_HEAT_FLOOR = 0.1
_HEAT_OPACITY = 0.72


def draw_heatmap(image: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """
    Draw heat over an image; pixels without heat stay exactly as they are.

    :param image: (H, W, 3) uint8 RGB.
    :param heatmap: (h, w) float [0, 1], of any size.
    :return: (H, W, 3) uint8 RGB, a new array.
    """
    height, width = image.shape[:2]
    levels = np.rint(np.clip(np.nan_to_num(heatmap), 0, 1) * 255).astype(np.uint8)
    # Cubic, since linear interpolation of a coarse map shows its cells as stars and creases.
    levels = cv2.resize(levels, (width, height), interpolation=cv2.INTER_CUBIC)
    opacity = cv2.LUT(levels, _OPACITY)
    return cv2.blendLinear(np.ascontiguousarray(image), _COLORS[levels], 1 - opacity, opacity)


def _heat_tables() -> tuple[np.ndarray, np.ndarray]:
    """RGB colour (256, 3) uint8 and opacity (256,) float32 of each heat level."""
    levels = np.arange(256, dtype=np.uint8)
    # Inferno begins with black, which would look like a shadow. So begin at its violet.
    ramp = np.rint(70 + levels * (185 / 255)).astype(np.uint8)
    colors = cv2.applyColorMap(ramp[:, None], cv2.COLORMAP_INFERNO)[:, 0, ::-1]
    above = np.clip((levels / 255 - _HEAT_FLOOR) / (0.8 - _HEAT_FLOOR), 0, 1)
    opacity = _HEAT_OPACITY * above * above * (3 - 2 * above)
    return np.ascontiguousarray(colors), opacity.astype(np.float32)


_COLORS, _OPACITY = _heat_tables()
