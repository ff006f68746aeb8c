"""
A report that can be sent to a colleague: one HTML file, and the same numbers as JSON and CSV.

It shows the tables, what each model makes of typical, best and worst windows as figures 4 to 6 of
the paper do, and the curves behind the numbers.
"""

import os
import platform
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from html import escape
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch

from avsol_ros import __version__
from avsol_ros.errors import AvsolError
from avsol_ros.training.evaluation import report_pictures as pictures
from avsol_ros.training.evaluation.report_charts import (
    COLOURS,
    histogram,
    line_chart,
    precision_at_recall,
    roc,
)
from avsol_ros.training.evaluation.report_page import definitions, legend, page, score_table
from avsol_ros.training.evaluation.report_tables import (
    HARDER,
    TABLE_2,
    as_json,
    explain,
    rows_csv,
    windows_csv,
    windows_of,
)
from avsol_ros.training.evaluation.runs import group_runs
from avsol_ros.training.evaluation.scoring import SURE, Evaluation, ModelRun
from avsol_ros.training.evaluation.tally import KINDS, sounding_mask

_SHOWN = COLOURS  # models in pictures and charts
_BEST, _WORST = 3, 6
_SEQUENCES, _SEQUENCE_MODELS = 3, 3
_RECALLS = np.arange(1, 101) / 100
_TRUTH_KEYS = (
    ('sounding', 'sounds'),
    ('silent', 'in view and silent'),
    ('unseen', 'sounds out of view'),
)


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
        'report.html': build_page(evaluation, rows),
        'scores.json': as_json(evaluation, rows, about) + '\n',
        'scores.csv': rows_csv(rows),
        'windows.csv': windows_csv(evaluation),
    }
    part = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix='.report.', suffix='.part', dir=folder))
        for name, text in texts.items():
            (part / name).write_text(text, encoding='utf-8')
        for name in reversed(texts):
            os.replace(part / name, folder / name)
    except OSError as error:
        raise AvsolError(
            f'cannot write into {folder} ({error.strerror}); make room or choose another folder'
        ) from None
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)
    return [folder / name for name in texts]


def build_page(evaluation: Evaluation, rows: Sequence[Mapping]) -> str:
    """The whole report as HTML."""
    groups = group_runs([run.identity for run in evaluation.runs])
    shown = [evaluation.runs[group[0]] for group in groups][:_SHOWN]
    by_window = {run.name: windows_of(run) for run in shown}
    notes = ''.join(f'<li>{escape(line)}</li>' for line in explain(evaluation))
    underlined = (
        ' The best of each column is underlined; of several seeds the mean counts.'
        if len(groups) > 1
        else ''
    )
    parts = [
        definitions(describe(evaluation)),
        '<h2>Scores</h2>',
        '<p>The columns of Table 2. HmBoxAUC, 0 to 1: how well heat fills the boxes of what '
        'sounds. PiBR, 0 to 1: share of frames with the peak in such a box. PNSR, lower is '
        'better: mean peak where nothing in view sounds over the mean of the highest value in '
        'the boxes where something does; a constant map has 1, and it may be more. Centre prior '
        'and random maps look at nothing. Frames of one window share one map, so the number of '
        f'windows tells how much a mean is worth.{underlined}</p>',
        score_table(rows, TABLE_2, 'Scores'),
        f'<ul>{notes}</ul>' if notes else '',
        _harder(rows),
        _categories(evaluation, shown),
        *_charts(shown, evaluation),
        *_strips(evaluation, shown, by_window),
        *_sequences(evaluation, shown),
    ]
    wide = 18 + 200 * (1 + len(shown))  # pictures, gaps and the border of a strip
    return page('Sounding object localization: evaluation', parts, wide)


def _harder(rows: Sequence[Mapping]) -> str:
    table = score_table(rows, HARDER, 'Scores in harder scenes')
    if not table:
        return ''
    return (
        '<h2>Harder scenes</h2><p>'
        'Frames in which several objects of one category sound in view, or of several; AVE '
        'frames of windows in which a silent object is of the category of one that sounds '
        '(look-alike); non-AVE frames of windows in which a silent object is of the category '
        'of what sounds out of view, and nothing of that category sounds in view '
        f'(impostor).</p>{table}'
    )


