"""The one command line: ``avsol <verb>``; on a ROS machine also ``ros2 run avsol_ros <verb>``."""

import difflib
import importlib
import sys
from dataclasses import dataclass

from avsol_ros import __version__
from avsol_ros.command import fail, run_command
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
        'avsol_ros.cli.play',
        'publish a media file or a bag as camera and audio topics',
        needs_ros=True,
    ),
    'localizer': Verb(
        'avsol_ros.cli.localizer', 'the node that finds what sounds', needs_ros=True
    ),
    'record': Verb(
        'avsol_ros.cli.record',
        'write what comes over ROS, and the results, to a bag',
        needs_ros=True,
    ),
    'recorder': Verb(
        'avsol_ros.cli.recorder', "write the localizer's overlay to a video", needs_ros=True
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


def main(argv: list[str] | None = None) -> int:
    """
    Run one verb and return the exit status.

    :param argv: verb and its arguments; those of the process by default.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    name = f'avsol {argv[0]}' if argv and argv[0] in VERBS else 'avsol'
    return run_command(name, lambda: _dispatch(argv))


def _dispatch(argv: list[str]) -> int:
    if not argv or argv[0] in ('-h', '--help', 'help'):
        print(_help())
        return ExitStatus.OK if argv else ExitStatus.USAGE
    if argv[0] == '--version':
        print(f'avsol {__version__}')
        return ExitStatus.OK
    name, arguments = argv[0], argv[1:]
    if name not in VERBS:
        return fail('avsol', f'there is no verb {name!r}; {_suggest(name)}', ExitStatus.USAGE)
    return importlib.import_module(VERBS[name].module).main(arguments)


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
