"""The one command line: ``avsol <verb>``; on a ROS machine also ``ros2 run avsol_ros <verb>``."""

import difflib
import importlib
import importlib.util
import os
import sys
from dataclasses import dataclass

from avsol_ros import __version__
from avsol_ros.errors import AvsolError
from avsol_ros.exit_status import ExitStatus


@dataclass(frozen=True)
class Verb:
    """
    One thing that ``avsol`` can do.

    :param module: module with ``main(argv: list[str]) -> int``, imported only when called.
    :param help: one line for ``avsol --help``.
    :param needs_ros: whether the verb talks to other nodes.
    """

    module: str
    help: str
    needs_ros: bool = False


# The only list of verbs: the build makes one executable from each key.
VERBS = {
    'demo': Verb(
        'avsol_ros.cli.demo',
        'a clip through the whole system, to a video and a table',
        needs_ros=True,
    ),
    'localize': Verb(
        'avsol_ros.cli.localize', 'which object in view makes the sound, in films or a folder'
    ),
    'play': Verb(
        'avsol_ros.nodes.player',
        'publish a media file or a bag as camera and audio topics',
        needs_ros=True,
    ),
    'localizer': Verb(
        'avsol_ros.nodes.localizer', 'the node that finds what sounds', needs_ros=True
    ),
    'record': Verb(
        'avsol_ros.nodes.bag_recorder',
        'write what comes over ROS, and the results, to a bag',
        needs_ros=True,
    ),
    'recorder': Verb(
        'avsol_ros.nodes.film_recorder', "write the localizer's overlay to a video", needs_ros=True
    ),
    'synthesize': Verb('avsol_ros.cli.synthesize', 'render scenes with known sounding objects'),
    'models': Verb('avsol_ros.cli.models', 'list the models that can be built'),
    'build': Verb('avsol_ros.cli.build', 'a named model with published encoders, untrained'),
    'convert': Verb('avsol_ros.cli.convert', 'bags to a dataset of clips, and films to bags'),
    'prepare': Verb('avsol_ros.cli.prepare', 'turn the films of the AVE dataset into clips'),
    'train': Verb('avsol_ros.cli.train', 'train a model and write its checkpoint'),
    'evaluate': Verb(
        'avsol_ros.cli.evaluate',
        'what models find in a bag; how right they are where the truth is known',
    ),
    'annotations': Verb('avsol_ros.cli.annotations', 'check, count and import annotations'),
    'benchmark': Verb('avsol_ros.cli.benchmark', 'how long models take here, engine by engine'),
    'weights': Verb('avsol_ros.cli.weights', 'get and check published encoder weights'),
}

# What to pip install for a module, where that is not the module's own name.
DISTRIBUTIONS = {
    'cv2': 'opencv-python-headless',
    'yaml': 'PyYAML',
}


def main(argv: list[str] | None = None) -> int:
    """
    Run one verb and return the exit status.

    :param argv: verb and its arguments; those of the process by default.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        status = _dispatch(argv)
        if sys.stdout is not None:  # as it is where a shell has closed it
            sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader has gone (`avsol ... | head`). Python flushes stdout once more at exit, so
        # that must go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitStatus.FAILED
    except KeyboardInterrupt as error:  # it may say what is kept
        if str(error):
            print(f'avsol {argv[0]}: {error}', file=sys.stderr)
        return ExitStatus.INTERRUPTED


def _dispatch(argv: list[str]) -> int:
    if not argv or argv[0] in ('-h', '--help', 'help'):
        print(_help())
        return ExitStatus.OK if argv else ExitStatus.USAGE
    if argv[0] == '--version':
        print(f'avsol {__version__}')
        return ExitStatus.OK
    name, arguments = argv[0], argv[1:]
    if name not in VERBS:
        return _fail('avsol', f'there is no verb {name!r}; {_suggest(name)}', ExitStatus.USAGE)
    verb = VERBS[name]
    try:
        return int(importlib.import_module(verb.module).main(arguments) or 0)
    except AvsolError as error:
        return _fail(f'avsol {name}', str(error))
    except ModuleNotFoundError as error:
        return _fail(f'avsol {name}', _explain_missing(verb, error.name or str(error)))


def _help() -> str:
    width = max(map(len, VERBS))
    lines = ['usage: avsol <verb> ...', '', 'Find which object in view is making the sound.', '']
    for needs_ros, title in ((True, 'over ROS 2:'), (False, 'without ROS:')):
        lines.append(title)
        lines += [
            f'  {name:{width}}  {verb.help}'
            for name, verb in VERBS.items()
            if verb.needs_ros is needs_ros
        ]
        lines.append('')
    lines.append('avsol <verb> --help tells more; avsol --version prints the version.')
    return '\n'.join(lines)


def _suggest(name: str) -> str:
    close = difflib.get_close_matches(name, VERBS, n=1)
    return f'did you mean {close[0]!r}?' if close else f'there are {", ".join(VERBS)}'


def _explain_missing(verb: Verb, module: str) -> str:
    if verb.needs_ros and importlib.util.find_spec('rclpy') is None:
        return (
            'this verb needs ROS 2, and there is no rclpy; source setup.bash of your ROS '
            'installation, or run `make .venv` in the source folder and use .venv/bin/avsol'
        )
    top = module.partition('.')[0]
    if top == __name__.partition('.')[0]:
        return f'{module} is not installed; build the package again (colcon build, make .venv)'
    return f'the Python module {top!r} is missing; pip install {DISTRIBUTIONS.get(top, top)}'


def _fail(command: str, text: str, status: int = ExitStatus.FAILED) -> int:
    print(f'{command}: error: {text}', file=sys.stderr)
    return status
