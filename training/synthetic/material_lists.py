"""
The two lists of a folder of real pictures and recordings: what is in it, and what that serves.

``manifest.csv`` names every file with its category, its kind and whether it is extra;
``split.csv`` says which split a file serves. Nothing but lists is read here, so a wrong folder is
refused before anything heavy is imported.
"""

import csv
import os
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from avsol_ros.errors import AvsolError
from avsol_ros.training.synthetic.category_names import display_name

MANIFEST, SPLIT = 'manifest.csv', 'split.csv'
#: Environment variable that names the folder where no option does.
VARIABLE = 'AVSOL_MATERIAL'
#: Pictures of one thing are cut out (with alpha) or whole photographs of it.
KINDS = ('sound', 'ambience', 'cutout', 'photo', 'background')
SPLITS = ('train', 'val', 'test')
_NO_THING = ('ambience', 'background')  # kinds whose category no thing in view has
_EXTRA = {'yes': True, 'no': False, '': False}


@dataclass(frozen=True, eq=False)
class MaterialLists:
    """
    Files by what they serve.

    :param files: (split, kind) -> display name of a category -> paths within the folder, in the
        order of ``split.csv``.
    :param categories: display names of what training has both pictures and sounds of, sorted.
    """

    folder: Path
    files: dict[tuple[str, str], dict[str, list[str]]]
    categories: tuple[str, ...]

    def having(self, split: str, *kinds: str) -> list[str]:
        """Categories of which a split has something of each kind."""
        return [c for c in self.categories if all(self.files[split, k].get(c) for k in kinds)]


def find_material(folder: str | Path | None = None) -> Path:
    """
    Find the folder of real pictures and recordings.

    :param folder: None to take what ``$AVSOL_MATERIAL`` names.
    :returns: an absolute path.
    :raises AvsolError: where none is named, or it is no such folder.
    """
    named = folder or os.environ.get(VARIABLE)
    if not named:
        raise AvsolError(
            'real scenes need a folder of pictures and recordings, and none is named; give it '
            f'with --material, or set ${VARIABLE} (docs/real.md tells how to make one)'
        )
    what = '--material' if folder else f'${VARIABLE}'
    path = Path(named).expanduser()
    expected = f'expected a folder with {MANIFEST} and {SPLIT} (see docs/real.md)'
    if not path.is_dir():
        raise AvsolError(f'{what} is {str(named)!r}, which is no folder; {expected}')
    for name in (MANIFEST, SPLIT):
        if not (path / name).is_file():
            raise AvsolError(f'{what} is {str(named)!r}, a folder without {name}; {expected}')
    return path.resolve()


def read_lists(folder: Path, extra: bool = False) -> MaterialLists:
    """
    Read and check both lists of a folder.

    :param extra: whether files that the manifest marks ``extra`` are taken too.
    :raises AvsolError: for a list, column, file, kind or split that is missing or unknown, and
        where no category, or no background, can be trained on.
    """
    manifest, split = folder / MANIFEST, folder / SPLIT
    taken: dict[str, dict[str, str]] = {}
    for place, row in _rows(manifest, ('file', 'category', 'kind', 'extra')):
        _check(row['kind'], KINDS, place, 'kind')
        _check(row['extra'], _EXTRA, place, 'extra')
        taken[row['file']] = row
    files: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(dict)
    serves: dict[str, str] = {}
    for place, row in _rows(split, ('file', 'split')):
        name = row['file']
        _check(row['split'], SPLITS, place, 'split')
        if name not in taken:
            raise AvsolError(f'{place}: {name!r} is not in {MANIFEST}; add it there')
        if serves.setdefault(name, row['split']) != row['split']:
            raise AvsolError(
                f'{place}: {name!r} is in {serves[name]} and in {row["split"]}; expected one '
                'split for each file'
            )
        about = taken[name]
        if _EXTRA[about['extra']] and not extra:
            continue
        if not _lies_in(folder, name):
            raise AvsolError(f'{place}: there is no file {name!r} in {folder}; expected it there')
        category = about['category']
        if about['kind'] not in _NO_THING:
            category = display_name(category)
        found = files[row['split'], about['kind']].setdefault(category, [])
        if name not in found:
            found.append(name)
    seen = files['train', 'cutout'].keys() | files['train', 'photo'].keys()
    categories = tuple(sorted(seen & files['train', 'sound'].keys()))
    if not categories:
        raise AvsolError(
            f'{folder} has no category with both a picture and a sound in the split train; '
            f'expected at least one in {MANIFEST} and {SPLIT}'
        )
    return MaterialLists(folder, files, categories)


def check_split(lists: MaterialLists, split: str) -> None:
    """Raise AvsolError where a split lacks what no scene can be without."""
    _check(split, SPLITS, 'real scenes', 'split')
    if not lists.having(split, 'cutout', 'sound'):
        raise AvsolError(
            f'{lists.folder} has no category with both a cut-out and a sound in the split '
            f'{split}; expected at least one in {MANIFEST} and {SPLIT}'
        )
    if not lists.files[split, 'background']:
        raise AvsolError(
            f'{lists.folder} has no background in the split {split}; expected at least one in '
            f'{MANIFEST} and {SPLIT}'
        )


def _check(value: str, known: Collection[str], place: str, column: str) -> None:
    if value not in known:
        names = ', '.join(name for name in known if name)
        raise AvsolError(f'{place}: {column} is {value!r}; expected one of {names}')


def _lies_in(folder: Path, name: str) -> bool:
    """Whether a name is of a file in the folder; one that leads out of it is refused too."""
    relative = Path(name)
    return (
        not relative.is_absolute() and '..' not in relative.parts and (folder / relative).is_file()
    )


def _rows(path: Path, columns: tuple[str, ...]):
    """Each line of a list with where it is; spaces around values do not count."""
    try:
        with path.open(newline='', encoding='utf-8-sig') as file:
            reader = csv.DictReader(file)
            if lacking := [name for name in columns if name not in (reader.fieldnames or ())]:
                raise AvsolError(
                    f'{path} has no column {lacking[0]}; expected {", ".join(columns)} in its '
                    'first line'
                )
            for row in reader:
                place = f'{path}, line {reader.line_num}'
                yield place, {name: (row[name] or '').strip() for name in columns}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AvsolError(
            f'cannot read {path} ({error}); expected a list as comma-separated values in UTF-8'
        ) from None
