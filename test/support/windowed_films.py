"""Small films with a list of annotated windows, for tests of sparse annotations."""

import json
from pathlib import Path

import numpy as np
from films import write_film

WIDTH, HEIGHT, SECONDS, FRAME_RATE = 64, 48, 4, 10
# Category and tone of what the square of each film is.
FILMS = {'dog': ('Bark', 300), 'bell': ('Church bell', 900), 'hall': ('Church bell', 700)}
#: Windows from 0 s and 2 s on have a square that sounds, that from 1 s on is silent.
STARTS = (0, 1, 2)


def square(index):
    """Box of the square that a film shows in a frame: it moves one pixel a frame."""
    left = 2 + index
    return [left, 12, left + 20, 36]


def draw(index, width, height):
    """Grey picture with the square."""
    image = np.full((height, width, 3), 80, np.uint8)
    x0, y0, x1, y1 = square(index)
    image[y0:y1, x0:x1] = (220, 60 + index, 30)
    return image


def tone(hertz):
    """Sound for ``write_film``: the tone, and silence in the second from 1 s on."""

    def sound(seconds, rate, channels):
        time = np.arange(round(seconds * rate)) / rate
        loud = (time < 1) | (time >= 2)
        samples = np.rint(9000 * loud * np.sin(2 * np.pi * hertz * time)).astype(np.int16)
        return np.repeat(samples[:, None], channels, axis=1)

    return sound


def write_windowed_film(path: Path, hertz=440, **options) -> Path:
    """Write a film of four seconds."""
    return write_film(
        path,
        **{
            'seconds': SECONDS,
            'width': WIDTH,
            'height': HEIGHT,
            'frame_rate': FRAME_RATE,
            'rate': 16_000,
            'channels': 1,
            'draw': draw,
            'sound': tone(hertz),
            **options,
        },
    )


def entry(name, category, starts=STARTS, silent=(1,)):
    """A film of the list, as people write it: a box on the first frame at or after 0.5 s."""
    return {
        'id': name,
        'media': f'{name}.mp4',
        'width': WIDTH,
        'height': HEIGHT,
        'duration': float(SECONDS),
        'fps': float(FRAME_RATE),
        'category': category,
        'doubt': '',
        'windows': [
            {
                'start': start,
                'out_of_view': False,
                'boxes': [
                    {
                        'box': square(int((start + 0.5) * FRAME_RATE)),
                        'category': category,
                        'sounding': start not in silent,
                    }
                ],
            }
            for start in starts
        ],
    }


def entries():
    """
    The list of all films.

    Besides its square, the bell's film has a dog that is silent, and from 1 s on an unseen sound.
    """
    films = [entry(name, category) for name, (category, _) in FILMS.items()]
    films[1]['windows'][2]['boxes'].append(
        {'box': [1, 1, 9, 9], 'category': 'Cat', 'sounding': False}
    )
    films[1]['windows'][1]['out_of_view'] = True
    return films


def write_list(path: Path, films=None) -> Path:
    path.write_text(json.dumps(entries() if films is None else films))
    return path


def write_windowed_films(folder: Path) -> Path:
    """Write all films into ``media/`` and their list as ``windows.json``; returns the list."""
    (folder / 'media').mkdir(parents=True)
    for name, (_, hertz) in FILMS.items():
        write_windowed_film(folder / 'media' / f'{name}.mp4', hertz)
    return write_list(folder / 'windows.json')
