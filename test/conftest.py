"""
Which tests run, and where: every session talks to itself only, whatever else runs.

Tests marked ``slow`` are left out unless ``-m`` or the name of a test asks for them. Tests marked
``ros`` start nodes: those that use the fixture ``ros``, and others that say so.
"""

import fcntl
import importlib.util
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# DDS derives its ports from the domain; on Linux 0 to 101 stay clear of the ports that the
# kernel hands out. 0 is left to people.
DOMAINS = 101


def claim_domain():
    """
    Choose a domain that no other session on this machine has.

    :return: its number, and a locked file, which keeps others away while it is open.
    """
    for i in range(DOMAINS):
        # Not always the first: processes of a session that was killed may still be there.
        domain = 1 + (os.getpid() + i) % DOMAINS
        path = Path(tempfile.gettempdir(), f'avsol_ros_test_domain_{domain}')
        with suppress(OSError):  # of another user
            lock = path.open('a')
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return domain, lock
            except OSError:
                lock.close()
    raise RuntimeError(
        f'all {DOMAINS} ROS domains for tests are taken; expected a free one: '
        'end other test sessions'
    )


# Threads of PyTorch wait for each other by spinning: where the cores have other work too, a window
# takes ten times as long with two threads as with one. Its models are small here.
os.environ.setdefault('OMP_NUM_THREADS', '1')

# Published weights that somebody has fetched would add rows to tables of scores.
os.environ['AVSOL_WEIGHTS'] = str(Path(tempfile.gettempdir(), 'avsol_ros_test_without_weights'))

# Processes that tests start import the helpers too.
os.environ['PYTHONPATH'] = os.pathsep.join(
    filter(None, [str(Path(__file__).parent / 'support'), os.environ.get('PYTHONPATH')])
)

_domain, _lock = claim_domain()
os.environ['ROS_DOMAIN_ID'] = str(_domain)
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
os.environ.setdefault('RMW_IMPLEMENTATION', 'rmw_fastrtps_cpp')

# How long an example takes tells of the load of the machine, not of the code.
settings.register_profile('avsol', deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile('avsol')


@pytest.fixture(scope='module')
def ros():
    """For a module that makes nodes: rclpy, under the package's settings of DDS."""
    import rclpy

    from avsol_ros.nodes.dds_settings import environment

    os.environ.update(environment())
    rclpy.init()
    yield
    rclpy.shutdown()


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marks
def pytest_collection_modifyitems(config, items):
    """Mark the tests that make nodes, and leave out slow tests that nobody asked for."""
    has_ros = importlib.util.find_spec('rclpy') is not None
    for item in items:
        if 'ros' in item.fixturenames:
            item.add_marker('ros')
        if item.get_closest_marker('ros') and not has_ros:
            item.add_marker(pytest.mark.skip(reason='needs rclpy'))
    asked = 'slow' in config.option.markexpr or any('::' in name for name in config.args)
    if not asked:
        slow = {item for item in items if item.get_closest_marker('slow')}
        config.hook.pytest_deselected(items=list(slow))
        items[:] = [item for item in items if item not in slow]
