"""Where packages keep their files, and how Fast DDS is told of one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

# The name of a file of profiles. Kilted takes the older one too, but tells of errors where both are given.
PROFILES_FILE = f"{'FASTRTPS' if os.environ.get('ROS_DISTRO') == 'jazzy' else 'FASTDDS'}_DEFAULT_PROFILES_FILE"


def share(package: str) -> Path:
    """The share folder of a package: by the ament index, else in this Python environment, as wheels lie there."""
    try:
        return Path(get_package_share_directory(package))
    except (PackageNotFoundError, LookupError, OSError):
        return Path(sys.prefix, "share", package)
