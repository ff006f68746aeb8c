"""Engines give what the model gives, and each frame's features whatever is beside it."""

import copy
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from avsol_ros.errors import AvsolError
from avsol_ros.inference import engine as engines
from avsol_ros.inference.engine import Engine, OpenVinoPart, Part, TorchPart, choose_engine
from avsol_ros.models.builder import ModelConfig, build_model
from avsol_ros.models.i3d import Mixed
from avsol_ros.nodes import parameters

CPU = torch.device('cpu')
HALF = [
    'torch-half',
    pytest.param(
        'openvino',
        marks=pytest.mark.skipif(not engines.has_openvino(), reason='OpenVINO is not installed'),
    ),
]


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    model = build_model(ModelConfig(('bell', 'drum'), dim=8, fusion='cdf'))
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return model.eval()


@pytest.fixture(scope='module')
def made(model):
    """Engines by name, each made once."""
    found = {}
    return lambda name: (
        found.setdefault(name, None)
        or found.update({name: Engine(model, CPU, name)})
        or found[name]
    )


@pytest.fixture(scope='module')
def frames():
    return torch.rand(8, 3, 112, 112, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope='module')
def samples():
    return torch.randn(16_000, generator=torch.Generator().manual_seed(2)) / 10


def relative(found, right):
    return float((found - right).norm() / right.norm())


@torch.inference_mode()
def test_torch_is_the_model_itself(model, made, frames, samples):
    engine = made('torch')
    seen, heard = engine.encode_window(frames), engine.encode_sound(samples)
    torch.testing.assert_close(seen, model.visual_encoder(frames[None]), rtol=1e-5, atol=1e-5)
    output = model(frames[None], samples[None])
    torch.testing.assert_close(
        engine.fuse(seen, heard).similarity, output.similarity, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize('name', HALF)
@torch.inference_mode()
def test_half_precision_costs_about_a_hundredth(name, model, made, frames, samples):
    engine = made(name)
    right = made('torch')
    seen, heard = engine.encode_window(frames), engine.encode_sound(samples)
    exact_seen, exact_heard = right.encode_window(frames), right.encode_sound(samples)
    assert seen.dtype == heard.maps.dtype == torch.float32
    assert relative(seen, exact_seen) < 0.015
    assert relative(heard.maps, exact_heard.maps) < 0.015
    found, exact = engine.fuse(seen, heard), right.fuse(exact_seen, exact_heard)
    assert (model.heatmap(found) - model.heatmap(exact)).abs().max() < 0.015
    assert (found.class_logits - exact.class_logits).abs().max() < 0.05
    assert all(p.dtype == torch.float32 for p in model.parameters())


@pytest.mark.parametrize('name', ['torch', *HALF])
def test_features_of_a_frame_do_not_depend_on_its_company(name, made, frames):
    engine = made(name)
    together = engine.encode_frames(frames)
    for i in (0, 3, 7):
        torch.testing.assert_close(
            engine.encode_frames(frames[i : i + 1])[0], together[i], rtol=0, atol=0
        )
    torch.testing.assert_close(
        engine.encode_frames(frames.flip(0)).flip(0), together, rtol=0, atol=0
    )


@pytest.mark.parametrize('count', [1, 4, 5])
def test_portions_of_several_frames_are_filled_up(count, model, frames):
    # As on a GPU, where single frames would not fill it.
    engine = Engine(model, CPU, 'torch-half', per_call=4)
    whole = engine.encode_frames(frames)
    assert whole.shape == (8, 96, 14, 14)
    torch.testing.assert_close(engine.encode_frames(frames[:count]), whole[:count], rtol=0, atol=0)


def test_what_float16_cannot_hold_is_computed_again_in_float32():
    torch.manual_seed(0)
    part = Part(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3)))
    given = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        (half,) = TorchPart(part, torch.float16)(given)
        (exact,) = part(given)
        assert 0 < relative(half, exact) < 0.002
        part.owner[0].weight *= 1e6
        (large,) = TorchPart(part, torch.float16)(given)
        (exact,) = part(given)
    assert exact.isfinite().all()
    torch.testing.assert_close(large, exact, rtol=1e-5, atol=0)


