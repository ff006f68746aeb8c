"""``avsol localizer``: the node that finds what sounds."""

from avsol_ros.cli.node_options import add_options, node_parser, without_ros_arguments
from avsol_ros.exit_status import ExitStatus
from avsol_ros.models.model_names import find_checkpoint
from avsol_ros.nodes.parameters import LOCALIZER
from avsol_ros.requirements import require_ros


def main(argv: list[str]) -> int:
    """Run the node until it is told to stop; 1 when it cannot start."""
    parser = node_parser(
        'localizer',
        'The node `avsol_localizer`: camera and microphone in, sounding objects out.',
    )
    add_options(parser, LOCALIZER)
    given = vars(parser.parse_args(without_ros_arguments(argv)))
    require_ros()
    if given['model'] is not None and given['autostart'] is not False:
        find_checkpoint(given['model'])
    from avsol_ros.nodes.localizer import run
    from avsol_ros.nodes.parameter_values import overrides

    started = run(argv, parameter_overrides=overrides(given, LOCALIZER))
    return ExitStatus.OK if started else ExitStatus.FAILED
