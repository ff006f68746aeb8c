"""Synchrony against a slow reading of its definition, and what it must not see."""

import numpy as np
import pytest
import torch

from avsol_ros.models.builder import ModelConfig, build_model
from avsol_ros.models.encoders import AudioFeatures
from avsol_ros.models.synchrony import DAMPING, centred, synchrony


def make():
    torch.manual_seed(0)
    return build_model(ModelConfig(('bell', 'drum'), fusion='sync', dim=8)).eval()


def features(batch=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.rand(batch, 96, 8, 3, 4, generator=generator),
        AudioFeatures(
            torch.rand(batch, 128, 24, 16, generator=generator),
            torch.rand(batch, 128, generator=generator),
        ),
    )


def test_it_is_a_correlation_over_time_and_channels():
    generator = torch.Generator().manual_seed(1)
    movement = torch.randn(2, 3, 8, 2, 2, generator=generator)
    rhythm = torch.randn(2, 3, 8, generator=generator)
    found = synchrony(centred(movement), centred(rhythm))
    for b in range(2):
        sound = rhythm[b].numpy().astype(float)
        sound -= sound.mean(1, keepdims=True)
        for y in range(2):
            for x in range(2):
                moved = movement[b, :, :, y, x].numpy().astype(float)
                moved -= moved.mean(1, keepdims=True)
                expected = (moved * sound).sum() / np.sqrt(
                    ((moved**2).sum() + 3 * DAMPING) * ((sound**2).sum() + 1e-3)
                )
                assert float(found[b, y, x]) == pytest.approx(expected, abs=1e-5)


def test_what_moves_in_time_stands_out_and_what_is_still_or_out_of_time_does_not():
    beat = torch.tensor([1.0, 0, 0, 1, 0, 0, 1, 0])
    late = beat.roll(1)
    cells = 5 * torch.stack([beat, late, torch.ones(8)], 1)[None, None, :, None]
    found = synchrony(centred(cells), centred(beat[None, None]))[0, 0]
    assert found[0] > 0.95 and found[1] < 0 and found[2] == 0


def test_a_still_picture_leaves_the_static_similarity():
    model = make().fusion
    visual, audio = features()
    still = visual.mean(2, keepdim=True).expand_as(visual)
    with torch.inference_mode():
        seen, heard = model.see(still), model.hear(audio)
        static = super(type(model), model).compare(seen, heard)
        torch.testing.assert_close(model.compare(seen, heard), static)
        moving = model.see(visual)
        assert not torch.allclose(model.compare(moving, heard), static)


def test_the_order_of_frames_matters_only_together_with_the_sound():
    model = make().fusion
    visual, audio = features()
    with torch.inference_mode():
        seen, heard = model.see(visual), model.hear(audio)
        turned = model.see(visual.flip(2))
        torch.testing.assert_close(turned[0], seen[0])
        assert not torch.allclose(model.compare(turned, heard), model.compare(seen, heard))
        both = model.compare(turned, (heard[0], heard[1].flip(2)))
        torch.testing.assert_close(both, model.compare(seen, heard), atol=1e-5, rtol=1e-4)


def test_the_whole_model_runs_and_relates_one_sight_to_two_sounds():
    model = make()
    frames = torch.rand(2, 8, 3, 112, 112)
    samples = torch.rand(2, 16_000) * 2 - 1
    with torch.inference_mode():
        output = model(frames, samples)
        seen = model.fusion.see(model.visual_encoder(frames))
        swapped = model.relate(seen, model.fusion.hear(model.audio_encoder(samples.flip(0))))
        torch.testing.assert_close(
            swapped.similarity, model(frames, samples.flip(0)).similarity, atol=1e-4, rtol=1e-4
        )
    assert output.localization.shape == (2, 14, 14) and output.class_logits.shape == (2, 2)
