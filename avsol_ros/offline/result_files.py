"""
What was found in a bag, as files: a bag of results, a line for each window, a film, a sheet.

All of them are written window by window into a folder beside, and moved to their places at the
end, so that files of an earlier run stay whole until then.
"""

import json
import math
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from avsol_ros.bags import BagReader, BagWriter, is_bag, make_message
from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.files import StagedFolder
from avsol_ros.inference.localizer import Localization
from avsol_ros.localization import UNNAMED
from avsol_ros.offline.bag_source import ORIGIN_KEY
from avsol_ros.offline.localization_run import Finding
from avsol_ros.offline.result_pictures import Film, Sheet
from avsol_ros.offline.timeline import Timeline
from avsol_ros.streams.audio_reader import AudioReader

#: What the bag of results keeps beside its messages.
CENTRE_KEY, SIZE_KEY, MODEL_KEY, SOURCE_KEY = (
    'avsol_first_centre',
    'avsol_image_size',
    'avsol_model',
    'avsol_source',
)
#: Names of topics, as the localizer has them when it runs live.
SPACE = '/avsol_localizer'

_TYPES = {
    'sounding_objects': 'avsol_ros/msg/SoundingObjects',
    'detections': 'vision_msgs/msg/Detection2DArray',
    'heatmap_float': 'sensor_msgs/msg/Image',
}
_OVERLAY, _SHEET, _LINES, _RESULTS = (
    'overlay.mp4',
    'sheet.png',
    'localizations.jsonl',
    'localizations',
)


class OutputFolder(StagedFolder):
    """The folder of the results; :meth:`commit` puts them over those of an earlier run."""

    def __enter__(self) -> 'OutputFolder':
        self._refuse_foreign()
        return super().__enter__()

    def _refuse_foreign(self) -> None:
        """Raise AvsolError for a folder of other files where the bag of results would go."""
        place = self.folder / _RESULTS
        try:
            foreign = (
                []
                if not place.is_dir()
                else [
                    path.name
                    for path in sorted(place.iterdir())
                    if path.name not in ('metadata.yaml', f'{_RESULTS}.mcap')
                ]
            )
            if not foreign and is_bag(place):
                with BagReader(place) as reader:
                    foreign = [] if MODEL_KEY in reader.custom else ['a recording']
        except (OSError, AvsolError) as error:
            raise AvsolError(
                f'cannot read {place}, where results would go ({error}); choose '
                'another folder with --out'
            ) from None
        if foreign:
            raise AvsolError(
                f'{place}, where results would go, holds what no evaluation wrote '
                f'({foreign[0]}); choose another folder with --out'
            )


class ResultsBag:
    """
    The localizer's topics as a bag: SoundingObjects, detections, and maps of the model's values.

    :param heatmap_size: width and height of the maps; (0, 0) for the camera's, None for the
        model's own, some hundred bytes each. What lies where in those the bag's custom data says:
        ``avsol_first_centre`` (see ``Localization``) and ``avsol_image_size``.
    :param about: custom data that goes with it.
    """

    def __init__(self, path: Path, heatmap_size: tuple[int, int] | None, about: dict[str, str]):
        self._writer = BagWriter(path)
        self._size = heatmap_size
        self._about = about
        self._told = False

    def __enter__(self) -> 'ResultsBag':
        self._writer.__enter__()
        for name, kind in _TYPES.items():
            self._writer.add_topic(f'{SPACE}/{name}', kind)
        for key, text in self._about.items():
            self._writer.set_custom(key, text)
        return self

    def __exit__(self, *error) -> None:
        self._writer.__exit__(*error)

    def add(self, localization: Localization, finding: Finding, frame_id: str) -> None:
        """Write the messages of a window."""
        header = {'stamp': finding.stamp_ns, 'frame_id': frame_id}
        height, width = localization.image_size
        if not self._told:
            self._told = True
            self._writer.set_custom(SIZE_KEY, f'{width}x{height}')
            if self._size is None and localization.first_centre is not None:
                self._writer.set_custom(CENTRE_KEY, repr(float(localization.first_centre)))
        heat = (
            localization.heatmap
            if self._size is None
            else localization.heatmap_at(self._size[1] or height, self._size[0] or width)
        )
        detections = [_detection(box, header) for box in finding.result.boxes]
        avc = localization.avc
        messages = {
            'heatmap_float': {
                'height': heat.shape[0],
                'width': heat.shape[1],
                'encoding': '32FC1',
                'step': 4 * heat.shape[1],
                'data': np.ascontiguousarray(heat, '<f4').tobytes(),
            },
            'detections': {'detections': detections},
            'sounding_objects': {
                'window_start': localization.start_ns,
                'window_end': localization.end_ns,
                'audio_missing': finding.audio_missing_s or 0.0,
                'avc_probability': math.nan if avc is None else float(avc),
                'class_names': list(localization.class_names),
                'class_scores': np.asarray(localization.class_scores, np.float32),
                'detections': detections,
            },
        }
        for name, fields in messages.items():
            self._writer.write(
                f'{SPACE}/{name}',
                finding.log_ns,
                make_message(_TYPES[name], header=header, **fields),
            )


