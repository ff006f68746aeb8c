"""
A small dataset in AVE's own layout, with films as they are: whole, and spoiled in every usual way.

What sounds in a film can be seen and heard: each category has a colour and a tone, in the seconds
of the event a square of that colour flashes and the tone sounds, and otherwise there is grey and a
faint hiss.
"""

from functools import partial
from pathlib import Path

import numpy as np
from films import write_film

from avsol_ros.training.datasets.ave import CATEGORIES, HEADER

SIZE = {'width': 64, 'height': 48}
RATE = 16_000
USED = ('Banjo', 'Bark', 'Cat', 'Church bell')  # categories of the whole films

# Category, video, start, end; by split.
WHOLE = {
    'train': [
        ('Banjo', 'banjoTrain1', 0, 10),
        ('Banjo', '-AbC_dEfGh1', 2, 7),
        ('Bark', 'barkTrain_1', 0, 10),
        ('Bark', 'bark#é (2).x', 3, 9),
        ('Cat', 'catTrain_-1', 0, 10),
        ('Church bell', 'bellTrain01', 0, 5),
    ],
    'val': [('Banjo', 'banjoVal_01', 1, 9), ('Bark', 'barkVal__01', 0, 10)],
    'test': [('Cat', '--testCat01', 0, 6), ('Church bell', 'bellTest_01', 4, 10)],
}
# One film with two lines in train, one with lines in train and in test.
TWICE, LEAKED = 'twoLines_01', 'twoSplits01'
DOUBLE = {
    'train': [('Banjo', TWICE, 0, 10), ('Ukulele', TWICE, 4, 10), ('Banjo', LEAKED, 0, 8)],
    'test': [('Mandolin', LEAKED, 0, 8)],
}
# Videos that are not whole, all in train, with the status each has to get.
SPOILED = {
    'cutOffHalf1': 'short',
    'sixSeconds1': 'short',
    'silentAll01': 'silent',
    'noSoundTrk1': 'silent',
    'noPicture01': 'broken',
    'headless001': 'broken',
    'emptyFile01': 'broken',
    'textFile001': 'broken',
    'folder_here': 'broken',
    'halfSecond1': 'broken',
    'missingFil1': 'missing',
}
# A phone held upright, 44.1 kHz stereo.
PHONE = 'phoneFilm01'


def lines(split: str) -> list[tuple[str, str, int, int]]:
    """Give what ``<split>Set.txt`` says: category, video, start and end."""
    extra = [('Bark', video, 0, 10) for video in (PHONE, *SPOILED)] if split == 'train' else []
    return WHOLE[split] + DOUBLE.get(split, []) + extra


def write_lists(folder: Path) -> None:
    """Write the text files as released: the annotations have a header, the splits have none."""
    texts = {split: _text(lines(split)) for split in ('train', 'val', 'test')}
    (folder / 'Annotations.txt').write_text(f'{HEADER}\n' + ''.join(texts.values()))
    for split, text in texts.items():
        (folder / f'{split}Set.txt').write_text(text)


def make_ave(folder: Path, spoiled: bool = True) -> None:
    """
    Write the dataset.

    :param folder: where Annotations.txt, the splits and AVE/ go; is made.
    :param spoiled: with the films that are not whole; else they are all missing.
    """
    (folder / 'AVE').mkdir(parents=True)
    write_lists(folder)
    for split, entries in WHOLE.items():
        for category, video, start, end in entries + DOUBLE.get(split, []):
            if not media(folder, video).exists():
                write_ave_film(media(folder, video), category, start, end)
    if spoiled:
        _write_spoiled(folder)


def media(folder: Path, video: str) -> Path:
    return folder / 'AVE' / f'{video}.mp4'


def write_ave_film(path: Path, category: str, start: int, end: int, **options) -> Path:
    """Write a film of ten seconds with an event; options as for ``write_film``."""
    options = {
        'seconds': 10,
        'frame_rate': 10,
        'rate': RATE,
        'channels': 1,
        'bframes': False,
        **SIZE,
        **options,
    }
    return write_film(
        path,
        draw=partial(_picture, category, start, end, options['frame_rate']),
        sound=partial(_sound, category, start, end),
        **options,
    )


def _text(entries: list[tuple[str, str, int, int]]) -> str:
    return ''.join(
        f'{category}&{video}&good&{start}&{end}\n' for category, video, start, end in entries
    )


def _picture(category, start, end, frame_rate, index, width, height):
    image = np.full((height, width, 3), 110, np.uint8)
    rng = np.random.default_rng(CATEGORIES.index(category))
    colour = rng.integers(0, 256, 3).astype(np.uint8)
    left, side = index % (width // 2), height // 2
    if start <= index / frame_rate < end:
        image[height // 4 : height // 4 + side, left : left + side] = colour
    return image


def _sound(category, start, end, seconds, rate, channels):
    time = np.arange(round(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * 220 * 2 ** (CATEGORIES.index(category) / 6) * time)
    event = (time >= start) & (time < end)
    hiss = np.random.default_rng(0).normal(0, 0.003, (len(time), channels))
    return np.round(8000 * ((tone * event)[:, None] + hiss)).astype(np.int16)


def _write_spoiled(folder: Path) -> None:
    def film(name, **options):
        return write_ave_film(media(folder, name), 'Bark', 0, 10, **options)

    film(PHONE, rate=44_100, channels=2, rotation=90, frame_rate=30, audio_offset=0.04)
    film('sixSeconds1', seconds=6)
    film('halfSecond1', seconds=0.5)
    film('noSoundTrk1', audio=False)
    film('noPicture01', video=False)
    write_film(
        media(folder, 'silentAll01'),
        seconds=10,
        frame_rate=10,
        rate=RATE,
        channels=1,
        bframes=False,
        sound=lambda seconds, rate, channels: np.zeros(
            (round(seconds * rate), channels), np.int16
        ),
        **SIZE,
    )
    whole = film('cutOffHalf1').read_bytes()
    media(folder, 'cutOffHalf1').write_bytes(whole[: len(whole) * 6 // 10])
    media(folder, 'headless001').write_bytes(whole[:200])
    media(folder, 'emptyFile01').write_bytes(b'')
    media(folder, 'textFile001').write_text('<html>This video is unavailable.</html>\n')
    media(folder, 'folder_here').mkdir()
