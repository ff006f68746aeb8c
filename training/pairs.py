"""Which sound a picture gets when AVC = no (section 5.1)."""

import numpy as np

from avsol_ros.errors import AvsolError


def pairs(segments: int, epoch: int, seed: int) -> np.ndarray:
    """
    Give each segment the sound of another clip or time, another one every epoch.

    All segments in a random circle, each taking the sound of the next: none gets its own, every
    sound is used exactly once, and any other is as likely as the next. A function of its
    arguments alone, so all processes agree on it without talking.

    :param segments: how many there are, at least 2.
    :return: (segments,) int64: index of the segment whose sound each gets.
    """
    if segments < 2:
        raise AvsolError(f'{segments} segment(s) give no pairs of a picture and a foreign sound; '
                         'expected at least 2')
    circle = np.random.default_rng([seed, epoch]).permutation(segments)
    partners = np.empty(segments, np.int64)
    partners[circle] = np.roll(circle, -1)
    return partners