def _detection(box, header: dict) -> dict:
    return {
        'header': header,
        'results': [
            {'hypothesis': {'class_id': box.class_name or UNNAMED, 'score': float(box.score)}}
        ],
        'bbox': {
            'center': {'position': {'x': (box.x0 + box.x1) / 2, 'y': (box.y0 + box.y1) / 2}},
            'size_x': float(box.x1 - box.x0),
            'size_y': float(box.y1 - box.y0),
        },
    }


def window_line(finding: Finding, origin_ns: int) -> str:
    """One window as JSON on one line; ``time`` is its start in seconds after the origin."""
    result = finding.result

    def rounded(values):
        return [round(float(v), 2) for v in values]

    return json.dumps(
        {
            'time': round((result.start_ns - origin_ns) / NANOSECONDS, 6),
            'start_ns': result.start_ns,
            'end_ns': result.end_ns,
            'stamp_ns': finding.stamp_ns,
            'avc': None if result.avc is None else round(float(result.avc), 6),
            'class_scores': {k: round(float(v), 6) for k, v in result.class_scores.items()},
            'boxes': [
                {
                    'box': rounded((b.x0, b.y0, b.x1, b.y1)),
                    'class': b.class_name or None,
                    'score': round(b.score, 6),
                    'class_score': round(b.class_score, 6),
                }
                for b in result.boxes
            ],
            'peak': rounded(result.peak),
            'image_size': list(result.image_size),
            'frames': finding.frames,
            'audio_missing': None
            if finding.audio_missing_s is None
            else round(finding.audio_missing_s, 6),
        },
        allow_nan=False,
    )


def results_about(model: str, source: str, origin_ns: int) -> dict[str, str]:
    """Custom data of a bag of results."""
    return {MODEL_KEY: model, SOURCE_KEY: source, ORIGIN_KEY: str(origin_ns)}


class RunFiles:
    """
    All files of one run over a bag, window by window.

    :param folder: where they go when :meth:`keep` is called; what is not kept leaves nothing.
    :param origin_ns: stamp from which times are told.
    :param name: of the bag, for the sheet.
    :param film: an ``AudioReader`` of its own, to write the film; None for no film.
    :param timeline: of what was found when.
    :ivar film: told of the bag's messages by the caller; None without.
    """

    def __init__(
        self, folder: Path, origin_ns: int, name: str, film: AudioReader | None, timeline: Timeline
    ):
        self._output = OutputFolder(folder)
        self._origin_ns = origin_ns
        self._name = name
        self._stack = ExitStack()
        self._lines = self._bag = self._sheet = None
        self._film_audio = film
        self.film: Film | None = None
        self.timeline = timeline
        self.windows = 0

    def __enter__(self) -> 'RunFiles':
        with self._stack as stack:
            part = stack.enter_context(self._output).part
            self._lines = stack.enter_context(open(part / _LINES, 'w', encoding='utf-8'))
            if self._film_audio is not None:
                self.film = Film(part / _OVERLAY, self._film_audio)
                stack.callback(self.film.discard)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind, error, trace) -> None:
        self._stack.__exit__(kind, error, trace)

    def add_bag(
        self, heatmap_size: tuple[int, int] | None, about: dict[str, str], expected: int
    ) -> None:
        """
        Write a bag of results and a sheet too.

        :param expected: windows that will come, roughly.
        """
        self._bag = ResultsBag(self._output.part / _RESULTS, heatmap_size, about)
        self._bag.__enter__()
        self._stack.push(lambda *error: self._bag and self._bag.__exit__(*error))
        self._sheet = Sheet(expected)

    def add(self, finding: Finding) -> None:
        """Take what was found in a window."""
        self.windows += 1
        self._lines.write(window_line(finding, self._origin_ns) + '\n')
        self.timeline.add(finding)
        if self.film is not None:
            self.film.add(finding)

    def add_localization(
        self,
        localization: Localization,
        finding: Finding,
        frame_id: str,
        image: np.ndarray,
        truth: tuple = (),
    ) -> None:
        """
        The same with what the model says, for the bag of results and the sheet.

        :param image: (H, W, 3) uint8 RGB, the window's middle frame.
        :param truth: annotated objects in it, as ``draw_localization`` has them.
        """
        self._bag.add(localization, finding, frame_id)
        self._sheet.add(image, localization, finding, self._origin_ns, truth)
        self.add(finding)

    def keep(self) -> tuple[list[str], list[str]]:
        """
        Finish all files and move them to their places; without a window there are none.

        :returns: their paths, and what went wrong with the film.
        """
        if not self.windows:
            return [], []
        problems = []
        self._lines.close()
        if self._bag is not None:
            bag, self._bag = self._bag, None
            bag.__exit__(None, None, None)
            self._sheet.write(self._output.part / _SHEET, self._name)
        if self.film is not None:
            try:
                self.film.close()
            except AvsolError as error:
                problems.append(f'{_OVERLAY} was not written: {error}')
                self.film.discard()
        return [str(path) for path in self._output.commit()], problems
