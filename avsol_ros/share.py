"""Where the files of config/ are, from the sources and once installed."""

import site
import sys
from collections.abc import Iterator
from pathlib import Path

from avsol_ros.errors import AvsolError

PACKAGE = 'avsol_ros'


def share_folder(start: Path | None = None) -> Path:
    """
    Find the folder that holds config/.

    From a source tree it is the repository, from an installation the share folder of the ROS
    package or, where there is none, of the Python distribution.
    """
    source = (start or Path(__file__).resolve()).parent.parent
    candidates = [source, *_installed()]
    for folder in candidates:
        if (folder / 'config' / 'fastdds.xml').is_file():
            return folder
    raise AvsolError(
        f'config/fastdds.xml is neither beside the sources in {source} nor in the share '
        f'folder of {PACKAGE}; install the package, or source its setup file'
    )


def _installed() -> Iterator[Path]:
    try:
        from ament_index_python.packages import get_package_share_directory

        yield Path(get_package_share_directory(PACKAGE))
    except (ImportError, LookupError, OSError):  # OSError: no environment of ROS is sourced
        pass
    for prefix in (sys.prefix, site.getuserbase()):  # where pip puts data files
        yield Path(prefix) / 'share' / PACKAGE
