"""``avsol benchmark``: how long models take on this machine, engine by engine."""

import json

from avsol_ros.cli.arguments import ArgumentParser, require_at_least
from avsol_ros.config import DEFAULT_MODEL
from avsol_ros.errors import AvsolError
from avsol_ros.exit_status import ExitStatus
from avsol_ros.models.model_names import find_checkpoint, find_named, is_row


def main(argv: list[str]) -> int:
    parser = ArgumentParser(
        prog='avsol benchmark',
        description='Time models on windows of a generated film of 640x480 pixels: a whole '
        'window, and a live one, of which all but the last quarter second was in the '
        'window before. Weights of named models are random: they do not change the '
        'time.',
    )
    parser.add_argument(
        'models',
        nargs='*',
        default=[DEFAULT_MODEL],
        help='names of `avsol models`, YAML files like those, shipped names or '
        f'checkpoints (default: {DEFAULT_MODEL})',
    )
    parser.add_argument('--engine', nargs='+', help='default: all that can be had here')
    parser.add_argument('--device', default='auto', help='auto, cpu or cuda (default auto)')
    parser.add_argument(
        '--repeat',
        type=int,
        default=5,
        help='how often each is timed; medians are told (default 5)',
    )
    parser.add_argument(
        '--threads', type=int, default=0, help="CPU threads; 0 is PyTorch's choice (default 0)"
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of film and weights (default 0)')
    parser.add_argument('--json', action='store_true', help='print JSON instead of a table')
    arguments = parser.parse_args(argv)
    require_at_least(arguments, 1, 'repeat')
    require_at_least(arguments, 0, 'threads', 'seed')
    for name in arguments.models:
        (find_named if is_row(name) else find_checkpoint)(name)

    import torch

    from avsol_ros.inference import speed
    from avsol_ros.inference.localizer import choose_device

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    known = speed.engines_of(choose_device(arguments.device))
    engines = list(dict.fromkeys(arguments.engine or known))
    for engine in engines:
        if engine not in known:
            raise AvsolError(f'engine is {engine!r}; to be had here are {", ".join(known)}')
    found = speed.measure(
        arguments.models, engines, arguments.device, arguments.repeat, arguments.seed
    )
    print(json.dumps(found, indent=2) if arguments.json else _table(found))
    return ExitStatus.OK


def _table(found: dict) -> str:
    machine = found['machine']
    lines = [
        ', '.join(f'{key} {value}' for key, value in machine.items() if value is not None),
        f'medians of {found["repeat"]}; live: a hop of {found["hop_s"]:g} s; peak: of a '
        "large matrix product in the engine's precision",
        '',
        '| model | engine | ms a window | ms live | GFLOP | GFLOP/s | share of peak '
        '| features off by | heatmap off by |',
        '|---|---|---|---|---|---|---|---|---|',
    ]
    for row in found['rows']:
        engine = row['engine'] + (' (auto)' if row['auto'] else '')
        lines.append(
            f'| {row["model"]} | {engine} | {row["window_ms"]:.1f} | '
            f'{row["live_ms"]:.1f} | {row["gflop"]:.1f} | {row["gflop_per_s"]:.0f} | '
            f'{100 * row["share"]:.0f} % of {row["peak_gflop_per_s"]:.0f} | '
            f'{row["feature_error"]:.1e} | {row["heatmap_error"]:.1e} |'
        )
    return '\n'.join(lines)
