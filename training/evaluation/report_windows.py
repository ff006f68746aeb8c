"""Which windows and recordings a report shows: typical, best and worst ones, false alarms."""

from collections.abc import Callable, Mapping, Sequence

from avsol_ros.training.evaluation.samples import Truth
from avsol_ros.training.evaluation.scoring import SURE, ModelRun
from avsol_ros.training.evaluation.tally import WindowScores

_BEST, _WORST, _SEQUENCES = 3, 6, 3


def common_windows(runs: Sequence[ModelRun]) -> list[int]:
    """Indices of the windows of which every run has a result, rising."""
    return sorted(set.intersection(*(set(run.found) for run in runs)))


def typical_windows(
    scores: Mapping[int, WindowScores], truths: Mapping[int, Truth], indices: Sequence[int]
) -> dict[str, int]:
    """
    A window for each kind of scene, all of whose frames are of that kind.

    :returns: the kind in words -> index; of windows with AVE frames the one with the median
        HmBoxAUC, of others the one with the median peak.
    """

    def is_only(kind: str) -> Callable[[int], bool]:
        return lambda index: scores[index].only_kind == kind

    def facts(index: int) -> Mapping:
        return truths[index].facts

    single, multiple = is_only('single'), is_only('multiple')
    kinds = {
        'One object sounds': lambda i: single(i) and not facts(i)['lookalike'],
        'One sounds, a silent look-alike beside it': lambda i: single(i) and facts(i)['lookalike'],
        'Several of one category sound': lambda i: multiple(i) and facts(i)['categories'] == 1,
        'Different categories sound at once': lambda i: multiple(i) and facts(i)['categories'] > 1,
        'Something out of view sounds': is_only('audible'),
        'In view, and silent': is_only('visible'),
        'Nothing that is annotated, seen or heard': is_only('noise'),
    }

    def level(index: int) -> tuple[float, int]:
        one = scores[index]
        return (one.hmbox_auc if one.has_ave else one.peak), index

    found = {}
    for words, fits in kinds.items():
        fitting = sorted(filter(fits, indices), key=level)
        if fitting:
            found[words] = fitting[len(fitting) // 2]
    return found


def best_and_worst(
    scores: Mapping[int, WindowScores], indices: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Windows with the highest and, worst first, with the lowest HmBoxAUC; none twice."""
    ranked = sorted(
        (i for i in indices if scores[i].has_ave), key=lambda i: (-scores[i].hmbox_auc, i)
    )
    if len(ranked) <= _BEST:
        return [], []
    return ranked[:_BEST], ranked[: _BEST - 1 : -1][:_WORST]


def false_alarms(
    run: ModelRun, scores: Mapping[int, WindowScores], indices: Sequence[int]
) -> tuple[list[int], int, int]:
    """
    Windows in which nothing in view sounds, but AVC says that something does.

    :returns: those with the highest peaks; how many there are; and how many windows there are in
        which nothing in view sounds.
    """
    quiet = [i for i in indices if scores[i].is_quiet]
    alarms = sorted(
        (i for i in quiet if run.found[i].avc >= SURE), key=lambda i: (-scores[i].peak, i)
    )
    return alarms[:_WORST], len(alarms), len(quiet)


def eventful_recordings(indices: Sequence[int], truths: Mapping[int, Truth]) -> list[list[int]]:
    """
    Parts of recordings, second by second without a gap, in which most happens.

    :returns: indices of each; first those with and without a sound in view, then those in which
        the kind of frames changes most often, of equals the longer.
    """
    by_recording: dict[int, list[int]] = {}
    for index in indices:
        by_recording.setdefault(truths[index].recording, []).append(index)
    parts = [_longest_part(some, truths) for some in by_recording.values()]

    def eventfulness(part: list[int]) -> tuple:
        frames = [frame for index in part for frame in truths[index].frames]
        changes = sum(a.kind != b.kind for a, b in zip(frames, frames[1:]))
        return -len({frame.is_ave for frame in frames}), -changes, -len(part), part[0]

    return sorted((part for part in parts if len(part) > 1), key=eventfulness)[:_SEQUENCES]


def _longest_part(indices: Sequence[int], truths: Mapping[int, Truth]) -> list[int]:
    """The longest part of a recording without a gap; the first of equals."""
    parts = [[indices[0]]]
    for index in indices[1:]:
        if truths[index].start - truths[parts[-1][-1]].start == 1:
            parts[-1].append(index)
        else:
            parts.append([index])
    return max(parts, key=len)
