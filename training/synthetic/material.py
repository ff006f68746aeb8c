"""
Real pictures and recordings from which scenes are composed: a folder with two lists.

``manifest.csv`` names every file with its category, kind and licence; ``split.csv`` tells whether
it serves training, validation or test. Splits are by source file, so no recording and no picture
is in two of them.
"""

import csv
from collections import defaultdict
from functools import cached_property, lru_cache
from pathlib import Path

import cv2
import numpy as np
from scipy.signal import resample_poly

from avsol_ros.errors import AvsolError
from avsol_ros.media.open_media import reading
from avsol_ros.streams.windows import SAMPLE_RATE
from avsol_ros.training.synthetic.objects import Sprite

KINDS = ('sound', 'ambience', 'cutout', 'photo', 'background')


@lru_cache(maxsize=None)
def open_material(folder: str, extra: bool = False) -> 'Material':
    """The material of a folder; the same object for the same folder."""
    return Material(Path(folder), extra)


class Material:
    """
    Files of a folder by split, kind and category.

    :param extra: whether files that the manifest marks ``extra`` are taken too.
    :ivar categories: names of what can be both seen and heard, sorted.
    """

    def __init__(self, folder: Path, extra: bool = False):
        self.folder = folder
        rows = {row['file']: row for row in _rows(folder / 'manifest.csv')}
        self.files: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for line in _rows(folder / 'split.csv'):
            row = rows.get(line['file'])
            if row is not None and (extra or row['extra'] != 'yes'):
                self.files[line['split'], row['kind']][row['category']].append(row['file'])

    @cached_property
    def categories(self) -> tuple[str, ...]:
        seen = self.files['train', 'cutout'].keys() | self.files['train', 'photo'].keys()
        return tuple(sorted(seen & self.files['train', 'sound'].keys()))

    def having(self, split: str, *kinds: str) -> list[str]:
        """Categories of which a split has something of each kind."""
        return [c for c in self.categories if all(self.files[split, k].get(c) for k in kinds)]

    def draw(self, rng: np.random.Generator, split: str, kind: str, category: str | None = None):
        """A file of a kind, of any category where none is given."""
        found = self.files[split, kind]
        names = found[category] if category else [n for part in found.values() for n in part]
        if not names:
            raise AvsolError(f'{self.folder} has no {kind} of {category or "anything"} in {split}')
        return names[int(rng.integers(len(names)))]

    def sound(self, name: str) -> np.ndarray:
        """(n,) float32 mono at SAMPLE_RATE."""
        return _read_sound(str(self.folder / name))

    def picture(self, name: str) -> np.ndarray:
        """(h, w, 3) uint8 RGB."""
        return _read_picture(str(self.folder / name))

    def sprite(self, name: str, flip: bool = False) -> Sprite:
        """The sprite of a cut-out, or of a whole photograph."""
        return _sprite(str(self.folder / name), flip)


def _rows(path: Path) -> list[dict]:
    try:
        with path.open(newline='', encoding='utf-8') as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise AvsolError(
            f'cannot read {path} ({error.strerror}); expected a folder of material with '
            'manifest.csv and split.csv'
        ) from None


@lru_cache(maxsize=4096)
def _read_sound(path: str) -> np.ndarray:
    with reading(Path(path)) as container:
        rate = container.streams.audio[0].rate
        parts = [frame.to_ndarray() for frame in container.decode(audio=0)]
    wave = np.concatenate([part.mean(0) for part in parts]).astype(np.float32)
    divisor = np.gcd(SAMPLE_RATE, rate)
    return resample_poly(wave, SAMPLE_RATE // divisor, rate // divisor).astype(np.float32)


@lru_cache(maxsize=256)
def _read_picture(path: str) -> np.ndarray:
    image = cv2.imread(path, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise AvsolError(f'{path} is not a picture; expected a PNG or JPEG')
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    return cv2.cvtColor(
        image, cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB
    )


@lru_cache(maxsize=1024)
def _sprite(path: str, flip: bool) -> Sprite:
    image = _read_picture(path)
    if flip:
        image = image[:, ::-1]
    alpha = image[..., 3] / np.float32(255) if image.shape[2] == 4 else None
    if alpha is not None:
        ys, xs = np.nonzero(alpha > 0.5)
        if len(ys) == 0:
            raise AvsolError(f'{path} shows nothing: all of it is transparent')
        cut = slice(ys.min(), ys.max() + 1), slice(xs.min(), xs.max() + 1)
        image, alpha = image[cut], alpha[cut]
    height, width = image.shape[:2]
    side = max(height, width)
    # A square with a margin, as Sprite wants it: paste() takes 95 % of it as the unit square.
    canvas = np.zeros((*(2 * [round(side / 0.95)]), 4), np.float32)
    top, left = ((len(canvas) - n) // 2 for n in (height, width))
    rgba = np.concatenate(
        [
            image[..., :3].astype(np.float32),
            (np.ones((height, width), np.float32) if alpha is None else alpha)[..., None],
        ],
        2,
    )
    canvas[top : top + height, left : left + width] = rgba
    # Colours go on outside the object, or its edge would be dark after scaling.
    outside = canvas[..., 3] < 0.02
    canvas[..., :3][outside] = rgba[..., :3][rgba[..., 3] > 0.5].mean(0)
    mask = (rgba[..., 3] > 0.5).astype(np.uint8)
    contours = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    points = cv2.convexHull(np.concatenate(contours))[:, 0].astype(np.float64)
    points += np.where(points > (points.max(0) + points.min(0)) / 2, 1, 0)  # far edge of pixels
    outline = (points - [width / 2, height / 2]) / (side / 2)
    return Sprite(canvas, outline - (outline.max(0) + outline.min(0)) / 2)
