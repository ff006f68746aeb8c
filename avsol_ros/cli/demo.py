"""
A clip through the whole system: play, localizer and recorder as processes that talk over DDS.

Without CLIP a film of synthetic objects is rendered, whose truth is known.
"""

import json
import os
import queue
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import avsol_ros
from avsol_ros.cli.arguments import ArgumentParser, a_path
from avsol_ros.config import DEFAULT_MODEL, DEFAULT_MODEL_KNOWS, NANOSECONDS
from avsol_ros.errors import AvsolError
from avsol_ros.exit_status import ExitStatus
from avsol_ros.files import write_bytes, write_text
from avsol_ros.localization import WindowResult
from avsol_ros.locks import claim_folder
from avsol_ros.media.animation import animate_film
from avsol_ros.media.film_reader import MediaReader
from avsol_ros.media.image_files import encode_png
from avsol_ros.models.model_names import find_checkpoint
from avsol_ros.offline.film_summary import draw_sheet, format_table, load_truth, second_by_second
from avsol_ros.progress import Progress
from avsol_ros.requirements import require_modules, require_ros

HOP_NS = NANOSECONDS // 4
# Frames are scaled down to this before they travel: more would only slow a small machine down.
MOST_PIXELS = 1280 * 720
# The heatmaps are stretched from far smaller maps; their peak needs no more than this.
HEATMAP_SIDE = 224
# The share of seconds that have to be right for --check: one in ten may lie on a switch.
CHECK_SHARE = 0.9
# Seconds: for loading the model on a slow machine; without news; for ending after SIGINT.
START_TIMEOUT, STALL_TIMEOUT, STOP_TIMEOUT = 300, 90, 20
# Seconds without news after the clip's end: the recorder, which waits for the last window itself,
# does not see that the clip has ended.
END_TIMEOUT = 12

_RUN = 'import sys; from avsol_ros.cli import main; sys.exit(main())'
_ROS_LOG_PREFIX = re.compile(r'^\[\w+\] \[[\d.]+\] \[[^\]]*\]: ')


