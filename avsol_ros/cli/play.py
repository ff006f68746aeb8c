"""``avsol play``: a media file or a bag as camera and audio topics."""

from avsol_ros.cli.node_options import add_options, node_parser, without_ros_arguments
from avsol_ros.exit_status import ExitStatus
from avsol_ros.nodes.parameters import PLAY
from avsol_ros.requirements import require_ros


def main(argv: list[str]) -> int:
    """Play a file or a bag to its end; 3 when not all of a bag could be read."""
    parser = node_parser(
        'play',
        'The node `avsol_play`: a media file or a bag as camera and audio topics, with its own '
        'times.',
    )
    parser.add_argument('file', nargs='?', metavar='FILE', help='the media file or the bag')
    add_options(parser, PLAY, skip=('file',))
    given = vars(parser.parse_args(without_ros_arguments(argv)))
    require_ros()
    from avsol_ros.nodes.parameter_values import overrides
    from avsol_ros.nodes.player import play

    problems = play(argv, parameter_overrides=overrides(given, PLAY))
    return ExitStatus.PARTLY if problems else ExitStatus.OK
