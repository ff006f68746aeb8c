"""Pictures of any camera, made ready for a visual encoder."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from avsol_ros.errors import AvsolError


def square_frame(frame: np.ndarray, size: int) -> np.ndarray:
    """
    Squeeze one image into a square.

    :param frame: (H, W, 3) uint8, RGB.
    :returns: (size, size, 3) uint8.
    """
    # Averaging areas keeps fine texture from aliasing; it cannot enlarge.
    shrinks = min(frame.shape[:2]) >= size
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(frame, (size, size), interpolation=interpolation)


def square_frames(frames: Sequence[np.ndarray], size: int) -> torch.Tensor:
    """
    Squeeze frames into squares, so that nothing in view is cut off.

    A heatmap of the square, stretched back to the camera's shape, lies over the camera's picture.
    Frames given more than once (a slow camera) are resized once.

    :param frames: T images (H, W, 3), uint8, RGB.
    :param size: side of the squares, pixels.
    :returns: (T, 3, size, size) float32, 0 to 1.
    """
    squares = {}
    for frame in frames:
        if id(frame) in squares:
            continue
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise AvsolError(f'a frame is {frame.dtype} {frame.shape}; expected uint8 (H, W, 3)')
        squares[id(frame)] = square_frame(frame, size)
    stack = np.stack([squares[id(frame)] for frame in frames])
    return torch.from_numpy(stack).permute(0, 3, 1, 2).float().div_(255)
