"""A film through the localizer, and what was found as files: overlay film, sheet, JSON lines."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.inference.localizer import Localizer
from avsol_ros.locks import claim_folder
from avsol_ros.media.film_reader import MediaInfo
from avsol_ros.offline.film_source import FilmSource
from avsol_ros.offline.find_films import refuse_other_results
from avsol_ros.offline.localization_run import LocalizationRun
from avsol_ros.offline.localize_film import no_window
from avsol_ros.offline.result_pictures import Film
from avsol_ros.offline.run_files import RunFiles
from avsol_ros.offline.timeline import Timeline
from avsol_ros.stopping import Stopped, Stopping
from avsol_ros.streams.audio_reader import AudioReader
from avsol_ros.streams.intake import Intake, window_config


@dataclass(frozen=True, eq=False)
class LocalizedFilm:
    """
    What was found in a film, and where it is written.

    :param spans: what was found when, as ``Span.as_dict`` gives it.
    :param more_spans: how many there are that are not among ``spans``.
    :param speed: seconds of film for each second that it took.
    :param problems: what could not be read or written, one line each.
    :param interrupted: whether it was stopped before the end of the film.
    :param files: paths of what was written; none without a window.
    """

    info: MediaInfo
    folder: Path
    windows: int
    spans: list[dict]
    more_spans: int
    speed: float
    problems: list[str] = field(default_factory=list)
    interrupted: bool = False
    files: list[Path] = field(default_factory=list)


def write_localized_film(
    path: Path,
    folder: Path,
    localizer: Localizer,
    hop: float = 1.0,
    *,
    on_line: Callable[[str], None] = lambda line: None,
    on_progress: Callable[[float, int], None] = lambda share, windows: None,
    stopping: Stopping | None = None,
) -> LocalizedFilm:
    """
    Localize a film and write what was found into a folder: all of it at the end, or nothing.

    :param hop: seconds between the starts of two windows, 0.02 to 1.
    :param on_line: given each window as JSON, as soon as it is localized.
    :param on_progress: told the share of the film that is done, 0 to 1, and the windows so far.
    :param stopping: a request to stop, which is looked for at every message. What was found until
        then is written.
    :raises AvsolError: for a film that cannot be read or has no window, where nothing can be
        written, where another process writes into the folder, and where that holds the results of
        another film.
    """
    with claim_folder(folder):
        refuse_other_results(folder, path)  # a run may have left them since the folder was chosen
        return _write_localized(
            path, folder, localizer, hop, on_line, on_progress, stopping or Stopping()
        )


def _write_localized(
    path: Path,
    folder: Path,
    localizer: Localizer,
    hop: float,
    on_line: Callable[[str], None],
    on_progress: Callable[[float, int], None],
    stopping: Stopping,
) -> LocalizedFilm:
    config = window_config(hop, localizer.frames)
    film = FilmSource(path, config.hop_ns)
    refused: list[str] = []
    intake = Intake(config, refused.append)
    began = time.monotonic()
    interrupted = False

    def make_overlay(place: Path) -> Film:
        return Film(place, AudioReader(lambda error: None), film.origin_ns)

    with RunFiles(
        folder, 0, path.name, Timeline(config.hop_ns), make_overlay, {'film': str(path.absolute())}
    ) as files:

        def watch(kind: str, log_ns: int, msg: Any) -> None:
            stopping.check()
            if files.film is not None:
                files.film.add_message(kind, log_ns, msg)
            on_progress(min(log_ns / max(film.info.duration_ns, 1), 1.0), files.windows)

        run = LocalizationRun(
            film.messages(), localizer, intake, watch=watch, origin_ns=film.origin_ns
        )
        files.add_sheet(film.info.duration_ns // config.hop_ns + 1)
        try:
            for one in run:
                on_line(files.add_localized(one))
        except Stopped:
            interrupted = True
        problems = [*film.problems, *refused, *run.problems]
        if not files.windows and not interrupted:
            raise AvsolError(problems[0] if problems else no_window(film))
        kept, wrong = files.finish()
    took_s = max(time.monotonic() - began, 1e-9)
    return LocalizedFilm(
        film.info,
        folder,
        files.windows,
        [span.as_dict(0) for span in files.timeline.spans],
        files.timeline.more,
        run.log_ns / NANOSECONDS / took_s,
        problems + wrong,
        interrupted,
        [Path(name) for name in kept],
    )
