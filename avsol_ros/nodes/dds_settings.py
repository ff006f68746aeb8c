"""
How messages travel: the settings which keep large images whole.

With the defaults of Fast DDS, best-effort images of 640x480 and more get lost between processes;
see config/fastdds.xml for why. The settings are environment variables, so they have to be there
before a process starts: the launch file, the demo and the tests give :func:`environment` to the
processes they start.
"""

import os
from collections.abc import Mapping

from avsol_ros.share import share_folder

# Where Fast DDS looks for its settings: version 3 under the first name, version 2, which these
# distributions have, under the second. Version 3 warns when it meets the second.
PROFILES, PROFILES_BEFORE = 'FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'
FAST_DDS_2 = ('humble', 'iron', 'jazzy')

# glibc gives a large freed block back to the kernel at once and asks for it again for the next
# image; keeping blocks up to these sizes (bytes) more than halves a subscriber's processor time.
ALLOCATOR_SETTINGS = {
    'MALLOC_MMAP_THRESHOLD_': str(256 << 20),
    'MALLOC_TRIM_THRESHOLD_': str(512 << 20),
    'MALLOC_TOP_PAD_': str(64 << 20),
}


def environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """
    Environment variables for processes that send or receive images.

    :param base: environment they are added to, by default this process's. What it already sets
        is the user's choice and is left out of the result.
    """
    base = os.environ if base is None else base
    settings = dict(ALLOCATOR_SETTINGS)
    if PROFILES not in base and PROFILES_BEFORE not in base:
        name = PROFILES_BEFORE if base.get('ROS_DISTRO') in FAST_DDS_2 else PROFILES
        settings[name] = str(share_folder() / 'config' / 'fastdds.xml')
    return {name: value for name, value in settings.items() if name not in base}
