"""Does a value tell whether anything in view sounds?"""

from collections.abc import Mapping

import numpy as np

from avsol_ros.training.evaluation.samples import Truth
from avsol_ros.training.metrics.roc import roc


def presence_area(sure: Mapping[int, float], truths: Mapping[int, Truth]) -> tuple[float, int]:
    """
    Area under the ROC: does a value tell windows in which something in view sounds from others?

    Windows in which something sounds for less than their ``LABELLED`` part are neither.

    :param sure: index of a window -> value, high where something in view sounds.
    :returns: 0 to 1, and of how many windows; NaN and 0 where there are windows of one kind alone.
    """
    yes = [value for index, value in sure.items() if truths[index].labels]
    no = [
        value
        for index, value in sure.items()
        if not any(frame.is_ave for frame in truths[index].frames)
    ]
    if not (yes and no):
        return float('nan'), 0
    return roc(np.array(yes), np.array(no))[2], len(yes) + len(no)
