"""What ``avsol evaluate --data`` names, as a source of samples."""

from pathlib import Path

from avsol_ros.errors import AvsolError
from avsol_ros.training.datasets.named_data import check_data
from avsol_ros.training.evaluation.prepared_samples import PreparedSource
from avsol_ros.training.evaluation.rendered_samples import SyntheticSource
from avsol_ros.training.evaluation.samples import Source
from avsol_ros.training.synthetic.window_set import PRESETS


def open_source(
    data: str = 'clean',
    annotations: str | Path | None = None,
    split: str = 'test',
    windows: int | None = None,
    seed: int = 0,
) -> Source:
    """
    Open what is to be scored on.

    :param data: a preset of synthetic scenes, or a prepared folder.
    :param windows: None: 500 synthetic ones, all of a folder.
    """
    if data in PRESETS:
        if annotations is not None:
            raise AvsolError(
                f'--annotations goes with --data FOLDER; {data!r} are synthetic '
                'scenes, whose truth is known'
            )
        return SyntheticSource(data, split, windows or 500, seed)
    check_data(data)
    if annotations is None:
        raise AvsolError(
            f'{data} needs --annotations: AVE itself has no boxes; give a file or '
            'folder that avsol annotations check accepts'
        )
    return PreparedSource(data, annotations, split, windows, seed)
