"""Tables as text for a terminal."""

from collections.abc import Collection, Sequence


def align_columns(lines: Sequence[Sequence[str]], right: Collection[str] = ()) -> list[str]:
    """
    Set cells in columns, two spaces apart.

    :param lines: cells of each line, all lines as many; the first has the names of the columns.
    :param right: names of the columns whose cells stand on the right.
    :returns: one text for each line.
    """
    widths = [max(map(len, column)) for column in zip(*lines)]
    return [
        '  '.join(
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(lines[0], line, widths)
        ).rstrip()
        for line in lines
    ]
