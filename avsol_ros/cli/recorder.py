"""``avsol recorder``: what the localizer finds, as a film with sound."""

from avsol_ros.cli.node_options import add_options, node_parser, without_ros_arguments
from avsol_ros.exit_status import ExitStatus
from avsol_ros.nodes.parameters import RECORDER
from avsol_ros.requirements import require_ros


def main(argv: list[str]) -> int:
    """Record until the stream ends or the process is told to stop."""
    parser = node_parser(
        'recorder',
        'The node `avsol_recorder`: writes what the localizer finds as a film with sound.',
    )
    add_options(parser, RECORDER)
    given = vars(parser.parse_args(without_ros_arguments(argv)))
    require_ros()
    from avsol_ros.nodes.film_recorder import NAME, RecorderNode
    from avsol_ros.nodes.parameter_values import overrides
    from avsol_ros.nodes.process import run_recorder

    run_recorder(NAME, RecorderNode, argv, parameter_overrides=overrides(given, RECORDER))
    return ExitStatus.OK
