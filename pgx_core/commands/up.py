"""`pgx up`."""

from __future__ import annotations

from pathlib import Path

import tyro

from pgx_core.commands.ros import ros_module


def main(
    bundle: tyro.conf.Positional[Path],
    objective: str = "",
    viewer: bool = False,
    sim: bool = True,
    seconds: float = 0.0,
    record: Path | None = None,
    params: Path | None = None,
) -> None:
    """Serve a bundle over ROS on its simulated robot, watched by the watchdog, until Ctrl-C.

    Args:
        bundle: bundle folder.
        objective: pursued from the start; without it the robot holds until one is commanded.
        viewer: show the robot in a window.
        sim: start a simulated robot; without it a real one must publish its sensors.
        seconds: stop after so long; 0: on Ctrl-C.
        record: write every topic to this MCAP file.
        params: ROS parameters of the nodes; where not given those of the launch files.
    """
    ros = ros_module("up")
    ros.up(ros.UpConfig(bundle, objective, viewer, sim, seconds, record, params))
