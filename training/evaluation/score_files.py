"""Scores as files for programs: JSON, and CSV with a line for each row or window."""

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from avsol_ros.training.evaluation.scoring import Evaluation, ModelRun
from avsol_ros.training.evaluation.tally import KINDS, scores_by_window


def as_json(evaluation: Evaluation, rows: Sequence[Mapping], about: Mapping) -> str:
    """
    The document of all scores; a number that does not exist is null.

    :param rows: what ``table_rows`` gives.
    :param about: what was evaluated and with what; comes before the rows.
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


_WINDOW_HEADER = (
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
)


def windows_csv(evaluation: Evaluation) -> str:
    """One line for each window of each model: what to sort by and to look at."""
    return _csv(
        _WINDOW_HEADER,
        (line for run in evaluation.runs for line in _window_lines(evaluation, run)),
    )


def _window_lines(evaluation: Evaluation, run: ModelRun) -> Iterator[list]:
    by_window = scores_by_window(run.frames, run.found)
    for index in range(len(run.samples)):
        line = [run.name, index, run.samples.name(index)]
        if index in run.failed:
            empty = [None] * (len(_WINDOW_HEADER) - len(line) - 1)
            yield [*line, *empty, run.failed[index]]
            continue
        truth, found, scores = evaluation.truths[index], run.found[index], by_window[index]
        has_classes = len(found.class_scores)
        yield [
            *line,
            '; '.join(sorted(truth.labels)),
            int(truth.facts['lookalike']),
            int(truth.facts['impostor']),
            *scores.kinds,
            scores.hmbox_auc,
            scores.pibr,
            scores.peak,
            found.avc,
            run.foreign.get(index),
            found.class_names[found.class_scores.argmax()] if has_classes else None,
            None,
        ]


def _csv(header: Sequence[str], lines: Iterable[Sequence]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator='\n')
    writer.writerow(header)
    writer.writerows([_csv_value(value) for value in line] for line in lines)
    return out.getvalue()


def _csv_value(value):
    if value is None or value != value:
        return ''
    return f'{value:.6g}' if isinstance(value, float) else value
