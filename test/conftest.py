"""Every test session talks to itself only, whatever else runs on the machine or in the network."""

import os

from hypothesis import HealthCheck, settings

# DDS derives its ports from the domain; on Linux 0 to 101 stay clear of the ports that the
# kernel hands out. 0 is left to people.
os.environ['ROS_DOMAIN_ID'] = str(1 + os.getpid() % 101)
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
os.environ.setdefault('RMW_IMPLEMENTATION', 'rmw_fastrtps_cpp')

# How long an example takes tells of the load of the machine, not of the code.
settings.register_profile('avsol', deadline=None,
                          suppress_health_check=[HealthCheck.too_slow])
settings.load_profile('avsol')
