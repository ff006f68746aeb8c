"""The exceptions that users see as a single line."""


class AvsolError(Exception):
    """
    Bad input: says what was given, what was expected and what to do.

    Command lines print its text as one line and exit with status 1; nodes log it.
    """


class UsageError(AvsolError):
    """Wrong words of a command line; it exits with status 2, as argparse does."""


def printable(text: str) -> str:
    """
    Make a name safe to print in one line.

    Bytes of a file name that are no characters are replaced, and control characters escaped: a
    terminal would obey them.
    """
    text = text.encode('utf-8', 'replace').decode()
    return ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in text)
