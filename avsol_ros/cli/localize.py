"""``avsol localize``: which object in view makes the sound, in films, without ROS."""

import argparse
import math
import sys
from contextlib import nullcontext

from avsol_ros.cli.arguments import ArgumentParser, a_path
from avsol_ros.config import DEFAULT_MODEL, DEFAULT_MODEL_KNOWS, HOP_RANGE_S
from avsol_ros.errors import AvsolError, printable
from avsol_ros.exit_status import ExitStatus
from avsol_ros.files import AtomicPath, CannotWrite, required_folder
from avsol_ros.locks import claim_folder
from avsol_ros.models.model_names import find_checkpoint
from avsol_ros.nodes.parameters import LOCALIZER
from avsol_ros.offline.file_names import FILM_FILES
from avsol_ros.offline.find_films import (
    INDEX,
    FilmPlan,
    plan_films,
    refuse_missing,
    refuse_overwriting,
)
from avsol_ros.progress import Progress
from avsol_ros.stopping import Stopping, on_interrupt

# The live node's parameters, of which some mean the same here.
_PARAMETERS = {parameter.name: parameter for parameter in LOCALIZER}


def main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    find_checkpoint(arguments.model)
    plan = plan_films(arguments.films, arguments.out)
    refuse_missing(plan)
    root = plan.index_folder
    if root is None and plan.jobs:  # a folder that cannot be made is refused at once
        with required_folder(plan.jobs[0].folder):
            pass
    with (
        Stopping() as stopping,
        Progress() as progress,
        nullcontext() if root is None or not plan.jobs else claim_folder(root),
    ):
        return _FilmRun(arguments, plan, stopping, progress).run()


def _hop(text: str) -> float:
    least, most = HOP_RANGE_S
    try:
        hop = float(text)
    except ValueError:
        hop = math.nan
    if not least <= hop <= most:
        raise argparse.ArgumentTypeError(f'{text!r}; expected {least:g} to {most:g} seconds')
    return hop


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(
        prog='avsol localize',
        description='Find which object in view makes the sound, in films. No ROS is needed. The '
        'windows and the numbers are the same as those of avsol play and the live localizer. For '
        'each film this writes overlay.mp4 (the film with its sound, and what was found), '
        'sheet.png (a contact sheet) and localizations.jsonl (one window a line), and prints a '
        'table of what sounds when. For a folder, or for several films, it also writes '
        'index.html, one page with all sheets.',
        epilog='Exit status: 0 when all films were read to their ends, 3 when some were not, '
        '1 when none could be read, 130 after Ctrl-C. Ctrl-C writes what was found so far.',
    )
    parser.add_argument(
        'films',
        nargs='+',
        metavar='FILM',
        help='a film with sound, or a folder with films (folders inside it are skipped)',
    )
    parser.add_argument(
        '--out',
        type=a_path,
        metavar='DIR',
        help='folder for the results; several films get one folder each inside it (default: '
        'out/localize/NAME, with the name of the film, or NAME-2 where the results of another '
        'film are)',
    )
    parser.add_argument(
        '--json',
        action='store_true',
        help='print each window as one line of JSON, as soon as it is localized, instead of the '
        'table',
    )
    parser.add_argument(
        '--model',
        default=DEFAULT_MODEL,
        help='name of a shipped model, or path of a checkpoint (default: %(default)s)',
    )
    parser.add_argument(
        '--hop',
        type=_hop,
        default=1.0,
        metavar='SECONDS',
        help='time between the starts of two windows, {:g} to {:g}; each window is one second '
        'long (default: 1)'.format(*HOP_RANGE_S),
    )
    parser.add_argument(
        '--device',
        choices=_PARAMETERS['device'].choices,
        default='auto',
        help='where the model runs; auto takes a GPU if there is one (default: auto)',
    )
    parser.add_argument(
        '--engine',
        choices=_PARAMETERS['engine'].choices,
        default='auto',
        help='what computes large models: torch (float32), torch-half or openvino, both in half '
        'precision; auto takes the fastest that is installed (default: auto)',
    )
    return parser


