"""What the verbs of ``avsol``, and with them the nodes' executables, exit with."""

from enum import IntEnum


class ExitStatus(IntEnum):
    """
    The number that a shell sees.

    FAILED: nothing was done, and one line on stderr says why. USAGE: the command line itself is
    wrong; argparse exits with the same. PARTLY: something was done, but not all could be read.
    INTERRUPTED: ended by Ctrl-C; the number is the shells' own for it.
    """

    OK = 0
    FAILED = 1
    USAGE = 2
    PARTLY = 3
    INTERRUPTED = 130
