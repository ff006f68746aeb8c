"""Two films of a prepared data set, with an annotation of each."""

from ave_dataset import SIZE, media, write_ave_film, write_lists

from avsol_ros import cli
from avsol_ros.training.annotations.annotation_files import write_annotations
from avsol_ros.training.annotations.model import Annotation, FrameTruth, ObjectTruth
from avsol_ros.training.datasets.ave import CATEGORIES as AVE_CATEGORIES

# Category, start and end of the event in seconds, by the name of the film.
FILMS = {'--testCat01': ('Cat', 0, 6), 'bellTest_01': ('Church bell', 4, 10)}


def square(name, time):
    """Where the film of ``ave_dataset`` shows its square: it moves one pixel a frame."""
    left, side = int(time * 10) % (SIZE['width'] // 2), SIZE['height'] // 2
    return (float(left), SIZE['height'] / 4, float(left + side), SIZE['height'] / 4 + side)


def annotate(video, category, start, end):
    """As filmed; besides, somebody unseen meows in second 8 of the cat's film."""
    frames = []
    for k in range(100):
        time = (k + 0.5) / 10
        objects = []
        if start <= time < end:
            objects.append(ObjectTruth(0, category, square(video, time), True))
        if category == 'Cat' and 8 <= time < 9:
            objects.append(ObjectTruth(1, 'Cat', None, True, True))
        if category == 'Cat' and 7 <= time < 8:
            objects.append(ObjectTruth(2, 'Bark', (1.0, 1.0, 9.0, 9.0), False))
        frames.append(FrameTruth(time, tuple(objects)))
    return Annotation(
        f'{video}.mp4', 10.0, SIZE['width'], SIZE['height'], 10.0, AVE_CATEGORIES, tuple(frames)
    )


def write_annotated_films(folder):
    """Write the films, prepared, as ``clips`` and their annotations as ``boxes.json``."""
    (folder / 'ave' / 'AVE').mkdir(parents=True)
    write_lists(folder / 'ave')
    for video, event in FILMS.items():
        write_ave_film(media(folder / 'ave', video), *event)
    assert cli.main(['prepare', str(folder / 'ave'), str(folder / 'clips'), '--workers', '1']) == 0
    write_annotations(folder / 'boxes.json', [annotate(v, *e) for v, e in FILMS.items()])
