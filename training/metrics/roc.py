"""How well a value separates two classes: rates over thresholds, and the area under them."""

import numpy as np


def roc(positive: np.ndarray, negative: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """
    Receiver operating characteristic: how well a value separates two classes.

    :param positive: (n,) values of the class that should have high ones.
    :param negative: (m,) values of the other class.
    :returns: false and true positive rates from 0 to 1, and the area under the curve.
    """
    levels = np.unique(np.concatenate([positive, negative]))[::-1]
    false_rate, true_rate = (
        np.concatenate([[0.0], 1 - np.searchsorted(np.sort(side), levels) / len(side)])
        for side in (negative, positive)
    )
    area = float(np.sum(np.diff(false_rate) * (true_rate[1:] + true_rate[:-1]) / 2))
    return false_rate, true_rate, area
