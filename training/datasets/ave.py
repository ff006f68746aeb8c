"""
The AVE dataset (Tian et al., ECCV 2018) as it is distributed: annotations, splits, film names.

A folder holds ``AVE/<VideoID>.mp4``, films of ten seconds, ``Annotations.txt``, and
``trainSet.txt``, ``valSet.txt`` and ``testSet.txt``, which deal its lines out to the splits. A
line reads ``Category&VideoID&Quality&StartTime&EndTime``: in that film, an event of that category
is audible and visible in [StartTime, EndTime) seconds. A file may begin with that header.

One film may have several lines, of several categories (45 of the real ones have). A line is one
entry of the dataset; the film's labels come from all its lines, else one entry would teach that
the other's event is absent. The published split parts the lines of 18 such films, 8 between train
and test and 10 between train and val, so that a model would be tested on films it was trained on.
``AveDataset.split`` leaves those out of train unless told otherwise.

A dataset of the same layout may have other categories than AVE's 28: ``categories.txt`` names
them, one in a line, in the order of class indices.
"""

import difflib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from avsol_ros.errors import AvsolError

SECONDS = 10  # of every film, as many labels
# A film that occurs in several splits belongs to the last of them.
SPLITS = ('train', 'val', 'test')
ANNOTATIONS = 'Annotations.txt'
FILES = (ANNOTATIONS, *(f'{split}Set.txt' for split in SPLITS))
CATEGORY_LIST = 'categories.txt'
HEADER = 'Category&VideoID&Quality&StartTime&EndTime'
# Sorted; the place is the class index.
CATEGORIES = (
    'Accordion',
    'Acoustic guitar',
    'Baby cry, infant cry',
    'Banjo',
    'Bark',
    'Bus',
    'Cat',
    'Chainsaw',
    'Church bell',
    'Clock',
    'Female speech, woman speaking',
    'Fixed-wing aircraft, airplane',
    'Flute',
    'Frying (food)',
    'Goat',
    'Helicopter',
    'Horse',
    'Male speech, man speaking',
    'Mandolin',
    'Motorcycle',
    'Race car, auto racing',
    'Rodents, rats, mice',
    'Shofar',
    'Toilet flush',
    'Train horn',
    'Truck',
    'Ukulele',
    'Violin, fiddle',
)


@dataclass(frozen=True)
class Annotation:
    """
    One line, and one entry of the dataset; no two lines of a file are equal.

    :param category: one of the dataset's.
    :param video: name of the film without its suffix, a YouTube id.
    :param quality: as the annotators judged it; 'good' in all published lines.
    :param start: second in which the event begins.
    :param end: second before which it ends; equal to ``start`` (one published line) when there
        is no second of it.
    """

    category: str
    video: str
    quality: str
    start: int
    end: int


@dataclass(frozen=True)
class AveDataset:
    """
    :param folder: where the text files are.
    :param annotations: all lines, in their order.
    :param lines: for each of SPLITS its lines, in their order, as published.
    :param categories: in the order of class indices.
    """

    folder: Path
    annotations: tuple[Annotation, ...]
    lines: dict[str, tuple[Annotation, ...]]
    categories: tuple[str, ...] = CATEGORIES

    def media(self, video: str) -> Path:
        return self.folder / 'AVE' / f'{video}.mp4'

    @cached_property
    def videos(self) -> tuple[str, ...]:
        """Every film once, in the order of their first lines."""
        return tuple(self._by_video)

    @cached_property
    def _by_video(self) -> dict[str, list[Annotation]]:
        by_video = {}
        for annotation in self.annotations:
            by_video.setdefault(annotation.video, []).append(annotation)
        return by_video

    def labels(self, video: str) -> np.ndarray:
        """
        What happens in each second of a film, by all its lines; nothing in background seconds.

        :return: (10, C) uint8, 0 or 1.
        """
        labels = np.zeros((SECONDS, len(self.categories)), np.uint8)
        for line in self._by_video[video]:
            labels[line.start : line.end, self.categories.index(line.category)] = 1
        return labels

    @cached_property
    def shared(self) -> dict[str, tuple[str, ...]]:
        """Films whose lines are in more than one split, with the names of those splits."""
        where = {}
        for split in SPLITS:
            for line in self.lines[split]:
                where.setdefault(line.video, {})[split] = True
        return {video: tuple(splits) for video, splits in where.items() if len(splits) > 1}

    def split(self, name: str, clean: bool = True) -> tuple[Annotation, ...]:
        """
        Give the lines of a split.

        :param clean: without films that a later one of SPLITS has as well. False is the split as
            published, whose train overlaps with val and test.
        """
        if name not in SPLITS:
            raise AvsolError(f'there is no split {name!r}; expected one of {", ".join(SPLITS)}')
        lines = self.lines[name]
        if clean:
            lines = tuple(
                line for line in lines if self.shared.get(line.video, (name,))[-1] == name
            )
        return lines


