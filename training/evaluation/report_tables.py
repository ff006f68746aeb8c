"""Scores as tables: their rows and columns, and their text for a terminal."""

import math
from collections.abc import Mapping, Sequence
from itertools import groupby

from avsol_ros.training.evaluation.runs import average, group_name, group_runs
from avsol_ros.training.evaluation.scoring import Evaluation

Column = tuple[str, str, str]  # key of a row, heading of the group of columns, heading

# Table 2 of the paper and the accuracies of section 5.1.
TABLE_2: tuple[Column, ...] = (
    ('hmbox_auc', 'HmBoxAUC', 'all'),
    ('hmbox_auc/single', 'HmBoxAUC', 'single'),
    ('hmbox_auc/multiple', 'HmBoxAUC', 'multi.'),
    ('pibr', 'PiBR', 'all'),
    ('pibr/single', 'PiBR', 'single'),
    ('pibr/multiple', 'PiBR', 'multi.'),
    ('pnsr', 'PNSR', 'all'),
    ('pnsr/visible', 'PNSR', 'visible'),
    ('pnsr/audible', 'PNSR', 'audible'),
    ('pnsr/noise', 'PNSR', 'noise'),
    ('class_accuracy', 'accuracy', 'class'),
    ('avc_accuracy', 'accuracy', 'AVC'),
)
# The same for a bag, of which no window is played with the sound of another.
TABLE_2_OF_BAGS = (*TABLE_2[:-1], ('presence_accuracy', 'accuracy', 'presence'))
# Scenes that are harder than those that Table 2 tells apart.
HARDER: tuple[Column, ...] = (
    ('hmbox_auc/same', 'several, one category', 'HmBoxAUC'),
    ('pibr/same', 'several, one category', 'PiBR'),
    ('hmbox_auc/different', 'several categories', 'HmBoxAUC'),
    ('pibr/different', 'several categories', 'PiBR'),
    ('hmbox_auc/lookalike', 'silent look-alike', 'HmBoxAUC'),
    ('pibr/lookalike', 'silent look-alike', 'PiBR'),
    ('pnsr/impostor', 'impostor', 'PNSR'),
)
# What films with single annotated windows are scored by.
OF_FILMS: tuple[Column, ...] = (
    ('hmbox_auc/up_to_60', 'boxes up to 60 %', 'HmBoxAUC'),
    ('pibr/up_to_60', 'boxes up to 60 %', 'PiBR'),
    ('hmbox_auc/mixed', 'mixed', 'HmBoxAUC'),
    ('pibr/mixed', 'mixed', 'PiBR'),
    ('hmbox_auc/over_60', 'boxes over 60 %', 'HmBoxAUC'),
    ('pibr/over_60', 'boxes over 60 %', 'PiBR'),
    ('hmbox_auc/swapped', 'swapped sound', 'HmBoxAUC'),
    ('pibr/swapped', 'swapped sound', 'PiBR'),
    ('swap_share', 'swapped sound', 'AVC falls'),
    ('presence_auc', 'presence', 'ROC area'),
    ('pnsr', 'PNSR', 'all'),
)
LOWER_IS_BETTER = 'pnsr'


def table_rows(evaluation: Evaluation) -> list[dict]:
    """
    All rows of the tables, each a dict of numbers.

    ``kind`` is ``model``, ``mean`` (of runs that differ in their seed alone, right below them,
    with ``std`` for each number and ``runs``), or ``baseline``.
    """
    identities = [run.identity for run in evaluation.runs]
    rows = []
    for group in group_runs(identities):
        members = [evaluation.runs[index] for index in group]
        rows += [{'kind': 'model', 'seed': run.identity.seed, **run.row} for run in members]
        if len(members) > 1:
            means, deviations = average([run.row for run in members])
            rows.append(
                {
                    'kind': 'mean',
                    'model': group_name([r.identity for r in members]),
                    'runs': [run.name for run in members],
                    **means,
                    'std': deviations,
                }
            )
    return rows + [{'kind': 'baseline', **row} for row in evaluation.baselines]


def title(row: Mapping) -> str:
    """Heading of a row."""
    if row['kind'] == 'mean':
        return f'{row["model"]}, mean of {len(row["runs"])} seeds'
    return row.get('label', row['model'])


def cell(row: Mapping, key: str) -> str:
    """A number as text, with its standard deviation over runs; ``-`` where there is none."""
    value = row.get(key)
    if value is None or math.isnan(value):
        return '-'
    if isinstance(value, int):
        return f'{value:,}'
    spread = row.get('std', {}).get(key)
    return f'{value:.3f}' if spread is None else f'{value:.3f} ± {spread:.3f}'


def used_columns(rows: Sequence[Mapping], columns: Sequence[Column]) -> list[Column]:
    """The columns in which at least one row has a number."""
    return [column for column in columns if any(cell(row, column[0]) != '-' for row in rows)]


def count_rows(rows: Sequence[Mapping], columns: Sequence[Column]) -> list[dict]:
    """
    Of how many frames and windows each number of the first model is the mean.

    :returns: nothing where rows have no such counts.
    """

    def ending(key: str) -> str:
        metric, _, part = key.partition('/')
        return part or {'hmbox_auc': 'ave', 'pibr': 'ave', 'pnsr': 'other'}.get(metric, metric)

    counts = [
        {
            'kind': 'count',
            'model': unit,
            **{key: rows[0].get(f'{unit}/{ending(key)}') for key, _, _ in columns},
        }
        for unit in ('frames', 'windows')
    ]
    return [row for row in counts if any(cell(row, key) != '-' for key, _, _ in columns)]


def format_table(rows: Sequence[Mapping], columns: Sequence[Column] = TABLE_2) -> str:
    """
    Rows for a terminal, and below them the counts; columns without any number are left out.

    :returns: nothing where no column has a number.
    """
    columns = used_columns(rows, columns)
    if not columns:
        return ''
    rows = [line for row in [*rows, *count_rows(rows, columns)] for line in _with_deviation(row)]
    names = ['model', *map(title, rows)]
    cells = [[name, *(cell(row, key) for row in rows)] for key, _, name in columns]
    first = max(map(len, names))
    heading, widths = _group_headings(columns, [max(map(len, column)) for column in cells])
    lines = [(' ' * first + heading).rstrip()]
    for number, name in enumerate(names):
        lines.append(
            name.ljust(first)
            + ''.join('  ' + column[number].rjust(width) for column, width in zip(cells, widths))
        )
    return '\n'.join(lines)


def _group_headings(columns: Sequence[Column], widths: list[int]) -> tuple[str, list[int]]:
    """
    The line with the headings of groups, and the widths of columns below it.

    A heading that is wider than its columns widens the last of them.
    """
    widths, line, at = list(widths), '', 0
    for over, group in groupby(columns, key=lambda column: column[1]):
        members = len(list(group))
        width = sum(widths[at : at + members]) + 2 * (members - 1)
        widths[at + members - 1] += max(0, len(over) - width)
        line += '  ' + over.center(max(width, len(over)))
        at += members
    return line, widths


def _with_deviation(row: Mapping) -> list[Mapping]:
    """A mean as two lines, since a terminal is narrow."""
    if 'std' not in row:
        return [row]
    return [
        {key: value for key, value in row.items() if key != 'std'},
        {**row['std'], 'kind': 'std', 'model': '  standard deviation'},
    ]
