"""Reading VGG-SS, and what a centre prior scores on it."""

import json
from pathlib import Path

import numpy as np
import pytest

from avsol_ros.errors import AvsolError
from avsol_ros.training.datasets.vggss import SIZE, VggssSample, read_non_sounding, read_vggss
from avsol_ros.training.metrics import peak_in_box
from avsol_ros.training.metrics.deaf_maps import centre_prior
from avsol_ros.training.metrics.peer_accumulators import ConsensusIoU

SHARED = Path(__file__).resolve().parents[4] / 'shared' / 'data' / 'vggss'
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason='no VGG-SS annotations beside')

ENTRIES = [
    {'file': 'abc_000010', 'class': 'dog barking', 'bbox': [[0.25, 0.5, 0.75, 1.01]]},
    {
        'file': 'a-c_000020',
        'class': 'playing cello',
        'bbox': [[-0.02, 0, 0.1, 0.1], [0.05, 0.05, 0.2, 0.2]],
    },
]


@pytest.fixture
def annotations(tmp_path):
    path = tmp_path / 'vggss.json'
    path.write_text(json.dumps(ENTRIES))
    return path


def test_reads_samples_and_lays_boxes_on_pixels(annotations):
    first, second = read_vggss(annotations)
    assert first == VggssSample('abc_000010', 'dog barking', ((0.25, 0.5, 0.75, 1.01),))
    expected = np.zeros((SIZE, SIZE), bool)
    expected[112:224, 56:168] = True
    np.testing.assert_array_equal(first.mask(), expected)
    # 0.1, 0.05 and 0.2 of 224 are 22.4, 11.2 and 44.8: all cut off.
    expected[:] = False
    expected[:22, :22] = expected[11:44, 11:44] = True
    np.testing.assert_array_equal(second.mask(), expected)
    assert second.mask(10).sum() == 1 + 4 - 1


@pytest.mark.parametrize(
    'content, message',
    [
        ('{', 'cannot be read'),
        ('{}', 'holds no list of samples'),
        ('[]', 'holds no list of samples'),
        ('[{"file": "a", "class": "b"}]', 'sample 0 .*expected file, class and bbox'),
        ('[7]', 'sample 0 is 7; expected'),
        ('[{"file": "a", "class": "b", "bbox": []}]', 'expected at least one'),
        ('[{"file": "a", "class": "b", "bbox": [[0, 1, 2]]}]', 'four finite numbers'),
        ('[{"file": "a", "class": "b", "bbox": [[0, 1, 2, NaN]]}]', 'four finite numbers'),
    ],
)
def test_broken_annotations_are_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / 'vggss.json'
    path.write_text(content)
    with pytest.raises(AvsolError, match=message) as error:
        read_vggss(path)
    assert '\n' not in str(error.value)


def test_missing_files_are_named(tmp_path):
    for read in (read_vggss, read_non_sounding):
        with pytest.raises(AvsolError, match=r'none\.x cannot be read'):
            read(tmp_path / 'none.x')


def test_reads_pairs_that_do_not_sound(tmp_path):
    path = tmp_path / 'pairs.csv'
    path.write_text('video,audio,label\na_000001,b_000002,non-sounding\nc_0,c_0,sounding\n')
    assert read_non_sounding(path) == [('a_000001', 'b_000002')]
    path.write_text('video,label\na,b\n')
    with pytest.raises(AvsolError, match='no pairs under video, audio and label'):
        read_non_sounding(path)


@needs_shared
def test_a_centre_prior_scores_what_it_is_known_to_score():
    samples = read_vggss(SHARED / 'vggss.json')
    assert (len(samples), len({s.category for s in samples})) == (5158, 221)
    axis = np.arange(SIZE) - 111.5
    heatmap, metric = -np.hypot(axis[:, None], axis).astype(np.float32), ConsensusIoU()
    centres, first = np.zeros((2, 2)), 0
    for sample in samples:
        mask = sample.mask()
        metric.update(heatmap, mask)
        centres += mask[111:113, 111:113]
        first += peak_in_box(heatmap, mask)
    scores = {key: round(100 * float(value), 1) for key, value in metric.compute().items()}
    assert (scores['ciou@0.5'], scores['auc']) == (34.0, 37.4)
    # Four pixels are equally near to the centre. 69.5 % is known for the upper right one; the
    # first in row order, which counts here, has 69.4 %.
    np.testing.assert_array_equal(
        (100 * centres / len(samples)).round(1), [[69.4, 69.5], [69.3, 69.4]]
    )
    assert first == centres[0, 0]


@needs_shared
def test_our_centre_prior_is_that_centre_prior():
    axis = np.arange(SIZE) - 111.5
    one = np.unique(centre_prior(SIZE), return_inverse=True)[1]
    other = np.unique(-np.hypot(axis[:, None], axis).astype(np.float32), return_inverse=True)[1]
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.999999


@needs_shared
def test_pairs_that_do_not_sound_are_of_two_samples_or_of_a_clip_without_boxes():
    files = {sample.file for sample in read_vggss(SHARED / 'vggss.json')}
    pairs = read_non_sounding(SHARED / 'vggss_test_plus_silent.csv')
    clips = [picture for picture, sound in pairs if picture == sound]
    assert (len(pairs), len(clips)) == (5158, 379)
    assert files.isdisjoint(clips)
    assert {name for pair in pairs if pair[0] != pair[1] for name in pair} <= files
