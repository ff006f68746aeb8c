"""Pictures of what a model finds in a few fixed windows, one sheet an epoch, as training goes."""

from pathlib import Path

import cv2
import numpy as np
import torch
from lightning.pytorch import Callback

from avsol_ros.config import NANOSECONDS
from avsol_ros.drawing.overlay import draw_localization
from avsol_ros.drawing.palette import TRUTH_OUT_OF_VIEW, TRUTH_SILENT, TRUTH_SOUNDING
from avsol_ros.drawing.sheet import contact_sheet
from avsol_ros.files import write_bytes
from avsol_ros.localization import Localization, find_boxes
from avsol_ros.media.image_files import encode_png
from avsol_ros.models.encoders import AudioFeatures
from avsol_ros.models.heads import ModelOutput
from avsol_ros.training.callbacks import GO_ON
from avsol_ros.training.datasets.features import see_frames

_SIDE = 360  # pixels of a picture
_POOL = 8  # windows to choose from for each that is drawn


def choose_windows(labels: np.ndarray, clips: np.ndarray, count: int) -> list[int]:
    """
    Choose some early windows: of three, two in which something in view sounds.

    :param labels: (n, C).
    :param clips: (n,) clip of each; no clip is chosen twice for the same.
    :returns: indices, rising.
    """
    sounding = np.asarray(labels[: _POOL * count]).any(1)
    chosen = []
    for kind, wanted in ((False, count // 3), (True, count - count // 3)):
        of_kind = np.flatnonzero(sounding == kind)
        first = np.unique(clips[of_kind], return_index=True)[1]
        chosen += of_kind[first[:wanted]].tolist()
    return sorted(chosen)


class MapDrawer(Callback):
    """
    Draws ``epoch_<n>.png``, two digits or more, for the windows given.

    :param samples: see ``segments.Sample``.
    :param titles: a caption for each.
    """

    def __init__(self, folder: Path, samples: list, titles: list[str]):
        self.folder, self.samples, self.titles = folder, samples, titles
        self._features = None

    def on_train_epoch_end(self, trainer, module) -> None:
        if not trainer.is_global_zero or not self.samples:
            return
        model = module.model.eval()
        with torch.inference_mode():
            if self._features is None:
                self._features = self._encode(model, module.device)
            outputs = [model.fuse(visual, audio) for visual, audio in self._features]
            found = [
                self._localization(model, output, sample)
                for output, sample in zip(outputs, self.samples)
            ]
        module.train()
        epoch = trainer.current_epoch + 1
        sheet = contact_sheet(
            [_draw(sample, one) for sample, one in zip(self.samples, found)],
            self.titles,
            columns=3,
            title=f'epoch {epoch}',
            tile_width=_SIDE,
            legend=(
                (TRUTH_SOUNDING, 'sounds'),
                (TRUTH_SILENT, 'silent'),
                (TRUTH_OUT_OF_VIEW, 'sounds out of view'),
            ),
        )
        path = self.folder / f'epoch_{epoch:02}.png'
        write_bytes(path, encode_png(sheet), GO_ON)

    def _encode(self, model, device) -> list[tuple]:
        features = []
        for sample in self.samples:
            visual = see_frames(
                model.visual_encoder, torch.from_numpy(sample.frames[None]).to(device)
            ).float()
            audio = (
                None
                if model.audio_encoder is None
                else model.audio_encoder(torch.from_numpy(np.array(sample.audio[None])).to(device))
            )
            if audio is not None:
                audio = AudioFeatures(audio.maps.float(), audio.embedding)
            features.append((visual, audio))
        return features

    def _localization(self, model, output: ModelOutput, sample) -> Localization:
        heatmap = model.heatmap(output)[0].float().cpu().numpy()
        scores = model.class_scores(output)
        named = scores is not None
        return Localization(
            0,
            NANOSECONDS,
            NANOSECONDS,
            heatmap,
            None if output.avc_logit is None else float(output.avc_logit[0].sigmoid()),
            model.config.classes if named else (),
            scores[0].float().cpu().numpy() if named else np.zeros(0, np.float32),
            output.class_map[0].float().cpu().numpy()
            if named
            else np.zeros((0, *heatmap.shape), np.float32),
            (_SIDE, _SIDE),
            model.visual_encoder.first_centre,
        )


def _draw(sample, found: Localization) -> np.ndarray:
    image = sample.frames[len(sample.frames) // 2]
    scale = _SIDE / image.shape[0]
    image = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
    truth = [
        {**thing, 'box': thing['box'] and [scale * side for side in thing['box']]}
        for thing in sample.truth
    ]
    return draw_localization(image, found, find_boxes(found), sample.audio, truth)
