"""Maps that look at nothing and hear nothing: the rows that stand beside every table."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from avsol_ros.localizer import upsample

BASELINES = ('centre prior', 'noise')
CELLS = 14  # side of the noise map before it is stretched, as the paper's models have it

# Table 2: key of ``LocalizationScores`` and heading.
COLUMNS = {'hmbox_auc/all': 'HmBoxAUC all', 'hmbox_auc/single': 'single',
           'hmbox_auc/multiple': 'multi.', 'pibr/all': 'PiBR all', 'pibr/single': 'single',
           'pibr/multiple': 'multi.', 'pnsr/all': 'PNSR all', 'pnsr/visible': 'visible',
           'pnsr/audible': 'audible', 'pnsr/noise': 'noise'}


def centre_prior(height: int, width: int | None = None) -> np.ndarray:
    """
    A map that looks at nothing: brightest in the middle.

    :param width: None for a square.
    :returns: (height, width) float32, 0 to 1.
    """
    rows, columns = (np.arange(size) - (size - 1) / 2 for size in (height, width or height))
    distance = np.hypot(rows[:, None], columns)
    return (1 - distance / (distance.max() or 1)).astype(np.float32)


def noise_map(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Uniform noise of 14 x 14 cells, stretched: (height, width) float32, 0 to 1."""
    return upsample(rng.random((CELLS, CELLS), np.float32), height, width)


def table(models: Mapping[str, Iterable], truths: Sequence, shape: tuple[int, int],
          categories: Sequence[str] = (), size: tuple[float, float] | None = None,
          seed: int = 0) -> list[dict]:
    """
    Score models, and below them the baselines, on the same windows.

    :param models: name -> one heatmap (H, W) per window, as long as ``truths``.
    :param truths: the frames of each window, ``FrameTruth``.
    :param shape: H, W of the heatmaps.
    :param size: width and height of the boxes' picture; None: that of the heatmaps.
    :param seed: of the noise.
    :returns: a dict of floats per row, ``LocalizationScores`` with ``model`` before it.
    """
    from avsol_ros.training.metrics.accumulators import LocalizationScores

    rng = np.random.default_rng(seed)
    centre = centre_prior(*shape)
    rows = []
    for name, heatmaps in (*models.items(),
                           (BASELINES[0], (centre for _ in truths)),
                           (BASELINES[1], (noise_map(*shape, rng) for _ in truths))):
        scores = LocalizationScores(categories)
        for heatmap, frames in zip(heatmaps, truths, strict=True):
            scores.update(heatmap, frames, size)
        rows.append({'model': name, **{key: float(v) for key, v in scores.compute().items()}})
    return rows


def format_table(rows: Sequence[Mapping], columns: Mapping[str, str] = COLUMNS) -> str:
    """
    Rows as a Markdown table; ``-`` where a score is missing.

    :param columns: key -> heading.
    """
    lines = [['Models', *columns.values()], ['---'] * (1 + len(columns))]
    for row in rows:
        values = [row.get(key) for key in columns]
        lines.append([row['model'], *('-' if value is None or np.isnan(value) else f'{value:.3f}'
                                      for value in values)])
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)
