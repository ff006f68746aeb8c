"""Annotations: what is written is read again, what is wrong is named, imports are right."""

import copy
import json
import random
import time
import zipfile
from fractions import Fraction
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avsol_ros import cli
from avsol_ros.errors import AvsolError
from avsol_ros.training.annotations.annotation_files import (
    examine,
    read_annotations,
    schema_path,
    write_annotations,
)
from avsol_ros.training.annotations.coco import import_coco
from avsol_ros.training.annotations.cvat import import_cvat
from avsol_ros.training.annotations.importing import ImportSettings
from avsol_ros.training.annotations.model import (
    Annotation,
    FrameTruth,
    ObjectTruth,
    share_categories,
)
from avsol_ros.training.annotations.problems import find_problems
from avsol_ros.training.annotations.statistics import count_frames, format_statistics

BELL = ObjectTruth(0, 'bell', (10.0, 20.0, 30.5, 40.0), True)
DRUM = ObjectTruth(1, 'drum', (50.0, 0.0, 64.0, 48.0), False)
UNSEEN = ObjectTruth(2, 'bird', None, True, True)


def annotation(*frames, video='a.mp4', rate=10.0, duration=None, start=0.0):
    """Return an annotation of 64x48 with those lists of objects, 1 / rate apart."""
    return Annotation(
        video,
        rate,
        64,
        48,
        duration or len(frames) / rate,
        ('bell', 'bird', 'drum'),
        tuple(
            FrameTruth(round(start + k / rate, 6), tuple(objects))
            for k, objects in enumerate(frames)
        ),
    )


# The model.


@pytest.mark.parametrize(
    'objects, kind',
    [
        ([BELL], 'single'),
        ([BELL, DRUM], 'single'),
        ([BELL, UNSEEN], 'single'),
        ([BELL, ObjectTruth(1, 'drum', DRUM.box, True)], 'multiple'),
        ([DRUM], 'visible'),
        ([UNSEEN], 'audible'),
        ([DRUM, UNSEEN], 'audible'),
        ([], 'noise'),
    ],
)
def test_kinds_of_frames(objects, kind):
    frame = FrameTruth(0.0, tuple(objects))
    assert frame.kind == kind
    assert frame.is_ave == any(o.sounding and not o.out_of_view for o in objects)
    assert {*frame.sounding, *frame.silent, *frame.out_of_view} == set(objects)


@pytest.mark.parametrize('start', [0.0, 0.05])
def test_every_frame_belongs_to_one_window(start):
    whole = annotation(*[[BELL]] * 100, start=start)
    windows = [whole.between(k * 10**9, (k + 1) * 10**9) for k in range(10)]
    assert [len(w) for w in windows] == [10] * 10
    assert tuple(f for w in windows for f in w) == whole.frames


def test_times_are_the_nearest_nanosecond():
    times = [FrameTruth(round(k / 30, 6)) for k in range(3000)]
    assert [t.time_ns for t in times] == [
        round(Fraction(k, 30) * 10**6) * 1000 for k in range(3000)
    ]


def test_categories_are_shared_in_order():
    one = Annotation('a', 10.0, 4, 4, 1.0, ('x', 'y'), ())
    other = Annotation('b', 10.0, 4, 4, 1.0, ('z', 'x'), ())
    assert [a.categories for a in share_categories([one, other])] == [('x', 'y', 'z')] * 2


# Files.

NAMES = st.text(min_size=1, max_size=8)


@st.composite
def annotations(draw, decimals=None):
    """Return annotations in which nothing is wrong."""
    rate = draw(st.sampled_from([1.0, 5.0, 10.0, 12.5]))
    categories = tuple(draw(st.lists(NAMES, min_size=1, max_size=4, unique=True)))
    videos = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    return [draw(_annotation(video, rate, categories)) for video in videos]


@st.composite
def _annotation(draw, video, rate, categories):
    width, height = draw(st.integers(2, 4000)), draw(st.integers(2, 4000))
    tracks = draw(st.dictionaries(st.integers(0, 10**6), st.sampled_from(categories), max_size=4))

    def side(size):
        low = draw(st.floats(0, size / 2, allow_nan=False))
        return low, draw(st.floats(size / 2, size, exclude_min=True))

    def item(track, category):
        if draw(st.booleans()):
            return ObjectTruth(track, category, None, True, True)
        (x0, x1), (y0, y1) = side(width), side(height)
        return ObjectTruth(track, category, (x0, y0, x1, y1), draw(st.booleans()))

    count = draw(st.integers(1, 4))
    start = draw(st.sampled_from([0.0, 0.5 / rate]))
    frames = tuple(
        FrameTruth(
            round(start + k / rate, 6),
            tuple(item(t, c) for t, c in tracks.items() if draw(st.booleans())),
        )
        for k in range(count)
    )
    return Annotation(video, rate, width, height, count / rate, categories, frames)


@settings(max_examples=40, deadline=None)
@given(annotations())
def test_written_annotations_are_read_again(tmp_path_factory, given):
    jsonschema = pytest.importorskip('jsonschema')
    path = tmp_path_factory.mktemp('round') / 'all.json'
    write_annotations(path, given)
    assert read_annotations(path) == given
    document = json.loads(path.read_text())
    jsonschema.validate(document, json.loads(schema_path().read_text()))
    assert len(path.read_text().splitlines()) == 2 + sum(2 + len(a.frames) for a in given)
    assert [p.name for p in path.parent.iterdir()] == ['all.json']


def test_written_text_to_the_letter(tmp_path):
    path = write_annotations(tmp_path / 'deep' / 'a.json', [annotation([BELL, UNSEEN], [])])
    assert path.read_text() == (
        '{"version": 2, "rate": 10, "categories": ["bell", "bird", "drum"], "videos": [\n'
        '{"video": "a.mp4", "width": 64, "height": 48, "duration": 0.2, "frames": [\n'
        '{"time": 0, "objects": [{"track": 0, "category": "bell", "box": [10, 20, 30.5, 40], '
        '"sounding": true}, {"track": 2, "category": "bird", "box": null, "sounding": true, '
        '"out_of_view": true}]},\n'
        '{"time": 0.1, "objects": []}\n'
        ']}\n'
        ']}\n'
    )


def test_folder_of_files_is_one_data_set(tmp_path):
    parts = [annotation([BELL], video=name) for name in ('b.mp4', 'a.mp4')]
    for part in parts:
        write_annotations(tmp_path / f'{part.video}.json', [part])
    assert read_annotations(tmp_path) == parts[::-1]
    assert read_annotations(tmp_path / 'b.mp4.json', tmp_path / 'a.mp4.json') == parts
    again = examine(tmp_path, tmp_path / 'a.mp4.json')[1]
    assert list(map(str, again)) == ['a.mp4: is annotated 2 times']


