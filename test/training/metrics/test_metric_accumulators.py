"""torchmetrics of the paper's metrics: Table 2's columns, merged, and in two processes."""

import math
import random

import numpy as np
import pytest
import torch
import torch.distributed
import torch.multiprocessing
from sklearn.metrics import average_precision_score

from avsol_ros.errors import AvsolError
from avsol_ros.training.annotations.model import FrameTruth, ObjectTruth
from avsol_ros.training.metrics import box_mask
from avsol_ros.training.metrics.accumulators import (
    HmBoxAUC,
    LocalizationScores,
    PeakInBoxRatio,
    PeakNoiseToSignalRatio,
)
from avsol_ros.training.metrics.deaf_maps import centre_prior, random_maps
from avsol_ros.training.metrics.peer_accumulators import ConsensusIoU, ExtendedScores

CATEGORIES = ('bell', 'dog', 'horn')
SIDE = 16


def draw_frame(rng: random.Random) -> FrameTruth:
    """Zero to three objects, in view or not, sounding or not."""
    objects = []
    for track in range(rng.randrange(4)):
        if rng.random() < 0.2:
            objects.append(ObjectTruth(track, None, None, True, True))
            continue
        x, y = rng.randrange(SIDE - 4), rng.randrange(SIDE - 4)
        box = (x, y, x + rng.randrange(2, 5), y + rng.randrange(2, 5))
        objects.append(ObjectTruth(track, rng.choice(CATEGORIES), box, rng.random() < 0.4))
    return FrameTruth(0.0, tuple(objects))


def draw_windows(seed: int, count: int = 24):
    """Windows: a heatmap and the truth of ten frames."""
    rng, noise = random.Random(seed), np.random.default_rng(seed)
    return [
        (noise.random((SIDE, SIDE), np.float32), [draw_frame(rng) for _ in range(10)])
        for _ in range(count)
    ]


def slow_scores(windows) -> dict[str, float]:
    """Table 2 frame by frame, from its caption and equation 3."""
    areas, hits, signals, noises = [], [], [], []
    for heatmap, frames in windows:
        for frame in frames:
            seen = [o for o in frame.objects if o.sounding and not o.out_of_view]
            if not seen:
                unseen = any(o.out_of_view for o in frame.objects)
                kind = 'audible' if unseen else 'visible' if frame.objects else 'noise'
                noises.append((kind, heatmap.max()))
                continue
            kind = 'single' if len(seen) == 1 else 'multiple'
            names = {o.category for o in seen}
            mask = box_mask([o.box for o in seen], SIDE, SIDE)
            areas.append((kind, names, average_precision_score(mask.ravel(), heatmap.ravel())))
            hits.append((kind, names, mask.ravel()[heatmap.argmax()]))
            signals.append(heatmap[mask].max())
    scores = {}
    for name, rows in (('hmbox_auc', areas), ('pibr', hits)):
        scores[f'{name}/all'] = np.mean([value for _, _, value in rows])
        for kind in ('single', 'multiple'):
            scores[f'{name}/{kind}'] = np.mean([v for k, _, v in rows if k == kind])
            scores[f'frames/{kind}'] = sum(k == kind for k, _, _ in rows)
        for category in CATEGORIES:
            scores[f'{name}/category/{category}'] = np.mean(
                [v for _, c, v in rows if category in c]
            )
    scores['pnsr/all'] = np.mean([level for _, level in noises]) / np.mean(signals)
    for kind in ('visible', 'audible', 'noise'):
        levels = [level for k, level in noises if k == kind]
        scores[f'pnsr/{kind}'] = np.mean(levels) / np.mean(signals)
        scores[f'frames/{kind}'] = len(levels)
    return {**scores, 'frames/left_out': 0}


def fill(metric, windows):
    for heatmap, frames in windows:
        if isinstance(metric, LocalizationScores):
            metric.update(heatmap, frames)
        else:
            metric.update(
                heatmap,
                np.stack(
                    [box_mask([o.box for o in frame.sounding], SIDE, SIDE) for frame in frames]
                ),
            )
    return metric


def plain(scores) -> dict[str, float]:
    return {key: float(value) for key, value in scores.items()}


def test_every_column_of_table_2_and_every_category():
    windows = draw_windows(0)
    scores = plain(fill(LocalizationScores(CATEGORIES), windows).compute())
    assert scores == pytest.approx(slow_scores(windows), abs=1e-6)
    assert sum(value for key, value in scores.items() if key.startswith('frames/')) == 240


def test_single_metrics_agree_with_the_columns():
    windows = draw_windows(1)
    scores = slow_scores(windows)
    assert float(fill(HmBoxAUC(), windows).compute()) == pytest.approx(scores['hmbox_auc/all'])
    assert float(fill(PeakInBoxRatio(), windows).compute()) == pytest.approx(scores['pibr/all'])
    assert float(fill(PeakNoiseToSignalRatio(), windows).compute()) == pytest.approx(
        scores['pnsr/all']
    )


