"""One evaluation of a bag: what its runs share, and what comes of them."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avsol_ros.bags import BagReader, Streams, find_streams
from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.files import write_text
from avsol_ros.models.model_config import ModelConfig
from avsol_ros.offline.bag_options import EvaluateBagOptions
from avsol_ros.offline.bag_source import ORIGIN_KEY, bag_origin
from avsol_ros.offline.bag_summary import describe_bag, describe_found
from avsol_ros.offline.result_pictures import Film
from avsol_ros.offline.results_bag import SOURCE_KEY
from avsol_ros.offline.run_files import RunFiles
from avsol_ros.offline.scorer import RunScores, Scores, Scoring
from avsol_ros.offline.timeline import Timeline
from avsol_ros.offline.topic_facts import StreamFacts
from avsol_ros.stopping import Stopping
from avsol_ros.streams.audio_reader import AudioReader

#: Told how far a run is: its name, the share that is done (0 to 1), and more in words.
OnProgress = Callable[[str, float, str], None]

SUMMARY = 'summary.json'


@dataclass(frozen=True, eq=False)
class BagEvaluation:
    """
    What came of an evaluation.

    :param document: plain values, as in ``summary.json``: ``bag``, ``topics``, ``image``,
        ``audio``, ``skew``, ``cut``, ``truth``, ``runs``, ``scores``, ``problems`` and
        ``interrupted``.
    :param tables: scores as text, tables and notes; empty without truth.
    :param files: paths of what was written; none without a window.
    """

    document: dict
    tables: list[str]
    files: list[Path]

    @property
    def windows(self) -> int:
        """Windows of all runs."""
        return sum(run['windows'] for run in self.document['runs'])

    @property
    def problems(self) -> list[str]:
        """What could not be read or used, one line each."""
        return self.document['problems']

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before the end of the bag."""
        return self.document['interrupted']


