"""CAM and the attention network of Tian et al. against slow readings of their definitions."""

import numpy as np
import pytest
import torch

from avsol_ros.models.baselines import min_max
from avsol_ros.models.builder import ModelConfig, build_model
from avsol_ros.models.encoders import AudioFeatures

CLASSES = ('bell', 'drum', 'clock')


def make(method, **changes):
    torch.manual_seed(0)
    return build_model(
        ModelConfig(CLASSES, method=method, fusion='static', task='cls', dim=8, **changes)
    ).eval()


def features(batch=2, seed=0, grid=14):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.rand(batch, 96, 8, grid, grid, generator=generator),
        AudioFeatures(None, torch.rand(batch, 128, generator=generator)),
    )


def test_min_max_stretches_each_map_and_leaves_constant_ones_at_zero():
    maps = torch.tensor([[[1.0, 3.0], [2.0, 1.0]], [[5.0, 5.0], [5.0, 5.0]]])
    expected = torch.tensor([[[0.0, 1.0], [0.5, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    torch.testing.assert_close(min_max(maps), expected)


def test_cam_averages_then_classifies_and_shows_the_likeliest_class():
    model = make('cam')
    visual, _ = features()
    with torch.inference_mode():
        output = model.fuse(visual)
        heat = model.heatmap(output)
        branch = model.branch.branch(model.visual(visual.mean(2, keepdim=True)).squeeze(2))
        pooled = branch.mean((2, 3))  # GAP, then the fully connected layer (section 5.2)
        weight, bias = model.branch.classifier.weight[:, :, 0, 0], model.branch.classifier.bias
        torch.testing.assert_close(output.class_logits, pooled @ weight.T + bias)
        for b in range(2):
            best = int((pooled[b] @ weight.T + bias).argmax())
            cam = sum(weight[best, d] * branch[b, d] for d in range(8)).numpy()
            np.testing.assert_allclose(heat[b], (cam - cam.min()) / np.ptp(cam), atol=1e-4)
    assert output.avc_logit is None and output.localization is None


def test_cam_does_not_hear():
    model = make('cam')
    assert model.audio_encoder is None
    frames = torch.rand(1, 8, 3, 112, 112)
    with torch.inference_mode():
        one, other = (
            model(frames, samples).class_logits
            for samples in (torch.zeros(1, 16_000), torch.rand(1, 16_000))
        )
    assert torch.equal(one, other)


def test_attention_follows_the_published_network():
    """Cell by cell, hidden unit by hidden unit; the sound is added by cell."""
    model = make('tian')
    visual, audio = features(1)
    attention, moment = (x.detach() for x in model.attend(visual, audio))
    cells = visual.mean(2)[0].flatten(1).T.double()
    w = {name: value.double() for name, value in model.state_dict().items()}
    listened = torch.relu(
        w['affine_audio.weight'] @ audio.embedding[0].double() + w['affine_audio.bias']
    )
    by_cell = w['affine_g.weight'] @ listened
    scores = []
    for i, cell in enumerate(cells):
        looked = w['affine_v.weight'] @ torch.relu(
            w['affine_video.weight'] @ cell + w['affine_video.bias']
        )
        scores.append(float(w['affine_h.weight'][0] @ torch.tanh(looked + by_cell[i])))
    weights = np.exp(scores) / np.exp(scores).sum()
    np.testing.assert_allclose(attention[0].flatten(), weights, rtol=1e-4)
    attended = sum(weight * cell for weight, cell in zip(weights, cells))
    np.testing.assert_allclose(moment[0, :96], attended, rtol=1e-4)
    np.testing.assert_array_equal(moment[0, 96:], audio.embedding[0])


def test_the_published_names_and_shapes():
    """Those of att_Net(128, 128, 512, 29) in the authors' repository, on VGG19 and VGGish."""
    classes = tuple(f'class {i}' for i in range(28))
    with torch.device('meta'):
        model = build_model(
            ModelConfig(
                classes,
                method='tian',
                visual='vgg19-pool5',
                audio='vggish',
                fusion='static',
                task='cls',
            )
        )
    shapes = {
        name: tuple(value.shape)
        for name, value in model.state_dict().items()
        if not name.startswith(('visual_encoder', 'audio_encoder'))
    }
    lstm = {}
    for name, size in (('lstm_audio', 128), ('lstm_video', 512)):
        for direction in ('', '_reverse'):
            lstm |= {
                f'{name}.weight_ih_l0{direction}': (512, size),
                f'{name}.weight_hh_l0{direction}': (512, 128),
                f'{name}.bias_ih_l0{direction}': (512,),
                f'{name}.bias_hh_l0{direction}': (512,),
            }
    assert shapes == lstm | {
        'affine_audio.weight': (512, 128),
        'affine_audio.bias': (512,),
        'affine_video.weight': (512, 512),
        'affine_video.bias': (512,),
        'affine_v.weight': (49, 512),
        'affine_g.weight': (49, 512),
        'affine_h.weight': (1, 49),
        'L1.weight': (64, 512),
        'L1.bias': (64,),
        'L2.weight': (29, 64),
        'L2.bias': (29,),
    }


def test_the_past_changes_the_class_and_not_the_attention():
    model = make('tian')
    seconds = [features(1, seed) for seed in range(4)]
    with torch.inference_mode():
        moments = torch.stack([model.attend(*second)[1] for second in seconds], 1)
        alone = model.fuse(*seconds[-1])
        late = model.fuse(*seconds[-1], past=moments[:, :-1])
        probabilities = model.classify(moments)[:, -1].softmax(1)
    torch.testing.assert_close(alone.attention, late.attention)
    assert not torch.allclose(alone.class_logits, late.class_logits)
    torch.testing.assert_close(
        model.class_scores(late), probabilities[:, :-1], atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(late.moment, moments[:, -1])
    assert model.context == 10


@pytest.mark.parametrize('method', ['cam', 'tian'])
def test_baselines_learn_by_their_own_parts_alone(method):
    model = make(method)
    model.train()
    model.freeze_encoders()
    model.fuse(*features()).class_logits.sum().backward()
    learned = {
        name.partition('.')[0] for name, p in model.named_parameters() if p.grad is not None
    }
    assert learned and not learned & {'visual_encoder', 'audio_encoder'}
    assert {id(part) for part in model.trained()} == {
        id(part) for name, part in model.named_children() if not name.endswith('_encoder')
    }
