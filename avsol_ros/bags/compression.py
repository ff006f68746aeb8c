"""zstd, as ROS compresses messages and files; what is damaged or cut is read as far as it goes."""

import sys
from pathlib import Path

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd  # what rosbags needs and brings

_BLOCK = 1 << 20


def zstd_decompress(data, most: int) -> bytes:
    """
    Decompress one piece of memory.

    Of data that is cut off comes what can be had.

    :param most: bytes to expect; at most one more comes.
    :raises ValueError: if the data is damaged.
    """
    try:
        return zstd.ZstdDecompressor().decompress(data, most + 1)
    except zstd.ZstdError as error:
        raise ValueError(str(error)) from error


def decompress_message(data) -> bytes:
    """
    Decompress one message.

    :raises ValueError: if it is damaged or cut.
    """
    try:
        return zstd.decompress(data)
    except zstd.ZstdError as error:
        raise ValueError(str(error)) from error


def decompress_file(source: Path, destination: Path) -> str:
    """
    Decompress a file; what comes before damage is kept.

    :returns: what is wrong with it; '' if nothing is.
    """
    with destination.open('wb') as out, zstd.open(source, 'rb') as compressed:
        while True:
            try:
                block = compressed.read(_BLOCK)
            except (zstd.ZstdError, EOFError) as error:
                return ' '.join(str(error).split())
            if not block:
                return ''
            out.write(block)
