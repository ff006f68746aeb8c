"""EfficientNet-Lite, aiSFX and SoundNet against slow readings of their definitions."""

import importlib.util
import math

import numpy as np
import pytest
import torch
from drawn_weights import arrays, fill
from torch.utils.flop_counter import FlopCounterMode

from avsol_ros.inference.engine import OpenVinoPart, Part, TorchPart
from avsol_ros.models.aisfx import AiSfx
from avsol_ros.models.aisfx_soundnet import AiSfxSoundNet
from avsol_ros.models.efficientnet_lite import (
    EfficientNetLite0,
    EfficientNetLite0Stage5,
    EfficientNetLite1,
    EfficientNetLite2,
)
from avsol_ros.models.model_config import AUDIO_ENCODERS
from avsol_ros.models.soundnet import SoundNet, from_arrays

# Width, depth and what publishers say of the size, in millions of parameters.
LITE = {
    EfficientNetLite0: (1.0, 1.0, 4.7),
    EfficientNetLite1: (1.0, 1.1, 5.4),
    EfficientNetLite2: (1.1, 1.2, 6.1),
}


def noise(*shape, seed=1):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


# EfficientNet-Lite, as published: with all its strides.


def slow_conv(x, weight, stride):
    """SAME convolution of (C, H, W); one input channel in the weight means depthwise."""
    kernel = weight.shape[-1]
    pads = []
    for length in x.shape[1:]:
        total = max(kernel - (length % stride or stride), 0)
        pads.append((total // 2, total - total // 2))
    x = np.pad(x, ((0, 0), *pads))
    windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), (1, 2))
    windows = windows[:, ::stride, ::stride]
    if weight.shape[1] == 1 and len(x) > 1:
        return np.einsum('chwij,cij->chw', windows, weight[:, 0])
    return np.einsum('chwij,ocij->ohw', windows, weight, optimize=True)


def slow_lite(x, values, width, depth):
    """Published EfficientNet-Lite: (3, S, S) RGB, 0 to 1, to (1280, S / 32, S / 32)."""

    def step(x, conv, norm, stride=1, clip=True):
        x = slow_conv(x, values[f'{conv}.weight'], stride)
        scale, shift, mean, variance = (
            values[f'{norm}.{part}'][:, None, None]
            for part in ('weight', 'bias', 'running_mean', 'running_var')
        )
        x = (x - mean) / np.sqrt(variance + 0.001) * scale + shift
        return np.clip(x, 0, 6) if clip else x

    x = step((x * 255 - 127) / 128, '_conv_stem', '_bn0', 2)
    block = 0
    stages = [(1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1)]
    for number, (count, first) in enumerate(stages):
        if number not in (0, 6):
            count = math.ceil(count * depth)
        for stride in [first] + [1] * (count - 1):
            name, given = f'_blocks.{block}', x
            if number:
                x = step(x, f'{name}._expand_conv', f'{name}._bn0')
            x = step(x, f'{name}._depthwise_conv', f'{name}._bn1', stride)
            x = step(x, f'{name}._project_conv', f'{name}._bn2', clip=False)
            if stride == 1 and x.shape == given.shape:
                x = x + given
            block += 1
    assert f'_blocks.{block}._depthwise_conv.weight' not in values
    return step(x, '_conv_head', '_bn1')


@pytest.mark.parametrize('encoder', [EfficientNetLite0, EfficientNetLite2])
def test_cells_in_odd_rows_and_columns_are_the_published_network(encoder):
    model = fill(encoder())
    width, depth, _ = LITE[encoder]
    picture = noise(3, 64, 96)
    with torch.inference_mode():
        got = model(picture[None, None])
        logits = model.logits(got)[0, :, 0]
    assert got.shape == (1, 1280, 1, 4, 6)
    expected = slow_lite(picture.double().numpy(), arrays(model), width, depth)
    assert 0 < expected.std() and expected.shape == (1280, 2, 3)
    np.testing.assert_allclose(got[0, :, 0, 1::2, 1::2].numpy(), expected, atol=2e-3)
    weight, bias = (arrays(model)[f'_fc.{name}'] for name in ('weight', 'bias'))
    answer = weight @ expected.mean((1, 2)) + bias
    np.testing.assert_allclose(logits[:, 1::2, 1::2].mean((1, 2)).numpy(), answer, atol=2e-3)


