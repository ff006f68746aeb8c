"""The classifier's map: the cells that the published network has, and rows where it is there."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from avsol_ros.errors import AvsolError
from avsol_ros.inference.square_frames import square_frames
from avsol_ros.models.efficientnet_lite import EfficientNetLite0
from avsol_ros.training.annotations.model import FrameTruth, ObjectTruth
from avsol_ros.training.evaluation import deaf_rows
from avsol_ros.training.evaluation.deaf_rows import DeafRows
from avsol_ros.training.evaluation.samples import Truth
from avsol_ros.training.metrics.confidence_map import ConfidenceMap


@pytest.fixture(scope='module')
def net():
    """The classifier with weights that nobody trained."""
    torch.manual_seed(2)
    return EfficientNetLite0().eval()


@pytest.fixture(scope='module')
def weights(net, tmp_path_factory):
    """A file of these weights, as they are published."""
    path = tmp_path_factory.mktemp('weights') / 'lite0.safetensors'
    save_file({key: value.contiguous() for key, value in net.state_dict().items()}, path)
    return path


def image(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_the_map_is_the_largest_logit_of_each_published_cell(net, weights):
    for picture in (image(60, 80), image(500, 900)):
        with torch.inference_mode():
            every = net.logits(net(square_frames([picture], 448)[None]))[0, :, 0]
        found = ConfidenceMap(weights)(picture)
        assert found.shape == (14, 14) and found.dtype == np.float32
        # Without the stride there are four times the cells, those in odd places the published.
        expected = every.numpy()[:, 1::2, 1::2].max(0)
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_weights_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv('AVSOL_WEIGHTS', str(tmp_path))
    with pytest.raises(AvsolError, match='run `avsol weights get efficientnet-lite0`'):
        ConfidenceMap()


def rows(size=(30, 40)):
    truth = Truth(
        'x', 0, 0.0, (FrameTruth(0.5, (ObjectTruth(0, 'a', (4, 4, 20, 20), True),)),), size[::-1]
    )
    deaf = DeafRows(0)
    deaf.add(0, [image(30, 40, seed) for seed in range(4)], size, truth)
    return deaf.rows({0: truth}, ('a',), True), deaf.notes


def test_rows_of_the_classifier_are_there_where_its_weights_are(weights, tmp_path, monkeypatch):
    monkeypatch.setenv('AVSOL_WEIGHTS', str(tmp_path))
    found, notes = rows()
    assert [row['model'] for row in found] == ['centre prior', 'random', 'motion']
    [note] = notes
    assert note.startswith('There are no rows of confidence and deaf: the efficientnet-lite0')
    assert '`avsol weights get efficientnet-lite0`' in note
    monkeypatch.setattr(deaf_rows, 'find_weights', lambda name: weights)
    found, notes = rows()
    names = ['centre prior', 'random', 'motion', 'confidence', 'deaf']
    assert [row['model'] for row in found] == names and not notes
    assert all(0 < row['hmbox_auc'] <= 1 for row in found)
    by_name = dict(zip(names, found))
    assert np.isnan(by_name['deaf']['pnsr']) and 'presence_auc' not in by_name['deaf']
