"""The two baselines of section 5.2: CAM, which does not hear, and Tian et al. (ECCV 2018)."""

import torch
from torch import nn
from torch.nn import functional as F

from avsol_ros.models.encoders import AudioEncoder, AudioFeatures, VisualEncoder
from avsol_ros.models.fusion import VisualSubnetwork
from avsol_ros.models.heads import ClassBranch, ModelOutput
from avsol_ros.models.network import LocalizationModel


def min_max(maps: torch.Tensor) -> torch.Tensor:
    """
    Stretch each map to 0 to 1, as section 5.2 does for evaluation; constant maps become 0.

    :param maps: (B, h, w).
    """
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / (high - low).clamp_min(torch.finfo(maps.dtype).tiny)


class CamModel(LocalizationModel):
    """
    Class activation maps (Zhou et al., CVPR 2016) on our visual network (section 5.2).

    Fig. 2 without sound: v_cls is averaged over all cells and classified. The map is that of the
    class which the model finds most likely, for nobody tells a robot the right one.
    """

    def __init__(self, visual_encoder: VisualEncoder, dim: int, kernel: int, classes: int):
        super().__init__(visual_encoder, None)
        self.visual = VisualSubnetwork(visual_encoder.channels, dim, kernel, None, signed=False)
        self.branch = ClassBranch(dim, classes)

    def fuse(
        self,
        visual: torch.Tensor,
        audio: AudioFeatures | None = None,
        past: torch.Tensor | None = None,
    ) -> ModelOutput:
        """Time is averaged away after the backbone, as in Fig. 3a."""
        class_map = self.branch.classify(self.visual(visual.mean(2, keepdim=True)).squeeze(2))
        return ModelOutput(class_map=class_map, class_logits=class_map.mean((2, 3)))

    def heatmap(self, output: ModelOutput) -> torch.Tensor:
        """The activation map of the likeliest class, stretched to 0 to 1."""
        assert output.class_logits is not None and output.class_map is not None  # see fuse
        best = output.class_logits.argmax(1)
        return min_max(output.class_map[torch.arange(len(best), device=best.device), best])


class AudioGuidedAttentionModel(LocalizationModel):
    """
    Audio-guided visual attention and bidirectional LSTMs over ten seconds (Tian et al.).

    Names and shapes of the trained parts are those of the published network (``A+V-att``), so
    that its weights fit where classes and encoders are the same. Two published details disagree:
    in their paper the sound is added to each hidden unit, alike in all cells; in the code that
    gave the published weights it is added to each cell, alike in all hidden units. With 7 x 7
    cells and 49 hidden units both have one shape. Here it is as in the code, for Table 2 scores
    those weights.

    The attention needs only its own second. The context serves the classification; live, where
    there is no future, it is that of the seconds before.

    :param hidden: size of each LSTM's state, per direction.
    :param projected: size to which both modalities are projected for the attention.
    """

    context = 10

    def __init__(
        self,
        visual_encoder: VisualEncoder,
        audio_encoder: AudioEncoder,
        classes: int,
        hidden: int = 128,
        projected: int = 512,
    ):
        super().__init__(visual_encoder, audio_encoder)
        seen, heard = visual_encoder.channels, audio_encoder.embedding
        cells = visual_encoder.grid**2
        self.sizes = seen, heard
        self.lstm_audio = nn.LSTM(heard, hidden, batch_first=True, bidirectional=True)
        self.lstm_video = nn.LSTM(seen, hidden, batch_first=True, bidirectional=True)
        self.affine_audio = nn.Linear(heard, projected)
        self.affine_video = nn.Linear(seen, projected)
        self.affine_v = nn.Linear(projected, cells, bias=False)
        self.affine_g = nn.Linear(projected, cells, bias=False)
        self.affine_h = nn.Linear(cells, 1, bias=False)
        self.L1 = nn.Linear(4 * hidden, 64)
        self.L2 = nn.Linear(64, classes + 1)  # the last one is background
        for layer in (
            self.affine_audio,
            self.affine_video,
            self.affine_v,
            self.affine_g,
            self.affine_h,
            self.L1,
            self.L2,
        ):
            nn.init.xavier_uniform_(layer.weight)

    def attend(
        self, visual: torch.Tensor, audio: AudioFeatures
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Let the sound choose where to look, second by second.

        :param visual: (B, C, T, h, w); averaged over T.
        :returns: attention (B, h, w), which sums to 1, and the moment (B, C + E): the attended
            features and the sound's.
        """
        if audio.embedding is None:
            raise TypeError('audio has no embedding; expected an encoder made with one')
        cells = visual.mean(2).flatten(2).transpose(1, 2)  # (B, cells, C)
        looked = self.affine_v(F.relu(self.affine_video(cells)))
        listened = self.affine_g(F.relu(self.affine_audio(audio.embedding)))
        scores = self.affine_h(torch.tanh(looked + listened.unsqueeze(2))).squeeze(2)
        attention = scores.softmax(1)
        attended = (attention.unsqueeze(2) * cells).sum(1)
        return (
            attention.unflatten(1, visual.shape[3:]),
            torch.cat([attended, audio.embedding], 1),
        )

    def classify(self, moments: torch.Tensor) -> torch.Tensor:
        """
        :param moments: (B, N, C + E) of N seconds in a row.
        :returns: (B, N, classes + 1) logits of a softmax; the last class is background.
        """
        seen, heard = moments.split(self.sizes, dim=2)
        both = torch.cat([self.lstm_audio(heard)[0], self.lstm_video(seen)[0]], 2)
        return self.L2(F.relu(self.L1(F.relu(both))))

    def fuse(
        self, visual: torch.Tensor, audio: AudioFeatures | None, past: torch.Tensor | None = None
    ) -> ModelOutput:
        """The class logits are those of probabilities that a softmax with background gives."""
        if audio is None:
            raise TypeError('audio is None; expected features: this model hears')
        attention, moment = self.attend(visual, audio)
        moments = (
            moment.unsqueeze(1) if past is None else torch.cat([past, moment.unsqueeze(1)], 1)
        )
        log_p = self.classify(moments)[:, -1].log_softmax(1)
        rest = torch.log1p(-log_p.exp().clamp_max(1 - 1e-6))
        logits = (log_p - rest)[:, :-1]
        class_map = logits[:, :, None, None].expand(-1, -1, *attention.shape[1:])
        return ModelOutput(
            attention=attention, class_map=class_map, class_logits=logits, moment=moment
        )

    def heatmap(self, output: ModelOutput) -> torch.Tensor:
        """The attention, stretched to 0 to 1 in each frame (section 5.2)."""
        assert output.attention is not None  # see fuse
        return min_max(output.attention)
