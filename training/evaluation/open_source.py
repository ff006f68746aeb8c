"""What ``avsol evaluate --data`` names, as a source of samples."""

from pathlib import Path

from avsol_ros.errors import AvsolError
from avsol_ros.training.annotations.sparse_files import ALSO_FILMS, names_films
from avsol_ros.training.datasets.named_data import check_annotated, check_data, check_material
from avsol_ros.training.evaluation.film_samples import FilmWindowsSource
from avsol_ros.training.evaluation.prepared_samples import PreparedSource
from avsol_ros.training.evaluation.rendered_samples import SyntheticSource
from avsol_ros.training.evaluation.samples import Source
from avsol_ros.training.synthetic.preset_names import PRESET_NAMES


def open_source(
    data: str = 'clean',
    annotations: str | Path | None = None,
    split: str | None = None,
    windows: int | None = None,
    seed: int = 0,
    material: str | Path | None = None,
) -> Source:
    """
    Open what is to be scored on.

    :param data: a preset of synthetic scenes, a prepared folder, or films: a sparse annotation
        with its films beside it, or the folder of the films, with the annotation in
        ``annotations``.
    :param split: train, val or test (by default), of scenes and of prepared folders.
    :param windows: None: 500 synthetic ones, all of a folder.
    :param material: folder of real scenes; None: that of ``$AVSOL_MATERIAL``.
    """
    check_material(data, material)
    if data in PRESET_NAMES:
        if annotations is not None:
            raise AvsolError(
                f'--annotations goes with --data FOLDER; {data!r} are synthetic '
                'scenes, whose truth is known'
            )
        return SyntheticSource(data, split or 'test', windows or 500, seed, material)
    of_films = names_films(data, annotations)
    if of_films and split is not None:
        raise AvsolError(
            f'--split is {split!r}, and films with annotated windows have none; leave it out'
        )
    if of_films and Path(data).is_file():
        if annotations is not None:
            raise AvsolError(
                f'--data {data} is a file, so --annotations {annotations} is one too many; give '
                'the folder of the films as --data'
            )
        return FilmWindowsSource(data, None, windows, seed)
    if of_films and annotations is not None:
        return FilmWindowsSource(annotations, data, windows, seed)
    check_data(data, ALSO_FILMS)
    check_annotated(data, annotations)
    return PreparedSource(data, annotations, split or 'test', windows, seed)
