"""``avsol evaluate BAG``: what a robot recorded, through the localizer or as it found it live."""

import heapq
import json
import signal
import sys
import time
from contextlib import ExitStack, contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path

from avsol_ros.bag_facts import StreamFacts
from avsol_ros.bag_recorded import Pairing, RecordedMaps, RecordedResult, check_result
from avsol_ros.bag_results import (
    CENTRE_KEY,
    MODEL_KEY,
    SIZE_KEY,
    SOURCE_KEY,
    Film,
    OutputFolder,
    ResultsBag,
    Sheet,
    Timeline,
    results_about,
    window_line,
)
from avsol_ros.bag_run import (
    ORIGIN_KEY,
    BagRun,
    Finding,
    bag_messages,
    bag_origin,
    first_image,
)
from avsol_ros.bag_summary import (
    describe_bag,
    describe_found,
    describe_streams,
    format_run,
    format_streams,
)
from avsol_ros.bags import BagReader, find_streams, is_bag
from avsol_ros.cli import INTERRUPTED
from avsol_ros.cli.arguments import require_at_least, require_folder
from avsol_ros.cli.evaluate import BAG_PARAMETERS
from avsol_ros.cli.progress import Progress
from avsol_ros.config import NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.parameters import box_config

PARTLY = 3  # exit status when some of the bag could not be read
_OVERLAY, _SHEET, _LINES, _RESULTS, _SUMMARY = (
    'overlay.mp4', 'sheet.png', 'localizations.jsonl', 'localizations', 'summary.json')


def evaluate_bag(arguments, bags: list[str], models: list[str]) -> int:
    """
    Localize a bag, or take what was found live, and score it where the truth is known.

    :param arguments: of the command line of ``avsol evaluate``.
    :returns: exit status.
    """
    require_at_least(arguments, 0, 'seed')
    recorded = arguments.recorded
    if recorded is not None:
        if models:
            raise AvsolError(f'--recorded runs no model, and {models[0]} is given; leave one out')
        bags = bags or ([recorded] if recorded else [])
        if recorded and not is_bag(recorded):
            raise AvsolError(f'--recorded is {recorded!r}; expected a bag with the results of a '
                             'localizer, or nothing where they are in the bag itself')
        for name in ('heatmap_size', 'device', 'engine', 'hop'):
            if getattr(arguments, name) is not None:
                raise AvsolError(f'--{name.replace("_", "-")} goes with a model, and --recorded '
                                 'runs none; leave one out')
    if len(bags) != 1:
        raise AvsolError(f'{len(bags)} bags are given ({", ".join(bags)}); expected one'
                         if bags else '--recorded goes with a bag, and none is given')
    with ExitStack() as stack:
        reader = stack.enter_context(BagReader(bags[0]))
        results = reader
        if recorded and recorded != bags[0]:
            results = stack.enter_context(BagReader(recorded))
        session = _Session(arguments, reader, results)
        with session.stoppable():
            if recorded is None:
                session.run_models(list(dict.fromkeys(models)) or ['compact'])
            else:
                session.run_recorded()
        return session.finish()


class _Stopped(Exception):
    """Ctrl-C, seen between two messages, so that no file is cut within one."""