def read_ave(folder: str | Path) -> AveDataset:
    """
    Read the text files of an AVE folder; the films may be missing.

    :param folder: the folder with ``Annotations.txt``, or the one above (``AVE_Dataset`` in it).
    """
    given = Path(folder).expanduser()
    folder = next((f for f in (given, given / 'AVE_Dataset') if (f / ANNOTATIONS).is_file()), None)
    if folder is None:
        raise AvsolError(
            f'{given} has no {ANNOTATIONS}; give the folder of the AVE dataset, with '
            f'{", ".join(FILES)} and the films in AVE/'
        )
    categories = read_categories(folder)
    places = _read(folder / ANNOTATIONS, categories)
    if not places:
        raise AvsolError(
            f'{folder / ANNOTATIONS} has no lines; expected some of the form {HEADER}'
        )
    taken = {}
    lines = {}
    for split in SPLITS:
        path = folder / f'{split}Set.txt'
        lines[split] = _read(path, categories)
        for annotation, number in lines[split].items():
            if annotation not in places:
                raise AvsolError(
                    f'{path}, line {number}: {annotation.category!r} in '
                    f'{annotation.video!r} is not a line of {ANNOTATIONS}; expected '
                    'files of one release, whose splits deal out its lines'
                )
            if annotation in taken:
                raise AvsolError(
                    f'{path}, line {number}: this line is in {taken[annotation]} as '
                    'well; expected each line in one split; remove it from the other'
                )
            taken[annotation] = f'{path.name}, line {number},'
        # Only who has categories of his own may not have films for every split.
        if not lines[split] and categories is CATEGORIES:
            raise AvsolError(f'{path} has no lines; expected some of the form {HEADER}')
    return AveDataset(
        folder, tuple(places), {split: tuple(lines[split]) for split in SPLITS}, categories
    )


def read_categories(folder: Path) -> tuple[str, ...]:
    """Give the categories of a dataset, or of a prepared folder: its own, else AVE's."""
    path = folder / CATEGORY_LIST
    try:
        text = path.read_text(encoding='utf-8-sig')
    except (FileNotFoundError, NotADirectoryError):
        return CATEGORIES
    except (OSError, UnicodeDecodeError) as error:
        raise AvsolError(
            f'cannot read {path} ({error}); expected text with a category in each line'
        ) from None
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not names or len(set(names)) < len(names) or any('&' in name for name in names):
        raise AvsolError(
            f'{path} names {len(names)} categories, {len(set(names))} different; '
            'expected at least one, each once and without "&"'
        )
    return names


def _read(path: Path, categories: tuple[str, ...]) -> dict[Annotation, int]:
    """Lines of a file, and the numbers they have in it."""
    try:
        text = path.read_text(encoding='utf-8-sig')
    except FileNotFoundError:
        raise AvsolError(f'{path} is missing; the AVE dataset has {", ".join(FILES)}') from None
    except (OSError, UnicodeDecodeError) as error:
        raise AvsolError(
            f'cannot read {path} ({error}); expected text with a line {HEADER} per event'
        ) from None
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or (not found and line == HEADER):
            continue
        try:
            annotation = _parse(line, categories)
        except ValueError as error:
            raise AvsolError(f'{path}, line {number}: {error}') from None
        if annotation in found:
            raise AvsolError(
                f'{path}, line {number}: the same as line {found[annotation]}; remove one of them'
            )
        found[annotation] = number
    return found


def _parse(line: str, categories: tuple[str, ...]) -> Annotation:
    fields = [field.strip() for field in line.split('&')]
    if len(fields) != 5:
        raise ValueError(
            f'{_short(line)} has {len(fields)} field(s) between "&"; expected the 5 of {HEADER}'
        )
    category, video, quality, start, end = fields
    if category not in categories:
        close = difflib.get_close_matches(category, categories, n=1)
        hint = f'did you mean {close[0]!r}?' if close else 'correct it or remove the line'
        whose = 'AVE' if categories is CATEGORIES else CATEGORY_LIST
        raise ValueError(
            f'category {_short(category)} is none of the {len(categories)} of {whose}; {hint}'
        )
    # It becomes a file name, here and where films are prepared: it must not lead elsewhere.
    if not video or video.startswith('.') or '/' in video or not video.isprintable():
        raise ValueError(
            f'video {_short(video)} cannot be the name of a film; expected a YouTube id'
        )
    times = [
        int(text) if text.isascii() and text.isdigit() and len(text) < 4 else -1
        for text in (start, end)
    ]
    if not 0 <= times[0] <= times[1] <= SECONDS:
        raise ValueError(
            f'the event lasts from {_short(start)} to {_short(end)}; expected whole '
            f'seconds, 0 to {SECONDS}, the start not after the end'
        )
    return Annotation(category, video, quality, *times)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + '…')
