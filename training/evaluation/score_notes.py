"""What a reader of the tables of scores has to know, a sentence each."""

from collections.abc import Sequence

from avsol_ros.training.evaluation.runs import group_runs
from avsol_ros.training.evaluation.scoring import SURE, Evaluation, ModelRun
from avsol_ros.training.evaluation.wording import counted

_MOST_NAMED = 5  # failed windows that are named

# What is explained as soon as a run has scores of that kind: count of its windows, sentence.
_MEANINGS = (
    (
        'windows/swapped',
        'Boxes up to 60 % and over 60 % of the picture are told apart: of the latter any map '
        'fills them. Mixed: windows of the former with something silent in view, too. Maps are '
        'scored at most 224 pixels wide or high, on the one annotated frame of each window.',
    ),
    (
        'windows/presence_auc',
        'Presence: area under the ROC of AVC, which has to tell windows in which something in '
        'view sounds from all others; of motion and confidence that of the peak of the map. '
        'Guessing gives 0.5.',
    ),
    (
        'windows/swapped',
        'Swapped sound: each window in which something in view sounds gets the sound of another '
        'film, whose annotation has no category in common with its own. AVC falls: the share of '
        'these windows in which it is lower than with their own sound; a model that does not '
        'hear has 0, and guessing 0.5. HmBoxAUC and PiBR are those of boxes up to 60 %, and of a '
        'model that hears lower than with their own sound.',
    ),
    (
        'windows/class_accuracy',
        'Class accuracy: of the windows in which something in view sounds, the share whose '
        'highest class score is that of something that does.',
    ),
    (
        'windows/presence_accuracy',
        f'Presence accuracy: the mean of two shares: AVC is {SURE:g} or more in windows in which '
        'something in view sounds, and less in windows in which nothing in view ever does. '
        'Guessing gives 0.5.',
    ),
    (
        'windows/avc_accuracy',
        'AVC accuracy: of the windows in which something in view sounds, the mean of two shares: '
        f'AVC is {SURE:g} or more with their own sound, and less with that of another window '
        '(in scenes and clips perhaps of the same category). Guessing gives 0.5.',
    ),
)


def explain(evaluation: Evaluation) -> list[str]:
    """All notes on an evaluation: its own, the meaning of its columns, what is missing."""
    runs = evaluation.runs
    return [
        *evaluation.notes,
        *(text for key, text in _MEANINGS if any(key in run.row for run in runs)),
        *_presence_counts(runs),
        *_runs_without_avc(runs),
        *map(_failures, [run for run in runs if run.failed]),
        *_seeds(runs),
        *_frames_left_out(runs),
    ]


def _presence_counts(runs: Sequence[ModelRun]) -> list[str]:
    notes = []
    for run in runs:
        yes, no = (run.row.get(f'windows/presence_{kind}', 0) for kind in ('yes', 'no'))
        if yes and no:
            notes.append(
                f'{run.label}: right in {round(run.row["presence_yes"] * yes)} of '
                f'{counted(yes, "window")} with something that sounds in view, and in '
                f'{round(run.row["presence_no"] * no)} of {no} without.'
            )
    return notes


def _runs_without_avc(runs: Sequence[ModelRun]) -> list[str]:
    names = [run.label for run in runs if not run.has_avc]
    return [f'No AVC, so no PNSR: {", ".join(names)}.'] if names else []


def _failures(run: ModelRun) -> str:
    names = ', '.join(map(run.samples.name, run.failed))
    return (
        f'{run.label}: {len(run.failed)} of {counted(len(run.samples), "window")} failed and are '
        'left out' + (f' ({names}).' if len(run.failed) <= _MOST_NAMED else '.')
    )


def _seeds(runs: Sequence[ModelRun]) -> list[str]:
    if len(group_runs([run.identity for run in runs])) == len(runs):
        return []
    return [
        'Mean and standard deviation (n - 1) are over seeds of training; all are scored on the '
        'same windows.'
    ]


def _frames_left_out(runs: Sequence[ModelRun]) -> list[str]:
    left_out = max((run.frames.left_out for run in runs), default=0)
    if not left_out:
        return []
    return [f'{left_out} AVE frames are left out: their boxes cover no pixel of the map.']
