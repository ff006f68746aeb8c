"""Scores as a table of a page: groups of columns, and the best value of each column marked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from avsol_ros.training.evaluation.report_tables import (
    LOWER_IS_BETTER,
    Column,
    cell,
    count_rows,
    title,
    used_columns,
)


@dataclass(frozen=True)
class Cell:
    """
    One number.

    :param spread: standard deviation over runs, with its sign; empty where there is none.
    :param opens_group: whether it is in the first column of its group.
    """

    text: str
    spread: str
    best: bool
    opens_group: bool


@dataclass(frozen=True)
class Row:
    """One row; ``kind`` is a class of the style sheet."""

    kind: str
    name: str
    cells: list[Cell]


@dataclass(frozen=True)
class ScoreTable:
    """
    A table with a heading over each group of columns.

    :param caption: text for those who cannot see it.
    :param names: heading of the first column, which names the rows.
    :param groups: heading, and how many columns are below it.
    :param columns: heading, and whether it is the first of its group.
    """

    caption: str
    names: str
    groups: list[tuple[str, int]]
    columns: list[tuple[str, bool]]
    rows: list[Row]


def score_table(
    rows: Sequence[Mapping], columns: Sequence[Column], caption: str, names: str = 'model'
) -> ScoreTable | None:
    """
    Lay out scores, and below them of how many frames and windows they are the mean.

    Columns without any number are left out.

    :param rows: what ``table_rows`` gives.
    :returns: None where no column has a number.
    """
    columns = used_columns(rows, columns)
    if not columns:
        return None
    groups = [(over, len(list(group))) for over, group in groupby(columns, key=lambda c: c[1])]
    opening = {sum(n for _, n in groups[:k]) for k in range(len(groups))}
    compared = _compared(rows)
    best = {key: _best(compared, key) for key, _, _ in columns}

    def make_cell(row: Mapping, position: int, key: str) -> Cell:
        text, sign, spread = cell(row, key).partition(' ± ')
        wins = text == best[key] and any(row is one for one in compared)
        return Cell(text, sign.strip() + ' ' + spread if sign else '', wins, position in opening)

    return ScoreTable(
        caption,
        names,
        [(f'{over} ↓' if over.startswith('PNSR') else over, n) for over, n in groups],
        [(name, k in opening) for k, (_, _, name) in enumerate(columns)],
        [
            Row(
                row['kind'],
                title(row),
                [make_cell(row, k, key) for k, (key, _, _) in enumerate(columns)],
            )
            for row in [*rows, *count_rows(rows, columns)]
        ],
    )


def _compared(rows: Sequence[Mapping]) -> list[Mapping]:
    """Rows that compete for the best: of several seeds the mean, as the best would be luck."""
    seeds = {name for row in rows if row['kind'] == 'mean' for name in row['runs']}
    return [
        row
        for row in rows
        if row['kind'] == 'mean' or row['kind'] == 'model' and row['model'] not in seeds
    ]


def _best(rows: Sequence[Mapping], key: str) -> str | None:
    """The best value as text; None where there is nothing to compare."""
    values = [row[key] for row in rows if cell(row, key) != '-']
    if len(values) < 2:
        return None
    return f'{(min if key.startswith(LOWER_IS_BETTER) else max)(values):.3f}'
