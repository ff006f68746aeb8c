"""
Pretraining of the compact encoders by plain classification (the paper's ImageNet and AudioSet).

One object per picture, one voice per sound or two at once, cross-entropy. Afterwards both encoders
are frozen and the classifiers are thrown away.
"""

import io
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from avsol_ros.files import write_bytes
from avsol_ros.models.compact import CompactAudioEncoder, CompactVisualEncoder
from avsol_ros.progress import OnCount, count_nothing
from avsol_ros.stopping import on_interrupt
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


class _Point:
    """
    The end of the last whole epoch, from which a training goes on as if it had not stopped.

    :param path: of its file; None to keep nothing.
    :param parts: what has a state: the model, its optimizer, the schedule, the generator.
    """

    def __init__(self, path: Path | None, **parts):
        self._path, self._parts = path, parts

    def load(self) -> int:
        """
        Set the parts to their states.

        :returns: epochs that are done; none where the file is damaged.
        """
        if self._path is None or not self._path.is_file():
            return 0
        try:
            state = torch.load(self._path, weights_only=True)
        except Exception:  # a damaged file fails in as many ways as it has bytes
            return 0
        for name, part in self._parts.items():
            if isinstance(part, torch.Generator):
                part.set_state(state[name])
            else:
                part.load_state_dict(state[name])
        return state['epochs']

    def save(self, epochs: int) -> None:
        if self._path is None:
            return
        state = {
            name: part.get_state() if isinstance(part, torch.Generator) else part.state_dict()
            for name, part in self._parts.items()
        }
        data = io.BytesIO()
        torch.save({**state, 'epochs': epochs}, data)
        write_bytes(self._path, data.getbuffer(), 'make room and run the same command again')


def _train(name, model, render, count, held_out, epochs, rate, seed, vary, keep, report, progress):
    generator = torch.Generator().manual_seed(seed)
    batch = 64
    steps = epochs * ((count - held_out) // batch)
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=steps, pct_start=0.2
    )
    point = _Point(
        keep and keep / f'{name}.ckpt',
        model=model,
        optimizer=optimizer,
        schedule=schedule,
        generator=generator,
    )
    begin = point.load()
    if begin:
        report(f'{name}: {begin} of {epochs} epochs are there already')
    if begin == epochs:
        return
    report(f'{name}: rendering {count}')
    started = time.monotonic()
    inputs, labels = map(torch.from_numpy, render())
    report(f'{name}: rendered {count} in {time.monotonic() - started:.0f} s')
    targets = F.one_hot(labels, len(CATEGORIES)).float()
    train = torch.arange(held_out, len(labels))
    for epoch in range(begin, epochs):
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
            progress(f'pretraining the {name} encoder', schedule.last_epoch, steps, 'steps')
        model.eval()
        with torch.inference_mode():
            right = torch.cat(
                [
                    model(inputs[i]).argmax(1) == labels[i]
                    for i in torch.arange(held_out).split(250)
                ]
            )
        point.save(epoch + 1)
        report(
            f'{name}: epoch {epoch + 1}/{epochs} loss {total / len(order):.3f} '
            f'accuracy {right.float().mean():.4f} {time.monotonic() - started:.0f} s'
        )


def pretrain_encoders(
    seed: int = 0,
    preset: str = 'hard',
    pictures: int = 16_000,
    sounds: int = 8_000,
    epochs: int = 6,
    held_out: int = 1000,
    report: Callable[[str], object] = print,
    progress: OnCount = count_nothing,
    keep: Path | None = None,
):
    """
    Train both encoders.

    :param preset: see ``window_set.PRESETS``.
    :param held_out: how many of each are kept back to measure accuracy.
    :param report: called with one line per epoch.
    :param progress: told how many pictures and sounds are rendered, and how many steps are done.
    :param keep: folder for the state after each epoch, from which a call with the same arguments
        goes on: it ends with the same weights. None to keep nothing.
    :returns: ``(CompactVisualEncoder, CompactAudioEncoder)`` in eval mode.
    """
    torch.manual_seed(seed)
    encoders: list[nn.Module] = []

    def kept() -> str:
        if keep is None or not any(keep.glob('*.ckpt')):
            return 'interrupted; the same command begins the pretraining again'
        return (
            'interrupted; the whole epochs of the pretraining are kept, and the same command goes '
            'on from there'
        )

    with on_interrupt(kept):
        for name, model, render, count, rate, vary in (
            ('visual', _VisualClassifier(), render_pictures, pictures, 3e-3, flipped),
            ('audio', _AudioClassifier(), render_sounds, sounds, 3e-3, mixed),
        ):
            _train(
                name,
                model,
                partial(render, count, seed, preset=preset, progress=progress),
                count,
                held_out,
                epochs,
                rate,
                seed,
                vary,
                keep,
                report,
                progress,
            )
            encoders.append(model.encoder.eval())
    return tuple(encoders)