def _categories(evaluation: Evaluation, shown: Sequence[ModelRun]) -> str:
    """A row for each category that occurs, a column for each model and for both baselines."""
    scored = [run.row for run in shown] + evaluation.baselines
    first = scored[0]
    rows = [
        {
            'kind': 'category',
            'model': f'{name} ({first[f"frames/category/{name}"]} frames, '
            f'{first[f"windows/category/{name}"]} windows)',
            **{
                f'{metric}/{k}': row[f'{metric}/category/{name}']
                for metric in ('hmbox_auc', 'pibr')
                for k, row in enumerate(scored)
            },
        }
        for name in evaluation.source.categories
        if first[f'frames/category/{name}']
    ]
    columns = [
        (f'{metric}/{k}', over, row.get('label', row['model']))
        for metric, over in (('hmbox_auc', 'HmBoxAUC'), ('pibr', 'PiBR'))
        for k, row in enumerate(scored)
    ]
    table = score_table(rows, columns, 'Scores for each category', 'category')
    if not table:
        return ''
    return (
        '<h2>Categories</h2><p>Frames in which the category sounds in view. The map is of no '
        'category, so a frame counts for each that is in it. Of several seeds the first is '
        f'shown, here and below.</p>{table}'
    )


def mean_curve(run: ModelRun, evaluation: Evaluation) -> np.ndarray | None:
    """
    Precision at each recall of ``_RECALLS``, averaged over AVE frames; None without any.

    Maps are rounded to 16 bits, whose order is found at once: enough for a curve.
    """
    total, count = np.zeros(len(_RECALLS)), 0
    for index, found in run.found.items():
        truth = evaluation.truths[index]
        masks = [
            sounding_mask(frame, truth.size, found.image_size)
            for frame in truth.frames
            if frame.is_ave
        ]
        masks = np.array([mask for mask in masks if mask.any()])
        if len(masks):
            heat = pictures.stretch(found.heatmap_at(*found.image_size))
            levels = np.round(heat * 65535).astype(np.uint16)
            total += precision_at_recall(levels, masks, _RECALLS).sum(0)
            count += len(masks)
    return total / count if count else None


def _charts(shown: Sequence[ModelRun], evaluation: Evaluation) -> list[str]:
    keys = [(f'line k{k}', run.label) for k, run in enumerate(shown)]
    curves = [
        (k, _RECALLS, curve)
        for k, run in enumerate(shown)
        if (curve := mean_curve(run, evaluation)) is not None
    ]
    parts = []
    if curves:
        parts.append(
            '<div><h3>Precision and recall</h3><p>Averaged over AVE frames; HmBoxAUC is '
            'the mean area below such curves.</p>'
            + line_chart(
                'Precision over recall, one line for each model', curves, 'recall', 'precision'
            )
            + '</div>'
        )
    told = []
    for k, run in enumerate(shown):
        ave = run.frames.is_ave
        if run.has_avc and ave.any() and not ave.all():
            told.append((k, run, run.frames.peaks[ave], run.frames.peaks[~ave]))
    if told:
        rates = [(k, run, *roc(high, low)) for k, run, high, low in told]
        lines = [(k, wrong, right) for k, _, wrong, right, _ in rates]
        areas = '; '.join(f'{run.label} {area:.3f}' for _, run, *_, area in rates)
        parts.append(
            '<div><h3>Does anything in view sound?</h3><p>The peak of the map tells AVE '
            'from non-AVE frames. Area below the curve (guessing: 0.5): '
            f'{escape(areas)}.</p>'
            + line_chart(
                f'True over false positive rate; area {areas}',
                lines,
                'false positive rate',
                'true positive rate',
                chance=True,
            )
            + '</div>'
        )
    for _, run, high, low in told:
        parts.append(
            f'<div><h3>Peaks: {escape(run.label)}</h3>'
            + legend(
                [
                    ('ave', f'AVE frames, mean {high.mean():.2f}'),
                    ('other', f'non-AVE frames, mean {low.mean():.2f}'),
                ]
            )
            + histogram(
                f'Peaks of {run.label}: mean {high.mean():.2f} in AVE frames, '
                f'{low.mean():.2f} in others',
                [('ave', high), ('other', low)],
                'peak of the map',
            )
            + '</div>'
        )
    if not parts:
        return []
    return ['<h2>Curves</h2>', legend(keys), f'<div class="charts">{"".join(parts)}</div>']


