"""``avsol evaluate``: HmBoxAUC, PiBR and PNSR of models on windows whose truth is known."""

import argparse
import sys
import time
from pathlib import Path

from avsol_ros.cli.arguments import require_at_least, require_folder

_LINE_S = 30.0   # between progress lines in a log
_UPDATE_S = 0.2  # between updates of the line on a terminal


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog='avsol evaluate',
        description='Score models with the metrics of the paper (section 3.3) on held-out '
                    'synthetic windows or on an annotated dataset, beside a centre prior and '
                    'random maps, which know nothing. Of models that differ in their seed alone, '
                    'mean and standard deviation are given too.')
    parser.add_argument('models', nargs='*', default=['compact'], metavar='MODEL',
                        help='shipped names or checkpoints (default: compact)')
    parser.add_argument('--data', default='clean', metavar='clean|hard|FOLDER',
                        help='a preset of synthetic scenes, or a folder that avsol prepare has '
                             'written (default: clean)')
    parser.add_argument('--annotations', type=Path, metavar='FILE',
                        help='boxes of the films in FOLDER, a file or a folder of files '
                             '(see avsol annotations)')
    parser.add_argument('--split', choices=('test', 'val', 'train'), default='test')
    parser.add_argument('--windows', type=int,
                        help='how many at most (default: 500 synthetic ones, all of a folder)')
    parser.add_argument('--seed', type=int, default=0,
                        help='of the scenes, the random maps and the foreign sounds (default 0)')
    parser.add_argument('--out', type=Path, metavar='FOLDER',
                        help='write report.html, scores.json, scores.csv and windows.csv there')
    parser.add_argument('--json', action='store_true', help='print JSON instead of a table')
    arguments = parser.parse_args(argv)
    if arguments.windows is not None:
        require_at_least(arguments, 1, 'windows')
    require_at_least(arguments, 0, 'seed')
    if arguments.out is not None:
        require_folder(arguments.out)

    from avsol_ros.training.report import describe, write_report
    from avsol_ros.training.report_tables import (
        HARDER,
        as_json,
        explain,
        format_table,
        table_rows,
    )
    from avsol_ros.training.samples import open_source
    from avsol_ros.training.scoring import evaluate
    source = open_source(arguments.data, arguments.annotations, arguments.split,
                         arguments.windows, arguments.seed)
    progress = _Progress()
    try:
        evaluation = evaluate(arguments.models, source, arguments.seed, progress.report,
                              progress.warn)
    finally:
        progress.close()
    rows = table_rows(evaluation)
    about = {'data': arguments.data,
             'annotations': None if arguments.annotations is None else str(arguments.annotations),
             'split': arguments.split, 'windows': len(evaluation.runs[0].samples),
             'seed': arguments.seed, 'about': describe(evaluation)}
    if arguments.json:
        print(as_json(evaluation, rows, about))
    else:
        for table in (format_table(rows), format_table(rows, HARDER)):
            if table:
                print(table, end='\n\n')
        print(*explain(evaluation), sep='\n')
    if arguments.out is not None:
        for path in write_report(arguments.out, evaluation, rows, about):
            print(path, file=sys.stderr)
    return 0


class _Progress:
    """One line on stderr that is updated on a terminal; in a log a line now and then."""

    def __init__(self):
        self._terminal = sys.stderr.isatty()
        self._said = time.monotonic()
        self._width = 0

    def report(self, name: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._said < (_UPDATE_S if self._terminal else _LINE_S):
            return
        self._said = now
        text = f'{name}: {done} of {total} windows'
        if self._terminal:
            print(f'\r{text:{self._width}}', end='', file=sys.stderr, flush=True)
            self._width = len(text)
        else:
            print(text, file=sys.stderr, flush=True)

    def warn(self, line: str) -> None:
        self.close()
        print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._width:
            print(file=sys.stderr)
            self._width = 0
