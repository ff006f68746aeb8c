"""
Run a verb of avsol that stops where told, prints "held" and goes on when its stdin ends.

Usage: python held_verb.py MODULE:FUNCTION VERB ARGUMENTS, to stop at the first call of a function;
it may be MODULE:CLASS.METHOD.
"""

import functools
import importlib
import sys

from avsol_ros.cli import main


def hold_at(place):
    module, _, name = place.partition(':')
    *owners, name = name.split('.')
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    original = getattr(owner, name)

    def held(*given, **named):
        setattr(owner, name, original)
        print('held', flush=True)
        sys.stdin.read()
        return original(*given, **named)

    setattr(owner, name, held)


if __name__ == '__main__':
    hold_at(sys.argv[1])
    sys.exit(main(sys.argv[2:]))
