"""
Maps that do not hear: rows of every table, which a model that hears has to beat.

What sounds is often what moves, what is a thing at all, and what the camera was turned to. So a
map may be good without any use of the sound, and a score says nothing about hearing unless that
of such maps stands beside it:

- ``centre prior`` and ``random`` see nothing either;
- ``motion`` is where neighbouring frames of the window differ;
- ``confidence`` is where ImageNet's classifier sees something that it knows;
- ``deaf`` adds motion, confidence and centre prior, each standardized.
"""

from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np

from avsol_ros.inference.square_frames import square_frame
from avsol_ros.localization import upsample

CELLS = 14  # side of the random map before it is stretched, as the paper's models have it
_SIGMA = 1 / 4  # of the centre prior, as a share of the side
MOTION_FRAMES = 8  # at most, of a window
MOTION_SIDE = 112  # pixels
_MOTION_BLUR = 6.0  # standard deviation in pixels

#: Maps of all windows have the same scale, so that peaks of different windows can be compared.
WITH_LEVELS = ('motion', 'confidence')

#: Logits (h, w) float32 of one image (H, W, 3) uint8, RGB.
Confidence = Callable[[np.ndarray], np.ndarray]


class DeafMaps:
    """
    All deaf maps of windows.

    :param seed: of the random maps.
    :param confidence: None without a classifier: then there are neither ``confidence`` nor
        ``deaf``.
    :param pictures: whether windows have pictures; without there is no ``motion`` either.
    :ivar names: of the maps, in the order of rows.
    """

    def __init__(self, seed: int, confidence: Confidence | None = None, pictures: bool = True):
        self._rng = np.random.default_rng(seed)
        self._drawn: list[np.ndarray] = []
        self._confidence = confidence if pictures else None
        self._pictures = pictures
        seeing = ('motion',) if pictures else ()
        named = ('confidence', 'deaf') if self._confidence is not None else ()
        self.names = ('centre prior', 'random', *seeing, *named)

    def __call__(
        self, index: int, frames: Sequence[np.ndarray], height: int, width: int
    ) -> dict[str, np.ndarray]:
        """
        Maps of one window.

        :param index: of the window; its random map is the same whatever was asked for before.
        :param frames: of the window, (H, W, 3) uint8, RGB.
        :returns: name -> (height, width) float32.
        """
        maps = {
            'centre prior': centre_prior(height, width),
            'random': upsample(self._random(index), height, width),
        }
        if self._pictures:
            maps['motion'] = upsample(motion_map(frames), height, width)
        if self._confidence is not None:
            maps['confidence'] = upsample(
                self._confidence(frames[len(frames) // 2]), height, width
            )
            maps['deaf'] = deaf_map(maps)
        return maps

    def _random(self, index: int) -> np.ndarray:
        # Drawn one by one, these are the maps that random_maps draws at once.
        while len(self._drawn) <= index:
            self._drawn.append(self._rng.random((CELLS, CELLS), np.float32))
        return self._drawn[index]


def centre_prior(height: int, width: int | None = None) -> np.ndarray:
    """
    A map that is brightest in the middle, whatever the picture shows.

    A Gaussian whose standard deviation is a quarter of the picture's height and width.

    :param width: None for a square.
    :returns: (height, width) float32, 0 to 1.
    """
    rows, columns = (
        ((np.arange(size) + 0.5) / size - 0.5) / _SIGMA for size in (height, width or height)
    )
    return np.exp(-(rows[:, None] ** 2 + columns**2) / 2).astype(np.float32)


def random_maps(count: int, seed: int) -> np.ndarray:
    """Uniform noise, to be stretched as a model's map is: (count, 14, 14) float32, 0 to 1."""
    return np.random.default_rng(seed).random((count, CELLS, CELLS), np.float32)


def motion_map(frames: Sequence[np.ndarray]) -> np.ndarray:
    """
    Where the frames of a window differ from their neighbours.

    The mean over channels and pairs of neighbouring frames of their absolute difference, blurred.
    Of more than ``MOTION_FRAMES`` frames so many are taken, evenly.

    :param frames: T images (H, W, 3) uint8, RGB, in time order; of one there is no motion.
    :returns: (112, 112) float32 over the whole picture, 0 to 1.
    """
    if len(frames) > MOTION_FRAMES:
        chosen = np.linspace(0, len(frames) - 1, MOTION_FRAMES).round().astype(int)
        frames = [frames[index] for index in chosen]
    if len(frames) < 2:
        return np.zeros((MOTION_SIDE, MOTION_SIDE), np.float32)
    squares = np.stack([square_frame(frame, MOTION_SIDE) for frame in frames])
    small = squares.astype(np.float32) / 255
    moved = np.abs(np.diff(small, axis=0)).mean((0, 3))
    return cv2.GaussianBlur(moved, (0, 0), _MOTION_BLUR)


def standardized(heat: np.ndarray) -> np.ndarray:
    """
    The map with a mean of 0 and a variance of 1; zeros of one that is the same everywhere.

    :param heat: (H, W) float.
    :returns: (H, W) float32.
    """
    values = heat.astype(np.float64)
    deviation = values.std()
    if deviation <= 1e-6 * np.abs(values).max():  # of a constant map only rounding errors
        return np.zeros(heat.shape, np.float32)
    return ((values - values.mean()) / deviation).astype(np.float32)


def deaf_map(maps: Mapping[str, np.ndarray]) -> np.ndarray:
    """
    The best that is known without hearing: motion, confidence and centre prior added.

    :param maps: by name, (H, W) float each, all of one size.
    :returns: (H, W) float32, around 0.
    """
    parts = (standardized(maps[name]) for name in ('motion', 'confidence', 'centre prior'))
    return np.sum(list(parts), axis=0, dtype=np.float32)
