"""zstd, with which ROS compresses messages and files; damaged data is read up to the damage."""

import sys
from pathlib import Path

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd  # what rosbags needs and brings

# Small pieces: of a piece with damage in it everything is lost, also what comes before.
_BLOCK = 1 << 14


def zstd_decompress(data: bytes | memoryview, most: int) -> bytes:
    """
    Decompress one piece of memory.

    Of data that is cut off, the beginning is returned.

    :param most: number of bytes to expect; at most one more is returned.
    :raises ValueError: if the data is damaged.
    """
    try:
        return zstd.ZstdDecompressor().decompress(data, most + 1)
    except zstd.ZstdError as error:
        raise ValueError(str(error)) from error


def decompress_message(data: bytes | memoryview) -> bytes:
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
    with source.open('rb') as compressed, destination.open('wb') as out:
        decompressor = zstd.ZstdDecompressor()
        begun = False
        while data := compressed.read(_BLOCK):
            while data:
                if decompressor.eof:  # frames may follow one another
                    decompressor, begun = zstd.ZstdDecompressor(), False
                try:
                    out.write(decompressor.decompress(data))
                except zstd.ZstdError as error:
                    return ' '.join(str(error).split())
                begun = True
                data = decompressor.unused_data
        return 'it is cut off' if begun and not decompressor.eof else ''