def test_nothing_wrong_is_written_and_a_failure_leaves_the_old_file(tmp_path):
    path = write_annotations(tmp_path / 'a.json', [annotation([BELL])])
    before = path.read_bytes()
    with pytest.raises(AvsolError, match=r'was not written: a.mp4 frame 0: track 0 is there 2'):
        write_annotations(path, [annotation([BELL, BELL])])
    with pytest.raises(AvsolError, match='2 different rates or lists of categories'):
        write_annotations(path, [annotation([BELL]), annotation([BELL], video='b', rate=5.0)])
    assert path.read_bytes() == before
    with pytest.raises(AvsolError, match='cannot write /proc/x/a.json'):
        write_annotations('/proc/x/a.json', [annotation([BELL])])


def test_truth_of_synthetic_scenes_is_read(tmp_path):
    np = pytest.importorskip('numpy')
    from avsol_ros.training.synthetic.clean_scenes import plan_scene
    from avsol_ros.training.synthetic.scene_films import scene_annotation

    scene = plan_scene(np.random.default_rng(4), schedule=[[0], [None], []])
    path = tmp_path / 'scene.json'
    write_annotations(path, [scene_annotation(scene, 'scene.mp4', 320, 240)])
    [truth] = read_annotations(path)
    assert (truth.video, truth.rate, truth.width, truth.duration) == ('scene.mp4', 10, 320, 3)
    assert len(truth.frames) == 30
    kinds = [{f.kind for f in truth.between(k * 10**9, (k + 1) * 10**9)} for k in range(3)]
    assert kinds == [{'single'}, {'audible'}, {'visible'}]
    write_annotations(path, [truth])
    assert read_annotations(path) == [truth]