def test_the_other_cells_are_the_published_network_on_a_moved_picture():
    model = fill(EfficientNetLite0())
    picture = noise(3, 32, 1152, seed=2)
    moved = picture.roll(-16, 2)
    with torch.inference_mode():
        first, second = (model(x[None, None])[0, :, 0] for x in (picture, moved))
    # In the middle, from where the border is not seen: a cell sees 851 columns.
    torch.testing.assert_close(first[:, :, 36], second[:, :, 35], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize('encoder', LITE)
def test_sizes_are_the_published_ones(encoder):
    shapes = encoder.published_shapes()
    count = sum(
        math.prod(shape)
        for name, shape in shapes.items()
        if not name.endswith(('running_mean', 'running_var'))
    )
    assert count / 1e6 == pytest.approx(LITE[encoder][2], abs=0.06)
    assert shapes['_fc.weight'] == (1000, 1280) and shapes['_conv_stem.weight'] == (32, 3, 3, 3)
    if encoder is EfficientNetLite0:
        assert len(shapes) == 296 - 49  # of the published file, but for its counters
        assert shapes['_blocks.15._project_conv.weight'] == (320, 1152, 1, 1)


@pytest.mark.parametrize('encoder', LITE)
def test_it_is_the_package_s_network(encoder):
    package = pytest.importorskip('efficientnet_lite_pytorch')
    model = fill(encoder())
    name = f'efficientnet-lite{list(LITE).index(encoder)}'
    theirs = package.EfficientNet.from_name(name, image_size=224).eval()
    theirs.load_state_dict(model.state_dict())
    picture = noise(1, 3, 224, 224)
    with torch.inference_mode():
        got = model(picture[None])[0, :, 0, 1::2, 1::2]
        expected = theirs.extract_features((picture * 255 - 127) / 128)[0]
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)


def test_the_fifth_stage_is_where_the_last_stride_comes():
    whole, short = fill(EfficientNetLite0()), EfficientNetLite0Stage5().eval()
    short.load_state_dict({name: whole.state_dict()[name] for name in short.state_dict()})
    seen = []
    whole._blocks[10].register_forward_hook(lambda *given: seen.append(given[2]))
    picture = noise(1, 2, 3, 64, 64)
    with torch.inference_mode():
        whole(picture)
        got = short(picture)
    assert got.shape == (1, 112, 2, 4, 4)
    torch.testing.assert_close(got[0].transpose(0, 1), seen[0])


def test_the_work_is_as_told():
    """The package's network takes 0.770 GFLOP a frame; on 14 x 14 cells its end takes 4 times."""
    counts = []
    for encoder in (EfficientNetLite0, EfficientNetLite0Stage5):
        with torch.device('meta'), FlopCounterMode(display=False) as counter:
            encoder()(torch.empty(1, 1, 3, 224, 224))
        counts.append(counter.get_total_flops() / 1e9)
    whole, stages = counts
    # What widens the sixth stage's input comes before the stride that is left out.
    before = stages + 2 * 112 * 672 * 14**2 / 1e9
    classifier = 2 * 1280 * 1000 / 1e9
    assert before + (whole - before) / 4 + classifier == pytest.approx(0.770, abs=0.001)


# aiSFX


