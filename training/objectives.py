"""
What each kind of model is trained on, and when it is right.

The paper's models take pictures of AVE windows (something in view sounds) twice: with their own
sound, AVC = yes, and with the sound of another clip or time, AVC = no. Their loss is the sum of
two binary cross-entropies, of which classification counts only where AVC = yes (section 5.1).
"""

from dataclasses import dataclass, field

import torch
from torch.nn import functional as F

from avsol_ros.models.baselines import AudioGuidedAttentionModel
from avsol_ros.models.encoders import AudioFeatures
from avsol_ros.models.fusion import Parts
from avsol_ros.models.network import LocalizationModel, SoundingObjectModel


@dataclass(frozen=True, eq=False)
class Outcome:
    """
    :param losses: by task, (n,) of each example.
    :param right: by task, (n,) whether the model was right.
    """

    losses: dict[str, torch.Tensor] = field(default_factory=dict)
    right: dict[str, torch.Tensor] = field(default_factory=dict)


def tasks(model: LocalizationModel) -> tuple[str, ...]:
    """``avc`` and ``class``, or the one that a model has."""
    return {'dnm': ('avc', 'class'), 'avc': ('avc',), 'cls': ('class',)}[model.config.task]


def feature_kinds(model: LocalizationModel) -> tuple[str, ...]:
    """Features, of ``features.KINDS``, that a model is trained on."""
    if model.audio_encoder is None:
        return ('mean',)
    if model.config.method == 'avsm' and model.config.fusion != 'static':
        return ('visual', 'maps', 'embedding')[: 2 if model.config.fusion == 'cdf' else 3]
    return ('mean', 'embedding')


def judge(
    model: LocalizationModel,
    visual: torch.Tensor | None,
    audio: AudioFeatures | None,
    labels: torch.Tensor,
) -> Outcome:
    """
    Pass a batch through everything after the encoders.

    :param visual: (B, C, T, h, w).
    :param audio: of 2 B sounds, the right ones first, where the model is trained on AVC; else of
        B. None for a model that does not hear.
    :param labels: (B, classes), or (B / N, N, classes) of sequences.
    """
    if isinstance(model, AudioGuidedAttentionModel):
        return _judge_sequences(model, visual, audio, labels)
    if isinstance(model, SoundingObjectModel) and 'avc' in tasks(model):
        return _judge_pairs(model, visual, audio, labels)
    return Outcome(*_classes(model.fuse(visual, audio).class_logits, labels))


def _judge_pairs(model, visual, audio, labels) -> Outcome:
    seen = model.fusion.see(visual)
    # Both kinds of sounds in one batch: with a batch each, batch normalization tells AVC = yes
    # from AVC = no by their statistics, and nothing of that is left in eval mode.
    own, wrong = (model.relate(seen, half) for half in _halves(model.fusion.hear(audio)))
    logits = torch.cat([own.avc_logit, wrong.avc_logit]).float()
    target = torch.zeros_like(logits)
    target[: len(labels)] = 1
    losses = {'avc': F.binary_cross_entropy_with_logits(logits, target, reduction='none')}
    right = {'avc': (logits > 0) == (target > 0)}
    if own.class_logits is not None:
        found = _classes(own.class_logits, labels)
        losses |= found[0]
        right |= found[1]
    return Outcome(losses, right)


def _classes(logits: torch.Tensor, labels: torch.Tensor):
    """Right is a likeliest class that is among the labels."""
    logits = logits.float()
    loss = F.binary_cross_entropy_with_logits(logits, labels, reduction='none').mean(1)
    best = logits.argmax(1, keepdim=True)
    return {'class': loss}, {'class': labels.gather(1, best).squeeze(1) > 0}


def _judge_sequences(model, visual, audio, labels) -> Outcome:
    """
    Softmax cross-entropy of each second over the classes and background.

    Tian et al. put a sigmoid's multi-label loss on top of the softmax, which cannot come near
    zero. A second here has one class or none; of several, each has its share.
    """
    moments = model.attend(visual, audio)[1]
    logits = model.classify(moments.unflatten(0, labels.shape[:2])).float().flatten(0, 1)
    flat = labels.flatten(0, 1)
    none = (flat.sum(1, keepdim=True) == 0).to(flat.dtype)
    target = torch.cat([flat, none], 1)
    best = logits.argmax(1, keepdim=True)
    right = target.gather(1, best).squeeze(1) > 0
    target = target / target.sum(1, keepdim=True)
    return Outcome({'class': F.cross_entropy(logits, target, reduction='none')}, {'class': right})


def _halves(heard: Parts):
    """Split what ``hear`` gives along the batch."""
    return zip(*(part.chunk(2) for part in heard))
