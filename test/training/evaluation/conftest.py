"""What tests of scores and of their report share."""

import pytest
from annotated_films import write_annotated_films
from windowed_films import write_windowed_films

from avsol_ros.training.annotations.sparse_files import write_film_windows
from avsol_ros.training.annotations.windows_list import import_windows_list


@pytest.fixture(scope='session')
def prepared(tmp_path_factory):
    """A prepared folder with two films in its test split, and their annotations."""
    folder = tmp_path_factory.mktemp('scored')
    write_annotated_films(folder)
    return folder


@pytest.fixture(scope='session')
def films(tmp_path_factory):
    """The annotation of windows of three films, which lie beside it in ``media/``."""
    folder = tmp_path_factory.mktemp('films')
    windows = import_windows_list(write_windowed_films(folder))
    return write_film_windows(folder / 'boxes.json', windows)
