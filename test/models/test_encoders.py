"""The encoders against published facts, slow readings of their definitions, and their promises."""

import copy
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_weights import arrays, fill
from safetensors import safe_open
from torch.utils.flop_counter import FlopCounterMode

import avsol_ros
from avsol_ros.models.aisfx import AiSfx
from avsol_ros.models.compact import CompactAudioEncoder, CompactVisualEncoder
from avsol_ros.models.efficientnet_lite import (
    EfficientNetLite,
    EfficientNetLite0,
    EfficientNetLite0Stage5,
    EfficientNetLite1,
    EfficientNetLite2,
)
from avsol_ros.models.i3d import I3D, MaxPool, Mixed, Unit
from avsol_ros.models.soundnet import SoundNet
from avsol_ros.models.vgg19 import VGG19, VGG19Pool5
from avsol_ros.models.vggish import VGGish

LITE = (EfficientNetLite0, EfficientNetLite1, EfficientNetLite2, EfficientNetLite0Stage5)
VISUAL = (CompactVisualEncoder, VGG19, VGG19Pool5, I3D, *LITE)
PUBLISHED = (VGG19, VGG19Pool5, I3D, VGGish, AiSfx, SoundNet, *LITE)


def size(shapes):
    return sum(math.prod(shape) for shape in shapes.values())


# What the published files hold.


def test_vgg19_has_the_published_names_and_sizes():
    shapes = VGG19.published_shapes()
    convolutions = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
    assert set(shapes) == {
        f'{part}.{kind}'
        for kind in ('weight', 'bias')
        for part in (
            *(f'features.{i}' for i in convolutions),
            *(f'classifier.{i}' for i in (0, 3, 6)),
        )
    }
    assert shapes['features.0.weight'] == (64, 3, 3, 3)
    assert shapes['features.34.weight'] == (512, 512, 3, 3)
    assert shapes['classifier.0.weight'] == (4096, 25088)
    assert shapes['classifier.6.bias'] == (1000,)
    assert size(shapes) == 143_667_240
    assert sum(value.numel() for value in VGG19().state_dict().values()) == 20_024_384


def test_i3d_has_the_published_names_and_sizes():
    shapes = I3D.published_shapes()
    blocks = [f'Mixed_{block}' for block in ('3b', '3c', '4b', '4c', '4d', '4e', '4f', '5b', '5c')]
    units = ['Conv3d_1a_7x7', 'Conv3d_2b_1x1', 'Conv3d_2c_3x3'] + [
        f'{block}.{branch}'
        for block in blocks
        for branch in ('b0', 'b1a', 'b1b', 'b2a', 'b2b', 'b3b')
    ]
    assert set(shapes) == {'logits.conv3d.weight', 'logits.conv3d.bias'} | {
        f'{unit}.{value}'
        for unit in units
        for value in ('conv3d.weight', 'bn.weight', 'bn.bias', 'bn.running_mean', 'bn.running_var')
    }
    assert shapes['Conv3d_1a_7x7.conv3d.weight'] == (64, 3, 7, 7, 7)
    assert shapes['Mixed_4f.b1b.conv3d.weight'] == (320, 160, 3, 3, 3)
    assert shapes['Mixed_5c.b2b.conv3d.weight'] == (128, 48, 3, 3, 3)
    assert shapes['logits.conv3d.weight'] == (400, 1024, 1, 1, 1)
    learned = {name: shape for name, shape in shapes.items() if 'running' not in name}
    assert size(learned) == 12_697_264
    left = set(shapes) - set(I3D().state_dict())
    assert {name.split('.')[0] for name in left} == {'Mixed_5b', 'Mixed_5c', 'logits'}


def test_vggish_has_the_published_names_and_sizes():
    shapes = VGGish.published_shapes()
    assert set(shapes) == {
        f'{part}.{kind}'
        for kind in ('weight', 'bias')
        for part in (
            *(f'features.{i}' for i in (0, 3, 6, 8, 11, 13)),
            *(f'embeddings.{i}' for i in (0, 2, 4)),
        )
    }
    assert shapes['features.0.weight'] == (64, 1, 3, 3)
    assert shapes['embeddings.0.weight'] == (4096, 512 * 4 * 6)
    assert shapes['embeddings.4.weight'] == (128, 4096)
    assert size(shapes) == 72_141_184


