"""Where packages keep their files."""

from __future__ import annotations

import sys
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory


def share(package: str) -> Path:
    """The share folder of a package: by the ament index, else in this Python environment, as wheels lie there."""
    try:
        return Path(get_package_share_directory(package))
    except (PackageNotFoundError, LookupError, OSError):
        return Path(sys.prefix, "share", package)
