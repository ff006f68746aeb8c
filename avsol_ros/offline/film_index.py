"""One page with the contact sheets of several films. It can be mailed: it needs no other file."""

import base64
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import printable
from avsol_ros.media.image_files import encode_jpeg
from avsol_ros.offline.file_names import SHEET
from avsol_ros.offline.film_files import LocalizedFilm
from avsol_ros.offline.span_table import MOST_SPANS, SPAN_COLUMNS, span_cells

_TEMPLATES = Path(__file__).parent / 'templates'
# Sheets are shown at this width in pixels, at most; the files themselves are larger.
_SHEET_WIDTH, _SHEET_QUALITY = 1600, 80
_FOUND_NAMES = 4  # of what was found, beside the name of a film


@dataclass(frozen=True, eq=False)
class _Entry:
    """
    A film as the page shows it.

    :param root: folder of the page.
    :param place: folder of the film, where its name alone does not tell which one it is.
    """

    film: LocalizedFilm
    root: Path
    place: str
    head = SPAN_COLUMNS

    @property
    def name(self) -> str:
        return printable(self.film.info.path.name)

    @property
    def found(self) -> str:
        names = list(dict.fromkeys(s['found'] for s in self.film.spans if s['found']))
        if not names:
            return 'nothing found'
        more = len(names) - _FOUND_NAMES
        return ', '.join(names[:_FOUND_NAMES]) + (f' and {more} more' if more > 0 else '')

    @property
    def about(self) -> str:
        info = self.film.info
        text = (
            f'{info.duration_ns / NANOSECONDS:.1f} s of {info.width} x {info.height} pixels, '
            f'{self.film.windows} windows'
        )
        return text + (', stopped before its end' if self.film.interrupted else '')

    @property
    def problems(self) -> list[str]:
        return list(map(printable, self.film.problems))

    @property
    def files(self) -> list[dict[str, str]]:
        return [{'name': path.name, 'link': self._link(path)} for path in self.film.files]

    @property
    def sheet_link(self) -> str:
        return self._link(self.film.folder / SHEET)

    @property
    def rows(self) -> list[tuple[str, ...]]:
        return [span_cells(span) for span in self.film.spans[:MOST_SPANS]]

    @property
    def more(self) -> int:
        return max(len(self.film.spans) - MOST_SPANS, 0) + self.film.more_spans

    def sheet(self) -> str:
        """The sheet as the address of a picture that is part of the page; '' without one."""
        try:
            data = np.frombuffer((self.film.folder / SHEET).read_bytes(), np.uint8)
        except OSError:
            return ''
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
        if image is None:
            return ''
        height, width = image.shape[:2]
        if width > _SHEET_WIDTH:
            size = _SHEET_WIDTH, round(height * _SHEET_WIDTH / width)
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        jpeg = encode_jpeg(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), _SHEET_QUALITY)
        return f'data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}'

    def _link(self, path: Path) -> str:
        return quote(os.fsencode(os.path.relpath(path, self.root)))


def index_page(
    films: Sequence[LocalizedFilm], failed: Sequence[str], root: Path, title: str, model: str
) -> Iterator[str]:
    """
    Give the page piece by piece: of all sheets only one is in memory at a time.

    :param films: in the order in which they are shown.
    :param failed: what could not be localized and why, one line each.
    :param root: folder of the page, from which its links lead to the films' files.
    :param model: name of the model, and where it ran.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    many = f'{len(films)} film{"" if len(films) == 1 else "s"}'
    yield from environment.get_template('film_index.html').generate(
        title=printable(title),
        summary=f'{many} localized by {printable(model)}'
        + (f'; {len(failed)} could not be' if failed else ''),
        failed=list(map(printable, failed)),
        films=[_Entry(film, root, place) for film, place in zip(films, _places(films))],
    )


def _places(films: Sequence[LocalizedFilm]) -> list[str]:
    """Folders of the films whose names others have too; '' for the rest."""
    count = Counter(film.info.path.name for film in films)
    return [
        printable(str(film.info.path.parent)) if count[film.info.path.name] > 1 else ''
        for film in films
    ]
