"""Waiting for what other threads and processes do."""

import time

# Seconds after which something is taken to hang. Far more than anything takes on an idle machine:
# tests must not fail because other programs run beside them.
PATIENCE_S = 120.0


def wait_for(condition, seconds=PATIENCE_S):
    """Value of the condition as soon as it is true; fails when it does not become so."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, 'the condition did not come true'
        time.sleep(0.002)