def slow_spectrogram(samples):
    """(n,) at 44.1 kHz to (frames, 96), by Essentia's documentation."""

    def mel(hertz):
        return 2595 * math.log10(1 + hertz / 700)

    window = [0.5 - 0.5 * math.cos(2 * math.pi * i / 2047) for i in range(2048)]
    edges = [mel(22050) * i / 97 for i in range(98)]
    bank = np.zeros((96, 1025))
    for band, (low, middle, high) in enumerate(zip(edges, edges[1:], edges[2:])):
        for number in range(1025):
            place = mel(number * 44100 / 2048)
            if low <= place < middle:
                bank[band, number] = (place - low) / (middle - low)
            elif middle <= place < high:
                bank[band, number] = (high - place) / (high - middle)
        bank[band] /= bank[band].sum()
    padded = np.pad(samples, 1024)
    frames = []
    for start in range(0, len(samples) + 1, 1024):
        power = np.abs(np.fft.rfft(padded[start : start + 2048] * window)) ** 2
        frames.append(np.log10(1 + 10_000 * (bank @ power)))
    return np.array(frames) / 9.457798957824707


def slow_aisfx(x, values):
    """(T, M) to (512, T / 8, M / 8)."""
    x = x[None]
    for block in range(1, 5):
        for number in (1, 2):
            name = f'embedding_net.conv_block{block}'
            x = slow_conv(x, values[f'{name}.conv{number}.weight'], 1)
            scale, shift, mean, variance = (
                values[f'{name}.bn{number}.{part}'][:, None, None]
                for part in ('weight', 'bias', 'running_mean', 'running_var')
            )
            x = np.maximum((x - mean) / np.sqrt(variance + 1e-5) * scale + shift, 0)
        if block < 4:
            height, width = x.shape[1] // 2, x.shape[2] // 2
            x = x[:, : 2 * height, : 2 * width]
            x = x.reshape(len(x), height, 2, width, 2).max((2, 4))
    return x


@pytest.fixture(scope='module')
def aisfx():
    return fill(AiSfx())


def test_the_spectrogram_is_essentias(aisfx):
    samples = noise(1, 44_100).double() * 2 - 1
    samples = (samples * torch.linspace(0.001, 1, 44_100)).float()
    got = aisfx.spectrogram(samples)[0].numpy()
    expected = slow_spectrogram(samples[0].double().numpy())
    assert got.shape == (44, 96)
    np.testing.assert_allclose(got, expected[:44], atol=1e-4)
    assert float(aisfx.spectrogram(torch.zeros(1, 44_100)).abs().max()) == 0


def test_aisfx_is_its_layers(aisfx):
    given = noise(1, 1, 16, 24, seed=3)
    with torch.inference_mode():
        got = aisfx.encode(given)
    expected = slow_aisfx(given[0, 0].double().numpy(), arrays(aisfx))
    np.testing.assert_allclose(got.maps[0].numpy(), expected, atol=1e-4 * expected.max())
    pooled = expected.mean(2).max(1)
    np.testing.assert_allclose(got.embedding[0].numpy(), pooled, atol=1e-4 * pooled.max())


def test_aisfx_is_the_package_s_network(aisfx):
    found = importlib.util.find_spec('aisfx')
    if found is None:
        pytest.skip('aisfx is not installed')
    path = f'{found.submodule_search_locations[0]}/models/cnn2d.py'
    spec = importlib.util.spec_from_file_location('cnn2d', path)  # without what aisfx imports
    package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    theirs = package.EmbeddingNet('max', 3, 1, 64).eval()
    theirs.load_state_dict(aisfx.embedding_net.state_dict())
    given = noise(2, 44, 96, seed=4)
    with torch.inference_mode():
        torch.testing.assert_close(
            aisfx.encode(given[:, None]).embedding, theirs(given), atol=1e-4, rtol=1e-4
        )


def test_the_published_names_of_aisfx():
    shapes = AiSfx.published_shapes()
    assert shapes['embedding_net.conv_block4.conv2.weight'] == (512, 512, 3, 3)
    assert shapes['fc.0.4.weight'] == (78, 128) and shapes['fc.8.4.weight'] == (8, 128)
    assert len(shapes) == 94


