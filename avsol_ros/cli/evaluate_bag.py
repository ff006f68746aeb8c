"""``avsol evaluate BAG``: what a robot recorded, through the localizer or as it found it live."""

import heapq
import json
import sys
import time
from contextlib import ExitStack
from decimal import Decimal, InvalidOperation
from pathlib import Path

from avsol_ros.bags import BagReader, Streams, find_streams, is_bag
from avsol_ros.cli.arguments import require_at_least, require_folder
from avsol_ros.cli.evaluate import BAG_PARAMETERS
from avsol_ros.config import DEFAULT_MODEL, NANOSECONDS, WindowConfig
from avsol_ros.errors import AvsolError
from avsol_ros.exit_status import ExitStatus
from avsol_ros.files import write_text
from avsol_ros.messages.audio import parse_audio_format
from avsol_ros.nodes.parameters import box_config
from avsol_ros.offline.bag_source import ORIGIN_KEY, bag_messages, bag_origin, first_image
from avsol_ros.offline.bag_summary import (
    describe_bag,
    describe_found,
    describe_streams,
    format_head,
    format_run,
    format_streams,
)
from avsol_ros.offline.localization_run import LocalizationRun
from avsol_ros.offline.recorded_results import RecordedMaps, RecordedRun
from avsol_ros.offline.result_pictures import Film
from avsol_ros.offline.results_bag import (
    CENTRE_KEY,
    MODEL_KEY,
    SIZE_KEY,
    SOURCE_KEY,
    results_about,
)
from avsol_ros.offline.run_files import RunFiles
from avsol_ros.offline.timeline import Timeline
from avsol_ros.offline.topic_facts import StreamFacts
from avsol_ros.progress import Progress
from avsol_ros.stopping import Stopped, Stopping
from avsol_ros.streams.audio_reader import AudioReader
from avsol_ros.streams.intake import Intake, window_config

_SUMMARY = 'summary.json'
_OF_MODELS = ('heatmap_size', 'device', 'engine', 'threads', 'hop')


def evaluate_bag(arguments, bags: list[str], models: list[str]) -> int:
    """
    Localize a bag, or take what was found live, and score it where the truth is known.

    :param arguments: of the command line of ``avsol evaluate``.
    :returns: exit status.
    """
    require_at_least(arguments, 0, 'seed')
    recorded = arguments.recorded
    if recorded is not None:
        _check_recorded(arguments, models)
        bags = bags or ([recorded] if recorded else [])
    if len(bags) != 1:
        raise AvsolError(
            f'{len(bags)} bags are given ({", ".join(bags)}); expected one'
            if bags
            else '--recorded goes with a bag, and none is given'
        )
    with ExitStack() as stack:
        reader = results = stack.enter_context(BagReader(bags[0]))
        if recorded and recorded != bags[0]:
            results = stack.enter_context(BagReader(recorded))
        session = _Session(arguments, reader, results, stack.enter_context(Stopping()))
        if recorded is None:
            session.run_models(list(dict.fromkeys(models)) or [DEFAULT_MODEL])
        else:
            session.run_recorded()
        return session.finish()


def _check_recorded(arguments, models: list[str]) -> None:
    if models:
        raise AvsolError(f'--recorded runs no model, and {models[0]} is given; leave one out')
    if arguments.recorded and not is_bag(arguments.recorded):
        raise AvsolError(
            f'--recorded is {arguments.recorded!r}; expected a bag with the results '
            'of a localizer, or nothing where they are in the bag itself'
        )
    for name in _OF_MODELS:
        if getattr(arguments, name) is not None:
            raise AvsolError(
                f'--{name.replace("_", "-")} goes with a model, and --recorded runs '
                'none; leave one out'
            )


