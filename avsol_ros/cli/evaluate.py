"""``avsol evaluate``: what models find in a bag, and how right they are where truth is known."""

import importlib
import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from avsol_ros.cli.arguments import require_at_least, require_path
from avsol_ros.cli.evaluate_options import (
    BAG_OPTIONS,
    DATA_OPTIONS,
    bag_options,
    make_parser,
    refuse,
    sort_sources,
)
from avsol_ros.config import DEFAULT_MODEL
from avsol_ros.errors import AvsolError
from avsol_ros.exit_status import ExitStatus
from avsol_ros.locks import claim_folder
from avsol_ros.models.model_names import find_checkpoint
from avsol_ros.progress import Progress
from avsol_ros.requirements import require_modules
from avsol_ros.stopping import Stopping, on_interrupt

if TYPE_CHECKING:
    from avsol_ros.offline.evaluate_bag import BagEvaluation


def main(argv: list[str]) -> int:
    arguments = make_parser().parse_args(argv)
    bags, models = sort_sources(arguments.sources)
    require_path(arguments.annotations, '--annotations', 'a file of annotations, or a folder')
    if bags or arguments.recorded is not None:
        refuse(arguments, DATA_OPTIONS, 'does not go with a bag')
        return _evaluate_bag(arguments, bags, models)
    refuse(arguments, BAG_OPTIONS, 'goes with a bag, and none is given')
    return _evaluate_data(arguments, models or [DEFAULT_MODEL])


def _evaluate_bag(arguments, bags: list[str], models: list[str]) -> int:
    if arguments.recorded is None:
        for name in models:
            find_checkpoint(name)
    elif arguments.recorded:
        require_path(Path(arguments.recorded), '--recorded', 'a bag with results')
    options = bag_options(arguments, bags, models)
    from avsol_ros.offline.evaluate_bag import evaluate_bag

    with (
        Stopping() as stopping,
        Progress() as progress,
        on_interrupt('stopped at once; nothing of this run over the bag is kept'),
    ):
        done = evaluate_bag(options, _Scoring(), on_progress=progress.share, stopping=stopping)
    if arguments.json:
        print(json.dumps(done.document, indent=2, allow_nan=False))
    else:
        _print_tables(done)
    said = list(done.problems)
    if not done.windows:
        said.append(
            'error: it was stopped before the first window'
            if done.interrupted
            else 'error: no window could be localized'
        )
    elif done.interrupted:
        said.append('stopped; what was found until then is written')
    for line in said:
        print(f'avsol evaluate: {line}', file=sys.stderr)
    if done.interrupted:
        return ExitStatus.INTERRUPTED
    if not done.windows:
        return ExitStatus.FAILED
    return ExitStatus.PARTLY if done.problems else ExitStatus.OK


class _Scoring:
    """The scores of training, of which nothing is imported where a bag has no truth."""

    def __getattr__(self, name: str):
        return getattr(importlib.import_module('avsol_ros.training.evaluation.bag_report'), name)


def _print_tables(done: 'BagEvaluation') -> None:
    """Print what the bag is like, what was found when or the scores, and the files."""
    from avsol_ros.offline.bag_summary import format_head, format_run, format_streams

    document = done.document
    runs = [run for run in document['runs'] if run['windows']]
    scored = any(
        row['hmbox_auc'] is not None for row in (document['scores'] or {'rows': ()})['rows']
    )
    found = ['\n'.join(map(format_head, runs))] if scored else map(format_run, runs)
    print(format_streams(document), *found, *done.tables, sep='\n\n')
    print(*['', *done.files], sep='\n', end='\n' if done.files else '')


def _evaluate_data(arguments, models: list[str]) -> int:
    data = arguments.data or 'clean'
    if arguments.windows is not None:
        require_at_least(arguments, 1, 'windows')
    require_at_least(arguments, 0, 'seed')
    from avsol_ros.training.annotations.sparse_files import ALSO_FILMS, names_films
    from avsol_ros.training.datasets.named_data import (
        check_annotated,
        check_data,
        check_material,
    )
    from avsol_ros.training.synthetic.preset_names import PRESET_NAMES

    if data in PRESET_NAMES or not names_films(data, arguments.annotations):
        check_data(data, ALSO_FILMS)
        if data not in PRESET_NAMES:
            check_annotated(data, arguments.annotations)
    check_material(data, arguments.material)
    for name in models:
        try:
            find_checkpoint(name)
        except AvsolError as error:
            if arguments.data is not None:
                raise
            raise AvsolError(f'{error}; {name!r} is no bag either') from None
    require_modules('scipy')
    with (
        nullcontext() if arguments.out is None else claim_folder(arguments.out),
        on_interrupt('interrupted; no scores are kept, and the same command begins again'),
    ):
        return _score_data(arguments, models, data)


def _score_data(arguments, models: list[str], data: str) -> int:
    from avsol_ros.training.evaluation.open_source import open_source
    from avsol_ros.training.evaluation.report import describe, write_report
    from avsol_ros.training.evaluation.report_tables import (
        HARDER,
        OF_FILMS,
        TABLE_2,
        format_table,
        table_rows,
    )
    from avsol_ros.training.evaluation.score_files import as_json
    from avsol_ros.training.evaluation.score_notes import explain
    from avsol_ros.training.evaluation.scoring import evaluate

    source = open_source(
        data,
        arguments.annotations,
        arguments.split,
        arguments.windows,
        arguments.seed,
        arguments.material,
    )
    with Progress() as progress:
        evaluation = evaluate(models, source, arguments.seed, progress.count, progress.warn)
    rows = table_rows(evaluation)
    about = {
        'data': data,
        'annotations': None if arguments.annotations is None else str(arguments.annotations),
        'split': None if source.of_films else arguments.split or 'test',
        'windows': len(evaluation.runs[0].samples),
        'seed': arguments.seed,
        'about': describe(evaluation),
    }
    if arguments.json:
        print(as_json(evaluation, rows, about))
    else:
        tables = [OF_FILMS] if source.of_films else []
        for columns in (*tables, TABLE_2, HARDER):
            table = format_table(rows, columns)
            if table:
                print(table, end='\n\n')
        print(*explain(evaluation), sep='\n')
    if arguments.out is not None:
        for path in write_report(arguments.out, evaluation, rows, about):
            print(path, file=sys.stderr)
    return ExitStatus.OK
