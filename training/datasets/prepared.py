"""
A prepared AVE folder, as ``avsol prepare`` leaves it: clips, what became of each film, the lists.

The folder stands for itself: ``clips/<VideoID>.clip``, copies of the dataset's text files,
and ``manifest.json``, which has an ``Outcome`` for every film.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from avsol_ros.errors import AvsolError
from avsol_ros.files import write_text
from avsol_ros.streams.windows import AudioVisualWindow
from avsol_ros.training.datasets.ave import Annotation, read_ave
from avsol_ros.training.datasets.named_data import MANIFEST
from avsol_ros.training.datasets.prepared_clip import Clip

FORMAT = 'avsol_ros prepared 1'
# ok: all ten seconds; short: fewer; silent: no sound at all, so that labels of what is heard are
# wrong; missing: no file; broken: nothing can be read from it.
STATUSES = ('ok', 'short', 'silent', 'missing', 'broken')
USABLE = ('ok', 'short')


@dataclass(frozen=True)
class Outcome:
    """
    What became of a film.

    :param status: one of STATUSES.
    :param reason: one line, empty when all is well.
    :param seconds: of which a window can be cut.
    :param source: size in bytes and modification time in nanoseconds of the film; None without.
    :param settings: with which it was prepared, as text.
    :param clip_bytes: size of the clip file, 0 without.
    """

    status: str
    reason: str = ''
    seconds: tuple[int, ...] = ()
    source: tuple[int, int] | None = None
    settings: str = ''
    clip_bytes: int = 0


def clip_path(folder: Path, video: str) -> Path:
    return folder / 'clips' / f'{video}.clip'


def read_manifest(folder: Path) -> dict[str, Outcome]:
    """Outcomes by video; none where there is no manifest yet."""
    path = folder / MANIFEST
    try:
        data = json.loads(path.read_text(encoding='utf-8'))
        if data['format'] != FORMAT:
            raise ValueError(f'format {data["format"]!r}')
        return {
            video: Outcome(
                **{
                    **values,
                    'seconds': tuple(values['seconds']),
                    'source': values['source'] and tuple(values['source']),
                }
            )
            for video, values in data['videos'].items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AvsolError(
            f'{path} is no manifest of this version ({error}); remove it and run '
            'avsol prepare again'
        ) from None


def write_manifest(folder: Path, outcomes: Mapping[str, Outcome]) -> None:
    counts = Counter(outcome.status for outcome in outcomes.values())
    # A line for each film, for people and for grep.
    videos = ',\n'.join(
        f'  {json.dumps(video)}: {json.dumps(asdict(outcomes[video]))}'
        for video in sorted(outcomes)
    )
    text = (
        f'{{"format": {json.dumps(FORMAT)},\n'
        f' "counts": {json.dumps({status: counts[status] for status in STATUSES})},\n'
        f' "videos": {{\n{videos}\n }}\n}}\n'
    )
    write_text(folder / MANIFEST, text)


@dataclass(frozen=True, eq=False)
class Entry:
    """
    One annotated line of which there is a clip.

    :param labels: (10, C) uint8: what happens in each second of the film, by all its lines.
    :param seconds: of which a window can be cut.
    """

    annotation: Annotation
    labels: np.ndarray
    seconds: tuple[int, ...]
    path: Path


class PreparedAve:
    """
    A split of a prepared AVE folder.

    :param folder: what ``avsol prepare`` wrote.
    :param split: train, val or test.
    :param clean: without films that a later split has as well (``AveDataset.split``).

    ``categories`` are the dataset's, in the order of class indices. ``entries`` are the lines
    that can be used; ``left_out`` counts the others by the status of their film.
    """

    def __init__(self, folder: str | Path, split: str, clean: bool = True):
        self.folder = Path(folder).expanduser()
        self.name = split
        if not (self.folder / MANIFEST).is_file():
            raise AvsolError(
                f'{self.folder} has no {MANIFEST}; expected a folder that avsol '
                'prepare has written'
            )
        self.outcomes = read_manifest(self.folder)
        ave = read_ave(self.folder)
        self.categories = ave.categories
        lines = ave.split(split, clean)
        statuses = [
            self.outcomes[line.video].status if line.video in self.outcomes else 'not prepared'
            for line in lines
        ]
        self.left_out = Counter(status for status in statuses if status not in USABLE)
        self._last = None, None
        self.entries = tuple(
            Entry(
                line,
                ave.labels(line.video),
                self.outcomes[line.video].seconds,
                clip_path(self.folder, line.video),
            )
            for line, status in zip(lines, statuses)
            if status in USABLE
        )
        if not self.entries:
            counts = ', '.join(f'{n} {status}' for status, n in self.left_out.items())
            counts = counts or f'{split}Set.txt has no lines'
            raise AvsolError(
                f'{self.folder} has no usable film of the split {split} ({counts}); '
                'run avsol prepare with a dataset that has some'
            )

    @cached_property
    def segments(self) -> np.ndarray:
        """
        Every second of which there is a window, once.

        A film with two lines in this split counts once, with its first entry: its windows and
        labels are the same for both.

        :return: (n, 2) int64: index in ``entries``, second.
        """
        first = {}
        for index, entry in enumerate(self.entries):
            first.setdefault(entry.annotation.video, index)
        pairs = [
            (index, second) for index in first.values() for second in self.entries[index].seconds
        ]
        return np.array(pairs, np.int64).reshape(-1, 2)

    @cached_property
    def segment_labels(self) -> np.ndarray:
        """(n, C) uint8: categories seen and heard in each of the segments; none: background."""
        labels = np.array(
            [self.entries[index].labels[second] for index, second in self.segments], np.uint8
        )
        return labels.reshape(-1, len(self.categories))

    def clip(self, entry: int) -> Clip:
        return Clip.open(self.entries[entry].path)

    def window(self, segment: int, frames: int) -> AudioVisualWindow:
        """Read the window of a segment; neighbours share the clip that has been read last."""
        index, second = (int(value) for value in self.segments[segment])
        if self._last[0] != index:
            self._last = index, self.clip(index)
        window = self._last[1].window(second, frames)
        if window is None:
            raise AvsolError(
                f'{self.entries[index].path} has no window at {second} s, unlike '
                f'{MANIFEST} says; run avsol prepare again'
            )
        return window
