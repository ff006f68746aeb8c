"""``avsol record``: what comes over ROS, and the results, as a bag."""

from avsol_ros.cli.node_options import add_options, node_parser, without_ros_arguments
from avsol_ros.exit_status import ExitStatus
from avsol_ros.nodes.parameters import RECORD
from avsol_ros.requirements import require_ros


def main(argv: list[str]) -> int:
    """Record until told to stop."""
    parser = node_parser(
        'record',
        'The node `avsol_record`: writes what comes on ROS topics, and the results, to a bag.',
    )
    parser.add_argument('output', nargs='?', metavar='OUT', help='the bag to write, a folder')
    parser.add_argument(
        'topics',
        nargs='*',
        metavar='TOPIC',
        help='what to record; by default image, audio, audio_info, ground_truth '
        'and the results of the localizer',
    )
    add_options(parser, RECORD, skip=('output', 'topics'))
    given = vars(parser.parse_args(without_ros_arguments(argv)))
    given['topics'] = ' '.join(given['topics']) or None
    require_ros()
    from avsol_ros.nodes.bag_recorder import NAME, RecordNode
    from avsol_ros.nodes.parameter_values import overrides
    from avsol_ros.nodes.process import run_recorder

    run_recorder(NAME, RecordNode, argv, parameter_overrides=overrides(given, RECORD))
    return ExitStatus.OK
