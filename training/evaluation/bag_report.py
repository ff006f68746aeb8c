"""The truth of a bag for ``avsol evaluate``, and the scores on it as tables and as values."""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from avsol_ros.bags import BagReader
from avsol_ros.errors import AvsolError
from avsol_ros.models.checkpoint import read_notes
from avsol_ros.training.annotations.bag_keys import VIDEO_KEY
from avsol_ros.training.evaluation.bag_scores import BagScores, RunScores
from avsol_ros.training.evaluation.bag_truth import truth_from_file, truth_from_topic
from avsol_ros.training.evaluation.report_tables import (
    HARDER,
    TABLE_2_OF_BAGS,
    format_table,
    table_rows,
)
from avsol_ros.training.evaluation.runs import Identity, identify, short_labels
from avsol_ros.training.evaluation.score_files import as_json
from avsol_ros.training.evaluation.score_notes import explain
from avsol_ros.training.evaluation.scoring import Evaluation


def open_scores(
    reader: BagReader,
    annotations: Path | None,
    topic: str | None,
    origin_ns: int | None,
    names: Sequence[str],
    seed: int,
) -> BagScores:
    """
    Read the truth of a bag, to score runs on it.

    :param annotations: a file, used instead of the topic.
    :param origin_ns: stamp of the annotation's time 0; None where it is not known.
    :param names: of the bag.
    """
    if annotations is not None:
        if origin_ns is None:
            raise AvsolError(
                'nothing in the bag tells the time at which the annotation begins; '
                'give --origin, the stamp in seconds of its time 0'
            )
        video = reader.custom.get(VIDEO_KEY)
        truth = truth_from_file(annotations, [*names, video] if video else names, origin_ns)
    else:
        truth = truth_from_topic(reader, topic, origin_ns or 0)
    return BagScores(truth, origin_ns or 0, {'Data': reader.name, 'Truth': truth.source}, seed)


def begin_run(scores: BagScores, name: str, config=None) -> RunScores:
    """
    Begin to score a run.

    :param name: of the model, or of the recorded results.
    :param config: of the model; None for recorded results.
    """
    identity = (
        Identity(name, None, None, name)
        if config is None
        else identify(name, config, read_notes(name))
    )
    return scores.begin(identity, name)


def report_scores(scores: BagScores, runs: Sequence[Mapping], seed: int) -> tuple[dict, list[str]]:
    """
    Scores of all runs.

    :param runs: of the document: ``model`` and ``heatmaps``.
    :returns: plain values, and tables and notes as text.
    """
    evaluation = scores.evaluation()
    evaluation.notes += [*_heatmap_notes(runs), *_window_notes(evaluation)]
    labels = short_labels([run.name for run in evaluation.runs])
    for run, label in zip(evaluation.runs, labels):
        run.row['label'] = label
    rows = table_rows(evaluation)
    values = json.loads(
        as_json(evaluation, rows, {'windows': len(evaluation.truths), 'seed': seed})
    )
    texts = [
        format_table(rows, TABLE_2_OF_BAGS),
        format_table(rows, HARDER),
        '\n'.join(explain(evaluation)),
    ]
    return values, [text for text in texts if text]


def _heatmap_notes(runs: Sequence[Mapping]) -> list[str]:
    """What was scored of runs whose results have no exact heatmap."""
    notes = []
    for run in runs:
        if 'boxes' in run['heatmaps']:
            notes.append(
                f'{run["model"]}: {"some" if len(run["heatmaps"]) > 1 else "all"} results have '
                'no heatmap, so their boxes are scored: the score inside, the peak in the middle '
                'of the strongest.'
            )
        elif 'mono8' in run['heatmaps']:
            notes.append(
                f'{run["model"]}: heatmaps of 8 bits are scored, in which many pixels share a '
                'value; without AVC they are relative to their peak.'
            )
    return notes


def _window_notes(evaluation: Evaluation) -> list[str]:
    """What the windows of the bag mean for the scores."""
    notes = []
    starts = sorted({truth.start for truth in evaluation.truths.values()})
    hop_s = min((after - before for before, after in pairwise(starts)), default=1.0)
    if hop_s < 1 - 1e-6:
        notes.append(
            f'Windows overlap (hop {hop_s:.3g} s), and each counts the frames of truth in it; '
            'with a hop of 1 s every frame counts once, as in the paper.'
        )
    if not any(run.frames.is_ave.any() for run in evaluation.runs):
        notes.append(
            'In none of the windows does the truth say that something in view sounds, so there is '
            'nothing to score places against.'
        )
    return notes
