"""The truth of a bag: annotations as JSON, or the topic of ground truth in it."""

import json
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from avsol_ros.bags import BagReader
from avsol_ros.errors import AvsolError
from avsol_ros.training.annotations.annotation_files import read_annotations
from avsol_ros.training.annotations.bag_keys import CATEGORIES_KEY
from avsol_ros.training.annotations.model import NANOSECONDS, Annotation, FrameTruth
from avsol_ros.training.annotations.truth_messages import detections_to_truth

_ASPECT_ERROR = 0.05


@dataclass(frozen=True, eq=False)
class BagTruth:
    """
    Frames of truth by their stamps, all in memory.

    :param stamps_ns: of the frames, rising.
    :param size: width and height of the picture in which the boxes are; None: the camera's.
    :param source: where it is from, for people.
    :param problems: what could not be read of it, a line each.
    """

    stamps_ns: Sequence[int]
    frames: Sequence[FrameTruth]
    categories: tuple[str, ...]
    size: tuple[int, int] | None
    source: str
    problems: tuple[str, ...] = ()

    def between(self, start_ns: int, end_ns: int) -> tuple[FrameTruth, ...]:
        """Frames whose stamp is in the window."""
        first, last = (bisect_left(self.stamps_ns, ns) for ns in (start_ns, end_ns))
        return tuple(self.frames[first:last])

    def drawn(self, stamp_ns: int, image_size: tuple[int, int]) -> tuple[dict, ...]:
        """
        Objects of the nearest frame, for ``draw_localization``.

        :param image_size: height and width of the picture.
        :returns: nothing where no frame is within half a second.
        """
        at = bisect_left(self.stamps_ns, stamp_ns)
        near = range(max(0, at - 1), min(len(self.frames), at + 1))
        best = min(near, key=lambda i: abs(self.stamps_ns[i] - stamp_ns), default=None)
        if best is None or abs(self.stamps_ns[best] - stamp_ns) > NANOSECONDS // 2:
            return ()
        width, height = self.size_in(image_size)
        across, down = image_size[1] / width, image_size[0] / height
        return tuple(
            {
                'category': o.category,
                'sounding': o.sounding,
                'out_of_view': o.out_of_view,
                'box': o.box
                and (o.box[0] * across, o.box[1] * down, o.box[2] * across, o.box[3] * down),
            }
            for o in self.frames[best].objects
        )

    def size_in(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """
        Width and height in which the boxes are, for images of (height, width).

        :raises AvsolError: if pictures of one cannot be the other's.
        """
        height, width = image_size
        if self.size is None:
            return width, height
        if abs(self.size[0] / self.size[1] * height / width - 1) > _ASPECT_ERROR:
            raise AvsolError(
                f'the images are {width} x {height} pixels, and annotated as '
                f'{self.size[0]} x {self.size[1]}; expected boxes in the pictures of '
                'the camera'
            )
        return self.size


def truth_from_file(path: Path, names: Sequence[str], origin_ns: int) -> BagTruth:
    """
    Truth of a bag from annotations.

    :param path: file or folder of files.
    :param names: of the bag; the annotated video with one of these names is taken, else the only
        one.
    :param origin_ns: stamp of the annotation's time 0.
    """
    annotation = _choose(read_annotations(path), path, names)
    stamps = [origin_ns + frame.time_ns for frame in annotation.frames]
    return BagTruth(
        stamps,
        annotation.frames,
        annotation.categories,
        (annotation.width, annotation.height),
        f'{path}: {annotation.video}',
    )


def _choose(annotations: Sequence[Annotation], path: Path, names: Sequence[str]) -> Annotation:
    wanted = {part for name in names for part in (name, Path(name).stem)}
    for annotation in annotations:
        if annotation.video in wanted or Path(annotation.video).stem in wanted:
            return annotation
    if len(annotations) == 1:
        return annotations[0]
    some = ', '.join(a.video for a in annotations[:5]) + (', …' if len(annotations) > 5 else '')
    raise AvsolError(
        f'{path} annotates {len(annotations)} videos, none of them '
        f'{" or ".join(names)}: {some or "none at all"}; rename one, or give a file '
        "with the bag's alone"
    )


def truth_from_topic(reader: BagReader, topic: str, origin_ns: int) -> BagTruth:
    """Truth from a Detection2DArray topic; ``problems`` names messages that cannot be used."""
    by_stamp, wrong, repeated = {}, [], 0
    for message in reader.messages([topic]):
        try:
            frame = detections_to_truth(message.decode(), origin_ns)
        except AvsolError as error:
            wrong.append(str(error))
            continue
        stamp_ns = origin_ns + frame.time_ns
        repeated += stamp_ns in by_stamp
        by_stamp.setdefault(stamp_ns, frame)
    if not by_stamp:
        raise AvsolError(
            f'no message of {topic} can be used as ground truth'
            + (f'; the first: {wrong[0]}' if wrong else '')
        )
    problems = []
    if wrong:
        problems.append(f'{topic}: {len(wrong)} message(s) cannot be used, the first: {wrong[0]}')
    if repeated:
        problems.append(
            f'{topic}: {repeated} message(s) have a stamp that another one had '
            'before; the first counts'
        )
    stamps = sorted(by_stamp)
    frames = [by_stamp[stamp] for stamp in stamps]
    return BagTruth(
        stamps, frames, _categories(reader, frames), None, f'topic {topic}', tuple(problems)
    )


def _categories(reader: BagReader, frames: Sequence[FrameTruth]) -> tuple[str, ...]:
    """Categories that the bag names, and all others that occur."""
    try:
        said = json.loads(reader.custom.get(CATEGORIES_KEY, '[]'))
    except ValueError:
        said = []
    said = [name for name in said if isinstance(name, str)] if isinstance(said, list) else []
    seen = {o.category for frame in frames for o in frame.objects} - {None}
    return tuple(dict.fromkeys([*said, *sorted(seen)]))