class _FilmRun:
    """One call of the command."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        plan: FilmPlan,
        stopping: Stopping,
        progress: Progress,
    ):
        self._arguments = arguments
        self._plan = plan
        self._stopping = stopping
        self._progress = progress
        self._films = []
        self._failed = list(plan.refused)
        self._reader_gone = False

    def run(self) -> int:
        """Localize one film after the other; the exit status."""
        arguments, plan, stopping = self._arguments, self._plan, self._stopping
        refuse_overwriting(plan.jobs, FILM_FILES)
        for line in [*plan.skipped, *plan.renamed]:
            _tell(line)
        for line in plan.refused:
            _tell(f'error: {line}')
        if not plan.jobs:
            return self._status()
        from avsol_ros.offline.film_files import write_localized_film

        localizer = self._load()
        for job in plan.jobs:
            if stopping.is_set():
                break

            def show(share: float, windows: int, name: str = job.film.name) -> None:
                self._progress.share(name, share, f'{windows} windows')

            try:
                with on_interrupt(f'stopped at once; nothing of {job.film.name} is kept'):
                    film = write_localized_film(
                        job.film,
                        job.folder,
                        localizer,
                        arguments.hop,
                        on_line=self._print_line if arguments.json else lambda line: None,
                        on_progress=show,
                        stopping=stopping,
                    )
            except CannotWrite:  # nor could the other films
                raise
            except AvsolError as error:
                self._failed.append(str(error))
                self._progress.close()
                _tell(f'error: {error}')
                continue
            self._progress.close()
            if film.windows:
                self._films.append(film)
            self._report(film)
        if self._films and arguments.model == DEFAULT_MODEL:
            _tell(f'{DEFAULT_MODEL} {DEFAULT_MODEL_KNOWS}')
        if plan.index_folder is not None and self._films:
            self._write_index(str(localizer))
        if self._reader_gone:
            raise BrokenPipeError
        return self._status()

    def _load(self):
        from avsol_ros.inference.localizer import Localizer

        arguments = self._arguments
        with self._stopping.at_once():
            return Localizer.load(arguments.model, arguments.device, arguments.engine)

    def _print_line(self, line: str) -> None:
        try:
            self._progress.say(line)
        except BrokenPipeError:  # the reader has gone: write what was found until now, and end
            self._reader_gone = True
            self._stopping.set()

    def _report(self, film) -> None:
        """Print what was found in a film and where it is written."""
        from avsol_ros.offline.span_table import format_spans

        if not self._arguments.json and film.windows:
            print(
                f'{printable(str(film.info.path))}: {film.windows} windows, '
                f'{film.speed:.1f} times as fast as it plays\n'
            )
            print(format_spans(film.spans, film.more_spans), end='\n\n', flush=True)
        for line in film.problems:
            _tell(line)
        for path in film.files:
            print(printable(str(path)), file=sys.stderr)

    def _write_index(self, where: str) -> None:
        from avsol_ros.offline.film_index import index_page

        folder = self._plan.index_folder
        path = folder / INDEX
        with AtomicPath(path) as part, open(part, 'w', encoding='utf-8') as page:
            page.writelines(
                index_page(
                    self._films,
                    self._failed,
                    folder,
                    f'Sounding objects: {folder.resolve().name}',
                    f'{self._arguments.model} on {where}',
                )
            )
        print(path, file=sys.stderr)

    def _status(self) -> ExitStatus:
        if self._stopping.is_set():
            _tell(
                'stopped; what was found until then is written'
                if self._films
                else 'stopped before the first window; nothing is written'
            )
            return ExitStatus.INTERRUPTED
        if not self._films:
            return ExitStatus.FAILED
        incomplete = self._failed or any(film.problems for film in self._films)
        return ExitStatus.PARTLY if incomplete else ExitStatus.OK


def _tell(line: str) -> None:
    print(f'avsol localize: {printable(line)}', file=sys.stderr, flush=True)
