"""
Score models on windows whose truth is known, by the metrics of section 3.3.

What is scored is what a robot would publish: the map of a window, resized to the window's
pictures, is compared with every annotated frame in it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from avsol_ros.errors import AvsolError
from avsol_ros.inference.localizer import Localizer
from avsol_ros.localization import Localization, upsample
from avsol_ros.models.checkpoint import load_checkpoint, read_notes
from avsol_ros.models.network import LocalizationModel
from avsol_ros.progress import OnCount, count_nothing
from avsol_ros.streams.windows import AudioVisualWindow
from avsol_ros.training.evaluation.deaf_rows import DeafRows
from avsol_ros.training.evaluation.presence import presence_area
from avsol_ros.training.evaluation.rendered_samples import RenderedSamples
from avsol_ros.training.evaluation.runs import Identity, identify, short_labels
from avsol_ros.training.evaluation.samples import Samples, Source, Truth
from avsol_ros.training.evaluation.tally import FrameTable, Tally, summarize
from avsol_ros.training.metrics import Scores
from avsol_ros.training.synthetic.window_set import WindowSet

SURE = 0.5  # AVC probability from which a window counts as sounding
# Errors of one window, which must not end the run.
_FAILURES = (AvsolError, ValueError, RuntimeError, OSError)


def predict(model: LocalizationModel, windows: WindowSet) -> list[Localization]:
    """Run a model over a rendered set, with the code that runs live."""
    localizer, samples = Localizer(model), RenderedSamples(windows)
    return [localizer(samples[index].window) for index in range(len(samples))]


def score_windows(heatmaps: np.ndarray, windows: WindowSet) -> Scores:
    """
    Score one heatmap per window of a rendered set, at the size of its frames.

    :param heatmaps: (n, h, w) float, 0 to 1; smaller ones are resized.
    """
    samples, collector, truths = RenderedSamples(windows), Tally(), {}
    height, width = windows.frames.shape[2:4]
    for index, heatmap in enumerate(heatmaps):
        truths[index] = samples[index].truth
        collector.add(index, upsample(heatmap, height, width), truths[index])
    row = summarize(collector.table(), truths)
    return Scores(
        row['hmbox_auc'], row['pibr'], row['pnsr'], row['frames/ave'], row['frames/other']
    )


@dataclass(eq=False)
class ModelRun:
    """
    The results of one model.

    :param samples: the windows as it takes them.
    :param found: index of a window -> what the model says, without its class map.
    :param foreign: index of an AVE window -> AVC probability with another window's sound.
    :param swapped: of films, the frames of those windows scored by the map with that sound.
    :param row: ``summarize`` and the accuracies.
    :param failed: index of a window -> why it has no result.
    """

    identity: Identity
    samples: Samples
    frames: FrameTable
    found: dict[int, Localization]
    foreign: dict[int, float]
    failed: dict[int, str]
    swapped: FrameTable | None = None
    row: dict = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.identity.name

    @property
    def label(self) -> str:
        """A short name, for tables and captions."""
        return self.row['label']

    @property
    def has_avc(self) -> bool:
        return any(one.avc is not None for one in self.found.values())


@dataclass(eq=False)
class Evaluation:
    """
    Models scored on one source.

    :param runs: one for each model.
    :param baselines: rows of the maps that do not hear.
    :param truths: index of a window -> what is known of it; all windows that have a result.
    :param notes: what a reader has to know, a sentence each.
    """

    source: Source
    runs: list[ModelRun]
    baselines: list[dict]
    truths: dict[int, Truth]
    notes: list[str]


def evaluate(
    names: Sequence[str],
    source: Source,
    seed: int = 0,
    progress: OnCount = count_nothing,
    warn: Callable[[str], None] = lambda line: None,
) -> Evaluation:
    """
    Score models, and maps that do not hear, on the same windows.

    :param names: shipped names or checkpoint paths; a repeated one is taken once.
    :param seed: of the random maps and of foreign sounds.
    :param progress: told how many scenes are rendered, and how many windows each model has done.
    :param warn: called with a line for each window that fails.
    """
    models = [(name, load_checkpoint(name)) for name in dict.fromkeys(map(str, names))]
    if not models:
        raise AvsolError('there is no model to score; expected a shipped name or a checkpoint')
    truths: dict[int, Truth] = {}
    runs: list[ModelRun] = []
    notes: list[str] = []
    deaf = DeafRows(seed)
    for (name, model), label in zip(models, short_labels([name for name, _ in models])):
        run = _run(
            identify(name, model.config, read_notes(name)),
            model,
            source,
            seed,
            truths,
            deaf,
            progress,
            warn,
        )
        run.row = {
            'model': name,
            'label': label,
            **summarize(run.frames, truths, source.categories),
            **accuracies(run, truths, model.config.classes, source.categories, notes),
            **(film_scores(run, truths) if source.of_films else {}),
        }
        if not run.has_avc:
            run.row.update((key, float('nan')) for key in run.row if key.startswith('pnsr'))
        runs.append(run)
    notes += deaf.notes
    baselines = deaf.rows(truths, source.categories, source.of_films)
    return Evaluation(source, runs, baselines, truths, notes)


def _run(
    identity: Identity,
    model: LocalizationModel,
    source: Source,
    seed: int,
    truths: dict,
    deaf: DeafRows,
    progress: OnCount,
    warn: Callable[[str], None],
) -> ModelRun:
    localizer = Localizer(model)
    samples = source.samples(localizer.frames, model.visual_encoder.image_size, progress)
    partners = source.partners(len(samples), seed)
    tally, swapped = Tally(), Tally()
    run = ModelRun(identity, samples, None, {}, {}, {})
    for index in range(len(samples)):
        try:
            sample = samples[index]
            found = localizer(sample.window)
            # What a model remembers of a window must stay what came with its own sound.
            asks = model.context == 1 and (found.avc is not None or source.of_films)
            size = source.scored_size(found.image_size)
            heat, foreign = found.heatmap_at(*size), None
            if sample.truth.labels and partners[index] >= 0 and asks:
                foreign = _with_sound_of(samples, int(partners[index]), sample.window, localizer)
            tally.add(index, heat, sample.truth)
            if index not in truths:
                deaf.add(index, sample.window.frames, size, sample.truth)
        except _FAILURES as error:
            run.failed[index] = str(error).splitlines()[0] if str(error) else repr(error)
            warn(f'{identity.name}: {samples.name(index)} failed: {run.failed[index]}')
            continue
        run.found[index] = replace(found, class_map=found.class_map[:0])
        if foreign is not None and foreign.avc is not None:
            run.foreign[index] = foreign.avc
        if foreign is not None and source.of_films:
            swapped.add(index, foreign.heatmap_at(*size), sample.truth)
        truths[index] = sample.truth
        progress(identity.name, index + 1, len(samples), 'windows')
    if not run.found:
        raise AvsolError(
            f'{identity.name}: all {len(samples)} windows failed, the first with: '
            f'{next(iter(run.failed.values()))}'
        )
    run.frames = tally.table()
    run.swapped = swapped.table() if source.of_films else None
    return run


def _with_sound_of(
    samples: Samples, other: int, window: AudioVisualWindow, localizer: Localizer
) -> Localization | None:
    """
    What the model says of a window's pictures with the sound of another.

    It is computed right after the window itself, because its frames are encoded then.

    :returns: None where the other cannot be read; that is reported when it is scored itself.
    """
    try:
        sound = samples.sound(other)
    except _FAILURES:
        return None
    return localizer(replace(window, audio=sound))


def accuracies(
    run: ModelRun,
    truths: Mapping[int, Truth],
    classes: Sequence[str],
    categories: Sequence[str],
    notes: list[str],
) -> dict[str, float]:
    """
    Accuracies over AVE windows; NaN of what cannot be measured.

    The class with the highest score must be one that sounds in view. AVC must say yes to the
    window's own sound and no to another window's, of which some are of the same category.

    :param classes: of the model, in the order of its class scores.
    :param categories: of the source.
    :param notes: gets a sentence where the model does not know all categories.
    """
    ave = [index for index in run.found if truths[index].labels]
    class_accuracy, class_windows = _class_accuracy(run, truths, ave, classes, categories, notes)
    own, foreign, avc_windows = _avc_accuracies(run, ave)
    row = {
        'class_accuracy': class_accuracy,
        'avc_accuracy': (own + foreign) / 2,
        'avc_own': own,
        'avc_foreign': foreign,
        'windows': len(run.found),
        'failed': len(run.failed),
    }
    for key, count in (('class_accuracy', class_windows), ('avc_accuracy', avc_windows)):
        if count:
            row[f'windows/{key}'] = count
    return row


def _class_accuracy(
    run: ModelRun,
    truths: Mapping[int, Truth],
    ave: Sequence[int],
    classes: Sequence[str],
    categories: Sequence[str],
    notes: list[str],
) -> tuple[float, int]:
    """
    Accuracy, and of how many windows; NaN and 0 where it cannot be measured.

    :param ave: windows in which something in view sounds.
    """
    unknown = [name for name in categories if name not in classes]
    if unknown and any(len(one.class_scores) for one in run.found.values()):
        some = ', '.join(unknown[:3]) + (', …' if len(unknown) > 3 else '')
        notes.append(
            f'{run.name} does not know {len(unknown)} of the {len(categories)} '
            f'categories ({some}), so it has no class accuracy.'
        )
        return float('nan'), 0
    if not ave or not all(len(run.found[index].class_scores) for index in ave):
        return float('nan'), 0
    right = [
        classes[run.found[index].class_scores.argmax()] in truths[index].labels for index in ave
    ]
    return float(np.mean(right)), len(ave)


def _avc_accuracies(run: ModelRun, ave: Sequence[int]) -> tuple[float, float, int]:
    """
    Share of windows with a yes to their own sound, share with a no to another, how many windows.

    :param ave: windows in which something in view sounds.
    :returns: NaN, NaN and 0 without any.
    """
    both = [index for index in ave if index in run.foreign]
    if not both:
        return float('nan'), float('nan'), 0
    own = float(np.mean([run.found[index].avc >= SURE for index in both]))
    foreign = float(np.mean([run.foreign[index] < SURE for index in both]))
    return own, foreign, len(both)


def presence(run: ModelRun, truths: Mapping[int, Truth]) -> dict[str, float]:
    """
    Whether AVC tells windows in which something in view sounds from those in which nothing does.

    Windows in which something sounds for less than their ``LABELLED`` part are neither. The mean
    of both shares is NaN where there are windows of one kind alone.
    """
    share = {'presence_yes': [], 'presence_no': []}
    for index, one in run.found.items():
        if one.avc is None:
            continue
        if truths[index].labels:
            share['presence_yes'].append(one.avc >= SURE)
        elif not any(frame.is_ave for frame in truths[index].frames):
            share['presence_no'].append(one.avc < SURE)
    row = {key: float(np.mean(right)) if right else float('nan') for key, right in share.items()}
    row['presence_accuracy'] = (row['presence_yes'] + row['presence_no']) / 2
    if all(share.values()):
        row['windows/presence_accuracy'] = sum(map(len, share.values()))
    row.update((f'windows/{key}', len(right)) for key, right in share.items())
    return row


def film_scores(run: ModelRun, truths: Mapping[int, Truth]) -> dict[str, float]:
    """
    What is asked of a model on films beside places: does it hear?

    ``presence_auc``: area under the ROC of AVC, which has to tell windows in which something in
    view sounds from others. ``swap_share``: share of the windows whose AVC falls when they get
    the sound of another film of another kind. ``hmbox_auc/swapped`` and ``pibr/swapped``: scores
    of the maps with that sound, on the frames whose boxes cover ``up_to_60`` percent; a model
    that hears loses there.
    """
    sure = {index: one.avc for index, one in run.found.items() if one.avc is not None}
    area, windows = presence_area(sure, truths)
    row: dict[str, float] = {'presence_auc': area, 'swap_share': float('nan')}
    if windows:
        row['windows/presence_auc'] = windows
    if run.foreign:
        falls = [avc < sure[index] for index, avc in run.foreign.items()]
        row |= {'swap_share': float(np.mean(falls)), 'windows/swap_share': len(falls)}
    assert run.swapped is not None
    scores = summarize(run.swapped, truths)
    for key in ('hmbox_auc', 'pibr', 'frames', 'windows'):
        row[f'{key}/swapped'] = scores[f'{key}/up_to_60']
    return row
