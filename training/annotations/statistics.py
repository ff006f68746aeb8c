"""How many frames of which kind there are, in the form of the paper's Table 1."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from avsol_ros.training.annotations.film_windows import FilmWindows
from avsol_ros.training.annotations.model import Annotation


@dataclass(frozen=True)
class Statistics:
    """
    Numbers of videos and frames.

    :param audible_and_visible: of the ``audible`` frames, those that also show a silent object;
        the paper leaves open in which row they belong.
    """

    videos: int
    single: int
    multiple: int
    visible: int
    audible: int
    noise: int
    audible_and_visible: int

    @property
    def ave(self) -> int:
        return self.single + self.multiple

    @property
    def non_ave(self) -> int:
        return self.visible + self.audible + self.noise

    @property
    def frames(self) -> int:
        return self.ave + self.non_ave

    def as_dict(self) -> dict:
        """Return plain values for JSON."""
        return {
            'videos': self.videos,
            'frames': self.frames,
            'ave': {'single': self.single, 'multiple': self.multiple, 'total': self.ave},
            'non_ave': {
                'visible': self.visible,
                'audible': self.audible,
                'noise': self.noise,
                'total': self.non_ave,
            },
            'audible_and_visible': self.audible_and_visible,
        }


def count_frames(annotations: Iterable[Annotation | FilmWindows]) -> Statistics:
    """Count the frames of all videos by kind; of a sparse annotation there is one a window."""
    kinds, videos, both = Counter(), 0, 0
    for annotation in annotations:
        videos += 1
        for frame in annotation.frames:
            kind = frame.kind
            kinds[kind] += 1
            both += kind == 'audible' and bool(frame.silent)
    names = ('single', 'multiple', 'visible', 'audible', 'noise')
    return Statistics(videos, *(kinds[name] for name in names), both)


def format_statistics(statistics: Statistics) -> str:
    """Return Table 1 as text, for a terminal."""
    s = statistics
    rows = [
        ('AVE', 'single object', s.single),
        ('', 'multiple objects', s.multiple),
        ('', 'total', s.ave),
        ('Non-AVE', 'visible', s.visible),
        ('', 'audible', s.audible),
        ('', 'neither (noise)', s.noise),
        ('', 'total', s.non_ave),
    ]
    lines = [f'{group:7}  {name:16}  {count:>9,}' for group, name, count in rows]
    lines.append(f'{s.frames:,} annotated frames of {s.videos:,} video{"s" * (s.videos != 1)}')
    if s.audible_and_visible:
        lines.append(f'{s.audible_and_visible:,} of the audible frames also show a silent object')
    return '\n'.join(lines)
