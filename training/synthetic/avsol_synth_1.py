"""
avsol-synth-1: the synthetic benchmark, by name, with fixed seeds and splits.

Hard scenes of seed 0, twelve categories. ``avsol train`` learns from all seconds of 2000 clips and
chooses its best epoch by those of 250 others. What is scored, by ``avsol evaluate --data hard``,
is one second of each of 500 clips of the test split, so that no two windows share a scene.

``python -m avsol_ros.training.benchmark`` prints what a split holds, in the form of the paper's
Table 1, and what rules that know some of the truth score on it.
"""

import argparse
import json

import numpy as np

from avsol_ros.training.annotations.model import AVE_KINDS, NON_AVE_KINDS, FrameTruth
from avsol_ros.training.metrics import box_mask, frame_scores
from avsol_ros.training.synthetic.oracles import ORACLES, oracle_maps, twins_told_apart
from avsol_ros.training.synthetic.preset_names import PRESET_NAMES
from avsol_ros.training.synthetic.window_set import (
    WindowSet,
    preset_config,
    render_windows,
)

NAME = 'avsol-synth-1'
PRESET, SEED = 'hard', 0
SPLIT_WINDOWS = {'train': 8000, 'val': 500, 'test': 500}


def render_split(
    split: str,
    windows: int | None = None,
    preset: str = PRESET,
    seed: int = SEED,
    material: str | None = None,
    **shape,
) -> WindowSet:
    """
    One split of the benchmark: of train whole clips, of the others one second of each clip.

    :param windows: the first of it; all when not given.
    :param material: folder of real scenes; None: that of ``$AVSOL_MATERIAL``.
    :param shape: ``size``, ``frames`` and ``workers`` of :func:`render_windows`.
    """
    return render_windows(
        split,
        windows or SPLIT_WINDOWS[split],
        seed,
        preset_config(preset, material),
        apart=split != 'train',
        **shape,
    )


def _kinds(windows: WindowSet) -> np.ndarray:
    """(n, TRUTH_RATE) str: row of Table 1 in which each frame is counted."""
    return np.array(
        [[FrameTruth(0.0, tuple(objects)).kind for objects in truth] for truth in windows.truth]
    )


def statistics(windows: WindowSet) -> dict:
    """Frames of each kind (Table 1), and windows by what makes them easy or hard."""
    kinds = _kinds(windows)
    facts = windows.facts
    snr = facts['ambient_snr'][np.isfinite(facts['ambient_snr'])]
    return {
        'windows': len(windows),
        'frames': {kind: int((kinds == kind).sum()) for kind in AVE_KINDS + NON_AVE_KINDS},
        'windows_with': {
            'label': int(windows.labels.any(1).sum()),
            'sounding in view': int((facts['sounding'] > 0).sum()),
            'several sounding': int((facts['sounding'] > 1).sum()),
            'several categories sounding': int((facts['categories'] > 1).sum()),
            'silent object': int((facts['silent'] > 0).sum()),
            'look-alike': int(facts['lookalike'].sum()),
            'out of view': int(facts['out_of_view'].sum()),
            'impostor': int(facts['impostor'].sum()),
        },
        'ambient_snr_db': (
            [round(float(v), 1) for v in np.quantile(snr, (0.1, 0.5, 0.9))] if len(snr) else None
        ),
        'box_percent': _box_percent(windows),
        'filling': int(facts['filling'].sum()),
        'labels_per_category': windows.labels.sum(0).tolist(),
    }