# SoundNet


def soundnet_arrays(seed=0):
    """Arrays as the published file holds them, of random values."""
    rng = np.random.default_rng(seed)
    layers = [(16, 64), (32, 32), (64, 16), (128, 8), (256, 4), (512, 4), (1024, 4)]
    found, before = {}, 1
    for number, (channels, kernel) in enumerate(layers, 1):
        parts = {
            name: rng.uniform(low, high, channels).astype('f4')
            for name, low, high in (
                ('biases', -0.1, 0.1),
                ('gamma', 0.7, 1.4),
                ('beta', -0.1, 0.1),
                ('mean', -0.1, 0.1),
                ('var', 0.7, 1.4),
            )
        }
        parts['weights'] = rng.normal(
            0, math.sqrt(2 / kernel / before), (kernel, 1, before, channels)
        ).astype('f4')
        found[f'conv{number}'] = parts
        before = channels
    for name, classes in (('conv8', 1000), ('conv8_2', 401)):
        found[name] = {
            'weights': rng.normal(0, 0.01, (8, 1, 1024, classes)).astype('f4'),
            'biases': np.zeros(classes, 'f4'),
        }
    return found


def slow_soundnet(wave, held):
    """(n,) wave, -256 to 256, to what each of the seven layers gives, before its pool."""
    x, found = wave[:, None], []
    pools = {1: (8, 8), 2: (8, 8), 5: (4, 4)}
    for number, padding in enumerate((32, 16, 8, 4, 2, 2, 2), 1):
        parts = {name: value.astype('f8') for name, value in held[f'conv{number}'].items()}
        kernel = len(parts['weights'])
        x = np.pad(x, ((padding, padding), (0, 0)))
        rows = []
        for start in range(0, len(x) - kernel + 1, 2):
            window = x[start : start + kernel]
            rows.append(np.tensordot(window, parts['weights'][:, 0], 2) + parts['biases'])
        x = (np.array(rows) - parts['mean']) / np.sqrt(parts['var'] + 1e-5)
        x = np.maximum(x * parts['gamma'] + parts['beta'], 0)
        found.append(x)
        if number in pools:
            size, stride = pools[number]
            starts = range(0, len(x) - size + 1, stride)
            x = np.array([x[start : start + size].max(0) for start in starts])
    return found


@pytest.fixture(scope='module')
def soundnet():
    state = from_arrays(soundnet_arrays())
    model = SoundNet().eval()
    model.load_state_dict(
        {name: state.get(name, value) for name, value in model.state_dict().items()}
    )
    return model


def test_soundnet_is_its_layers(soundnet):
    wave = (noise(22_050, seed=5) * 2 - 1) * 256
    with torch.inference_mode():
        got = soundnet.encode(wave[None, None])
    layers = slow_soundnet(wave.double().numpy(), soundnet_arrays())
    assert got.maps.shape == (1, 256, 12, 1)
    expected = layers[4].T
    np.testing.assert_allclose(got.maps[0, :, :, 0].numpy(), expected, atol=1e-4 * expected.max())
    pooled = np.concatenate([layer.mean(0) for layer in layers[4:]])
    assert pooled.shape == (SoundNet.embedding,)
    np.testing.assert_allclose(got.embedding[0].numpy(), pooled, atol=1e-4 * pooled.max())


def test_all_published_arrays_of_soundnet_have_a_name_and_its_shape():
    state = from_arrays(soundnet_arrays())
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    assert shapes == SoundNet.published_shapes()


# All of them