@torch.inference_mode()
def test_weights_take_normalization_before_they_are_rounded():
    """Rounded first and normalized then, they are rounded twice."""
    torch.manual_seed(3)
    block = Mixed(16, (8, 8, 8, 8, 8, 8)).eval()
    for name, value in block.state_dict().items():
        if name.endswith(('bn.weight', 'running_var')):
            value.uniform_(0.5, 2)
        elif '.bn.' in name:
            value.normal_()
    given = torch.rand(1, 16, 4, 6, 6)
    before = {name: value.clone() for name, value in block.state_dict().items()}
    exact = block(given)
    part = TorchPart(Part(block), torch.bfloat16)
    (rounded_once,) = part(given)
    rounded_first = copy.deepcopy(block).to(torch.bfloat16)(given.bfloat16()).float()
    assert relative(rounded_once, exact) < min(0.01, relative(rounded_first, exact))
    unit, ready = block.b1b, part._part.owner.b1b
    scale = unit.bn.weight / (unit.bn.running_var + 1e-3).sqrt()
    torch.testing.assert_close(
        ready.conv3d.weight.float(),
        unit.conv3d.weight * scale.view(-1, 1, 1, 1, 1),
        rtol=2**-8,
        atol=0,
    )
    folded = copy.deepcopy(block)
    for module in folded.children():
        if hasattr(module, 'fold'):
            module.fold()
    torch.testing.assert_close(folded(given), exact)
    assert all(torch.equal(value, before[name]) for name, value in block.state_dict().items())


@pytest.mark.parametrize('name', ['torch-half'])
def test_the_spectrogram_stays_float32(name, model, made, samples, monkeypatch):
    engine = made(name)
    given = []
    listen = engine._listen
    monkeypatch.setattr(engine, '_listen', lambda mel: given.append(mel) or listen(mel))
    engine.encode_sound(samples)
    torch.testing.assert_close(
        given[0], model.audio_encoder.prepare(samples[None]), rtol=0, atol=0
    )
    assert given[0].dtype == torch.float32


def test_openvino_in_float32_is_exact(model, frames):
    pytest.importorskip('openvino')
    part = OpenVinoPart(Part(model.visual_encoder), (1, 1, 3, 112, 112), exact=True)
    with torch.inference_mode():
        exact = model.visual_encoder(frames[None, :1])
    torch.testing.assert_close(part(frames[None, :1])[0], exact, rtol=1e-4, atol=1e-4)


def test_openvino_tells_nobody(tmp_path):
    if not engines.has_openvino():
        pytest.skip('OpenVINO is not installed')
    words = (
        'import sys; from avsol_ros.inference.engine import import_openvino; '
        'import_openvino().Core(); '
        'print(sorted(m for m in sys.modules if sys.modules[m] and "telemetry" in m))'
    )
    done = subprocess.run(
        [sys.executable, '-c', words],
        capture_output=True,
        text=True,
        env={**os.environ, 'HOME': str(tmp_path)},
        check=True,
    )
    assert 'openvino_telemetry' not in done.stdout
    assert not (tmp_path / 'intel').exists()


def pretend(monkeypatch, openvino: bool, bfloat16: bool) -> None:
    monkeypatch.setattr(engines, 'has_openvino', lambda: openvino)
    monkeypatch.setattr(engines, 'has_bfloat16', lambda: bfloat16)


@pytest.mark.parametrize(
    'device, openvino, bfloat16, expected',
    [
        ('cpu', True, True, 'openvino'),
        ('cpu', True, False, 'openvino'),
        ('cpu', False, True, 'torch-half'),
        ('cpu', False, False, 'torch'),
        ('cuda', True, True, 'torch-half'),
    ],
)
def test_auto_takes_the_fastest(device, openvino, bfloat16, expected, monkeypatch):
    pretend(monkeypatch, openvino, bfloat16)
    heavy = SimpleNamespace(visual_encoder=nn.Linear(1000, 1000, device='meta'))
    assert choose_engine('auto', heavy, torch.device(device)) == expected


def test_the_node_s_parameter_has_these_values():
    parameter = next(p for p in parameters.LOCALIZER if p.name == 'engine')
    assert parameter.choices == engines.ENGINES


def test_auto_leaves_small_encoders_as_they_were_trained(model, monkeypatch):
    pretend(monkeypatch, True, True)
    assert choose_engine('auto', model, CPU) == 'torch'


def test_what_cannot_be_had_is_told(model, monkeypatch):
    with pytest.raises(AvsolError, match="engine is 'warp'; expected auto, torch, torch-half"):
        choose_engine('warp', model, CPU)
    pretend(monkeypatch, True, True)
    with pytest.raises(AvsolError, match="'openvino' and device is 'cuda'"):
        choose_engine('openvino', model, torch.device('cuda'))
    pretend(monkeypatch, False, True)
    with pytest.raises(AvsolError, match='not installed; pip install openvino'):
        choose_engine('openvino', model, CPU)


def test_ctrl_c_comes_through_after_openvino_was_used():
    pytest.importorskip('openvino')
    # A process of its own: a failure is a segmentation fault.
    program = """
import gc, signal
from avsol_ros.streams.intake import blank_window, window_config
from avsol_ros.inference.localizer import Localizer
localizer = Localizer.load('compact', 'cpu', 'openvino')
localizer(blank_window(window_config(0.25, localizer.frames)))
del localizer
gc.collect()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print('interrupted')
"""
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, 'interrupted\n'), done.stderr
