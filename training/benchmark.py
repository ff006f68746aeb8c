"""``python -m avsol_ros.training.benchmark``: what avsol-synth-1 holds, and how hard it is."""

import sys

from avsol_ros.training.synthetic.avsol_synth_1 import main

if __name__ == '__main__':
    sys.exit(main())
