"""The processes that render: they end with the one that started them, and show no Ctrl-C."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import PATIENCE_S, wait_for

RENDER = """
import sys
from avsol_ros.training.synthetic.window_set import SceneConfig, render_windows
def hold(name, done, total, unit):
    if done == 17:
        print('rendering', flush=True)
        sys.stdin.read()
if __name__ == '__main__':
    config = SceneConfig(seconds=1, sprite=16, backdrop=16)
    render_windows('val', 320, 0, config, size=16, frames=1, workers=2, progress=hold)
"""


def children(pid):
    """Processes that a process has started."""
    return [
        int(child)
        for task in Path(f'/proc/{pid}/task').iterdir()
        for child in (task / 'children').read_text().split()
    ]


def ended(pid):
    try:
        state = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0]
    except OSError:
        return True
    return state in 'ZX'


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGINT])
def test_they_end_with_their_parent(number):
    process = subprocess.Popen(
        [sys.executable, '-c', RENDER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout.readline() == 'rendering\n'
        workers = children(process.pid)
        assert len(workers) >= 2
        if number == signal.SIGINT:  # as a terminal does, to all of them
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        process.stdin.close()
        said = process.stderr.read()  # until the last of them has ended
        process.wait(PATIENCE_S)
        wait_for(lambda: all(map(ended, workers)))
    finally:
        process.kill()
        process.wait(PATIENCE_S)
        for pipe in (process.stdout, process.stderr):
            pipe.close()
    assert process.returncode == -number
    assert said.count('Traceback') == (number == signal.SIGINT), said
