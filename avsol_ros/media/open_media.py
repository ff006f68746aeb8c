"""Open media files; say in one line why one cannot be read or written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer

from avsol_ros.errors import AvsolError

# FFmpeg takes nearly any text file for a terminal recording, and a picture for a film.
_NOT_MEDIA_FORMATS = ('tty', 'bin', 'txd', 'image2')


@contextmanager
def reading(path: Path) -> Iterator[InputContainer]:
    """Open a media file for the block; raise one AvsolError for what cannot be read of it."""
    with open_media(path) as container:
        try:
            yield container
        except (av.error.FFmpegError, OSError) as error:
            raise AvsolError(
                f'{path} cannot be read ({reason(error)}): it is truncated or damaged; copy it '
                'again or give another file'
            ) from None


def open_media(path: Path) -> InputContainer:
    """
    Open a media file for reading.

    :raises AvsolError: for a file that is missing or empty, may not be read, or is no media file.
    """
    if not path.exists():
        raise AvsolError(f'{path} does not exist; give a media file')
    if path.is_dir():
        raise AvsolError(f'{path} is a folder; give a media file')
    if path.stat().st_size == 0:
        raise AvsolError(f'{path} is empty; give a media file with video and sound')
    try:
        container = av.open(str(path))
    except PermissionError:
        raise AvsolError(f'{path} may not be read; change its permissions') from None
    except (av.error.FFmpegError, OSError) as error:
        raise not_media(path, reason(error)) from None
    name = container.format.name
    if name in _NOT_MEDIA_FORMATS or name.endswith('_pipe'):
        container.close()
        raise not_media(path, 'it is text or a picture')
    return container


def not_media(path: Path, why: str) -> AvsolError:
    """Return the error of a file that holds neither video nor sound."""
    return AvsolError(
        f'{path} is no media file, or is truncated ({why}); give a whole file with '
        'video and sound, such as an MP4'
    )


def reason(error: BaseException) -> str:
    """Say what an error of PyAV or of the system says, in few words."""
    return getattr(error, 'strerror', None) or str(error) or type(error).__name__
