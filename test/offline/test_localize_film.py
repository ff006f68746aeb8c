"""``localize_film``: the front door, from Python and without ROS."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from films import write_film
from scene_film import HEIGHT, SCHEDULE, SECONDS, WIDTH, make_scene, write_scene_film

import avsol_ros
from avsol_ros import Localization, Localizer, localize_film
from avsol_ros.config import BoxConfig
from avsol_ros.errors import AvsolError
from avsol_ros.localization import find_boxes
from avsol_ros.media.film_reader import MediaReader, VideoChunk
from avsol_ros.streams.windows import AudioVisualWindow

SECOND = 10**9
SOURCE = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def film(tmp_path_factory):
    return write_scene_film(tmp_path_factory.mktemp('films') / 'scene.mp4')


@pytest.fixture(scope='module')
def localizer():
    return Localizer.load(device='cpu', engine='torch')


def run(code, *arguments):
    return subprocess.run(
        [sys.executable, '-c', code, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=SOURCE,
    )


# The package itself.


def test_importing_the_package_loads_nothing_heavy():
    done = run(
        'import sys, avsol_ros; names = dir(avsol_ros); '
        'print(*({"torch", "numpy", "cv2", "av", "rclpy"} & set(sys.modules))); '
        'print(*names)'
    )
    loaded, names = done.stdout.splitlines()
    assert loaded == ''
    assert {'Localization', 'Localizer', 'localize_film', '__version__'} <= set(names.split())


def test_a_localization_needs_no_pytorch():
    done = run('import sys; from avsol_ros import Localization; sys.exit("torch" in sys.modules)')
    assert done.returncode == 0, done.stderr


def test_names_are_those_of_their_modules():
    for name in avsol_ros.__all__:
        assert getattr(avsol_ros, name) is getattr(avsol_ros, name)
    with pytest.raises(AttributeError, match="no attribute 'localise_film'"):
        _ = avsol_ros.localise_film
    with pytest.raises(ImportError):
        from avsol_ros import nothing_of_this_name  # noqa: F401


def test_it_runs_without_ros_and_without_what_trains(film):
    done = run(
        """
import sys
class Block:
    def find_spec(self, name, *_):
        if name.partition('.')[0] in ('rclpy', 'rosbags', 'lightning', 'sklearn'):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Block())
