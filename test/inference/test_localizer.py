"""Window in, localization out; checkpoints; boxes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avsol_ros.config import BoxConfig
from avsol_ros.errors import AvsolError
from avsol_ros.inference.localizer import Localizer, choose_device
from avsol_ros.inference.square_frames import square_frames
from avsol_ros.localization import Localization, find_boxes, upsample
from avsol_ros.models.builder import ModelConfig, build_model
from avsol_ros.models.checkpoint import load_checkpoint, read_notes, save_checkpoint
from avsol_ros.models.model_names import shipped_models
from avsol_ros.streams.windows import AudioVisualWindow


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    return build_model(ModelConfig(('bell', 'drum'), dim=8))


def window(frames=8, height=60, width=80, seed=0):
    rng = np.random.default_rng(seed)
    stamps = tuple(5_000_000_000 + i * 125_000_000 for i in range(frames))
    return AudioVisualWindow(
        5_000_000_000,
        6_000_000_000,
        tuple(rng.integers(0, 256, (frames, height, width, 3), np.uint8)),
        stamps,
        rng.uniform(-1, 1, 16_000).astype(np.float32),
        0,
    )


def localization(heatmap, avc=None, class_map=None, size=(100, 200)):
    heatmap = np.asarray(heatmap, np.float32)
    if class_map is None:
        class_map = np.stack([np.ones_like(heatmap), -np.ones_like(heatmap)])
    return Localization(
        0,
        10**9,
        10**9 - 1,
        heatmap,
        float(heatmap.max()) if avc is None else avc,
        ('bell', 'drum'),
        np.array([0.9, 0.1], np.float32),
        class_map,
        size,
    )


def test_localizer_equals_the_model_on_the_same_input(model):
    localizer = Localizer(model, 'cpu')
    given = window()
    result = localizer(given)
    frames = square_frames(given.frames, 112)
    with torch.inference_mode():
        output = model(frames[None], torch.from_numpy(given.audio)[None])
    np.testing.assert_allclose(result.heatmap, output.localization[0], atol=1e-6)
    assert result.avc == pytest.approx(float(result.heatmap.max()), abs=1e-6)
    assert (result.start_ns, result.end_ns) == (given.start_ns, given.end_ns)
    assert result.stamp_ns == given.frame_stamps_ns[-1]
    assert result.image_size == (60, 80) and result.class_names == ('bell', 'drum')
    assert result.heatmap_at(60, 80).shape == (60, 80)


def test_wrong_number_of_frames_is_named(model):
    with pytest.raises(AvsolError, match='has 5 frames; this model takes 8'):
        Localizer(model, 'cpu')(window(frames=5))


def test_square_frames_squeezes_the_whole_view():
    frame = np.zeros((100, 200, 3), np.uint8)
    frame[:, 100:] = 255
    out = square_frames([frame, frame], 10)
    assert out.shape == (2, 3, 10, 10) and out.dtype == torch.float32
    np.testing.assert_array_equal(out[0, 0, 0], [0] * 5 + [1] * 5)
    small = square_frames([np.full((4, 5, 3), 51, np.uint8)], 10)
    assert torch.allclose(small, torch.tensor(0.2))
    with pytest.raises(AvsolError, match='expected uint8'):
        square_frames([frame.astype(np.float32)], 10)


def test_devices():
    assert choose_device('cpu').type == 'cpu'
    with pytest.raises(AvsolError, match="device is 'tpu9000'"):
        choose_device('tpu9000')
    if not torch.cuda.is_available():
        assert choose_device('auto').type == 'cpu'
        with pytest.raises(AvsolError, match='PyTorch sees no GPU'):
            choose_device('cuda')


def test_a_checkpoint_rebuilds_itself(model, tmp_path):
    path = save_checkpoint(tmp_path / 'm.safetensors', model, training='by hand')
    again = load_checkpoint(path)
    assert again.config == model.config and not again.training
    assert read_notes(path)['training'] == 'by hand'
    for key, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key], value, rtol=0, atol=0)
    assert [p.name for p in tmp_path.iterdir()] == ['m.safetensors']
    (tmp_path / 'like').touch()
    assert path.stat().st_mode == (tmp_path / 'like').stat().st_mode


def test_bad_checkpoints_give_one_clear_line(model, tmp_path):
    path = save_checkpoint(tmp_path / 'm.safetensors', model)
    whole = path.read_bytes()
    cases = {
        'cut': (whole[: len(whole) // 2], 'not a whole safetensors file'),
        'empty': (b'', 'not a whole safetensors file'),
        'text': (b'hello, this is not a model at all', 'not a whole safetensors file'),
    }
    for name, (data, text) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(AvsolError, match=text) as caught:
            load_checkpoint(tmp_path / name)
        assert '\n' not in str(caught.value)
    with pytest.raises(AvsolError, match="no model 'nothing'.*neither a file nor a shipped"):
        load_checkpoint('nothing')
    with pytest.raises(AvsolError, match='`avsol build i3d-cdf-dnm i3d-cdf-dnm.safetensors`'):
        load_checkpoint('i3d-cdf-dnm')
    from safetensors.torch import save_file

    save_file({'a': torch.ones(1)}, tmp_path / 'foreign')
    with pytest.raises(AvsolError, match='has format None'):
        load_checkpoint(tmp_path / 'foreign')
    for config in (model.config.as_dict(), {**model.config.as_dict(), 'method': 'sam'}):
        save_file(
            {'a': torch.ones(1)},
            tmp_path / 'other',
            {'format': 'avsol_ros 1', 'model': json.dumps(config)},
        )
        with pytest.raises(AvsolError, match='other does not fit its own config') as caught:
            load_checkpoint(tmp_path / 'other')
        assert '\n' not in str(caught.value)


def test_a_failed_write_leaves_the_old_checkpoint(model, tmp_path, monkeypatch):
    path = save_checkpoint(tmp_path / 'm.safetensors', model)
    before = path.read_bytes()

    def full(self, data):
        with self.open('wb') as file:
            file.write(data[:100])
        raise OSError('no space left on device')

    monkeypatch.setattr(Path, 'write_bytes', full)
    with pytest.raises(AvsolError, match='cannot write .*no space'):
        save_checkpoint(path, model)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_the_shipped_model_is_small_and_loads():
    path = shipped_models()['compact']
    assert path.stat().st_size <= 5e6
    localizer = Localizer.load(device='cpu')
    assert len(localizer.class_names) >= 10
    assert 0 <= localizer(window()).avc <= 1


def test_upsample_keeps_range_and_constant_maps():
    heat = np.random.default_rng(0).random((14, 14)).astype(np.float32)
    big = upsample(heat, 99, 131)
    assert big.shape == (99, 131) and heat.min() <= big.min() and big.max() <= heat.max()
    np.testing.assert_allclose(upsample(np.full((3, 3), 0.4), 7, 9), 0.4, atol=1e-6)


@pytest.mark.parametrize(
    'height, width, text',
    [
        (0, 0, 'height is 0; expected a positive integer'),
        (4, -1, 'width is -1; expected a positive integer'),
        (2.5, 4, 'height is 2.5; expected a positive integer'),
        (None, 4, 'height is None; expected a positive integer'),
        (1 << 20, 1 << 20, '1048576 x 1048576; expected at most 268435456 pixels'),
    ],
)
@pytest.mark.parametrize('first_centre', [None, 0.0])
def test_sizes_that_no_image_has_are_refused(height, width, text, first_centre):
    with pytest.raises(AvsolError, match=text):
        upsample(np.zeros((3, 3), np.float32), height, width, first_centre)


@pytest.mark.parametrize('first_centre', [0.5 / 112, 0.5 / 14, 0.02])
def test_upsample_puts_each_cell_where_it_looks(first_centre):
    heat = np.random.default_rng(1).random((14, 14)).astype(np.float32)
    big = upsample(heat, 336, 560, first_centre)
    for row, column in ((0, 0), (3, 7), (12, 5)):
        y, x = (int((first_centre + k / 14) * side) for k, side in ((row, 336), (column, 560)))
        assert big[y, x] == pytest.approx(heat[row, column], abs=0.08)
    if first_centre == 0.5 / 14:
        np.testing.assert_allclose(big, upsample(heat, 336, 560), atol=1e-3)


def test_the_compact_encoder_s_first_cell_looks_where_it_says():
    encoder = build_model(ModelConfig(('a',))).visual_encoder.eval()
    frames = torch.rand(1, 1, 3, 112, 112, requires_grad=True)
    encoder(frames)[0, :, 0, 6, 4].sum().backward()
    weight = frames.grad[0, 0].abs().sum(0)
    seen_y, seen_x = (np.flatnonzero(weight.sum(axis).numpy()) for axis in (1, 0))
    assert len(seen_x) == len(seen_y) == 51
    for seen, cell in ((seen_y, 6), (seen_x, 4)):
        middle = (seen[0] + seen[-1] + 1) / 2 / 112
        assert middle == pytest.approx(encoder.first_centre + cell / 14)


def test_boxes_surround_what_is_hot():
    heat = np.zeros((14, 14))
    heat[2:6, 8:12] = 0.9
    boxes = find_boxes(localization(heat))
    assert len(boxes) == 1
    box = boxes[0]
    expected = np.array([8, 2, 12, 6]) / 14 * [200, 100, 200, 100]
    np.testing.assert_allclose([box.x0, box.y0, box.x1, box.y1], expected, atol=4)
    assert box.class_name == 'bell' and box.score == pytest.approx(0.9, abs=1e-3)


def test_two_objects_two_boxes_each_with_its_class_strongest_first():
    heat = np.zeros((14, 14))
    heat[1:4, 1:4], heat[9:13, 9:13] = 0.7, 0.95
    class_map = np.zeros((2, 14, 14))
    class_map[0, :7], class_map[1, 7:] = 4, 4
    boxes = find_boxes(localization(heat, class_map=class_map))
    assert [b.class_name for b in boxes] == ['drum', 'bell']
    assert boxes[0].score > boxes[1].score and boxes[0].class_score > 0.9
    assert len(find_boxes(localization(heat), BoxConfig(max_boxes=1))) == 1


def test_nothing_sounds_no_boxes():
    heat = np.full((14, 14), 0.3)
    assert find_boxes(localization(heat)) == []
    assert find_boxes(localization(np.zeros((14, 14)), avc=0.9)) == []
    assert len(find_boxes(localization(heat), BoxConfig(avc_threshold=0.2))) == 1


def test_whenever_avc_passes_there_is_a_box():
    heat = np.zeros((14, 14))
    heat[7, 7] = 0.52  # stretching alone would lower this under the threshold
    box = find_boxes(localization(heat), BoxConfig(min_area=0))[0]
    assert box.score == pytest.approx(0.52, abs=1e-6)
    heat[7, 7] = 0.49
    assert find_boxes(localization(heat), BoxConfig(min_area=0)) == []


def test_specks_are_no_objects():
    heat = np.zeros((14, 14))
    heat[7, 7] = 0.9
    assert find_boxes(localization(heat), BoxConfig(min_area=0.05)) == []


@pytest.mark.parametrize(
    'change',
    [
        {'avc_threshold': 1.5},
        {'box_threshold': 0},
        {'box_threshold': 1},
        {'min_area': -1},
        {'max_boxes': 0},
    ],
)
def test_bad_box_settings_are_named(change):
    with pytest.raises(AvsolError, match=next(iter(change))):
        BoxConfig(**change)


def said_and_output(**settings):
    """Localization of a window, and what its model gives when asked by itself."""
    torch.manual_seed(3)
    model = build_model(ModelConfig(('bell', 'drum'), fusion='static', dim=8, **settings))
    given = window()
    result = Localizer(model, 'cpu')(given)
    frames = square_frames(given.frames, 112)
    with torch.inference_mode():
        output = model(frames[None], torch.from_numpy(given.audio)[None])
        np.testing.assert_allclose(result.heatmap, model.heatmap(output)[0], atol=1e-5)
    return result, output


@pytest.mark.parametrize('method', ['avsm', 'cam', 'tian'])
def test_a_model_that_does_not_say_whether_anything_sounds(method):
    result, output = said_and_output(method=method, task='cls')
    assert result.avc is None and result.class_names == ('bell', 'drum')
    np.testing.assert_allclose(result.class_map, output.class_map[0], atol=1e-4)
    scores = 1 / (1 + np.exp(-output.class_logits[0].numpy()))
    np.testing.assert_allclose(result.class_scores, scores, atol=1e-5)
    if method == 'avsm':
        assert result.heatmap.sum() == pytest.approx(1, abs=1e-5)
    boxes = find_boxes(result, BoxConfig(min_area=0))
    assert boxes[0].score == 1 and boxes[0].class_name in ('bell', 'drum')


def test_a_model_without_classes():
    result, output = said_and_output(task='avc')
    assert result.avc == pytest.approx(float(output.avc_logit[0].sigmoid()), abs=1e-5)
    assert result.class_names == () and result.class_scores.shape == (0,)
    assert result.class_map.shape == (0, *result.heatmap.shape)
    assert result.class_scores.dtype == result.class_map.dtype == np.float32


def without_avc(heatmap, **other):
    return replace(localization(heatmap, **other), avc=None)


def test_without_avc_the_strongest_place_is_a_box_however_little_heat_it_has():
    heat = np.full((14, 14), 1e-4)
    heat[1:4, 1:4], heat[9:13, 9:13] = 0.006, 0.01
    boxes = find_boxes(without_avc(heat), BoxConfig(avc_threshold=1.0))
    assert boxes[0].score == 1.0 and boxes[1].score == pytest.approx(0.6, abs=0.02)
    assert boxes[0].x0 > 100 > boxes[1].x1
    assert [box.class_name for box in boxes] == ['bell', 'bell']
    assert len(find_boxes(without_avc(heat), BoxConfig(box_threshold=0.7))) == 1
    assert find_boxes(without_avc(np.zeros((14, 14)))) == []


def test_a_box_without_avc_has_the_class_that_the_attention_selects():
    rng = np.random.default_rng(2)
    similarity = rng.normal(size=(14, 14)) * 0.2
    attention = np.exp(similarity) / np.exp(similarity).sum()
    class_map = rng.normal(size=(2, 14, 14))
    (box,) = find_boxes(
        without_avc(attention, class_map=class_map), BoxConfig(box_threshold=1e-6, min_area=0)
    )
    logits = np.array([(attention * one).sum() for one in class_map])
    assert box.class_name == ('bell', 'drum')[logits.argmax()]
    assert box.class_score == pytest.approx(1 / (1 + np.exp(-logits.max())), abs=1e-4)


def test_a_peak_that_takes_all_attention_decides_the_class():
    heat = np.zeros((14, 14))
    heat[6:8, 6:8] = [[0.95, 0.05 / 3], [0.05 / 3, 0.05 / 3]]
    class_map = np.stack([np.full((14, 14), 3.0), np.full((14, 14), -1.0)])
    class_map[:, 6, 6] = -1, 2
    box = find_boxes(without_avc(heat, class_map=class_map), BoxConfig(min_area=0))[0]
    assert box.class_name == 'drum'


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(-24, 0),
    st.integers(2, 20),
    st.sampled_from([0.3, 0.5, 0.8]),
)
def test_without_avc_the_scale_of_the_map_means_nothing(seed, exponent, side, threshold):
    heat = np.random.default_rng(seed).random((side, side)).astype(np.float32) ** 4
    class_map = np.random.default_rng(seed + 1).normal(size=(2, side, side))
    config = BoxConfig(box_threshold=threshold, min_area=0, max_boxes=99)
    boxes = find_boxes(without_avc(heat, class_map=class_map), config)
    # Powers of two, which floats hold exactly.
    assert find_boxes(without_avc(heat * 2.0**exponent, class_map=class_map), config) == boxes
    scores = [box.score for box in boxes]
    assert scores[0] == 1.0 and scores == sorted(scores, reverse=True)
    assert scores[-1] >= threshold - 1e-6


def test_boxes_of_a_model_without_classes_have_none():
    heat = np.zeros((14, 14))
    heat[2:6, 8:12] = 0.9
    named = localization(heat)
    unnamed = replace(
        named,
        class_names=(),
        class_scores=np.zeros(0, np.float32),
        class_map=np.zeros((0, 14, 14), np.float32),
    )
    (box,) = find_boxes(unnamed)
    assert box == replace(find_boxes(named)[0], class_name='', class_score=box.score)
    assert box.score == pytest.approx(0.9, abs=1e-3)
    assert find_boxes(replace(unnamed, avc=0.4)) == []


def test_a_localizer_tells_where_it_runs(model):
    assert str(Localizer(model, 'cpu', 'torch')) == 'cpu with the engine torch'
