"""
Scores of maps that somebody has made by other means than ``avsol evaluate``, on annotated films.

For experiments: a map for each window goes in, and out comes the row that ``avsol evaluate``
prints.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from avsol_ros.errors import AvsolError
from avsol_ros.localization import upsample
from avsol_ros.offline.localization_run import shown_size
from avsol_ros.training.annotations.film_windows import FilmWindows, window_id
from avsol_ros.training.annotations.sparse_files import read_film_windows
from avsol_ros.training.evaluation.presence import presence_area
from avsol_ros.training.evaluation.report_tables import OF_FILMS, format_table
from avsol_ros.training.evaluation.samples import Truth
from avsol_ros.training.evaluation.tally import Tally, summarize


def film_truths(films: Iterable[FilmWindows]) -> dict[str, Truth]:
    """What is known of each window, by its id (``window_id``), film by film and start by start."""
    return {
        window_id(film.video, window.start): Truth(
            window_id(film.video, window.start),
            number,
            window.start,
            (window.frame,),
            (film.width, film.height),
        )
        for number, film in enumerate(films)
        for window in sorted(film.windows, key=lambda one: one.start_ns)
    }


def score_maps(
    maps: Mapping[str, np.ndarray],
    annotations: str | Path,
    presence: Mapping[str, float] | None = None,
    name: str = 'maps',
    show: bool = True,
) -> dict[str, float]:
    """
    Score a map for each window of a sparse annotation.

    :param maps: id of a window, such as ``dog@4`` for ``dog.mp4`` from 4 s on -> (h, w) float, of
        any size and finite; stretched bilinearly to at most 224 pixels on the longer side.
    :param annotations: a sparse annotation.
    :param presence: id -> how sure it is that something in view sounds, such as AVC; without it
        the peak of the map is taken.
    :param name: of the row.
    :param show: print the row with its counts.
    :returns: as ``summarize``, and ``presence_auc``.
    :raises AvsolError: for an unknown id, and where ``presence`` lacks one. Windows without a map
        are left out.
    """
    truths = film_truths(read_film_windows(annotations))
    unknown = next((key for key in maps if key not in truths), None)
    if unknown is not None or not maps:
        raise AvsolError(
            f'the maps are of {unknown or "no window"}; expected ids such as {next(iter(truths))}'
        )
    unsure = next((key for key in maps if presence is not None and key not in presence), None)
    if unsure is not None:
        raise AvsolError(f'presence has no value for {unsure}; expected one for each map')
    known = {index: truth for index, (key, truth) in enumerate(truths.items()) if key in maps}
    tally = Tally()
    for index, truth in known.items():
        width, height = truth.size
        heat = upsample(maps[truth.name], *shown_size((round(height), round(width))))
        tally.add(index, heat, truth)
    sure = {
        index: float(np.max(maps[truth.name])) if presence is None else presence[truth.name]
        for index, truth in known.items()
    }
    area, counted = presence_area(sure, known)
    row = {
        'kind': 'model',
        'model': name,
        **summarize(tally.table(), known),
        'presence_auc': area,
        'windows/presence_auc': counted,
        'windows': len(known),
    }
    if show:
        print(format_table([row], OF_FILMS))
    return row
