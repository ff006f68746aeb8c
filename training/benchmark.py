"""``python -m avsol_ros.training.benchmark``: what avsol-synth-1 holds, and how hard it is."""

import sys

from avsol_ros.command import run_command


def main() -> int:
    from avsol_ros.training.synthetic.avsol_synth_1 import main

    return main()


if __name__ == '__main__':
    sys.exit(run_command('python -m avsol_ros.training.benchmark', main))
