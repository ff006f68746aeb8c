"""What to evaluate of a bag, and how."""

from dataclasses import dataclass
from numbers import Real
from pathlib import Path

from avsol_ros.bags import is_bag
from avsol_ros.config import DEFAULT_MODEL, HOP_RANGE_S, BoxConfig
from avsol_ros.errors import AvsolError
from avsol_ros.localization.maps import MOST_PIXELS
from avsol_ros.messages.audio import UNKNOWN_FORMAT, AudioFormat
from avsol_ros.streams.audio_reader import STAMPS


@dataclass(frozen=True)
class EvaluateBagOptions:
    """
    Options of :func:`~avsol_ros.offline.evaluate_bag.evaluate_bag`; they are checked when made.

    :param bag: a folder, ``.mcap`` or ``.db3``.
    :param models: names of shipped models or paths of checkpoints, each of which runs over the
        bag; by default the shipped one. None runs where ``recorded`` is given.
    :param recorded: take the results that a localizer published live, from this bag, which may be
        ``bag`` itself.
    :param localizer: node whose results are meant, where that bag has those of several.
    :param image_topic: topics are found by their types; name them where that is not enough.
    :param audio_topic: topic of the sound.
    :param audio_info_topic: topic that tells the format of the sound.
    :param truth_topic: topic of ground truth, vision_msgs/Detection2DArray.
    :param annotations: a file, or a folder of files, with the truth in place of the topic.
    :param origin_ns: stamp of the annotation's time 0, nanoseconds; by default what the bag says,
        else the stamp of its first image.
    :param seed: of the random maps that scores are compared with.
    :param out: folder for the files; by default ``out/NAME``, with recorded results
        ``out/NAME/recorded``. Several models have a folder each in it.
    :param video: whether to write the film; by default where there is no truth.
    :param heatmap_size: of the heatmaps in the bag of results: ``'model'``, ``'camera'``, or width
        and height in pixels.
    :param device: ``auto``, ``cpu`` or ``cuda``.
    :param engine: ``auto``, ``torch``, ``torch-half`` or ``openvino``.
    :param threads: CPU threads of the model, for all of the process; 0 leaves the choice to
        PyTorch.
    :param hop: seconds between the starts of two windows, 0.02 to 1.
    :param audio_format: format of the sound, as far as the bag does not tell it.
    :param audio_latency: seconds by which the stamps of the sound are late.
    :param audio_stamps: whether they tell the ``start`` or the ``end`` of a message's sound;
        ``auto`` takes the start.
    :param stream_timeout: seconds of silence, by the stamps, that end a stream.
    :param boxes: how maps become boxes.
    :raises AvsolError: for a value that cannot be.
    """

    bag: str | Path
    models: tuple[str | Path, ...] = ()
    recorded: str | Path | None = None
    localizer: str = ''
    image_topic: str = ''
    audio_topic: str = ''
    audio_info_topic: str = ''
    truth_topic: str = ''
    annotations: Path | None = None
    origin_ns: int | None = None
    seed: int = 0
    out: Path | None = None
    video: bool | None = None
    heatmap_size: str | tuple[int, int] = 'model'
    device: str = 'auto'
    engine: str = 'auto'
    threads: int = 0
    hop: float = 0.25
    audio_format: AudioFormat = UNKNOWN_FORMAT
    audio_latency: float = 0.0
    audio_stamps: str = 'auto'
    stream_timeout: float = 2.0
    boxes: BoxConfig = BoxConfig()

    def __post_init__(self) -> None:
        if self.recorded is None:
            models = tuple(dict.fromkeys(map(str, self.models))) or (DEFAULT_MODEL,)
            object.__setattr__(self, 'models', models)
        elif self.models:
            raise AvsolError(
                f'recorded runs no model, and {self.models[0]} is given; leave one out'
            )
        elif not is_bag(self.recorded):
            raise AvsolError(
                f'recorded is {str(self.recorded)!r}; expected a bag with the results of a '
                'localizer, which may be the bag itself'
            )
        if self.annotations is not None and self.truth_topic:
            raise AvsolError('both annotations and truth_topic are given; expected one truth')
        least, most = HOP_RANGE_S
        self._require('hop', _is_real(self.hop, least, most), f'{least:g} to {most:g} seconds')
        self._require('seed', _is_integer(self.seed), 'an integer, at least 0')
        self._require('threads', _is_integer(self.threads), 'an integer, at least 0')
        self._require(
            'origin_ns',
            self.origin_ns is None or _is_integer(self.origin_ns),
            'nanoseconds, at least 0',
        )
        self._require('audio_stamps', self.audio_stamps in STAMPS, f'one of {", ".join(STAMPS)}')
        self._require('stream_timeout', _is_real(self.stream_timeout, 0), 'seconds, at least 0')
        self._require('audio_latency', _is_real(self.audio_latency), 'seconds')
        self._require(
            'heatmap_size',
            self.heatmap_size in ('model', 'camera') or _is_size(self.heatmap_size),
            'model, camera, or a width and a height in pixels such as (112, 112)',
        )

    @property
    def takes_recorded(self) -> bool:
        """Whether results that were recorded are taken, in place of running models."""
        return self.recorded is not None

    def _require(self, name: str, condition: bool, expected: str) -> None:
        if not condition:
            raise AvsolError(f'{name} is {getattr(self, name)!r}; expected {expected}')


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and value >= 0


def _is_real(value: object, least: float = -3600.0, most: float = 3600.0) -> bool:
    return isinstance(value, Real) and least <= float(value) <= most


def _is_size(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(side, int) and side > 0 for side in value)
        and value[0] * value[1] <= MOST_PIXELS
    )
