"""Scores as tables: for a terminal, as JSON and as CSV."""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from avsol_ros.training.evaluation.runs import average, group_name, group_runs
from avsol_ros.training.evaluation.scoring import SURE, Evaluation
from avsol_ros.training.evaluation.tally import KINDS

# Table 2 of the paper and the accuracies of section 5.1: key, group of columns, column.
TABLE_2 = (
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
# The same of a bag, where no window is heard with the sound of another.
TABLE_2_OF_BAGS = (*TABLE_2[:-1], ('presence_accuracy', 'accuracy', 'presence'))
# Where it gets harder than Table 2 tells.
HARDER = (
    ('hmbox_auc/same', 'several, one category', 'HmBoxAUC'),
    ('pibr/same', 'several, one category', 'PiBR'),
    ('hmbox_auc/different', 'several categories', 'HmBoxAUC'),
    ('pibr/different', 'several categories', 'PiBR'),
    ('hmbox_auc/lookalike', 'silent look-alike', 'HmBoxAUC'),
    ('pibr/lookalike', 'silent look-alike', 'PiBR'),
    ('pnsr/impostor', 'impostor', 'PNSR'),
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
    """What stands before a row."""
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


def count_rows(rows: Sequence[Mapping], columns: Sequence[tuple[str, str, str]]) -> list[dict]:
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


def format_table(rows: Sequence[Mapping], columns=TABLE_2) -> str:
    """Rows for a terminal, and what they count; columns without any number are left out."""
    columns = [c for c in columns if any(cell(row, c[0]) != '-' for row in rows)]
    if not columns:
        return ''
    rows = [line for row in [*rows, *count_rows(rows, columns)] for line in _with_deviation(row)]
    names = ['model', *map(title, rows)]
    cells = [[name, *(cell(row, key) for row in rows)] for key, _, name in columns]
    first = max(map(len, names))
    widths = [max(map(len, column)) for column in cells]
    head, at = ' ' * first, 0
    for over, group in groupby(columns, key=lambda column: column[1]):
        members = len(list(group))
        # A heading that is wider than its columns widens the last of them.
        width = sum(widths[at : at + members]) + 2 * (members - 1)
        widths[at + members - 1] += max(0, len(over) - width)
        head += '  ' + over.center(max(width, len(over)))
        at += members
    lines = [head.rstrip()]
    for number, name in enumerate(names):
        lines.append(
            name.ljust(first)
            + ''.join('  ' + column[number].rjust(width) for column, width in zip(cells, widths))
        )
    return '\n'.join(lines)


def _with_deviation(row: Mapping) -> list[Mapping]:
    """A mean as two lines, since a terminal is narrow."""
    if 'std' not in row:
        return [row]
    return [
        {key: value for key, value in row.items() if key != 'std'},
        {**row['std'], 'kind': 'std', 'model': '  standard deviation'},
    ]


def as_json(evaluation: Evaluation, rows: Sequence[Mapping], about: Mapping) -> str:
    """
    Everything for programs; numbers that there are not are null.

    :param about: what was evaluated and with what; goes before the rows.
    """
    document = {**about, 'notes': evaluation.notes, 'rows': [_plain(row) for row in rows]}
    return json.dumps(document, indent=2, allow_nan=False)


def _plain(value):
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def rows_csv(rows: Sequence[Mapping]) -> str:
    """One line for each row; a mean is followed by a line with the standard deviations."""
    first = ['model', 'kind', 'seed']
    keys = list(dict.fromkeys(k for row in rows for k in row if k not in ('std', 'runs')))
    header = first + [key for key in keys if key not in first]

    def lines() -> Iterator[list]:
        for row in rows:
            yield [row.get(key) for key in header]
            if 'std' in row:
                std = {**row['std'], 'model': row['model'], 'kind': 'std'}
                yield [std.get(key) for key in header]

    return _csv(header, lines())


def windows_csv(evaluation: Evaluation) -> str:
    """One line for each window of each model: what to sort by and to look at."""
    header = [
        'model',
        'window',
        'name',
        'labels',
        'lookalike',
        'impostor',
        *(f'frames/{kind}' for kind in KINDS),
        'hmbox_auc',
        'pibr',
        'peak',
        'avc',
        'avc_foreign',
        'class',
        'failed',
    ]

    def lines() -> Iterator[list]:
        for run in evaluation.runs:
            encoder = run.samples
            by_window = windows_of(run)
            for index in range(len(encoder)):
                line = [run.name, index, encoder.name(index)]
                if index in run.failed:
                    yield [*line, *[None] * (len(header) - 4), run.failed[index]]
                    continue
                truth, found, scores = evaluation.truths[index], run.found[index], by_window[index]
                best = (
                    found.class_names[found.class_scores.argmax()]
                    if len(found.class_scores)
                    else None
                )
                yield [
                    *line,
                    '; '.join(sorted(truth.labels)),
                    int(truth.facts['lookalike']),
                    int(truth.facts['impostor']),
                    *scores['kinds'],
                    scores['hmbox_auc'],
                    scores['pibr'],
                    scores['peak'],
                    found.avc,
                    run.foreign.get(index),
                    best,
                    None,
                ]

    return _csv(header, lines())


def windows_of(run) -> dict[int, dict]:
    """
    Sum up a run's frames window by window.

    :returns: index of a window -> ``kinds`` (how many frames of each), ``hmbox_auc`` and ``pibr``
        (means over its AVE frames, NaN without), ``peak``.
    """
    frames, out = run.frames, {}
    for index in run.found:
        first, last = frames.window.searchsorted([index, index + 1])
        part = slice(first, last)
        ave = frames.is_ave[part]
        out[index] = {
            'kinds': [int((frames.kind[part] == k).sum()) for k in range(len(KINDS))],
            'hmbox_auc': float(frames.areas[part][ave].mean()) if ave.any() else float('nan'),
            'pibr': float(frames.hits[part][ave].mean()) if ave.any() else float('nan'),
            'peak': float(frames.peaks[first]) if last > first else float('nan'),
        }
    return out


def _csv(header: Sequence[str], lines) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator='\n')
    writer.writerow(header)
    for line in lines:
        writer.writerow(
            [
                ''
                if value is None or value != value
                else f'{value:.6g}'
                if isinstance(value, float)
                else value
                for value in line
            ]
        )
    return out.getvalue()


def explain(evaluation: Evaluation) -> list[str]:
    """What a reader of the tables has to know."""
    runs = evaluation.runs
    lines = list(evaluation.notes)
    if any('windows/class_accuracy' in run.row for run in runs):
        lines.append(
            'Class accuracy: of the windows in which something in view sounds, the share '
            'whose highest class score is that of something that does.'
        )
    if any('windows/presence_accuracy' in run.row for run in runs):
        lines.append(
            'Presence accuracy: the mean of two shares: AVC is '
            f'{SURE:g} or more in windows in which something in view sounds, and less in '
            'windows in which nothing in view ever does. Guessing gives 0.5.'
        )
    for run in runs:
        yes, no = (run.row.get(f'windows/presence_{kind}', 0) for kind in ('yes', 'no'))
        if yes and no:
            lines.append(
                f'{run.label}: right in {round(run.row["presence_yes"] * yes)} of {yes} '
                f'windows with something that sounds in view, and in '
                f'{round(run.row["presence_no"] * no)} of {no} without.'
            )
    if any('windows/avc_accuracy' in run.row for run in runs):
        lines.append(
            'AVC accuracy: of the windows in which something in view sounds, the mean of '
            f'two shares: AVC is {SURE:g} or more with their own sound, and less with '
            'that of another window, which may be of the same category. Guessing gives '
            '0.5.'
        )
    if any(not run.has_avc for run in runs):
        names = ', '.join(run.label for run in runs if not run.has_avc)
        lines.append(f'No AVC, so no PNSR: {names}.')
    for run in runs:
        if run.failed:
            lines.append(
                f'{run.label}: {len(run.failed)} of {len(run.samples)} windows failed '
                f'and are left out ({", ".join(map(run.samples.name, run.failed))}).'
                if len(run.failed) <= 5
                else f'{run.label}: {len(run.failed)} of {len(run.samples)} windows failed '
                'and are left out.'
            )
    if len(group_runs([run.identity for run in runs])) < len(runs):
        lines.append(
            'Mean and standard deviation (n - 1) are over seeds of training; all are '
            'scored on the same windows.'
        )
    left_out = max((run.frames.left_out for run in runs), default=0)
    if left_out:
        lines.append(f'{left_out} AVE frames are left out: their boxes cover no pixel of the map.')
    return lines
