"""Open media files; say in one line why one cannot be read or written."""

from pathlib import Path

import av

from avsol_ros.errors import AvsolError

# FFmpeg takes nearly any text file for a terminal recording, and a picture for a film.
_NOT_MEDIA_FORMATS = ('tty', 'bin', 'txd', 'image2')


def open_media(path: Path):
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
    return AvsolError(
        f'{path} is no media file, or is truncated ({why}); give a whole file with '
        'video and sound, such as an MP4'
    )


def reason(error: BaseException) -> str:
    return getattr(error, 'strerror', None) or str(error) or type(error).__name__