@pytest.mark.parametrize('name', AUDIO_ENCODERS)
def test_an_audio_encoder_takes_what_it_prepares(name):
    encoder = fill(AUDIO_ENCODERS[name]())
    samples = noise(2, 16_000, seed=6) - 0.5
    with torch.inference_mode():
        prepared = encoder.prepare(samples)
        found = encoder(samples)
    assert prepared.shape == (2, *encoder.taken) and prepared.dtype == torch.float32
    assert found.maps.shape[:2] == (2, encoder.channels)
    assert found.embedding.shape == (2, encoder.embedding)
    assert float(found.maps.min()) >= 0 and float(found.embedding.min()) >= 0
    without = AUDIO_ENCODERS[name](embedding=False).eval()
    without.load_state_dict({key: encoder.state_dict()[key] for key in without.state_dict()})
    with torch.inference_mode():
        alone = without(samples)
    assert alone.embedding is None
    torch.testing.assert_close(alone.maps, found.maps)


@pytest.mark.parametrize('encoder, rate', [(AiSfx, 44_100), (SoundNet, 22_050)])
def test_sound_is_brought_to_the_rate_of_the_training(encoder, rate):
    """A tone of 1 kHz is one at both rates."""
    times = torch.arange(16_000, dtype=torch.float64) / 16_000
    samples = (0.5 * torch.sin(2 * math.pi * 1000 * times)).float()
    tone = 0.5 * torch.sin(2 * math.pi * 1000 * torch.arange(rate, dtype=torch.float64) / rate)
    model = encoder()
    got = model.prepare(samples[None])
    if encoder is SoundNet:
        got, expected = got[0, 0, 500:-500] / 256, tone[500:-500].float()
    else:
        got, expected = got[0, 0, 2:-2], model.spectrogram(tone.float()[None])[0, 2:-2]
        got, expected = (x[:, :70] for x in (got, expected))  # below what 16 kHz can hold
    assert float((got - expected).abs().max()) < 0.01


def test_both_audio_encoders_side_by_side(aisfx, soundnet):
    both = AiSfxSoundNet().eval()
    both.aisfx.load_state_dict(aisfx.state_dict())
    both.soundnet.load_state_dict(soundnet.state_dict())
    samples = noise(2, 16_000, seed=7) - 0.5
    with torch.inference_mode():
        found, first, second = both(samples), aisfx(samples), soundnet(samples)
    torch.testing.assert_close(found.embedding, torch.cat([first.embedding, second.embedding], 1))
    torch.testing.assert_close(found.maps[:, 512:], second.maps)
    steps = first.maps.mean(3)
    assert found.maps.shape == (2, 768, 12, 1)
    # Stretched: the ends are the ends, and nothing is larger or smaller than it was.
    torch.testing.assert_close(found.maps[:, :512, 0, 0], steps[:, :, 0])
    torch.testing.assert_close(found.maps[:, :512, -1, 0], steps[:, :, -1])
    assert bool((found.maps[:, :512, :, 0].amax(2) <= steps.amax(2) + 1e-5).all())
    assert [part.published for part in both.published_parts()] == ['aisfx', 'soundnet']


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_normalization_in_the_weights_changes_nothing(dtype, aisfx, soundnet):
    given = {
        fill(EfficientNetLite0()): noise(1, 1, 3, 32, 32),
        aisfx: noise(1, 1, 16, 24),
        soundnet: noise(1, 1, 22_050),
    }
    for model, x in given.items():
        method = None if isinstance(model, EfficientNetLite0) else 'encode'
        with torch.inference_mode():
            found = TorchPart(Part(model, method), dtype, exact=True)(x)
            for got, right in zip(found, Part(model, method)(x)):
                torch.testing.assert_close(got, right, atol=1e-4, rtol=1e-3)


def test_openvino_computes_in_float32_what_cannot_bear_bfloat16():
    pytest.importorskip('openvino')
    model = fill(EfficientNetLite0Stage5())
    x = noise(1, 1, 3, 64, 64)
    part = Part(model)
    assert not part.bears_bfloat16 and Part(SoundNet(), 'encode').bears_bfloat16
    with torch.inference_mode():
        (exact,) = part(x)
    (got,) = OpenVinoPart(part, tuple(x.shape), exact=True)(x)
    torch.testing.assert_close(got, exact, atol=1e-3, rtol=1e-3)
