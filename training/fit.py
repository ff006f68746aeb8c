"""
A training run: from settings to a folder with the best model.

The folder holds ``settings.json``, ``model.safetensors`` (the best model so far), ``last.ckpt``
(to resume from), ``metrics.csv``, ``tensorboard/``, ``maps/`` and, once the run is finished,
``result.json``. The same command goes on after an interruption, from the end of the last whole
epoch; since order, pairs and crops depend on seed, epoch and index alone, what follows is what
would have been.
"""

import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger

from avsol_ros.errors import AvsolError
from avsol_ros.files import remove_leftovers, write_text
from avsol_ros.inference.engine import has_bfloat16
from avsol_ros.inference.localizer import choose_device
from avsol_ros.locks import claim_folder
from avsol_ros.models.builder import build_model, named_config
from avsol_ros.models.checkpoint import save_checkpoint
from avsol_ros.models.network import LocalizationModel
from avsol_ros.progress import OnCount, count_nothing
from avsol_ros.stopping import on_interrupt
from avsol_ros.training.backbones import fill_encoders, listener
from avsol_ros.training.callbacks import LAST, DurableIO, EpochOrder, Journal
from avsol_ros.training.datasets.ave import read_categories
from avsol_ros.training.datasets.batches import (
    Batches,
    TrainingPlan,
    ValidationPlan,
    event_units,
    loader,
    sequence_units,
)
from avsol_ros.training.datasets.features import (
    KINDS,
    FeatureSet,
    cache_folder,
    cached_features,
    weights_digest,
)
from avsol_ros.training.datasets.segments import open_segments
from avsol_ros.training.map_sheets import MapDrawer, choose_windows
from avsol_ros.training.module import TrainingModule
from avsol_ros.training.objectives import feature_kinds, tasks
from avsol_ros.training.settings import TrainSettings
from avsol_ros.training.synthetic.material_lists import find_material
from avsol_ros.training.synthetic.preset_names import PRESET_NAMES, REAL
from avsol_ros.training.synthetic.window_set import PRESETS, preset_config

SETTINGS, RESULT, MODEL = 'settings.json', 'result.json', 'model.safetensors'
MAPS = 'maps'  # folder
CLIP = 5.0  # largest norm of the gradient


@dataclass(frozen=True)
class Processes:
    """How many train together, as torchrun tells each of them; one without it."""

    rank: int = 0
    world: int = 1
    local_world: int = 1

    @classmethod
    def here(cls) -> 'Processes':
        return cls(
            *(
                int(os.environ.get(name, default))
                for name, default in (('RANK', 0), ('WORLD_SIZE', 1), ('LOCAL_WORLD_SIZE', 1))
            )
        )


@dataclass(frozen=True, eq=False)
class Data:
    """
    What all runs of the same model on the same data share.

    :param segments: of training and validation.
    :param augmented: whether training pictures are flipped and cropped, and so have no features.
    :param encoders: digest of the encoders' weights.
    """

    train: FeatureSet
    validation: FeatureSet
    segments: tuple
    augmented: bool
    encoders: str


def choose_precision(name: str, device: torch.device) -> str:
    """What Lightning calls it: ``auto`` is mixed where the hardware computes in 16 bits."""
    if name != 'auto':
        return name
    if device.type == 'cuda':
        return 'bf16-mixed' if torch.cuda.is_bf16_supported() else '16-mixed'
    return 'bf16-mixed' if has_bfloat16() else '32-true'


def open_data(
    model: LocalizationModel,
    settings: TrainSettings,
    device: torch.device,
    report=print,
    progress: OnCount = count_nothing,
) -> Data:
    """
    Compute or map the features that a model is trained on.

    :param model: with its encoders filled.
    :param progress: told how many windows or scenes are done.
    """
    encoder = model.visual_encoder
    segments = open_segments(
        settings.data,
        encoder.image_size,
        encoder.frames,
        settings.windows,
        settings.validation,
        settings.scene_seed,
        settings.material,
    )
    augmented = segments[0].augmented if settings.augment is None else settings.augment
    cache = settings.cache or cache_folder()
    needed = set(feature_kinds(model))
    hear = None if model.audio_encoder is None else listener(model)
    # What is small is kept whole: one pass serves all compact models.
    small = not encoder.published_parts() and (hear is None or not hear.published_parts())
    features = []
    for part, varied in zip(segments, (augmented, False)):
        if varied:
            see, kinds = None, needed - {'visual', 'mean'}
        else:
            see, kinds = encoder, KINDS if small and hear is not None else needed
        if see is None:
            part.make(progress)
        if see is None and (hear is None or not kinds):
            found = FeatureSet(torch.from_numpy(part.labels).float(), torch.from_numpy(part.clips))
        else:
            found = cached_features(see, hear, part, kinds, cache, device, report, progress)
            if not varied:
                part.forget()
        features.append(found.only(needed))
    return Data(
        *features, segments, augmented, weights_digest(model.visual_encoder, model.audio_encoder)
    )