from avsol_ros import localize_film
print(len(list(localize_film(sys.argv[1], device='cpu'))))
assert not any(name.startswith('avsol_ros.training') for name in sys.modules)
""",
        film,
    )
    assert done.stdout.split() == [str(SECONDS)], done.stderr


# What it finds.


def windows_by_hand(film, hop_ns):
    """Windows of a film of 16 kHz, mono, cut from what is in it; times from its first frame."""
    with MediaReader(film) as reader:
        chunks = list(reader)
    frames = [c for c in chunks if isinstance(c, VideoChunk)]
    sound = np.concatenate([c.samples[:, 0] for c in chunks if not isinstance(c, VideoChunk)])
    sound = sound / np.float32(32768)
    for start in range(0, (SECONDS - 1) * SECOND + 1, hop_ns):
        inside = [f for f in frames if start <= f.time_ns < start + SECOND]
        wanted = [start + (2 * i + 1) * SECOND / 16 for i in range(8)]
        chosen = [min(inside, key=lambda f, at=at: abs(f.time_ns - at)) for at in wanted]
        first = start * 16 // 10**6
        yield AudioVisualWindow(
            start,
            start + SECOND,
            tuple(f.image for f in chosen),
            tuple(f.time_ns for f in chosen),
            sound[first : first + 16_000].astype(np.float32),
            0,
        )


@pytest.mark.parametrize('hop', [1.0, 0.25])
def test_windows_are_those_cut_by_hand(film, localizer, hop):
    localizer.reset()
    expected = [localizer(window) for window in windows_by_hand(film, round(hop * SECOND))]
    found = list(localize_film(film, localizer, hop))
    assert len(found) == len(expected) == (SECONDS - 1) / hop + 1
    for one, wanted in zip(found, expected, strict=True):
        assert isinstance(one, Localization)
        assert (one.start_ns, one.end_ns, one.stamp_ns) == (
            wanted.start_ns,
            wanted.end_ns,
            wanted.stamp_ns,
        )
        assert one.avc == wanted.avc
        np.testing.assert_array_equal(one.heatmap, wanted.heatmap)
        np.testing.assert_array_equal(one.class_scores, wanted.class_scores)


@pytest.mark.parametrize('rotation', [None, 90])
def test_boxes_are_where_the_sound_is_in_the_upright_frame(rotation, tmp_path):
    scene = make_scene()
    film = write_scene_film(tmp_path / 'scene.mp4', rotation=rotation, scene=scene)
    width, height = (HEIGHT, WIDTH) if rotation else (WIDTH, HEIGHT)
    hits = 0
    for second, found in enumerate(localize_film(film, device='cpu')):
        assert found.image_size == (height, width)
        assert found.heatmap_at(height, width).shape == (height, width)
        assert len(found.class_scores) == len(found.class_names) > 0
        truth = [o for o in scene.truth(second + 0.5, width, height) if o.sounding]
        assert len(truth) == len(SCHEDULE[second])
        for box in found.boxes:
            assert 0 <= box.x0 < box.x1 <= width and 0 <= box.y0 < box.y1 <= height
            assert 0.5 <= box.score <= 1 and 0 <= box.class_score <= 1
            x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
            hits += any(
                o.box[0] <= x < o.box[2]
                and o.box[1] <= y < o.box[3]
                and o.category == box.class_name
                for o in truth
            )
    assert hits >= 2


def test_boxes_are_found_by_the_same_function_as_live(film):
    for found in localize_film(film, device='cpu'):
        assert list(found.boxes) == find_boxes(found) == find_boxes(found, BoxConfig())
        assert found.boxes is found.boxes


def test_times_count_from_the_first_frame(tmp_path):
    late = [Fraction(n, 25) + Fraction(3, 10) for n in range(67)]
    film = write_scene_film(tmp_path / 'late.mp4', frame_times=late)
    for hop, expected in ((1.0, 2), (0.5, 4), (0.3, 6)):
        starts = [found.start_ns for found in localize_film(film, hop=hop, device='cpu')]
        assert starts == [round(hop * SECOND) * k for k in range(expected)]
    assert all(found.end_ns == found.start_ns + SECOND for found in localize_film(film))


def test_a_model_may_be_a_name_a_file_or_a_localizer(film, localizer):
    path = SOURCE / 'avsol_ros/checkpoints/compact.safetensors'
    first = [next(localize_film(film, model)) for model in ('compact', path, localizer)]
    assert len({one.avc for one in first}) == 1


def test_a_film_is_read_as_its_results_are_asked_for(tmp_path, localizer):
    """A broken end does not matter to whoever looks at the beginning only."""
    film = write_film(tmp_path / 'long.mp4', seconds=6.0, kind='matroska')
    film.write_bytes(film.read_bytes()[: film.stat().st_size * 2 // 3])
    results = localize_film(film, localizer)
    assert next(results).start_ns == 0
    results.close()


# What cannot be used.


def test_a_film_that_breaks_off_gives_what_there_is_and_then_says_so(tmp_path, localizer):
    film = write_film(tmp_path / 'long.mp4', seconds=6.0, kind='matroska')
    film.write_bytes(film.read_bytes()[: film.stat().st_size * 2 // 3])
    found = []
    with pytest.raises(AvsolError, match=r'long.mp4 breaks off at [34]\.\d+ s of 6\.\d+ s'):
        for one in localize_film(film, localizer):
            found.append(one.start_ns)
    assert found in ([0, SECOND, 2 * SECOND], [0, SECOND, 2 * SECOND, 3 * SECOND])


@pytest.mark.parametrize(
    'options, words',
    [
        ({'video': False}, 'no video'),
        ({'audio': False}, 'no sound'),
        ({'seconds': 0.5}, 'no window of one second'),
        ({'seconds': 2.0, 'audio_offset': 1.5}, 'no window of one second'),
    ],
)
def test_films_without_anything_to_localize(tmp_path, localizer, options, words):
    film = write_film(tmp_path / 'film.mp4', **{'seconds': 2.0, **options})
    with pytest.raises(AvsolError, match=words) as error:
        list(localize_film(film, localizer))
    assert 'film.mp4' in str(error.value) and '\n' not in str(error.value)


def test_bad_input_is_told_at_the_call(film, tmp_path):
    (tmp_path / 'notes.txt').write_text('no film')
    for arguments, words in (
        (('lost.mp4',), 'lost.mp4'),
        ((tmp_path / 'notes.txt',), 'notes.txt'),
        ((tmp_path,), str(tmp_path)),
        ((film, 'nothing'), "no model 'nothing'"),
        ((film, 'compact', 0), 'hop is 0; expected 0.02 to 1'),
        ((film, 'compact', -1.0), 'hop is -1.0'),
        ((film, 'compact', 2), 'hop is 2'),
        ((film, 'compact', float('nan')), 'hop is nan'),
        ((film, 'compact', '1'), "hop is '1'"),
        ((film, 'compact', 1.0, 'tpu'), "device is 'tpu'"),
        ((film, 'compact', 1.0, 'cpu', 'abacus'), 'abacus'),
    ):
        with pytest.raises(AvsolError) as error:
            localize_film(*arguments)
        assert words in str(error.value) and '\n' not in str(error.value)
