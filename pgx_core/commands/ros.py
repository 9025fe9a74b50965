"""The commands that need ROS live in ros2_ws; here they are only found."""

from __future__ import annotations

import importlib
from types import ModuleType

from pgx_core.errors import ConfigError


def ros_module(name: str) -> ModuleType:
    """A module of the package `pgx_bringup`.

    Raises:
        ConfigError: ROS or our packages are not in this environment.
    """
    try:
        return importlib.import_module(f"pgx_bringup.{name}")
    except ImportError as error:
        missing = error.name or str(error)
        raise ConfigError(
            f"'{missing}' is missing: `make ros` adds ROS to .venv; with a ROS installation, build and source ros2_ws"
        ) from error