class _Session:
    """
    One call of the command.

    :param reader: the recording.
    :param results: the bag with recorded results, which may be the same.
    """

    def __init__(self, arguments, reader: BagReader, results: BagReader, stopping: Stopping):
        self._arguments, self._stopping = arguments, stopping
        self._reader, self._results = reader, results
        self._values = {
            p.name: p.default if (given := getattr(arguments, p.name)) is None else p.check(given)
            for p in BAG_PARAMETERS
        }
        self._boxes = box_config(self._values)
        self._heatmap_size = _heatmap_size(arguments.heatmap_size or 'model')
        self._streams = self._find_streams()
        self._origin_ns = self._find_origin()
        self._zero_ns = self._origin_ns or 0
        self._facts = StreamFacts()
        self._image_size: tuple[int, int] | None = None
        self._problems: list[str] = []
        self._interrupted = False
        self._document = describe_bag(reader, self._streams, self._zero_ns)
        self._document |= {'truth': None, 'runs': [], 'scores': None}
        self._scores = self._open_scores()
        # Beside the files of a model's run, which stay what they are.
        beside = () if arguments.recorded is None else ('recorded',)
        self._out = arguments.out or Path('out', reader.name, *beside)
        require_folder(self._out)
        self._video = self._scores is None if arguments.video is None else arguments.video
        self._progress = Progress()

    # What the bag has.

    def _find_streams(self) -> Streams:
        a = self._arguments
        names = {
            'image': a.image_topic or '',
            'audio': a.audio_topic or '',
            'audio_info': a.audio_info_topic or '',
            'truth': a.truth_topic or '',
        }
        if a.recorded is None:
            return find_streams(self._reader, **names)
        if self._results is not self._reader:
            return find_streams(self._reader, **names, need=())
        return find_streams(self._reader, **names, localizer=a.localizer or '', need=('sounding',))

    def _find_origin(self) -> int | None:
        """None where nothing tells it."""
        if self._arguments.origin is not None:
            return _nanoseconds(self._arguments.origin)
        origin_ns = bag_origin(self._reader, self._streams)
        if origin_ns is None and ORIGIN_KEY in self._results.custom:
            origin_ns = bag_origin(self._results, self._streams)
        return origin_ns

    def _open_scores(self):
        """Load what scoring needs, where there is truth; without, nothing of it is imported."""
        arguments, topic = self._arguments, self._streams.truth
        if arguments.annotations is None and not topic:
            return None
        if arguments.annotations is not None and arguments.truth_topic:
            raise AvsolError('both --annotations and --truth-topic are given; expected one truth')
        from avsol_ros.training.evaluation.bag_report import open_scores

        names = [self._reader.name]
        if SOURCE_KEY in self._results.custom:
            names.append(self._results.custom[SOURCE_KEY])
        scores = open_scores(
            self._reader, arguments.annotations, topic, self._origin_ns, names, arguments.seed
        )
        self._problems += scores.truth.problems
        self._document['truth'] = f'{scores.truth.source}, {len(scores.truth.frames)} frames'
        return scores

    # A model.

    def run_models(self, models: list[str]) -> None:
        """Run one model after the other over the bag."""
        from avsol_ros.inference.localizer import Localizer

        if self._values['threads']:
            import torch

            torch.set_num_threads(self._values['threads'])
        localizers = [
            Localizer.load(name, self._values['device'], self._values['engine']) for name in models
        ]
        for name, localizer, folder in zip(models, localizers, _folders(self._out, models)):
            if not self._interrupted:
                self._run_model(name, localizer, folder)

    def _run_model(self, name: str, localizer, folder: Path) -> None:
        first = not self._document['runs']
        config = window_config(self._values['hop'], localizer.frames)
        refused: list[str] = []
        intake = self._make_intake(config, refused.append)
        scores = self._begin_scores(name, localizer.model.config)
        began = time.monotonic()
        with self._make_files(folder, Timeline(config.hop_ns)) as files:

            def watch(kind, log_ns, msg):
                self._stopping.check()
                if first:
                    self._facts.add(kind, log_ns, msg)
                if files.film is not None:
                    files.film.take(kind, log_ns, msg)
                self._tell(name, log_ns, files.windows, began)

            files.add_bag(
                self._heatmap_size, results_about(name, self._reader.name, self._zero_ns)
            )
            files.add_sheet((self._reader.end_ns - self._reader.start_ns) // config.hop_ns + 1)
            messages = bag_messages(self._reader, self._streams)
            run = LocalizationRun(messages, localizer, intake, self._boxes, watch)
            try:
                for one in run:
                    stamp_ns, image = one.middle_frame
                    self._image_size = self._image_size or image.shape[:2]
                    if scores is not None:
                        scores.add(one.localization)
                    truth = self._drawn_truth(stamp_ns, image)
                    files.add_localized(one, intake.frame_id, truth)
            except Stopped:
                self._interrupted = True
            finally:
                self._progress.close()
            kept, problems = files.keep()
            self._problems += [*refused, *run.problems, *problems]
        if first:
            self._document |= describe_streams(
                self._facts, self._image_size, intake.audio_format, intake.stats, intake.refused
            )
            self._problems += self._facts.problems(self._streams.image, self._streams.audio)
            if not self._interrupted:
                self._problems += self._missing(intake)
        self._add_run(
            name,
            files,
            kept,
            scores,
            where=str(localizer),
            failed=run.failed,
            speed=(
                max(run.log_ns - self._reader.start_ns, 0)
                / NANOSECONDS
                / max(time.monotonic() - began, 1e-9)
            ),
        )

    def _missing(self, intake: Intake) -> list[str]:
        """Why there are no windows at all, in a line."""
        if intake.stats.windows_cut:
            return []
        if self._facts.audio.count and not (self._facts.audio_format or intake.audio_format).known:
            return [
                f'nothing tells the format of the sound on {self._streams.audio}; name the '
                'topic of AudioInfo with --audio-info-topic, or give --audio-format, '
                '--audio-sample-rate and --audio-channels'
            ]
        if intake.refused:
            return []  # why is told already
        return [
            'there is no whole second in which both images and sound came; their stamps '
            'may be of different clocks'
        ]

    def _make_intake(self, config: WindowConfig, report) -> Intake:
        values = self._values
        return Intake(
            config,
            report,
            self._audio_format(),
            self._latency_ns(),
            round(values['stream_timeout'] * NANOSECONDS),
            values['audio_stamps'],
        )

    def _audio_format(self):
        return parse_audio_format(
            self._values['audio_format'],
            self._values['audio_sample_rate'],
            self._values['audio_channels'],
        )

    def _latency_ns(self) -> int:
        return round(self._values['audio_latency'] * NANOSECONDS)

    # Recorded results.

    def run_recorded(self) -> None:
        """Take the results from the bag; camera and sound only for the facts and the film."""
        streams = self._streams
        if self._results is not self._reader:
            streams = find_streams(
                self._results, localizer=self._arguments.localizer or '', need=('sounding',)
            )
        heatmaps = (
            'heatmap_float' if streams.heatmap_float else 'heatmap' if streams.heatmap else ''
        )
        maps = self._recorded_maps()
        self._image_size = maps.image_size
        model = self._results.custom.get(MODEL_KEY) or streams.sounding.rpartition('/')[0]
        name = f'recorded: {model.strip("/")}'
        scores, heard = self._begin_scores(name), self._make_audio_reader()
        began = time.monotonic()
        with self._make_files(self._out, Timeline()) as files:

            def watch(kind, log_ns, msg):
                self._stopping.check()
                self._facts.add(kind, log_ns, msg)
                if kind == 'audio_info':
                    heard.add_info(msg)
                if files.film is not None:
                    files.film.take(kind, log_ns, msg)
                self._tell(name, log_ns, files.windows, began)

            run = RecordedRun(self._recorded_messages(streams), maps, heatmaps, watch)
            try:
                for finding, heat in run:
                    files.add(finding)
                    if scores is not None:
                        scores.add_recorded(finding.result, finding.stamp_ns, heat)
            except Stopped:
                self._interrupted = True
            finally:
                self._progress.close()
            kept, problems = files.keep()
        self._problems += [
            *problems,
            *run.problems(),
            *self._facts.problems(self._streams.image, self._streams.audio),
        ]
        self._document |= describe_streams(self._facts, self._image_size, heard.format)
        self._add_run(name, files, kept, scores, heatmaps=list(maps.sources))

    def _recorded_maps(self) -> RecordedMaps:
        image = first_image(self._reader, self._streams.image)
        size = image and image[1:]
        width, _, height = self._results.custom.get(SIZE_KEY, '').partition('x')
        if size is None and width.isdecimal() and height.isdecimal():
            size = int(height), int(width)
        if size is None and self._scores is not None and self._scores.truth.size is not None:
            size = self._scores.truth.size[::-1]
        try:
            centre = float(self._results.custom[CENTRE_KEY])
        except (KeyError, ValueError):
            centre = None
        return RecordedMaps(size, centre)

    def _recorded_messages(self, streams: Streams):
        if self._results is self._reader:
            return bag_messages(self._reader, streams, results=True)
        found = bag_messages(
            self._results,
            Streams(
                sounding=streams.sounding,
                heatmap=streams.heatmap,
                heatmap_float=streams.heatmap_float,
            ),
            results=True,
        )
        # The film wants them in turn; scores do not care.
        return heapq.merge(
            bag_messages(self._reader, self._streams), found, key=lambda item: item[1]
        )

    # Both.

    def _make_files(self, folder: Path, timeline: Timeline) -> RunFiles:
        wanted = self._video and self._streams.image
        return RunFiles(
            folder,
            self._zero_ns,
            self._reader.name,
            timeline,
            film=(lambda path: Film(path, self._make_audio_reader())) if wanted else None,
        )

    def _make_audio_reader(self) -> AudioReader:
        return AudioReader(
            lambda error: None,
            self._audio_format(),
            self._latency_ns(),
            self._values['audio_stamps'],
        )

    def _begin_scores(self, name: str, config=None):
        if self._scores is None:
            return None
        from avsol_ros.training.evaluation.bag_report import begin_run

        return begin_run(self._scores, name, config)

    def _drawn_truth(self, stamp_ns: int, image) -> tuple:
        return () if self._scores is None else self._scores.truth.drawn(stamp_ns, image.shape[:2])

    def _add_run(
        self,
        name: str,
        files: RunFiles,
        kept: list[str],
        scores,
        *,
        where: str | None = None,
        failed: int = 0,
        speed: float | None = None,
        heatmaps: tuple | list = (),
    ) -> None:
        self._document['runs'].append(
            {
                'model': name,
                'where': where,
                'windows': files.windows,
                'failed': failed,
                'speed': speed,
                'heatmaps': list(heatmaps),
                **describe_found(files.timeline, self._zero_ns),
                'files': kept,
            }
        )
        if scores is None or not files.windows:
            return
        try:
            scores.finish()
        except AvsolError as error:  # no truth at these times: what was found is there anyhow
            self._problems.append(str(error))

    def _tell(self, name: str, log_ns: int, windows: int, began: float) -> None:
        seconds = (log_ns - self._reader.start_ns) / NANOSECONDS
        speed = seconds / max(time.monotonic() - began, 1e-3)
        self._progress.share(
            name,
            seconds / (self._document['bag']['duration'] or 1),
            f'{windows} windows, {speed:.1f} x real time',
        )

    # The end.

    def finish(self) -> int:
        """Write the summary, print everything, and say how it went."""
        document, tables = self._document, []
        if self._scores is not None and self._scores.runs:
            from avsol_ros.training.evaluation.bag_report import report_scores

            document['scores'], tables = report_scores(
                self._scores, document['runs'], self._arguments.seed
            )
        problems = [*self._reader.problems, *self._results.problems, *self._problems]
        document |= {'problems': list(dict.fromkeys(problems)), 'interrupted': self._interrupted}
        done = any(run['windows'] for run in document['runs'])
        text = json.dumps(document, indent=2, allow_nan=False)
        files = [path for run in document['runs'] for path in run['files']]
        if done:
            files.append(str(write_text(self._out / _SUMMARY, text + '\n')))
        if self._arguments.json:
            print(text)
        else:
            runs = [run for run in document['runs'] if run['windows']]
            scored = any(
                row['hmbox_auc'] is not None
                for row in (document['scores'] or {'rows': ()})['rows']
            )
            found = ['\n'.join(map(format_head, runs))] if scored else map(format_run, runs)
            print(format_streams(document), *found, *tables, sep='\n\n')
            print(*['', *files], sep='\n', end='\n' if files else '')
        return self._tell_problems(document['problems'], done)

    def _tell_problems(self, problems: list[str], done: bool) -> int:
        said = list(problems)
        if not done:
            said.append(
                'error: '
                + (
                    'it was stopped before the first window'
                    if self._interrupted
                    else 'no window could be localized'
                )
            )
        elif self._interrupted:
            said.append('stopped; what was found until then is written')
        for line in said:
            print(f'avsol evaluate: {line}', file=sys.stderr)
        if self._interrupted:
            return ExitStatus.INTERRUPTED
        if not done:
            return ExitStatus.FAILED
        return ExitStatus.PARTLY if problems else ExitStatus.OK


def _nanoseconds(text: str) -> int:
    """Seconds as nanoseconds; exact, as floats of such a size are not."""
    try:
        value = Decimal(text)
        if value.is_finite() and 0 <= value < 1 << 33:
            return int(value * NANOSECONDS)
    except InvalidOperation:
        pass
    raise AvsolError(f'--origin is {text!r}; expected a stamp in seconds, such as 1700000000.25')


def _heatmap_size(text: str) -> tuple[int, int] | None:
    """As ``ResultsBag`` takes it."""
    if text in ('model', 'camera'):
        return None if text == 'model' else (0, 0)
    width, _, height = text.partition('x')
    if width.isdecimal() and height.isdecimal() and 0 < int(width) * int(height) <= 1 << 28:
        return int(width), int(height)
    raise AvsolError(
        f'--heatmap-size is {text!r}; expected model, camera, or WIDTHxHEIGHT such as 112x112'
    )


def _folders(out: Path, models: list[str]) -> list[Path]:
    """Where the files of each model go: one folder each, where there are several."""
    if len(models) == 1:
        return [out]
    names = []
    for model in models:
        path = Path(model.removesuffix('.safetensors'))
        name = path.parent.name if path.name == 'model' and path.parent.name else path.name
        number = 2
        unique = name
        while unique in names:
            unique, number = f'{name}-{number}', number + 1
        names.append(unique)
    return [out / name for name in names]
