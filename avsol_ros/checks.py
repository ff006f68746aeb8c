"""Checks of arguments: each gives the checked value, or says what was given and expected."""

from operator import index
from typing import SupportsIndex

import numpy as np

from avsol_ros.errors import AvsolError


def positive_integer(value: SupportsIndex, what: str) -> int:
    """
    Check that a value is an integer, 1 or more.

    :param value: an int, or anything that is one exactly, such as a NumPy integer.
    :param what: its name in the error.
    """
    try:
        number = index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise AvsolError(f'{what} is {value!r}; expected a positive integer')
    return number


def integer_ns(value: SupportsIndex, what: str) -> int:
    """
    Check that a time is an integer: nanoseconds, never float seconds.

    :param what: its name in the error.
    """
    try:
        return index(value)
    except TypeError:
        raise AvsolError(f'{what} is {value!r}; expected an integer, in nanoseconds') from None


def describe_array(array: object) -> str:
    """Shape and dtype of an array, for an error; the type of anything else."""
    if isinstance(array, np.ndarray):
        return f'{array.shape} {array.dtype}'
    return type(array).__name__
