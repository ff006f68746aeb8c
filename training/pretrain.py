"""
Pretraining of the compact encoders by plain classification (the paper's ImageNet and AudioSet).

One object per picture, one voice per sound or two at once, cross-entropy. Afterwards both encoders
are frozen and the classifiers are thrown away.
"""

import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from avsol_ros.models.compact import CompactAudioEncoder, CompactVisualEncoder
from avsol_ros.training.synthetic.objects import CATEGORIES
from avsol_ros.training.synthetic.window_set import render_pictures, render_sounds


class _VisualClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = CompactVisualEncoder()
        self.classifier = nn.Linear(self.encoder.channels, len(CATEGORIES))

    def forward(self, pictures):
        frames = pictures.permute(0, 3, 1, 2).float().div(255).unsqueeze(1)
        return self.classifier(self.encoder(frames).mean((2, 3, 4)))


class _AudioClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = CompactAudioEncoder()
        self.classifier = nn.Linear(self.encoder.embedding, len(CATEGORIES))

    def forward(self, sounds):
        return self.classifier(self.encoder(sounds.float() / 32768).embedding)


def flipped(pictures: torch.Tensor, targets: torch.Tensor, generator: torch.Generator):
    """Half of the batches in a mirror. :param pictures: (B, S, S, 3)."""
    return (pictures.flip(2) if torch.rand((), generator=generator) < 0.5 else pictures), targets


def mixed(sounds: torch.Tensor, targets: torch.Tensor, generator: torch.Generator):
    """
    Half of the sounds with another one added, at -10 to 0 dB, and its category too.

    An encoder that has heard one voice at a time gives of two the louder one's features alone;
    then no map can show both objects.

    :param sounds: (B, n) int16. :param targets: (B, C) float32.
    """
    other = torch.randperm(len(sounds), generator=generator)
    gain = 10 ** (-torch.rand(len(sounds), 1, generator=generator) / 2)
    gain = gain * (torch.rand(len(sounds), 1, generator=generator) < 0.5)
    both = sounds.float() + gain * sounds[other].float()
    targets = torch.where(gain > 0, torch.maximum(targets, targets[other]), targets)
    return both.clamp(-32768, 32767), targets


def _train(model, inputs, labels, held_out, epochs, rate, seed, report, vary):
    generator = torch.Generator().manual_seed(seed)
    inputs, labels = torch.from_numpy(inputs), torch.from_numpy(labels)
    targets = F.one_hot(labels, len(CATEGORIES)).float()
    train = torch.arange(held_out, len(labels))
    batch = 64
    steps = epochs * (len(train) // batch)
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=steps, pct_start=0.2
    )
    for epoch in range(epochs):
        model.train()
        started, total = time.monotonic(), 0.0
        order = train[torch.randperm(len(train), generator=generator)]
        for index in order[: len(order) // batch * batch].split(batch):
            x, target = vary(inputs[index], targets[index], generator)
            with torch.autocast('cpu', torch.bfloat16):
                logits = model(x)
            loss = F.cross_entropy(
                logits.float(), target / target.sum(1, keepdim=True), label_smoothing=0.05
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(index)
        model.eval()
        with torch.inference_mode():
            right = torch.cat(
                [
                    model(inputs[i]).argmax(1) == labels[i]
                    for i in torch.arange(held_out).split(250)
                ]
            )
        report(
            f'epoch {epoch + 1}/{epochs} loss {total / len(order):.3f} '
            f'accuracy {right.float().mean():.4f} {time.monotonic() - started:.0f} s'
        )


def pretrain_encoders(
    seed: int = 0,
    preset: str = 'hard',
    pictures: int = 16_000,
    sounds: int = 8_000,
    epochs: int = 6,
    held_out: int = 1000,
    report=print,
):
    """
    Train both encoders.

    :param preset: see ``windowset.PRESETS``.
    :param held_out: how many of each are kept back to measure accuracy.
    :param report: called with one line per epoch.
    :returns: ``(CompactVisualEncoder, CompactAudioEncoder)`` in eval mode.
    """
    torch.manual_seed(seed)
    encoders = []
    for name, model, render, count, rate, vary in (
        ('visual', _VisualClassifier(), render_pictures, pictures, 3e-3, flipped),
        ('audio', _AudioClassifier(), render_sounds, sounds, 3e-3, mixed),
    ):
        started = time.monotonic()
        inputs, labels = render(count, seed, preset=preset)
        report(f'{name}: rendered {count} in {time.monotonic() - started:.0f} s')
        _train(
            model,
            inputs,
            np.asarray(labels),
            held_out,
            epochs,
            rate,
            seed,
            lambda line, name=name: report(f'{name}: {line}'),
            vary,
        )
        encoders.append(model.encoder.eval())
    return tuple(encoders)
