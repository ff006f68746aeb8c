"""
VGGish (Hershey et al., "CNN Architectures for Large-Scale Audio Classification", 2017).

Parameters bear the names of the file ``vggish-10086976.pth`` of the PyTorch port: Google's
weights. Of what they were trained on two published details disagree: the paper names AudioSet
(section 5.1), the publishers a forerunner of YouTube-8M; the weights are the same. The steps
published for after it, whitening and quantization to 8 bits, are not taken: they serve storage.
"""

import torch
from torch import nn

from avsol_ros.models.encoders import AudioEncoder, AudioFeatures
from avsol_ros.models.layers import arrange_weights, weight_dtype
from avsol_ros.models.log_mel import LogMel
from avsol_ros.models.vgg19 import vgg_features

_PLAN = (64, 'pool', 128, 'pool', 256, 256, 'pool', 512, 512, 'pool')
_FRAMES = 96  # of log-mel, 0.96 s: VGGish's example length, of the 98 that one second has
_EMBEDDING = 128


def _embeddings() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(_FRAMES // 16 * LogMel.BANDS // 16 * 512, 4096),
        nn.ReLU(inplace=True),
        nn.Linear(4096, 4096),
        nn.ReLU(inplace=True),
        nn.Linear(4096, _EMBEDDING),
        nn.ReLU(inplace=True),
    )


class VGGish(AudioEncoder):
    """
    Maps from conv4_2 and its ReLU, and the embedding of 128.

    The maps are the last ones with time in them, those that the final pool and the embedding take:
    12 steps of 80 ms, each of which sees 0.64 s. After the pool 6 would be left, no more than I3D
    gives and fewer than VGG19. Maps before it are finer, 24 steps that see 0.28 s after conv3_2,
    but tell less of what sounds: on such maps of the compact encoder CDF learned its training
    windows by heart.

    :param embedding: whether to have the fully connected layers, 94 % of the parameters, which
        only static fusion needs.
    """

    channels = 512
    embedding = _EMBEDDING
    published = 'vggish'

    def __init__(self, embedding: bool = True):
        super().__init__()
        self.log_mel = LogMel()
        self.features = nn.Sequential(*vgg_features(1, _PLAN))
        self.embeddings = _embeddings() if embedding else None
        arrange_weights(self, torch.channels_last)

    @classmethod
    def published_shapes(cls) -> dict[str, tuple[int, ...]]:
        """Names and shapes in the published file, all of which are kept with ``embedding``."""
        with torch.device('meta'):
            whole = nn.ModuleDict(
                {'features': nn.Sequential(*vgg_features(1, _PLAN)), 'embeddings': _embeddings()}
            )
        return {name: tuple(value.shape) for name, value in whole.state_dict().items()}

    def prepare(self, samples: torch.Tensor) -> torch.Tensor:
        """
        :param samples: (B, 16000) float32, mono, 16 kHz, -1 to 1.
        :returns: (B, 1, 96, 64) float32 log-mel: time by band.
        """
        return self.log_mel(samples)[:, :_FRAMES].unsqueeze(1)

    def encode(self, log_mel: torch.Tensor) -> AudioFeatures:
        """
        :param log_mel: (B, 1, 96, 64) float32.
        :returns: maps (B, 512, 12, 8), time by band, and embedding (B, 128) or None; neither
            negative; in the parameters' precision, or autocast's.
        """
        x = log_mel.to(weight_dtype(self), memory_format=torch.channels_last)
        maps = self.features[:-1](x)
        if self.embeddings is None:
            return AudioFeatures(maps, None)
        # TensorFlow's order, in which the weights were trained: time, then band, then channel.
        flat = self.features[-1](maps).permute(0, 2, 3, 1).flatten(1)
        return AudioFeatures(maps, self.embeddings(flat))
