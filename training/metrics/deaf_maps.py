"""Maps that use neither picture nor sound: baselines in every table of scores."""

import numpy as np

BASELINES = ('centre prior', 'random')
CELLS = 14  # side of the random map before it is stretched, as the paper's models have it


def centre_prior(height: int, width: int | None = None) -> np.ndarray:
    """
    A map that is brightest in the middle, whatever the picture shows.

    :param width: None for a square.
    :returns: (height, width) float32, 0 to 1.
    """
    rows, columns = (np.arange(size) - (size - 1) / 2 for size in (height, width or height))
    distance = np.hypot(rows[:, None], columns)
    return (1 - distance / (distance.max() or 1)).astype(np.float32)


def random_maps(count: int, seed: int) -> np.ndarray:
    """Uniform noise, to be stretched as a model's map is: (count, 14, 14) float32, 0 to 1."""
    return np.random.default_rng(seed).random((count, CELLS, CELLS), np.float32)