def typical(by_window: Mapping[int, dict], truths: Mapping, indices: Sequence[int]) -> dict:
    """
    A window for each kind of scene, all of whose frames are of that kind.

    :returns: words -> index; of windows with AVE frames the one with the median HmBoxAUC, of
        others the one with the median peak.
    """

    def pure(index, kind):
        kinds = by_window[index]['kinds']
        return kinds[KINDS.index(kind)] == sum(kinds) > 0

    def facts(index):
        return truths[index].facts

    wanted = {
        'One object sounds': lambda i: pure(i, 'single') and not facts(i)['lookalike'],
        'One sounds, a silent look-alike beside it': lambda i: (
            pure(i, 'single') and facts(i)['lookalike']
        ),
        'Several of one category sound': lambda i: (
            pure(i, 'multiple') and facts(i)['categories'] == 1
        ),
        'Different categories sound at once': lambda i: (
            pure(i, 'multiple') and facts(i)['categories'] > 1
        ),
        'Something out of view sounds': lambda i: pure(i, 'audible'),
        'In view, and silent': lambda i: pure(i, 'visible'),
        'Nothing that is annotated, seen or heard': lambda i: pure(i, 'noise'),
    }
    found = {}
    for words, fits in wanted.items():
        some = [i for i in indices if fits(i)]
        some.sort(
            key=lambda i: (
                by_window[i]['hmbox_auc']
                if by_window[i]['kinds'][0] or by_window[i]['kinds'][1]
                else by_window[i]['peak'],
                i,
            )
        )
        if some:
            found[words] = some[len(some) // 2]
    return found


def _strips(evaluation: Evaluation, shown: Sequence[ModelRun], by_window: Mapping) -> list[str]:
    judge = shown[0]
    scores = by_window[judge.name]
    indices = sorted(set.intersection(*(set(run.found) for run in shown)))

    def strips(chosen, words=()) -> str:
        made = [
            pictures.strip(
                judge.samples[i], shown, i, [by_window[run.name][i] for run in shown], text
            )
            for i, text in zip_longest(chosen, words, fillvalue='')
        ]
        return f'<div class="strips">{"".join(made)}</div>'

    parts = [
        '<h2>What the models see</h2>',
        legend(_TRUTH_KEYS),
        '<p>Left a frame near the middle of the second, where there is one with something '
        'that sounds in view, and what is annotated in it. Then the map of each model for '
        'that second, stretched from its lowest to its highest value as in figures 4 and 5 '
        'of the paper, so that a suppressed map glows too: AVC below it tells. At '
        'the bottom the sound, and when something sounds in view or out of view. What has no '
        'box is of no category. Windows are chosen by the scores of '
        f'{escape(judge.label)}.</p>',
    ]
    examples = typical(scores, evaluation.truths, indices)
    if examples:
        parts.append('<h3>Typical windows</h3>' + strips(examples.values(), examples))
    ranked = sorted(
        (i for i in indices if scores[i]['hmbox_auc'] == scores[i]['hmbox_auc']),
        key=lambda i: (-scores[i]['hmbox_auc'], i),
    )
    if len(ranked) > _BEST:
        parts.append('<h3>Best windows, by HmBoxAUC</h3>' + strips(ranked[:_BEST]))
        worst = ranked[: _BEST - 1 : -1][:_WORST]
        parts.append('<h3>Worst windows, by HmBoxAUC</h3>' + strips(worst))
    alarmed = next((run for run in shown if run.has_avc), None)
    if alarmed is not None:
        scores = by_window[alarmed.name]
        quiet = [i for i in indices if sum(scores[i]['kinds']) and not any(scores[i]['kinds'][:2])]
        alarms = sorted(
            (i for i in quiet if alarmed.found[i].avc >= SURE),
            key=lambda i: (-scores[i]['peak'], i),
        )
        if quiet:
            parts.append(
                f'<h3>Worst false alarms ({escape(alarmed.label)})</h3>'
                f'<p>In {len(alarms)} of {len(quiet)} windows in which nothing in view '
                f'sounds AVC is {SURE:g} or more; those with the highest peaks.</p>'
                + (strips(alarms[:_WORST]) if alarms else '')
            )
    return parts


def _sequences(evaluation: Evaluation, shown: Sequence[ModelRun]) -> list[str]:
    if not evaluation.source.recordings:
        return []
    shown = shown[:_SEQUENCE_MODELS]
    by_recording = {}
    for index in sorted(set.intersection(*(set(run.found) for run in shown))):
        by_recording.setdefault(evaluation.truths[index].recording, []).append(index)
    runs = [
        run
        for indices in by_recording.values()
        if len(run := _successive(indices, evaluation.truths)) > 1
    ]

    def changes(indices) -> int:
        kinds = [frame.kind for i in indices for frame in evaluation.truths[i].frames]
        return sum(a != b for a, b in zip(kinds, kinds[1:]))

    # The most eventful ones; of equals the longer.
    runs.sort(
        key=lambda run: (
            -len({frame.is_ave for i in run for frame in evaluation.truths[i].frames}),
            -changes(run),
            -len(run),
            run[0],
        )
    )
    if not runs:
        return []
    return [
        '<h2>Second by second</h2>',
        legend(_TRUTH_KEYS),
        '<p>As figure 6 of the paper: the clips in which most happens. Here heat is what the '
        'model says, so that it is dark where a model with AVC hears nothing in view.</p>',
        *(
            pictures.sequence([shown[0].samples[i] for i in run], shown, run)
            for run in runs[:_SEQUENCES]
        ),
    ]


def _successive(indices: Sequence[int], truths: Mapping) -> list[int]:
    """The longest part of a recording without a gap; the first of equals."""
    parts = [[indices[0]]]
    for index in indices[1:]:
        if truths[index].start - truths[parts[-1][-1]].start == 1:
            parts[-1].append(index)
        else:
            parts.append([index])
    return max(parts, key=len)
