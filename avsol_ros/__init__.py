"""Which object in view is making the sound: audio-visual sounding object localization."""

import pkgutil

# The installed package also holds what is generated or mapped there (avsol_ros.msg,
# avsol_ros.training). When Python runs from the repository root, this source folder comes
# first on sys.path and would hide them; joining the search paths shows both.
__path__ = pkgutil.extend_path(__path__, __name__)

__version__ = '0.1.0'
