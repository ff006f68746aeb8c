"""From the path of a film to where its sound comes from, in one call and without ROS."""

import logging
from collections.abc import Iterator
from pathlib import Path

from avsol_ros.config import DEFAULT_MODEL, NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.inference.localizer import Localizer
from avsol_ros.localization import Localization
from avsol_ros.offline.film_source import FilmSource
from avsol_ros.offline.localization_run import counted_from, cut_windows
from avsol_ros.streams.intake import Intake, window_config

_log = logging.getLogger(__name__)


def localize_film(
    path: str | Path,
    model: str | Path | Localizer = DEFAULT_MODEL,
    hop: float = 1.0,
    device: str = 'auto',
    engine: str = 'auto',
) -> Iterator[Localization]:
    """
    Find which object in view makes the sound, for each window of one second of a film.

    The first window begins at the first frame. Windows and numbers are those of ``avsol play``
    into the live node, with a ``--start-time`` at which a window of the node begins there too.
    The film is read as the results are asked for, so it may be longer than memory.

    :param path: media file with video and sound.
    :param model: name of a shipped model, path of a checkpoint, or a ``Localizer`` that is
        already loaded, with a device and an engine of its own.
    :param hop: seconds between the starts of two windows, 0.02 to 1.
    :param device: ``auto``, ``cpu`` or ``cuda``; auto takes a GPU where there is one.
    :param engine: ``auto``, ``torch``, ``torch-half`` or ``openvino``.
    :returns: a generator of one ``Localization`` for each window, in order. Times count from the
        film's first frame, and boxes are in pixels of the upright frame.
    :raises AvsolError: at the call, for a file that is missing or lacks video or sound, a model
        that is not there, and wrong settings; at the end, for a film that breaks off or has no
        whole second of both video and sound. All windows before the break come first.
    """
    film = FilmSource(path, window_config(hop, frames=1).hop_ns)
    localizer = model if isinstance(model, Localizer) else Localizer.load(model, device, engine)
    intake = Intake(window_config(hop, localizer.frames), _log.warning)
    return _localizations(film, localizer, intake)


def _localizations(
    film: FilmSource, localizer: Localizer, intake: Intake
) -> Iterator[Localization]:
    localizer.reset()
    for window in cut_windows(film.messages(), intake):
        yield counted_from(film.origin_ns, localizer(window))
    if film.problems:
        raise AvsolError(film.problems[0])
    if not intake.stats.windows_cut:
        raise AvsolError(no_window(film))


def no_window(film: FilmSource) -> str:
    """Why nothing came of a film, in a line."""
    seconds = film.info.duration_ns / NANOSECONDS
    return (
        f'{film.info.path} lasts {seconds:.2f} s and has no window of one second with both video '
        'and sound; give a longer film'
    )
