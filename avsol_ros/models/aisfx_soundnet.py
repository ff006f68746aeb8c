"""Two audio encoders side by side: aiSFX and SoundNet."""

import math

import torch
from torch.nn import functional as F

from avsol_ros.models.aisfx import AiSfx
from avsol_ros.models.encoders import AudioEncoder, AudioFeatures
from avsol_ros.models.soundnet import SoundNet


class AiSfxSoundNet(AudioEncoder):
    """
    Maps and embeddings of both, one after the other.

    aiSFX's bands are averaged, as its own network does after its last convolution, and its 5 steps
    stretched to SoundNet's 12.

    :param embedding: whether to have what only the embeddings need.
    """

    channels = AiSfx.channels + SoundNet.channels
    embedding = AiSfx.embedding + SoundNet.embedding
    taken = (math.prod(AiSfx.taken) + math.prod(SoundNet.taken),)

    def __init__(self, embedding: bool = True):
        super().__init__()
        self.aisfx = AiSfx(embedding)
        self.soundnet = SoundNet(embedding)

    def prepare(self, samples: torch.Tensor) -> torch.Tensor:
        """
        :param samples: (B, 16000) float32, mono, 16 kHz, -1 to 1.
        :returns: (B, 26274) float32: aiSFX's spectrogram, then SoundNet's wave.
        """
        both = self.aisfx.prepare(samples), self.soundnet.prepare(samples)
        return torch.cat([part.flatten(1) for part in both], 1)

    def encode(self, prepared: torch.Tensor) -> AudioFeatures:
        """
        :param prepared: (B, 26274) float32.
        :returns: maps (B, 768, 12, 1), time by one band, and embedding (B, 2304) or None; neither
            negative; in the parameters' precision, or autocast's.
        """
        first, second = prepared.split([math.prod(AiSfx.taken), math.prod(SoundNet.taken)], 1)
        effects = self.aisfx.encode(first.unflatten(1, AiSfx.taken))
        films = self.soundnet.encode(second.unflatten(1, SoundNet.taken))
        steps = films.maps.shape[2]
        stretched = F.interpolate(effects.maps.mean(3), steps, mode='linear')[..., None]
        maps = torch.cat([stretched, films.maps], 1)
        if effects.embedding is None or films.embedding is None:
            return AudioFeatures(maps, None)
        return AudioFeatures(maps, torch.cat([effects.embedding, films.embedding], 1))
