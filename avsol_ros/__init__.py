"""
Which object in view is making the sound: audio-visual sounding object localization.

From Python, without ROS::

    from avsol_ros import localize_film

    for found in localize_film('clip.mp4'):
        print(found.start_ns, found.avc, found.boxes)

The names below are imported when they are first used, so that ``import avsol_ros`` is fast and
needs neither PyTorch nor OpenCV.
"""

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avsol_ros.inference.localizer import Localizer
    from avsol_ros.localization import Localization
    from avsol_ros.offline.localize_film import localize_film

# The installed package also holds what is generated or mapped there (avsol_ros.msg,
# avsol_ros.training). When Python runs from the repository root, this source folder comes
# first on sys.path and would hide them; joining the search paths shows both.
__path__ = pkgutil.extend_path(__path__, __name__)

__version__ = '0.1.0'

__all__ = ['Localization', 'Localizer', '__version__', 'localize_film']

_MODULES = {
    'Localization': 'avsol_ros.localization',
    'Localizer': 'avsol_ros.inference.localizer',
    'localize_film': 'avsol_ros.offline.localize_film',
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
