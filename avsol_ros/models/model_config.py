"""What a model is made of, in words: encoders, fusion and task by name, and a few sizes."""

from dataclasses import asdict, dataclass

from avsol_ros.errors import AvsolError
from avsol_ros.models.aisfx import AiSfx
from avsol_ros.models.aisfx_soundnet import AiSfxSoundNet
from avsol_ros.models.compact import CompactAudioEncoder, CompactVisualEncoder
from avsol_ros.models.efficientnet_lite import (
    EfficientNetLite0,
    EfficientNetLite0Stage5,
    EfficientNetLite1,
    EfficientNetLite2,
)
from avsol_ros.models.encoders import AudioEncoder, VisualEncoder
from avsol_ros.models.fusion import SIMILARITIES
from avsol_ros.models.i3d import I3D
from avsol_ros.models.soundnet import SoundNet
from avsol_ros.models.vgg19 import VGG19, VGG19Pool5
from avsol_ros.models.vggish import VGGish

VISUAL_ENCODERS: dict[str, type[VisualEncoder]] = {
    'compact': CompactVisualEncoder,
    'efficientnet-lite0': EfficientNetLite0,
    'efficientnet-lite1': EfficientNetLite1,
    'efficientnet-lite2': EfficientNetLite2,
    'efficientnet-lite0-stage5': EfficientNetLite0Stage5,
    'vgg19': VGG19,
    'vgg19-pool5': VGG19Pool5,
    'i3d': I3D,
}
AUDIO_ENCODERS: dict[str, type[AudioEncoder]] = {
    'compact': CompactAudioEncoder,
    'aisfx': AiSfx,
    'soundnet': SoundNet,
    'aisfx+soundnet': AiSfxSoundNet,
    'vggish': VGGish,
}
METHODS = ('avsm', 'cam', 'tian')
FUSIONS = ('static', 'cdf', 'sync')
TASKS = ('dnm', 'avc', 'cls')


@dataclass(frozen=True)
class ModelConfig:
    """
    Everything needed to build a model again.

    :param classes: names of the categories, in the order of the outputs.
    :param method: ``avsm``, the paper's audio-visual similarity map (Fig. 2), or a baseline of
        section 5.2: ``cam`` or ``tian``. Both baselines are trained by classification and know
        nothing of the settings from ``similarity`` to ``time_stride``, except that CAM has the
        visual sub-network with its ``dim`` and ``kernel``.
    :param visual: name of the visual encoder.
    :param audio: name of the audio encoder; CAM has none.
    :param frames: frames of a window; the visual encoder's own number when None.
    :param fusion: ``static`` (Fig. 3a), ``cdf`` (Fig. 3b), or ``sync``, an extension.
    :param task: what it is trained on: ``dnm`` (both), ``avc`` or ``cls`` alone.
    :param similarity: how a cell is compared with the sound: ``dot``, as the paper says, or
        ``cosine``.
    :param dim: D, size of the feature vectors that are compared. The paper does not say: 256 in
        its rows, half the channels of VGG19 and of VGGish's maps, with which CDF adds a twentieth
        to the FLOPs of VGG19 and a seventh to those of I3D (``avsol models``).
    :param kernel: side, in cells, of the spatial kernels after the visual encoder; odd. The paper
        says only 3D CNN: 3 in its rows, the least that looks beside a cell; 1 in the compact ones,
        see ``VisualSubnetwork``.
    :param time_stride: by how much CDF's visual sub-network shortens time; 1 keeps it.
    """

    classes: tuple[str, ...]
    method: str = 'avsm'
    visual: str = 'compact'
    audio: str = 'compact'
    frames: int | None = None
    fusion: str = 'cdf'
    task: str = 'dnm'
    similarity: str = 'cosine'
    dim: int = 64
    kernel: int = 1
    time_stride: int = 2

    def __post_init__(self) -> None:
        for name, known in (
            ('method', METHODS),
            ('visual', VISUAL_ENCODERS),
            ('audio', AUDIO_ENCODERS),
            ('fusion', FUSIONS),
            ('task', TASKS),
            ('similarity', SIMILARITIES),
        ):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in known:
                raise AvsolError(f'{name} is {value!r}; expected one of {", ".join(known)}')
        for name in ('dim', 'kernel', 'time_stride', 'frames'):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
            if not whole and not (name == 'frames' and value is None):
                raise AvsolError(f'{name} is {value!r}; expected a positive integer')
        if self.kernel % 2 == 0:
            raise AvsolError(f'kernel is {self.kernel!r}; expected an odd positive integer')
        if self.method != 'avsm' and (self.fusion, self.task) != ('static', 'cls'):
            raise AvsolError(
                f'method {self.method} with fusion {self.fusion!r} and task '
                f'{self.task!r}; expected fusion static and task cls'
            )
        object.__setattr__(self, 'classes', tuple(self.classes))
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise AvsolError(f'classes are {self.classes}; expected at least one, all different')

    def as_dict(self) -> dict:
        """Plain values, for a checkpoint."""
        return {**asdict(self), 'classes': list(self.classes)}
