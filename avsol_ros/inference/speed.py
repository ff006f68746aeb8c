"""How long a model takes on this machine, how much of the machine that uses, and what it costs."""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import nn

from avsol_ros.config import NANOSECONDS, WindowConfig
from avsol_ros.inference.engine import (
    ENGINES,
    OpenVinoPart,
    Part,
    choose_engine,
    has_openvino,
    import_openvino,
)
from avsol_ros.inference.localizer import Localizer, choose_device
from avsol_ros.models.builder import build_model, named_config
from avsol_ros.models.catalogue import count_flops
from avsol_ros.models.checkpoint import load_checkpoint
from avsol_ros.models.encoders import AudioFeatures
from avsol_ros.models.heads import ModelOutput
from avsol_ros.models.model_names import is_row
from avsol_ros.models.network import LocalizationModel
from avsol_ros.streams.windows import SAMPLE_RATE, AudioVisualWindow, WindowCutter

HOP_NS = NANOSECONDS // 4
CAMERA = 30, 480, 640  # frames a second, height, width
CLASSES = 28  # of the AVE data set
GEMM_SIZE = {'cpu': 2048, 'cuda': 8192}

Product = tuple[Callable[[], object], float]  # a computation, and its operations


def describe_machine(device: torch.device) -> dict:
    """What timings depend on."""
    machine = {
        'cpu': _cpu_name(),
        'threads': torch.get_num_threads(),
        'torch': torch.__version__,
        'openvino': import_openvino().__version__ if has_openvino() else None,
    }
    if device.type == 'cuda':
        machine['gpu'] = torch.cuda.get_device_name(device)
    return machine


def _cpu_name() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        return 'unknown'
    return next(
        (line.partition(':')[2].strip() for line in lines if line.startswith('model name')),
        'unknown',
    )


def engines_of(device: torch.device) -> tuple[str, ...]:
    """The engines that can be had here, but for ``auto``, which is one of them."""
    return tuple(
        name
        for name in ENGINES[1:]
        if name != 'openvino' or (device.type == 'cpu' and has_openvino())
    )


def get_model(name: str, seed: int = 0) -> LocalizationModel:
    """A row of config/models, or a file like those, with random weights; or a checkpoint."""
    if not is_row(name):
        return load_checkpoint(name)
    torch.manual_seed(seed)
    model = build_model(named_config(name, [f'class {i}' for i in range(CLASSES)]))
    for module in model.modules():
        # As large as features of trained layers are: PyTorch's own would fade with every layer,
        # and errors with them.
        if isinstance(module, (nn.Conv2d, nn.Conv3d)):
            nn.init.kaiming_normal_(module.weight)
    return model.eval()