def main(argv: list[str]) -> int:
    """Run the demo; 1 when something went wrong or, with --check, too much was missed."""
    parser = ArgumentParser(
        prog='avsol demo',
        description=' '.join(__doc__.split()),
        epilog='Results: overlay.mp4 (film with sound), overlay.webp (its first 10 s as an '
        'animated picture), contact_sheet.png, table.json, overlay.json (all windows), logs.',
    )
    parser.add_argument(
        'clip',
        nargs='?',
        metavar='CLIP',
        type=a_path,
        help='your own media file with video and sound',
    )
    parser.add_argument(
        '--out',
        type=a_path,
        default=Path('out/demo'),
        metavar='DIR',
        help='folder for the results [out/demo]',
    )
    parser.add_argument('--json', action='store_true', help='print the table as JSON')
    parser.add_argument(
        '--check',
        action='store_true',
        help=f'fail unless {CHECK_SHARE:.0%}% of the seconds agree with the truth',
    )
    parser.add_argument(
        '--model', default=DEFAULT_MODEL, help='shipped model or checkpoint [%(default)s]'
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of the rendered film [0]')
    options = parser.parse_args(argv)
    require_ros()
    find_checkpoint(options.model)
    if not options.clip:
        require_modules('scipy')
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _demo(options)
    finally:
        signal.signal(signal.SIGTERM, previous)


def _demo(options) -> int:
    if options.seed < 0:
        raise AvsolError(f'--seed is {options.seed}; expected 0 or more')
    with claim_folder(options.out):
        return _localize_clip(options, options.out)


def _localize_clip(options, out: Path) -> int:
    """Everything from the clip to the table, in a folder that nobody else writes into."""
    clip = options.clip
    if clip and clip.resolve() == (out / 'overlay.mp4').resolve():
        raise AvsolError(f'{clip} would be overwritten by the result; choose another --out')
    with MediaReader(clip) if clip else _rendered(out / 'clip.mp4', options.seed) as reader:
        reader.check()
        info = reader.info
    clip = info.path
    seconds = info.duration_ns // NANOSECONDS
    if seconds < 1:
        raise AvsolError(
            f'{clip} lasts {info.duration_ns / NANOSECONDS:.2f} s; expected at least '
            'the one second of a window'
        )
    truth = load_truth(clip)
    if options.check and truth is None:
        raise AvsolError(
            f'there is no truth beside {clip} ({clip.with_suffix(".json").name}), '
            'so --check has nothing to check'
        )
    _say(
        f'{clip}: {info.width}x{info.height}, {info.frame_rate:.4g} frames/s, '
        f'{info.sample_rate} Hz x {info.channels}, {info.duration_ns / NANOSECONDS:.1f} s'
    )
    with Processes(out / 'logs') as processes:
        _run(processes, options, info)
    record = json.loads((out / 'overlay.json').read_text())
    results = [WindowResult.from_dict(values) for values in record['windows']]
    if not results:
        raise AvsolError(f'the localizer gave no result; see {out / "logs" / "localizer.log"}')
    rows = second_by_second(results, 0, info.duration_ns, (info.width, info.height), truth)
    sheet = out / 'contact_sheet.png'
    write_bytes(sheet, encode_png(draw_sheet(clip, rows)))
    document = {
        'version': 1,
        'clip': str(clip),
        'model': options.model,
        'seconds': [row.as_dict() for row in rows],
        'hits': sum(bool(row.hit) for row in rows) if truth else None,
        'windows': len(results),
        'frames': record['frames'],
        'frames_dropped': record['frames_dropped'],
    }
    write_text(out / 'table.json', json.dumps(document, indent=1) + '\n')
    try:
        animate_film(out / 'overlay.mp4', out / 'overlay.webp')
    except AvsolError as error:
        _say(str(error))  # all else is there
    _report(options, document, rows, truth)
    if truth is None and options.model == DEFAULT_MODEL:
        _say(f'{DEFAULT_MODEL} {DEFAULT_MODEL_KNOWS}')
    if options.check and document['hits'] < CHECK_SHARE * len(rows):
        raise AvsolError(
            f'only {document["hits"]} of {len(rows)} seconds agree with the truth; '
            f'expected {CHECK_SHARE:.0%}: look at {sheet}'
        )
    return ExitStatus.OK


def _rendered(path: Path, seed: int) -> MediaReader:
    """Render the film with known truth."""
    from avsol_ros.training.synthetic.scene_films import render_demo_clip

    with Progress() as progress:
        render_demo_clip(path, seed, report=partial(progress.share, 'rendering the clip'))
    return MediaReader(path)


def _run(processes: 'Processes', options, info) -> None:
    """Play the clip through the nodes until the recorder has written its film."""
    duration_s = info.duration_ns / NANOSECONDS
    # The end of the last window. It may lack its sound: the recorder does not wait for ever.
    until = info.duration_ns // HOP_NS * HOP_NS / NANOSECONDS
    _say('starting localizer and recorder')
    processes.start(
        'localizer',
        '--model',
        options.model,
        '--hop',
        HOP_NS / NANOSECONDS,
        '--reliability',
        'reliable',
        '--no-publish-overlay',
        '--heatmap-width',
        HEATMAP_SIDE,
        '--heatmap-height',
        HEATMAP_SIDE,
    )
    processes.start(
        'recorder', '--output', options.out / 'overlay.mp4', '--until', until, '--progress'
    )
    # Only then play: what is sent before its receiver is known would be lost.
    deadline = time.monotonic() + START_TIMEOUT
    while processes.news(0.1) is None:
        processes.check()
        if not processes.running('recorder') or time.monotonic() > deadline:
            raise AvsolError(
                f'localizer and recorder did not find each other; see {processes.logs}'
            )
    _say('playing')
    processes.start(
        'play',
        info.path,
        '--rate',
        0,
        '--start-time',
        0,
        '--wait-for-subscribers',
        2,
        '--wait-timeout',
        START_TIMEOUT,
        *_image_size(info.width, info.height),
    )
    with Progress(log_s=0) as progress:
        _wait_for_the_film(processes, duration_s, progress)
    processes.check()


def _wait_for_the_film(processes: 'Processes', duration_s: float, progress: Progress) -> None:
    """Tell of each second that has been localized, until the recorder has ended."""
    told_to_stop = None
    last_news = time.monotonic()
    patience = START_TIMEOUT
    seconds = 0
    while processes.running('recorder'):
        news = processes.news(0.1)
        if news is not None:
            last_news, patience = time.monotonic(), STALL_TIMEOUT
            if news['end'] >= seconds + 1:
                seconds = int(news['end'])
                progress.count(
                    'localizing', round(news['end'], 2), round(duration_s, 2), 's', _found(news)
                )
        processes.check()
        if (
            told_to_stop is None
            and not processes.running('play')
            and time.monotonic() - max(last_news, processes.ended_at('play')) > END_TIMEOUT
        ):
            told_to_stop = time.monotonic()
            processes.signal('recorder')
        if time.monotonic() - max(last_news, told_to_stop or 0) > patience:
            raise AvsolError(f'nothing came from the nodes for {patience} s; see {processes.logs}')


def _found(news: dict) -> str:
    avc = 'no AVC' if news['avc'] is None else f'AVC {news["avc"]:.2f}'
    return f'{avc}, {news["sounding"] or "nothing in view sounds"}'


class Processes:
    """
    The nodes' processes, in a DDS domain and namespace of their own; a context manager ends them.

    :param logs: folder for what they say.
    """

    def __init__(self, logs: Path):
        from avsol_ros.nodes.dds_settings import environment

        self.logs = logs
        logs.mkdir(parents=True, exist_ok=True)
        # Domains up to 101 keep clear of the ports that Linux hands out; the namespace keeps
        # apart what meets in one domain all the same.
        self._namespace = f'/demo_{secrets.token_hex(4)}'
        base = {
            **os.environ,
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
            'ROS_DOMAIN_ID': str(1 + secrets.randbelow(101)),
            'PYTHONUNBUFFERED': '1',
            'ROS_LOG_DIR': str(logs.resolve() / 'ros'),
        }
        package = str(Path(avsol_ros.__file__).resolve().parent.parent)
        base['PYTHONPATH'] = os.pathsep.join(filter(None, [package, os.environ.get('PYTHONPATH')]))
        self._environment = {**base, **environment(base)}
        self._children: dict[str, subprocess.Popen] = {}
        self._ended_at: dict[str, float] = {}
        self._news: queue.Queue[dict] = queue.Queue()

    def __enter__(self) -> 'Processes':
        return self

    def __exit__(self, *_) -> None:
        for name in self._children:
            self.signal(name)
        deadline = time.monotonic() + STOP_TIMEOUT
        for child in self._children.values():
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def start(self, verb: str, *arguments) -> None:
        """Start a verb of avsol; its stdout of JSON lines is news, all else is logged."""
        command = [
            sys.executable,
            '-c',
            _RUN,
            verb,
            *map(str, arguments),
            '--ros-args',
            '-r',
            f'__ns:={self._namespace}',
        ]
        with open(self._log(verb), 'w') as log:
            # A session of its own: Ctrl-C reaches this process only, which ends the others.
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment,
                text=True,
                start_new_session=True,
            )
        self._children[verb] = child
        threading.Thread(target=self._listen, args=(verb, child.stdout), daemon=True).start()

    def news(self, timeout_s: float) -> dict | None:
        with suppress(queue.Empty):
            return self._news.get(timeout=timeout_s)
        return None

    def running(self, verb: str) -> bool:
        running = self._children[verb].poll() is None
        if not running:
            self._ended_at.setdefault(verb, time.monotonic())
        return running

    def ended_at(self, verb: str) -> float:
        return self._ended_at.get(verb, 0.0)

    def check(self) -> None:
        """Raise AvsolError for a process that ended before its time."""
        for verb, child in self._children.items():
            if self.running(verb) or (child.returncode == 0 and verb != 'localizer'):
                continue
            raise AvsolError(
                f'{verb} ended with status {child.returncode}: '
                f'{last_words(self._log(verb))} (all in {self._log(verb)})'
            )

    def signal(self, verb: str) -> None:
        """Tell a process to finish."""
        if self.running(verb):
            self._children[verb].send_signal(signal.SIGINT)

    def _log(self, verb: str) -> Path:
        return self.logs / f'{verb}.log'

    def _listen(self, verb: str, stream) -> None:
        with stream, open(self._log(verb), 'a') as log:
            for line in stream:
                try:
                    self._news.put(json.loads(line))
                except ValueError:
                    log.write(line)
                    log.flush()