def test_boxes_in_pixels_of_another_picture():
    heatmap = np.random.default_rng(0).random((6, 10))
    small = FrameTruth(0.0, (ObjectTruth(0, 'bell', (2, 1, 5, 4), True),))
    large = FrameTruth(0.0, (ObjectTruth(0, 'bell', (128, 80, 320, 320), True),))
    one, other = LocalizationScores(), LocalizationScores()
    one.update(heatmap, [small])
    other.update(heatmap, [large], size=(640, 480))
    assert plain(one.compute())['hmbox_auc/all'] == plain(other.compute())['hmbox_auc/all']


def test_a_box_without_a_pixel_is_left_out_and_counted():
    metric = LocalizationScores()
    metric.update(
        np.ones((4, 4)), [FrameTruth(0.0, (ObjectTruth(0, 'bell', (1.6, 1, 2.4, 3), True),))]
    )
    scores = plain(metric.compute())
    assert scores['frames/left_out'] == 1 and scores['frames/single'] == 0
    assert math.isnan(scores['hmbox_auc/all']) and math.isnan(scores['pnsr/noise'])


@pytest.mark.parametrize('level, expected', [(-0.5, math.nan), (0.0, 0.0), (0.25, 0.5)])
def test_pnsr_means_nothing_for_negative_levels(level, expected):
    metric = LocalizationScores()
    metric.update(
        np.full((4, 4), 0.5), [FrameTruth(0.0, (ObjectTruth(0, 'bell', (0, 0, 2, 2), True),))]
    )
    metric.update(np.full((4, 4), level), [FrameTruth(0.0)])
    assert plain(metric.compute())['pnsr/all'] == pytest.approx(expected, nan_ok=True)


def test_unknown_and_doubled_categories_are_refused():
    with pytest.raises(AvsolError, match='named twice'):
        LocalizationScores(('bell', 'bell'))
    with pytest.raises(AvsolError, match="the category 'cat'; expected one of bell"):
        LocalizationScores(('bell',)).update(
            np.ones((4, 4)), [FrameTruth(0.0, (ObjectTruth(0, 'cat', (0, 0, 2, 2), True),))]
        )


@pytest.mark.parametrize(
    'build',
    [lambda: LocalizationScores(CATEGORIES), HmBoxAUC, PeakInBoxRatio, PeakNoiseToSignalRatio],
)
def test_merged_states_are_the_state_of_all(build):
    windows = draw_windows(2)
    whole, first, second = (fill(build(), part) for part in (windows, windows[:7], windows[7:]))
    first.merge_state(second)
    for name in whole.metric_state:
        torch.testing.assert_close(getattr(first, name), getattr(whole, name))
    whole.reset()
    assert all(not value.any() for value in whole.metric_state.values())


def _score_in_process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/meet', rank=rank, world_size=2
    )
    # Unequal shares; the second process has no window of the third kind at all.
    mine = draw_windows(3)[:5] if rank == 0 else draw_windows(3)[5:]
    scores = plain(fill(LocalizationScores(CATEGORIES), mine).compute())
    share, extended = ConsensusIoU(), ExtendedScores()
    for heatmap, frames in mine:
        mask = box_mask([o.box for o in frames[0].sounding], SIDE, SIDE)
        extended.update(heatmap, mask)
        if mask.any():
            share.update(heatmap, mask)
    lonely = ExtendedScores()
    if rank == 0:
        lonely.update(np.eye(4), np.eye(4))
    assert float(lonely.compute()['loc_acc']) == 0  # a quarter of what the median keeps
    torch.save((scores, plain(share.compute()), plain(extended.compute())), f'{folder}/{rank}.pt')
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_arrive_at_what_one_does(tmp_path):
    torch.multiprocessing.spawn(_score_in_process, (str(tmp_path),), nprocs=2)
    windows = draw_windows(3)
    share, extended = ConsensusIoU(), ExtendedScores()
    for heatmap, frames in windows:
        mask = box_mask([o.box for o in frames[0].sounding], SIDE, SIDE)
        extended.update(heatmap, mask)
        if mask.any():
            share.update(heatmap, mask)
    for rank in range(2):
        found = torch.load(tmp_path / f'{rank}.pt', weights_only=True)
        assert found[0] == pytest.approx(slow_scores(windows), abs=1e-6)
        assert found[1] == pytest.approx(plain(share.compute()), abs=1e-12)
        assert found[2] == pytest.approx(plain(extended.compute()), abs=1e-6)


def test_baseline_maps():
    prior = centre_prior(5, 7)
    assert prior.shape == (5, 7) and prior.argmax() == 17 and prior.min() > 0
    np.testing.assert_array_equal(prior, prior[::-1, ::-1])
    one, other = (random_maps(3, seed=7) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert one.shape == (3, 14, 14) and 0 <= one.min() < one.max() <= 1
    assert not np.array_equal(one[0], one[1])