def train_run(
    settings: TrainSettings,
    seed: int,
    out: Path,
    report=print,
    progress: OnCount = count_nothing,
) -> Path:
    """
    Train one model, or go on with it, or find that it is trained.

    :param out: folder of the run, of which no two run at the same time.
    :param report: takes lines of text.
    :param progress: of the pretraining and the features, told how many windows are done.
    :returns: the checkpoint of the best model.
    :raises AvsolError: also where another process trains into the folder.
    """
    processes = Processes.here()
    with (
        nullcontext() if processes.rank else claim_folder(out),
        on_interrupt(
            lambda: (
                'interrupted; the whole epochs are kept, and the same command goes on'
                if (out / LAST).is_file()
                else 'interrupted before the end of the first epoch; the same command begins again'
            )
        ),
    ):
        return _train(settings, seed, out, processes, report, progress)


def _train(
    settings: TrainSettings,
    seed: int,
    out: Path,
    processes: Processes,
    report: Callable[[str], object],
    progress: OnCount,
) -> Path:
    started = time.monotonic()
    device = choose_device(settings.device)
    precision = choose_precision(settings.precision, device)
    if processes.rank:

        def report(line):
            pass

        progress = count_nothing

    config = named_config(settings.model, _classes(settings))
    torch.manual_seed(seed)
    model = build_model(config)
    wanted = _identity(settings, config, seed, precision)
    done = _find_begun(out, wanted)
    if done is not None:
        report(f'{out / MODEL} is trained: {_summary(done)}')
        return out / MODEL
    fill_encoders(
        model,
        settings.encoders,
        settings.encoder_seed,
        settings.data if settings.data in PRESETS else 'hard',
        settings.cache or cache_folder(),
        report,
        progress,
    )
    data = open_data(model, settings, device, report, progress)
    model.freeze_encoders()
    plans = _plans(model, data, settings, seed, processes)
    steps = len(plans[0]) * settings.epochs
    module = TrainingModule(model, settings.rate, settings.decay, steps)
    notes = {**wanted, 'data': data.segments[0].about, 'encoders_digest': data.encoders}

    def save_best(trained: TrainingModule, row: dict) -> None:
        save_checkpoint(out / MODEL, trained.model, training=json.dumps({**notes, 'metrics': row}))

    show_bar = sys.stderr.isatty() and sys.stdout.isatty() and not processes.rank
    bar = [TQDMProgressBar(refresh_rate=10)] if show_bar else []
    journal = Journal(out, save_best, bar[0].print if bar else report)
    trainer = make_trainer(
        settings,
        precision,
        device,
        processes,
        out,
        [EpochOrder(plans[0]), journal, *_drawers(data, settings, out, processes), *bar],
    )
    last = out / LAST
    if not processes.rank:
        for folder in (out, out / MAPS):
            remove_leftovers(folder)
        _write_json(out / SETTINGS, wanted)
    report(
        f'{"going on with" if last.is_file() else "training"} {settings.model}, seed {seed}: '
        f'{len(plans[0].units)} {"clips" if plans[0].units.ndim > 1 else "pictures"}, '
        f'{len(plans[0])} steps an epoch, {precision}, '
        f'features after {time.monotonic() - started:.0f} s'
    )
    with on_interrupt(lambda: _kept(journal.kept, settings.epochs)):
        try:
            trainer.fit(
                module,
                *_loaders(data, plans, settings, seed),
                ckpt_path=last if last.is_file() else None,
            )
        except SystemExit as stop:
            if stop.code == 1:  # what Lightning makes of Ctrl-C
                raise KeyboardInterrupt from None
            raise
    if not processes.rank:
        _write_json(out / RESULT, {'best': journal.best, 'last': journal.rows[-1]})
        report(f'{out / MODEL}: {_summary({"best": journal.best})}')
    return out / MODEL


def make_trainer(
    settings: TrainSettings,
    precision: str,
    device: torch.device,
    processes: Processes,
    out: Path,
    callbacks: list,
) -> Trainer:
    """Lightning's trainer, without what costs time in each of many short steps."""
    logging.getLogger('lightning.pytorch').setLevel(logging.WARNING)
    for text in (
        '.*does not have many workers',
        '.*in eval mode at the start of training',
        '.*is deprecated',
    ):
        warnings.filterwarnings('ignore', text)
    warnings.filterwarnings('ignore', module='torch.distributed')
    several = processes.world > 1
    return Trainer(
        accelerator='gpu' if device.type == 'cuda' else 'cpu',
        devices=processes.local_world,
        num_nodes=processes.world // processes.local_world,
        strategy='ddp' if several else 'auto',
        # Statistics over all processes; PyTorch has that on GPUs only.
        sync_batchnorm=several and device.type == 'cuda',
        precision=precision,
        max_epochs=settings.epochs,
        gradient_clip_val=CLIP,
        callbacks=callbacks,
        plugins=[DurableIO()],
        default_root_dir=out,
        logger=TensorBoardLogger(out, name='', version='tensorboard'),
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        log_every_n_steps=0,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=any(isinstance(one, TQDMProgressBar) for one in callbacks),
    )