def _box_percent(windows: WindowSet) -> list[float] | None:
    """Boxes in the middle of each window, percent of the picture: 10 %, median and 90 %."""
    boxes = [thing.box for truth in windows.truth for thing in truth[len(truth) // 2] if thing.box]
    if not boxes:
        return None
    x0, y0, x1, y1 = np.array(boxes).T
    shares = 100 * (x1 - x0) * (y1 - y0) / windows.frames.shape[2] ** 2
    return [round(float(value), 1) for value in np.quantile(shares, (0.1, 0.5, 0.9))]


def _masks(windows: WindowSet) -> list[np.ndarray]:
    size = windows.frames.shape[2]
    return [
        np.stack(
            [
                box_mask([o.box for o in objects if o.sounding and o.box], size, size)
                for objects in truth
            ]
        )
        for truth in windows.truth
    ]


def score_oracles(windows: WindowSet) -> list[dict]:
    """
    HmBoxAUC and PiBR of rules that know some of the truth.

    :returns: one row per rule; frames with one sounding object, with several, and frames of
        windows with a look-alike apart.
    """
    masks, rows, kinds = _masks(windows), [], _kinds(windows)
    twins = np.broadcast_to(windows.facts['lookalike'][:, None], kinds.shape)
    size = windows.frames.shape[2]
    axis = (np.arange(size) + 0.5) / size - 0.5
    centre = 1 - np.hypot(axis[:, None], axis).astype(np.float32)
    maps = {'centre prior': [centre] * len(windows)}
    for name in ('centre prior', *ORACLES):
        heat = maps[name] if name in maps else oracle_maps(name, windows)
        scored = [frame_scores(*pair) for pair in zip(heat, masks)]
        areas = np.stack([s.areas for s in scored])
        hits = np.stack([s.hits for s in scored])
        row = {'rule': name}
        for part, chosen in (
            ('all', np.isin(kinds, AVE_KINDS)),
            ('single', kinds == 'single'),
            ('multiple', kinds == 'multiple'),
            ('look-alike', twins & np.isfinite(areas)),
        ):
            row[part] = (
                [float(areas[chosen].mean()), float(hits[chosen].mean())] if chosen.any() else None
            )
        rows.append(row)
    return rows


def main(argv: list[str] | None = None) -> int:
    """Print the tables of one split."""
    parser = argparse.ArgumentParser(
        prog='python -m avsol_ros.training.benchmark',
        allow_abbrev=False,
        description=f'{NAME}: what a split holds, and what rules '
        'that know some of the truth score on it.',
    )
    parser.add_argument('--split', choices=tuple(SPLIT_WINDOWS), default='test')
    parser.add_argument('--windows', type=int, default=500, help='how many (default 500)')
    parser.add_argument('--preset', choices=PRESET_NAMES, default=PRESET)
    parser.add_argument('--material', metavar='FOLDER', help='for --preset real')
    parser.add_argument('--frames', type=int, default=8, help='frames a second (default 8)')
    parser.add_argument('--json', action='store_true', help='print JSON instead of tables')
    arguments = parser.parse_args(argv)
    for name in ('windows', 'frames'):
        if getattr(arguments, name) < 1:
            parser.error(f'--{name} is {getattr(arguments, name)}; expected at least 1')
    windows = render_split(
        arguments.split,
        arguments.windows,
        arguments.preset,
        material=arguments.material,
        frames=arguments.frames,
    )
    told = twins_told_apart(windows)
    result = {
        'benchmark': NAME if arguments.preset == PRESET else arguments.preset,
        'split': arguments.split,
        **statistics(windows),
        'oracles': score_oracles(windows),
        'twins': len(told),
        'told_apart': float(told.mean()) if len(told) else None,
    }
    print(json.dumps(result, indent=2) if arguments.json else _tables(result))
    return 0


def _tables(result: dict) -> str:
    frames = result['frames']
    total = sum(frames.values())
    lines = [
        f'{result["benchmark"]}, split {result["split"]}: {result["windows"]} windows, '
        f'{total} frames',
        '',
    ]
    names = {
        'single': 'AVE, one object',
        'multiple': 'AVE, several objects',
        'visible': 'non-AVE, visible',
        'audible': 'non-AVE, audible',
        'noise': 'non-AVE, neither (noise)',
    }
    lines += [f'{names[kind]:26}{n:7d}  {100 * n / total:5.1f} %' for kind, n in frames.items()]
    lines += ['', *(f'windows with {name:28}{n:6d}' for name, n in result['windows_with'].items())]
    if result['ambient_snr_db']:
        low, middle, high = result['ambient_snr_db']
        lines.append(
            f'objects over ambient sound: median {middle} dB, 80 % from {low} to {high} dB'
        )
    if result['box_percent']:
        low, middle, high = result['box_percent']
        lines.append(f'boxes: median {middle} % of the picture, 80 % from {low} to {high} %')
    if result['filling']:
        lines.append(f'windows that a sounding thing fills (over 60 %): {result["filling"]}')
    lines.append('')
    lines.append(
        f'{"HmBoxAUC / PiBR":26}'
        + ''.join(f'{part:>15}' for part in ('all', 'single', 'multiple', 'look-alike'))
    )
    for row in result['oracles']:
        cells = (row[part] for part in ('all', 'single', 'multiple', 'look-alike'))
        lines.append(
            f'{row["rule"]:26}'
            + ''.join(
                f'{"-":>15}' if cell is None else f'  {cell[0]:.3f} / {cell[1]:.3f}'
                for cell in cells
            )
        )
    if result['twins']:
        lines += [
            '',
            f'synchrony, measured on pixels and sound, tells the sounding twin in '
            f'{100 * result["told_apart"]:.1f} % of {result["twins"]} windows',
        ]
    return '\n'.join(lines)
