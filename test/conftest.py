"""Every test session talks to itself only, whatever else runs on the machine or in the network."""

import fcntl
import os
import tempfile
from contextlib import suppress
from pathlib import Path

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
