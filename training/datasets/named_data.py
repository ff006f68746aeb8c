"""What ``--data`` may name: a preset of synthetic scenes, or a folder of prepared clips."""

import difflib
from pathlib import Path

from avsol_ros.errors import AvsolError
from avsol_ros.training.synthetic.material_lists import find_material, read_lists
from avsol_ros.training.synthetic.preset_names import PRESET_NAMES, REAL

#: The file that ``avsol prepare`` writes into its folder.
MANIFEST = 'manifest.json'


def check_material(data: str | Path, material: str | Path | None, option: str = '--data') -> None:
    """
    Raise AvsolError for real scenes without a folder that is whole, and for others with one.

    :param data: what ``option`` names.
    """
    if str(data) == REAL:
        read_lists(find_material(material))
    elif material is not None:
        raise AvsolError(
            f'--material goes with {option} {REAL}, and {option} is {str(data)!r}; leave it out'
        )


def check_annotated(folder: str | Path, annotations: str | Path | None) -> None:
    """Raise AvsolError where a folder that ``avsol prepare`` has written is to be scored alone."""
    if annotations is None:
        raise AvsolError(
            f'{folder} needs --annotations: AVE itself has no boxes; give a file or '
            'folder that avsol annotations check accepts'
        )


def check_data(data: str | Path, more: str = '') -> None:
    """
    Raise AvsolError unless data is a preset or a folder that ``avsol prepare`` has written.

    Nothing heavy is imported for it, and no clip is read.

    :param more: what else is expected there, for the message.
    """
    if str(data) in PRESET_NAMES:
        return
    folder = Path(data).expanduser()
    expected = (
        f'expected {", ".join(PRESET_NAMES)} or a folder that avsol prepare has written{more}'
    )
    if not folder.is_dir():
        near = difflib.get_close_matches(str(data), PRESET_NAMES, n=1)
        raise AvsolError(
            f'--data is {str(data)!r}; {expected}' + (f'; did you mean {near[0]}?' if near else '')
        )
    if not (folder / MANIFEST).is_file():
        raise AvsolError(f'--data is {str(data)!r}, a folder without {MANIFEST}; {expected}')
