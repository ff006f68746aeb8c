"""The parts of every model against slow readings of the equations, and their invariants."""

import numpy as np
import pytest
import torch

from avsol_ros.errors import AvsolError
from avsol_ros.models.builder import build_model
from avsol_ros.models.encoders import AudioFeatures
from avsol_ros.models.fusion import ConvGRU, cosine
from avsol_ros.models.heads import DualNormalizationHead
from avsol_ros.models.layers import SpaceConv, TimeConv
from avsol_ros.models.model_config import FUSIONS, ModelConfig

CLASSES = ('bell', 'drum', 'clock')


def make(fusion='cdf', **changes):
    torch.manual_seed(0)
    return build_model(ModelConfig(CLASSES, fusion=fusion, dim=8, **changes)).eval()


def inputs(model, batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    encoder = model.visual_encoder
    frames = torch.rand(
        batch, encoder.frames, 3, encoder.image_size, encoder.image_size, generator=generator
    )
    return frames, torch.rand(batch, 16_000, generator=generator) * 2 - 1


@pytest.mark.parametrize('fusion', FUSIONS)
def test_shapes_and_ranges(fusion):
    model = make(fusion)
    grid = model.visual_encoder.grid
    with torch.inference_mode():
        output = model(*inputs(model))
    assert output.localization.shape == output.attention.shape == (2, grid, grid)
    assert output.class_map.shape == (2, 3, grid, grid)
    assert ((output.localization >= 0) & (output.localization <= 1)).all()
    torch.testing.assert_close(output.attention.sum((1, 2)), torch.ones(2))


def test_dual_normalization_follows_equations_7_and_8():
    torch.manual_seed(1)
    head = DualNormalizationHead(5, 4).eval()
    similarity, visual = torch.randn(2, 3, 4), torch.randn(2, 5, 3, 4)
    output = head(similarity, visual)
    branch = head.branch[0]
    for b in range(2):
        scores = similarity[b].flatten().double().tolist()
        local = [1 / (1 + np.exp(-s)) for s in scores]
        assert float(output.avc_logit[b].sigmoid()) == pytest.approx(max(local), abs=1e-6)
        np.testing.assert_allclose(output.localization[b].flatten().detach(), local, atol=1e-6)
        weights = np.exp(scores) / np.exp(scores).sum()
        attended = sum(
            w * torch.relu(branch.weight[:, :, 0, 0] @ v + branch.bias)
            for w, v in zip(weights, visual[b].flatten(1).T)
        )
        logits = head.classifier.weight[:, :, 0, 0] @ attended.float() + head.classifier.bias
        torch.testing.assert_close(output.class_logits[b], logits, atol=1e-5, rtol=1e-4)


def test_cdf_map_is_the_hadamard_product_of_static_and_dynamic_maps():
    model = make('cdf').fusion
    generator = torch.Generator().manual_seed(2)
    visual = (
        torch.rand(1, 8, 4, 3, 3, generator=generator),
        torch.rand(1, 8, 3, 3, generator=generator),
    )
    audio = torch.rand(1, 8, 4, generator=generator), torch.rand(1, 8, generator=generator)

    def angle(a, b, damping=0):
        return float(a @ b / ((a @ a + damping * 8).sqrt() * b.norm()))

    similarity = model.compare(visual, audio)
    scale = model.similarity.log_scale.exp().item()
    shift = model.similarity.shift.item()
    for y in range(3):
        for x in range(3):
            static = np.mean(
                [angle(visual[0][0, :, t, y, x], audio[0][0, :, t], 1) for t in range(4)]
            )
            dynamic = angle(visual[1][0, :, y, x], audio[1][0])
            expected = scale * static * dynamic + shift
            assert similarity[0, y, x].item() == pytest.approx(expected, abs=1e-4)


def test_conv_gru_is_a_gru_at_each_cell_when_its_kernel_is_one():
    torch.manual_seed(3)
    conv = ConvGRU(4, kernel=1).eval()
    peer = torch.nn.GRU(4, 4, batch_first=True)
    with torch.no_grad():
        peer.weight_ih_l0.copy_(conv.input.conv.weight[:, :, 0, 0])
        peer.bias_ih_l0.copy_(conv.input.conv.bias)
        peer.weight_hh_l0.copy_(
            torch.cat([conv.gates.conv.weight, conv.candidate.conv.weight])[:, :, 0, 0]
        )
        peer.bias_hh_l0.zero_()
    x = torch.randn(1, 4, 5, 2, 3)
    cells = x[0].flatten(2).permute(2, 1, 0)
    # PyTorch applies the reset gate after the product, the paper's GRU (Cho et al.) before it;
    # with a reset gate wide open both are one.
    with torch.no_grad():
        for bias in (conv.input.conv.bias, peer.bias_ih_l0):
            bias[:4] = 50.0
    torch.testing.assert_close(
        conv(x)[0].flatten(1).T, peer(cells)[0][:, -1], atol=1e-5, rtol=1e-4
    )


def test_conv_gru_follows_its_equations():
    torch.manual_seed(4)
    conv = ConvGRU(3, kernel=1).eval()
    x = torch.randn(1, 3, 4, 1, 1)
    w = conv.input.conv.weight[:, :, 0, 0]
    u = torch.cat([conv.gates.conv.weight, conv.candidate.conv.weight])[:, :, 0, 0]
    hidden = torch.zeros(3)
    for t in range(4):
        r, z, n = (w @ x[0, :, t, 0, 0] + conv.input.conv.bias).chunk(3)
        ur, uz, un = u.chunk(3)
        r, z = torch.sigmoid(r + ur @ hidden), torch.sigmoid(z + uz @ hidden)
        n = torch.tanh(n + un @ (r * hidden))
        hidden = (1 - z) * n + z * hidden
    torch.testing.assert_close(conv(x)[0, :, 0, 0], hidden, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize('kernel', [1, 3])
def test_space_and_time_convolutions_are_3d_convolutions_with_repeated_borders(kernel):
    torch.manual_seed(5)
    x = torch.randn(2, 3, 6, 5, 4)
    half = kernel // 2
    space = SpaceConv(3, 7, kernel)
    padded = torch.nn.functional.pad(x, (half,) * 4 + (0, 0), mode='replicate')
    expected = torch.nn.functional.conv3d(padded, space.conv.weight.unsqueeze(2), space.conv.bias)
    torch.testing.assert_close(space(x), expected, atol=1e-5, rtol=1e-4)
    for stride in (1, 2):
        time = TimeConv(3, 7, kernel, stride)
        padded = torch.nn.functional.pad(x, (0,) * 4 + (half, half), mode='replicate')
        expected = torch.nn.functional.conv3d(
            padded, time.conv.weight.unsqueeze(4), time.conv.bias, (stride, 1, 1)
        )
        torch.testing.assert_close(time(x), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('fusion', FUSIONS)
def test_nothing_learned_knows_where_the_border_is(fusion):
    """A picture that is the same everywhere gives a map that is the same everywhere."""
    model = make(fusion)
    size = model.visual_encoder.image_size
    frames = torch.rand(1, model.visual_encoder.frames, 3, 1, 1).expand(-1, -1, -1, size, size)
    with torch.inference_mode():
        output = model(frames, inputs(model, 1)[1])
    for values in (output.similarity, *output.class_map[0]):
        assert float(values.max() - values.min()) < 1e-3 * (1 + float(values.abs().max()))


def test_cosine_ignores_length():
    visual, audio = torch.rand(1, 4, 2, 2), torch.rand(1, 4)
    torch.testing.assert_close(cosine(visual * 7, audio * 3), cosine(visual, audio))
    torch.testing.assert_close(cosine(audio[..., None, None], audio), torch.ones(1, 1, 1))


def test_damping_takes_from_weak_cells_and_keeps_strong_ones():
    audio = torch.rand(1, 4)
    cell = audio[..., None, None]
    weak, strong = (float(cosine(cell * k, audio, damping=1.0)) for k in (0.01, 100))
    assert weak < 0.02 and strong > 0.999
    assert float(cosine(cell * 0, audio)) == 0


@pytest.mark.parametrize('fusion', FUSIONS)
def test_relating_one_sight_to_two_sounds_equals_two_runs(fusion):
    model = make(fusion)
    frames, sound = inputs(model)
    with torch.inference_mode():
        seen = model.fusion.see(model.visual_encoder(frames))
        swapped = model.relate(seen, model.fusion.hear(model.audio_encoder(sound.flip(0))))
        torch.testing.assert_close(
            swapped.similarity, model(frames, sound.flip(0)).similarity, atol=1e-5, rtol=1e-4
        )


def test_static_fusion_does_not_see_the_order_of_frames_and_cdf_does():
    for fusion, same in (('static', True), ('cdf', False)):
        model = make(fusion)
        features = torch.rand(1, 96, 8, 3, 3, generator=torch.Generator().manual_seed(6))
        with torch.inference_mode():
            one, other = (model.fusion.see(f) for f in (features, features.flip(2)))
        assert torch.allclose(one[-1], other[-1], atol=1e-5) is same


def test_frozen_encoders_get_no_gradient_and_stay_in_eval_mode():
    model = make()
    model.train()
    model.freeze_encoders()
    features = AudioFeatures(torch.rand(1, 128, 24, 16), torch.rand(1, 128))
    model.fuse(torch.rand(1, 96, 8, 14, 14), features).avc_logit.sum().backward()
    assert not any(p.requires_grad for p in model.visual_encoder.parameters())
    assert not model.visual_encoder.training and not model.audio_encoder.training


def test_the_dot_product_is_the_papers_and_may_be_negative():
    model = make('static', similarity='dot').fusion
    visual, audio = torch.randn(1, 8, 2, 3), torch.randn(1, 8)
    scores = model.compare((visual,), (audio,))
    for y in range(2):
        for x in range(3):
            expected = sum(float(v * a) for v, a in zip(visual[0, :, y, x], audio[0])) / 8**0.5
            assert scores[0, y, x].item() == pytest.approx(expected, abs=1e-5)
    assert not list(model.similarity.parameters())


def test_cdf_with_dot_products_compares_the_grus_own_outputs():
    model = make('cdf', similarity='dot', time_stride=1).fusion
    generator = torch.Generator().manual_seed(7)
    features = torch.rand(1, 96, 8, 3, 3, generator=generator)
    heard = AudioFeatures(torch.rand(1, 128, 24, 16, generator=generator), None)
    with torch.inference_mode():
        (v, v_last), (a, a_last) = model.see(features), model.hear(heard)
        assert v.shape == (1, 8, 8, 3, 3) and a.shape == (1, 8, 8)  # time kept: T = 8
        assert v.min() < 0 and a.min() < 0
        torch.testing.assert_close(v_last, model.conv_gru(v))
        torch.testing.assert_close(a_last, model.gru(a.transpose(1, 2))[0][:, -1])
        static = torch.stack([(v[0, :, t] * a[0, :, t, None, None]).sum(0) for t in range(8)])
        dynamic = (v_last[0] * a_last[0, :, None, None]).sum(0)
        torch.testing.assert_close(
            model.compare((v, v_last), (a, a_last))[0],
            static.mean(0) * dynamic / 8,
            atol=1e-5,
            rtol=1e-4,
        )


@pytest.mark.parametrize('task, has', [('dnm', 'both'), ('avc', 'avc'), ('cls', 'classes')])
def test_single_tasks_have_one_output_and_the_right_map(task, has):
    model = make('static', task=task)
    with torch.inference_mode():
        output = model(*inputs(model))
    assert (output.avc_logit is None) == (has == 'classes') == (output.localization is None)
    assert (output.class_logits is None) == (has == 'avc') == (output.attention is None)
    shown = output.attention if task == 'cls' else output.localization
    assert model.heatmap(output) is shown
    assert (model.class_scores(output) is None) == (task == 'avc')
    assert bool(list(model.head.parameters())) == (task != 'avc')


def test_the_tasks_share_everything_but_their_heads():
    """The same weights give the same map, whatever it is trained for."""
    models = {task: make('static', task=task) for task in ('dnm', 'avc', 'cls')}
    for task in ('avc', 'cls'):
        models[task].load_state_dict(models['dnm'].state_dict(), strict=task == 'cls')
    given = inputs(models['dnm'])
    with torch.inference_mode():
        outputs = {task: model(*given) for task, model in models.items()}
    torch.testing.assert_close(outputs['avc'].localization, outputs['dnm'].localization)
    torch.testing.assert_close(outputs['cls'].attention, outputs['dnm'].attention)
    torch.testing.assert_close(outputs['cls'].class_logits, outputs['dnm'].class_logits)


@pytest.mark.parametrize(
    'change, text',
    [
        ({'method': 'sam'}, "method is 'sam'; expected one of avsm, cam, tian"),
        ({'method': 'cam'}, "method cam with fusion 'cdf' and task 'dnm'; expected fusion static"),
        ({'similarity': 'l2'}, "similarity is 'l2'; expected one of dot, cosine"),
        ({'frames': 0}, 'frames is 0; expected a positive integer'),
        ({'frames': 2.5}, 'frames is 2.5'),
        ({'time_stride': 0}, 'time_stride is 0'),
        ({'kernel': 2}, 'kernel is 2; expected an odd'),
        ({'visual': 'vgg20'}, "visual is 'vgg20'; expected one of"),
        ({'fusion': 'late'}, "fusion is 'late'; expected one of static, cdf"),
        ({'task': 'x'}, "task is 'x'"),
        ({'dim': 0}, 'dim is 0'),
        ({'classes': ()}, 'classes are'),
        ({'classes': ('a', 'a')}, 'all different'),
    ],
)
def test_bad_configurations_are_named(change, text):
    with pytest.raises(AvsolError, match=text):
        ModelConfig(**{'classes': CLASSES, **change})
