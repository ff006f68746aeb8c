"""Labels of a film by seconds, as AVE's lists have them; bags made of the film keep them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from avsol_ros.training.annotations.bag_keys import LABELS_KEY
from avsol_ros.training.datasets.ave import SPLITS, read_ave

# Category, first second, and the second after the last.
Event = tuple[str, int, int]


@dataclass(frozen=True)
class FilmLabels:
    """
    What is known of a film.

    :param categories: all of its dataset, in the order of class indices.
    :param events: what sounds in view, and when.
    :param split: train, val or test.
    """

    categories: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    split: str = SPLITS[-1]

    def as_dict(self) -> dict:
        """Return plain values for JSON."""
        return asdict(self)


def labels_of_bag(custom: Mapping[str, str]) -> FilmLabels:
    """
    Read the labels that a bag keeps.

    :param custom: custom data of the bag.
    :returns: no labels where there are none that can be read.
    """
    try:
        found = json.loads(custom.get(LABELS_KEY, '{}'))
        return FilmLabels(
            [str(name) for name in found['categories']],
            [(str(name), int(start), int(end)) for name, start, end in found['events']],
            found['split'] if found['split'] in SPLITS else SPLITS[-1],
        )
    except (ValueError, KeyError, TypeError):
        return FilmLabels()


def labels_of_dataset(folder: Path) -> dict[str, FilmLabels]:
    """
    Read the lists of a folder in AVE's layout.

    :returns: labels by name of the film.
    :raises AvsolError: if the lists are damaged.
    """
    ave = read_ave(folder)
    split_of = {line.video: split for split in SPLITS for line in ave.lines[split]}
    labels: dict[str, FilmLabels] = {}
    for line in ave.annotations:
        found = labels.setdefault(
            line.video,
            FilmLabels(list(ave.categories), [], split_of.get(line.video, SPLITS[0])),
        )
        found.events.append((line.category, line.start, line.end))
    return labels
