"""Read a JSON file of any origin."""

import json
from pathlib import Path

from avsol_ros.errors import AvsolError


def read_json(path: Path):
    """
    Return the plain values of a file.

    :raises AvsolError: if it cannot be read, or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except OSError as error:
        raise AvsolError(f'cannot read {path}: {error.strerror}') from None
    except (ValueError, RecursionError) as error:
        raise AvsolError(f'{path} is no JSON: {error}') from None
