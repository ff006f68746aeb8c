"""
Real pictures and recordings, read for the scenes that are composed of them.

Splits are by source file, so no recording and no picture is in two of them; see
``material_lists``.
"""

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from avsol_ros.errors import AvsolError
from avsol_ros.media.film_reader import MediaReader, VideoChunk
from avsol_ros.streams.decoded_audio import to_float32
from avsol_ros.streams.resample import StreamResampler
from avsol_ros.streams.windows import SAMPLE_RATE
from avsol_ros.training.synthetic.material_lists import check_split, read_lists
from avsol_ros.training.synthetic.objects import Sprite

_MOST_PIXELS = 1 << 24  # a picture of more is a mistake: scenes have at most a few hundred lines
_LONGEST_S = 60.0  # of a recording, what follows is not needed
_SOLID = 0.5  # from this opacity on, a pixel belongs to a thing and to its box


@lru_cache(maxsize=8)
def open_material(folder: str, extra: bool = False) -> 'Material':
    """Open a folder; the same object for the same folder."""
    return Material(Path(folder), extra)


class Material:
    """
    A folder of real pictures and recordings.

    :param folder: with ``manifest.csv`` and ``split.csv``.
    :param extra: whether files that the manifest marks ``extra`` are taken too.
    :ivar categories: display names of what training can both see and hear, sorted.
    """

    def __init__(self, folder: Path, extra: bool = False):
        self.folder = folder
        self._lists = read_lists(folder, extra)
        self.categories = self._lists.categories

    def check_split(self, split: str) -> None:
        """Raise AvsolError where a split lacks what no scene can be without."""
        check_split(self._lists, split)

    def having(self, split: str, *kinds: str) -> list[str]:
        """Categories of which a split has something of each kind."""
        return self._lists.having(split, *kinds)

    def heard(self, split: str) -> list[str]:
        """Names of all that a split has recordings of, also of what has no picture."""
        return sorted(self._lists.files[split, 'sound'])

    def files(self, split: str, kind: str, category: str | None = None) -> list[str]:
        """Files of a split and kind, of all categories where none is given."""
        found = self._lists.files[split, kind]
        if category is not None:
            return found.get(category, [])
        return [name for names in found.values() for name in names]

    def draw(
        self, rng: np.random.Generator, split: str, kind: str, category: str | None = None
    ) -> str:
        """Draw a file of a kind, of any category where none is given."""
        names = self.files(split, kind, category)
        if not names:
            raise AvsolError(
                f'{self.folder} has no {kind} of {category or "anything"} in the split {split}'
            )
        return names[int(rng.integers(len(names)))]

    def sound(self, name: str) -> np.ndarray:
        """Read a recording: (n,) float32 in [-1, 1], mono at SAMPLE_RATE; not to be written to."""
        return _read_sound(self.folder / name)

    def picture(self, name: str) -> np.ndarray:
        """
        Read a picture.

        :returns: (h, w, 4) uint8 RGBA, of a cut-out no more than the box of what is solid; not to
            be written to.
        """
        return _read_picture(self.folder / name)


@lru_cache(maxsize=512)
def _read_sound(path: Path) -> np.ndarray:
    try:
        with MediaReader(path, need_video=False) as reader:
            rate, left, parts = reader.info.sample_rate, 0, []
            for chunk in reader:
                if isinstance(chunk, VideoChunk):
                    continue
                parts.append(to_float32(chunk.samples).mean(1))
                left += len(parts[-1])
                if left > _LONGEST_S * rate:
                    break
    except AvsolError as error:
        raise AvsolError(f'a sound of the material cannot be used: {error}') from None
    if not left:
        raise AvsolError(f'a sound of the material cannot be used: {path} holds no samples')
    # The resampler of the live system, so that a model learns from what it will hear there.
    resampler = StreamResampler(rate, SAMPLE_RATE)
    whole = np.concatenate(parts).astype(np.float32)
    wave = np.concatenate([resampler.process(whole), resampler.flush()])
    wave.flags.writeable = False
    return wave


@lru_cache(maxsize=256)
def _read_picture(path: Path) -> np.ndarray:
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
    except (OSError, cv2.error):
        image = None
    if image is None or image.dtype != np.uint8 or image.shape[0] * image.shape[1] > _MOST_PIXELS:
        raise AvsolError(
            f'{path} is no picture that can be used; expected a whole PNG or JPEG with 8 bits and '
            f'at most {_MOST_PIXELS} pixels'
        )
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGRA)
    elif image.shape[2] == 3:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2BGRA)
    image = cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA)
    ys, xs = np.nonzero(image[..., 3] > 255 * _SOLID)
    if not len(ys):
        raise AvsolError(f'{path} shows nothing: all of it is transparent')
    image = image[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1].copy()
    image.flags.writeable = False
    return image


def make_cutout(rgba: np.ndarray) -> Sprite:
    """
    Make a sprite of a picture.

    :param rgba: (h, w, 4) float32, colour 0 to 255 and alpha 0 to 1, at least some of it solid.
    :returns: a sprite whose outline surrounds what is solid. Thin tips and soft rims lie beyond.
    """
    solid = (rgba[..., 3] > _SOLID).astype(np.uint8)
    contours = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    places = np.concatenate(contours)[:, 0]
    # Corners of pixels: half-open boxes end behind the last pixel.
    corners = np.concatenate([places + step for step in np.ndindex(2, 2)]).astype(np.int32)
    hull = cv2.convexHull(corners)[:, 0].astype(np.float64)
    low, high = hull.min(0), hull.max(0)
    middle, side = (low + high) / 2, float((high - low).max())
    # A square about the middle of the box; paste() takes 95 % of it as the unit square.
    length = int(np.ceil(max(side / 0.95, 2 * np.abs(_reach(rgba) - middle).max())))
    shift = length / 2 - middle
    # What lies around a thing has its colour: interpolation would darken its edge otherwise.
    flat = rgba[..., :3][solid > 0].mean(0)
    picture = rgba.copy()
    picture[..., :3][rgba[..., 3] < 0.02] = flat
    canvas = cv2.warpAffine(
        picture,
        np.column_stack([np.eye(2), shift]),
        (length, length),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(*map(float, flat), 0.0),
    )
    return Sprite(canvas, (hull - middle) / (0.95 * length / 2))


def _reach(rgba: np.ndarray) -> np.ndarray:
    """Corners of a picture: (2, 2) x, y."""
    return np.array([[0, 0], [rgba.shape[1], rgba.shape[0]]], float)
