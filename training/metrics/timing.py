"""
Time of HmBoxAUC beside a scikit-learn loop: ``python -m avsol_ros.training.metrics.timing``.

Both score the same frames in the same process, in turns, and are compared value by value. A
ratio is the median over rounds of scikit-learn's time over ours in that round.
"""

import argparse
import sys
import time

import numpy as np

from avsol_ros.command import run_command
from avsol_ros.errors import AvsolError
from avsol_ros.localization import upsample
from avsol_ros.training.metrics.localization import box_mask, hmbox_auc

# How many frames share a heatmap: one picture of VGG-SS; one second at AVSOL-E's 10 Hz.
SHARED = (1, 10)


def draw_maps(kind: str, count: int, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """
    Heatmaps to score.

    :param kind: ``live``: 14 x 14 cells, stretched as the robot does; ``noise``: every pixel by
        itself; ``logits``: the same, of both signs; ``levels``: 256 values, so many ties.
    :returns: ``count`` of (size, size) float32.
    """
    shape = (count, 14, 14) if kind == 'live' else (count, size, size)
    maps = rng.random(shape, np.float32)
    if kind == 'live':
        maps = [upsample(one, size, size) for one in maps]
    elif kind == 'logits':
        maps = maps * 12 - 6
    elif kind == 'levels':
        maps = np.round(maps * 255) / np.float32(255)
    return list(maps)


def draw_masks(count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Masks of one or two boxes with sides of 10 to 60 % of the image: (count, size, size)."""
    masks = np.zeros((count, size, size), bool)
    for mask in masks:
        sides = rng.uniform(0.1, 0.6, (rng.integers(1, 3), 2)) * size
        corners = rng.random(sides.shape) * (size - sides)
        mask |= box_mask(np.hstack([corners, corners + sides]), size, size)
    return masks


def measure(kind: str, shared: int, frames: int, size: int, rounds: int, seed: int) -> dict:
    """
    Time both, round by round.

    :returns: milliseconds a frame, their ratio and the largest difference of the scores.
    """
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(seed)
    maps = draw_maps(kind, -(-frames // shared), size, rng)
    masks = [draw_masks(shared, size, rng) for _ in maps]
    times, scores = [], None
    for _ in range(rounds):
        begin = time.perf_counter()
        theirs = [
            average_precision_score(mask.ravel(), heat.ravel())
            for heat, group in zip(maps, masks)
            for mask in group
        ]
        between = time.perf_counter()
        ours = [hmbox_auc(heat, group) for heat, group in zip(maps, masks)]
        times.append((between - begin, time.perf_counter() - between))
        scores = np.abs(np.concatenate(ours) - theirs).max()
    theirs, ours = 1000 * np.array(times).T / (len(maps) * shared)
    return {
        'maps': kind,
        'frames a map': shared,
        'seed': seed,
        'scikit-learn ms': float(np.median(theirs)),
        'ours ms': float(np.median(ours)),
        'ratio': float(np.median(theirs / ours)),
        'worst round': float((theirs / ours).min()),
        'difference': float(scores),
    }


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog='python -m avsol_ros.training.metrics.timing',
        allow_abbrev=False,
        description=__doc__.strip().splitlines()[0],
    )
    parser.add_argument('--size', type=int, default=224, help='side of the maps (default 224)')
    parser.add_argument('--frames', type=int, default=40, help='frames a round (default 40)')
    parser.add_argument('--rounds', type=int, default=7, help='rounds (default 7)')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument(
        '--maps',
        nargs='+',
        default=['live', 'noise', 'logits', 'levels'],
        choices=['live', 'noise', 'logits', 'levels'],
    )
    options = parser.parse_args(arguments)
    if min(options.size, options.frames, options.rounds) < 1:
        raise AvsolError('--size, --frames or --rounds is below 1; expected at least 1')
    import sklearn

    print(
        f'HmBoxAUC at {options.size} x {options.size}, numpy {np.__version__}, '
        f'scikit-learn {sklearn.__version__}, one thread; {options.rounds} rounds of '
        f'{options.frames} frames'
    )
    print(
        '| maps | frames a map | seed | scikit-learn, ms | ours, ms | ratio | worst round '
        '| largest difference |'
    )
    print('|---|---|---|---|---|---|---|---|')
    for kind in options.maps:
        for shared in SHARED:
            for seed in options.seeds:
                row = measure(kind, shared, options.frames, options.size, options.rounds, seed)
                print(
                    f'| {kind} | {shared} | {seed} | {row["scikit-learn ms"]:.2f} '
                    f'| {row["ours ms"]:.3f} | {row["ratio"]:.1f} '
                    f'| {row["worst round"]:.1f} | {row["difference"]:.0e} |',
                    flush=True,
                )
    return 0


if __name__ == '__main__':
    sys.exit(run_command('python -m avsol_ros.training.metrics.timing', main))
