"""What tests of scores and of their report share."""

import pytest
from annotated_films import write_annotated_films


@pytest.fixture(scope='session')
def prepared(tmp_path_factory):
    """A prepared folder with two films in its test split, and their annotations."""
    folder = tmp_path_factory.mktemp('scored')
    write_annotated_films(folder)
    return folder
