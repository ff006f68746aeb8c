"""
Samples from films with a sparse annotation: exactly the annotated windows.

Windows are those of ``avsol localize``: the film's reader and the window cutter of the live node,
counted from the first frame. A sound that begins a few hundredths of a second after the pictures
gets silence before it, as ``avsol prepare`` gives it, for else the first window of many films
could not be scored.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.offline.film_source import FilmSource
from avsol_ros.offline.localization_run import cut_windows, shown_size
from avsol_ros.progress import OnCount, count_nothing
from avsol_ros.streams.intake import Intake, window_config
from avsol_ros.streams.windows import AudioVisualWindow
from avsol_ros.training.annotations.film_windows import (
    FilmWindows,
    WindowTruth,
    share_film_categories,
    window_id,
)
from avsol_ros.training.annotations.sparse_files import read_film_windows
from avsol_ros.training.annotations.windows_list import check_film
from avsol_ros.training.datasets.prepared_clip import EDGE_NS
from avsol_ros.training.evaluation.samples import RECORDING_GAP_NS, Sample, Samples, Source, Truth
from avsol_ros.training.evaluation.wording import counted

_OPEN_FILMS = 2  # a window may hold 60 MB of pictures, and windows come film by film
#: Folder beside an annotation in which films are looked for, too.
MEDIA = 'media'


@dataclass(frozen=True, eq=False)
class _Place:
    """An annotated window of a film; ``recording`` counts the films."""

    recording: int
    film: FilmWindows
    path: Path
    window: WindowTruth

    @property
    def name(self) -> str:
        return window_id(self.film.video, self.window.start)


class FilmWindowsSource(Source):
    """
    The annotated windows of films.

    :param annotations: a sparse annotation, file or folder.
    :param folder: of the films; None: that of the annotation, or ``media/`` in it.
    :param windows: how many at most, of films drawn by ``seed``; None for all.
    :raises AvsolError: for a wrong annotation, and for a film that is missing or not as annotated.
    """

    recordings = True
    of_films = True

    def __init__(
        self,
        annotations: str | Path,
        folder: str | Path | None = None,
        windows: int | None = None,
        seed: int = 0,
    ):
        films = share_film_categories(read_film_windows(annotations))
        if not films:
            raise AvsolError(f'{annotations} annotates no film; expected at least one')
        self.categories = films[0].categories
        self._sounds: dict[str, np.ndarray] = {}
        paths = [check_film(film, _media_folder(annotations, folder, film)) for film in films]
        every = [
            _Place(number, film, path, one)
            for number, (film, path) in enumerate(zip(films, paths))
            for one in sorted(film.windows, key=lambda window: window.start_ns)
        ]
        self.places, chosen = every, ''
        if windows is not None and windows < len(every):
            self.places = _draw(every, windows, np.random.default_rng(seed))
            chosen = f' of {len(every)}, films drawn with seed {seed}'
        self.about = {
            'Data': 'windows of films, one annotated frame each',
            'Annotations': Path(annotations).name,
            'Windows': f'{len(self.places)}{chosen}, from '
            f'{counted(len({place.recording for place in self.places}), "film")}',
        }

    def samples(self, frames: int, size: int, progress: OnCount = count_nothing) -> Samples:
        return _FilmSamples(self.places, frames, self._sounds)

    def scored_size(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """At most 224 pixels on the longer side: boxes drawn by hand are not finer."""
        return shown_size(image_size)

    def partners(self, count: int, seed: int) -> np.ndarray:
        """
        For each window the one whose sound it gets in the test with swapped sound.

        :returns: (n,) int64; see ``pair_other_kinds``.
        """
        return pair_other_kinds(
            [place.film for place in self.places],
            [place.window.frame.is_ave for place in self.places],
            seed,
        )


def pair_other_kinds(
    films: Sequence[FilmWindows], sounding: Sequence[bool], seed: int
) -> np.ndarray:
    """
    Give windows in which something in view sounds the sound of another film of another kind.

    Another kind: the annotations of the two films have no category in common. The sound, too, is
    of a window in which something in view sounds, so that it is known of what it is.

    :param films: (n,) the film of each window.
    :param sounding: (n,) whether something in view sounds.
    :returns: (n,) int64, index of the other window; -1 of a window without: nothing in view sounds
        in it, or all others are of its kind. A function of its arguments alone.
    """
    rng = np.random.default_rng(seed)
    partners = np.full(len(films), -1, np.int64)
    candidates = np.flatnonzero(sounding)
    kinds = [film.present for film in films]
    for index in candidates:
        others = [
            k
            for k in candidates
            if films[k].video != films[index].video and not kinds[k] & kinds[index]
        ]
        if others:
            partners[index] = others[int(rng.integers(len(others)))]
    return partners


def _media_folder(annotations: str | Path, folder: str | Path | None, film: FilmWindows) -> Path:
    if folder is not None:
        return Path(folder)
    path = Path(annotations)
    beside = path if path.is_dir() else path.parent
    return beside if (beside / film.video).exists() else beside / MEDIA


def _draw(places: list[_Place], count: int, rng: np.random.Generator) -> list[_Place]:
    """Whole films, drawn at random, until there are enough windows; in their old order."""
    by_film: dict[int, list[_Place]] = defaultdict(list)
    for place in places:
        by_film[place.recording].append(place)
    films = list(by_film.values())
    drawn = [place for index in rng.permutation(len(films)) for place in films[index]][:count]
    chosen = set(map(id, drawn))
    return [place for place in places if id(place) in chosen]


class _FilmSamples:
    """Windows cut from films, at given places."""

    def __init__(self, places: Sequence[_Place], frames: int, sounds: dict[str, np.ndarray]):
        self._places, self._frames, self._sounds = places, frames, sounds
        self._film = lru_cache(_OPEN_FILMS)(self._cut)

    def __len__(self) -> int:
        return len(self._places)

    def name(self, index: int) -> str:
        return self._places[index].name

    def sound(self, index: int) -> np.ndarray:
        place = self._places[index]
        if place.name not in self._sounds:
            self._window(place)
        return self._sounds[place.name]

    def __getitem__(self, index: int) -> Sample:
        place = self._places[index]
        window = self._window(place)
        film, truth = place.film, place.window
        shift = place.recording * RECORDING_GAP_NS
        window = replace(
            window,
            start_ns=window.start_ns + shift,
            end_ns=window.end_ns + shift,
            frame_stamps_ns=tuple(t + shift for t in window.frame_stamps_ns),
        )
        size = film.width, film.height
        return Sample(
            window, Truth(place.name, place.recording, truth.start, (truth.frame,), size)
        )

    def _window(self, place: _Place) -> AudioVisualWindow:
        """The window, its times counted from the first frame."""
        phase_ns = place.window.start_ns % NANOSECONDS
        window = self._film(place.recording, phase_ns).get(place.window.start_ns)
        if window is None:
            raise AvsolError(
                f'{place.path} has no window from {place.window.start:g} s on: pictures or sound '
                'are missing there; remove it from the annotation'
            )
        return window

    def _cut(self, recording: int, phase_ns: int) -> dict[int, AudioVisualWindow]:
        """Read a film up to its last annotated window that begins so much after a second."""
        places = {
            place.window.start_ns: place
            for place in self._places
            if place.recording == recording and place.window.start_ns % NANOSECONDS == phase_ns
        }
        film = FilmSource(next(iter(places.values())).path, NANOSECONDS, phase_ns, EDGE_NS)
        intake = Intake(window_config(1.0, self._frames), lambda _: None)
        found = {}
        for window in cut_windows(film.messages(), intake):
            start_ns = window.start_ns - film.origin_ns
            place = places.get(start_ns)
            if place is not None:
                self._sounds[place.name] = window.audio
                found[start_ns] = replace(
                    window,
                    start_ns=start_ns,
                    end_ns=window.end_ns - film.origin_ns,
                    frame_stamps_ns=tuple(t - film.origin_ns for t in window.frame_stamps_ns),
                )
            if start_ns >= max(places):
                break
        return found
