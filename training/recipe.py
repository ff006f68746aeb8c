"""
Training of the sub-networks by dual normalization multitasking (section 5.1).

The encoders are frozen, so every window passes through them once and only their features are
trained on. Each step takes pictures of AVE windows (something in view sounds) twice: with their
own sound, AVC = yes, and with the sound of another clip or time, AVC = no. Sounds for the second
are drawn anew every epoch from all windows, silent ones and those of unseen things included.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from avsol_ros.checkpoint import load_checkpoint, save_checkpoint
from avsol_ros.errors import AvsolError
from avsol_ros.models.builder import build_model, named_config
from avsol_ros.models.compact import CompactAudioEncoder
from avsol_ros.models.encoders import AudioFeatures
from avsol_ros.models.network import SoundingObjectModel
from avsol_ros.training.objects import CATEGORIES
from avsol_ros.training.pretrain import pretrain_encoders
from avsol_ros.training.windowset import WindowSet, render_windows


@dataclass(frozen=True)
class TrainConfig:
    """
    :param epochs: passes over all AVE windows.
    :param batch: pictures per step; each is related to two sounds.
    :param rate: highest learning rate of the one-cycle schedule.
    :param seed: initial weights, order and pairs.
    """

    epochs: int = 12
    batch: int = 64
    rate: float = 2e-3
    weight_decay: float = 0.02
    seed: int = 0


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """
    Frozen features of a window set.

    :param visual: (n, T, h, w, C) bfloat16.
    :param maps: (n, C, T', M) bfloat16; None where only static fusion is trained.
    :param embedding: (n, E) float32.
    :param labels: (n, classes) float32.
    """

    visual: torch.Tensor
    maps: torch.Tensor | None
    embedding: torch.Tensor
    labels: torch.Tensor

    def averaged(self) -> 'FeatureSet':
        """What static fusion needs (Fig. 3a), time averaged away: T = 1 and no maps."""
        mean = torch.cat([part.float().mean(1, keepdim=True).bfloat16()
                          for part in self.visual.split(64)])
        return FeatureSet(mean, None, self.embedding, self.labels)

    def sound(self, index: torch.Tensor) -> AudioFeatures:
        maps = None if self.maps is None else self.maps[index].float()
        return AudioFeatures(maps, self.embedding[index])

    def sight(self, index: torch.Tensor) -> torch.Tensor:
        """(B, C, T, h, w), in the memory order that the sub-networks like."""
        return self.visual[index].permute(0, 4, 1, 2, 3)


@torch.inference_mode()
def extract_features(visual_encoder: nn.Module, audio_encoder: nn.Module, windows: WindowSet,
                     batch: int = 32) -> FeatureSet:
    """
    Pass every window through the frozen encoders once.

    :param audio_encoder: one that gives an embedding too.
    """
    visual_encoder.eval(), audio_encoder.eval()
    visual, maps, embedding = [], [], []
    for start in range(0, len(windows), batch):
        frames = torch.from_numpy(windows.frames[start:start + batch])
        with torch.autocast('cpu', torch.bfloat16):
            features = visual_encoder(frames.permute(0, 1, 4, 2, 3).float().div(255))
        visual.append(features.permute(0, 2, 3, 4, 1).bfloat16())
        heard = audio_encoder(torch.from_numpy(windows.audio[start:start + batch])
                                    .float().div(32768))
        embedding.append(heard.embedding)
        maps.append(heard.maps.bfloat16())
    # Clones leave inference mode, else autograd refuses them.
    return FeatureSet(*(torch.cat(part).clone() for part in (visual, maps, embedding)),
                      torch.from_numpy(windows.labels).float())


def other_sounds(videos: np.ndarray, sounds: int, rng: np.random.Generator) -> np.ndarray:
    """
    For each video another window whose sound it gets when AVC = no.

    :param videos: (n,) indices of windows.
    :param sounds: how many windows there are to take sounds from.
    :returns: (n,) indices, never the video's own.
    """
    return (videos + rng.integers(1, sounds, len(videos))) % sounds


def losses(model: SoundingObjectModel, features: FeatureSet, videos: torch.Tensor,
           others: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """
    The two binary cross-entropies of one step.

    :returns: AVC loss over both pairings, classification loss where AVC = yes; 0 for a task that
        the model does not have.
    """
    seen = model.fusion.see(features.sight(videos))
    # Both kinds of sounds in one batch: with a batch each, batch normalization tells AVC = yes
    # from AVC = no by their statistics, and nothing of that is left in eval mode.
    heard = model.fusion.hear(features.sound(torch.cat([videos, others])))
    own, wrong = (model.relate(seen, half) for half in _halves(heard))
    avc = classify = torch.zeros(())
    if own.avc_logit is not None:
        logits = torch.cat([own.avc_logit, wrong.avc_logit]).float()
        target = torch.cat([torch.ones(len(videos)), torch.zeros(len(others))])
        avc = F.binary_cross_entropy_with_logits(logits, target)
    if own.class_logits is not None:
        classify = F.binary_cross_entropy_with_logits(own.class_logits.float(),
                                                      features.labels[videos])
    return avc, classify


def _halves(heard):
    """Split what ``hear`` gives, a tensor or a tuple of them, along the batch."""
    if isinstance(heard, torch.Tensor):
        return heard.chunk(2)
    return zip(*(part.chunk(2) for part in heard))


def train(model: SoundingObjectModel, features: FeatureSet, config: TrainConfig,
          report=print) -> None:
    """Train the parts after the encoders, in place; ``report`` gets one line per epoch."""
    model.freeze_encoders()
    rng = np.random.default_rng(config.seed)
    parts = torch.nn.ModuleList([model.fusion, model.head])
    optimizer = torch.optim.AdamW(parts.parameters(), config.rate,
                                  weight_decay=config.weight_decay)
    ave = np.flatnonzero(features.labels.any(1).numpy())
    if not len(ave):
        raise AvsolError(f'none of the {len(features.labels)} windows has something in view that '
                         'sounds; expected some to learn from: take more windows')
    batch = min(config.batch, len(ave))
    steps = len(ave) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.rate, total_steps=config.epochs * steps, pct_start=0.2)
    for epoch in range(config.epochs):
        started = time.monotonic()
        parts.train()
        videos = rng.permutation(ave)[:steps * batch]
        others = other_sounds(videos, len(features.labels), rng)
        total = np.zeros(2)
        for step in range(steps):
            pick = slice(step * batch, (step + 1) * batch)
            with torch.autocast('cpu', torch.bfloat16):
                both = losses(model, features, torch.from_numpy(videos[pick]),
                              torch.from_numpy(others[pick]))
            optimizer.zero_grad()
            sum(both).backward()
            torch.nn.utils.clip_grad_norm_(parts.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            total += [both[0].item(), both[1].item()]
        report(f'epoch {epoch + 1}/{config.epochs} avc {total[0] / steps:.3f} '
               f'cls {total[1] / steps:.3f} {time.monotonic() - started:.0f} s')
    parts.eval()


@dataclass(frozen=True)
class Run:
    """One model to train, and where its checkpoint goes."""

    out: Path
    fusion: str
    task: str
    seed: int


def train_compact(runs: Sequence[Run], windows: int = 8000, epochs: int = 12,
                  encoders: str | Path | None = None, encoder_seed: int = 0,
                  report=print) -> None:
    """
    Make compact checkpoints from nothing: encoders and scenes once, then one model per run.

    :param encoders: checkpoint whose encoders are taken instead of pretraining new ones.
    :param report: called with one line now and then.
    """
    if encoders is None:
        visual, audio = pretrain_encoders(encoder_seed, report=report)
    else:
        given = load_checkpoint(encoders)
        visual, audio = given.visual_encoder, CompactAudioEncoder()
        audio.load_state_dict(given.audio_encoder.state_dict())

    def build(run: Run) -> SoundingObjectModel:
        torch.manual_seed(run.seed)
        model = build_model(named_config(f'compact-{run.fusion}-{run.task}', CATEGORIES))
        model.visual_encoder.load_state_dict(visual.state_dict())
        model.audio_encoder.load_state_dict(audio.state_dict())
        return model

    report(f'rendering {windows} windows')
    started = time.monotonic()
    features = extract_features(visual, audio, render_windows('train', windows))
    averaged = features.averaged()
    report(f'{windows} windows rendered and encoded in {time.monotonic() - started:.0f} s')
    for run in runs:
        model = build(run)
        name = f'{run.fusion} {run.task} seed {run.seed}'
        train(model, averaged if run.fusion == 'static' else features,
              TrainConfig(epochs=epochs, seed=run.seed),
              lambda line, name=name: report(f'{name}: {line}'))
        notes = {'data': 'synthetic scenes, split train, seed 0', 'windows': windows,
                 'epochs': epochs, 'seed': run.seed,
                 'encoders': f'pretrained with seed {encoder_seed}' if encoders is None
                             else f'those of {Path(encoders).name}'}
        report(str(save_checkpoint(run.out, model, training=json.dumps(notes))))
