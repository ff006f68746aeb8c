"""
VGG Sound Source, read from its annotation files.

The boxes are those of Chen et al., "Localizing Visual Sounds the Hard Way" (CVPR 2021),
``vggss.json``. The pairs of picture and sound where nothing in view sounds are those of Mo and
Morgado (SLAVC, NeurIPS 2022), ``vggss_test_plus_silent.csv``: 4779 pairs of two of these samples
and 379 clips of other videos. Media are in neither.
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avsol_ros.errors import AvsolError

SIZE = 224  # pixels; side of the square in which the benchmark compares


@dataclass(frozen=True)
class VggssSample:
    """
    One picture with its sound.

    :param file: name without ending: video and its first second, six digits.
    :param category: one of 221.
    :param boxes: x0, y0, x1, y1 as shares of the picture; some lie slightly outside 0 to 1.
    """

    file: str
    category: str
    boxes: tuple[tuple[float, float, float, float], ...]

    def mask(self, size: int = SIZE) -> np.ndarray:
        """
        Union of the boxes as the benchmark lays them on pixels: edges clipped and cut off.

        :returns: (size, size) bool.
        """
        mask = np.zeros((size, size), bool)
        for box in self.boxes:
            x0, y0, x1, y1 = (int(size * min(max(value, 0), 1)) for value in box)
            mask[y0:y1, x0:x1] = True
        return mask


def read_vggss(path: str | Path) -> list[VggssSample]:
    """Read ``vggss.json``."""
    path = Path(path)
    try:
        entries = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise AvsolError(
            f'{path} cannot be read: {error}; expected the VGG-SS annotations, vggss.json'
        ) from None
    if not isinstance(entries, list) or not entries:
        raise AvsolError(
            f'{path} holds no list of samples; expected the VGG-SS annotations, vggss.json'
        )
    return [_sample(entry, f'{path}, sample {number}') for number, entry in enumerate(entries)]


def _sample(entry, where: str) -> VggssSample:
    try:
        boxes = tuple(tuple(map(float, box)) for box in entry['bbox'])
        sample = VggssSample(str(entry['file']), str(entry['class']), boxes)
    except (KeyError, TypeError, ValueError):
        raise AvsolError(
            f'{where} is {_short(entry)}; expected file, class and bbox, a list of x0, y0, x1, y1'
        ) from None
    if not boxes or any(len(box) != 4 or not np.isfinite(box).all() for box in boxes):
        raise AvsolError(
            f'{where} has the boxes {_short(entry["bbox"])}; expected at least one, '
            'each of four finite numbers x0, y0, x1, y1'
        )
    return sample


def read_non_sounding(path: str | Path) -> list[tuple[str, str]]:
    """
    Read ``vggss_test_plus_silent.csv``.

    :returns: picture and sound of each pair where nothing in view sounds, names without ending;
        the same name twice for a clip as it is.
    """
    path = Path(path)
    try:
        with open(path, encoding='utf-8', newline='') as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AvsolError(
            f'{path} cannot be read: {error}; expected vggss_test_plus_silent.csv'
        ) from None
    if not rows or not {'video', 'audio', 'label'} <= set(rows[0]):
        raise AvsolError(
            f'{path} has no pairs under video, audio and label; expected '
            'vggss_test_plus_silent.csv'
        )
    return [(row['video'], row['audio']) for row in rows if row['label'] == 'non-sounding']


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'
