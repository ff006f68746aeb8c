"""
A report that can be sent to a colleague: one HTML file, and the same numbers as JSON and CSV.

It shows the tables, what each model makes of typical, best and worst windows as figures 4 to 6 of
the paper do, and the curves behind the numbers.
"""

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from avsol_ros import __version__
from avsol_ros.files import StagedFolder
from avsol_ros.training.evaluation.report_page import build_page
from avsol_ros.training.evaluation.score_files import as_json, rows_csv, windows_csv
from avsol_ros.training.evaluation.scoring import Evaluation


def describe(evaluation: Evaluation) -> dict[str, str]:
    """What was evaluated and with what: heading -> text."""
    models = [
        run.name if run.identity.seed is None else f'{run.name} (seed {run.identity.seed})'
        for run in evaluation.runs
    ]
    return {
        'Models': ', '.join(models),
        **evaluation.source.about,
        'Categories': f'{len(evaluation.source.categories)}',
        'Failed windows': str(max(len(run.failed) for run in evaluation.runs)),
        'Versions': f'avsol_ros {__version__}, PyTorch {torch.__version__}, '
        f'NumPy {np.__version__}, Python {platform.python_version()}',
    }


def write_report(
    folder: Path, evaluation: Evaluation, rows: Sequence[Mapping], about: Mapping
) -> list[Path]:
    """
    Write all files beside, and move them to their places when the last is whole.

    :param rows: what ``table_rows`` gives.
    :param about: what goes before the rows in the JSON.
    :returns: their paths, the page first.
    """
    texts = {
        'report.html': build_page(evaluation, rows, describe(evaluation)),
        'scores.json': as_json(evaluation, rows, about) + '\n',
        'scores.csv': rows_csv(rows),
        'windows.csv': windows_csv(evaluation),
    }
    with StagedFolder(folder) as staged:
        for name, text in texts.items():
            (staged.part / name).write_text(text, encoding='utf-8')
        staged.commit(reversed(texts))
    return [folder / name for name in texts]
