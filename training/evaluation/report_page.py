"""The page of a report: what it shows, for the templates that lay it out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from avsol_ros.training.evaluation import report_pictures as pictures
from avsol_ros.training.evaluation.curves import RECALLS, mean_curve
from avsol_ros.training.evaluation.html_table import ScoreTable, score_table
from avsol_ros.training.evaluation.report_charts import COLOURS, Chart, histogram, line_chart
from avsol_ros.training.evaluation.report_tables import HARDER, OF_FILMS, TABLE_2
from avsol_ros.training.evaluation.report_windows import (
    best_and_worst,
    common_windows,
    eventful_recordings,
    false_alarms,
    typical_windows,
)
from avsol_ros.training.evaluation.runs import group_runs
from avsol_ros.training.evaluation.score_notes import explain
from avsol_ros.training.evaluation.scoring import SURE, Evaluation, ModelRun
from avsol_ros.training.evaluation.tally import scores_by_window
from avsol_ros.training.evaluation.wording import counted
from avsol_ros.training.metrics.roc import roc

_SHOWN = COLOURS  # models in pictures and charts
_SEQUENCE_MODELS = 3
_TEMPLATES = Path(__file__).parent / 'templates'


def build_page(evaluation: Evaluation, rows: Sequence[Mapping], about: Mapping[str, str]) -> str:
    """
    The whole report as one HTML document that loads nothing from elsewhere.

    :param rows: what ``table_rows`` gives.
    :param about: what was evaluated and with what: heading -> text.
    """
    groups = group_runs([run.identity for run in evaluation.runs])
    # Of several seeds the first.
    shown = [evaluation.runs[group[0]] for group in groups][:_SHOWN]
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template('report.html').render(
        about=about,
        scores=score_table(rows, TABLE_2, 'Scores'),
        several=len(groups) > 1,
        notes=explain(evaluation),
        films=(
            score_table(rows, OF_FILMS, 'Scores on films') if evaluation.source.of_films else None
        ),
        harder=score_table(rows, HARDER, 'Scores in harder scenes'),
        categories=_category_table(evaluation, shown),
        models=[run.label for run in shown],
        curves=_precision_chart(evaluation, shown),
        detection=_detection_charts(shown),
        windows=_windows(evaluation, shown),
        sequences=_sequences(evaluation, shown[:_SEQUENCE_MODELS]),
    )


def _category_table(evaluation: Evaluation, shown: Sequence[ModelRun]) -> ScoreTable | None:
    """A row for each category that occurs, a column for each model and for each baseline."""
    scored = [run.row for run in shown] + evaluation.baselines
    counts, metrics = scored[0], (('hmbox_auc', 'HmBoxAUC'), ('pibr', 'PiBR'))
    rows = []
    for name in evaluation.source.categories:
        frames = counts[f'frames/category/{name}']
        windows = counts[f'windows/category/{name}']
        if frames:
            rows.append(
                {
                    'kind': 'category',
                    'model': f'{name} ({counted(frames, "frame")}, {counted(windows, "window")})',
                    **{
                        f'{metric}/{k}': row[f'{metric}/category/{name}']
                        for metric, _ in metrics
                        for k, row in enumerate(scored)
                    },
                }
            )
    columns = [
        (f'{metric}/{k}', heading, row.get('label', row['model']))
        for metric, heading in metrics
        for k, row in enumerate(scored)
    ]
    return score_table(rows, columns, 'Scores for each category', 'category')


def _precision_chart(evaluation: Evaluation, shown: Sequence[ModelRun]) -> Chart | None:
    curves = [
        (k, mean_curve(run, evaluation.truths, evaluation.source.scored_size))
        for k, run in enumerate(shown)
    ]
    lines = [(k, RECALLS, curve) for k, curve in curves if curve is not None]
    if not lines:
        return None
    return line_chart(
        'Precision over recall, one line for each model', lines, 'recall', 'precision'
    )


@dataclass(frozen=True)
class _Peaks:
    """Histogram of the peaks of a model's maps, and the means of both kinds of frames."""

    label: str
    ave: float
    other: float
    chart: Chart


@dataclass(frozen=True)
class _Detection:
    """How well the peak of the map tells AVE frames from others; areas by model, as text."""

    areas: str
    chart: Chart
    peaks: list[_Peaks]


def _detection_charts(shown: Sequence[ModelRun]) -> _Detection | None:
    lines, areas, peaks = [], [], []
    for k, run in enumerate(shown):
        ave = run.frames.is_ave
        if not run.has_avc or not ave.any() or ave.all():
            continue
        high, low = run.frames.peaks[ave], run.frames.peaks[~ave]
        false_rate, true_rate, area = roc(high, low)
        lines.append((k, false_rate, true_rate))
        areas.append(f'{run.label} {area:.3f}')
        title = (
            f'Peaks of {run.label}: mean {high.mean():.2f} in AVE frames, '
            f'{low.mean():.2f} in others'
        )
        chart = histogram(title, [('ave', high), ('other', low)], 'peak of the map')
        peaks.append(_Peaks(run.label, high.mean(), low.mean(), chart))
    if not lines:
        return None
    areas = '; '.join(areas)
    chart = line_chart(
        f'True over false positive rate; area {areas}',
        lines,
        'false positive rate',
        'true positive rate',
        diagonal=True,
    )
    return _Detection(areas, chart, peaks)


@dataclass(frozen=True)
class _FalseAlarms:
    label: str
    alarms: int
    quiet: int
    sure: float
    strips: list[pictures.Strip]


@dataclass(frozen=True)
class _Windows:
    """
    Windows with the map of each model.

    :param judge: the model by whose scores they are chosen.
    :param strip_width: of one of them, pixels.
    """

    judge: str
    strip_width: int
    typical: list[pictures.Strip]
    best: list[pictures.Strip]
    worst: list[pictures.Strip]
    false_alarms: _FalseAlarms | None


def _windows(evaluation: Evaluation, shown: Sequence[ModelRun]) -> _Windows:
    scores = {run.name: scores_by_window(run.frames, run.found) for run in shown}
    indices, judge = common_windows(shown), shown[0]

    def strips(chosen: Sequence[int], examples: Sequence[str] | None = None) -> list:
        return [
            pictures.strip(
                judge.samples[index],
                shown,
                index,
                [scores[run.name][index] for run in shown],
                example,
            )
            for index, example in zip(chosen, examples or [''] * len(chosen))
        ]

    typical = typical_windows(scores[judge.name], evaluation.truths, indices)
    best, worst = best_and_worst(scores[judge.name], indices)
    alarms = None
    with_avc = next((run for run in shown if run.has_avc), None)
    if with_avc is not None:
        chosen, count, quiet = false_alarms(with_avc, scores[with_avc.name], indices)
        if quiet:
            alarms = _FalseAlarms(with_avc.label, count, quiet, SURE, strips(chosen))
    return _Windows(
        judge.label,
        pictures.strip_width(len(shown)),
        strips(typical.values(), typical.keys()),
        strips(best),
        strips(worst),
        alarms,
    )


def _sequences(evaluation: Evaluation, shown: Sequence[ModelRun]) -> list[pictures.SecondBySecond]:
    if not evaluation.source.recordings:
        return []
    parts = eventful_recordings(common_windows(shown), evaluation.truths)
    return [
        pictures.sequence([shown[0].samples[index] for index in part], shown, part)
        for part in parts
    ]