class BagSession:
    """
    What the runs of one evaluation share.

    :param reader: the recording.
    :param results: the bag with recorded results, which may be the same; the same too where
        models run.
    :param scoring: None for no scores.
    :ivar streams: topics of the recording.
    :ivar origin_ns: stamp from which times are told.
    :ivar facts: of its topics.
    :ivar problems: what could not be read or used, one line each.
    :ivar image_size: height and width of the camera's images; None until that is known.
    :ivar interrupted: whether a run was stopped.
    :ivar scores: what scores are made on; None without truth.
    :ivar out: folder for the files.
    """

    def __init__(
        self,
        options: EvaluateBagOptions,
        reader: BagReader,
        results: BagReader,
        scoring: Scoring | None,
        stopping: Stopping,
        on_progress: OnProgress,
    ):
        self.options, self.stopping = options, stopping
        self.reader, self.results = reader, results
        self._scoring, self._on_progress = scoring, on_progress
        self.streams = self._find_streams()
        origin_ns = self._find_origin()
        self.origin_ns = origin_ns or 0
        self.facts = StreamFacts()
        self.problems: list[str] = []
        self.image_size: tuple[int, int] | None = None
        self.interrupted = False
        self.document = describe_bag(reader, self.streams, self.origin_ns)
        self.document |= {'truth': None, 'runs': [], 'scores': None}
        self.scores = self._open_scores(origin_ns)
        # Recorded results go beside the files of a model's run, which stay what they are.
        beside = ('recorded',) if options.takes_recorded else ()
        self.out = options.out or Path('out', reader.name, *beside)
        self._video = self.scores is None if options.video is None else options.video

    @property
    def audio_latency_ns(self) -> int:
        """Nanoseconds by which the stamps of the sound are late."""
        return round(self.options.audio_latency * NANOSECONDS)

    @property
    def duration_ns(self) -> int:
        """Length of the recording in nanoseconds."""
        return self.reader.end_ns - self.reader.start_ns

    def make_audio_reader(self) -> AudioReader:
        """A reader of the sound that leaves out what it cannot use."""
        options = self.options
        return AudioReader(
            lambda error: None, options.audio_format, self.audio_latency_ns, options.audio_stamps
        )

    def make_files(self, folder: Path, timeline: Timeline) -> RunFiles:
        """Files of a run, with the film if it is wanted."""
        wanted = self._video and self.streams.image
        return RunFiles(
            folder,
            self.origin_ns,
            self.reader.name,
            timeline,
            film=(lambda path: Film(path, self.make_audio_reader())) if wanted else None,
        )

    def begin_scores(self, name: str, config: ModelConfig | None = None) -> RunScores | None:
        """Scores of a run, of a model by its configuration; None without truth."""
        if self.scores is None or self._scoring is None:
            return None
        return self._scoring.begin_run(self.scores, name, config)

    def drawn_truth(self, stamp_ns: int, image: np.ndarray) -> Sequence:
        """Annotated objects at a moment, for pictures of this size."""
        return () if self.scores is None else self.scores.truth.drawn(stamp_ns, image.shape[:2])

    def tell_progress(self, name: str, log_ns: int, windows: int, began: float) -> None:
        """
        Tell how far a run is.

        :param log_ns: of the newest message.
        :param began: ``time.monotonic()`` at its beginning.
        """
        seconds = (log_ns - self.reader.start_ns) / NANOSECONDS
        speed = seconds / max(time.monotonic() - began, 1e-3)
        share = seconds / (self.document['bag']['duration'] or 1)
        self._on_progress(name, share, f'{windows} windows, {speed:.1f} x real time')

    def add_run(
        self,
        name: str,
        files: RunFiles,
        kept: list[str],
        scores: RunScores | None,
        *,
        where: str | None = None,
        failed: int = 0,
        speed: float | None = None,
        heatmaps: Sequence[str] = (),
    ) -> None:
        """
        Take down what came of a run, and score it.

        :param kept: paths of its files.
        :param where: where and how the model ran.
        :param failed: windows that it could not take.
        :param speed: seconds of recording for each second that it took.
        :param heatmaps: of what recorded maps were made.
        """
        self.document['runs'].append(
            {
                'model': name,
                'where': where,
                'windows': files.windows,
                'failed': failed,
                'speed': speed,
                'heatmaps': list(heatmaps),
                **describe_found(files.timeline, self.origin_ns),
                'files': kept,
            }
        )
        if scores is None or not files.windows:
            return
        try:
            scores.finish()
        except AvsolError as error:  # no truth at these times: what was found is there anyhow
            self.problems.append(str(error))

    def finish(self) -> BagEvaluation:
        """Score all runs together and write the summary, if there was any window."""
        document = self.document
        tables: list[str] = []
        if self._scoring is not None and self.scores is not None and self.scores.runs:
            document['scores'], tables = self._scoring.report_scores(
                self.scores, document['runs'], self.options.seed
            )
        problems = [*self.reader.problems, *self.results.problems, *self.problems]
        document |= {'problems': list(dict.fromkeys(problems)), 'interrupted': self.interrupted}
        files = [Path(path) for run in document['runs'] for path in run['files']]
        if any(run['windows'] for run in document['runs']):
            text = json.dumps(document, indent=2, allow_nan=False)
            files.append(write_text(self.out / SUMMARY, text + '\n'))
        return BagEvaluation(document, tables, files)

    def _find_streams(self) -> Streams:
        options = self.options
        names = {
            'image': options.image_topic,
            'audio': options.audio_topic,
            'audio_info': options.audio_info_topic,
            'truth': options.truth_topic,
        }
        if not options.takes_recorded:
            return find_streams(self.reader, **names)
        if self.results is not self.reader:
            return find_streams(self.reader, **names, need=())
        return find_streams(self.reader, **names, localizer=options.localizer, need=('sounding',))

    def _find_origin(self) -> int | None:
        """Stamp of the annotation's time 0; None where nothing tells it."""
        if self.options.origin_ns is not None:
            return self.options.origin_ns
        origin_ns = bag_origin(self.reader, self.streams)
        if origin_ns is None and ORIGIN_KEY in self.results.custom:
            origin_ns = bag_origin(self.results, self.streams)
        return origin_ns

    def _open_scores(self, origin_ns: int | None) -> Scores | None:
        """Open the truth, where there is any."""
        options = self.options
        if options.annotations is None and not self.streams.truth:
            return None
        if self._scoring is None:
            if options.annotations is not None:
                raise AvsolError(
                    'annotations are given, but nothing that scores; give scoring, such as '
                    'avsol_ros.training.evaluation.bag_report'
                )
            return None
        names = [self.reader.name]
        if SOURCE_KEY in self.results.custom:
            names.append(self.results.custom[SOURCE_KEY])
        scores = self._scoring.open_scores(
            self.reader, options.annotations, self.streams.truth, origin_ns, names, options.seed
        )
        self.problems += scores.truth.problems
        self.document['truth'] = f'{scores.truth.source}, {len(scores.truth.frames)} frames'
        return scores