def test_version_1_is_read(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text(
        json.dumps(
            {
                'version': 1,
                'video': 'a.mp4',
                'width': 64,
                'height': 48,
                'duration': 0.2,
                'rate': 10,
                'categories': ['bell', 'bird', 'drum'],
                'frames': [
                    {
                        'time': 0.0,
                        'objects': [
                            {
                                'track': 0,
                                'category': 'bell',
                                'box': [10, 20, 30.5, 40],
                                'sounding': True,
                                'out_of_view': False,
                            }
                        ],
                    },
                    {
                        'time': 0.1,
                        'objects': [
                            {
                                'track': 2,
                                'category': 'bird',
                                'box': None,
                                'sounding': True,
                                'out_of_view': True,
                            }
                        ],
                    },
                ],
            }
        )
    )
    assert read_annotations(path) == [annotation([BELL], [UNSEEN])]


def test_object_that_fills_the_picture_keeps_its_box(tmp_path):
    whole = annotation([ObjectTruth(0, 'bell', (0.0, 0.0, 64.0, 48.0), False)])
    assert read_annotations(write_annotations(tmp_path / 'a.json', [whole])) == [whole]


def test_dummy_box_of_the_whole_picture_is_none(tmp_path):
    path = write_annotations(tmp_path / 'a.json', [annotation([UNSEEN])])
    path.write_text(path.read_text().replace('"box": null', '"box": [0, 0, 64, 48.0]'))
    assert read_annotations(path) == [annotation([UNSEEN])]
    path.write_text(path.read_text().replace('48.0]', '47]'))
    assert list(map(str, examine(path)[1])) == [
        'a.mp4 frame 0: track 2: is out of view, but has the box '
        '0 0 64 47; expected none, or the whole picture'
    ]


@pytest.mark.parametrize(
    'text, message',
    [
        ('{', 'is no JSON: Expecting property name'),
        ('[' * 100_000, 'is no JSON: '),
        (
            '[]',
            'is no annotation: it lacks "version" or "videos"; convert other formats with avsol ',
        ),
        ('{"images": []}', 'is no annotation: it lacks "version"'),
        ('{"version": true}', 'is no annotation: it lacks "version"'),
        ('{"version": 1, "clip": "a.mp4"}', 'is no annotation: it lacks "version" or "videos"'),
        (
            '{"version": 4}',
            'is of version 4, and this avsol knows versions up to 3; install a newer',
        ),
        ('{"version": 3}', 'annotates single windows of films (version 3); expected boxes at a'),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    path = tmp_path / 'a.json'
    path.write_text(text)
    with pytest.raises(AvsolError) as caught:
        read_annotations(path)
    assert str(caught.value).startswith(f'{path} {message}')
    assert '\n' not in str(caught.value)


def test_missing_files_and_empty_folders_are_named(tmp_path):
    with pytest.raises(AvsolError, match='cannot read .*none.json: No such file'):
        read_annotations(tmp_path / 'none.json')
    with pytest.raises(AvsolError, match='there is no .json file in the folder'):
        read_annotations(tmp_path)
    (tmp_path / 'latin.json').write_bytes(b'{"video": "\xe9"}')
    with pytest.raises(AvsolError, match='is no JSON'):
        read_annotations(tmp_path)


# What is wrong.


def document():
    """Return a file's plain values, with nothing wrong."""
    return {
        'version': 2,
        'rate': 10,
        'categories': ['bell', 'drum'],
        'videos': [
            {
                'video': 'a.mp4',
                'width': 64,
                'height': 48,
                'duration': 0.3,
                'frames': [
                    {
                        'time': k / 10,
                        'objects': [
                            {
                                'track': 0,
                                'category': 'bell',
                                'box': [1, 2, 3, 4],
                                'sounding': True,
                            },
                            {
                                'track': 1,
                                'category': None,
                                'box': None,
                                'sounding': True,
                                'out_of_view': True,
                            },
                        ],
                    }
                    for k in range(3)
                ],
            }
        ],
    }


def problems_after(change, tmp_path):
    values = document()
    change(
        values,
        values['videos'][0],
        values['videos'][0]['frames'][1],
        values['videos'][0]['frames'][1]['objects'][0],
    )
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(values))
    return [str(problem).replace(str(path), 'FILE') for problem in examine(path)[1]]


def test_nothing_is_wrong_with_the_document(tmp_path):
    assert problems_after(lambda *_: None, tmp_path) == []


@pytest.mark.parametrize(
    'change, message',
    [
        # Form.
        (
            lambda d, v, f, o: o.pop('sounding'),
            'a.mp4 frame 1: object 0: sounding is missing; expected true or false',
        ),
        (
            lambda d, v, f, o: o.update(sounding=1),
            'a.mp4 frame 1: object 0: sounding is 1; expected true or false',
        ),
        (
            lambda d, v, f, o: o.update({'out-of-view': True}),
            "a.mp4 frame 1: object 0: there is no key 'out-of-view'; there are track, "
            'category, box, '
            'sounding, out_of_view',
        ),
        (
            lambda d, v, f, o: o.update(box=[1, 2, 3]),
            'a.mp4 frame 1: object 0: box is [1, 2, 3]; expected four numbers x0, y0, x1, y1, '
            'or null',
        ),
        (
            lambda d, v, f, o: o.update(track='7'),
            'a.mp4 frame 1: object 0: track is "7"; expected a whole number, 0 or more',
        ),
        (
            lambda d, v, f, o: o.update(box=[0, 0, 10**400, 1]),
            f'a.mp4 frame 1: object 0: box is [0, 0, 1{"0" * 49}...; expected four numbers '
            f'x0, y0, x1, '
            'y1, or null',
        ),
        (
            lambda d, v, f, o: f.update(objects=None),
            'a.mp4 frame 1: objects is null; expected a list',
        ),
        (
            lambda d, v, f, o: v.update(height=0.5),
            'a.mp4: height is 0.5; expected a whole number of pixels',
        ),
        (
            lambda d, v, f, o: v.pop('video'),
            'FILE: videos[0]: video is missing; expected the name of a file',
        ),
        (
            lambda d, v, f, o: d.update(videos=[5]),
            'FILE: videos[0]: expected an object with video, width, height, duration, frames',
        ),
        (
            lambda d, v, f, o: d.update(rate=0),
            'FILE: rate is 0; expected frames per second, more than 0',
        ),
        (
            lambda d, v, f, o: d.update(categories=['bell', 'bell']),
            'FILE: categories is ["bell", "bell"]; expected a list of names, each once',
        ),
        # Meaning.
        (
            lambda d, v, f, o: f['objects'][1].update(track=0, category='bell'),
            'a.mp4 frame 1: track 0 is there 2 times',
        ),
        (
            lambda d, v, f, o: f['objects'][1].update(sounding=False),
            'a.mp4 frame 1: track 1: is out of view and not sounding; what is out of view is '
            'there for '
            'its sound',
        ),
        (
            lambda d, v, f, o: o.update(box=None),
            'a.mp4 frame 1: track 0: has no box; only a sound out of view has none',
        ),
        (
            lambda d, v, f, o: o.update(box=[5, 2, 3, 4]),
            'a.mp4 frame 1: track 0: the box 5 2 3 4 is empty or inverted; expected x0 < x1 and '
            'y0 < y1',
        ),
        (
            lambda d, v, f, o: o.update(box=[5, 2, 9, 2]),
            'a.mp4 frame 1: track 0: the box 5 2 9 2 is empty or inverted; expected x0 < x1 and '
            'y0 < y1',
        ),
        (
            lambda d, v, f, o: o.update(box=[5, 2, 5, 4]),
            'a.mp4 frame 1: track 0: the box 5 2 5 4 is empty or inverted; expected x0 < x1 and '
            'y0 < y1',
        ),
        (
            lambda d, v, f, o: o.update(box=[1, 2, float('nan'), 4]),
            'a.mp4 frame 1: track 0: the box 1 2 nan 4 has a coordinate that is no finite number',
        ),
        (
            lambda d, v, f, o: o.update(box=[1, 2, 64.5, 4]),
            'a.mp4 frame 1: track 0: the box 1 2 64.5 4 reaches out of the picture of 64x48; '
            'import '
            'with --clip to cut boxes off',
        ),
        (
            lambda d, v, f, o: o.update(box=[-1, 2, 64, 4]),
            'a.mp4 frame 1: track 0: the box -1 2 64 4 reaches out of the picture of 64x48; '
            'import '
            'with --clip to cut boxes off',
        ),
        (
            lambda d, v, f, o: f.update(time=0.15),
            'a.mp4 frame 1: time 0.15 s; expected 0.1 s (10 frames/s)',
        ),
        (
            lambda d, v, f, o: f.update(time=0.0),
            'a.mp4 frame 1: time 0 s does not come after 0 s, the frame before',
        ),
        (
            lambda d, v, f, o: v['frames'].pop(1),
            'a.mp4 frame 1: time 0.2 s; expected 0.1 s (10 frames/s)',
        ),
        (
            lambda d, v, f, o: v['frames'].pop(0),
            'a.mp4 frame 0: time 0.1 s; expected the first frame within the first 0.1 s (10 '
            'frames/s)',
        ),
        (
            lambda d, v, f, o: v.update(duration=0.2),
            'a.mp4 frame 2: time 0.2 s is not before the end of the video at 0.2 s',
        ),
        (
            lambda d, v, f, o: v.update(duration=0.45),
            'a.mp4: the last frame is at 0.2 s of 0.45 s; expected frames up to the end',
        ),
        (lambda d, v, f, o: v.update(frames=[]), 'a.mp4: has no frames'),
        (lambda d, v, f, o: d['videos'].append(copy.deepcopy(v)), 'a.mp4: is annotated 2 times'),
    ],
)
def test_faults_have_exact_words(change, message, tmp_path):
    assert message in problems_after(change, tmp_path)


def test_category_faults(tmp_path):
    def unknown(_, video, *__):
        for frame in video['frames']:
            frame['objects'][0]['category'] = 'bel'

    assert problems_after(unknown, tmp_path) == [
        f"a.mp4 frame {k}: track 0: the category 'bel' is not in the list of categories; did you "
        "mean 'bell'?"
        for k in range(3)
    ]
    assert problems_after(lambda d, v, f, o: o.update(category='drum'), tmp_path) == [
        "a.mp4 frame 1: track 0: is 'drum', but 'bell' in frame 0; give it another track number",
        "a.mp4 frame 2: track 0: is 'bell', but 'drum' in frame 1; give it another track number",
    ]
    assert problems_after(lambda d, v, f, o: o.update(category=None), tmp_path)[0] == (
        'a.mp4 frame 1: track 0: has no category; only a sound out of view may lack one'
    )


def test_all_problems_are_listed_and_a_slip_of_time_once(tmp_path):
    def change(_, video, frame, item):
        item['box'], item['category'] = [9, 9, 1, 1], 'cow'
        for k, one in enumerate(video['frames']):
            one['time'] = (k + 4 * (k > 0)) / 10
        video['duration'] = 0.7

    found = problems_after(change, tmp_path)
    assert [p.split(':')[0] for p in found] == ['a.mp4 frame 1'] * 4 + ['a.mp4 frame 2']
    path = tmp_path / 'a.json'
    with pytest.raises(AvsolError, match=r'expected 0.1 s .* \(and 4 more: see avsol annot'):
        read_annotations(path)


@pytest.mark.parametrize(
    'broken',
    ['x', {'time': 0.1}, {'time': None, 'objects': []}, {'time': 0.1, 'objects': [], 'note': 'x'}],
)
def test_frames_behind_one_of_wrong_form_keep_their_numbers(broken, tmp_path):
    def change(_, video, *__):
        video['frames'][1] = broken
        video['frames'][2]['objects'][0]['box'] = [9, 9, 1, 1]

    first, second = problems_after(change, tmp_path)
    assert first.startswith('a.mp4 frame 1: ')
    assert second == (
        'a.mp4 frame 2: track 0: the box 9 9 1 1 is empty or inverted; expected '
        'x0 < x1 and y0 < y1'
    )


def _places(values, path=()):
    """All places in nested plain values."""
    yield path
    items = (
        values.items()
        if isinstance(values, dict)
        else enumerate(values)
        if isinstance(values, list)
        else ()
    )
    for key, value in items:
        yield from _places(value, (*path, key))


def test_own_check_of_form_agrees_with_the_json_schema(tmp_path):
    jsonschema = pytest.importorskip('jsonschema')
    validator = jsonschema.Draft202012Validator(json.loads(schema_path().read_text()))
    validator.check_schema(validator.schema)
    shuffled, outcomes = random.Random(0), []
    others = [
        None,
        True,
        0,
        -1,
        1,
        2.0,
        0.5,
        '',
        'x',
        [],
        {},
        [1, 2, 3, 4],
        ['a', 'a'],
        {'time': 0.0, 'objects': []},
    ]
    places = [place for place in _places(document()) if place and place != ('version',)]
    for _ in range(400):
        values = document()
        *parents, last = shuffled.choice(places)
        inner = values
        for key in parents:
            inner = inner[key]
        action = shuffled.choice(['replace', 'replace', 'remove', 'add'])
        if action == 'replace':
            inner[last] = shuffled.choice(others)
        elif action == 'remove':
            del inner[last]
        elif isinstance(inner, dict):
            inner[shuffled.choice(['note', 'time', 'out_of_view'])] = shuffled.choice(others)
        path = tmp_path / 'a.json'
        path.write_text(json.dumps(values))
        annotations, problems = examine(path)
        # Problems of meaning are none of the schema's business.
        wrong = len(problems) > len(find_problems(annotations))
        assert wrong == (not validator.is_valid(values)), (values, problems)
        outcomes.append(wrong)
    assert 100 < sum(outcomes) < 350


# Statistics.


def test_statistics_in_the_form_of_table_1():
    loud_drum = ObjectTruth(1, 'drum', DRUM.box, True)
    one = annotation([BELL], [BELL, DRUM], [BELL, loud_drum], [DRUM], [UNSEEN], [DRUM, UNSEEN], [])
    found = count_frames([one, annotation([BELL], video='b.mp4')])
    assert found.as_dict() == {
        'videos': 2,
        'frames': 8,
        'ave': {'single': 3, 'multiple': 1, 'total': 4},
        'non_ave': {'visible': 1, 'audible': 2, 'noise': 1, 'total': 4},
        'audible_and_visible': 1,
    }
    assert format_statistics(found).splitlines() == [
        'AVE      single object             3',
        '         multiple objects          1',
        '         total                     4',
        'Non-AVE  visible                   1',
        '         audible                   2',
        '         neither (noise)           1',
        '         total                     4',
        '8 annotated frames of 2 videos',
        '1 of the audible frames also show a silent object',
    ]


def test_a_whole_data_set_is_checked_and_counted_in_seconds(tmp_path):
    frames = [[BELL, DRUM, UNSEEN]] * 100
    path = write_annotations(
        tmp_path / 'all.json', [annotation(*frames, video=f'{k}.mp4') for k in range(373)]
    )
    start = time.process_time()  # which stands still while other programs run
    found = count_frames(read_annotations(path))
    assert found.single == found.frames == 37_300
    assert time.process_time() - start < 20  # takes 1.5 s


# CVAT.

AS_25 = ImportSettings(Fraction(25))
AS_10 = ImportSettings(Fraction(10))

LABELS = """<labels>
 <label><name>bell</name><attributes>
  <attribute><name>sounding</name><mutable>True</mutable><input_type>checkbox</input_type>
   <default_value>false</default_value><values>false</values></attribute></attributes></label>
 <label><name>drum</name><attributes/></label>
 <label><name>out-of-view</name><attributes/></label>
</labels>"""


def task_meta(
    size=10,
    extra='<source>a.mp4</source>',
    inner=LABELS,
    picture='<original_size><width>64</width><height>48</height></original_size>',
):
    return (
        f'<id>5</id><name>t</name><size>{size}</size><mode>interpolation</mode>'
        f'<start_frame>0</start_frame><stop_frame>{size - 1}</stop_frame>{inner}'
        f'{picture}{extra}'
    )


def cvat_file(tmp_path, tracks, meta=None):
    path = tmp_path / 'annotations.xml'
    meta = f'<task>{task_meta()}</task>' if meta is None else meta
    path.write_text(
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n'
        f'<version>1.1</version>\n<meta>{meta}</meta>\n{tracks}\n</annotations>\n'
    )
    return path


def box(frame, x, sounding=None, outside=0, keyframe=1, tags='', more=''):
    inner = tags + (
        ''
        if sounding is None
        else f'<attribute name="sounding">{str(sounding).lower()}</attribute>'
    )
    return (
        f'<box frame="{frame}" keyframe="{keyframe}" outside="{outside}" occluded="0" '
        f'xtl="{x:.2f}" ytl="4.00" xbr="{x + 10:.2f}" ybr="20.00" z_order="0"{more}>{inner}'
        '</box>'
    )


def track(*boxes, number=0, label='bell', more=''):
    return f'<track id="{number}" label="{label}" source="manual"{more}>{"".join(boxes)}</track>'


def seen(annotation):
    """Return for each frame the objects' numbers, left borders and tags."""
    return [
        [(o.track, o.box and o.box[0], o.sounding) for o in f.objects] for f in annotation.frames
    ]


def test_cvat_tracks_are_interpolated(tmp_path):
    path = cvat_file(
        tmp_path,
        track(box(1, 0, False), box(4, 30, True), box(6, 50, outside=1), box(8, 10, False)),
    )
    [found] = import_cvat(path, AS_10)
    assert find_problems([found]) == []
    assert (found.video, found.width, found.height, found.duration) == ('a.mp4', 64, 48, 1)
    assert found.categories == ('bell', 'drum')
    assert [f.time for f in found.frames] == [k / 10 for k in range(10)]
    assert seen(found) == [
        [],  # before the first box
        [(0, 0, False)],
        [(0, 10, False)],
        [(0, 20, False)],
        [(0, 30, True)],
        [(0, 40, True)],  # towards the box that is outside
        [],
        [],  # outside
        [(0, 10, False)],
        [(0, 10, False)],  # the last box stays
    ]
    assert found.frames[2].objects[0].box == (10, 4, 20, 20)


@st.composite
def keyframes(draw):
    """Return boxes of a track that a person set: frame, left border, outside, sounding or None."""
    frames = sorted(draw(st.sets(st.integers(0, 29), min_size=1, max_size=6)))
    made = [
        (
            f,
            draw(st.integers(0, 50)),
            draw(st.booleans()),
            draw(st.sampled_from([True, False, None])),
        )
        for f in frames
    ]
    return [(*made[0][:3], True), *made[1:]]


def expand(keys, last):
    """Every box of a track, frame by frame, as CVAT writes them into its exports."""
    boxes, sounding = [], None
    for (f, x, outside, tag), after in zip(keys, [*keys[1:], None]):
        sounding = sounding if tag is None else tag
        boxes.append((f, x, outside, sounding, 1))
        if outside:
            continue
        end, x_end = (after[0], after[1]) if after else (last + 1, x)
        for g in range(f + 1, end):
            boxes.append((g, x + (x_end - x) * (g - f) / (end - f), False, sounding, 0))
    return boxes


@settings(max_examples=60, deadline=None)
@given(keyframes())
def test_cvat_keyframes_alone_and_full_exports_say_the_same(tmp_path_factory, keys):
    folder = tmp_path_factory.mktemp('cvat')
    meta = f'<task>{task_meta(30)}</task>'
    full = expand(keys, 29)
    [sparse] = import_cvat(
        cvat_file(
            folder, track(*[box(f, x, tag, int(outside)) for f, x, outside, tag in keys]), meta
        ),
        AS_10,
    )
    [dense] = import_cvat(
        cvat_file(
            folder,
            track(*[box(f, x, tag, int(outside), key) for f, x, outside, tag, key in full]),
            meta,
        ),
        AS_10,
    )
    assert sparse == dense
    wanted = {f: (x, tag) for f, x, outside, tag, _ in full if not outside}
    for k, frame in enumerate(sparse.frames):
        got = [(o.box[0], o.sounding) for o in frame.objects]
        assert len(got) == (k in wanted)
        if got:
            assert got[0][0] == pytest.approx(wanted[k][0], abs=0.006)
            assert got[0][1] == wanted[k][1]


def test_cvat_tags_keep_their_value_and_have_defaults(tmp_path):
    path = cvat_file(tmp_path, track(box(0, 0), box(2, 0, True), box(4, 0), box(6, 0, False)))
    [found] = import_cvat(path, AS_10)
    assert [f.objects[0].sounding for f in found.frames] == [False] * 2 + [True] * 4 + [False] * 4


def test_cvat_tags_of_the_whole_track(tmp_path):
    path = cvat_file(
        tmp_path, track('<attribute name="Sounding">true</attribute>', box(0, 0), label='drum')
    )
    [found] = import_cvat(path, AS_10)
    assert all(f.objects[0].sounding for f in found.frames)


def test_cvat_pictures_become_times(tmp_path):
    # 25 pictures per second: frame k of 10 per second is at k / 10 s, when picture 2.5 k shows.
    path = cvat_file(
        tmp_path, track(box(0, 0, True), box(40, 40), more=''), f'<task>{task_meta(25)}</task>'
    )
    [found] = import_cvat(path, AS_25)
    assert found.duration == 1 and len(found.frames) == 10
    assert [f.objects[0].box[0] for f in found.frames] == [0, 2, 5, 7, 10, 12, 15, 17, 20, 22]
    # 10 s at 30000/1001 have 299 pictures, as films of AVE often have.
    path = cvat_file(tmp_path, track(box(0, 0, True)), f'<task>{task_meta(299)}</task>')
    [found] = import_cvat(path, ImportSettings(Fraction(30000, 1001)))
    assert len(found.frames) == 100 and found.duration == pytest.approx(9.976633)
    assert find_problems([found]) == []


def test_cvat_task_with_a_frame_step(tmp_path):
    # CVAT numbers pictures as the video does; with step 5 it has every fifth.
    boxes = [box(5 * k, k, k % 2 == 0, keyframe=int(k == 0)) for k in range(10)]
    meta = task_meta(10, '<source>a.mp4</source><frame_filter>step=5</frame_filter>')
    path = cvat_file(tmp_path, track(*boxes), f'<task>{meta}</task>')
    [found] = import_cvat(path, ImportSettings(Fraction(50)))
    assert found.duration == 1
    assert seen(found) == [[(0, k, k % 2 == 0)] for k in range(10)]


def test_cvat_sounds_out_of_view(tmp_path):
    path = cvat_file(
        tmp_path,
        ''.join(
            [
                track(box(0, 0), box(5, 0, outside=1), number=3, label='out-of-view'),
                track(
                    box(5, 0, tags='<attribute name="category">wind</attribute>'),
                    number=4,
                    label='Out of view',
                ),
                track(
                    box(0, 0, False, tags='<attribute name="out-of-view">true</attribute>'),
                    box(8, 0, tags='<attribute name="out-of-view">false</attribute>'),
                    number=7,
                ),
            ]
        ),
    )
    [found] = import_cvat(path, AS_10)
    assert found.categories == ('bell', 'drum', 'wind')
    unseen = ObjectTruth(7, 'bell', None, True, True)
    assert found.frames[0].objects == (ObjectTruth(3, None, None, True, True), unseen)
    assert found.frames[7].objects == (ObjectTruth(4, 'wind', None, True, True), unseen)
    assert found.frames[8].objects[1] == ObjectTruth(7, 'bell', (0, 4, 10, 20), False)
    assert find_problems([found]) == []


def test_cvat_project_has_many_videos_numbered_on_and_on(tmp_path):
    def task(number, name, size, subset):
        return (
            f'<task><id>{number}</id><subset>{subset}</subset><size>{size}</size>'
            f'<source>{name}</source><original_size><width>64</width><height>48</height>'
            '</original_size></task>'
        )

    meta = (
        f'<project><id>1</id><tasks>{task(8, "b.mp4", 4, "Test")}'
        f'{task(9, "c.mp4", 3, "Test")}{task(2, "a.mp4", 2, "Train")}</tasks>{LABELS}'
        '</project>'
    )
    path = cvat_file(
        tmp_path,
        ''.join(
            [
                track(box(1, 10, True), number=0, more=' task_id="8" subset="Test"'),
                track(box(4, 20, True), box(6, 40), number=1, more=' task_id="9" subset="Test"'),
                track(box(0, 30, True), number=2, more=' task_id="2" subset="Train"'),
            ]
        ),
        meta,
    )
    b, c, a = import_cvat(path, AS_10)
    assert [one.video for one in (b, c, a)] == ['b.mp4', 'c.mp4', 'a.mp4']
    assert seen(b) == [[]] + [[(0, 10, True)]] * 3
    assert seen(c) == [[(1, 20, True)], [(1, 30, True)], [(1, 40, True)]]
    assert seen(a) == [[(2, 30, True)]] * 2
    with pytest.raises(AvsolError, match='has 3 tasks, and --video names one'):
        import_cvat(path, ImportSettings(Fraction(10), video='x.mp4'))


def test_cvat_boxes_over_the_border(tmp_path):
    path = cvat_file(tmp_path, track(box(0, 40, True), box(5, 90), box(9, 90)))
    [found] = import_cvat(path, AS_10)
    assert str(find_problems([found])[0]) == (
        'a.mp4 frame 2: track 0: the box 60 4 70 20 reaches out of the picture of 64x48; import '
        'with --clip to cut boxes off'
    )
    [found] = import_cvat(path, ImportSettings(Fraction(10), clip=True))
    assert [f.objects[0].box if f.objects else None for f in found.frames] == [
        (40, 4, 50, 20),
        (50, 4, 60, 20),
        (60, 4, 64, 20),
    ] + [None] * 7
    assert find_problems([found]) == []


def test_clip_does_not_hide_inverted_boxes(tmp_path):
    path = cvat_file(tmp_path, track(box(0, 40, True)).replace('xbr="50.00"', 'xbr="30.00"'))
    [found] = import_cvat(path, ImportSettings(Fraction(10), clip=True))
    assert 'the box 40 4 30 20 is empty or inverted' in str(find_problems([found])[0])


def test_cvat_zip_and_tasks_of_single_pictures(tmp_path):
    path = cvat_file(
        tmp_path, track(box(0, 5, True)), f'<task>{task_meta(extra="", picture="")}</task>'
    )
    archive = tmp_path / 'task.zip'
    with zipfile.ZipFile(archive, 'w') as file:
        file.write(path, 'annotations.xml')
        file.writestr('images/frame_000000.png', b'')
    with pytest.raises(AvsolError, match='does not say of which video it is; name it with --vid'):
        import_cvat(archive, AS_10)
    with pytest.raises(AvsolError, match='a.mp4 has no <original_size>, .*give --size'):
        import_cvat(archive, ImportSettings(Fraction(10), video='a.mp4'))
    [found] = import_cvat(archive, ImportSettings(Fraction(10), video='a.mp4', size=(64, 48)))
    assert (found.video, found.width, len(found.frames)) == ('a.mp4', 64, 10)


@pytest.mark.parametrize(
    'tracks, message',
    [
        (
            track(box(0, 0), label='drum'),
            "a.mp4 frame 0 of CVAT: track 0 (drum) has no attribute 'sounding'; add it to the "
            'label in '
            'CVAT, as a checkbox that may change from frame to frame',
        ),
        (
            track(box(0, 0, 'loud')),
            "a.mp4 frame 0 of CVAT: track 0 (bell): sounding is 'loud'; expected true or false",
        ),
        (
            track(box(0, 0, more=' rotation="20.00"')),
            'FILE: track 0 (bell) is rotated in frame 0; expected an upright box',
        ),
        (
            track('<polygon frame="0" points="0,0;1,1"/>'),
            'FILE: track 0 (bell) is a polygon; expected boxes (rectangles)',
        ),
        (
            track(box(0, 0), box(0, 1)),
            'FILE: track 0 (bell) has two boxes in frame 0; expected one',
        ),
        (track(box('x', 0)), "FILE: track 0 (bell): frame of a box is 'x'; expected a number"),
        (track(box(0, 0), number='a'), 'FILE: track a (bell): expected a whole number as its id'),
        (
            '<image id="0" name="a.png" width="4" height="4"/>',
            "FILE is in the format 'CVAT for images'; export it as 'CVAT for video 1.1', "
            'which knows '
            'tracks',
        ),
        ('<b', 'FILE is no XML: '),
    ],
)
def test_cvat_faults(tracks, message, tmp_path):
    path = cvat_file(tmp_path, tracks)
    with pytest.raises(AvsolError) as caught:
        import_cvat(path, AS_10)
    assert str(caught.value).replace(str(path), 'FILE').startswith(message)


@pytest.mark.parametrize(
    'meta, message',
    [
        ('', 'FILE has no <meta> with a task; export it from CVAT with the task'),
        (
            f'<task>{task_meta().replace("<start_frame>0", "<start_frame>30")}</task>',
            'FILE: a.mp4 starts at frame 30; expected a task over the whole video, from frame 0',
        ),
        (
            f'<task>{task_meta().replace("<size>10", "<size>ten")}</task>',
            "FILE: a.mp4: size is 'ten'; expected a whole number",
        ),
    ],
)
def test_cvat_task_faults(meta, message, tmp_path):
    path = cvat_file(tmp_path, track(box(0, 0, True)), meta)
    with pytest.raises(AvsolError) as caught:
        import_cvat(path, AS_10)
    assert str(caught.value).replace(str(path), 'FILE') == message


def test_settings_are_checked():
    with pytest.raises(AvsolError, match='10 annotated frames per second cannot come from 5'):
        ImportSettings(Fraction(5))
    with pytest.raises(AvsolError, match='expected more than 0'):
        ImportSettings(Fraction(0))


def to_cvat(annotation):
    """Return an annotation as CVAT exports it: every box, and where an object leaves."""
    root = ElementTree.Element('annotations')
    root.append(
        ElementTree.fromstring(
            f'<meta><task><size>{len(annotation.frames)}</size><original_size>'
            f'<width>{annotation.width}</width><height>{annotation.height}</height></original_size>'
            '</task></meta>'
        )
    )
    labels = {o.track: o.category for f in annotation.frames for o in f.objects}
    for number, label in labels.items():
        element = ElementTree.SubElement(root, 'track', id=str(number), label=label)
        there = False
        for k, frame in enumerate(annotation.frames):
            item = next((o for o in frame.objects if o.track == number), None)
            if item is None and not there:
                continue
            corners = (item and item.box) or (0, 0, annotation.width, annotation.height)
            attributes = {
                name: f'{v:.2f}' for name, v in zip(('xtl', 'ytl', 'xbr', 'ybr'), corners)
            }
            child = ElementTree.SubElement(
                element,
                'box',
                attributes,
                frame=str(k),
                keyframe='1',
                outside=str(int(item is None)),
            )
            for name, value in (
                ('sounding', item and item.sounding),
                ('out-of-view', item and item.out_of_view),
            ):
                ElementTree.SubElement(child, 'attribute', name=name).text = str(
                    bool(value)
                ).lower()
            there = item is not None
    return ElementTree.tostring(root)


def to_coco(annotations):
    """Return annotations as COCO, with the keys that video tools add."""
    images, boxes = [], []
    categories = annotations[0].categories
    for v, one in enumerate(annotations):
        for k, frame in enumerate(one.frames):
            images.append(
                {
                    'id': len(images),
                    'video_id': v,
                    'frame_index': k,
                    'width': one.width,
                    'height': one.height,
                }
            )
            for o in frame.objects:
                x0, y0, x1, y1 = o.box or (0, 0, one.width, one.height)
                boxes.append(
                    {
                        'id': len(boxes),
                        'image_id': len(images) - 1,
                        'track_id': o.track,
                        'category_id': categories.index(o.category),
                        'bbox': [x0, y0, x1 - x0, y1 - y0],
                        'attributes': {'sounding': o.sounding, 'out_of_view': o.out_of_view},
                    }
                )
    return {
        'images': images,
        'annotations': boxes,
        'videos': [{'id': v, 'name': one.video} for v, one in enumerate(annotations)],
        'categories': [{'id': k, 'name': c} for k, c in enumerate(categories)],
    }


def assert_same_truth(found, wanted):
    assert (found.video, found.width, found.height) == (wanted.video, wanted.width, wanted.height)
    assert found.duration == pytest.approx(wanted.duration)
    assert len(found.frames) == len(wanted.frames)
    for got, expected in zip(found.frames, wanted.frames):
        by_track = {o.track: o for o in got.objects}
        assert by_track.keys() == {o.track for o in expected.objects}
        for o in expected.objects:
            twin = by_track[o.track]
            assert (twin.category, twin.sounding, twin.out_of_view) == (
                o.category,
                o.sounding,
                o.out_of_view,
            )
            assert (twin.box is None) == (o.box is None)
            assert o.box is None or twin.box == pytest.approx(o.box, abs=0.0151)


PLAIN = st.text('abcdefgh', min_size=1, max_size=6)


@st.composite
def plain_annotations(draw):
    categories = tuple(draw(st.lists(PLAIN, min_size=1, max_size=3, unique=True)))
    videos = draw(st.lists(PLAIN, min_size=1, max_size=2, unique=True))
    rate = draw(st.sampled_from([5.0, 10.0, 12.5]))
    made = [draw(_annotation(video, rate, categories)) for video in videos]
    # As importers make them: the first frame is at 0.
    return [
        Annotation(
            a.video,
            rate,
            a.width,
            a.height,
            a.duration,
            categories,
            tuple(FrameTruth(k / rate, f.objects) for k, f in enumerate(a.frames)),
        )
        for a in made
    ]


@settings(max_examples=40, deadline=None)
@given(plain_annotations())
def test_cvat_and_coco_round_trips(tmp_path_factory, wanted):
    folder = tmp_path_factory.mktemp('tools')
    rate = Fraction(wanted[0].rate)
    for one in wanted:
        (folder / 'a.xml').write_bytes(to_cvat(one))
        [found] = import_cvat(folder / 'a.xml', ImportSettings(rate, rate, one.video))
        assert_same_truth(found, one)
    (folder / 'a.json').write_text(json.dumps(to_coco(wanted)))
    for found, one in zip(
        import_coco(folder / 'a.json', ImportSettings(rate, rate)), wanted, strict=True
    ):
        assert_same_truth(found, one)


# COCO.


def coco(count=4, **image):
    """Return a COCO file of a video with one box, as trackers write it."""
    return {
        'videos': [{'id': 7, 'name': 'a.mp4'}],
        'images': [
            {
                'id': 100 + k,
                'video_id': 7,
                'frame_id': k,
                'width': 64,
                'height': 48,
                'file_name': f'a/{k:06d}.jpg',
                **image,
            }
            for k in range(count)
        ],
        'annotations': [
            {
                'id': 1,
                'image_id': 101,
                'category_id': 2,
                'bbox': [1, 2, 3, 4],
                'area': 12,
                'iscrowd': 0,
                'instance_id': 9,
                'sounding': True,
            }
        ],
        'categories': [{'id': 2, 'name': 'bell'}, {'id': 1, 'name': 'drum'}],
    }


def coco_file(tmp_path, values):
    path = tmp_path / 'coco.json'
    path.write_text(json.dumps(values))
    return path


def test_coco_as_trackers_write_it(tmp_path):
    [found] = import_coco(coco_file(tmp_path, coco()), AS_10)
    assert found == Annotation(
        'a.mp4',
        10.0,
        64,
        48,
        0.4,
        ('bell', 'drum'),
        (
            FrameTruth(0.0),
            FrameTruth(0.1, (ObjectTruth(9, 'bell', (1, 2, 4, 6), True),)),
            FrameTruth(0.2),
            FrameTruth(0.3),
        ),
    )


def test_coco_without_videos_frames_and_tracks(tmp_path):
    values = coco()
    del values['videos'], values['annotations'][0]['instance_id']
    values['annotations'].append(
        {**values['annotations'][0], 'bbox': [9, 9, 9, 9], 'sounding': 'false'}
    )
    values['annotations'].append(
        {
            'id': 3,
            'image_id': 102,
            'category_id': 1,
            'track_id': 5,
            'attributes': {'Out-of-view': 1},
        }
    )
    for image in values['images']:
        del image['video_id'], image['frame_id']
    [found] = import_coco(coco_file(tmp_path, values), AS_10)
    assert found.video == 'a'
    assert seen(found) == [[], [(6, 1, True), (7, 9, False)], [(5, None, True)], []]
    for image in values['images']:
        image['file_name'] = image['file_name'].removeprefix('a/')
    path = coco_file(tmp_path, values)
    assert import_coco(path, ImportSettings(Fraction(10), video='b'))[0].video == 'b'
    with pytest.raises(AvsolError, match='image 100 belongs to no video: .* with --video'):
        import_coco(path, AS_10)


def test_coco_numbers_may_start_at_one_and_skip_pictures(tmp_path):
    values = coco()
    for k, image in enumerate(values['images']):
        image['frame_id'] = 3 * k + 1
    path = coco_file(tmp_path, values)
    [found] = import_coco(path, ImportSettings(Fraction(30)), first_picture=1)
    assert [f.time for f in found.frames] == [0, 0.1, 0.2, 0.3]
    assert seen(found)[1] == [(9, 1, True)]
    with pytest.raises(AvsolError, match='of 4 pictures 4 are missing, first number 0; exp'):
        import_coco(path, ImportSettings(Fraction(30)))


@pytest.mark.parametrize(
    'change, message',
    [
        (
            lambda d: d['annotations'][0].pop('sounding'),
            'a.mp4 picture 1: annotation 1 has no "sounding"; expected it beside "bbox" or in '
            '"attributes", true or false',
        ),
        (
            lambda d: d['annotations'][0].pop('bbox'),
            'a.mp4 picture 1: annotation 1: bbox is null; expected x, y, width, height',
        ),
        (
            lambda d: d['annotations'][0].pop('category_id'),
            'a.mp4 picture 1: annotation 1: category_id is None; expected one of "categories"',
        ),
        (
            lambda d: d['annotations'][0].update(category_id=[1]),
            'a.mp4 picture 1: annotation 1: category_id is [1]; expected one of "categories"',
        ),
        (
            lambda d: d['annotations'][0].update(track_id=-1),
            'a.mp4 picture 1: annotation 1: its track has the number -1; expected 0 or more',
        ),
        (
            lambda d: d['annotations'][0].pop('image_id'),
            'FILE: annotations[0] has no "image_id" that is a number or a text',
        ),
        (
            lambda d: d['annotations'][0].update(image_id=3),
            'FILE: an annotation is of image 3, which is not in "images"',
        ),
        (
            lambda d: d.pop('images'),
            'FILE is no COCO file: it has no "images"; expected images, annotations and '
            'categories',
        ),
        (
            lambda d: d.pop('annotations'),
            'FILE has no list "annotations"; expected images, annotations and categories',
        ),
        (
            lambda d: d['categories'][0].pop('name'),
            'FILE: categories[0] has no "name" that is a number or a text',
        ),
        (lambda d: d.update(images=[]), 'FILE has no images'),
        (
            lambda d: d['images'].pop(2),
            'a.mp4: of 4 pictures 1 are missing, first number 2; expected an image for every '
            '1/10 s, at '
            '--fps 10',
        ),
        (
            lambda d: d['images'][2].update(frame_id=1),
            'FILE: image 102 of a.mp4 has number 1, as has image 101; expected different numbers',
        ),
        (
            lambda d: d['images'][2].update(frame_id=-1),
            'FILE: image 102 of a.mp4 has number -1, which is before the first, 0; choose another '
            '--first',
        ),
        (
            lambda d: d['images'][2].update(width=65),
            'a.mp4 has pictures of 2 sizes; expected one size',
        ),
        (
            lambda d: d['images'][2].pop('width'),
            'FILE: image 102 of a.mp4 has no width and height; expected whole numbers of pixels',
        ),
        (
            lambda d: d['images'][2].update(width=0),
            'FILE: image 102 of a.mp4 has no width and height',
        ),
        (
            lambda d: d['images'][2].update(frame_id=None, file_name='x.png'),
            "FILE: image 102 has no frame_index and no number at the end of its file_name 'x.png'",
        ),
    ],
)
def test_coco_faults(change, message, tmp_path):
    values = coco()
    change(values)
    path = coco_file(tmp_path, values)
    with pytest.raises(AvsolError) as caught:
        import_coco(path, AS_10)
    assert str(caught.value).replace(str(path), 'FILE').startswith(message)


# The command line.


def test_check_lists_every_problem(tmp_path, capsys):
    path = write_annotations(tmp_path / 'a.json', [annotation([BELL], [BELL, DRUM])])
    assert cli.main(['annotations', 'check', str(path)]) == 0
    assert capsys.readouterr().out == 'nothing is wrong in 2 frames of 1 videos\n'
    path.write_text(path.read_text().replace('30.5', '3').replace('"drum", "box"', '"bol", "box"'))
    other = tmp_path / 'b.json'
    other.write_text('{"version": 9}')
    assert cli.main(['annotations', 'check', str(path), str(other)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(': ')[0] for line in lines[1:]] == [
        'a.mp4 frame 0',
        'a.mp4 frame 1',
        'a.mp4 frame 1',
    ]
    assert lines[0].startswith(f'{other} is of version 9')


def test_stats_as_a_user_types_it(tmp_path, capsys):
    path = write_annotations(tmp_path / 'a.json', [annotation([BELL], [DRUM])])
    assert cli.main(['annotations', 'stats', str(path)]) == 0
    assert 'Non-AVE  visible                   1\n' in capsys.readouterr().out
    assert cli.main(['annotations', 'stats', str(path), '--json']) == 0
    assert json.loads(capsys.readouterr().out)['ave']['single'] == 1
    path.write_text(path.read_text().replace('30.5', '3'))
    assert cli.main(['annotations', 'stats', str(path)]) == 1
    assert 'is empty or inverted' in capsys.readouterr().err


def test_schema_is_printed(capsys):
    assert cli.main(['annotations', 'schema']) == 0
    assert json.loads(capsys.readouterr().out)['title'] == 'AVSOL annotations'


def test_imports_as_a_user_types_them(tmp_path, capsys):
    task = cvat_file(tmp_path, track(box(0, 50, True), box(9, 70)))
    out = tmp_path / 'out.json'
    assert cli.main(['annotations', 'import-cvat', str(task), str(out), '--fps', '10']) == 1
    assert len(capsys.readouterr().out.splitlines()) == 8 and not out.exists()
    assert (
        cli.main(['annotations', 'import-cvat', str(task), str(out), '--fps', '10', '--clip']) == 0
    )
    assert capsys.readouterr().out == f'{out}\n'
    assert len(read_annotations(out)[0].frames) == 10
    other = tmp_path / 'more'
    other.mkdir()
    more = cvat_file(
        other,
        track(box(0, 5, True), label='cat'),
        f'<task>{task_meta(25, "<source>b.mp4</source>", "")}</task>',
    )
    assert (
        cli.main(
            ['annotations', 'import-cvat', str(task), str(more), str(out), '--fps', '10', '--clip']
        )
        == 0
    )
    assert [a.video for a in read_annotations(out)] == ['a.mp4', 'b.mp4']
    assert read_annotations(out)[0].categories == ('bell', 'drum', 'cat')
    values = coco_file(tmp_path, coco())
    assert cli.main(['annotations', 'import-coco', str(values), str(out)]) == 0
    assert read_annotations(out)[0].video == 'a.mp4'


@pytest.mark.parametrize(
    'arguments, message',
    [
        (
            ['import-cvat', 'none.xml', 'o.json', '--fps', '25'],
            'cannot read none.xml: No such file',
        ),
        (['import-coco', 'none.json', 'o.json'], 'cannot read none.json: No such file'),
        (['import-cvat', 'none.xml', 'o.json', '--fps', 'fast'], "'fast' is no rate; expected"),
        (['import-cvat', 'none.xml', 'o.json', '--fps', '25/0'], "'25/0' is no rate; expected"),
        (['import-cvat', 'none.xml', 'o.json', '--fps', '9'], 'cannot come from 9 pictures'),
        (
            ['import-cvat', 'x.xml', 'o.json', '--fps', '25', '--size', '9'],
            "'9' is no size; expected",
        ),
        (
            ['import-cvat', 'x.xml', 'y.xml', 'o.json', '--fps', '25', '--video', 'a'],
            '--video names one video, and there are 2 files',
        ),
        (['stats', 'none.json'], 'cannot read none.json: No such file'),
    ],
)
def test_bad_arguments_are_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(['annotations', *arguments]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith('avsol annotations: error: ') and message in printed
    assert printed.count('\n') == 1
