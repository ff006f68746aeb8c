"""The one exception that users see as a single line."""


class AvsolError(Exception):
    """
    Bad input: says what was given, what was expected and what to do.

    Command lines print its text as one line and exit with status 1; nodes log it.
    """