def _classes(settings: TrainSettings) -> tuple[str, ...]:
    if settings.data in PRESET_NAMES:
        return preset_config(settings.data, settings.material).categories
    return read_categories(Path(settings.data).expanduser())


def _plans(model, data: Data, settings: TrainSettings, seed: int, processes: Processes):
    """What to take pictures of, and how many sounds there are."""
    sounds = [
        len(part) if 'avc' in tasks(model) else None for part in (data.train, data.validation)
    ]
    batch = settings.batch
    if model.config.method == 'tian':
        units = [
            sequence_units(part.clips.numpy(), segments.seconds)
            for part, segments in zip((data.train, data.validation), data.segments)
        ]
        batch = max(1, batch // data.segments[0].seconds)
    else:
        units = [event_units(part.labels.numpy()) for part in (data.train, data.validation)]
    where = processes.rank, processes.world
    near = [
        {'clips': part.clips.numpy(), 'same_clip': settings.same_clip}
        for part in (data.train, data.validation)
    ]
    return (
        TrainingPlan(units[0], sounds[0], batch, seed, *where, **near[0]),
        ValidationPlan(units[1], sounds[1], batch, *where, **near[1]),
    )


def _loaders(data: Data, plans, settings: TrainSettings, seed: int):
    frames = data.segments[0] if data.augmented else None
    return (
        loader(Batches(data.train, frames, seed), plans[0], settings.workers),
        loader(Batches(data.validation), plans[1]),
    )


def _drawers(data: Data, settings: TrainSettings, out: Path, processes: Processes) -> list:
    if not settings.drawn or processes.rank:
        return []
    labels = data.validation.labels.numpy()
    chosen = choose_windows(labels, data.validation.clips.numpy(), settings.drawn)
    names = data.segments[1].classes
    titles = [
        ', '.join(name for name, on in zip(names, labels[i]) if on) or 'no event' for i in chosen
    ]
    return [MapDrawer(out / MAPS, data.segments[1].samples(chosen), titles)]


def _identity(settings: TrainSettings, config, seed: int, precision: str) -> dict:
    """What a run is, as JSON knows it: a run that was begun goes on only with the same."""
    same = {
        key: value
        for key, value in asdict(settings).items()
        if key not in ('device', 'workers', 'cache', 'drawn', 'precision')
    }
    # Runs on other data have no such setting, nor had runs before there was one.
    material = same.pop('material')
    if settings.data == REAL:
        same['material'] = find_material(material)
    return json.loads(
        json.dumps(
            {**same, 'seed': seed, 'precision': precision, 'config': config.as_dict()}, default=str
        )
    )


def _find_begun(out: Path, wanted: dict) -> dict | None:
    """See whether a folder can be had for a run; the result of one that is finished."""
    path = out / SETTINGS
    if not path.is_file():
        if any((out / name).exists() for name in (MODEL, LAST, RESULT)):
            raise AvsolError(f'{out} holds models but no {SETTINGS}; choose another --out')
        return None
    found = _read_json(path)
    if different := _differences(found, wanted):
        raise AvsolError(
            f'{out} holds another run, of {found.get("model")} ({different}); to go on with it '
            'give the same model and settings, else another --out'
        )
    return _read_json(out / RESULT) if (out / RESULT).is_file() else None


def _differences(found: dict, wanted: dict) -> str:
    """Tell in what a run differs from the one that is wanted: ``fusion: static, here cdf``."""
    before, here = ({**run, **run.get('config', {})} for run in (found, wanted))
    keys = [key for key in here | before if key != 'config' and before.get(key) != here.get(key)]
    if 'data' in keys and 'classes' in keys:
        keys.remove('classes')  # they come with the data
    if 'model' in keys and len(keys) > 1:
        keys.remove('model')  # a name for the rest
    return '; '.join(f'{key}: {before.get(key)}, here {here.get(key)}' for key in keys)


def _kept(epochs: int, wanted: int) -> str:
    """What to say at Ctrl-C. :param epochs: that are kept."""
    if not epochs:
        return f'interrupted in epoch 1 of {wanted}; the same command begins again'
    many = 'epoch 1 is' if epochs == 1 else f'epochs 1 to {epochs} are'
    return f'interrupted; {many} kept, and the same command goes on with epoch {epochs + 1}'


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise AvsolError(f'{path} cannot be read ({error}); choose another --out') from None


def _write_json(path: Path, values: dict) -> None:
    write_text(path, json.dumps(values, indent=2) + '\n')


def _summary(result: dict) -> str:
    best = result['best']
    return ', '.join(
        [
            f'epoch {best["epoch"]}',
            *(
                f'{name.removeprefix("val_").replace("_", " ")} {best[name]:.3f}'
                for name in best
                if name.startswith('val_') and name.endswith('accuracy')
            ),
        ]
    )
