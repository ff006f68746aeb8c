"""
What computes a model's heavy parts: which library, and in which precision.

Heavy are the encoders and the visual sub-network of CDF. They are run in half precision, which may
cost features a hundredth of their length: ``avsol benchmark`` measures it. Encoders that would
lose more in bfloat16 say so (``Encoder.bears_bfloat16``) and keep to float32. All else is PyTorch
in float32 with every engine, for it takes little time: the spectrogram, whose logarithm would make
the rounding of faint sounds loud; the sound's sub-network; and what compares, normalizes and
classifies.

8 bit integers would be faster still on a CPU. They are not taken: they need examples to set their
ranges from, and round more coarsely than the hundredth that features may lose.
"""

import copy
import importlib.util
import sys
import warnings
from collections.abc import Callable
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from torch import nn

from avsol_ros.errors import AvsolError
from avsol_ros.models.encoders import AudioFeatures, Foldable
from avsol_ros.models.fusion import CombinedDynamicFusion
from avsol_ros.models.heads import ModelOutput
from avsol_ros.models.network import LocalizationModel, SoundingObjectModel

if TYPE_CHECKING:
    import openvino

RunPart = Callable[[torch.Tensor], tuple[torch.Tensor, ...]]

ENGINES = ('auto', 'torch', 'torch-half', 'openvino')
HEAVY = 1_000_000  # parameters of a visual encoder from which a faster engine is worth its errors
FRAMES_PER_CALL = {'cpu': 1, 'cuda': 4}  # of encoders that take every frame by itself


def has_openvino() -> bool:
    """Whether the package is installed."""
    return importlib.util.find_spec('openvino') is not None


def has_bfloat16() -> bool:
    """Whether the CPU computes in bfloat16 by itself; where it does not, float32 is faster."""
    try:
        capabilities = torch.cpu.get_capabilities()
    except AttributeError:  # an older PyTorch
        try:
            with open('/proc/cpuinfo', encoding='ascii', errors='replace') as file:
                return 'avx512_bf16' in file.read()
        except OSError:
            return False
    return bool(capabilities.get('avx512_bf16') or capabilities.get('amx_bf16'))


def choose_engine(name: str, model: LocalizationModel, device: torch.device) -> str:
    """
    The engine for a model, ``auto`` replaced.

    ``auto`` takes half precision on a GPU. On a CPU it takes OpenVINO where that is installed,
    else bfloat16 where the CPU has it. Encoders as small as the compact ones gain nothing worth
    an error and stay as they were trained.
    """
    if name not in ENGINES:
        raise AvsolError(f'engine is {name!r}; expected {", ".join(ENGINES)}')
    if name == 'openvino':
        if not has_openvino():
            raise AvsolError(
                "engine is 'openvino', which is not installed; pip install openvino, or take auto"
            )
        if device.type != 'cpu':
            raise AvsolError(
                f"engine is 'openvino' and device is {device.type!r}; "
                'take device cpu, or another engine'
            )
    if name != 'auto':
        return name
    if sum(parameter.numel() for parameter in model.visual_encoder.parameters()) < HEAVY:
        return 'torch'
    if device.type == 'cpu':
        if has_openvino():
            return 'openvino'
        return 'torch-half' if has_bfloat16() else 'torch'
    return 'torch-half'