@pytest.mark.parametrize('encoder', PUBLISHED)
def test_what_is_kept_has_the_published_names_and_shapes(encoder):
    published = encoder.published_shapes()
    with torch.device('meta'):
        kept = encoder().state_dict()
    kept = {name: value for name, value in kept.items() if not name.endswith('tracked')}
    assert kept and all(tuple(value.shape) == published[name] for name, value in kept.items())
    if encoder is VGGish:
        assert set(kept) == set(published)
        with torch.device('meta'):
            without = VGGish(embedding=False).state_dict()
        assert set(without) == {name for name in published if name.startswith('features.')}


# What they compute, slowly.


def same_starts(length, kernel, stride):
    """Where the windows of TensorFlow's SAME start, by its documentation; negative in padding."""
    remainder = length % stride
    total = max(kernel - (remainder or stride), 0)
    return [i * stride - total // 2 for i in range(math.ceil(length / stride))]


def windows_of(x, kernels, strides):
    """All windows of (C, T, H, W), zeros around: ((t, y, x), (C, *kernels) float64)."""
    starts = [list(enumerate(same_starts(*axis))) for axis in zip(x.shape[1:], kernels, strides)]
    for places in itertools.product(*starts):
        window = np.zeros((len(x), *kernels))
        for offsets in itertools.product(*map(range, kernels)):
            at = [start + offset for (_, start), offset in zip(places, offsets)]
            if all(0 <= i < length for i, length in zip(at, x.shape[1:])):
                window[(slice(None), *offsets)] = x[(slice(None), *at)]
        yield tuple(index for index, _ in places), window


def slow_unit(x, values, prefix, stride=1):
    weight = values[f'{prefix}conv3d.weight']
    result = {
        at: np.tensordot(weight, window, 4)
        for at, window in windows_of(x, weight.shape[2:], (stride,) * 3)
    }
    y = gather(result)
    scale, shift, mean, variance = (
        values[f'{prefix}bn.{name}'][:, None, None, None]
        for name in ('weight', 'bias', 'running_mean', 'running_var')
    )
    return np.maximum((y - mean) / np.sqrt(variance + 1e-3) * scale + shift, 0)


def slow_pool(x, kernels, strides):
    return gather({at: window.max((1, 2, 3)) for at, window in windows_of(x, kernels, strides)})


def gather(result):
    sizes = [max(at[axis] for at in result) + 1 for axis in range(3)]
    return np.stack([result[at] for at in itertools.product(*map(range, sizes))], 1).reshape(
        -1, *sizes
    )


@pytest.mark.parametrize(
    'kernel, stride, shape',
    [
        (7, 2, (6, 8, 9)),
        (7, 2, (5, 7, 10)),
        (3, 1, (4, 5, 6)),
        (1, 1, (2, 3, 4)),
        (3, 1, (1, 1, 2)),
    ],
)
@pytest.mark.parametrize('batch', [1, 2])  # PyTorch takes another way for one sample
def test_i3d_unit_is_tensorflows_convolution(kernel, stride, shape, batch):
    unit = fill(Unit(3, 4, kernel, stride))
    x = torch.randn(batch, 3, *shape, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        got = unit(x).numpy()
    for y, sample in zip(got, x.double().numpy()):
        np.testing.assert_allclose(y, slow_unit(sample, arrays(unit), '', stride), atol=2e-5)


@pytest.mark.parametrize('time, strides', [(1, (1, 2)), (3, (2, 2)), (3, (1, 1))])
@pytest.mark.parametrize('shape', [(6, 8, 9), (5, 7, 6), (1, 2, 1), (4, 4, 4)])
def test_i3d_pools_are_tensorflows(time, strides, shape):
    x = torch.rand(1, 3, *shape, generator=torch.Generator().manual_seed(2))
    expected = slow_pool(x[0].numpy(), (time, 3, 3), (strides[0], strides[1], strides[1]))
    np.testing.assert_array_equal(MaxPool(time, *strides)(x)[0].numpy(), expected)


def test_i3d_block_is_four_branches_side_by_side():
    block = fill(Mixed(5, (2, 3, 4, 2, 3, 6)))
    values = arrays(block)
    x = torch.rand(1, 5, 3, 4, 5, generator=torch.Generator().manual_seed(3))
    slow = x[0].double().numpy()
    expected = np.concatenate(
        [
            slow_unit(slow, values, 'b0.'),
            slow_unit(slow_unit(slow, values, 'b1a.'), values, 'b1b.'),
            slow_unit(slow_unit(slow, values, 'b2a.'), values, 'b2b.'),
            slow_unit(slow_pool(slow, (3, 3, 3), (1, 1, 1)), values, 'b3b.'),
        ]
    )
    with torch.inference_mode():
        np.testing.assert_allclose(block(x)[0].numpy(), expected, atol=2e-5)


def slow_vgg(x, values, layers):
    """Float64 (C, H, W) through convolutions, by their published number, and 'pool'."""
    for layer in layers:
        if layer == 'pool':
            channels, height, width = x.shape
            x = x.reshape(channels, height // 2, 2, width // 2, 2).max((2, 4))
            continue
        weight, bias = values[f'features.{layer}.weight'], values[f'features.{layer}.bias']
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
        height, width = x.shape[1:]
        columns = np.stack(
            [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)], 1
        )
        y = weight.reshape(len(weight), -1) @ columns.reshape(-1, height * width) + bias[:, None]
        x = np.maximum(y, 0).reshape(-1, height, width)
    return x


@pytest.mark.parametrize('encoder, last', [(VGG19, ()), (VGG19Pool5, ('pool',))])
def test_vgg19_is_its_layers_on_imagenets_normalization(encoder, last):
    model = fill(encoder())
    frames = torch.rand(1, 1, 3, 32, 64, generator=torch.Generator().manual_seed(4))
    layers = (
        0,
        2,
        'pool',
        5,
        7,
        'pool',
        10,
        12,
        14,
        16,
        'pool',
        19,
        21,
        23,
        25,
        'pool',
        28,
        30,
        32,
        34,
        *last,
    )
    mean, deviation = (
        np.array(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    with torch.inference_mode():
        got = model(frames)[0, :, 0].numpy()
    expected = slow_vgg((frames[0, 0].double().numpy() - mean) / deviation, arrays(model), layers)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, atol=1e-4 * expected.max())


@pytest.fixture(scope='module')
def vggish():
    return fill(VGGish())


def test_vggish_gives_the_maps_before_the_last_pool_and_flattens_as_tensorflow(vggish):
    samples = torch.rand(1, 16_000, generator=torch.Generator().manual_seed(5)) * 2 - 1
    with torch.inference_mode():
        log_mel = vggish.prepare(samples)
        got = vggish(samples)
    assert log_mel.shape == (1, 1, 96, 64)
    torch.testing.assert_close(log_mel[0, 0], vggish.log_mel(samples)[0, :96])
    values = arrays(vggish)
    maps = slow_vgg(
        log_mel[0].double().numpy(), values, (0, 'pool', 3, 'pool', 6, 8, 'pool', 11, 13)
    )
    assert got.maps.shape == (1, vggish.channels, 12, 8)
    np.testing.assert_allclose(got.maps[0].numpy(), maps, atol=1e-4 * maps.max())
    pooled = slow_vgg(maps, values, ('pool',))
    x = np.array([pooled[c, t, m] for t in range(6) for m in range(4) for c in range(512)])
    for layer in (0, 2, 4):
        x = np.maximum(
            values[f'embeddings.{layer}.weight'] @ x + values[f'embeddings.{layer}.bias'], 0
        )
    assert got.embedding.shape == (1, vggish.embedding) and x.max() > 0
    np.testing.assert_allclose(got.embedding[0].numpy(), x, atol=1e-4 * x.max())


def test_vggish_without_embedding_gives_the_same_maps(vggish):
    without = VGGish(embedding=False).eval()
    without.load_state_dict(
        {
            name: value
            for name, value in vggish.state_dict().items()
            if name.startswith('features.')
        }
    )
    log_mel = torch.randn(1, 1, 96, 64, generator=torch.Generator().manual_seed(6))
    with torch.inference_mode():
        features = without.encode(log_mel)
        assert features.embedding is None
        torch.testing.assert_close(features.maps, vggish.encode(log_mel).maps)


@pytest.mark.parametrize(
    'encoder, shape, gigaflop',
    [
        (VGG19, (1, 1, 3, 224, 224), 39.0),
        (I3D, (1, 16, 3, 224, 224), 54.6),
        (I3D, (1, 24, 3, 224, 224), 82.0),
        (VGGish, (1, 1, 96, 64), 1.6 + 0.135),
    ],
)
def test_the_work_is_as_known(encoder, shape, gigaflop):
    """Two operations per multiplication and sum; VGGish's known 1.6 leave the embedding out."""
    with torch.device('meta'):
        model, x = encoder(), torch.empty(shape)
    with FlopCounterMode(display=False) as counter:
        (model.encode if encoder is VGGish else model)(x)
    assert counter.get_total_flops() / 1e9 == pytest.approx(gigaflop, abs=0.06)


# What they promise.


@pytest.mark.parametrize('encoder', VISUAL)
def test_visual_encoders_keep_their_promises(encoder):
    default = {I3D: 24, VGG19: 16, VGG19Pool5: 16}.get(encoder, 8)
    for frames, count in ((None, default), (16, 16), (5, 5), (1, 1)):
        with torch.device('meta'):
            model = encoder(frames)
            x = torch.empty(2, count, 3, model.image_size, model.image_size)
        assert model.frames == count
        assert model.steps == (math.ceil(count / 4) if encoder is I3D else count)
        assert model(x).shape == (2, model.channels, model.steps, model.grid, model.grid)


@pytest.mark.parametrize('encoder', VISUAL)
def test_only_encoders_that_say_so_see_each_frame_by_itself(encoder):
    model = fill(encoder())
    frames = torch.rand(1, 8, 3, 32, 32, generator=torch.Generator().manual_seed(7))
    with torch.inference_mode():
        whole, last = model(frames), model(frames[:, -1:])
    same = torch.allclose(whole[:, :, -1:], last, atol=1e-4 * float(last.max()))
    assert same is model.per_frame


@pytest.mark.parametrize(
    'encoder, field',
    [
        (CompactVisualEncoder, 51),
        (VGG19, 252),
        (VGG19Pool5, 268),
        (I3D, 235),
        (EfficientNetLite0Stage5, 339),
        (EfficientNetLite0, 851),
    ],
)
def test_cells_look_where_the_first_centre_says(encoder, field):
    """
    Light one column of a dark picture: a cell answers inside the columns that it sees, no further.

    :param field: columns that a cell sees: a kernel of k on cells s apart adds (k - 1) s.
    """
    model = encoder(1).eval()
    for name, value in model.state_dict().items():
        if value.ndim > 1:
            value.fill_(1 / value[0].numel())
        elif value.ndim == 1 and not name.endswith('running_var'):
            value.fill_(float(name.endswith('weight')))
    # Black after the encoder's own normalization, so that only the lit column counts.
    black = {
        I3D: (0.5,) * 3,
        CompactVisualEncoder: (0.45,) * 3,
        EfficientNetLite0: (127 / 255,) * 3,
        EfficientNetLite0Stage5: (127 / 255,) * 3,
    }.get(encoder, (0.485, 0.456, 0.406))
    stride = model.image_size // model.grid
    cell = math.ceil(field / 2 / stride)
    # Of EfficientNet-Lite the centre tells where its published weights look within their field.
    centre = 15.5 / 224 if isinstance(model, EfficientNetLite) else model.first_centre
    first = round((centre * model.grid + cell) * stride - field / 2)
    columns = (first - 1, first, first + field - 1, first + field)
    frames = torch.tensor(black).view(3, 1, 1).repeat(4, 1, 1, stride, stride * 2 * (cell + 1))
    for sample, column in zip(frames, columns):
        sample[..., column] = 1.0
    with torch.inference_mode():
        answers = model(frames)[:, :, 0, 0, cell].amax(1)
    assert [bool(answer > 0) for answer in answers] == [False, True, True, False]


@pytest.mark.parametrize(
    'encoder, dtype',
    [
        (CompactVisualEncoder, torch.bfloat16),
        (VGG19, torch.bfloat16),
        (I3D, torch.bfloat16),
        (I3D, torch.float16),
        (EfficientNetLite0, torch.float16),
    ],
)
def test_half_precision_costs_little(encoder, dtype):
    model = fill(encoder())
    frames = torch.rand(1, 2, 3, 48, 48, generator=torch.Generator().manual_seed(8))
    with torch.inference_mode():
        exact = model(frames)
        with torch.autocast('cpu', dtype):
            auto = model(frames)
        cast = model.to(dtype)(frames)
    for got in (auto, cast):
        assert got.dtype == dtype
        assert float((got - exact).norm() / exact.norm()) < 0.02


def test_vgg19s_constants_survive_a_cast_to_half():
    model = VGG19().to(torch.bfloat16)
    assert not model.mean.is_floating_point() and not model.deviation.is_floating_point()
    assert set(model.state_dict()) == {
        name for name in VGG19.published_shapes() if name.startswith('features.')
    }


def test_audio_encoders_run_in_half_precision(vggish):
    log_mel = torch.randn(1, 1, 96, 64, generator=torch.Generator().manual_seed(9))
    for model in (vggish, fill(CompactAudioEncoder())):
        with torch.inference_mode():
            exact = model.encode(log_mel)
            with torch.autocast('cpu', torch.bfloat16):
                auto = model.encode(log_mel)
            cast = copy.deepcopy(model).to(torch.bfloat16).encode(log_mel)
        for got in (auto, cast):
            for name in ('maps', 'embedding'):
                wanted = getattr(exact, name)
                error = (getattr(got, name) - wanted).norm() / wanted.norm()
                assert float(error) < 0.02


def test_the_compact_audio_encoder_can_do_without_its_embedding():
    whole, without = (fill(CompactAudioEncoder(embedding)) for embedding in (True, False))
    samples = torch.rand(2, 16_000, generator=torch.Generator().manual_seed(10))
    with torch.inference_mode():
        features, alone = whole(samples), without(samples)
    assert alone.embedding is None and features.embedding.shape == (2, whole.embedding)
    torch.testing.assert_close(alone.maps, features.maps)


def test_the_shipped_checkpoint_still_names_the_compact_encoders_parameters():
    path = Path(avsol_ros.__file__).parent / 'checkpoints' / 'compact.safetensors'
    with safe_open(path, 'pt') as file:
        held = set(file.keys())
    for name, encoder in (
        ('visual_encoder', CompactVisualEncoder()),
        ('audio_encoder', CompactAudioEncoder()),
    ):
        assert {key for key in held if key.startswith(name)} == {
            f'{name}.{key}' for key in encoder.state_dict()
        }


@pytest.mark.filterwarnings('ignore')  # of what PyTorch says of tracing, which OpenVINO does
def test_i3ds_parts_convert_to_openvino():
    openvino = pytest.importorskip('openvino')
    model = fill(
        torch.nn.Sequential(
            Unit(3, 8, 7, 2), MaxPool(1, 1, 2), Mixed(8, (2, 3, 4, 2, 3, 6)), MaxPool(3, 2, 2)
        )
    )
    x = torch.rand(1, 3, 9, 38, 32, generator=torch.Generator().manual_seed(11))
    with torch.no_grad():
        converted = openvino.convert_model(model, example_input=x, input=list(x.shape))
        expected = model(x)
    compiled = openvino.compile_model(converted, 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})
    torch.testing.assert_close(
        torch.from_numpy(compiled(x.numpy())[0]), expected, atol=1e-4, rtol=1e-3
    )
