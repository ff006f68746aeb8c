"""The one place that knows sizes: a model from its configuration."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path

import yaml
from torch import nn

from avsol_ros.errors import AvsolError
from avsol_ros.models.baselines import AudioGuidedAttentionModel, CamModel
from avsol_ros.models.compact import CompactAudioEncoder, CompactVisualEncoder
from avsol_ros.models.fusion import SIMILARITIES, CombinedDynamicFusion, StaticFusion
from avsol_ros.models.heads import ClassificationHead, CorrespondenceHead, DualNormalizationHead
from avsol_ros.models.i3d import I3D
from avsol_ros.models.network import LocalizationModel, SoundingObjectModel
from avsol_ros.models.synchrony import SynchronyFusion
from avsol_ros.models.vgg19 import VGG19, VGG19Pool5
from avsol_ros.models.vggish import VGGish
from avsol_ros.share import share_folder

VISUAL_ENCODERS = {
    'compact': CompactVisualEncoder,
    'vgg19': VGG19,
    'vgg19-pool5': VGG19Pool5,
    'i3d': I3D,
}
AUDIO_ENCODERS = {'compact': CompactAudioEncoder, 'vggish': VGGish}
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

    def __post_init__(self):
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


def build_model(config: ModelConfig) -> LocalizationModel:
    """Build a model with fresh weights."""
    model = _BUILDERS[config.method](config)
    model.config = config
    return model


def _visual_encoder(config: ModelConfig) -> nn.Module:
    return VISUAL_ENCODERS[config.visual](config.frames)


def _build_avsm(config: ModelConfig) -> SoundingObjectModel:
    visual = _visual_encoder(config)
    # CDF hears maps of a middle layer; the layers after it stay away.
    audio = AUDIO_ENCODERS[config.audio](embedding=config.fusion != 'cdf')
    similarity = SIMILARITIES[config.similarity]()
    if config.fusion == 'static':
        fusion = StaticFusion(
            visual.channels, audio.embedding, config.dim, config.kernel, similarity
        )
    elif config.fusion == 'cdf':
        fusion = CombinedDynamicFusion(
            visual.channels,
            audio.channels,
            config.dim,
            config.kernel,
            visual.steps,
            config.time_stride,
            similarity,
        )
    else:
        fusion = SynchronyFusion(
            visual.channels,
            audio.channels,
            audio.embedding,
            config.dim,
            config.kernel,
            visual.steps,
            similarity,
        )
    head = {
        'dnm': DualNormalizationHead,
        'cls': ClassificationHead,
        'avc': lambda *sizes: CorrespondenceHead(),
    }[config.task](config.dim, len(config.classes))
    return SoundingObjectModel(visual, audio, fusion, head)


def _build_cam(config: ModelConfig) -> CamModel:
    return CamModel(_visual_encoder(config), config.dim, config.kernel, len(config.classes))


def _build_tian(config: ModelConfig) -> AudioGuidedAttentionModel:
    return AudioGuidedAttentionModel(
        _visual_encoder(config), AUDIO_ENCODERS[config.audio](embedding=True), len(config.classes)
    )


_BUILDERS = {'avsm': _build_avsm, 'cam': _build_cam, 'tian': _build_tian}


_TABLE_2 = ('cam', 'tian', 'vgg19', 'i3d', 'static', 'cdf', 'sync', 'cls', 'avc', 'dnm')


def named_models() -> dict[str, Path]:
    """Names of the models in config/models and their files, in Table 2's order, compact last."""

    def place(path):
        words = path.stem.split('-')
        return ('compact' in words, [_TABLE_2.index(w) for w in words if w in _TABLE_2], words)

    folder = share_folder() / 'config' / 'models'
    return {path.stem: path for path in sorted(folder.glob('*.yaml'), key=place)}


def named_config(name: str | Path, classes) -> ModelConfig:
    """
    The configuration of a named model, or of a YAML file like those in config/models.

    :param classes: names of the categories, which the files leave open.
    """
    known = named_models()
    path = known.get(str(name)) or Path(name)
    if not path.is_file():
        raise AvsolError(
            f'no model {str(name)!r}; expected a YAML file or one of {", ".join(known)}'
        )
    try:
        values = yaml.safe_load(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise AvsolError(
            f'cannot read {path} ({error.strerror}); expected settings as in config/models'
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise AvsolError(
            f'{path} is not YAML ({str(error).splitlines()[0]}); '
            'expected settings as in config/models'
        ) from None
    settings = {field.name for field in fields(ModelConfig)} - {'classes'}
    if not isinstance(values, dict) or not values.keys() <= settings:
        wrong = (
            ', '.join(map(str, values.keys() - settings))
            if isinstance(values, dict)
            else repr(values)
        )
        raise AvsolError(
            f'{path} says {wrong}; expected settings among {", ".join(sorted(settings))}'
        )
    try:
        return ModelConfig(tuple(classes), **values)
    except AvsolError as error:
        raise AvsolError(f'{path}: {error}') from None
