"""Which sound a picture gets when AVC = no (section 5.1)."""

import numpy as np

from avsol_ros.errors import AvsolError


def pairs(
    segments: int, epoch: int, seed: int, clips: np.ndarray | None = None, same_clip: float = 0.0
) -> np.ndarray:
    """
    Give each segment the sound of another clip or time, another one every epoch.

    All segments in a random circle, each taking the sound of the next: none gets its own, every
    sound is used exactly once (where ``same_clip`` is 0), and any other is as likely as the next.
    A function of its arguments alone, so all processes agree on it without talking.

    Of "another clip or time" such a circle gives nearly always another clip, whose sound is mostly
    of another kind: to tell it, a model need not look at what moves when. ``same_clip`` gives a
    share of the segments the sound of another time of their own clip.

    :param segments: how many there are, at least 2.
    :param clips: (segments,) clip of each; needed where ``same_clip`` is more than 0.
    :param same_clip: share of such segments, 0 to 1, of those whose clip has another segment.
    :return: (segments,) int64: index of the segment whose sound each gets.
    """
    if segments < 2:
        raise AvsolError(
            f'{segments} segment(s) give no pairs of a picture and a foreign sound; '
            'expected at least 2'
        )
    rng = np.random.default_rng([seed, epoch])
    circle = rng.permutation(segments)
    partners = np.empty(segments, np.int64)
    partners[circle] = np.roll(circle, -1)
    if same_clip:
        chosen = rng.random(segments) < same_clip
        # The same again in each clip.
        order = circle[np.argsort(clips[circle], kind='stable')]
        starts = np.unique(clips[order], return_index=True)[1]
        for members in np.split(order, starts[1:]):
            if len(members) > 1:
                mine = chosen[members]
                partners[members[mine]] = np.roll(members, -1)[mine]
    return partners