def last_words(log: Path) -> str:
    """Return the last line of a log, without what only says when and where it was written."""
    lines = [line.strip() for line in log.read_text(errors='replace').splitlines()]
    lines = [_ROS_LOG_PREFIX.sub('', line) for line in lines if line]
    line = lines[-1] if lines else 'it said nothing'
    return re.sub(r'^avsol \w+: error: ', '', line)


def _image_size(width: int, height: int) -> list[str]:
    """Arguments for play that make the pictures small enough to travel."""
    scale = (MOST_PIXELS / (width * height)) ** 0.5
    if scale >= 1:
        return []
    even = [2 * round(side * scale / 2) for side in (width, height)]
    return ['--image-size', f'{even[0]}x{even[1]}']


def _report(options, document: dict, rows: list, truth: dict | None) -> None:
    if options.json:
        print(json.dumps(document))
    else:
        print(f'\n{format_table(rows)}\n')
        if truth:
            print(f'{document["hits"]} of {len(rows)} seconds right')
    if document['frames_dropped']:
        _say(
            f'{document["frames_dropped"]} frames were dropped: this machine could not write '
            'the film as fast as it came'
        )
    _say(
        f'film with sound   {options.out / "overlay.mp4"}\n'
        f'animated picture  {options.out / "overlay.webp"}\n'
        f'contact sheet     {options.out / "contact_sheet.png"}\n'
        f'table             {options.out / "table.json"}'
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _interrupt(*_) -> None:
    raise KeyboardInterrupt
