"""Overlapping windows share what they can, and nothing else changes."""

import gc
import weakref

import numpy as np
import pytest
import torch

from avsol_ros.config import NANOSECONDS
from avsol_ros.inference.frame_reuse import FrameReuse, Past
from avsol_ros.inference.localizer import Localizer
from avsol_ros.models.builder import ModelConfig, build_model
from avsol_ros.streams.windows import AudioVisualWindow

HOP_NS = NANOSECONDS // 4


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    return build_model(ModelConfig(('bell', 'drum'), dim=8, fusion='cdf'))


def film(count, seed=0):
    """Count windows of 8 frames, the hop two frames long, and of sound."""
    rng = np.random.default_rng(seed)
    frames = list(rng.integers(0, 256, (2 * count + 6, 48, 64, 3), np.uint8))
    sound = rng.uniform(-1, 1, 4000 * count + 12_000).astype(np.float32)
    return [
        AudioVisualWindow(
            k * HOP_NS,
            k * HOP_NS + NANOSECONDS,
            tuple(frames[2 * k : 2 * k + 8]),
            tuple(k * HOP_NS + i * NANOSECONDS // 8 for i in range(8)),
            sound[4000 * k : 4000 * k + 16_000],
            0,
        )
        for k in range(count)
    ]


def same(found, right):
    np.testing.assert_array_equal(found.heatmap, right.heatmap)
    np.testing.assert_array_equal(found.class_scores, right.class_scores)
    assert found.avc == right.avc


@pytest.mark.parametrize('engine', ['torch', 'torch-half'])
@pytest.mark.parametrize('order', [range(6), (5, 0, 3, 3, 1, 4, 2)], ids=['live', 'any'])
def test_results_are_those_of_a_localizer_that_saw_nothing_before(engine, order, model):
    windows = film(6)
    localizer = Localizer(model, 'cpu', engine)
    for k in order:
        same(localizer(windows[k]), Localizer(model, 'cpu', engine)(windows[k]))


def test_only_new_frames_are_encoded(model):
    windows = film(4)
    localizer = Localizer(model, 'cpu', 'torch')
    encoded = []
    hook = model.visual_encoder.register_forward_hook(
        lambda module, given, found: encoded.append(given[0].shape[1])
    )
    counts = []
    for window in (*windows, windows[3], windows[0]):
        localizer(window)
        counts.append(sum(encoded))
        encoded.clear()
    hook.remove()
    assert counts == [8, 2, 2, 2, 0, 6]  # windows 0 and 3 share two frames


def test_encoders_that_see_whole_windows_share_the_resizing(model, monkeypatch):
    windows = film(3)
    whole = [Localizer(model, 'cpu', 'torch')(window) for window in windows]
    resized = []
    from avsol_ros.inference import localizer as module

    square = module.square_frames
    monkeypatch.setattr(
        module,
        'square_frames',
        lambda frames, size: resized.append(len(frames)) or square(frames, size),
    )
    monkeypatch.setattr(type(model.visual_encoder), 'per_frame', False)
    localizer = Localizer(model, 'cpu', 'torch')
    for window, right in zip(windows, whole):
        np.testing.assert_allclose(localizer(window).heatmap, right.heatmap, atol=1e-6)
    assert resized == [8, 2, 2]


def test_a_frame_that_comes_twice_is_made_once():
    made = []

    def make(frames):
        made.append(len(frames))
        return [torch.tensor(frame[0]) for frame in frames]

    reuse = FrameReuse(make)
    a, b = np.array([1]), np.array([2])
    assert [int(v) for v in reuse([a, a, b, a])] == [1, 1, 2, 1]
    assert [int(v) for v in reuse([b, b])] == [2, 2]
    assert made == [2]


def test_only_the_last_window_is_held_and_no_array_mistaken_for_a_dead_one():
    reuse = FrameReuse(lambda frames: [torch.tensor(frame[0]) for frame in frames])
    alive = None
    for number in range(100):
        frame = np.array([number])
        assert int(reuse([frame])[0]) == number
        gc.collect(0)
        assert alive is None or alive() is None
        alive = weakref.ref(frame)
        del frame
        assert alive() is not None


def test_a_failure_forgets_nothing_and_remembers_nothing_wrong():
    def make(frames):
        if any(frame[0] < 0 for frame in frames):
            raise ValueError
        return [torch.tensor(frame[0]) for frame in frames]

    reuse = FrameReuse(make)
    a, bad = np.array([1]), np.array([-1])
    reuse([a])
    for _ in range(2):
        with pytest.raises(ValueError):
            reuse([a, bad])
    assert int(reuse([a])[0]) == 1


def test_tian_takes_the_seconds_before_and_no_future():
    torch.manual_seed(1)
    model = build_model(ModelConfig(('bell', 'drum'), method='tian', fusion='static', task='cls'))
    windows = film(13)
    localizer = Localizer(model, 'cpu', 'torch')
    found = [localizer(window) for window in windows]
    with torch.inference_mode():
        moments, logits = [], []
        for window in windows:
            frames = localizer.square(window.frames)[None]
            past = moments[-4::-4][::-1]  # a second is four hops
            output = model.fuse(
                model.visual_encoder(frames),
                model.audio_encoder(torch.from_numpy(window.audio)[None]),
                torch.stack(past, 1) if past else None,
            )
            moments.append(output.moment)
            logits.append(output.class_logits)
    for k, result in enumerate(found):
        np.testing.assert_allclose(result.class_scores, logits[k][0].sigmoid(), atol=1e-5)
    alone = Localizer(model, 'cpu', 'torch')(windows[12])
    assert np.abs(alone.class_scores - found[12].class_scores).max() > 1e-5
    np.testing.assert_allclose(alone.heatmap, found[12].heatmap, atol=1e-5)


def test_after_a_reset_nothing_of_another_stream_is_left():
    torch.manual_seed(1)
    model = build_model(ModelConfig(('bell', 'drum'), method='tian', fusion='static', task='cls'))
    first, *_, later = film(5)  # the later begins where the first ends
    localizer = Localizer(model, 'cpu', 'torch')
    localizer(first)
    localizer.reset()
    same(localizer(later), Localizer(model, 'cpu', 'torch')(later))


def moment(value):
    return torch.tensor([[float(value)]])


def test_the_past_is_whole_seconds_without_a_gap_and_ends():
    past = Past(10)
    assert past.before(0) is None
    for quarter in range(60):
        past.add(quarter * HOP_NS, moment(quarter))
    assert past.before(60 * HOP_NS).flatten().tolist() == list(range(24, 60, 4))
    assert past.before(60 * HOP_NS + 1) is None
    assert len(past._moments) == 40  # ten seconds
    past = Past(10)
    for second in (0, 1, 3, 4):
        past.add(second * NANOSECONDS, moment(second))
    assert past.before(5 * NANOSECONDS).flatten().tolist() == [3, 4]
    past.add(2 * NANOSECONDS, moment(20))  # time set back
    assert past.before(3 * NANOSECONDS).flatten().tolist() == [0, 1, 20]
    assert past.before(5 * NANOSECONDS) is None
