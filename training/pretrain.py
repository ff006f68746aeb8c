"""
Pretraining of the compact encoders by plain classification (the paper's ImageNet and AudioSet).

One object per picture, one voice per sound, cross-entropy. Afterwards both encoders are frozen
and the classifiers are thrown away.
"""

import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from avsol_ros.models.compact import CompactAudioEncoder, CompactVisualEncoder
from avsol_ros.training.objects import CATEGORIES
from avsol_ros.training.windowset import render_pictures, render_sounds


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


def _train(model, inputs, labels, held_out, epochs, rate, seed, report, flip):
    generator = torch.Generator().manual_seed(seed)
    inputs, labels = torch.from_numpy(inputs), torch.from_numpy(labels)
    train = torch.arange(held_out, len(labels))
    batch = 64
    steps = epochs * (len(train) // batch)
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps,
                                                   pct_start=0.2)
    for epoch in range(epochs):
        model.train()
        started, total = time.monotonic(), 0.0
        order = train[torch.randperm(len(train), generator=generator)]
        for index in order[:len(order) // batch * batch].split(batch):
            x = inputs[index]
            if flip and torch.rand((), generator=generator) < 0.5:
                x = x.flip(2)
            with torch.autocast('cpu', torch.bfloat16):
                loss = F.cross_entropy(model(x).float(), labels[index], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(index)
        model.eval()
        with torch.inference_mode():
            right = torch.cat([model(inputs[i]).argmax(1) == labels[i]
                               for i in torch.arange(held_out).split(250)])
        report(f'epoch {epoch + 1}/{epochs} loss {total / len(order):.3f} '
               f'accuracy {right.float().mean():.4f} {time.monotonic() - started:.0f} s')


def pretrain_encoders(seed: int = 0, pictures: int = 16_000, sounds: int = 8_000,
                      epochs: int = 6, held_out: int = 1000, report=print):
    """
    Train both encoders.

    :param held_out: how many of each are kept back to measure accuracy.
    :param report: called with one line per epoch.
    :returns: ``(CompactVisualEncoder, CompactAudioEncoder)`` in eval mode.
    """
    torch.manual_seed(seed)
    encoders = []
    for name, model, render, count, rate, flip in (
            ('visual', _VisualClassifier(), render_pictures, pictures, 3e-3, True),
            ('audio', _AudioClassifier(), render_sounds, sounds, 3e-3, False)):
        started = time.monotonic()
        inputs, labels = render(count, seed)
        report(f'{name}: rendered {count} in {time.monotonic() - started:.0f} s')
        _train(model, inputs, np.asarray(labels), held_out, epochs, rate, seed,
               lambda line, name=name: report(f'{name}: {line}'), flip)
        encoders.append(model.encoder.eval())
    return tuple(encoders)
