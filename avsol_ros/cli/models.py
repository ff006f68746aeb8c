"""``avsol models``: every model that can be built, and what it takes."""

import json
from dataclasses import asdict

from avsol_ros.cli.arguments import ArgumentParser, require_at_least
from avsol_ros.exit_status import ExitStatus
from avsol_ros.models.model_names import find_named, named_models

AVE_CLASSES = 28


def main(argv: list[str]) -> int:
    parser = ArgumentParser(
        prog='avsol models',
        description="The models of config/models: the rows of the paper's Table 2, and their like "
        'on smaller encoders. FLOPs count two for each multiply-add.',
    )
    parser.add_argument('names', nargs='*', metavar='NAME', help='only these (default: all)')
    parser.add_argument(
        '--classes',
        type=int,
        default=AVE_CLASSES,
        help=f'categories (default {AVE_CLASSES}, as in AVE)',
    )
    parser.add_argument('--json', action='store_true', help='print JSON instead of a table')
    arguments = parser.parse_args(argv)
    require_at_least(arguments, 1, 'classes')
    for name in arguments.names:
        find_named(name)

    from avsol_ros.models.builder import named_config
    from avsol_ros.models.catalogue import describe

    classes = numbered_classes(arguments.classes)
    entries = [
        describe(name, named_config(name, classes)) for name in arguments.names or named_models()
    ]
    if arguments.json:
        print(json.dumps([asdict(entry) for entry in entries], indent=2))
    else:
        _print_table(table(entries))
    return ExitStatus.OK


def numbered_classes(count: int = AVE_CLASSES) -> tuple[str, ...]:
    """Names for categories that have none yet."""
    return tuple(f'class {i + 1}' for i in range(count))


def table(entries) -> list[tuple[str, ...]]:
    """Rows of text, the first the header, of ``catalogue.Entry``."""
    rows = [
        ('name', 'encoders', 'frames', 'T', 'heatmap', 'trained', 'frozen', 'GFLOP', 'weights')
    ]
    return rows + [
        (
            e.name,
            f'{e.visual} + {e.audio}' if e.audio else e.visual,
            str(e.frames),
            str(e.steps),
            f'{e.heatmap} x {e.heatmap}',
            f'{e.trained / 1e6:.2f} M',
            f'{e.frozen / 1e6:.2f} M',
            f'{e.flops / 1e9:.1f}',
            ', '.join(e.weights) or '-',
        )
        for e in entries
    ]


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        left = row[:2] + row[-1:]
        print(
            '  '.join(
                f'{cell:{width}}' if cell in left else f'{cell:>{width}}'
                for cell, width in zip(row, widths)
            ).rstrip()
        )