class Part(nn.Module):
    """
    A part of a model as engines take it: one tensor in, a tuple of tensors out.

    :param owner: the module that the part's weights are in.
    :param method: what of it to call; itself when None.
    :ivar bears_bfloat16: see ``encoders.Encoder``.
    """

    def __init__(self, owner: nn.Module, method: str | None = None):
        super().__init__()
        self.owner = owner
        self.method = method
        self.bears_bfloat16 = bool(getattr(owner, 'bears_bfloat16', True))

    def forward(self, given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = (getattr(self.owner, self.method) if self.method else self.owner)(given)
        if isinstance(found, AudioFeatures):
            found = (found.maps, found.embedding)
        elif isinstance(found, torch.Tensor):
            found = (found,)
        return tuple(value for value in found if value is not None)


class TorchPart:
    """
    A part run by PyTorch, its features last in memory, as CPUs and GPUs like them best.

    In half precision only convolutions and matrix products are: their weights once, here, and
    their inputs by autocast. Normalization that weights can take they take before that, in
    float32; other normalization and what encoders do to pixels stay float32.

    :param dtype: float32, float16 or bfloat16.
    :param exact: whether to take float32 in any case, with normalization in the weights.
    """

    @torch.inference_mode(False)  # else the weights could not be used outside it any more
    def __init__(self, part: Part, dtype: torch.dtype, exact: bool = False):
        self._exact = part
        self._dtype = torch.float32 if exact else dtype
        if dtype == torch.float32:
            self._part = part
        else:
            self._part = copy.deepcopy(part)
            for module in list(self._part.modules()):
                if isinstance(module, Foldable):
                    module.fold()
                if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)):
                    module.to(self._dtype)
        for parameter in self._part.parameters():
            if parameter.dim() in (4, 5):
                parameter.data = parameter.data.contiguous(
                    memory_format=torch.channels_last
                    if parameter.dim() == 4
                    else torch.channels_last_3d
                )

    def __call__(self, given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if self._dtype == torch.float32:
            return self._part(given)
        with torch.autocast(given.device.type, self._dtype):
            found = tuple(value.float() for value in self._part(given))
        # float16 ends at 65504, and VGG19 has no normalization to keep it below that.
        if self._dtype == torch.float16 and not all(value.isfinite().all() for value in found):
            return self._exact(given)
        return found


class OpenVinoPart:
    """
    A part converted for OpenVINO, on the CPU: bfloat16 where the CPU has it, else float32.

    :param shape: of its input; no other is taken.
    :param exact: whether to take float32 in any case.
    """

    def __init__(self, part: Part, shape: tuple[int, ...], exact: bool = False):
        openvino = import_openvino()
        # By export, which makes sizes constants: tracing leaves I3D's padding to be computed.
        with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
            warnings.simplefilter('ignore')
            converted = openvino.convert_model(
                torch.export.export(part.eval(), (torch.zeros(shape),))
            )
        converted.reshape(list(shape))
        core = _openvino_core()
        half = not exact and 'BF16' in core.get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
        self._request = core.compile_model(
            converted,
            'CPU',
            {
                'INFERENCE_PRECISION_HINT': 'bf16' if half else 'f32',
                'INFERENCE_NUM_THREADS': torch.get_num_threads(),
                'PERFORMANCE_HINT': 'LATENCY',
                # The machine is the robot's: other processes run on these cores too.
                'ENABLE_CPU_PINNING': False,
            },
        ).create_infer_request()

    def __call__(self, given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = self._request.infer([given.contiguous().numpy()], share_inputs=True)
        return tuple(torch.from_numpy(value) for value in found.values())


def import_openvino() -> ModuleType:
    """OpenVINO without its telemetry, which on import would tell the maker of its use."""
    # None in sys.modules makes the import fail: typeshed has no word for it.
    sys.modules.setdefault('openvino_telemetry', None)  # type: ignore[arg-type]
    import openvino

    return openvino


@lru_cache(maxsize=1)
def _openvino_core() -> 'openvino.Core':
    """
    Return the one runtime of this process.

    It is never let go of: with the last one the CPU plugin goes, and leaves the thread that loaded
    it with a signal stack that is no memory any more, so that Ctrl-C ends in a segmentation fault
    (OpenVINO 2026.4).
    """
    return import_openvino().Core()


class Engine:
    """
    A model's steps, from pixels and samples to its output.

    The same frame gives the same features, bit for bit, whatever else is encoded with it: frames
    of encoders that take every frame by itself go through in portions of one size, one on a CPU,
    where larger ones are no faster.

    :param model: in eval mode, on ``device``.
    :param name: one of ``ENGINES``.
    :ivar name: the engine in use, never ``auto``.
    :ivar per_call: frames that the visual encoder takes at once.
    """

    def __init__(
        self,
        model: LocalizationModel,
        device: torch.device,
        name: str = 'auto',
        per_call: int | None = None,
    ):
        self.name = choose_engine(name, model, device)
        self._model = model
        self._device = device
        make = self._maker()
        encoder = model.visual_encoder
        self.per_call = (
            encoder.frames
            if not encoder.per_frame
            else (per_call or FRAMES_PER_CALL.get(device.type, 1))
        )
        size = encoder.image_size
        self._encode = make(Part(encoder), (1, self.per_call, 3, size, size))
        self._listen = (
            None
            if model.audio_encoder is None
            else make(Part(model.audio_encoder, 'encode'), (1, *model.audio_encoder.taken))
        )
        self._see: RunPart | None = None
        if (
            self.name != 'torch'
            and isinstance(model, SoundingObjectModel)
            and isinstance(model.fusion, CombinedDynamicFusion)
        ):
            self._see = make(
                Part(model.fusion, 'see'),
                (1, encoder.channels, encoder.steps, encoder.grid, encoder.grid),
            )

    def _maker(self) -> Callable[[Part, tuple[int, ...]], RunPart]:
        if self.name == 'openvino':
            return lambda part, shape: OpenVinoPart(part, shape, exact=not part.bears_bfloat16)
        half = torch.bfloat16 if self._device.type == 'cpu' else torch.float16
        dtype = torch.float32 if self.name == 'torch' else half
        return lambda part, shape: TorchPart(
            part, dtype, exact=dtype == torch.bfloat16 and not part.bears_bfloat16
        )

    @torch.inference_mode()
    def encode_frames(self, frames: torch.Tensor) -> torch.Tensor:
        """
        Features of frames, each by itself; for encoders with ``per_frame``.

        :param frames: (N, 3, S, S) float32, RGB, 0 to 1.
        :returns: (N, C, h, w) float32, on the model's device.
        """
        found = []
        for portion in frames.split(self.per_call):
            count = len(portion)
            if count < self.per_call:
                portion = torch.cat(
                    [portion, portion[-1:].expand(self.per_call - count, -1, -1, -1)]
                )
            (features,) = self._encode(portion[None].to(self._device))
            found.append(features[0].transpose(0, 1)[:count])
        return torch.cat(found)

    @torch.inference_mode()
    def encode_window(self, frames: torch.Tensor) -> torch.Tensor:
        """
        Features of a whole window.

        :param frames: (T, 3, S, S) float32, RGB, 0 to 1.
        :returns: (1, C, T', h, w) float32, on the model's device.
        """
        if self._model.visual_encoder.per_frame:
            return self.encode_frames(frames).transpose(0, 1)[None]
        return self._encode(frames[None].to(self._device))[0]

    @torch.inference_mode()
    def encode_sound(self, samples: torch.Tensor) -> AudioFeatures | None:
        """
        Features of one second of sound; None in a model that does not hear.

        :param samples: (16000,) float32, mono, 16 kHz, -1 to 1.
        """
        encoder = self._model.audio_encoder
        if encoder is None or self._listen is None:
            return None
        prepared = encoder.prepare(samples[None].to(self._device))
        maps, *embedding = self._listen(prepared)
        return AudioFeatures(maps, embedding[0] if embedding else None)

    @torch.inference_mode()
    def fuse(
        self, visual: torch.Tensor, audio: AudioFeatures | None, past: torch.Tensor | None = None
    ) -> ModelOutput:
        """Everything after the encoders; see ``LocalizationModel.fuse``."""
        model = self._model
        if self._see is None or audio is None or not isinstance(model, SoundingObjectModel):
            return model.fuse(visual, audio, past)
        return model.relate(self._see(visual), model.fusion.hear(audio))
