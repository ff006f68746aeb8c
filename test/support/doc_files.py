"""Files that the commands and examples of the docs name, made small, in the working folder."""

import json
import shutil
import zipfile
from pathlib import Path

from ave_dataset import SIZE, USED, WHOLE, make_ave
from bag_files import scene_messages, write_sqlite
from films import write_film
from material_folder import make_material
from stand_ins import stand_in
from windowed_films import FILMS, write_list, write_windowed_film

from avsol_ros import cli
from avsol_ros.share import share_folder
from avsol_ros.training.annotations.annotation_files import write_annotations
from avsol_ros.training.annotations.model import Annotation, FrameTruth, ObjectTruth
from avsol_ros.training.annotations.sparse_files import write_film_windows
from avsol_ros.training.annotations.windows_list import import_windows_list

_CVAT = """<annotations><version>1.1</version><meta><task><id>1</id><size>30</size>
<mode>interpolation</mode><start_frame>0</start_frame><stop_frame>29</stop_frame>
<labels><label><name>bell</name><attributes><attribute><name>sounding</name>
<mutable>True</mutable><input_type>checkbox</input_type><default_value>false</default_value>
<values>false</values></attribute></attributes></label></labels>
<original_size><width>64</width><height>48</height></original_size><source>a.mp4</source>
</task></meta><track id="0" label="bell"><box frame="0" keyframe="1" outside="0" xtl="1.0"
ytl="2.0" xbr="30.0" ybr="40.0"><attribute name="sounding">true</attribute></box></track>
</annotations>"""


def _film(path: Path) -> None:
    write_film(path, seconds=2)


def _films(path: Path) -> None:
    path.mkdir()
    _film(path / 'one.mp4')


def _bag(path: Path) -> None:
    write_sqlite(path, scene_messages(3))


def _results(path: Path) -> None:
    """Write the results of a model, as a localizer publishes them."""
    if not Path('my_bag').exists():
        _bag(Path('my_bag'))
    assert cli.main(['evaluate', 'my_bag', '--out', 'results']) == 0
    shutil.copytree('results/localizations', path)


def _dataset(path: Path) -> None:
    _bag(path.with_name('bag_of_dataset'))
    assert cli.main(['convert', 'bag_of_dataset', str(path)]) == 0


def _ave(path: Path) -> None:
    make_ave(path, spoiled=False)


def _prepared(path: Path) -> None:
    if not Path('AVE_Dataset').exists():
        _ave(Path('AVE_Dataset'))
    assert cli.main(['prepare', 'AVE_Dataset', str(path)]) == 0


def _boxes(path: Path) -> None:
    """Write boxes of the films that ``make_ave`` makes for testing."""
    width, height = SIZE['width'], SIZE['height']
    annotations = []
    for category, video, start, end in WHOLE['test']:
        thing = {
            sounding: ObjectTruth(0, category, (0.0, 0.0, width / 2, height / 2), sounding)
            for sounding in (False, True)
        }
        frames = tuple(FrameTruth(k / 10, (thing[start <= k / 10 < end],)) for k in range(100))
        annotations.append(Annotation(f'{video}.mp4', 10.0, width, height, 10.0, USED, frames))
    write_annotations(path, annotations)


def _annotations(path: Path) -> None:
    thing = ObjectTruth(0, 'bell', (1.0, 2.0, 30.0, 40.0), True)
    frames = tuple(FrameTruth(k / 10, (thing,)) for k in range(10))
    write_annotations(path, [Annotation('a.mp4', 10.0, 64, 48, 1.0, ('bell',), frames)])


def _cvat(path: Path) -> None:
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('annotations.xml', _CVAT)


def _coco(path: Path) -> None:
    images = [
        {'id': k, 'width': 64, 'height': 48, 'file_name': f'a/{k:06d}.jpg'} for k in range(10)
    ]
    boxes = [{'id': 1, 'image_id': 4, 'category_id': 1, 'bbox': [1, 2, 3, 4], 'sounding': True}]
    document = {
        'images': images,
        'annotations': boxes,
        'categories': [{'id': 1, 'name': 'bell'}],
    }
    path.write_text(json.dumps(document))


def _windows(path: Path) -> None:
    """Write a list of films, which lie in ``media``, with annotated windows."""
    write_list(path)


def _media(path: Path) -> None:
    path.mkdir()
    for name, (_, hertz) in FILMS.items():
        write_windowed_film(path / f'{name}.mp4', hertz)


def _film_boxes(path: Path) -> None:
    write_list(Path('list.json'))
    write_film_windows(path, import_windows_list('list.json'))


def _checkpoint(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(cli.__file__).parents[1] / 'checkpoints' / 'compact.safetensors', path)


def _weights(path: Path) -> None:
    stand_in('vggish', path.parent).rename(path)


def _params(path: Path) -> None:
    shutil.copy(share_folder() / 'config' / 'avsol.yaml', path)


# Name in a command or an example -> what makes it.
MAKERS = {
    'clip.mp4': _film,
    'films': _films,
    'my_bag': _bag,
    'my_run': _results,
    'dataset': _dataset,
    'AVE_Dataset': _ave,
    'prepared': _prepared,
    'boxes.json': _boxes,
    'annotations.json': _annotations,
    'task.zip': _cvat,
    'coco.json': _coco,
    'windows.json': _windows,
    'media': _media,
    'films.json': _film_boxes,
    'model.safetensors': _checkpoint,
    'FILE': _weights,
    'my.yaml': _params,
    'material': make_material,
}


def make_files(words) -> None:
    """Make those of the words that name a file of the docs and are not there yet."""
    for word in words:
        name = word.rstrip('/')
        if name in MAKERS and not Path(name).exists():
            MAKERS[name](Path(name))