def overlapping_windows(frames: int, seed: int) -> tuple[AudioVisualWindow, AudioVisualWindow]:
    """Two windows of a noise film, the second a hop later; other arrays at every call."""
    rate, height, width = CAMERA
    rng = np.random.default_rng(seed)
    cutter = WindowCutter(WindowConfig(hop_ns=HOP_NS, frames=frames))
    length_ns = NANOSECONDS + HOP_NS
    for stamp_ns in range(0, length_ns + NANOSECONDS // rate, NANOSECONDS // rate):
        cutter.add_frame(stamp_ns, rng.integers(0, 256, (height, width, 3), np.uint8))
    samples = rng.normal(0, 0.1, length_ns * SAMPLE_RATE // NANOSECONDS)
    cutter.add_audio(0, samples.astype(np.float32).clip(-1, 1))
    first, second = list(cutter.ready())[:2]
    return first, second


def large_product(engine: str, device: torch.device) -> Product:
    """A large matrix product, in an engine's library and precision, and its operations."""
    size = GEMM_SIZE[device.type]
    layer = nn.Linear(size, size, bias=False).eval().requires_grad_(False)
    given = torch.randn(size, size)
    if engine == 'openvino':
        part = OpenVinoPart(Part(layer), (size, size))
        return lambda: part(given), 2.0 * size**3
    half = torch.bfloat16 if device.type == 'cpu' else torch.float16
    dtype = torch.float32 if engine == 'torch' else half
    layer, given = layer.to(device, dtype), given.to(device, dtype)
    return lambda: layer(given), 2.0 * size**3


@torch.inference_mode()
def exact_results(
    model: LocalizationModel, frames: torch.Tensor, samples: torch.Tensor
) -> list[torch.Tensor]:
    """What the model itself gives, in PyTorch and float32; see :func:`results`."""
    seen = model.visual_encoder(frames[None])
    heard = None if model.audio_encoder is None else model.audio_encoder(samples[None])
    return results(model, seen, heard, model.fuse(seen, heard))


@torch.inference_mode()
def engine_results(
    localizer: Localizer, frames: torch.Tensor, samples: torch.Tensor
) -> list[torch.Tensor]:
    """What an engine gives; see :func:`results`."""
    seen = localizer.engine.encode_window(frames)
    heard = localizer.engine.encode_sound(samples)
    return results(localizer.model, seen, heard, localizer.engine.fuse(seen, heard))


def results(
    model: LocalizationModel,
    seen: torch.Tensor,
    heard: AudioFeatures | None,
    output: ModelOutput,
) -> list[torch.Tensor]:
    """The heatmap and the features of the encoders."""
    features: list[torch.Tensor | None] = [seen]
    if heard is not None:
        features += [heard.maps, heard.embedding]
    return [model.heatmap(output), *(value for value in features if value is not None)]


def errors(found: list[torch.Tensor], exact: list[torch.Tensor]) -> tuple[float, float]:
    """
    How far an engine is from the model.

    :returns: the largest relative error of the features (norm of the difference over norm), and
        the largest difference in the heatmap, whose values are 0 to 1.
    """
    return (
        max(float((a - b).norm() / b.norm()) for a, b in zip(found[1:], exact[1:])),
        float((found[0] - exact[0]).abs().max()),
    )


def measure(
    names: list[str], engines: list[str], device: str = 'auto', repeat: int = 5, seed: int = 0
) -> dict:
    """
    Time models with engines.

    Everything of one model is timed in turns, so that what else the machine does falls on all
    alike; medians are taken.

    :returns: ``machine``, settings and ``rows``, one of each model and engine.
    """
    chosen = choose_device(device)
    products = {engine: large_product(engine, chosen) for engine in engines}
    return {
        'machine': describe_machine(chosen),
        'repeat': repeat,
        'seed': seed,
        'hop_s': HOP_NS / NANOSECONDS,
        'rows': [
            row
            for name in names
            for row in _measure_model(name, engines, chosen, repeat, seed, products)
        ],
    }


def _measure_model(
    name: str,
    engines: list[str],
    device: torch.device,
    repeat: int,
    seed: int,
    products: dict[str, Product],
) -> list[dict]:
    model = get_model(name, seed)
    gflop = count_flops(model.config) / 1e9
    localizers = {engine: Localizer(model, str(device), engine) for engine in engines}
    chosen = choose_engine('auto', model, device)
    first, _ = overlapping_windows(localizers[engines[0]].frames, seed)
    frames = localizers[engines[0]].square(first.frames).to(device)
    samples = torch.from_numpy(first.audio).to(device)
    exact = exact_results(model, frames, samples)
    off = {
        engine: errors(engine_results(localizer, frames, samples), exact)
        for engine, localizer in localizers.items()
    }
    whole: dict[str, list[float]] = {engine: [] for engine in engines}
    live: dict[str, list[float]] = {engine: [] for engine in engines}
    product_times: dict[str, list[float]] = {engine: [] for engine in engines}
    for turn in range(repeat):
        windows = overlapping_windows(len(first.frames), seed + 1 + turn)
        for engine, localizer in localizers.items():
            for window, times in zip(windows, (whole, live)):
                times[engine].append(_seconds(lambda: localizer(window), device))  # noqa: B023
            product_times[engine].append(_seconds(products[engine][0], device))
    rows: list[dict] = [
        {
            'model': name,
            'engine': engine,
            'auto': engine == chosen,
            'window_ms': 1e3 * median(whole[engine]),
            'live_ms': 1e3 * median(live[engine]),
            'gflop': gflop,
            'gflop_per_s': gflop / median(whole[engine]),
            'peak_gflop_per_s': products[engine][1] / 1e9 / median(product_times[engine]),
            'feature_error': off[engine][0],
            'heatmap_error': off[engine][1],
        }
        for engine in engines
    ]
    for row in rows:
        row['share'] = row['gflop_per_s'] / row['peak_gflop_per_s']
    return rows


@torch.inference_mode()
def _seconds(run: Callable[[], object], device: torch.device) -> float:
    if device.type == 'cuda':
        torch.cuda.synchronize()
    begun = time.perf_counter()
    run()
    if device.type == 'cuda':
        torch.cuda.synchronize()
    return time.perf_counter() - begun
