"""``avsol evaluate``: HmBoxAUC, PiBR and PNSR of models on held-out synthetic windows."""

import argparse
import json

from avsol_ros.cli.arguments import require_at_least


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog='avsol evaluate',
        description='Score models on held-out synthetic windows with the metrics of the paper '
                    '(section 3.3), beside a centre prior and noise, which know nothing.')
    parser.add_argument('models', nargs='*', default=['compact'],
                        help='shipped names or checkpoints (default: compact)')
    parser.add_argument('--split', choices=('test', 'val'), default='test')
    parser.add_argument('--windows', type=int, default=500, help='how many (default 500)')
    parser.add_argument('--seed', type=int, default=0, help='seed of the scenes (default 0)')
    parser.add_argument('--json', action='store_true', help='print JSON instead of a table')
    arguments = parser.parse_args(argv)
    require_at_least(arguments, 1, 'windows')
    require_at_least(arguments, 0, 'seed')

    from avsol_ros.training.scoring import evaluate_models
    rows = evaluate_models(arguments.models, arguments.split, arguments.windows, arguments.seed)
    if arguments.json:
        print(json.dumps({'split': arguments.split, 'windows': arguments.windows,
                          'seed': arguments.seed, 'rows': rows}, indent=2))
    else:
        _print_table(rows)
    return 0


def _print_table(rows: list[dict]) -> None:
    width = max(len(row['model']) for row in rows)
    print(f'{"model":{width}}  HmBoxAUC   PiBR   PNSR  class  AVE frames  other frames')
    for row in rows:
        accuracy = '    -' if row['class_accuracy'] is None else f'{row["class_accuracy"]:5.3f}'
        print(f'{row["model"]:{width}}     {row["hmbox_auc"]:5.3f}  {row["pibr"]:5.3f}  '
              f'{row["pnsr"]:5.3f}  {accuracy}  {row["ave_frames"]:10d}  '
              f'{row["other_frames"]:12d}')