class _Session:
    """
    One call of the command.

    :param reader: the recording.
    :param results: the bag with recorded results, which may be the same.
    """

    def __init__(self, arguments, reader: BagReader, results: BagReader):
        self._arguments = arguments
        self._reader, self._results = reader, results
        self._values = {p.name: p.default if (given := getattr(arguments, p.name)) is None
                        else p.check(given) for p in BAG_PARAMETERS}
        self._boxes = box_config(self._values)
        self._heatmap_size = _heatmap_size(arguments.heatmap_size or 'model')
        self._streams = self._find_streams(arguments.recorded is not None)
        given_ns = None if arguments.origin is None else _seconds(arguments.origin)
        self._origin_ns = self._find_origin() if given_ns is None else given_ns
        self._facts = StreamFacts()
        self._image_size: tuple[int, int] | None = None
        self._problems: list[str] = []
        self._interrupted = self._stopping = False
        self._document = describe_bag(reader, self._streams, self._origin_ns or 0)
        self._document |= {'truth': None, 'runs': [], 'scores': None}
        self._truth = self._scores = None
        self._read_truth()
        self._out = arguments.out or Path('out') / reader.name
        require_folder(self._out)
        self._video = arguments.video if arguments.video is not None else self._truth is None
        self._progress = Progress()

    @contextmanager
    def stoppable(self):
        """Let Ctrl-C end the run at the next message; a second one ends it at once."""
        def stop(*_):
            self._stopping = True
            signal.signal(signal.SIGINT, old)
        try:
            old = signal.signal(signal.SIGINT, stop)
        except ValueError:  # not in the main thread, which alone gets signals
            yield
            return
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, old)

    def _find_streams(self, recorded: bool):
        a = self._arguments
        names = {'image': a.image_topic, 'audio': a.audio_topic,
                 'audio_info': a.audio_info_topic, 'truth': a.truth_topic}
        names = {kind: name or '' for kind, name in names.items()}
        if not recorded:
            return find_streams(self._reader, **names)
        if self._results is self._reader:
            return find_streams(self._reader, **names, localizer=a.localizer or '',
                                need=('sounding',))
        return find_streams(self._reader, **names, need=())

    def _find_origin(self) -> int | None:
        """None where nothing tells it."""
        origin_ns = bag_origin(self._reader, self._streams)
        if origin_ns is None and ORIGIN_KEY in self._results.custom:
            origin_ns = bag_origin(self._results, self._streams)
        return origin_ns

    def _read_truth(self) -> None:
        """Load what scoring needs, where there is truth; without, nothing of it is imported."""
        arguments, topic = self._arguments, self._streams.truth
        if arguments.annotations is None and not topic:
            return
        if arguments.annotations is not None and arguments.truth_topic:
            raise AvsolError('both --annotations and --truth-topic are given; expected one truth')
        from avsol_ros.training.bag_scores import BagScores
        from avsol_ros.training.bag_truth import VIDEO_KEY, truth_from_file, truth_from_topic
        if arguments.annotations is not None:
            if self._origin_ns is None:
                raise AvsolError('nothing in the bag tells the time at which the annotation '
                                 'begins; give --origin, the stamp in seconds of its time 0')
            names = [self._reader.name, self._reader.custom.get(VIDEO_KEY),
                     self._results.custom.get(SOURCE_KEY)]
            self._truth = truth_from_file(arguments.annotations, list(filter(None, names)),
                                          self._origin_ns)
        else:
            self._truth = truth_from_topic(self._reader, topic, self._origin_ns or 0)
            self._problems += self._truth.problems
        self._document['truth'] = f'{self._truth.source}, {len(self._truth.frames)} frames'
        self._scores = BagScores(self._truth, self._origin_ns or 0,
                                 {'Data': self._reader.name, 'Truth': self._truth.source},
                                 arguments.seed)

    # A model.

    def run_models(self, models: list[str]) -> None:
        from avsol_ros.localizer import Localizer
        if self._values['threads']:
            import torch
            torch.set_num_threads(self._values['threads'])
        localizers = {name: Localizer.load(name, self._values['device'], self._values['engine'])
                      for name in models}
        for name, folder in zip(models, _folders(self._out, models)):
            if not self._interrupted:
                self._run_model(name, localizers.pop(name), folder)

    def _run_model(self, name: str, localizer, folder: Path) -> None:
        from avsol_ros.intake import window_config
        first = not self._document['runs']
        config = window_config(self._values['hop'], localizer.frames)
        refused: list[str] = []
        intake = self._make_intake(config, refused.append)
        scores = self._begin_scores(name, localizer.model.config)
        timeline, sheet = Timeline(config.hop_ns), self._make_sheet(config.hop_ns)
        began = time.monotonic()
        with ExitStack() as stack:
            output = stack.enter_context(OutputFolder(folder))
            film = self._make_film(output.part, stack)

            def watch(kind, log_ns, msg):
                if first:
                    self._facts.add(kind, log_ns, msg)
                if film is not None:
                    film.take(kind, log_ns, msg)
                self._tell(name, log_ns, run.windows, began)

            run = BagRun(self._reader, self._streams, localizer, intake, self._boxes, watch)
            about = results_about(name, self._reader.name, self._origin_ns or 0)
            try:
                with (ResultsBag(output.part / _RESULTS, self._heatmap_size, about) as bag,
                      open(output.part / _LINES, 'w', encoding='utf-8') as lines):
                    try:
                        for one in run:
                            found = one.localization
                            self._image_size = self._image_size or found.image_size
                            bag.add(found, one.finding, intake.frame_id)
                            if scores is not None:
                                scores.add(found)
                            self._note(one.finding, lines, timeline, film)
                            image = one.window.frames[-1]
                            sheet.add(image, found, one.finding, self._origin_ns or 0,
                                      self._drawn_truth(one.finding, image))
                    except _Stopped:
                        self._interrupted = True
            except OSError as error:
                raise AvsolError(f'cannot write into {folder} ({error.strerror}); make room or '
                                 'choose another folder') from None
            finally:
                self._progress.close()
            self._problems += [*refused, *run.problems]
            if first:
                self._document |= describe_streams(self._facts, self._image_size,
                                                   intake.audio_format, intake.stats,
                                                   intake.refused)
                self._problems += self._facts.problems(self._streams.image, self._streams.audio)
            files = []
            if run.windows:
                files = self._keep(output, film, sheet)
        wall = time.monotonic() - began
        self._document['runs'].append({
            'model': name, 'where': str(localizer), 'windows': run.windows, 'failed': run.failed,
            'speed': self._document['bag']['duration'] / wall, 'heatmaps': [],
            **describe_found(timeline, self._origin_ns or 0), 'files': files})
        self._end_scores(scores)

    def _make_intake(self, config, report):
        from avsol_ros.intake import Intake
        values = self._values
        return Intake(config, report, self._audio_format(),
                      audio_latency_ns=round(values['audio_latency'] * NANOSECONDS),
                      stream_timeout_ns=round(values['stream_timeout'] * NANOSECONDS),
                      audio_stamps=values.get('audio_stamps', 'auto'))

    def _audio_format(self):
        from avsol_ros.messages import named_format
        values = self._values
        return named_format(values['audio_format'], values['audio_sample_rate'],
                            values['audio_channels'])

    # Recorded results.

    def run_recorded(self) -> None:
        """Take the results from the bag; camera and sound only for the facts and the film."""
        from avsol_ros.audio_reader import AudioReader
        if self._results is self._reader:
            streams = self._streams
        else:
            streams = find_streams(self._results, localizer=self._arguments.localizer or '',
                                   need=('sounding',))
        use_float = bool(streams.heatmap_float)
        pairing = Pairing(use_float or bool(streams.heatmap))
        maps = self._recorded_maps()
        self._image_size = maps.image_size
        name = self._results.custom.get(MODEL_KEY) or streams.sounding.rpartition('/')[0]
        label = f'recorded: {name.strip("/")}'
        scores = self._begin_scores(label)
        timeline, heard = Timeline(), AudioReader(lambda error: None, self._audio_format())
        began, counts = time.monotonic(), {'windows': 0}
        with ExitStack() as stack:
            output = stack.enter_context(OutputFolder(self._out))
            film = self._make_film(output.part, stack) if self._streams.image else None
            lines = stack.enter_context(open(output.part / _LINES, 'w', encoding='utf-8'))

            def take(recorded: RecordedResult):
                source = ('boxes' if recorded.heat is None else '32FC1' if use_float else 'mono8')
                maps.sources[source] = maps.sources.get(source, 0) + 1
                heat = maps.heat(recorded)
                finding = maps.finding(recorded, heat)
                counts['windows'] += 1
                self._note(finding, lines, timeline, film)
                if scores is not None:
                    from avsol_ros.training.bag_scores import recorded_localization
                    scores.add(recorded_localization(finding.result, finding.stamp_ns,
                                                     heat.shape), heat)

            try:
                for kind, log_ns, msg in self._recorded_messages(streams):
                    if kind == 'sounding':
                        wrong = check_result(msg)
                        if wrong:
                            self._problems += [wrong] * (wrong not in self._problems)
                            continue
                        complete = pairing.add_result(msg, log_ns)
                    elif kind == ('heatmap_float' if use_float else 'heatmap'):
                        complete = pairing.add_heatmap(msg)
                    else:
                        complete = ()
                        self._facts.add(kind, log_ns, msg)
                        if kind == 'audio_info':
                            heard.add_info(msg)
                        if film is not None:
                            film.take(kind, log_ns, msg)
                    for recorded in complete:
                        take(recorded)
                    self._tell(label, log_ns, counts['windows'], began)
                for recorded in pairing.finish():
                    take(recorded)
            except _Stopped:
                self._interrupted = True
            finally:
                self._progress.close()
            lines.close()
            if pairing.refused:
                self._problems.append(f'{pairing.refused} recorded heatmap(s) cannot be read')
            if maps.sources.get('boxes') and len(maps.sources) > 1:
                self._problems.append(f'{maps.sources["boxes"]} result(s) have no heatmap; their '
                                      'boxes are taken')
            self._document |= describe_streams(self._facts, self._image_size, heard.format)
            files = self._keep(output, film, None) if counts['windows'] else []
        self._document['runs'].append({
            'model': label, 'where': None, 'windows': counts['windows'], 'failed': 0,
            'speed': None, 'heatmaps': list(maps.sources),
            **describe_found(timeline, self._origin_ns or 0), 'files': files})
        self._end_scores(scores)

    def _recorded_maps(self) -> RecordedMaps:
        image = first_image(self._reader, self._streams.image)
        size = image and image[1:]
        if size is None:
            try:
                width, height = map(int, self._results.custom.get(SIZE_KEY, '').split('x'))
                size = height, width
            except ValueError:
                size = None
        if size is None and self._truth is not None and self._truth.size is not None:
            size = self._truth.size[::-1]
        try:
            centre = float(self._results.custom[CENTRE_KEY])
        except (KeyError, ValueError):
            centre = None
        return RecordedMaps(size, centre)

    def _recorded_messages(self, streams):
        if self._results is self._reader:
            yield from bag_messages(self._reader, streams, results=True)
            return
        # Results first or last in time does not matter to scores; the film wants them in turn.
        recording = bag_messages(self._reader, self._streams)
        found = bag_messages(self._results, type(streams)(
            sounding=streams.sounding, heatmap=streams.heatmap,
            heatmap_float=streams.heatmap_float), results=True)
        yield from heapq.merge(recording, found, key=lambda item: item[1])

    # Both.

    def _begin_scores(self, name: str, config=None):
        if self._scores is None:
            return None
        from avsol_ros.training.runs import Identity, identify
        if config is None:
            return self._scores.begin(Identity(name, None, None, name), name)
        from avsol_ros.checkpoint import read_notes
        return self._scores.begin(identify(name, config, read_notes(name)), name)

    def _end_scores(self, scores) -> None:
        if scores is None or not scores.windows and self._interrupted:
            return
        if self._document['runs'][-1]['windows']:
            scores.finish()

    def _make_sheet(self, hop_ns: int) -> Sheet:
        return Sheet((self._reader.end_ns - self._reader.start_ns) // hop_ns + 1)

    def _make_film(self, part: Path, stack: ExitStack) -> Film | None:
        if not self._video:
            return None
        from avsol_ros.audio_reader import AudioReader
        film = Film(part / _OVERLAY, AudioReader(
            lambda error: None, self._audio_format(),
            round(self._values['audio_latency'] * NANOSECONDS),
            self._values.get('audio_stamps', 'auto')))
        stack.callback(film.discard)
        return film

    def _drawn_truth(self, finding: Finding, image):
        if self._truth is None:
            return ()
        from avsol_ros.training.bag_truth import as_drawn
        size = image.shape[:2]
        return as_drawn(self._truth.nearest(finding.stamp_ns), self._truth.size_in(size), size)

    def _note(self, finding: Finding, lines, timeline: Timeline, film: Film | None) -> None:
        lines.write(window_line(finding, self._origin_ns or 0) + '\n')
        timeline.add(finding)
        if film is not None:
            film.add(finding)

    def _keep(self, output: OutputFolder, film: Film | None, sheet: Sheet | None) -> list[str]:
        if film is not None:
            try:
                film.close()
            except AvsolError as error:
                self._problems.append(f'{_OVERLAY} was not written: {error}')
                film.discard()
        if sheet is not None:
            sheet.write(output.part / _SHEET, self._reader.name)
        return [str(path) for path in output.keep()]

    def _tell(self, name: str, log_ns: int, windows: int, began: float) -> None:
        """Between two messages: say how far it is, and stop where that was asked for."""
        if self._stopping:
            raise _Stopped
        reader = self._reader
        seconds = (log_ns - reader.start_ns) / NANOSECONDS
        whole = (reader.end_ns - reader.start_ns) / NANOSECONDS
        speed = seconds / max(time.monotonic() - began, 1e-3)
        self._progress.report_share(name, seconds / whole if whole else 1.0,
                                    f'{windows} windows, {speed:.1f} x real time')

    def finish(self) -> int:
        """Write the summary, print everything, and say how it went."""
        document = self._document
        problems = [*self._reader.problems, *self._results.problems, *self._problems]
        document |= {'problems': list(dict.fromkeys(problems)), 'interrupted': self._interrupted}
        tables = self._score_tables()
        done = any(run['windows'] for run in document['runs'])
        text = json.dumps(document, indent=2, allow_nan=False)
        if done:
            from avsol_ros.recording import write_text
            summary = write_text(self._out / _SUMMARY, text + '\n')
        if self._arguments.json:
            print(text)
        else:
            print(format_streams(document), end='\n\n')
            for run in document['runs']:
                if run['windows'] and not tables:
                    print(format_run(run), end='\n\n')
            if tables:
                print(*tables, sep='\n\n', end='\n\n')
            for run in document['runs']:
                print(*run['files'], sep='\n')
            if done:
                print(summary)
        for line in document['problems']:
            print(f'avsol evaluate: {line}', file=sys.stderr)
        if not done:
            why = ('it was stopped before the first window' if self._interrupted else
                   'no window could be localized')
            print(f'avsol evaluate: error: {why}', file=sys.stderr)
        if self._interrupted:
            print('avsol evaluate: stopped; what was found until then is written',
                  file=sys.stderr)
            return INTERRUPTED
        return 1 if not done else PARTLY if document['problems'] else 0

    def _score_tables(self) -> list[str]:
        """Put the scores into the document and return them as text."""
        if self._scores is None or not self._scores.runs:
            return []
        from avsol_ros.training.report_tables import (
            HARDER,
            as_json,
            explain,
            format_table,
            table_rows,
        )
        evaluation = self._scores.evaluation()
        for run in self._document['runs']:
            if 'boxes' in run['heatmaps']:
                evaluation.notes.append(
                    f'{run["model"]}: {"some" if len(run["heatmaps"]) > 1 else "all"} results '
                    'have no heatmap, so their boxes are scored: the score inside, the peak in '
                    'the middle of the strongest.')
            elif 'mono8' in run['heatmaps']:
                evaluation.notes.append(
                    f'{run["model"]}: heatmaps of 8 bits are scored, which many pixels share a '
                    'value of; without AVC they are relative to their peak.')
        hop_s = self._values['hop']
        if self._arguments.recorded is None and hop_s < 1:
            evaluation.notes.append(
                f'Windows overlap (hop {hop_s:g} s), and each counts the frames of truth in it; '
                'with --hop 1 every frame counts once, as in the paper.')
        rows = table_rows(evaluation)
        self._document['scores'] = json.loads(as_json(evaluation, rows, {
            'windows': len(evaluation.truths), 'seed': self._arguments.seed}))
        return [text for text in (format_table(rows), format_table(rows, HARDER),
                                  '\n'.join(explain(evaluation))) if text]


def _seconds(text: str) -> int:
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
    raise AvsolError(f'--heatmap-size is {text!r}; expected model, camera, or WIDTHxHEIGHT such '
                     'as 112x112')


def _folders(out: Path, models: list[str]) -> list[Path]:
    """Where the files of each model go: one folder each, where there are several."""
    if len(models) == 1:
        return [out]
    names = []
    for model in models:
        path = Path(model.removesuffix('.safetensors'))
        name = path.parent.name if path.name == 'model' and path.parent.name else path.name
        same = sum(other == name or other.startswith(f'{name}-') for other in names)
        names.append(f'{name}-{same + 1}' if same else name)
    return [out / name for name in names]
