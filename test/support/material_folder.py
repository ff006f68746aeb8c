"""A tiny folder of material for scenes of real things, drawn and computed here."""

import csv
from pathlib import Path

import av
import cv2
import numpy as np

from avsol_ros.training.synthetic.material_lists import MANIFEST, SPLIT, SPLITS

#: Category in the lists -> what it is called; ``piano`` is a photograph too.
NAMES = {'dog': 'Dog', 'person': 'Speech', 'piano': 'Piano'}
_RATE = 22_050


def make_material(folder: Path, seed: int = 0) -> Path:
    """
    Make a folder with two cut-outs and recordings of each category in each split.

    There are also a photograph, a background and ambience in each split, an unseen sound, and a
    file that is extra.
    """
    rng = np.random.default_rng(seed)
    manifest, split = [], []

    def add(name, category, kind, where, extra='no'):
        manifest.append([name, category, kind, 'drawn', 'CC0', extra])
        split.append([name, where])
        return folder / name

    folder.mkdir(parents=True, exist_ok=True)
    for where in SPLITS:
        for category in NAMES:
            for number in range(2):
                stem = f'{category}_{where}_{number}'
                draw_cutout(add(f'{stem}.png', category, 'cutout', where), category, rng)
                write_sound(add(f'{stem}.wav', category, 'sound', where), rng)
        _write(add(f'photo_{where}.jpg', 'piano', 'photo', where), _texture(rng, 60, 80))
        _write(add(f'place_{where}.jpg', 'place', 'background', where), _texture(rng, 90, 120))
        write_sound(add(f'rain_{where}.wav', 'amb_rain', 'ambience', where), rng)
        write_sound(add(f'door_{where}.wav', 'door', 'sound', where), rng)
    draw_cutout(add('cow.png', 'cow', 'cutout', 'train', 'yes'), 'person', rng)
    write_sound(add('cow.wav', 'cow', 'sound', 'train', 'yes'), rng)
    write_list(
        folder / MANIFEST, ['file', 'category', 'kind', 'source', 'licence', 'extra'], manifest
    )
    write_list(folder / SPLIT, ['file', 'split'], split)
    return folder


def write_list(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open('w', newline='', encoding='utf-8') as file:
        csv.writer(file).writerows([header, *rows])


def draw_cutout(path: Path, category: str, rng: np.random.Generator) -> None:
    """Draw a blob with legs, a bust with a flat lower border, or a slanted slab; alpha is soft."""
    alpha = np.zeros((70, 90), np.uint8)
    if category == 'dog':
        cv2.ellipse(alpha, (45, 30), (32, 14), 8, 0, 360, 255, -1, cv2.LINE_AA)
        for x in (24, 62):
            cv2.line(alpha, (x, 30), (x + 3, 60), 255, 6, cv2.LINE_AA)
    elif category == 'person':
        cv2.circle(alpha, (45, 24), 15, 255, -1, cv2.LINE_AA)
        cv2.ellipse(alpha, (45, 69), (30, 28), 0, 180, 360, 255, -1, cv2.LINE_AA)
    else:
        corners = np.array([[8, 20], [70, 5], [82, 50], [20, 64]], np.int32)
        cv2.fillConvexPoly(alpha, corners, 255, cv2.LINE_AA)
    alpha = cv2.GaussianBlur(alpha, (0, 0), 0.7)
    _write(path, np.dstack([_texture(rng, 70, 90), alpha]))


def write_sound(path: Path, rng: np.random.Generator, seconds: float = 0.8) -> None:
    """Write a tone that swells and dies away, as 16-bit WAV at 22,050 Hz."""
    t = np.arange(round(seconds * _RATE)) / _RATE
    wave = np.sin(2 * np.pi * rng.uniform(200, 900) * t) * np.sin(np.pi * t / seconds)
    samples = np.round(wave * 12_000).astype(np.int16)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('pcm_s16le', rate=_RATE, layout='mono')
        frame = av.AudioFrame.from_ndarray(samples[None], format='s16', layout='mono')
        frame.rate = _RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _texture(rng, height: int, width: int) -> np.ndarray:
    cells = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)


def _write(path: Path, picture: np.ndarray) -> None:
    assert cv2.imwrite(str(path), picture)
